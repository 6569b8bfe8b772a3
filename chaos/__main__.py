"""``scripts/chaos``: one run, from an empty folder to a verdict. It ends by itself, whatever happens.

Exit codes: 0 every promise was kept, 1 one was not (or the job did not end in time), 2 wrong usage or something is missing here.
"""

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

from boss.adapters.daemons import DaemonError
from chaos import checker, processes
from chaos.checker import Verdict
from chaos.cluster import Cluster
from chaos.faults import Injector
from chaos.network import Network, NoNetwork

_TURN = 0.1
_LOOK = 2.0
_SELDOM = 30.0
_SHOW = 10.0
#: Seconds beyond the time for faults and for the rest of the job until everything is given up: start, end and check.
_MARGIN = 420.0


class TimeIsOver(BaseException):
    """The run was told to end, or did not end by itself when it should have."""


def main(argv: Sequence[str]) -> int:
    """Run it."""
    parser = _parser()
    options = parser.parse_args(argv)
    if options.partitions and options.database == "galera":
        parser.error("--partitions goes with sqlite and mariadb")
    os.umask(0o022)
    processes.adopt_orphans()
    settle = max(120.0, options.minutes * 60)
    for number in (signal.SIGALRM, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    signal.alarm(int(options.minutes * 60 + settle + _MARGIN))
    begun = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - begun:6.1f} s  {text}", file=sys.stderr, flush=True)

    folder = Path(tempfile.mkdtemp(prefix="ecloud-chaos-"))
    folder.chmod(0o755)
    print(f"seed {options.seed}, folder {folder}", flush=True)
    try:
        wrong = _run(options, folder, settle, say)
    except (NoNetwork, DaemonError) as error:
        print(error, file=sys.stderr)
        shutil.rmtree(folder)
        return 2
    except (TimeIsOver, KeyboardInterrupt) as error:
        wrong = [f"ended from outside: {error!r}"]
    except RuntimeError as error:
        wrong = [str(error)]
    for line in wrong:
        print(f"WRONG: {line}")
    if wrong or options.keep:
        print(f"the folder {folder} is kept")
    else:
        shutil.rmtree(folder)
    print("every promise was kept" if not wrong else f"{len(wrong)} promises were not kept")
    return 1 if wrong else 0


def _run(options: argparse.Namespace, folder: Path, settle: float, say: Callable[[str], None]) -> list[str]:
    """Everything between an empty folder and a verdict; what is wrong."""
    wrong: list[str] = []
    with ExitStack() as stack:
        network = (
            stack.enter_context(Network(folder, options.workers, options.seed, options.database == "mariadb"))
            if options.partitions
            else None
        )
        cluster = Cluster(folder, options.database, options.workers, network)
        stack.callback(lambda: wrong.extend(cluster.close()))
        say(f"starting: {options.database}, {options.workers} workers" + (", each in a network of its own" if network else ""))
        cluster.start()
        cluster.push(options.tasks, options.seconds)
        injector = Injector(cluster, random.Random(options.seed), say)
        begun = time.monotonic()
        job = _rage(cluster, injector, options, settle, say)
        took = time.monotonic() - begun
        injector.close(job is not None)
        if job is None:
            wrong.append(f"the job did not end: {cluster.accepted()} of {options.tasks} results when the time was over")
        wrong += cluster.finish()
        verdict = checker.check(options.tasks, cluster.database.near_url(), cluster.store, cluster.journals)
        wrong += verdict.wrong
        _tell(cluster, injector, verdict, took)
    return wrong


def _rage(
    cluster: Cluster, injector: Injector, options: argparse.Namespace, settle: float, say: Callable[[str], None]
) -> dict[str, object] | None:
    """Faults until the job has ended or their time is over, then calm until the job has ended; the job, if it has."""
    begun = looked = shown = time.monotonic()
    calm_at = begun + options.minutes * 60
    calm = False
    while (now := time.monotonic()) < calm_at + settle:
        cluster.keep()
        if not calm and now >= calm_at:
            calm = True
            injector.calm()
            say("calm")
        injector.turn(now, calm)
        if now - shown >= _SHOW:
            shown = now
            say(f"{cluster.accepted()} of {options.tasks} results")
        if now - looked >= _SELDOM or (now - looked >= _LOOK and cluster.accepted() >= options.tasks):
            looked = now
            cluster.ask()
        if (job := cluster.ended()) is not None:
            injector.calm()
            return job
        time.sleep(_TURN)
    return None


def _tell(cluster: Cluster, injector: Injector, verdict: Verdict, took: float) -> None:
    """The figures."""
    record = injector.record
    print(f"{verdict.accepted} results accepted in {took:.0f} s ({verdict.accepted / took:.1f} a second)")
    print(
        f"{verdict.ran} attempts ran, {verdict.ran - verdict.accepted} of them for nothing; dealt and lost: {verdict.lost}, "
        f"failed and tried again: {verdict.failed}, uploads that came too late: {verdict.rejected}"
    )
    print(f"{record.done.total()} faults, {record.survived.total()} survived:")
    for name, count in sorted(record.done.items()):
        longest = record.longest.get(name)
        slowest = f", slowest recovery {longest:.1f} s" if longest is not None else ""
        print(f"  {name:<18} {count:4}, survived {record.survived[name]:4}{slowest}")
    if record.longest:
        name, longest = max(record.longest.items(), key=lambda item: item[1])
        print(f"longest recovery: {longest:.1f} s ({name})")
    if cluster.ends:
        print(f"bosses that ended by themselves and were started again: {len(cluster.ends)}, codes {sorted(set(cluster.ends))}")


def _stop(number: int, _frame: FrameType | None) -> None:
    signal.alarm(0)
    raise TimeIsOver(signal.Signals(number).name)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/chaos", description="A whole ecloud under chaos, and what is left of its promises."
    )
    parser.add_argument("--minutes", type=_positive, default=10.0, help="how long faults are made, at most (10)")
    parser.add_argument("--tasks", type=int, default=20_000, help="tasks of the job (20000)")
    parser.add_argument("--seconds", type=float, default=0.0, help="how long each task sleeps (0)")
    parser.add_argument("--workers", type=int, default=8, help="local workers (8)")
    parser.add_argument("--seed", type=int, default=random.randrange(2**31), help="what the faults are drawn from (chance)")
    parser.add_argument("--database", choices=("sqlite", "mariadb", "galera"), default="sqlite")
    parser.add_argument(
        "--partitions", action="store_true", help="each worker on a host and in a network of its own; cut off, too (root)"
    )
    parser.add_argument("--keep", action="store_true", help="keep the folder also when all is well")
    return parser


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number <= 24 * 60:
        raise argparse.ArgumentTypeError("more than 0, and no more than a day")
    return number


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
