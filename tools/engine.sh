#!/usr/bin/env bash
# Build the engine (release) and put it into .venv.
set -euo pipefail
cd "$(dirname "$0")/.."

# The options replace the feature list of native/engine/pyproject.toml: both are named.
if ! pkg-config --exists openssl 2>/dev/null; then
    echo "· no OpenSSL headers here: building OpenSSL too, this takes some minutes more"
    export MATURIN_PEP517_ARGS="--features python,vendored-openssl"
fi
export PATH="$PWD/.venv/bin:$PATH" # maturin
tools/uv.sh pip install --quiet --no-deps --no-build-isolation --reinstall-package chorale-engine ./native/engine
