"""A daemon with a place of its own and its command line; nothing of it is left when it is finished."""

import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
FIXTURES = Path(os.environ.get("CARGO_TARGET_DIR", PROJECT / "target")) / "fixtures"
# How long anything may take before it counts as hanging; an emulated machine or a busy one is slow.
PATIENCE = 300


class Failure(Exception):
    """Something is not as it should be."""


def check(holds, words):
    if not holds:
        raise Failure(words)


def say(words):
    print(words, flush=True)


def wait_for(what, look, patience=PATIENCE, pause=0.2):
    """Waits until `look` gives something true, and returns it."""
    end = time.monotonic() + patience
    while True:
        found = look()
        if found:
            return found
        check(time.monotonic() < end, f"never: {what}")
        time.sleep(pause)


def debian(name, packages):
    """Makes a Debian system as a tar file, once, from the stock packages and nothing else."""
    archive = FIXTURES / f"{name}.tar"
    if not archive.exists():
        say(f"making {archive} with mmdebstrap")
        FIXTURES.mkdir(parents=True, exist_ok=True)
        part = FIXTURES / f"{name}.part.tar"
        words = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(packages)}", "bookworm", part]
        subprocess.run(words, check=True)
        part.rename(archive)
    return archive


class Node:
    def __init__(self, program, keep):
        self.program, self.keep = program, keep
        self.place = Path(tempfile.mkdtemp(prefix="berth-service-"))
        self.environment = {**os.environ, "BERTH_STATE": str(self.place / "state")}
        self.daemon = None

    def __enter__(self):
        words = (self.place / "daemon.log").open("ab")
        command = [self.program, "daemon", "--key-dir", self.place / "keys"]
        self.daemon = subprocess.Popen(command, env=self.environment, stdin=subprocess.DEVNULL, stderr=words)
        wait_for("the daemon answers", self.answers, 60)
        told = json.loads((self.place / "state/instance.json").read_text())
        self.instance = Path(told["socket"]).parent.name
        return self

    def answers(self):
        check(self.daemon.poll() is None, f"the daemon ended: {self.words()}")
        # A change of what is not there is "not found" only where a daemon answers; a read may come from the files.
        return self.berth("container", "start", "nobody-of-this-name").returncode == 5

    def words(self):
        return (self.place / "daemon.log").read_text(errors="replace")[-3000:]

    def berth(self, *arguments, **options):
        command = [str(part) for part in (self.program, *arguments)]
        options = {"capture_output": True, "text": True, "timeout": PATIENCE, "env": self.environment, **options}
        return subprocess.run(command, **options)

    def must(self, *arguments, **options):
        """Runs a command line that has to work and returns what it printed."""
        answer = self.berth(*arguments, **options)
        command = " ".join(str(part) for part in arguments)
        told = f"berth {command}: exit {answer.returncode}: {answer.stdout}{answer.stderr}"
        check(answer.returncode == 0, told)
        return answer.stdout

    def read(self, *arguments):
        return json.loads(self.must(*arguments, "-o", "json"))

    def items(self, *arguments):
        return self.read(*arguments)["items"]

    def inside(self, name, script, **options):
        """Runs a shell script in a container and returns what it printed; fails if the script does."""
        return self.must("exec", "-T", name, "--", "sh", "-ec", script, **options)

    def succeeds(self, name, script):
        return self.berth("exec", "-T", name, "--", "sh", "-ec", script).returncode == 0

    def boot(self, name):
        """Waits until systemd says that all of it is up."""
        wait_for(f"{name} is ready", lambda: self.read("container", "show", name)["ready"])
        state = self.berth("exec", "-T", name, "--", "systemctl", "is-system-running", "--wait").stdout.strip()
        failed = self.berth("exec", "-T", name, "--", "systemctl", "--failed", "--no-legend").stdout
        check(state == "running" and not failed.strip(), f"{name} is {state}: {failed}")

    def address(self, name):
        return self.read("container", "show", name)["lease"]["address"]

    def __exit__(self, kind, *_):
        if kind and self.daemon.poll() is None:
            say(f"what the daemon said last: {self.words()}")
        try:
            if self.daemon.poll() is None:
                self.sweep()
        finally:
            self.daemon.terminate()
            self.daemon.wait(60)
            left = self.left()
            shutil.rmtree(Path("/run/berth") / self.instance, ignore_errors=True)
            if self.keep:
                say(f"kept: {self.place}")
            else:
                shutil.rmtree(self.place)
        check(kind or not left, f"left behind: {left}")

    def sweep(self):
        """Removes everything as a user would."""
        for row in self.items("schedule", "list"):
            self.must("schedule", "delete", row["name"], "-y")
        for row in self.items("operation", "list", "--open"):
            self.berth("operation", "wait", row["id"])
        for row in self.items("container", "list"):
            if row["init"]:
                self.must("container", "stop", row["id"], "--kill", "-y")
            if not self.keep:
                self.must("container", "delete", row["id"], "-y")
                self.must("container", "purge", row["id"], "-y")
        for row in self.items("network", "list") if not self.keep else []:
            self.must("network", "delete", row["name"], "-y")

    def left(self):
        """Names what the kernel still has of this node; it lets go by and by."""
        end = time.monotonic() + 10
        while True:
            told = subprocess.run([PROJECT / "tests/leaks.sh", "show"], capture_output=True, text=True).stdout
            marks = (self.instance, f"{self.place}/")
            left = [line for line in told.splitlines() if any(mark in line for mark in marks)]
            left = [line for line in left if not line.startswith("folder /run/berth/")]
            if not left or time.monotonic() > end:
                return left
            time.sleep(0.2)
