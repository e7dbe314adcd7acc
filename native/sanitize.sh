#!/usr/bin/env bash
# The tests of engine, sfu and simulation under AddressSanitizer, leaks included: bash native/sanitize.sh [cargo test's ARGUMENTS]
#
# The stable toolchain has the sanitizer's runtime and, told that it may, its flag. With --target, build scripts and macros
# are not instrumented. Everything it builds is in target/sanitize. Chance has less to say here (SEEDS), for under the
# sanitizer each step takes several times as long; the fuzzer sees to the rest.
set -euo pipefail
cd "$(dirname "$0")"
limit=${LIMIT:-1500} # seconds: built from nothing on a busy machine it takes less, so what takes more hangs

host=$(rustc -vV | sed -n 's/^host: //p')
features=()
if ! pkg-config --exists openssl; then
  features=(--features engine/vendored-openssl)
fi

export RUSTC_BOOTSTRAP=1
export RUSTFLAGS="${RUSTFLAGS:-} -Zsanitizer=address"
export CARGO_PROFILE_DEV_OPT_LEVEL=1
export CARGO_PROFILE_DEV_DEBUG=line-tables-only
export ASAN_OPTIONS="detect_leaks=1:${ASAN_OPTIONS:-}"
export SEEDS="${SEEDS:-15}"
exec timeout --kill-after=10 "$limit" cargo test --quiet --locked --lib --tests -p engine -p sfu -p simulation "${features[@]}" \
  --target "$host" --target-dir target/sanitize "$@"
