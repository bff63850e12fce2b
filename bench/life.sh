#!/bin/bash
# Create, start, exec and stop of one container, beside crun in the same root and the kernel's own work for a start.
. "$(dirname "$0")/lib.sh"
root=$(busybox_root)
daemon_start
berth template create busybox --from-dir "$root" >/dev/null

times=$BENCH_WORK/times
mkdir -p "$times"
limits=(--memory 256M --cpus 1 --pids 100)

# A machine that starts a container now and then: the kernel pays again for what it had ready from the step before
# (moves between control groups wait for a grace period). Both sides get the pause, outside of what is measured.
rest() { sleep 0.15; }

# crun's own specification, made to isolate as a container of ours does: a user namespace with a range of
# 65536 ids beside its other five and a cgroup namespace, and limits on memory, processor and processes.
crun_bundle() { # DIRECTORY plain|isolated
  mkdir -p "$1"
  (cd "$1" && crun spec)
  python3 - "$1/config.json" "$root" "$2" <<'P'
import json, sys
path, root, kind = sys.argv[1:]
spec = json.load(open(path))
spec["root"] = {"path": root, "readonly": False}
spec["process"].update(terminal=False, args=["/bin/sleep", "100000"])
spec["process"].pop("rlimits", None)
if kind == "isolated":
    linux = spec["linux"]
    there = [one["type"] for one in linux["namespaces"]]
    linux["namespaces"] += [{"type": one} for one in ("user", "cgroup") if one not in there]
    linux["uidMappings"] = linux["gidMappings"] = [{"containerID": 0, "hostID": 2000000000, "size": 65536}]
    linux.setdefault("resources", {}).update(
        memory={"limit": 256 << 20}, cpu={"quota": 100000, "period": 100000}, pids={"limit": 100})
json.dump(spec, open(path, "w"))
P
}

crun_round() { # plain|isolated NUMBER
  local name=berth-bench-$1-$2
  cd "$BENCH_WORK/crun-$1"
  rest
  # Its output must not go to a pipe: the detached program would hold it open.
  time_of crun run -d "$name" </dev/null >>"$times/crun-$1-start" || return 1
  rest
  time_of crun exec "$name" /bin/true >>"$times/crun-$1-exec"
  time_of crun delete -f "$name" >>"$times/crun-$1-stop"
}

berth_round() { # NUMBER
  local name=bench$1
  time_of berth container create "$name" --template busybox --disk 1G --network none "${limits[@]}" >>"$times/create"
  rest
  time_of berth container start "$name" >>"$times/start-cli"
  between "$name" StartRequested ContainerStarted >>"$times/start"
  rest
  time_of berth exec -T "$name" -- /bin/true >>"$times/exec"
  time_of berth container stop "$name" --kill --yes >>"$times/stop"
  [ -e "$times/network" ] || return 0
  rest
  berth container start benchnet >/dev/null
  between benchnet StartRequested ContainerStarted >>"$times/start-net"
  berth container stop benchnet --kill --yes >/dev/null
}

# Turn by turn, so that whatever else the machine does meets both sides.
measure() {
  # A hybrid host: crun wants version 1 alone or version 2 alone, so it gets a view without the unified tree.
  ! mountpoint -q /sys/fs/cgroup/unified || umount /sys/fs/cgroup/unified
  local round
  for round in $(seq "$BENCH_ROUNDS"); do
    berth_round "$round"
    time_of "$BERTH" --version >>"$times/version"
    time_of berth container list >>"$times/list"
    [ ! -e "$times/crun" ] || crun_round plain "$round" || rm -f "$times/crun"
    [ ! -e "$times/crun" ] || crun_round isolated "$round" || rm -f "$times/crun"
  done
}

if berth container create benchnet --template busybox --disk 1G "${limits[@]}" >/dev/null 2>&1; then
  : >"$times/network"
fi
if command -v crun >/dev/null; then
  # A root of another user namespace must be able to reach the files.
  chmod 711 "$BENCH_WORK" "$(dirname "$BENCH_WORK")"
  crun_bundle "$BENCH_WORK/crun-plain" plain
  crun_bundle "$BENCH_WORK/crun-isolated" isolated
  : >"$times/crun"
fi
export -f measure berth_round crun_round rest time_of now between berth
export root times BENCH_WORK BENCH_ROUNDS BERTH BERTH_STATE
export limits_text="${limits[*]}"
# An array is not exported: it is read again from its text.
unshare -m --propagation private bash -euo pipefail -c 'read -ra limits <<<"$limits_text"; measure'

middle() { median <"$times/$1"; }

copy=$(for _ in $(seq 5); do
  rm -rf "$BENCH_WORK/copy"; time_of cp -a "$root" "$BENCH_WORK/copy"
done | median)
row "create, own ext4 disk (command line)" "$(middle create)" "cp -a of the root, no limit, no log" "$copy" -

if [ -e "$times/crun" ]; then
  same=$(middle crun-isolated-start)
  row "start: request recorded to exec recorded, disk mounted" "$(middle start)" "crun run -d, same isolation, no disk" "$same" 1
  [ ! -s "$times/start-net" ] ||
    row "the same with an address on a NAT network" "$(middle start-net)" "crun run -d, the same, no network" "$same" 1
  row "start (command line)" "$(middle start-cli)" "crun run -d, the same" "$same" 1
  row "start (command line)" "$(middle start-cli)" "crun run -d as crun spec has it: no user namespace, no limits" \
    "$(middle crun-plain-start)" -
  row "exec true (command line)" "$(middle exec)" "crun exec, same isolation" "$(middle crun-isolated-exec)" 1
  row "exec true (command line)" "$(middle exec)" "crun exec, no user namespace" "$(middle crun-plain-exec)" -
  row "kill and clear (command line)" "$(middle stop)" "crun delete -f, same isolation" "$(middle crun-isolated-stop)" -
  note "crun has no disk of its own, no supervisor that outlives its caller, and records nothing."
else
  note "crun is not here or does not work on this machine: start, exec and stop have no peer here."
  row "start: request recorded to exec recorded" "$(middle start)" - - -
fi
row "berth --version" "$(middle version)" - - -
row "container list (command line)" "$(middle list)" "to reach" 15000 1

# The least that this start can cost here: the same kernel work in one process, without daemon, log and supervisor.
(cd "$project" && cargo bench -q --bench start -- "$root" "$BENCH_ROUNDS") >"$times/floor"
floor=$(awk -F'\t' '$2 == "whole" { print $1 }' "$times/floor")
row "start, beside the kernel's own work for it" "$(middle start)" "loop device, mount, group, clone, overlay, exec" "$floor" -
note "$(printf 'the floor, by cargo bench --bench start (microseconds):\n\n'; sed 's/^/    /' "$times/floor")"
