"""A machine that loses its power again and again while it works: what was acknowledged is there, nothing is half done.

The machine is that of tests/vm/run, with a disk that outlives it. Its power is cut by killing the emulator, so whatever
its kernel had not written yet is gone: unlike `kill -9` of a daemon, this tells whether what is called durable was synced.
"""

import base64
import os
import random
import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from node import FIXTURES, PROJECT, check, say

LIVES = 6
# Seconds of work before the cut; the machine is emulated, so that this is a few dozen commands at most.
WORK = (2, 40)
# How long a machine may take from its start to the end of its look around.
PATIENCE = 600
DISK = 8 << 30


class Promises:
    """What the machine acknowledged, and what was under way when it ended."""

    def __init__(self):
        self.containers = {}
        self.gone = set()
        self.templates = set()
        self.schedules = set()
        self.checkpoint = b""
        self.pending = None

    def hear(self, line):
        kind, _, words = line.partition(" ")
        if kind == "ask":
            self.pending = words.split()
            self.doubt(self.pending)
        elif kind == "ack":
            self.keep(words.split())
            self.pending = None
        elif kind == "checkpoint":
            self.checkpoint = base64.b64decode(words)

    def doubt(self, words):
        """Withdraws what the command may change: until it is acknowledged, both are right."""
        match words:
            case ["exec", "-T", name, *_]:
                self.containers.get(name, {}).pop("content", None)
            case ["backup", "restore", source, "--in-place", *_]:
                self.containers.get(source.split("@")[0], {}).pop("content", None)
            case ["container", "delete", name, *_]:
                self.containers.pop(name, None)

    def keep(self, words):
        match words:
            case ["template", "create", name, *_]:
                self.templates.add(name)
            case ["schedule", "create", name, *_]:
                self.schedules.add(name)
            case ["container", "create", name, *_]:
                self.containers[name] = {"backups": 0}
            case ["container", "set", name, "--label", label]:
                self.containers[name]["label"] = label.partition("=")[2]
            case ["container", "delete", name, *_]:
                self.gone.add(name)
            case ["exec", "-T", name, "--", "sh", "-c", "echo", content, *_]:
                self.containers[name]["content"] = content
            case ["backup", "run", name]:
                container = self.containers[name]
                container["backups"] += 1
                container["kept"] = container["content"]
            case ["backup", "restore", source, "--to", name, *_]:
                self.containers[name] = {"backups": 0, "content": self.containers[source.split("@")[0]]["kept"]}
            case ["backup", "restore", source, "--in-place", *_]:
                container = self.containers[source.split("@")[0]]
                container["content"] = container["kept"]

    def lines(self):
        for name, container in self.containers.items():
            yield f"container {name}"
            yield f"backups {name} {container['backups']}"
            for kind in ("label", "content"):
                if kind in container:
                    yield f"{kind} {name} {container[kind]}"
        yield from (f"gone {name}" for name in self.gone)
        yield from (f"template {name}" for name in self.templates)
        yield from (f"schedule {name}" for name in self.schedules)


class Life:
    """The machine from its start until its power is cut."""

    def __init__(self, command, promises):
        self.promises = promises
        self.bad, self.last, self.heard = [], [], 0
        self.looked = threading.Event()
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        self.machine = subprocess.Popen(command, text=True, errors="replace", **pipes)
        self.ear = threading.Thread(target=self.listen)
        self.ear.start()

    def listen(self):
        for line in self.machine.stdout:
            line = line.rstrip("\n")
            self.last = [*self.last[-20:], line]
            if line == "looked":
                self.looked.set()
            if line.startswith(("bad ", "nak ")):
                self.bad.append(line)
            self.heard += line.startswith("ack ")
            self.promises.hear(line)

    def cut(self):
        self.machine.terminate()
        self.machine.wait()
        self.ear.join()


def run(program, keep):
    seed = int(os.environ.get("BERTH_SEED", random.randrange(1 << 32)))
    say(f"BERTH_SEED={seed} cuts the power after the same times again")
    chance = random.Random(seed)
    # Not in /tmp: the machine has a disk of its own there, and would not see the files it is given.
    place = Path(tempfile.mkdtemp(prefix="power-", dir=FIXTURES.parent))
    try:
        with (place / "disk").open("wb") as file:
            file.truncate(DISK)
        own = Path(shutil.copy(program, place / "berth"))  # wherever it was built, /tmp included
        promises = Promises()
        for number in range(1, LIVES + 1):
            live(own, place, number, promises, chance.uniform(*WORK))
    finally:
        say(f"kept: {place}") if keep else shutil.rmtree(place)


def live(program, place, number, promises, seconds):
    (place / "promises").write_text("".join(f"{line}\n" for line in promises.lines()))
    (place / "checkpoint").write_bytes(promises.checkpoint)
    script = PROJECT / "tests/service/power.sh"
    files = [program, script, place / "promises", place / "checkpoint"]
    words = [str(script), str(program), str(number), str(files[2]), str(files[3])]
    command = [PROJECT / "tests/vm/run", "--disk", place / "disk"]
    command += [word for file in files for word in ("--file", file)]
    life = Life([*command, "-c", " ".join(words)], promises)
    try:
        looked = life.looked.wait(PATIENCE)
        if looked and not life.bad:
            time.sleep(seconds)
    finally:
        life.cut()
    check(looked or life.bad, f"life {number}: it never looked around: {life.last}")
    check(not life.bad, f"life {number}: {life.bad}")
    under_way = " ".join(promises.pending or ["nothing"])
    say(f"life {number}: all there; {life.heard} more acknowledged in {seconds:.0f} s; cut during: {under_way}")
