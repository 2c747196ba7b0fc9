#!/usr/bin/env bash
# Locks pyproject.toml's dependencies into the files beside this script, hashes included, for
# Python 3.10 and newer. Needs uv. Versions stay as they are unless --upgrade is given:
#
#   requirements/lock.sh [--upgrade]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

lock() {  # lock FILE OPTION...: resolve into requirements/FILE.txt
  local file=requirements/$1.txt
  shift
  uv pip compile --quiet --universal --python-version 3.10 --generate-hashes \
    --no-emit-index-url --no-emit-find-links --no-annotate \
    --custom-compile-command requirements/lock.sh "$@" --output-file "$file"
}

# One resolution of everything that shares a .venv; the others take their versions from it.
# uv keeps the versions that it finds in the file to write.
cat requirements/{core,test,bench,train,catboost,bart}.txt >requirements/all.txt 2>/dev/null || true
lock all pyproject.toml --extra setup --extra host --extra test --extra bench \
  --extra sklearn --extra xgboost --extra lightgbm --extra catboost --extra bart \
  --extra statsmodels "$@"
lock core pyproject.toml --extra setup --constraints requirements/all.txt "$@"
lock host pyproject.toml --extra host --constraints requirements/all.txt "$@"
lock chart pyproject.toml --extra chart --constraints requirements/all.txt "$@"
lock test pyproject.toml --extra host --extra test --extra sklearn --extra xgboost --extra lightgbm \
  --extra statsmodels --constraints requirements/all.txt "$@"
lock bench pyproject.toml --extra host --extra bench --constraints requirements/all.txt "$@"
for library in sklearn xgboost lightgbm catboost bart statsmodels; do
  lock $library pyproject.toml --extra $library --constraints requirements/all.txt "$@"
done
lock keras pyproject.toml --extra keras --constraints requirements/all.txt "$@"
lock train pyproject.toml --extra train --constraints requirements/all.txt "$@"
lock pip "$@" - <<<pip

# The servers that benchmarks/ compares with: a venv each, with the same onnxruntime as ours.
mkdir -p requirements/peers
sed -n 's/^\(\(onnxruntime\|numpy\|orjson\)==.*\) \\$/\1/p' requirements/all.txt >requirements/ours.txt
for peer in functions-framework kserve mlserver litserve bentoml; do
  printf '%s\n' "$peer" onnxruntime orjson |
    lock "peers/$peer" - --constraints requirements/ours.txt "$@"
done
rm requirements/all.txt requirements/ours.txt
