#!/bin/bash
# Looks for what tests, the tour or a benchmark left in the kernel: mounts, attached loop devices, control groups,
# links, filter tables, processes, folders.
#
#   tests/leaks.sh record FILE    writes down what is there now
#   tests/leaks.sh compare FILE   fails if there is more now than FILE says, and names it
#   tests/leaks.sh show           prints what Berth has on this machine now
#
# Only what carries a name of Berth's is looked at, so that other work on the machine does not disturb; mounts and loop
# devices carry no name, there the backing path is looked at (target/, /tmp, /run/berth, anything with `berth` in it).
set -euo pipefail

# b and v + eight hexadecimal digits of the instance begin every link; see src/effects/linux/network.rs.
link='^[bv][0-9a-f]{8}'
place='berth|/target/'

mounts() {
  awk '{ print $5 }' /proc/self/mountinfo | grep -E "$place" | sed 's/^/mount /' || :
}

loops() {
  local device backing
  for device in /sys/block/loop*; do
    [ -r "$device/loop/backing_file" ] || continue
    read -r backing <"$device/loop/backing_file" || :
    # A device whose file is gone from every directory is known to the kernel but attached to something only we made.
    grep -qE "$place|^/tmp/" <<<"$backing" && echo "loop ${device##*/} $backing"
  done
  return 0
}

cgroups() {
  find /sys/fs/cgroup -mindepth 1 -type d -name '*berth-*' 2>/dev/null | sed 's/^/cgroup /' || :
}

links() {
  local path
  for path in /sys/class/net/*; do
    [[ ${path##*/} =~ $link ]] && echo "link ${path##*/}"
  done
  return 0
}

tables() {
  command -v nft >/dev/null || return 0
  { nft list tables 2>/dev/null || :; } | grep -F ' berth-' || :
}

# Shims, daemons and what they started: by the first word of the command line, which is set on purpose.
processes() {
  local status pid line
  for status in /proc/[0-9]*/cmdline; do
    pid=${status#/proc/} pid=${pid%/cmdline}
    line=$({ tr '\0' ' ' <"$status"; } 2>/dev/null) || continue
    case $line in
      berth\ *|*/berth\ daemon*|*/berth\ shim*) echo "process $pid $line" ;;
    esac
  done
}

folders() {
  find /tmp /run/berth -mindepth 1 -maxdepth 1 -name '*' 2>/dev/null | grep -E 'berth' | sed 's/^/folder /' || :
}

everything() { { mounts; loops; cgroups; links; tables; processes; folders; } | sort -u; }

case ${1:-} in
  show) everything ;;
  record) everything >"${2:?the file to write}" ;;
  compare)
    before=${2:?the file that record wrote}
    # The kernel takes a moment to let go of a loop device or a control group.
    for _ in 1 2 3 4 5 6 7 8 9 10; do
      left=$(everything | comm -13 "$before" -)
      [ -n "$left" ] || { echo "nothing is left behind"; exit 0; }
      sleep 0.5
    done
    printf 'left behind:\n%s\n' "$left" >&2
    exit 1
    ;;
  *) sed -n '2,12s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
