"""Work that goes on while a container is backed up, and what must be true of a copy of it."""

import subprocess
import threading
import time

from node import PATIENCE, check, wait_for

AS_POSTGRES = ["runuser", "-u", "postgres", "--"]
# Rows of many sizes, so that they lie in pages and beside them (TOAST), each with the sum of what it holds.
ALL = ["--all", "--heapallindexed", "--install-missing"]
INSERT = """insert into ledger (payload, sum) select payload, sha256(payload) from (
  select convert_to(string_agg(md5(random()::text), ''), 'UTF8') as payload
  from generate_series(1, 1 + (random() * 150)::int)) as made returning id;"""
PREPARE = """create extension amcheck;
create table ledger (id bigserial primary key, payload bytea not null, sum bytea not null, written timestamptz default now());
create index on ledger (written);
create index on ledger using hash (sum);"""


def sql(node, name, statement):
    """Runs SQL as the database's owner and returns the rows, a list of columns each."""
    words = [*AS_POSTGRES, "psql", "-XAtq", "-F", "|", "-v", "ON_ERROR_STOP=1"]
    told = node.must("exec", "-T", name, "--", *words, input=statement)
    return [line.split("|") for line in told.splitlines()]


class Load:
    """One session that inserts row after row, told when each is committed, and pgbench beside it."""

    def __init__(self, node, name):
        self.acknowledged = []
        self.ended = threading.Event()
        words = [node.program, "exec", "-T", name, "--", *AS_POSTGRES]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1, "env": node.environment}
        self.session = subprocess.Popen([*words, "psql", "-XAtq", "-v", "ON_ERROR_STOP=1"], **pipes)
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": node.environment}
        self.bench = subprocess.Popen([*words, "pgbench", "-c", "2", "-R", "60", "-T", "3600"], **quiet)
        self.writer = threading.Thread(target=self.write)

    def __enter__(self):
        self.writer.start()
        return self

    def write(self):
        while not self.ended.is_set():
            print(INSERT.replace("\n", " "), file=self.session.stdin)
            line = self.session.stdout.readline()
            if not line:
                return
            # After the commit: a backup frozen later than this must have the row.
            self.acknowledged.append((int(line), time.time()))

    def goes_on(self):
        """Waits until more rows are committed than now."""
        before = len(self.acknowledged)
        wait_for("the load goes on", lambda: len(self.acknowledged) > before + 20, 60)
        check(self.bench.poll() is None, "pgbench ended")

    def last_before(self, moment):
        return max((row for row, when in self.acknowledged if when < moment), default=0)

    def __exit__(self, *_):
        self.ended.set()
        self.writer.join(PATIENCE)
        self.session.stdin.close()
        self.session.wait(PATIENCE)
        self.bench.terminate()
        self.bench.wait(PATIENCE)


def check_rows(node, name, least, most):
    """Every row up to `least` is there and none beyond `most`; each holds what it held; the accounts add up."""
    [[count, last, wrong]] = sql(
        node, name, "select count(*), max(id), count(*) filter (where sum <> sha256(payload)) from ledger;"
    )
    check(wrong == "0", f"{wrong} rows of {name} are damaged")
    check(count == last, f"{name} has {count} rows up to number {last}: some are missing")
    check(least <= int(last) <= most, f"{name} ends with row {last}, not between {least} and {most}")
    sums = "select (select sum(abalance) from pgbench_accounts), (select sum(tbalance) from pgbench_tellers), "
    sums += "(select sum(bbalance) from pgbench_branches), (select sum(delta) from pgbench_history);"
    [totals] = sql(node, name, sums)
    check(len(set(totals)) == 1, f"the accounts of {name} do not add up: {totals}")
    return int(last)


def check_files(node, name):
    """The indexes hold what the tables hold, and no page has a wrong checksum."""
    node.must("exec", "-T", name, "--", *AS_POSTGRES, "/usr/lib/postgresql/15/bin/pg_amcheck", *ALL)
    node.inside(name, "pg_ctlcluster 15 main stop")
    told = node.inside(name, "/usr/lib/postgresql/15/bin/pg_checksums --check -D /var/lib/postgresql/15/main")
    check("Bad checksums:  0" in told, told)
    node.inside(name, "systemctl reset-failed; systemctl start postgresql@15-main")
