"""The recipes of docs/recipes.md, run as they stand there against a real boss."""

import re
from pathlib import Path
from typing import Any

import pytest

from client import Client
from tests.e2e.deployment import ROOT

PAGE = (ROOT / "docs" / "recipes.md").read_text("utf-8")
RECIPES = {
    title: re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    for title, text in re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
}


def test_every_recipe_has_a_block() -> None:
    assert RECIPES and all(RECIPES.values())


@pytest.mark.parametrize("title", RECIPES)
def test_a_recipe_runs_as_it_stands(title: str, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    made: list[Client] = []
    begin = Client.__init__

    def noted(self: Client, *words: Any) -> None:
        made.append(self)
        begin(self, *words)

    monkeypatch.setattr(Client, "__init__", noted)
    try:
        for number, block in enumerate(RECIPES[title]):
            exec(compile(block, f"{title} ({number})", "exec"), names)
    finally:
        for one in made:  # a recipe leaves that to its program's end
            one.close()
