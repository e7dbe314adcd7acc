#!/usr/bin/env bash
# Is everything here that building needs? Prints the Python to use, or one sentence for each thing that is missing.
set -uo pipefail
cd "$(dirname "$0")/.."

missing=0
lack() {
    echo "Missing: $*" >&2
    missing=1
}
debian() { # the same advice, shorter where the package manager is known
    if command -v apt-get >/dev/null; then echo "apt-get install $1"; else echo "install $2"; fi
}
at_least() { # VERSION MINIMUM
    [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n1)" = "$2" ]
}

# Version managers put programs on the path that only say they are not installed: each is asked, not just found.
python=
for each in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11 python; do
    if found=$("$each" -c 'import sys; assert sys.version_info >= (3, 11); print(sys.executable)' 2>/dev/null); then
        python=$found
        break
    fi
done
if [ -z "$python" ]; then
    lack "Python 3.11 or newer; $(debian 'python3 python3-venv python3-dev' 'it from python.org')."
else
    if ! uv --version >/dev/null 2>&1 && ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
        lack "Python's venv module; $(debian python3-venv 'the venv part of your Python')."
    fi
    header=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h
    [ -e "$header" ] || lack "Python's C headers; $(debian python3-dev 'the development part of your Python')."
fi

command -v "${CC:-cc}" >/dev/null || lack "a C compiler; $(debian build-essential 'gcc or clang')."

needed=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' native/Cargo.toml)
if ! cargo --version >/dev/null 2>&1 || ! rustc --version >/dev/null 2>&1; then
    lack "Rust $needed or newer (cargo and rustc); install it by rustup, see rustup.rs."
else
    present=$(rustc --version | cut -d' ' -f2)
    at_least "${present%%-*}" "$needed" || lack "Rust $needed or newer, this one is $present; run: rustup update stable"
fi

# Without the system's OpenSSL the engine builds its own, which is configured by a Perl script.
if ! pkg-config --exists openssl 2>/dev/null; then
    perl -MFindBin -MIPC::Cmd -MFile::Compare -e 1 2>/dev/null ||
        lack "OpenSSL, or Perl to build it with; $(debian 'libssl-dev pkg-config' 'the OpenSSL headers and pkg-config, or Perl')."
fi

[ "$missing" = 0 ] || exit 1
echo "$python"
