#!/bin/bash
# Create, start, exec and stop of one container, beside crun in the same root and, where they are, podman and the bare copy.
. "$(dirname "$0")/lib.sh"
root=$(busybox_root)
daemon_start
berth template create busybox --from-dir "$root" >/dev/null

rounds=$BENCH_ROUNDS
: >"$BENCH_WORK/create"; : >"$BENCH_WORK/start"; : >"$BENCH_WORK/start-cli"; : >"$BENCH_WORK/start-net"
: >"$BENCH_WORK/exec"; : >"$BENCH_WORK/stop"
for round in $(seq "$rounds"); do
  name=bench$round
  time_of berth container create "$name" --template busybox --disk 1G --network none >>"$BENCH_WORK/create"
  time_of berth container start "$name" >>"$BENCH_WORK/start-cli"
  between "$name" StartRequested ContainerStarted >>"$BENCH_WORK/start"
  time_of berth exec -T "$name" -- /bin/true >>"$BENCH_WORK/exec"
  time_of berth container stop "$name" --kill --yes >>"$BENCH_WORK/stop"
done
if berth container create benchnet --template busybox --disk 1G >/dev/null 2>&1; then
  for _ in $(seq "$rounds"); do
    berth container start benchnet >/dev/null
    between benchnet StartRequested ContainerStarted >>"$BENCH_WORK/start-net"
    berth container stop benchnet --kill --yes >/dev/null
  done
fi

# --- peers --------------------------------------------------------------------

copy=$(for _ in $(seq 5); do
  rm -rf "$BENCH_WORK/copy"; time_of cp -a "$root" "$BENCH_WORK/copy"
done | median)
row "create, own ext4 disk (command line)" "$(median <"$BENCH_WORK/create")" "cp -a of the root, no limit, no log" "$copy" -

# crun: detached, so that the call returns when the program runs, as our start does. Its own user namespace too.
peer=$BENCH_WORK/crun
mkdir -p "$peer"
measure_crun() {
  # A hybrid host: crun wants version 1 alone or version 2 alone, so it gets a view without the unified tree.
  mountpoint -q /sys/fs/cgroup/unified && umount /sys/fs/cgroup/unified
  cd "$peer" && rm -f config.json && crun spec
  python3 - "$root" <<'P'
import json, sys
spec = json.load(open("config.json"))
spec["root"] = {"path": sys.argv[1], "readonly": False}
spec["process"].update(terminal=False, args=["/bin/sleep", "100000"])
spec["process"].pop("rlimits", None)
json.dump(spec, open("config.json", "w"))
P
  local round
  for round in $(seq "$BENCH_ROUNDS"); do
    # Its output must not go to a pipe: the detached program would hold it open.
    time_of crun run -d "berth-bench-$round" </dev/null >>"$peer/start" || return 1
    time_of crun exec "berth-bench-$round" /bin/true >>"$peer/exec"
    time_of crun delete -f "berth-bench-$round" >>"$peer/stop"
  done
}
if command -v crun >/dev/null; then
  export -f measure_crun time_of now
  export root peer BENCH_WORK BENCH_ROUNDS
  if unshare -m --propagation private bash -euo pipefail -c measure_crun; then
    start=$(median <"$peer/start")
    row "start: request recorded to exec recorded, disk mounted" "$(median <"$BENCH_WORK/start")" "crun run -d" "$start" 1
    [ ! -s "$BENCH_WORK/start-net" ] ||
      row "the same with an address on a NAT network" "$(median <"$BENCH_WORK/start-net")" "crun run -d, no network" "$start" 1
    row "start (command line)" "$(median <"$BENCH_WORK/start-cli")" "crun run -d" "$start" 1
    row "exec true (command line)" "$(median <"$BENCH_WORK/exec")" "crun exec" "$(median <"$peer/exec")" 1
    row "kill and clear (command line)" "$(median <"$BENCH_WORK/stop")" "crun delete -f" "$(median <"$peer/stop")" -
    note "crun has no disk of its own, no supervisor that outlives its caller, and records nothing."
  else
    note "crun does not work on this machine: start, exec and stop have no peer here."
    row "start: request recorded to exec recorded" "$(median <"$BENCH_WORK/start")" - - -
  fi
else
  note "crun is not installed: start, exec and stop have no peer here."
  row "start: request recorded to exec recorded" "$(median <"$BENCH_WORK/start")" - - -
fi

# The least that a start can cost: all namespaces, one program.
floor=$(for _ in $(seq "$rounds"); do time_of unshare -mupinC --fork /bin/true; done | median)
row "start, floor: unshare of all namespaces and true" "$(median <"$BENCH_WORK/start")" "unshare" "$floor" -
