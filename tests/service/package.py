"""The Debian package and its units on a system that is a container itself and runs containers.

The outer container is privileged and may nest; its state directory has a file system of its own in a file, since the
layers of containers cannot lie on the overlay that its root is.
"""

import re
import subprocess

from node import PROJECT, Node, check, debian, say, wait_for

PACKAGES = ["systemd", "systemd-sysv", "dbus", "e2fsprogs", "mount", "nftables", "iproute2", "busybox-static"]
# Nobody makes device nodes in a container; mount(8) wants those of the loop devices.
STATE = r"""
set -e
truncate -s 4G /srv/state.img
mkfs.ext4 -q -E nodiscard /srv/state.img
mkdir -p /var/lib/berth
cat >/usr/local/sbin/mount-state <<'SCRIPT'
#!/bin/sh -e
[ -e /dev/loop-control ] || mknod /dev/loop-control c 10 237
for device in /sys/block/loop*; do
  node=/dev/${device##*/}
  [ -e $node ] || mknod $node b $(tr : ' ' <$device/dev)
done
for try in 1 2 3 4 5; do
  mount -o loop /srv/state.img /var/lib/berth && exit
done
exit 1
SCRIPT
chmod 755 /usr/local/sbin/mount-state
cat >/etc/systemd/system/state.service <<'UNIT'
[Unit]
Description=The file system of the state directory
Before=berth.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/sbin/mount-state
ExecStop=/bin/umount /var/lib/berth
[Install]
WantedBy=multi-user.target
UNIT
systemctl enable -q --now state
"""
BUSYBOX = r"""
set -e
mkdir -p /srv/bb/bin /srv/bb/sbin /srv/bb/etc /srv/bb/proc /srv/bb/sys /srv/bb/dev /srv/bb/run /srv/bb/tmp /srv/bb/root
cp /bin/busybox /srv/bb/bin/
for applet in $(busybox --list); do [ $applet = busybox ] || ln -s busybox /srv/bb/bin/$applet; done
ln -s ../bin/busybox /srv/bb/sbin/init
echo root:x:0:0:root:/root:/bin/sh >/srv/bb/etc/passwd
# What it writes last tells when it was asked to end.
printf '::shutdown:/bin/sh -c "cat /proc/uptime >/root/stopped"\n::respawn:/bin/sleep 1000\n' >/srv/bb/etc/inittab
"""


def run(program, keep):
    archive = debian("node", PACKAGES)
    with Node(program, keep) as node:
        node.must("template", "create", "node", "--from-tar", archive)
        create = ["container", "create", "outer", "--template", "node", "--disk", "12G", "--start"]
        node.must(*create, "--privileged", "--nesting")
        node.boot("outer")
        installed(node, program)
        outer = Outer(node)
        outer.containers()
        outer.untouched("systemctl restart berth")
        outer.untouched("systemctl kill --kill-whom=main -s KILL berth")
        outer.untouched("dpkg -i /root/berth.deb")
        outer.goes_down_and_comes_up("a stop from outside", lambda: node.must("container", "stop", "outer", "--grace", "3m", "-y"))
        outer.goes_down_and_comes_up("a power off from inside", lambda: node.berth("exec", "-T", "outer", "--", "systemctl", "poweroff"))
        outer.removed()


def check_pages(package, place):
    """The links of the installed pages lead to installed pages."""
    subprocess.run(["dpkg-deb", "-x", package, place], check=True)
    pages = place / "usr/share/doc/berth"
    links = [(page, link) for page in pages.rglob("*.md") for link in re.findall(r"\]\(([^)#]+)\)", page.read_text())]
    dead = [f"{page}: {link}" for page, link in links if "://" not in link and not (page.parent / link).exists()]
    check(links and not dead, dead)


def installed(node, program):
    say("== the package")
    build = [PROJECT / "packaging/build-deb.sh", program, node.place / "package"]
    package = subprocess.run(build, check=True, capture_output=True, text=True).stdout.strip()
    check_pages(package, node.place / "unpacked")
    with open(package, "rb") as file:
        node.must("exec", "-T", "outer", "--", "sh", "-c", "cat >/root/berth.deb", stdin=file)
    node.inside("outer", "dpkg -i /root/berth.deb")
    # Its root is an overlay, on which nothing can be layered: the doctor must say so and what to do.
    told = node.berth("exec", "-T", "outer", "--", "berth", "doctor").stdout
    check("✗ overlay in a user namespace: map the ids" in told and "state directory on ext4" in told, told)
    node.inside("outer", "systemctl stop berth && rm -rf /var/lib/berth /etc/berth")
    node.inside("outer", STATE)
    node.inside("outer", "systemctl start berth")
    for unit in ("berth", "berth-shutdown"):
        told = node.inside("outer", f"systemctl is-active {unit}; systemctl is-enabled {unit}").split()
        check(told == ["active", "enabled"], f"{unit} is {told}")
    say(lacks(node))


def lacks(node):
    """What the inner host lacks is named, and it can start containers all the same."""
    told = node.berth("exec", "-T", "outer", "--", "berth", "doctor").stdout
    check("✓ start-containers" in told and "✓ loop devices" in told, told)
    lines = [line for line in told.splitlines() if line.startswith(("✗", "–"))]
    missing = [line.split(":")[0][2:].removesuffix(" (optional)") for line in lines]
    for controller in ("memory", "cpu", "pids"):
        there = node.succeeds("outer", f"grep -qw {controller} /sys/fs/cgroup/cgroup.controllers")
        check(there != (f"cgroup controller {controller}" in missing), f"{controller}: {told}")
    return f"the inner doctor names as missing: {', '.join(missing)}"


class Outer:
    """The berth inside."""

    def __init__(self, node):
        self.node = node

    def must(self, *arguments):
        return self.node.must("exec", "-T", "outer", "--", "berth", *arguments)

    def container(self, name):
        return self.node.read("exec", "-T", "outer", "--", "berth", "container", "show", name)

    def events(self, *options):
        return self.node.items("exec", "-T", "outer", "--", "berth", "event", "list", *options)

    def running(self, name):
        row = self.container(name)
        return row["init"] if row["state"] == "running" else None

    def containers(self):
        say("== containers inside the container")
        self.node.inside("outer", BUSYBOX)
        self.must("template", "create", "bb", "--from-dir", "/srv/bb")
        self.must("template", "create", "host", "--from-host")
        for name, template, more in [("auto", "bb", ["--autostart"]), ("plain", "bb", []), ("system", "host", [])]:
            self.must("container", "create", name, "--template", template, "--disk", "512M", "--start", *more)
        for name in ("auto", "plain", "system"):
            told = self.must("exec", "-T", name, "--", "cat", "/proc/self/uid_map")
            check(self.running(name) and told.split()[1] != "0", f"{name}: {told}")
        address = self.container("plain")["lease"]["address"]
        self.must("exec", "-T", "auto", "--", "ping", "-c", "1", "-W", "5", address)

    def untouched(self, command):
        before = {name: self.running(name) for name in ("auto", "plain", "system")}
        told = "systemctl show -p MainPID --value berth"
        daemon = self.node.inside("outer", told).strip()
        self.node.inside("outer", command)
        another = lambda: self.node.inside("outer", told).strip() not in ("0", daemon)
        wait_for(f"another daemon after {command}", another)
        active = lambda: self.node.succeeds("outer", "systemctl is-active -q berth && berth node status >/dev/null")
        wait_for(f"the daemon is back after {command}", active)
        for name, init in before.items():
            check(init and self.running(name) == init, f"{command}: {name} was {init}, is {self.running(name)}")
            self.must("exec", "-T", name, "--", "true")
        say(f"{command}: {len(before)} containers run on")

    def goes_down_and_comes_up(self, how, go_down):
        say(f"== {how}")
        before = self.running("auto")
        mark = self.events()[-1]["position"]
        go_down()
        stopped = lambda: self.node.read("container", "show", "outer")["state"] == "stopped"
        wait_for("the outer container stops", stopped)
        exit_of = self.node.read("container", "show", "outer")["last_exit"]
        check(exit_of == "power-off", f"the outer container ended with {exit_of}")
        self.node.must("container", "start", "outer")
        self.node.boot("outer")
        again = wait_for("autostart", lambda: self.running("auto"))
        check(again != before, f"{again} is what it was before")
        check(self.container("plain")["state"] == "stopped", "a container without autostart was started")
        events = self.events("--after", mark)
        kinds = [event["kind"] for event in events]
        check("ContainerInterrupted" not in kinds, f"it was torn down: {kinds}")
        asked = [event["name"] for event in events if event["kind"] == "StopRequested"]
        check(sorted(asked) == ["auto", "plain", "system"], f"asked to stop: {asked}")
        check("NodeBooted" in kinds[kinds.index("StopRequested"):], f"no boot was noticed: {kinds}")
        # Their inits were asked and ended by themselves.
        self.must("exec", "-T", "auto", "--", "cat", "/root/stopped")
        for name in ("plain", "system"):
            self.must("container", "start", name)
        say("stopped in order, started again by itself")

    def removed(self):
        say("== removal of the package")
        self.node.inside("outer", "dpkg -r berth")
        shims = "grep -lazE '^([^ ]*/)?berth.shim' /proc/[0-9]*/cmdline"
        check(not self.node.succeeds("outer", shims), "supervisors outlive the package")
        self.node.inside("outer", "test -e /var/lib/berth/log.db && test -d /etc/berth/keys")
