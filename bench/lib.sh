# Shared by the measurements: the daemon under test, a busybox root, times, and rows of the table. Sourced, not run.
# shellcheck shell=bash
set -euo pipefail
project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
: "${BERTH:=$project/target/release/berth}" "${BENCH_WORK:?run by bench/run.sh}" "${BENCH_ROUNDS:=15}"
export BERTH_STATE=$BENCH_WORK/state
keys=$BENCH_WORK/keys

now() { local stamp=${EPOCHREALTIME/[.,]/}; echo "$stamp"; } # microseconds

# time_of COMMAND...: its time in microseconds; fails with it, and shows what it said only then.
time_of() {
  local begun ended
  begun=$(now)
  "$@" >"$BENCH_WORK/said" 2>&1 || { echo "failed: $*" >&2; cat "$BENCH_WORK/said" >&2; return 1; }
  ended=$(now)
  echo $((ended - begun))
}

# The middle of the numbers on standard input.
median() { sort -n | awk '{ all[NR] = $1 } END { if (NR) print all[int((NR + 1) / 2)] }'; }

# row WHAT OURS PEER THEIRS GOAL: times in microseconds (or bytes: less is better); GOAL is the ratio to reach or -.
row() { printf '%s\t%s\t%s\t%s\t%s\n' "$@" >>"$BENCH_WORK/rows"; }

# note TEXT: a line below the table.
note() { printf '%s\n' "$*" >>"$BENCH_WORK/notes"; }

berth() { "$BERTH" "$@"; }

# A read may be answered from the files; a change of what is not there is "not found" only where a daemon answers.
answers() { local code=0; berth container start nobody-of-this-name >/dev/null 2>&1 || code=$?; [ "$code" = 5 ]; }

daemon_start() {
  "$BERTH" daemon --key-dir "$keys" >>"$BENCH_WORK/daemon.log" 2>&1 &
  daemon=$!
  local _
  for _ in $(seq 2000); do
    if answers; then
      runtime=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["run_dir"])' "$BERTH_STATE/instance.json")
      return
    fi
    kill -0 "$daemon" 2>/dev/null || break
    sleep 0.01
  done
  echo "the daemon does not answer; its last words:" >&2
  tail -n 20 "$BENCH_WORK/daemon.log" >&2
  return 1
}

daemon_stop() {
  [ -n "${daemon:-}" ] || return 0
  kill -TERM "$daemon" 2>/dev/null || :
  wait "$daemon" 2>/dev/null || :
  daemon=''
}

# Takes away everything a measurement made, whatever happened.
tidy() {
  if [ -n "${daemon:-}" ] && kill -0 "$daemon" 2>/dev/null; then
    berth container stop '*' --kill --yes >/dev/null 2>&1 || :
    berth container delete '*' --grave 0s --yes >/dev/null 2>&1 || :
    berth container purge '*' --yes >/dev/null 2>&1 || :
    local network
    for network in $(berth network list -o name 2>/dev/null); do
      berth network delete "$network" --yes >/dev/null 2>&1 || :
    done
  fi
  daemon_stop
  # What ends with the boot is the instance's own folder below /run.
  [ -z "${runtime:-}" ] || rm -rf "$runtime"
  rm -rf "$BERTH_STATE" "$keys"
}
trap tidy EXIT

# A root of busybox alone, whose init ends at SIGUSR2 and has nothing to start.
busybox_root() {
  local root=$BENCH_WORK/busybox-root folder
  [ ! -d "$root" ] || { echo "$root"; return; }
  for folder in bin sbin etc proc sys dev run tmp root usr/bin srv; do mkdir -p "$root/$folder"; done
  cp "$(command -v busybox)" "$root/bin/busybox"
  "$root/bin/busybox" --list | while read -r name; do
    [ "$name" = busybox ] || ln -sf busybox "$root/bin/$name"
  done
  ln -sf ../bin/busybox "$root/sbin/init"
  echo 'root:x:0:0:root:/root:/bin/sh' >"$root/etc/passwd"
  echo 'root:x:0:' >"$root/etc/group"
  echo '::respawn:/bin/sleep 100000' >"$root/etc/inittab"
  echo "$root"
}

# Microseconds between two recorded facts of a container, the newest of each: the span without the command line.
between() { # CONTAINER KIND KIND
  berth container history "$1" -o json | python3 -c '
import datetime, json, sys
first, last = sys.argv[1:]
when = {row["kind"]: row["recorded_at"] for row in json.load(sys.stdin)["items"]}
read = lambda kind: datetime.datetime.fromisoformat(when[kind].replace("Z", "+00:00"))
print(int((read(last) - read(first)).total_seconds() * 1_000_000))' "$2" "$3"
}
