#!/bin/bash
# How long a killed daemon takes to answer again with 1,000 containers (BENCH_CONTAINERS), beside one with none.
. "$(dirname "$0")/lib.sh"
count=${BENCH_CONTAINERS:-1000}
root=$(busybox_root)
daemon_start
berth template create busybox --from-dir "$root" >/dev/null

again() { # until it answers, after a kill that gives it no time to write anything
  kill -KILL "$daemon"
  wait "$daemon" 2>/dev/null || :
  local begun; begun=$(now)
  daemon_start
  echo $(($(now) - begun)) >>"$BENCH_WORK/again" # not by a pipe: the daemon must stay a child of this shell
}
five() { : >"$BENCH_WORK/again"; local _; for _ in 1 2 3 4 5; do again; done; }

five
empty=$(median <"$BENCH_WORK/again")
for number in $(seq "$count"); do
  berth container create "many$number" --template busybox --disk-kind directory --network none --no-wait >/dev/null
done
while [ "$(berth operation list --open -o name | wc -l)" -gt 0 ]; do sleep 0.5; done
five
row "recovery with $count containers, from kill -9 to an answer" "$(median <"$BENCH_WORK/again")" "with none" "$empty" -
