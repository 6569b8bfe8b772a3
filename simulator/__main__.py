"""``python -m simulator hunt --seeds N [--first K] [--processes P]``: look for a seed whose hostile world breaks a promise.

``python -m simulator replay SEED [--jobs=...] [--acts=...] [--incidents=...] [--faults=...]``: play one again and tell its history.
``python -m simulator shrink SEED [--seconds S]``: the shortest history of a seed that breaks a promise.
``python -m simulator promises`` and ``python -m simulator faults``: what must hold, and what goes wrong all the same.

``python -m simulator plan QUESTION``: what a task file would take, for ``push_tasks.py --plan``. QUESTION is a JSON file: the push as the
boss would be told (``text``, ``file_name``, ``replay``, ``files``, ``tables`` ...) and the ``basis`` that a boss has given. One line of
JSON answers, which ``python -m simulator plot PNG`` draws.
"""

import argparse
import json
import sys
import time
import traceback
from pathlib import Path

from boss.taskfile.context import Context
from boss.taskfile.expansion import expand
from boss.taskfile.problems import Refused
from simulator import picture
from simulator.hostile import promises
from simulator.hostile.faults import CHANCES, INCIDENTS
from simulator.hostile.hunting import hunt, story
from simulator.hostile.shrinking import PARTS, plan_from, run
from simulator.planning import NoPlan, plan


def main(words: list[str]) -> int:
    """0 when every seed held, 1 with the first seed that did not."""
    parser = argparse.ArgumentParser(prog="python -m simulator")
    commands = parser.add_subparsers(dest="command", required=True)
    hunted = commands.add_parser("hunt", help="run many seeds of the hostile world")
    hunted.add_argument("--seeds", type=_count, default=100)
    hunted.add_argument("--first", type=int, default=0)
    hunted.add_argument("--processes", type=int, default=0, help="0: one for each core")
    again = commands.add_parser("replay", help="play one run again and tell its history")
    again.add_argument("seed", type=int)
    for part in (*PARTS, "faults"):
        again.add_argument(f"--{part}", help=f"exactly these {part}")
    shortest = commands.add_parser("shrink", help="the shortest history of a seed that breaks a promise")
    shortest.add_argument("seed", type=int)
    shortest.add_argument("--seconds", type=float, default=60.0)
    commands.add_parser("promises", help="what must hold in the hostile world")
    commands.add_parser("faults", help="what goes wrong there")
    ahead = commands.add_parser("plan", help="say what a task file would take")
    ahead.add_argument("question", type=Path)
    drawn = commands.add_parser("plot", help="draw a plan that is given on standard input")
    drawn.add_argument("picture", type=Path)
    chosen = parser.parse_args(words)
    if chosen.command == "plot":
        picture.draw(json.load(sys.stdin), chosen.picture)
        return 0
    if chosen.command == "plan":
        return answer(chosen.question)
    if chosen.command == "replay":
        return replay(chosen)
    if chosen.command == "shrink":
        print(told := story(chosen.seed, chosen.seconds))
        return int("broke a promise" in told)
    if chosen.command == "promises":
        print("\n".join(promises.sentences()))
        return 0
    if chosen.command == "faults":
        width = max(map(len, (*CHANCES, *INCIDENTS)))
        print("\n".join(f"{name:{width}}  {kind.sentence}" for name, kind in (*CHANCES.items(), *INCIDENTS.items())))
        return 0
    return hunt_for(range(chosen.first, chosen.first + chosen.seeds), chosen.processes)


def hunt_for(seeds: range, processes: int) -> int:
    """Play all of these seeds; the story of the first that does not hold."""
    begun = time.monotonic()
    catch = hunt(seeds, processes)
    if catch.broken is not None:
        print(story(catch.broken))
        return 1
    rate = catch.seeds / max(0.001, time.monotonic() - begun)
    print(f"{catch.seeds:,} seeds held, {catch.faults:,} faults, {catch.accepted:,} results accepted; {rate:.0f} seeds/s")
    return 0


def replay(chosen: argparse.Namespace) -> int:
    """Play one run and tell it."""
    try:
        made = plan_from(chosen.seed, {part: getattr(chosen, part) for part in PARTS}, chosen.faults)
    except ValueError as error:
        print(f"this cannot be replayed: {error}", file=sys.stderr)
        return 2
    verdict = run(made, telling=True)
    print("\n".join(verdict.history))
    if verdict.broken is None:
        print("every promise held")
        return 0
    if verdict.broken.__cause__ is not None:
        traceback.print_exception(verdict.broken.__cause__)
    print(f"broken: {verdict.broken}")
    return 1


def _count(text: str) -> int:
    """A number of seeds."""
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seeds: 1 or more")
    return int(text)


def answer(path: Path) -> int:
    """Print the plan as JSON, or ``{"error": sentence}``."""
    question = json.loads(path.read_text())
    context = Context(
        file_name=question["file_name"],
        replay=question["replay"],
        files=frozenset(question["files"]),
        tables={name: Path(table).read_bytes() for name, table in question["tables"].items()},
        unread_tables=question["unread_tables"],
        beside=frozenset(question["beside"]),
        legacy_root="/legacy",  # whether its sources are there has been looked at
    )
    try:
        expansion = expand(Path(question["text"]).read_bytes(), context)
        made = plan(expansion.templates, list(expansion.specs()), question["basis"]).data()
    except Refused as refused:
        made = {"error": "; ".join(map(str, refused.problems))}
    except NoPlan as sentence:
        made = {"error": str(sentence)}
    print(json.dumps(made))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
