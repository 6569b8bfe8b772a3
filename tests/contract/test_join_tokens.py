"""Join tokens: what one says, and that nothing but the key makes one."""

import base64
import json
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boss.adapters.join_tokens import BadToken, JoinToken, JoinTokens

NOW = 1_700_000_000.0


def tokens(folder: Path, cluster: str = "c1", now: float = NOW) -> JoinTokens:
    return JoinTokens(folder / "join_key", cluster, lambda: now)


def test_a_token_says_its_group_its_uses_and_whether_its_time_is_over(tmp_path: Path) -> None:
    text = tokens(tmp_path).make("cloud-7", 3, 60)
    assert tokens(tmp_path).read(text) == JoinToken("cloud-7", 3, over=False)
    assert tokens(tmp_path, now=NOW + 59).read(text).over is False
    assert tokens(tmp_path, now=NOW + 60).read(text).over is True
    assert stat.S_IMODE((tmp_path / "join_key").stat().st_mode) == 0o600


def test_a_token_of_another_cluster_or_key_is_none(tmp_path: Path) -> None:
    text = tokens(tmp_path).make("cloud-7", 3, 60)
    (tmp_path / "other").mkdir()
    for reader in (tokens(tmp_path, "c2"), tokens(tmp_path / "other")):
        with pytest.raises(BadToken):
            reader.read(text)


def test_facts_of_ones_own_are_not_believed(tmp_path: Path) -> None:
    proof = tokens(tmp_path).make("cloud-7", 1, 60).partition(".")[2]
    facts = base64.urlsafe_b64encode(json.dumps(["c1", "cloud-8", 99, 9999999999]).encode()).decode().rstrip("=")
    for text in (f"{facts}.{proof}", f"{facts}.", facts, f"{facts}.{facts}"):
        with pytest.raises(BadToken):
            tokens(tmp_path).read(text)


@given(place=st.integers(0, 200), character=st.characters())
def test_one_changed_character_spoils_it(tmp_path_factory: pytest.TempPathFactory, place: int, character: str) -> None:
    here = tokens(tmp_path_factory.getbasetemp())
    text = here.make("cloud-7", 3, 60)
    place %= len(text)
    changed = text[:place] + character + text[place + 1 :]
    if changed == text:
        return
    with pytest.raises(BadToken):
        here.read(changed)


@pytest.mark.parametrize("text", ["", ".", "..", "a.b.c", "\0", "é.ü", "a" * 100_000, "=.=", "W10.W10", "\n.\n"])
def test_what_is_no_token_at_all_is_bad_and_nothing_worse(text: str, tmp_path: Path) -> None:
    with pytest.raises(BadToken):
        tokens(tmp_path).read(text)
