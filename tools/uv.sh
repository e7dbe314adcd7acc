#!/usr/bin/env bash
# uv for .venv: the one inside it, else the machine's.
cd "$(dirname "$0")/.."
export VIRTUAL_ENV="$PWD/.venv"
if [ -x .venv/bin/uv ]; then exec .venv/bin/uv "$@"; else exec uv "$@"; fi
