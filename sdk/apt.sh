#!/usr/bin/env bash
# Installs Debian packages, for scripts that need some.
#
#   sdk/apt.sh install NAME...         each NAME; NAME|OTHER|... takes the first that the release has
#
# What is installed already costs nothing and needs no network. Package lists may be older than the packages, or not there at
# all: they are fetched once if a package has no candidate in them, or if installing fails, since packages that were
# replaced by newer ones cannot be fetched any more. A name with a `*` stands for the newest version that fits (lld-*).
set -euo pipefail

say() { printf 'packages: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

installed() { [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) == installed ]]; }

# apt-cache says "Candidate: (none)" of names that it knows and cannot install, and nothing of unknown ones.
has_candidate() {
  local candidate
  candidate=$(LC_ALL=C apt-cache policy "$1" 2>/dev/null | sed -n 's/^ *Candidate: *//p')
  [[ -n $candidate && $candidate != '(none)' ]]
}

# The names that a name with a `*` stands for, the newest version first: lld-19, lld-14, ...
names() {
  case $1 in
    *'*') apt-cache pkgnames "${1%'*'}" 2>/dev/null | grep -E "^${1%'*'}[0-9.]+$" | sort -rV ;;
    *) printf '%s\n' "$1" ;;
  esac
}

# Prints which of the alternatives NAME|OTHER to take; nothing if it is installed. Fails if the release has none.
choose() {
  local alternatives alternative name
  IFS='|' read -ra alternatives <<<"$1"
  for alternative in "${alternatives[@]}"; do
    for name in $(names "$alternative"); do installed "$name" && return 0; done
  done
  for alternative in "${alternatives[@]}"; do
    for name in $(names "$alternative"); do has_candidate "$name" && { printf '%s\n' "$name"; return 0; }; done
  done
  return 1
}

# Fills `wanted` with what is to be installed, `unknown` with what has no candidate.
plan() {
  wanted=() unknown=()
  local spec name
  for spec in "$@"; do
    if name=$(choose "$spec"); then
      [[ -z $name ]] || wanted+=("$name")
    else
      unknown+=("$spec")
    fi
  done
}

update() {
  say "apt-get update ..."
  apt-get update -qq || say "apt-get update failed: trying with the lists that are there"
  updated=1
}

install() { apt-get install -qq -y --no-install-recommends "${wanted[@]}" >/dev/null; }

[[ ${1:-} == install && $# -ge 2 ]] || fail "usage: sdk/apt.sh install NAME[|OTHER]..."
shift
updated=
plan "$@"
((${#wanted[@]} + ${#unknown[@]})) || exit 0
if ((EUID != 0)) && [[ -z ${AIRLOCK_APT_UNPRIVILEGED:-} ]]; then
  fail "run this once, then try again:  sudo $0 install $(printf "'%s' " "$@")"
fi
export DEBIAN_FRONTEND=noninteractive
if ((${#unknown[@]})); then
  update
  plan "$@"
fi
((${#unknown[@]} == 0)) || fail "this release has no ${unknown[*]}: look at the sources in /etc/apt (Debian 12 or newer, with its security updates, has them), and whether 'apt-get update' succeeds"
((${#wanted[@]})) || exit 0
say "apt-get install ${wanted[*]} ..."
install && exit
if [[ -z $updated ]]; then
  update
  install && exit
fi
fail "apt-get cannot install ${wanted[*]}: see what it said above, repair that (network, full disk, held or broken packages: apt-get -f install), then try again"
