"""``python -m simulator hunt --seeds N [--first K]``: look for a seed whose hostile world breaks a promise.

``python -m simulator plan QUESTION``: what a task file would take, for ``push_tasks.py --plan``. QUESTION is a JSON file: the push as the
boss would be told (``text``, ``file_name``, ``replay``, ``files``, ``tables`` ...) and the ``basis`` that a boss has given. One line of
JSON answers, which ``python -m simulator plot PNG`` draws.
"""

import argparse
import json
import sys
import traceback
from pathlib import Path

from boss.taskfile.context import Context
from boss.taskfile.expansion import expand
from boss.taskfile.problems import Refused
from simulator import picture
from simulator.planning import NoPlan, plan
from simulator.scenarios import hostile_job, hostile_jobs


def main(words: list[str]) -> int:
    """0 when every seed held, 1 with the first seed that did not."""
    parser = argparse.ArgumentParser(prog="python -m simulator")
    commands = parser.add_subparsers(dest="command", required=True)
    hunt = commands.add_parser("hunt", help="run many seeds of the hostile world")
    hunt.add_argument("--seeds", type=int, default=100)
    hunt.add_argument("--first", type=int, default=0)
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
    faults = 0
    for seed in range(chosen.first, chosen.first + chosen.seeds):
        try:
            faults += hostile_job(seed).faults + hostile_jobs(seed).faults
        except Exception:  # Broken, a failed check, or a fault of the cores: each is what the hunt is for
            traceback.print_exc()
            print(f"seed {seed} broke a promise; again: python -m simulator hunt --seeds 1 --first {seed}")
            return 1
    print(f"{chosen.seeds} seeds held, {faults} faults")
    return 0


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
