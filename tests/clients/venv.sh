#!/usr/bin/env bash
# Installs the clients: those in Python into target/clients, those in JavaScript beside their scripts. A second run needs no network.
set -euo pipefail
cd "$(dirname "$0")/../.."

venv=target/clients
wanted=tests/clients/requirements.txt
if ! cmp --silent "$wanted" "$venv/installed"; then
  # Debian splits the module off its Python.
  if ! python3 -c 'import venv, ensurepip' 2>/dev/null; then
    sdk/apt.sh install python3 python3-venv
  fi
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$wanted"
  cp "$wanted" "$venv/installed"
fi

node=tests/clients/node
if ! cmp --silent "$node/package-lock.json" "$node/node_modules/installed"; then
  command -v npm >/dev/null || sdk/apt.sh install nodejs npm
  # No package's own script runs: none is needed.
  npm ci --prefix "$node" --ignore-scripts --no-audit --no-fund --loglevel error
  cp "$node/package-lock.json" "$node/node_modules/installed"
fi
