#!/usr/bin/env bash
# Makes sure that there is a Rust that compiles to wasm32-unknown-unknown, and says in .toolchain/paths which one.
#
#   sdk/toolchain.sh                                  what is installed, else `rustup target add`, else Debian's packages
#   AIRLOCK_WASM_TOOLCHAIN=debian sdk/toolchain.sh    what is installed, else Debian's packages at once
#
# The Debian way needs nothing but Debian's package registry: it installs rustc-web and its library sources and builds
# the standard library for Wasm once (about a minute) into .toolchain/. Nothing outside of that folder is written, except
# by apt-get. A second run takes a fraction of a second.
set -euo pipefail

target=wasm32-unknown-unknown
project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
home=$project/.toolchain

say() { printf 'toolchain: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

# Whether a rustc finds the standard library of the target.
has_target() {
  local libs
  libs=$("$1" --print target-libdir --target "$target" 2>/dev/null) && compgen -G "$libs/libstd-*.rlib" >/dev/null
}

# Tells `airlock-build` what to run. Relative paths start at .toolchain, so that the project can be moved.
write_paths() {
  mkdir -p "$home"
  printf 'cargo=%s\nrustc=%s\n' "$1" "$2" >"$home/paths.new"
  mv "$home/paths.new" "$home/paths"
}

use_installed() {
  command -v cargo >/dev/null && command -v rustc >/dev/null && has_target rustc || return 1
  write_paths cargo rustc
  say "using the installed $(rustc --version), which has $target"
}

# An upgrade of Debian's compiler makes the standard library that was built with its predecessor useless.
use_earlier() {
  [[ -x $home/bin/rustc && -f $home/built-with ]] || return 1
  [[ $(cat "$home/built-with") == "$(/usr/bin/rustc -vV 2>/dev/null)" ]] && has_target "$home/bin/rustc" || return 1
  write_paths /usr/bin/cargo bin/rustc
  say "ready: $("$home/bin/rustc" --version) with $target in .toolchain"
}

use_rustup() {
  command -v rustup >/dev/null || return 1
  say "rustup target add $target ..."
  # One attempt, because without a connection each further one only costs time.
  RUSTUP_MAX_RETRIES=0 timeout 120 rustup target add "$target" >/dev/null 2>&1 || {
    say "rustup cannot fetch the target; falling back to Debian's packages"
    return 1
  }
  use_installed
}

install_packages() {
  # Any lld links Wasm: the newest that the release has, if not the one that its rustc-web was built with.
  "$project/sdk/apt.sh" install rustc-web cargo-web rust-web-src 'lld-22|lld-*|lld' || exit 1
}

build_std() {
  local host linker sources scratch=$home/build sysroot=$home/sysroot
  host=$(/usr/bin/rustc -vV | sed -n 's/^host: //p')
  linker=$(compgen -G '/usr/lib/llvm-*/bin/lld' | sort -V | tail -n 1) || fail "no lld in /usr/lib/llvm-*/bin"
  sources=$(readlink -f /usr/lib/rustlib/src/rust)
  say "building the standard library for $target with $(/usr/bin/rustc --version), once, about a minute ..."
  rm -rf "$home"
  mkdir -p "$scratch/src" "$home/bin" "$sysroot/lib/rustlib/$target/lib" "$sysroot/lib/rustlib/$host/bin"

  : >"$scratch/src/lib.rs"
  printf '[package]\nname = "stdbuild"\nversion = "0.0.0"\nedition = "2024"\n[workspace]\n' >"$scratch/Cargo.toml"
  # Bitcode, because policies are built with link-time optimisation. The prefixes and the vendored sources, so that panics
  # name no path of this machine.
  (cd "$scratch" && env -u CARGO_TARGET_DIR -u CARGO_ENCODED_RUSTFLAGS RUSTC_WRAPPER= RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 \
    RUSTFLAGS="-Cembed-bitcode=yes --remap-path-prefix=/usr/lib/rustlib/src/rust=/rustc --remap-path-prefix=$sources=/rustc" CARGO_PROFILE_RELEASE_PANIC=abort \
    /usr/bin/cargo build --release --offline --target "$target" -Z build-std=std,panic_abort \
      --config 'source.crates-io.replace-with="vendored"' --config "source.vendored.directory='$sources/library/vendor'" >&2)
  rm -f "$scratch/target/$target/release/deps"/libstdbuild*
  cp "$scratch/target/$target/release/deps"/*.rlib "$sysroot/lib/rustlib/$target/lib/"
  rm -rf "$scratch"

  # Build scripts and procedural macros of a policy run on the host and use its own library.
  ln -s "/usr/lib/rustlib/$host/lib" "$sysroot/lib/rustlib/$host/lib"
  ln -s "$linker" "$sysroot/lib/rustlib/$host/bin/rust-lld"
  printf '#!/bin/sh\nexec /usr/bin/rustc --sysroot "${0%%/*}/../sysroot" "$@"\n' >"$home/bin/rustc"
  chmod +x "$home/bin/rustc"
  # Crates compiled against an earlier library do not link with this one.
  rm -rf "$project/target/guest"
  /usr/bin/rustc -vV >"$home/built-with"
}

use_earlier && exit
use_installed && exit
if [[ ${AIRLOCK_WASM_TOOLCHAIN:-} != debian ]]; then
  use_rustup && exit
fi
command -v apt-get >/dev/null || fail "no Rust for $target: install one with \`rustup target add $target\`"
install_packages
build_std
use_earlier || fail "the new standard library does not work: remove $home and try again"
