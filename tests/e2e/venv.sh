#!/usr/bin/env bash
# Makes the virtual environment of the end-to-end tests in target/venv. A second run needs no network.
set -euo pipefail
cd "$(dirname "$0")/../.."

venv=target/venv
wanted=tests/e2e/requirements.txt
cmp --silent "$wanted" "$venv/installed" && exit 0

# Debian splits the module off its Python.
if ! python3 -c 'import venv, ensurepip' 2>/dev/null; then
  install='apt-get install -y --no-install-recommends python3 python3-venv'
  if [[ $(id -u) != 0 ]]; then
    echo "venv: Python with venv is missing; as root run: $install" >&2
    exit 1
  fi
  apt-get update -qq && $install
fi
python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$wanted"
cp "$wanted" "$venv/installed"
