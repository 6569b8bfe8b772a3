#!/usr/bin/env python3
"""How long pages about a large job take, in a real browser: from the click to the page that can be read.

Rules:
- A private boss, a sweep of so many tasks of which the first ones run; Chromium on the same machine.
- A page counts from the request to the browser's ``load`` event, with all of its files; each is loaded several times, and the middle one
  is told.
- ``bytes`` is what the page itself takes, without its files, which browsers keep.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.private_boss import private_boss
from tests.page.chrome import WIDE, Visit, chromium

#: Pages, and the goal for each, in seconds.
PAGES = {
    "/": 1.0,
    "/jobs": 1.0,
    "/jobs/large": 1.0,
    "/jobs/large?after=90000": 1.0,
    "/jobs/large?q=run-77777": 1.0,
    "/jobs/large/graph": 2.0,
    "/jobs/large/timeline": 2.0,
    "/jobs/large/table": 1.0,
    "/jobs/large/tasks/500": 1.0,
    "/fleet": 1.0,
}


def main() -> None:
    """Push, load, print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=100_000, metavar="N", help="tasks of the job (100,000)")
    parser.add_argument("--times", type=int, default=5, metavar="N", help="how often each page is loaded (5)")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = [
        {"id": "first", "command": "true"},
        {"id": "run-{n}", "foreach": {"n": {"range": [0, options.tasks]}}, "command": "true", "after": ["first"]},
        {"id": "last", "command": "true", "after": ["run-*"]},
    ]
    with private_boss(None) as boss, chromium() as browser:
        boss.client.submit(rows, name="large")
        deadline = time.monotonic() + 600
        while boss.client.jobs()[0]["tasks"].get("succeeded", 0) < 1000 and time.monotonic() < deadline:
            boss.client.connection.get("/jobs/large", {"wait": "0.5"})
        access = json.loads((boss.state / "api.json").read_text())
        visit = Visit(browser, access["url"], WIDE, "light")
        visit.log_in(access["token"])
        for paused in (False, True):
            if paused:
                boss.client.pause("large")
            print(f"\n{options.tasks:,} tasks, {'paused' if paused else 'while they run'}\n")
            print("| page | middle | slowest | goal | bytes |\n| --- | ---: | ---: | ---: | ---: |")
            for path, goal in PAGES.items():
                spent = []
                for _ in range(options.times):
                    begun = time.perf_counter()
                    answer = visit.page.goto(path, wait_until="load")
                    spent.append(time.perf_counter() - begun)
                size = len(answer.body()) if answer is not None else 0
                print(
                    f"| `{path}` | {statistics.median(spent):.2f} s | {max(spent):.2f} s | {goal:.0f} s | {size:,} |", flush=True
                )
        visit.close()


if __name__ == "__main__":
    main()
