#!/bin/bash
# The log beside plain SQLite and, where it is installed, PostgreSQL, all on one disk; then recovery of 10,000 containers
# from a million events. The harnesses print their own ratios, so they are shown as they are.
. "$(dirname "$0")/lib.sh"

# A cluster of its own, with what a server does by default (fsync, synchronous_commit), reached by a socket only.
postgres_start() {
  local programs; programs=$(find /usr/lib/postgresql -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -1)
  if [ -z "$programs" ] || [ ! -x "$programs/pgbench" ]; then
    note "PostgreSQL is not installed: the log has no server as a peer here."
    return
  fi
  PATH=$programs:$PATH
  cluster=$(mktemp -d -p "${BENCH_DIRECTORY:-/var/tmp}" berth-bench-pg.XXXXXX)
  chown postgres "$cluster"
  (cd "$cluster"
    runuser -u postgres -- "$programs/initdb" -D data -U postgres -A trust -E UTF8 --locale=C
    runuser -u postgres -- "$programs/pg_ctl" -D data -l server.log -w -o "-k $cluster -c listen_addresses='' -c max_connections=200" start
    psql -qh "$cluster" -U postgres postgres <<'SQL'
CREATE TABLE events (position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, stream int, version bigint, kind int,
  at bigint, operation bytea, body bytea, UNIQUE (stream, version));
CREATE SEQUENCE versions;
SQL
    cat >insert.sql <<'SQL'
INSERT INTO events (stream, version, kind, at, operation, body)
VALUES (:client_id, nextval('versions'), 1, 1, '\x07070707070707070707070707070707',
  'container started: memory 536870912, cpu 2.0, network lan, address 10.0.3.17');
SQL
  ) >"$BENCH_WORK/postgres.log" 2>&1 || { cat "$BENCH_WORK/postgres.log" >&2; return 1; }
  export BERTH_BENCH_POSTGRES=$cluster
}

postgres_stop() {
  [ -n "${cluster:-}" ] || return 0
  runuser -u postgres -- pg_ctl -D "$cluster/data" -m immediate stop >/dev/null 2>&1 || :
  rm -rf "$cluster"
}
trap 'postgres_stop; tidy' EXIT

postgres_start
export BERTH_BENCH_DIR=$BENCH_WORK
: >"$BENCH_WORK/log.txt"
for name in log recovery; do
  (cd "$project" && cargo bench -q --bench "$name") | tee -a "$BENCH_WORK/log.txt" >&2
done
note "$(printf 'the log, by cargo bench --bench log and --bench recovery:\n\n'; sed 's/^/    /' "$BENCH_WORK/log.txt")"
