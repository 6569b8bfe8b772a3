"""How a report looks at size: bounded, whatever the job."""

import time

from client.report.gather import Report
from client.report.page import page_of
from figures.cost import cost_of
from figures.path import path_of
from figures.rows import Machine
from figures.slow import families, slowest
from tests.figures.past import attempt, past, task


def test_a_hundred_thousand_tasks_make_a_page_of_less_than_two_megabytes() -> None:
    fates = ["done"] * 19 + ["failed"]
    tries = [attempt(n / 100, n / 100 + 60, f"w{n % 400}", fates[n % 20], cause=f"exit code {n % 97}") for n in range(100_000)]
    tasks = [task(n, [one], after=[n - 1] if n else (), family=f"f{n}") for n, one in enumerate(tries)]
    machines = [Machine(f"w{n}", "p", "f", 4.0, -30.0, None, 0.0) for n in range(400)]
    found = past(*tasks, machines=machines, now=2000.0)
    begun = time.process_time()
    told, more = families(found)
    job = {"tasks": {"succeeded": 95_000, "failed": 5_000}}
    failures = {"total": 0, "causes": [], "others": 0}
    report = Report(job, found, failures, "1", "c", cost_of(found), path_of(found), slowest(found), told, more)
    page = page_of(report)
    assert len(page) < 2_000_000
    assert "and 300 more workers" in page and "more entries" in page and "A row stands for several workers" in page
    assert time.process_time() - begun < 30
