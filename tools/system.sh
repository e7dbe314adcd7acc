#!/usr/bin/env bash
# What the tests need from the system: a browser, voices, Node.js. Installed when root on Debian, else asked for.
set -euo pipefail

packages=()
why=()
need() { # PROGRAM PACKAGE PURPOSE
    "$1" --version >/dev/null 2>&1 && return
    packages+=("$2")
    why+=("$3")
}
if [ -z "${CHROMIUM:-}" ]; then need chromium chromium "Chromium (people at browsers)"; fi
need espeak-ng espeak-ng "espeak-ng (their voices)"
need node nodejs "Node.js (a WebRTC client that is no browser)"
need npm npm "npm (to install that client)"
[ ${#packages[@]} = 0 ] && exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    printf 'Missing for the tests: %s.\n' "$(IFS=,; echo "${why[*]}" | sed 's/,/, /g')" >&2
    if command -v apt-get >/dev/null; then echo "Run: sudo apt-get install ${packages[*]}" >&2; fi
    exit 1
fi
echo "· installing ${packages[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq </dev/null >/dev/null
apt-get install -y -qq --no-install-recommends "${packages[@]}" </dev/null >/dev/null
