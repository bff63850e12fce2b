#!/bin/bash
# The log beside plain SQLite: its own harness prints ratios, so it is shown as it is.
. "$(dirname "$0")/lib.sh"
(cd "$project" && cargo bench -q --bench log) | tee "$BENCH_WORK/log.txt" >&2
note "$(printf 'the log, by cargo bench --bench log:\n\n'; sed 's/^/    /' "$BENCH_WORK/log.txt")"
