#!/usr/bin/env bash
# Makes the virtual environment of the conformance matrix in target/conformance. A second run needs no network.
set -euo pipefail
cd "$(dirname "$0")/../.."

venv=target/conformance
wanted=tests/conformance/requirements.txt
cmp --silent "$wanted" "$venv/installed" && exit 0

# Debian splits the module off its Python.
if ! python3 -c 'import venv, ensurepip' 2>/dev/null; then
  sdk/apt.sh install python3 python3-venv
fi
python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$wanted"
cp "$wanted" "$venv/installed"
