"""A stock Debian system with nginx and PostgreSQL: backed up by its schedule under load, restored, damaged, restored."""

import datetime
import urllib.request

import updates
from load import AS_POSTGRES, PREPARE, Load, check_files, check_rows, sql
from node import Node, check, debian, say, wait_for

PACKAGES = ["systemd", "systemd-sysv", "dbus", "libpam-systemd", "nginx", "postgresql"]
PAGE = "served by a container of berth\n"
CONFIGURATION = "/etc/nginx/sites-available/default"
DATA = "/var/lib/postgresql/15/main"


def run(program, keep):
    archive = debian("service", PACKAGES)
    with Node(program, keep) as node:
        prepare(node, archive)
        with Load(node, "db") as load:
            load.goes_on()
            backups = scheduled(node, load)
            latest = moment(node, backups[-1])
            restored_as_new(node, load, backups, latest)
            load.goes_on()
        damaged_and_restored(node, load, backups[-1], latest)
        one_file(node, backups[-1])
        maintained(node)
        say(node.must("audit", "verify").strip())


def prepare(node, archive):
    say("== a server")
    say(node.must("template", "create", "debian", "--from-tar", archive).splitlines()[0])
    node.must("store", "create", "vault", node.place / "vault")
    node.must("container", "create", "db", "--template", "debian", "--disk", "8G", "--memory", "1G", "--start")
    node.boot("db")
    node.inside("db", f"printf '{PAGE}' >/var/www/html/index.html")
    node.inside("db", f"pg_ctlcluster 15 main stop; {runuser('/usr/lib/postgresql/15/bin/pg_checksums --enable -D ' + DATA)}")
    node.inside("db", "systemctl reset-failed; systemctl restart postgresql@15-main")
    sql(node, "db", PREPARE)
    node.must("exec", "-T", "db", "--", *AS_POSTGRES, "pgbench", "-q", "-i", "-s", "3")
    serves(node, "db")


def runuser(command):
    return " ".join([*AS_POSTGRES, command])


def serves(node, name):
    with urllib.request.urlopen(f"http://{node.address(name)}/", timeout=10) as answer:
        page = answer.read().decode()
    check(page == PAGE, f"{name} serves {page!r}")
    wait_for(f"PostgreSQL of {name} answers", lambda: node.succeeds(name, runuser("pg_isready -q")), 60)


def scheduled(node, load):
    """Two backups that nobody but the schedule asks for, while rows are written."""
    say("== its schedule, under load")
    words = ["--cron", "* * * * *", "--action", "backup", "--select", "db", "--store", "vault"]
    node.must("schedule", "create", "each-minute", *words)
    ended = lambda: node.items("backup", "list", "db")[::-1] if len(node.items("backup", "list", "db")) >= 2 else None
    backups = wait_for("two backups by the schedule", ended, 240, 1)
    node.must("schedule", "disable", "each-minute")
    load.goes_on()
    for backup in backups:
        check(backup["outcome"] == "complete" and backup["schedule"], f"{backup}")
        check(0 < backup["frozen"] < 30_000_000, f"frozen for {backup['frozen']} microseconds")
        figures = f"{backup['read'] >> 20} MiB read, {backup['new'] >> 20} new, {backup['stored'] >> 20} stored"
        say(f"backup {backup['id'][:8]}: frozen for {backup['frozen'] / 1000:.0f} ms, {figures}")
    check(backups[-1]["base"], "the second backup read everything again")
    return backups


def moment(node, backup):
    """Returns when the container was frozen for a backup: not before the first time, thawed at the second."""
    events = node.items("event", "list", "--operation", backup["operation"])
    when = {event["kind"]: datetime.datetime.fromisoformat(event["recorded_at"]).timestamp() for event in events}
    return when["LivePassCompleted"], when["FrozenPassCompleted"]


def restored_as_new(node, load, backups, latest):
    say("== restored as new")
    for name, backup, (frozen, thawed) in [
        ("first", backups[0], moment(node, backups[0])),
        ("copy", backups[-1], latest),
    ]:
        node.must("backup", "restore", backup["id"], "--to", name, "--start")
        node.boot(name)
        serves(node, name)
        log = node.inside(name, "cat /var/log/postgresql/postgresql-15-main.log")
        check("automatic recovery in progress" in log, f"no recovery was needed: {log[-2000:]}")
        # The row that was under way when the freeze began may be in or not.
        last = check_rows(node, name, load.last_before(frozen), load.last_before(thawed) + 1)
        check_files(node, name)
        say(f"{name}: all {last} rows whole, no page and no index damaged, nginx serves")
        if name == "first":
            node.must("container", "stop", name, "--kill", "-y")


def damaged_and_restored(node, load, backup, latest):
    say("== damaged, and restored in place")
    node.inside("db", f"rm -rf {DATA}/base {DATA}/pg_wal /etc/nginx /etc/postgresql /etc/passwd; echo gone >/var/www/html/index.html")
    node.must("container", "stop", "db", "--grace", "20s", "-y")
    node.must("backup", "restore", backup["id"], "--in-place", "--start", "-y")
    node.boot("db")
    serves(node, "db")
    last = check_rows(node, "db", load.last_before(latest[0]), load.last_before(latest[1]) + 1)
    check_files(node, "db")
    say(f"db: all {last} rows whole, no page and no index damaged, nginx serves")
    check(sql(node, "db", "insert into ledger (payload, sum) values ('', '') returning id;"), "it does not write")


def one_file(node, backup):
    say("== one file")
    whole = node.must("backup", "cat", backup["id"], CONFIGURATION)
    node.inside("db", f"rm {CONFIGURATION}; ! nginx -t")
    node.must("backup", "restore", backup["id"], "--path", CONFIGURATION, "--into", node.place / "files")
    found = [path for path in (node.place / "files").rglob("default") if path.is_file()]
    check(len(found) == 1 and found[0].read_text() == whole, f"{found}")
    node.inside("db", f"cat >{CONFIGURATION}; nginx -t; systemctl reload nginx", input=whole)
    serves(node, "db")


def maintained(node):
    """An update check and a defragmentation, both by schedule, of a container that needs them."""
    say("== update check and defragmentation, by schedule")
    updates.offer(node, "db")
    wanted = updates.simulated(node, "db")
    # Two files that grow in turn lie between each other; what is deleted afterwards leaves blocks to give back.
    grow = "for name in a b; do dd if=/dev/urandom bs=64k count=1 status=none >>$name; sync $name; done"
    node.inside("db", f"cd /srv; i=0; while [ $i -lt 150 ]; do {grow}; i=$((i + 1)); done; rm b; sync; sha256sum a >sum")
    for action in ("update-check", "defragment"):
        node.must("schedule", "create", action, "--cron", "* * * * *", "--action", action, "--select", "db")
    done = lambda: {row["action"]["action"]: row for row in node.items("maintenance", "list") if row["ended_at"]}
    found = wait_for("both were done", lambda: done() if len(done()) == 2 else None, 240, 1)
    for action in ("update-check", "defragment"):
        node.must("schedule", "delete", action, "-y")
        check(found[action]["result"], f"{action} has no result: {found[action]}")
    updates.check_listed(found["update-check"]["result"], wanted)
    tidied = found["defragment"]["result"]
    figures = f"{tidied['fragments_before']} fragments became {tidied['fragments_after']}"
    bytes_of = f"{tidied['allocated_before'] >> 20} MiB became {tidied['allocated_after'] >> 20}"
    say(f"defragment: {figures}, {bytes_of}")
    check(tidied["fragments_after"] < tidied["fragments_before"], figures)
    check(tidied["allocated_after"] < tidied["allocated_before"], bytes_of)
    node.inside("db", "cd /srv; sha256sum -c --status sum")
    serves(node, "db")
