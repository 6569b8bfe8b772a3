"""The table of the comparison: medians over the runs, beside the xargs of the same run, and no figure that was not measured."""

from benchmarks.figures import Line, Measured, table


def measured(load: str, seconds: float, run: int = 1, **more: object) -> Measured:
    beside = {"xargs": (1.0, 3.0), "xargs_cpu": (0.5, 1.5)} if load != "queue" else {}
    return Measured("sqlite", run, load, 1000, seconds, **{"cpu": 2.0, **beside, **more})  # type: ignore[arg-type]


def rows(*lines: Line) -> list[list[str]]:
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in table(lines).splitlines()]


def test_a_figure_is_the_median_of_the_runs_with_lowest_and_highest() -> None:
    runs = [measured("true", seconds, run) for run, seconds in enumerate((1.0, 4.0, 2.0))]
    _, _, xargs, ours = rows(Line("ours", "all", runs))
    assert ours == ["ours", "1.00 (0.50 to 2.00)", "2.00", "-", "-", "-", "-", "-", "all"]
    assert xargs == ["xargs -P2 (333 to 1,000 tasks/s)", "1", "1.00 (0.50 to 1.50)", "-", "-", "-", "-", "-", "no"]


def test_each_load_has_its_column() -> None:
    found = [measured("chain", 2.0), measured("layers", 1.0), measured("sleep", 100.0), measured("queue", 0.5, memory=700.4)]
    _, _, xargs, ours = rows(Line("ours", "all", found))
    assert ours[3:8] == ["2.0", "2.00", "0.50", "2,000", "700"]
    assert xargs[3:8] == ["2.0 (1.0 to 3.0)", "-", "33.33 (16.67 to 50.00)", "-", "-"]


def test_what_a_system_cannot_do_is_said() -> None:
    _, _, _, ours = rows(Line("ours", "no", [Measured("ours", 1, "layers", 5000, unable="no graph")]))
    assert ours == ["ours", "-", "-", "-", "no graph", "-", "-", "-", "no"]
