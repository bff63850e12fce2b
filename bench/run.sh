#!/bin/bash
# Measures Berth beside its peers on this machine and prints one table, losses included: bench/run.sh [NAME...]
#
#   NAME             life, log, recovery, backup; all of them if none is named
#   BERTH            the program to measure (target/release/berth, built first)
#   BENCH_ROUNDS     how often each short thing is done; the middle counts (15)
#   BENCH_DIRECTORY  where work is done (/var/tmp): the disk that is measured
#
# Wants root, an otherwise idle machine, and python3. Peers that are not installed are named and left out; none is installed.
set -euo pipefail
here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)
project=$(dirname "$here")
case ${1:-} in -h | --help) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
[ "$(id -u)" = 0 ] || { echo "bench: containers and disks want root" >&2; exit 4; }
[ $# -gt 0 ] || set -- life log recovery backup
if [ -z "${BERTH:-}" ]; then
  (cd "$project" && cargo build --release)
  export BERTH=$project/target/release/berth
fi

top=$(mktemp -d -p "${BENCH_DIRECTORY:-/var/tmp}" berth-bench.XXXXXX)
trap 'rm -rf "$top"' EXIT
"$project/tests/leaks.sh" record "$top/before"
: >"$top/rows"; : >"$top/notes"
for name in "$@"; do
  echo "== $name" >&2
  mkdir -p "$top/$name"
  BENCH_WORK=$top/$name bash "$here/$name.sh" || echo "bench/$name.sh failed: what it did not measure is missing" >>"$top/notes"
  [ ! -e "$top/$name/rows" ] || cat "$top/$name/rows" >>"$top/rows"
  [ ! -e "$top/$name/notes" ] || cat "$top/$name/notes" >>"$top/notes"
done

processor=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1)
printf '\n%s processors (%s), Linux %s, %s, load before %s\n\n' "$(nproc)" "$processor" "$(uname -r)" \
  "$("$BERTH" --version)" "$(cut -d' ' -f1 /proc/loadavg)"
echo '| what | Berth | peer | its figure | ratio | to reach | |'
echo '|---|---:|---|---:|---:|---:|---|'
awk -F'\t' '
  function shown(value, what) {
    if (value == "-") return "–"
    if (what ~ /bytes/) return sprintf("%.1f MiB", value / 1048576)
    if (value >= 1000000) return sprintf("%.2f s", value / 1000000)
    return sprintf("%.1f ms", value / 1000)
  }
  {
    ratio = ($4 == "-" || $2 == 0) ? "–" : sprintf("%.2f", $4 / $2)
    verdict = ""
    if (ratio != "–" && $5 != "-") verdict = ($4 / $2 >= $5) ? "reached" : "**missed**"
    printf "| %s | %s | %s | %s | %s | %s | %s |\n", $1, shown($2, $1), $3, shown($4, $1),
      ratio, ($5 == "-" ? "–" : $5), verdict
  }' "$top/rows"
echo
echo 'A ratio above 1 means that Berth needs less.'
[ ! -s "$top/notes" ] || { echo; cat "$top/notes"; }
"$project/tests/leaks.sh" compare "$top/before" >&2
