"""What was found, and the page that says so."""

import platform
import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import options
import servers

HEAD = """# Debian's server packages in a default container

Made by `tests/packages/run` ([testing.md](testing.md)) on Linux {kernel}, {groups}; written by hand is only what is missing and
why. Each package is installed with `apt-get install` in a container that was created without an option, with the unit that Debian
ships; then a client asks for what it serves.
"""


STARTS = """
That a unit starts says nothing of what the option does: systemd goes on without what it cannot have. Without effect inside are those that
want programs in the kernel (`IPAddressDeny=`, `SocketBindDeny=`, `RestrictFileSystems=`, `RestrictNetworkInterfaces=`), and on a hybrid host the
limits of single units (`MemoryMax=`, `TasksMax=`, `CPUQuota=`), for which the unified tree has no controllers there. The limits of the container hold
everywhere.

"""


@dataclass
class Server:
    server: servers.Server
    told: str
    answers: bool
    properties: dict = field(init=False)

    def __post_init__(self):
        self.properties = dict(re.findall(r"^(\w+)=(.*)$", self.told.split("\n# /", 1)[0], re.M))
        self.version = (re.findall(r"^Version=(.*)$", self.told, re.M) or ["not installed"])[-1]

    @property
    def state(self):
        active, sub = self.properties.get("ActiveState", "unknown"), self.properties.get("SubState", "")
        if active == "failed":
            return f"failed ({self.properties['Result']}, {self.properties['ExecMainStatus']})"
        if active == "inactive" and self.properties.get("ConditionResult") == "no":
            return "skipped"
        return f"{active} ({sub})" if sub not in ("running", active) else active

    @property
    def expected(self):
        runs = self.answers and self.state.startswith("active")
        return not runs if self.server.lacks else runs

    @property
    def sandbox(self):
        """Which options its unit has, in the words of systemd; a value that is not yes is named."""
        found = {}
        for key, value in re.findall(r"^(\w+)=(.*)$", self.told, re.M):
            if key in options.KEYS:
                found[key] = value
        words = []
        for key, value in sorted(found.items()):
            plain = value in ("yes", "true", "on", "1")
            short = value if len(value) <= 12 else "…"
            words.append(key if plain else f"{key}={short}")
        return words

    def words(self):
        return f"{self.server.name}: {self.state}, {'answers' if self.answers else 'does not answer'}"

    def row(self):
        state = self.state if not self.answers else f"{self.state}, answers: {self.server.asked}"
        sandbox = " ".join(f"`{word}`" for word in self.sandbox) or "–"
        why = self.server.lacks or self.server.note or ("" if self.expected else "**not as it should be**")
        return [self.server.name, self.version, f"`{self.server.unit}`", state, sandbox, why]


@dataclass
class Option:
    suite: str
    option: str
    code: str

    @property
    def expected(self):
        if self.code == "unknown":
            return True
        return (self.code == "0") == (self.option not in options.LACKS)

    def words(self):
        return f"{self.option} on {self.suite}: {self.code}"

    def cell(self):
        return {"0": "starts", "unknown": "not known"}.get(self.code, f"refused ({self.code})")


@dataclass
class Trial:
    what: str
    works: bool
    lacks: str

    @property
    def expected(self):
        return self.works != bool(self.lacks)

    def words(self):
        return f"{self.what}: {'works' if self.works else 'does not work'}"


@dataclass
class Boot:
    suite: str
    version: str
    way: str
    pure: bool

    @property
    def expected(self):
        return self.pure

    def words(self):
        return f"{self.suite} {self.way}: other control groups than the unified ones are seen inside"


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def packages(found):
    head = ["package", "version", "unit", "state", "options of its unit that confine it", "what is missing, and why"]
    return "\n## Servers\n\n" + table(head, [result.row() for result in found])


def sandboxing(found):
    suites = list(dict.fromkeys(result.suite for result in found))
    rows = defaultdict(dict)
    for result in found:
        rows[result.option][result.suite] = result.cell()
    everywhere = [option for option, cells in rows.items() if set(cells.values()) <= {"starts"}]
    others = [option for option in rows if option not in everywhere]
    text = "\n## Options one by one\n\nA unit with the option alone starts, in all of " + ", ".join(suites) + ": "
    text += ", ".join(f"`{option}`" for option in everywhere) + ".\n" + STARTS
    lines = [[f"`{option}`", *(rows[option].get(suite, "–") for suite in suites), options.LACKS.get(option, "")] for option in others]
    return text + table(["option", *suites, "why"], lines)


def nested(found):
    text = "\n## Containers inside, with `--nesting`\n\nAs packaged in Debian, with a root of busybox alone.\n\n"
    return text + table(["tried", "", "why"], [[one.what, "works" if one.works else "does not work", one.lacks] for one in found])


def suites(found):
    text = "\n## Versions of systemd\n\nEach boots until `systemctl is-system-running` says `running`. There is one control group tree inside, the unified\none, on a hybrid host too: systemd 258 and newer know no other.\n\n"
    ways = list(dict.fromkeys(one.way for one in found))
    rows = {}
    for one in found:
        rows.setdefault((one.suite, one.version), {})[one.way] = "running"
    lines = [[suite, version, *(cells.get(way, "–") for way in ways)] for (suite, version), cells in rows.items()]
    return text + table(["suite", "systemd", *(f"`{way}`" if way[0] == "-" else way for way in ways)], lines)


def write(page, found):
    hybrid = not Path("/sys/fs/cgroup/cgroup.controllers").exists()
    kernel = ".".join(platform.release().split(".")[:2])
    head = HEAD.format(kernel=kernel, groups="hybrid control groups" if hybrid else "pure cgroup v2")
    body = packages(found["servers"]) + sandboxing(found["options"]) + nested(found["nested"]) + suites(found["suites"])
    page.write_text(head + body)
