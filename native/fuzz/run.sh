#!/usr/bin/env bash
# Fuzz every target for SECONDS (3 unless told): bash native/fuzz/run.sh [SECONDS] [TARGET...]
#
# Needs neither cargo-fuzz nor a nightly toolchain: libFuzzer comes with a crate, and the coverage counters are asked of
# LLVM. What the targets fuzz forbids unsafe code, so no sanitizer is needed. What was found interesting stays in corpus/,
# an input that crashes in crashes/; run one again with target/HOST/release/TARGET FILE.
set -euo pipefail
cd "$(dirname "$0")"
seconds=${1:-3}
shift || true

if ! command -v c++ > /dev/null; then
  echo "fuzz: libFuzzer is C++; install a C++ compiler (Debian: apt-get install g++)" >&2
  exit 1
fi

host=$(rustc -vV | sed -n 's/^host: //p')
counters="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
  -Cllvm-args=-sanitizer-coverage-trace-compares"
# With --target, flags are for the targets alone and not for build scripts.
RUSTFLAGS="${RUSTFLAGS:-} ${counters//$'\n'/ }" cargo build --quiet --release --locked --target "$host"

targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
  targets=(targets/*.rs)
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
failed=0
for target in "${targets[@]}"; do
  target=$(basename "$target" .rs)
  mkdir -p "corpus/$target" crashes
  verdict=ok
  "target/$host/release/$target" "corpus/$target" -max_total_time="$seconds" -max_len=4096 -len_control=20 -timeout=10 \
    -rss_limit_mb=1024 -artifact_prefix="crashes/$target-" -print_final_stats=1 > "$log" 2>&1 || verdict=FAILED
  runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  covered=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)
  printf '%-8s %10s executions  %6s edges  %s\n' "$target" "${runs:-?}" "${covered:-?}" "$verdict"
  if [ "$verdict" != ok ]; then
    failed=1
    grep -v '^#' "$log" | tail -n 40
  fi
done
exit "$failed"
