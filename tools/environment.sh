#!/usr/bin/env bash
# Make .venv with the Python that tools/doctor.sh finds, and see to it that there is a uv.
set -euo pipefail
cd "$(dirname "$0")/.."

python=$(tools/doctor.sh)
if uv --version >/dev/null 2>&1; then
    uv venv --quiet --clear --no-project --python "$python" .venv
else
    "$python" -m venv --clear .venv
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-uv.txt
fi
echo "· $(.venv/bin/python --version) in .venv"
