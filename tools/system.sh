#!/usr/bin/env bash
# What the tests need from the system: browsers, voices, Node.js, GStreamer, a TURN server. Installed when root on Debian, else asked for.
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
need firefox-esr firefox-esr "Firefox"
need_file() { # FILE PACKAGE PURPOSE
    compgen -G "$1" >/dev/null && return
    packages+=("$2")
    why+=("$3")
}
need_file "/*bin/ip" iproute2 "ip (a network that swallows voice)"
need_file /usr/bin/turnserver coturn "coturn (a way in for whom everything else is blocked)"
# GStreamer with its Python bindings, which are of the system's Python.
libraries=/usr/lib/*-linux-gnu
need_file "$libraries/gstreamer-1.0/libgstopus.so" gstreamer1.0-plugins-base "GStreamer"
need_file "$libraries/gstreamer-1.0/libgstrtpmanager.so" gstreamer1.0-plugins-good "its plugins for RTP"
need_file "$libraries/gstreamer-1.0/libgstwebrtc.so" gstreamer1.0-plugins-bad "its plugins for WebRTC"
need_file "$libraries/gstreamer-1.0/libgstnice.so" gstreamer1.0-nice "its ICE"
need_file /usr/lib/python3/dist-packages/gi/overrides/Gst.py python3-gst-1.0 "its Python bindings"
need_file "$libraries/girepository-1.0/GstWebRTC-1.0.typelib" gir1.2-gst-plugins-bad-1.0 "their description of WebRTC"
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
