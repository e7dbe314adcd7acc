#!/usr/bin/env bash
# What the tests need from the system: browsers, voices, Node.js, GStreamer. Installed when root on Debian, else asked for.
set -euo pipefail

packages=()
why=()
need() { # PROGRAM PACKAGE PURPOSE
    "$1" --version >/dev/null 2>&1 && return
    packages+=("$2")
    why+=("$3")
}
# Whether the system's Python has GStreamer's bindings, and GStreamer what a call by tests/clients/gstreamer_whip.py takes.
gstreamer() {
    /usr/bin/python3 - >/dev/null 2>&1 <<'PYTHON'
import gi

for name in ("Gst", "GstSdp", "GstWebRTC"):
    gi.require_version(name, "1.0")
from gi.repository import Gst, GstSdp, GstWebRTC

Gst.init(None)
elements = "webrtcbin nicesrc dtlsdec srtpdec rtpopuspay opusenc rawaudioparse clocksync audioresample filesink"
assert all(map(Gst.ElementFactory.find, elements.split()))
PYTHON
}
if [ -z "${CHROMIUM:-}" ]; then need chromium chromium "Chromium (people at browsers)"; fi
command -v firefox >/dev/null || need firefox-esr firefox-esr "Firefox (a browser of another kind)"
need espeak-ng espeak-ng "espeak-ng (their voices)"
need node nodejs "Node.js (WebRTC clients that are no browsers)"
need npm npm "npm (to install those clients)"
if ! gstreamer; then
    packages+=(gstreamer1.0-plugins-{base,good,bad} gstreamer1.0-nice python3-gst-1.0 gir1.2-gst-plugins-bad-1.0)
    why+=("GStreamer and its Python bindings (a WebRTC client)")
fi
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
