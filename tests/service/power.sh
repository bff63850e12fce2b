#!/bin/bash
# What the machine of the scenario "power" does in one life: says whether everything promised before is there, then works
# until its power is gone. It speaks in lines; power.py reads them.
#
#   power.sh PROGRAM LIFE PROMISES CHECKPOINT     PROMISES: a file with a line for each thing that was acknowledged
set -u
program=$1 life=$2 promises=$3 checkpoint=$4
disk=/dev/vdd place=/data
export BERTH_STATE=$place/state

berth() { "$program" --no-input "$@"; }
bad() { echo "bad $*"; }
# Runs a check; what it printed is told only if it fails.
holds() { local words; words=$("${@:2}" 2>&1) || bad "$1: $words"; }

mount_disk() {
  blkid $disk >/dev/null || mke2fs -q -t ext4 $disk
  mkdir -p $place
  mount $disk $place
}

# As on a fresh server: what mounts an overlay has the kernel load it, and nobody has by now.
start_daemon() {
  rmmod overlay 2>/dev/null || :
  "$program" daemon --key-dir $place/keys 2>>$place/daemon.log &
  local left
  for left in $(seq 600); do
    berth container start nobody-of-this-name >/dev/null 2>&1
    [ $? = 5 ] && return
    sleep 0.2
  done
  bad "the daemon does not answer: $(tail -n 20 $place/daemon.log)"
}

# Whatever was under way at the cut finishes, or is undone.
settle() {
  local left
  for left in $(seq 900); do
    [ -z "$(berth operation list --open -o name)" ] && return
    sleep 0.2
  done
  bad "operations do not come to an end: $(berth operation list --open)"
}

# --- is everything there? -----------------------------------------------------

promised_content() {
  local words
  berth container start "$1" >/dev/null || return 1
  words=$(berth exec -T "$1" -- cat /srv/mark) && [ "$words" = "$2" ] || { echo "it has '$words', not '$2'"; return 1; }
}

promised_label() { [ -n "$(berth container list "$1" --label "cut=$2" -o name)" ]; }

promised_backups() {
  local count; count=$(berth backup list "$1" -o name | wc -l)
  [ "$count" -ge "$2" ] || { echo "$count of $2 backups"; return 1; }
}

look_at_promises() {
  local kind name value
  [ -e "$promises" ] || bad "no $promises"
  while read -r kind name value; do
    case $kind in
      container) holds "$kind $name" berth container show "$name" ;;
      gone) [ -z "$(berth container list "$name" -o name)" ] || bad "$name is back" ;;
      content) holds "$kind of $name" promised_content "$name" "$value" ;;
      label) holds "$kind of $name" promised_label "$name" "$value" ;;
      backups) holds "$kind of $name" promised_backups "$name" "$value" ;;
      template) holds "$kind $name" berth template verify "$name" ;;
      schedule) holds "$kind $name" berth schedule show "$name" ;;
      *) bad "no such promise: $kind" ;;
    esac
  done <"$promises"
}

# Holds for whatever is there, promised or not: nothing is half a thing.
look_at_everything() {
  local name state folder
  holds 'the log' berth audit verify
  [ ! -s "$checkpoint" ] || holds 'the log against its checkpoint' berth audit verify --checkpoint "$checkpoint"
  while read -r name; do holds "backup $name" berth backup verify "$name"; done < <(berth backup list -o name)
  while read -r name; do
    read -r _ state _ < <(berth container show "$name")
    case $state in
      running) ;;
      stopped) holds "$name starts" berth container start "$name" ;;
      *) bad "$name is $state" ;;
    esac
  done < <(berth container list -o name)
  for folder in $place/state/containers/*/; do
    [ -d "$folder" ] || continue
    name=$(basename "$folder")
    berth container show "$name" >/dev/null 2>&1 || bad "files of no container: $folder"
  done
}

# --- work until the power is gone ---------------------------------------------

# Asks, acknowledged or not; the port has no buffer, so that what it took was said to somebody else.
ask() {
  local words
  echo "ask $*"
  if words=$(berth "$@" 2>&1); then echo "ack $*"; else echo "nak $*: $words"; fi
}

tree() {
  local root=$place/tree file
  mkdir -p $root/{bin,sbin,etc,srv,data}
  cp /usr/bin/busybox $root/bin/
  for file in sh cat sync sleep true; do ln -sf busybox $root/bin/$file; done
  ln -sf ../bin/busybox $root/sbin/init
  printf '::sysinit:/bin/true\n::respawn:/bin/sleep 1000\n' >$root/etc/inittab
  for file in $(seq 60); do head -c $((file * 700)) /dev/urandom >$root/data/$file; done
}

mark() { ask exec -T "$1" -- sh -c "echo $2 >/srv/mark; sync"; }

work() {
  local turn=0 name
  if [ "$life" = 1 ]; then
    tree
    ask template create bb --from-dir $place/tree
    ask store create main $place/store
  fi
  while true; do
    turn=$((turn + 1))
    name=c$life-$turn
    ask container create "$name" --template bb --disk 1G --autostart --start
    mark "$name" "first-$life-$turn"
    ask container set "$name" --label "cut=$life-$turn"
    ask backup run "$name"
    mark "$name" "second-$life-$turn"
    ask backup run "$name"
    ask backup restore "$name@latest" --to "r$life-$turn" --start
    mark "$name" "third-$life-$turn"
    berth audit checkpoint --to /tmp/checkpoint >/dev/null && echo "checkpoint $(base64 -w0 /tmp/checkpoint)"
    # It waits for an init to end; not each time, or most cuts would fall into that.
    [ $((turn % 3)) != 1 ] || ask backup restore "$name@latest" --in-place --yes
    ask template create "t$life-$turn" --from-dir $place/tree
    ask schedule create "s$life-$turn" --cron '0 3 * * *' --action backup --select all
    ask container stop "r$life-$turn" --kill
    ask container delete "r$life-$turn" --yes
    # What came before stays: not too much, the machine is slow.
    [ $turn -lt 2 ] || ask container stop "$name"
  done
}

mount_disk
echo "life $life"
start_daemon
settle
look_at_promises
look_at_everything
echo 'looked'
work
