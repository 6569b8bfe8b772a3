"""What was seen of run times and boot times, to look ahead by. Seconds. Part of the reactor.

Rules:
- Run times are kept by template and by program, of each job and of all; what is made of them is in ``boss.core.guess``.
- A boot takes from the claim to the first word of its worker. Until one was seen, what is usual for the provider is supposed.
- Old news fades: a mean is of about the last ``MEMORY`` of its kind. Boot times and programs are kept in the context.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from boss.core.model import Task, Template, Vm
from worker.texts import Text

#: How many of the newest a mean is of, about.
MEMORY = 20.0
#: Seconds that a task is supposed to run of which nothing is known at all.
UNKNOWN = 10.0
#: Seconds that a VM takes to come up where none has been seen, by provider.
USUAL_BOOT = {"local": 0.1}
USUAL_BOOT_ELSEWHERE = 90.0
#: Programs that are remembered.
PROGRAMS = 200
#: Names of the facts in the context.
BOOTS_FACT, PROGRAMS_FACT = "learned_boots", "learned_programs"
#: These run what their first argument names.
_INTERPRETERS = re.compile(
    r"(python[\d.]*|pypy[\d.]*|bash|sh|dash|zsh|perl|Rscript|julia|node|ruby|java|octave|env|time|nice|nohup|stdbuf|sudo|srun|mpirun|mpiexec)$"
)


@dataclass(slots=True)
class Mean:
    """A mean that forgets; ``count`` never exceeds ``MEMORY``."""

    count: float = 0.0
    seconds: float = 0.0

    def learn(self, seen: float) -> None:
        """One more was seen."""
        self.count = min(MEMORY, self.count + 1.0)
        self.seconds += (seen - self.seconds) / self.count


@dataclass(slots=True)
class Learned:
    """All that was learned. ``jobs`` has the programs of each job with tasks that ended; ``names`` the program of each template."""

    boots: dict[tuple[str, str], Mean] = field(default_factory=dict)
    programs: dict[str, Mean] = field(default_factory=dict)
    jobs: dict[str, dict[str, Mean]] = field(default_factory=dict)
    templates: dict[tuple[str, int], Mean] = field(default_factory=dict)
    names: dict[tuple[str, int], str] = field(default_factory=dict)
    saved: dict[str, str] = field(default_factory=dict)

    # ---- boot times

    def booted(self, vm: Vm, seconds: float) -> None:
        """The worker of a VM was heard for the first time, so long after its claim."""
        if seconds >= 0:
            self.boots.setdefault((vm.pool, vm.flavor), Mean()).learn(seconds)

    def boot(self, pool: str, flavor: str, provider: str) -> float:
        """How long such a VM takes to come up: as this flavor did, else as others of the pool did, else what is usual."""
        own = self.boots.get((pool, flavor))
        if own is not None:
            return own.seconds
        others = [mean.seconds for (name, _), mean in self.boots.items() if name == pool]
        return max(others) if others else USUAL_BOOT.get(provider, USUAL_BOOT_ELSEWHERE)

    # ---- run times

    def program(self, task: Task) -> str:
        """What the task's first command runs."""
        key = (task.job.uid, task.template.number)
        found = self.names.get(key)
        if found is None:
            found = self.names[key] = program_of(task.template)
        return found

    def ran(self, task: Task, seconds: float) -> None:
        """A task has run so long."""
        name, uid = self.program(task), task.job.uid
        mean = self.programs.pop(name, None) or Mean()
        mean.learn(seconds)
        self.programs[name] = mean  # the newest is the last
        if len(self.programs) > PROGRAMS:
            del self.programs[next(iter(self.programs))]
        self.jobs.setdefault(uid, {}).setdefault(name, Mean()).learn(seconds)
        if task.template.grid:
            self.templates.setdefault((uid, task.template.number), Mean()).learn(seconds)

    def forget(self, uid: str) -> None:
        """A job has left the memory."""
        self.jobs.pop(uid, None)
        for kept in (self.templates, self.names):
            for key in [key for key in kept if key[0] == uid]:
                del kept[key]

    # ---- from life to life

    def facts_in_full(self) -> dict[str, str]:
        """The facts to be kept, by their names in the context."""
        boots = {f"{pool}/{flavor}": [mean.count, round(mean.seconds, 3)] for (pool, flavor), mean in self.boots.items()}
        programs = {name: [mean.count, round(mean.seconds, 3)] for name, mean in self.programs.items()}
        return {BOOTS_FACT: _dump(boots), PROGRAMS_FACT: _dump(programs)}

    def facts(self) -> dict[str, str]:
        """What has changed of the facts to be kept, by their names in the context."""
        told = self.facts_in_full()
        changed = {name: text for name, text in told.items() if text != self.saved.get(name, "{}")}
        self.saved.update(changed)
        return changed

    @classmethod
    def of(cls, context: Mapping[str, str]) -> "Learned":
        """As the facts of an earlier life tell; what cannot be read is learned anew."""
        learned = cls()
        learned.boots = {
            (pool, rest): mean for name, mean in _means(context.get(BOOTS_FACT, "")) for pool, _, rest in [name.partition("/")]
        }
        learned.programs = dict(_means(context.get(PROGRAMS_FACT, "")))
        learned.saved = {name: context[name] for name in (BOOTS_FACT, PROGRAMS_FACT) if name in context}
        return learned


def program_of(template: Template) -> str:
    """The program that a template's first command runs, without its folder: of an interpreter, with the script that it is given."""
    first = _plain(template.commands[0]) if template.commands else ""
    words = [word for word in first.replace("\n", " ").split() if not re.match(r"[A-Za-z_]\w*=", word)]
    named: list[str] = []
    for word in words[:12]:
        if named and word.startswith("-"):
            continue
        name = word.strip("'\"").rstrip("/").rpartition("/")[2] or word
        named.append(name)
        if not _INTERPRETERS.match(name):
            break
    return re.sub(r"\d+", "#", " ".join(named))[:80]


def _plain(text: Text) -> str:
    return text if isinstance(text, str) else "".join(piece if isinstance(piece, str) else "{}" for piece in text)


def _dump(data: object) -> str:
    return json.dumps(data, separators=(",", ":"))


def _means(text: str) -> list[tuple[str, Mean]]:
    try:
        data = json.loads(text or "{}")
        return [(str(name), Mean(float(count), float(seconds))) for name, (count, seconds) in data.items() if seconds >= 0]
    except (ValueError, TypeError, AttributeError):
        return []
