#!/usr/bin/env python3
"""How fast files get to the datastore and back, beside scp and tar over ssh in the same run. Prints a table; ``--out`` writes JSON.

Rules:
- A real boss with its sshd, gate and workers; files are moved by the worker's and the client's own code.
- The reference runs before and after each measurement, and the mean counts, because a machine's speed changes while one measures. All
  are repeated ``--rounds`` times; the median is told, with the least and the most.
- scp and tar neither take a sha256 nor flush: ecloud does both before it says that a file is there. What that costs is timed apart
  (sha256sum and sync of what the reference has brought), and told as the second ratio: beside a reference that does the same work.
- Cpu is that of all processes involved, on both sides.
"""

import argparse
import hashlib
import json
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from os import getpid
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.data_sides import CIPHER, Ours, Reference, random_file
from benchmarks.private_boss import PrivateBoss, start, stop
from benchmarks.throughput import machine
from client import Client
from client.access import datastore
from datastore import limits
from datastore.landing import sha256_of
from datastore.layout import file_path
from datastore.shared import FETCHES
from datastore.transfer import push_files
from datastore.tree import Tree
from worker.stage import StageError

_WAIT = 900.0
#: The small files, and the input that tasks share.
FILES, FILE = 10_000, 10 * 1024
SHARED, TASKS = 64 * 2**20, 100
SLOTS = 4


class LoadFailed(Exception):
    """What did not go well measures nothing."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One thing, timed once: seconds, and cpu seconds."""

    seconds: float
    cpu: float


@dataclass(slots=True)
class Figures:
    """One load; ``extra`` is what applies to it alone."""

    load: str
    title: str
    bytes: int
    reference: list[Measured] = field(default_factory=list)  # the mean of before and after, for each round
    promise: list[float] = field(default_factory=list)  # seconds of sha256sum and sync
    ours: list[Measured] = field(default_factory=list)
    extra: dict[str, float] = field(default_factory=dict)

    @property
    def ratios(self) -> list[float]:
        """The speed in units of the reference's, for each round."""
        return [there.seconds / here.seconds for there, here in zip(self.reference, self.ours, strict=True)]

    @property
    def fair(self) -> list[float]:
        """The same beside a reference that takes sha256 and flushes."""
        rounds = zip(self.reference, self.promise, self.ours, strict=True)
        return [(there.seconds + more) / here.seconds for there, more, here in rounds]


class Bench:
    """A boss, a reference, and files to move in one temporary folder."""

    def __init__(self, boss: PrivateBoss, folder: Path, size: int, rounds: int) -> None:
        self.boss, self.folder, self.size, self.rounds = boss, folder, size, rounds
        self.everybody = PrivateBoss(getpid(), boss.state, boss.client)
        self.ours = Ours(boss, folder)
        self.reference = Reference(folder / "reference")
        self.big, self.small = folder / "source" / "big.bin", folder / "source" / "small"
        self.small.mkdir(parents=True)
        self.target = folder / "target"
        self.results = False

    def make_big(self) -> None:
        """The large file."""
        if not self.big.exists():
            random_file(self.big, self.size)

    def make_small(self) -> None:
        """The small files."""
        if not (self.small / "0").exists():
            for number in range(FILES):
                random_file(self.small / str(number), FILE)

    def make_results(self) -> None:
        """Both as results of a real job."""
        self.make_big()
        self.make_small()
        if not self.results:
            tasks: list[dict[str, object]] = [
                {"id": "big", "command": f"cp {self.big} big.bin", "outputs": ["big.bin"]},
                {"id": "small", "command": f"cp -r {self.small} small", "outputs": ["small/"]},
            ]
            self.run("bench", tasks)
            self.results = True

    def run(self, job: str, tasks: list[dict[str, object]]) -> float:
        """Run a job to its end; seconds."""
        begun = time.monotonic()
        submitted = self.boss.client.submit({"job": job, "tasks": tasks})
        if submitted.wait(_WAIT) != "succeeded":
            raise LoadFailed(f"job {job}: {submitted.status()}")
        return time.monotonic() - begun

    def timed(self, work: Callable[[], object]) -> Measured:
        """Do it, and what it took."""
        cpu, begun = self.everybody.cpu(), time.monotonic()
        work()
        return Measured(time.monotonic() - begun, self.everybody.cpu() - cpu)

    def compare(self, figures: Figures, reference: Callable[[], None], ours: Callable[[], Callable[[], None]]) -> Figures:
        """Time both, in turn. ``ours`` makes ready, does the work and returns what removes its traces; ``reference`` fills the target."""
        for _ in range(self.rounds):
            there = [self.timed(reference)]
            promise = self.timed(lambda: self.reference.promise(self.target)).seconds
            self.clean()
            removes: list[Callable[[], None]] = []
            here = self.timed(lambda: removes.append(ours()))  # noqa: B023
            removes[0]()
            there.append(self.timed(reference))
            self.clean()
            figures.reference.append(Measured(*(statistics.mean(pair) for pair in zip(*map(_pair, there), strict=True))))
            figures.promise.append(promise)
            figures.ours.append(here)
        return figures

    def clean(self) -> None:
        """Remove what was brought."""
        remove(self.target)

    def incoming(self, attempt: str) -> Callable[[], None]:
        """Removes an upload that no boss will accept."""
        return lambda: remove(self.ours.root / "incoming" / attempt)


def _pair(measured: Measured) -> tuple[float, float]:
    return measured.seconds, measured.cpu


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


# ---- loads -------------------------------------------------------------------------------------------------------


def large_in(bench: Bench) -> Figures:
    """One large output of a task."""
    bench.make_big()
    figures = Figures("large-in", f"a worker delivers one file of {_size(bench.size)}", bench.size)
    with bench.ours.worker("giver") as worker:
        worker.give(bench.big.parent)  # nothing: not even a log-in
        return bench.compare(
            figures,
            lambda: bench.reference.scp_in(bench.big, bench.target),
            lambda: bench.incoming(worker.give(bench.big.parent, "big.bin")),
        )


def large_out(bench: Bench) -> Figures:
    """One large input of a task, into the cache and from there into the task's folder."""
    bench.make_results()
    return bench.compare(
        Figures("large-out", f"a worker fetches one file of {_size(bench.size)}, through its cache", bench.size),
        lambda: bench.reference.scp_out(bench.big, bench.target),
        lambda: _take(bench, "big.bin"),
    )


def large_out_straight(bench: Bench) -> Figures:
    """The same where the cache is too small for it."""
    bench.make_results()
    return bench.compare(
        Figures("large-out-straight", f"a worker fetches one file of {_size(bench.size)}, past its cache", bench.size),
        lambda: bench.reference.scp_out(bench.big, bench.target),
        lambda: _take(bench, "big.bin", cache=1),
    )


def small_in(bench: Bench) -> Figures:
    """Many small outputs of a task."""
    bench.make_small()
    with bench.ours.worker("giver") as worker:
        return bench.compare(
            Figures("small-in", f"a worker delivers {FILES:,} files of {_size(FILE)}", FILES * FILE),
            lambda: bench.reference.tar_in(bench.small, bench.target),
            lambda: bench.incoming(worker.give(bench.small.parent, "small/")),
        )


def small_out(bench: Bench) -> Figures:
    """Many small inputs of a task."""
    bench.make_results()
    return bench.compare(
        Figures("small-out", f"a worker fetches {FILES:,} files of {_size(FILE)}, through its cache", FILES * FILE),
        lambda: bench.reference.tar_out(bench.small, bench.target),
        lambda: _take(bench, "small/"),
    )


def client_push(bench: Bench) -> Figures:
    """One large file that is pushed with a job: read for its sha256 first, then sent unless it is there."""
    bench.make_big()

    def ours() -> Callable[[], None]:
        with bench.big.open("r+b") as file:
            file.write(str(time.time()).encode())  # else it is there already
        digest = sha256_of(str(bench.big))
        with datastore(bench.boss.client.connection) as endpoint:
            if push_files(endpoint, {digest: str(bench.big)}) != 1:
                raise LoadFailed("it was there already")
        return lambda: remove(bench.ours.root / file_path(digest))

    return bench.compare(
        Figures("client-push", f"the client pushes one file of {_size(bench.size)}", bench.size),
        lambda: bench.reference.scp_in(bench.big, bench.target),
        ours,
    )


def client_fetch(bench: Bench) -> Figures:
    """One large result that a person fetches."""
    bench.make_results()

    def ours() -> Callable[[], None]:
        bench.boss.client.job("bench").fetch(bench.folder / "fetched", ["big.bin"])
        return lambda: remove(bench.folder / "fetched")

    return bench.compare(
        Figures("client-fetch", f"the client fetches one file of {_size(bench.size)}", bench.size),
        lambda: bench.reference.scp_out(bench.big, bench.target),
        ours,
    )


def _take(bench: Bench, source: str, **more: int) -> Callable[[], None]:
    with bench.ours.worker("taker", **more) as worker:
        worker.take(bench.folder / "taken", "bench", source)

    def gone() -> None:
        remove(bench.folder / "taken")
        remove(bench.folder / "taker")

    return gone


def crowd(bench: Bench, clients: int, transfers: int) -> Figures:
    """Many workers deliver at once what one delivers alone before and after; all have logged in before."""
    bench.make_big()
    part = bench.folder / "part"
    part.mkdir()
    random_file(part / "part.bin", bench.size // clients)
    (part / "hello").write_text("hello")
    said = f"at most {transfers} at a time" if transfers else "as many at a time as come"
    figures = Figures(f"crowd-{transfers}", f"{clients} workers deliver {_size(bench.size // clients)} each, {said}", bench.size)
    limits.write(tree := Tree(str(bench.ours.root)), limits.read(tree)._replace(transfers=transfers)._asdict())
    failed: list[str] = []
    with ExitStack() as stack, ThreadPoolExecutor(clients) as pool:
        alone = stack.enter_context(bench.ours.worker("alone"))
        workers = [stack.enter_context(bench.ours.worker(f"crowd{number}")) for number in range(clients)]
        logged_in = bench.timed(lambda: list(pool.map(lambda worker: worker.give(part, "hello"), workers)))
        figures.extra["log-ins seconds"] = logged_in.seconds
        longest = [0.0]

        def one() -> Measured:
            attempt: list[str] = []
            measured = bench.timed(lambda: attempt.append(alone.give(bench.big.parent, "big.bin")))
            bench.incoming(attempt[0])()
            return measured

        def all_at_once() -> None:
            together = threading.Barrier(clients)

            def deliver(number: int) -> None:
                together.wait()
                begun = time.monotonic()
                try:
                    workers[number].give(part, "part.bin")
                except StageError as error:
                    failed.append(error.reason)
                longest[0] = max(longest[0], time.monotonic() - begun)

            list(pool.map(deliver, range(clients)))

        one()  # its log-in
        for _ in range(bench.rounds):
            before = one()
            here = bench.timed(all_at_once)
            for attempt in (bench.ours.root / "incoming").iterdir():
                remove(attempt)
            after = one()
            figures.reference.append(Measured((before.seconds + after.seconds) / 2, (before.cpu + after.cpu) / 2))
            figures.promise.append(0.0)
            figures.ours.append(here)
    remove(part)
    figures.extra |= {"failed": float(len(failed)), "longest seconds": longest[0]}
    for reason in sorted(set(failed)):
        print(f"data: a worker of the crowd: {reason}", file=sys.stderr)
    return figures


def shared_input(bench: Bench) -> Figures:
    """Tasks that share an input, on real workers: the datastore's own list of fetches says how often it was sent."""
    file = bench.folder / "shared.bin"
    random_file(file, SHARED)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    bench.boss.client.put(file, "shared:bench/shared.bin")
    task: dict[str, object] = {
        "id": "t-{i}",
        "foreach": {"i": {"range": [0, TASKS]}},
        "command": f"echo '{digest}  in.bin' | sha256sum -c --quiet - && sleep 0.5",
        "inputs": [{"from": "shared:bench/shared.bin", "to": "in.bin"}],
    }
    seconds = bench.run("shared", [task])
    fetches = [json.loads(line) for line in (bench.ours.root / FETCHES).read_text().splitlines()]
    by_worker = Counter(fetch["worker"] for fetch in fetches)
    figures = Figures("shared", f"{TASKS} tasks share an input of {_size(SHARED)}", SHARED)
    figures.extra = {
        "tasks": float(TASKS),
        "workers": float(len(by_worker)),
        "fetches": float(len(fetches)),
        "most fetches of one worker": float(max(by_worker.values())),
        "seconds": seconds,
    }
    file.unlink()
    return figures


LOADS: dict[str, Callable[[Bench], Figures]] = {
    "large-in": large_in,
    "large-out": large_out,
    "large-out-straight": large_out_straight,
    "small-in": small_in,
    "small-out": small_out,
    "client-push": client_push,
    "client-fetch": client_fetch,
    "shared": shared_input,
}


# ---- what is told ------------------------------------------------------------------------------------------------


def table(all_figures: list[Figures]) -> str:
    """The figures as a Markdown table; a ratio is a median with the least and the most."""
    rows = [
        ("load", "s", "MB/s", "reference s", "x reference", "sha256 + sync s", "x the same work", "cpu s", "reference cpu s"),
        ("---",) + ("---:",) * 8,
    ]
    for figures in all_figures:
        if not figures.ours:
            continue
        seconds = _median([one.seconds for one in figures.ours])
        crowd = figures.load.startswith("crowd")
        rows.append(
            (
                figures.title,
                f"{seconds:.2f}",
                f"{figures.bytes / seconds / 1e6:.0f}",
                f"{_median([one.seconds for one in figures.reference]):.2f}",
                _range(figures.ratios),
                "" if crowd else f"{_median(figures.promise):.2f}",
                "" if crowd else _range(figures.fair),
                f"{_median([one.cpu for one in figures.ours]):.2f}",
                f"{_median([one.cpu for one in figures.reference]):.2f}",
            )
        )
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    for figures in all_figures:
        if figures.extra:
            lines.append(f"\n{figures.title}: " + ", ".join(f"{name} {value:g}" for name, value in figures.extra.items()))
    return "\n".join(lines)


def _median(values: list[float]) -> float:
    return statistics.median(values)


def _range(values: list[float]) -> str:
    return f"{_median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


def _size(size: int) -> str:
    for unit, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if size >= unit:
            return f"{size / unit:g} {name}"
    return f"{size} bytes"


def main() -> int:
    """Measure what was asked for; 1 if something failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [*LOADS, "crowd"]
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="the loads to run (default: all)")
    parser.add_argument("--size", type=int, default=1024, help="MiB of the large file (default: 1024)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured (default: 3)")
    parser.add_argument("--clients", type=int, default=64, help="workers of the crowd (default: 64)")
    parser.add_argument(
        "--transfers",
        type=int,
        nargs="+",
        default=[8, 0],
        help="how many of the crowd move data at once (default: 8, then 0: all)",
    )
    parser.add_argument(
        "--folder", type=Path, help="where to make the files, up to five times the size (default: as TMPDIR says)"
    )
    parser.add_argument("--out", type=Path, help="write the figures as JSON too")
    options = parser.parse_args()
    about, measured, failed = machine(), [], False
    with tempfile.TemporaryDirectory(prefix="ecloud-data.", dir=options.folder) as name, ExitStack() as stack:
        folder = Path(name)
        (folder / "state").mkdir()
        boss = start(folder / "state", {"ECLOUD_LOCAL_SLOTS": str(SLOTS)})
        stack.callback(stop, boss)
        access = json.loads((folder / "state" / "api.json").read_text())
        client = stack.enter_context(Client(access["url"], access["token"]))
        bench = Bench(PrivateBoss(boss.pid, folder / "state", client), folder, options.size * 2**20, options.rounds)
        stack.callback(bench.reference.stop)
        for load in options.only:
            try:
                if load == "crowd":
                    measured += [crowd(bench, options.clients, transfers) for transfers in options.transfers]
                else:
                    measured.append(LOADS[load](bench))
                print(f"data: {load} is measured", file=sys.stderr)
            except (LoadFailed, StageError, OSError) as error:
                failed = True
                print(f"data: {load} failed: {error}", file=sys.stderr)
    print(
        f"{about['cores']} cores, Python {about['python']}, load average {about['load_average']:.1f} at the start; "
        f"{CIPHER} on loopback, {options.rounds} rounds"
    )
    print()
    print(table(measured))
    if options.out:
        rows = [asdict(figures) | {"ratios": figures.ratios, "fair": figures.fair} for figures in measured]
        options.out.write_text(json.dumps({"machine": about, "figures": rows}, indent=1))
    return 1 if failed or any(figures.extra.get("failed") for figures in measured) else 0


if __name__ == "__main__":
    sys.exit(main())
