#!/usr/bin/env bash
# Builds the policies that are written by hand, into target/by-hand/{c,js}/*.wasm.
#
#   examples/by-hand/build.sh            what the machine has tools for; says what is missing for the rest
#   examples/by-hand/build.sh --install  installs the tools first: Debian's packages for C, an npm package for JavaScript
#
# What is missing is no failure; a source that does not compile is one. A second run without changes takes no time.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

source=examples/by-hand
target=target/by-hand
bindgen=target/bindgen/debug/by-hand-bindgen
npm=$target/npm/node_modules/.bin/componentize-qjs

say() { printf 'by-hand: %s\n' "$*" >&2; }

# A language that cannot be built. What was built of it earlier, from other sources, would only mislead.
missing() {
  say "$1 is not built: $2; examples/by-hand/build.sh --install gets it"
  rm -f "$target/$3"/*.wasm "$target/$3/sources"
}

# Whether a folder was built from exactly what there is now; keeps the answer in `now`.
is_current() {
  now=$(sha256sum wit/*.wit "$source/build.sh" "$source/$1"/* "${@:2}" | sha256sum)
  [[ $(cat "$target/$1/sources" 2>/dev/null) == "$now" ]]
}

# ---- tools

# The newest clang that makes WASI programs: it needs a linker, a C library and its own run-time library for that.
find_clang() {
  local clang
  for clang in $(compgen -c clang- | grep -E '^clang-[0-9]+$' | sort -urV) clang; do
    command -v "$clang" >/dev/null && compile "$clang" -x c -o /dev/null - <<<'' 2>/dev/null && { echo "$clang"; return; }
  done
  return 1
}

# Debian's wasi-libc knows the target by its older name, which newer clangs call deprecated.
compile() { "$1" --target=wasm32-wasi --sysroot=/usr -mexec-model=reactor -Oz -s -Wno-deprecated "${@:2}"; }

# The one that was installed here, or one that the machine has.
find_componentize() { [[ -x $npm ]] && echo "$npm" || command -v componentize-qjs; }

install_tools() {
  find_clang >/dev/null ||
    sdk/apt.sh install 'clang-22|clang-19|clang' 'lld-22|lld-19|lld' wasi-libc \
      'libclang-rt-22-dev-wasm32|libclang-rt-19-dev-wasm32|libclang-rt-dev-wasm32' ||
    say "the packages for C were not installed"
  if ! find_componentize >/dev/null; then
    command -v npm >/dev/null || sdk/apt.sh install nodejs npm || say "node was not installed"
    npm install --silent --no-save --prefix "$target/npm" componentize-qjs@0.4.5 || say "the npm package was not installed"
  fi
}

# ---- languages

build_c() {
  local clang policy out=$target/c
  is_current c "$source"/bindgen/Cargo.* "$source"/bindgen/src/* && return
  clang=$(find_clang) || { missing C "there is no clang with wasi-libc" c; return; }
  cargo build --quiet --locked --manifest-path "$source/bindgen/Cargo.toml" --target-dir target/bindgen ||
    { missing C "the generator of its bindings cannot be built, see above" c; return; }
  rm -rf "$out"
  "$bindgen" c wit policy "$out/bindings"
  for policy in guard keeper; do
    compile "$clang" -Wall -I "$out/bindings" -o "$out/$policy.core" \
      "$source/c/$policy.c" "$out/bindings/policy.c" "$out/bindings/policy_component_type.o"
    "$bindgen" component "$out/$policy.core" "$out/$policy.wasm"
  done
  echo "$now" >"$out/sources"
  say "C: $(cd "$out" && wc -c *.wasm | awk '$2 != "total" { print $2, $1 }' | paste -sd' ') bytes"
}

build_js() {
  local componentize out=$target/js
  is_current js && return
  componentize=$(find_componentize) || { missing JavaScript "there is no componentize-qjs" js; return; }
  rm -rf "$out"
  mkdir -p "$out"
  componentize policy guard.js "$out/guard.wasm"
  componentize policy keeper.js "$out/keeper.wasm"
  componentize pure-policy guard.js "$out/guard-pure.wasm"
  echo "$now" >"$out/sources"
  say "JavaScript: $(cd "$out" && wc -c *.wasm | awk '$2 != "total" { print $2, $1 }' | paste -sd' ') bytes"
}

# --sync: the contract's functions are synchronous. --stub-wasi: the engine's own wishes for a system come to nothing.
componentize() { "$componentize" --wit wit --world "$1" --js "$source/js/$2" --sync --stub-wasi --output "$3" >/dev/null; }

mkdir -p "$target"
case ${1:-} in
  --install) install_tools ;;
  '') ;;
  *) say "usage: examples/by-hand/build.sh [--install]"; exit 2 ;;
esac
build_c
build_js
