"""Finding by globs without comparing with everything gives exactly what comparing with everything gives."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from boss.taskfile.paths import PathIndex, fitting, head_of, tail_of, unreadable, words_of
from boss.taskfile.yields import Yields
from datastore.layout import is_pattern, matches, overlap

PART = st.text("ab1.-*?[]!", min_size=1, max_size=6) | st.just("**")
PATTERNS = st.builds(lambda parts, end: "/".join(parts) + end, st.lists(PART, min_size=1, max_size=3), st.sampled_from(["", "/"]))
PATHS = st.lists(st.text("ab1.-[]!", min_size=1, max_size=4), min_size=1, max_size=3).map("/".join)
PLAIN = st.lists(st.text("ab1-", min_size=1, max_size=2), min_size=1, max_size=3).map("/".join)
OUTPUTS = (
    PLAIN
    | PLAIN.map(lambda path: path + "/")
    | st.lists(st.text("ab1*", min_size=1, max_size=3), min_size=1, max_size=3).map("/".join)
)


@settings(deadline=None)
@given(PATTERNS, st.lists(PATHS, max_size=8))
def test_an_index_finds_what_the_layout_matches(pattern: str, paths: list[str]) -> None:
    assume(unreadable(pattern) is None)
    expected = sorted(path for path in paths if matches(pattern, path))
    fits = fitting(pattern)
    assert [path for path in sorted(paths) if fits(path)] == expected
    if is_pattern(pattern) or pattern.endswith("/"):
        assert PathIndex(paths).matching(pattern) == expected


@settings(deadline=None)
@given(PATTERNS, st.lists(PATHS, max_size=8))
def test_head_tail_and_words_are_in_all_that_a_pattern_names(pattern: str, paths: list[str]) -> None:
    assume(unreadable(pattern) is None)
    for path in (path for path in paths if matches(pattern, path)):
        assert path.startswith(head_of(pattern))
        assert path.endswith(tail_of(pattern))
        assert set(words_of(pattern)) <= set(words_of(path))


def test_many_questions_with_rare_words_use_the_words() -> None:
    paths = [f"out/s{seed}-T{t / 100:.2f}-end.dat" for t in range(100, 200) for seed in range(20)]
    index = PathIndex(paths)
    for t in range(100, 200):
        assert len(index.matching(f"out/*-T{t / 100:.2f}-*.dat")) == 20


@pytest.mark.parametrize("pattern", ["[z-a]", "a[b--c]", "[a&&b]", "[||]"])
def test_a_character_set_that_cannot_be_read_is_told(pattern: str) -> None:
    assert "character set" in str(unreadable(pattern))


@settings(deadline=None)
@given(st.lists(st.tuples(OUTPUTS, st.integers(0, 3)), max_size=8), PLAIN, OUTPUTS)
def test_questions_about_outputs_agree_with_asking_each(outputs: list[tuple[str, int]], path: str, question: str) -> None:
    yields = Yields()
    kept = []
    for output, task in outputs:
        if is_pattern(output) or output.endswith("/"):
            yields.add_open(output, task)
        elif yields.add_file(output, task) is not None:
            continue
        kept.append((output, task))
    yields.seal()
    assert set(yields.yielding(path)) == {task for output, task in kept if matches(output, path)}
    if is_pattern(question) or question.endswith("/"):
        found = set(yields.meeting(question))
        # The layout takes any two globs with ** for meeting; here heads and tails must agree as well.
        assert found <= {task for output, task in kept if overlap(output, question)}
        assert found >= {task for output, task in kept if matches(question, output)}
    pairs = {frozenset((one, other)) for one, _, other, _ in yields.clashes()}
    for number, (one, first) in enumerate(kept):
        for other, second in kept[number + 1 :]:
            inside = any(not is_pattern(file) and below.startswith(file + "/") for file, below in ((one, other), (other, one)))
            if first != second and (inside or matches(one, other) or matches(other, one)):
                assert frozenset((first, second)) in pairs, (one, other)
