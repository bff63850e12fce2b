"""Containers of others inside a container that may nest: podman and docker, with a root of busybox alone."""

from pathlib import Path

NAME = "nested"
PACKAGES = ["podman", "docker.io", "busybox-static", "uidmap", "slirp4netns"]
ROOT = r"""
cd /root; mkdir -p root/bin build; cp /bin/busybox root/bin/
for name in sh echo id ls cat; do ln -sf busybox root/bin/$name; done; tar -C root -cf root.tar .
printf 'FROM try\nRUN echo built >/mark\n' >build/Dockerfile
useradd -m guest; echo guest:20000:10000 | tee /etc/subuid >/etc/subgid; cp root.tar /home/guest
"""
# On a hybrid host the unified tree has no controllers, for they are in trees of the old kind.
HYBRID = not Path("/sys/fs/cgroup/cgroup.controllers").exists()
NO_CONTROLLERS = "this host's unified control groups have no controllers: limits inside a container need pure cgroup v2"

PODMAN = "podman image exists try || podman import -q root.tar try; "
DOCKER = "docker image inspect try >/dev/null 2>&1 || docker import root.tar try; "
SERVE = "-d --rm --name try try /bin/busybox httpd -f -p 8080 -h /bin"
SETTING = "mkdir -p /etc/containers; printf '[containers]\\npids_limit = 0\\n' >/etc/containers/containers.conf; "
OWN = "$(hostname -I | cut -d' ' -f1)"
AS_USER = "runuser -u guest -- sh -c 'cd; export XDG_RUNTIME_DIR=/home/guest/run; mkdir -p run; {}'"


def server(program, port, address):
    return f"{program} run -p {port}:8080 {SERVE} && sleep 2 && curl -fsS -m 5 http://{address}:{port}/busybox -o /dev/null && {program} stop -t 1 try"


# What is tried, the script, and why it does not work here (empty: it works).
TRIALS = [
    ("`podman run`", PODMAN + "podman run --rm try /bin/echo hello | grep -qx hello", NO_CONTROLLERS + "; podman asks for one of processes unless `pids_limit = 0` is in its containers.conf, as below" if HYBRID else ""),
    ("`podman run` with `pids_limit = 0`", SETTING + "podman run --rm try /bin/echo hello | grep -qx hello", ""),
    ("`podman run -p`, a server behind a port", server("podman", 8081, OWN), ""),
    ("`podman build`", "podman build -q -t built build && podman run --rm built /bin/cat /mark | grep -qx built", ""),
    ("`podman run -m 64m`", "podman run --rm -m 64m try /bin/echo hello | grep -qx hello", NO_CONTROLLERS if HYBRID else ""),
    ("`podman run` by a user without privileges (with ids of its own in /etc/subuid, below 65536)", AS_USER.format(PODMAN + "podman run --rm try /bin/id -u | grep -qx 0"), ""),
    ("`docker run`", DOCKER + "docker run --rm try /bin/echo hello | grep -qx hello", ""),
    ("`docker run -p`, a server behind a port", server("docker", 8082, OWN), ""),
    ("`docker build`", "docker build -q -t built build && docker run --rm built /bin/cat /mark | grep -qx built", ""),
]
