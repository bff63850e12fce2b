#!/bin/bash
# First backup, backup with nothing changed, restore and verification of a Debian root inside a container, beside tar and,
# where they are installed, restic and borg. All three encrypt and authenticate what they store and compress it with zstd
# of a low level (ours 3, restic's "auto", borg's zstd,3); each first backup goes into an empty repository. Everything is in
# the page cache before the first time is taken; each figure is the middle of three, in a new repository or file system.
. "$(dirname "$0")/lib.sh"
tree=$BENCH_WORK/debian
fixture=$project/target/fixtures/debian.tar
mkdir -p "$tree"
if [ -e "$fixture" ]; then
  tar -xpf "$fixture" -C "$tree" --exclude=./dev
elif command -v mmdebstrap >/dev/null; then
  mmdebstrap --quiet --variant=minbase bookworm - | tar -xp -C "$tree" --exclude=./dev
else
  note "mmdebstrap is not installed: no figures of backups."
  exit 0
fi
entries=$(find "$tree" | wc -l)
note "the Debian root of the backups: $entries entries, $(du -sm --apparent-size "$tree" | cut -f1) MiB"

daemon_start
berth template create busybox --from-dir "$(busybox_root)" >/dev/null
berth container create data --template busybox --disk 8G --network none --start >/dev/null
tar -C "$tree" -c . | berth exec -T data -- /bin/tar -x -C /srv
berth container stop data --kill --yes >/dev/null

three() { # FILE PREPARATION COMMAND...: into FILE the middle of three
  local file=$1 before=$2 _; shift 2
  for _ in 1 2 3; do "$before"; time_of "$@"; done | median >"$BENCH_WORK/$file"
}
nothing() { :; }
read_all() { tar -C "$tree" -c . | cat >/dev/null; }
read_all

# What is restored goes to a new file system each time: ext4 is slow to make files where many were just removed, since it
# keeps from giving out their inodes again for some seconds, so whoever came second would pay for the first.
out=$BENCH_WORK/out
fresh() {
  mkdir -p "$out"
  umount -q "$out" || :
  rm -f "$BENCH_WORK/out.img"
  truncate -s 2G "$BENCH_WORK/out.img"
  mkfs.ext4 -q -E nodiscard "$BENCH_WORK/out.img"
  mount -o loop "$BENCH_WORK/out.img" "$out"
}
trap 'umount -q "$out" || :; tidy' EXIT

# --- ours: a store per first backup, since a second one in the same store would find everything there
: >"$BENCH_WORK/first"
for round in 1 2 3; do
  berth store create "main$round" "$BENCH_WORK/store$round" >/dev/null
  time_of berth backup run data --store "main$round" >>"$BENCH_WORK/first"
done
first=$(median <"$BENCH_WORK/first")
three again nothing berth backup run data --store main1
again=$(cat "$BENCH_WORK/again")
size=$(du -s --block-size=1 "$BENCH_WORK/store2" | cut -f1)
three verify nothing berth backup verify data@latest
verified=$(cat "$BENCH_WORK/verify")
restore=-
if three restore fresh berth backup restore data@latest --path /srv --into "$out"; then
  restore=$(cat "$BENCH_WORK/restore")
else
  note "the restore failed: no figures of it."
fi

# --- tar with zstd: no deduplication, no encryption, nothing incremental
three tar-first nothing tar --zstd --xattrs -C "$tree" -cf "$BENCH_WORK/tree.tar.zst" .
three tar-restore fresh tar --zstd --xattrs -xpf "$BENCH_WORK/tree.tar.zst" -C "$out"
row "first backup (command line)" "$first" "tar --zstd" "$(cat "$BENCH_WORK/tar-first")" -
[ "$restore" = - ] || row "restore of the tree" "$restore" "tar --zstd -x" "$(cat "$BENCH_WORK/tar-restore")" 0.77
row "size of the store, bytes" "$size" "tar.zst" "$(stat -c %s "$BENCH_WORK/tree.tar.zst")" -

peers='' # those that were measured
peer() { # NAME: its rows, from the files it left
  local name=$1; shift
  peers=$name
  row "first backup (command line)" "$first" "$name" "$(cat "$BENCH_WORK/$name-first")" "$1"
  row "backup, nothing changed (command line)" "$again" "$name" "$(cat "$BENCH_WORK/$name-again")" "$2"
  [ "$restore" = - ] || row "restore of the tree" "$restore" "$name" "$(cat "$BENCH_WORK/$name-restore")" "$3"
  row "verification, every byte read" "$verified" "$name" "$(cat "$BENCH_WORK/$name-verify")" "$4"
  row "size of the store, bytes" "$size" "$name" "$(cat "$BENCH_WORK/$name-size")" "$5"
}

# --- restic
if command -v restic >/dev/null; then
  export RESTIC_PASSWORD=bench RESTIC_REPOSITORY=$BENCH_WORK/restic RESTIC_CACHE_DIR=$BENCH_WORK/restic-cache
  anew() { rm -rf "$RESTIC_REPOSITORY" "$RESTIC_CACHE_DIR"; restic -q init --repository-version 2 >/dev/null; }
  three restic-first anew restic -q backup --compression auto "$tree"
  du -s --block-size=1 "$RESTIC_REPOSITORY" | cut -f1 >"$BENCH_WORK/restic-size"
  three restic-again nothing restic -q backup --compression auto "$tree"
  three restic-restore fresh restic -q restore latest --target "$out"
  three restic-verify nothing restic -q check --read-data
  peer restic 3 15 4 2 1
fi

# --- borg
if command -v borg >/dev/null; then
  export BORG_PASSPHRASE=bench BORG_REPO=$BENCH_WORK/borg BORG_BASE_DIR=$BENCH_WORK/borg-home
  export BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes BORG_RELOCATED_REPO_ACCESS_IS_OK=yes
  anew() { rm -rf "$BORG_REPO" "$BORG_BASE_DIR"; borg init --encryption repokey-blake2; }
  first_of_borg() { borg create --compression zstd,3 ::first "$tree"; }
  again_by_borg() { borg create --compression zstd,3 "::again-$(now)" "$tree"; }
  restore_by_borg() { (cd "$out" && borg extract ::first); }
  three borg-first anew first_of_borg
  du -s --block-size=1 "$BORG_REPO" | cut -f1 >"$BENCH_WORK/borg-size"
  three borg-again nothing again_by_borg
  three borg-restore fresh restore_by_borg
  three borg-verify nothing borg check --verify-data
  peer borg 4 25 - 4 -
fi

if [ -z "$peers" ]; then
  note "neither restic nor borg is installed: backups have no peer of their kind here."
  row "backup, nothing changed (command line)" "$again" - - -
  row "verification, every byte read" "$verified" - - -
fi
