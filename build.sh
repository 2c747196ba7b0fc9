#!/usr/bin/env bash
# Sets up .venv where it is missing or its lock has changed, then runs the command `nnlet`.
#
#   ./build.sh              build the component; with --wasi p3, the one for WASI 0.3
#   ./build.sh up [...]     build what has changed, serve it, show how to ask it
#   ./build.sh test [...]   run every test; words go to pytest
#   ./build.sh WORD [...]   run nnlet WORD; ./build.sh --help lists them
#
# PYTHON names the Python to start from: 3.10 or newer, python3 by default.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

python=${PYTHON:-python3}
venv=.venv
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore

fail() {
  echo "Error: $*" >&2
  exit 1
}

# On a terminal, what is read becomes one line that changes.
show() {
  local line
  while IFS= read -r line; do
    if [[ -t 2 ]]; then printf '\r\033[K  %.*s' 76 "$line" >&2; fi
  done
  if [[ -t 2 ]]; then printf '\r\033[K' >&2; fi
}

make_venv() {
  command -v "$python" >/dev/null || fail "no $python: install Python 3.10 or newer"
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
    fail "$("$python" --version) is too old: name a Python 3.10 or newer, as in PYTHON=python3.12 $0"
  rm -rf "$venv"
  if ! "$python" -m venv "$venv" >/dev/null 2>&1; then
    # Debian keeps ensurepip in a package of its own; the system's pip can stand in for it.
    "$python" -m venv --clear --without-pip "$venv" ||
      fail "$python cannot make a venv: install python3-venv"
    "$python" -m pip install --quiet --require-hashes -r requirements/pip.txt \
      --target "$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" ||
      fail "$python has neither ensurepip nor pip: install python3-venv"
  fi
  touch "$venv/made"
}

# install NAME: have what requirements/NAME.txt locks, hashes checked.
install() {
  local lock=requirements/$1.txt stamp=$venv/$1.installed log=$venv/pip.log
  cmp --silent "$lock" "$stamp" && return
  echo "Installing $lock into $venv ..." >&2
  "$venv/bin/python" -m pip install --require-hashes --no-deps -r "$lock" 2>&1 |
    tee "$log" | show || fail "pip could not install $lock: $(tail -n 1 "$log")"
  cp "$lock" "$stamp"
}

[[ -x $venv/bin/python && -e $venv/made ]] || make_venv
install core
if [[ ! -x $venv/bin/nnlet ]]; then
  "$venv/bin/python" -m pip install --quiet --no-deps --no-build-isolation --editable .
fi

if [[ ${1:-} == test ]]; then
  install test
  exec "$venv/bin/python" -m pytest "${@:2}"
fi
[[ ${1:-} == --wasi* ]] && set -- build "$@"
exec "$venv/bin/nnlet" "${@:-build}"
