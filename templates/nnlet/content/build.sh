#!/usr/bin/env bash
# Makes .venv with what requirements.txt asks for, then runs nnlet in it: README.md says how.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

if ! cmp --silent requirements.txt .venv/requirements.txt; then
  "${PYTHON:-python3}" -m venv --clear .venv
  .venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
  cp requirements.txt .venv/
fi
if [[ ${1:-} == test ]]; then
  exec .venv/bin/python -m unittest discover -s tests "${@:2}"
fi
exec .venv/bin/nnlet "${@:-build}"
