#!/bin/bash
# First backup, backup with nothing changed, and restore of a Debian root inside a container, beside tar and, where it is
# installed, restic. Everything is in the page cache before the first time is taken; each figure is the middle of three.
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

fresh() { rm -rf "$BENCH_WORK/out"; mkdir "$BENCH_WORK/out"; }

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
restore=-
if three restore fresh berth backup restore data@latest --path /srv --into "$BENCH_WORK/out"; then
  restore=$(cat "$BENCH_WORK/restore")
else
  note "the restore failed: no figures of it."
fi

# --- tar with zstd: no deduplication, no encryption, nothing incremental
three tar-first nothing tar --zstd --xattrs -C "$tree" -cf "$BENCH_WORK/tree.tar.zst" .
three tar-restore fresh tar --zstd --xattrs -xpf "$BENCH_WORK/tree.tar.zst" -C "$BENCH_WORK/out"
row "first backup (command line)" "$first" "tar --zstd" "$(cat "$BENCH_WORK/tar-first")" -
[ "$restore" = - ] || row "restore of the tree" "$restore" "tar --zstd -x" "$(cat "$BENCH_WORK/tar-restore")" 0.77
row "size of the store, bytes" "$size" "tar.zst" "$(stat -c %s "$BENCH_WORK/tree.tar.zst")" -

# --- restic
if command -v restic >/dev/null; then
  export RESTIC_PASSWORD=bench RESTIC_REPOSITORY=$BENCH_WORK/restic RESTIC_CACHE_DIR=$BENCH_WORK/restic-cache
  anew() { rm -rf "$RESTIC_REPOSITORY" "$RESTIC_CACHE_DIR"; restic -q init >/dev/null; }
  three restic-first anew restic -q backup "$tree"
  three restic-again nothing restic -q backup "$tree"
  three restic-restore fresh restic -q restore latest --target "$BENCH_WORK/out"
  row "first backup (command line)" "$first" restic "$(cat "$BENCH_WORK/restic-first")" 3
  row "backup, nothing changed (command line)" "$again" restic "$(cat "$BENCH_WORK/restic-again")" 15
  [ "$restore" = - ] || row "restore of the tree" "$restore" restic "$(cat "$BENCH_WORK/restic-restore")" 4
  row "size of the store, bytes" "$size" "restic" "$(du -s --block-size=1 "$RESTIC_REPOSITORY" | cut -f1)" 1
else
  note "restic is not installed: backups have no peer of their kind here."
  row "backup, nothing changed (command line)" "$again" - - -
fi
