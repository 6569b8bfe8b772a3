"""The API as its own description has it, asked whatever fits that description and much that does not: no fault, and answers that fit."""

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance

from tests.api.rig import TOKEN, Rig

#: Answers that never end, and what would end the boss or the tokens of the test itself.
NOT_ASKED = {"/api/v1/events", "/api/v1/logs/follow", "/api/v1/workers/{worker}/debug"}


def ask_everything(rig: Rig, examples: int) -> int:
    """Ask each operation so many times, first what fits, then what does not; how many operations there are."""
    root = rig.url
    schema = schemathesis.openapi.from_url(f"{root}/openapi.json")
    asked = 0
    for found in schema.get_all_operations():
        operation = found.ok()
        if operation.path in NOT_ASKED or (operation.path.startswith("/api/v1/tokens") and operation.method == "delete"):
            continue
        asked += 1
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

            @settings(
                max_examples=examples,
                deadline=None,
                database=None,
                derandomize=True,
                phases=[Phase.generate],
                verbosity=Verbosity.quiet,
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy(generation_mode=mode))
            def ask(case: schemathesis.Case) -> None:
                response = case.call(base_url=root, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=20)
                checks = [not_a_server_error]
                if response.status_code != 503:  # what an answer says is part of its promise
                    checks.append(response_schema_conformance)
                case.validate_response(response, checks=checks)

            ask()
    return asked


def test_what_the_description_allows_and_forbids_never_makes_the_boss_stumble(rig: Rig) -> None:
    rig.push({"a": "true", "b": "fail"})
    assert ask_everything(rig, 3) > 30
    assert rig.get("/health")["version"] == "9.9"


@pytest.mark.long
@pytest.mark.timeout(600)
def test_and_neither_does_it_when_asked_for_longer(rig: Rig) -> None:
    rig.push({"a": "true", "b": "fail"})
    ask_everything(rig, 40)
    assert rig.get("/health")["version"] == "9.9"
