"""``python -m simulator hunt --seeds N [--first K]``: look for a seed whose hostile world breaks a promise."""

import argparse
import sys
import traceback

from simulator.scenarios import hostile_job, hostile_jobs


def main(words: list[str]) -> int:
    """0 when every seed held, 1 with the first seed that did not."""
    parser = argparse.ArgumentParser(prog="python -m simulator")
    commands = parser.add_subparsers(dest="command", required=True)
    hunt = commands.add_parser("hunt", help="run many seeds of the hostile world")
    hunt.add_argument("--seeds", type=int, default=100)
    hunt.add_argument("--first", type=int, default=0)
    chosen = parser.parse_args(words)
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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
