"""Packages with updates that are pending, offered by an archive inside the container: known, and without a network."""

import hashlib
import io
import subprocess
import tarfile
import tempfile
from pathlib import Path

from node import check, say

ARCHIVE = "/srv/archive"
# Package: suite and label of where its update comes from.
OFFERED = {"berth-tried-one": ("Debian", "stable"), "berth-tried-two": ("Debian-Security", "stable-security")}


def package(folder, name, version):
    tree = Path(folder) / f"{name}-{version}"
    (tree / "DEBIAN").mkdir(parents=True)
    fields = f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: nobody <nobody@localhost>\n"
    (tree / "DEBIAN/control").write_text(f"{fields}Description: does nothing\n")
    built = Path(folder) / f"{name}_{version}_all.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "--build", tree, built], check=True, stdout=subprocess.DEVNULL)
    data = built.read_bytes()
    sums = f"Size: {len(data)}\nSHA256: {hashlib.sha256(data).hexdigest()}\n"
    return data, f"{fields}Filename: ./{built.name}\n{sums}Description: does nothing\n\n", built.name


def offer(node, name):
    """Installs version 1 of each package and offers version 2; the container's other sources stay as they are."""
    packed = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder, tarfile.open(fileobj=packed, mode="w") as tar:

        def add(path, data):
            entry = tarfile.TarInfo(path)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))

        for one, (label, suite) in OFFERED.items():
            old, _, _ = package(folder, one, "1")
            new, listed, file = package(folder, one, "2")
            add(f"{one}/installed.deb", old)
            add(f"{one}/{file}", new)
            listed = listed.encode()
            add(f"{one}/Packages", listed)
            head = f"Origin: Debian\nLabel: {label}\nSuite: {suite}\nVersion: 12\nArchitectures: all\n"
            add(f"{one}/Release", f"{head}SHA256:\n {hashlib.sha256(listed).hexdigest()} {len(listed)} Packages\n".encode())
    node.inside(name, f"mkdir -p {ARCHIVE}")
    node.must("exec", "-T", name, "--", "tar", "-C", ARCHIVE, "-x", input=packed.getvalue(), text=False)
    sources = "".join(f"deb [trusted=yes] file:{ARCHIVE}/{one} ./\\n" for one in OFFERED)
    node.inside(name, f"dpkg -i {ARCHIVE}/*/installed.deb; printf '{sources}' >/etc/apt/sources.list.d/tried.list")


def simulated(node, name):
    """Returns the packages that apt itself would replace."""
    told = node.inside(name, "apt-get -q update >/dev/null 2>&1 || :; LC_ALL=C apt-get -s dist-upgrade")
    return sorted(line.split()[1] for line in told.splitlines() if line.startswith("Inst "))


def check_listed(result, wanted):
    say(f"update check: {result['count']} pending, {result['security']} of security")
    pending = {update["package"]: update for update in result["pending"]}
    check(sorted(pending) == wanted, f"{sorted(pending)} instead of {wanted}")
    for one, (label, _) in OFFERED.items():
        told = pending[one]
        check((told["installed"], told["candidate"]) == ("1", "2"), f"{told}")
        check(told["security"] == label.endswith("Security"), f"{told}")
