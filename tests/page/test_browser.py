"""The page in a real browser, on a whole ecloud: what a researcher does on a day, wide and narrow, light and dark.

Each visit ends with: nothing was said in the console, nothing was asked of another host, the page is no wider than its window.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.e2e.deployment import Deployment, deployed
from tests.page.chrome import NARROW, PATIENCE, WIDE, Visit, chromium

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

LOOKS = [(WIDE, "light"), (WIDE, "dark"), (NARROW, "light"), (NARROW, "dark")]
#: Waits until a file appears that the test makes, so that nothing depends on how fast a machine is.
GATED = "echo begun {n}; until [ -e %s ]; do sleep 0.1; done; echo over {n}"


@pytest.fixture(scope="module")
def ecloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with deployed(tmp_path_factory.mktemp("page")) as deployment:
        yield deployment


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as made:
        yield made


@pytest.fixture(params=LOOKS, ids=lambda look: f"{look[0][0]}-{look[1]}")
def visit(request: pytest.FixtureRequest, browser: Browser, ecloud: Deployment) -> Iterator[Visit]:
    """An admin's window."""
    yield from _visit(browser, ecloud, *request.param)


@pytest.fixture
def wide(browser: Browser, ecloud: Deployment) -> Iterator[Visit]:
    """An admin's window, in one look."""
    yield from _visit(browser, ecloud, WIDE, "light")


def _visit(browser: Browser, ecloud: Deployment, size: tuple[int, int], scheme: str) -> Iterator[Visit]:
    access = _access(ecloud)
    made = Visit(browser, access["url"], size, scheme)
    try:
        made.log_in(access["token"])
        yield made
        assert made.troubles == []
        assert made.overflow() <= 0
    finally:
        made.close()
        for gate in ecloud.folder.glob("*.wanted"):  # what a test that failed has left would hold the workers
            gate.with_suffix("").touch()


def _access(ecloud: Deployment) -> Any:
    return json.loads((ecloud.state / "api.json").read_text())


def _sweep(ecloud: Deployment, name: str, gate: str, tasks: int = 4) -> str:
    """Push a sweep whose tasks wait for a file."""
    command = GATED % (ecloud.folder / gate)
    (ecloud.folder / f"{gate}.wanted").touch()
    rows = [
        {"id": "run-{n}", "foreach": {"n": {"range": [0, tasks]}}, "command": command},
        {"id": "sum", "command": "echo 42 > sum.txt", "after": ["run-*"], "outputs": ["sum.txt"]},
    ]
    return ecloud.push({"job": name, "tasks": rows}, name=name)


def test_a_job_is_pushed_and_watched_until_it_is_done(visit: Visit, ecloud: Deployment) -> None:
    page = visit.page
    gate = f"gate-{id(visit)}"
    job = _sweep(ecloud, "watched", gate)
    expect(page.get_by_role("link", name=job, exact=True)).to_be_visible(timeout=PATIENCE)  # by itself: the page is live
    page.get_by_role("link", name=job, exact=True).click()
    expect(page.get_by_role("heading", level=1, name=job)).to_be_visible()
    expect(page.locator("#jobstate .state")).to_have_text("running")
    (ecloud.folder / gate).touch()
    expect(page.locator("#jobstate .state")).to_have_text("succeeded", timeout=PATIENCE)
    expect(page.locator("#jobbar svg")).to_have_attribute("aria-label", "5 of 5 tasks finished; 5 succeeded")
    expect(page.locator("#tasks tbody tr")).to_have_count(5)


def test_the_graph_of_a_job_opens_and_leads_to_its_tasks(visit: Visit, ecloud: Deployment) -> None:
    page = visit.page
    (ecloud.folder / "open").touch()
    job = _sweep(ecloud, "drawn", "open", tasks=40)
    page.goto(f"/jobs/{job}")
    page.get_by_role("navigation", name="Views of this job").get_by_role("link", name="Graph").click()
    expect(page.locator("svg.graph g.box")).to_have_count(2)
    page.get_by_role("link", name="Task by task").click()
    expect(page.locator("svg.graph g.box")).to_have_count(41)
    page.get_by_role("button", name="Larger").click()
    page.locator("svg.graph a[href$='/tasks/40']").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1, name="sum")).to_be_visible()


def test_a_job_is_cancelled_and_retried_with_buttons(visit: Visit, ecloud: Deployment) -> None:
    page = visit.page
    gate = f"retry-{id(visit)}"
    job = _sweep(ecloud, "steered", gate)
    page.goto(f"/jobs/{job}")
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#jobstate .state")).to_have_text("paused", timeout=PATIENCE)
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("#jobstate .state")).to_have_text("running", timeout=PATIENCE)
    page.get_by_role("button", name="Cancel", exact=True).click()
    page.get_by_role("button", name="Keep as it is").click()
    expect(page.locator("#jobstate .state")).to_have_text("running")
    page.get_by_role("button", name="Cancel", exact=True).click()
    page.get_by_role("button", name="Go ahead").click()
    expect(page.locator("#jobstate .state")).to_have_text("cancelled", timeout=PATIENCE)
    (ecloud.folder / gate).touch()
    page.get_by_role("button", name="Retry failed").click()
    expect(page.locator("#jobstate .state")).to_have_text("succeeded", timeout=PATIENCE)
    verbs = [entry["verb"] for entry in ecloud.look("audit", "--job", job)]
    assert verbs == ["push", "pause", "resume", "cancel", "retry_failed"]


def test_a_log_is_read_as_it_is_written(visit: Visit, ecloud: Deployment) -> None:
    page = visit.page
    gate = f"log-{id(visit)}"
    job = _sweep(ecloud, "spoken", gate, tasks=1)
    page.goto(f"/jobs/{job}/tasks/0")
    expect(page.locator('[data-stream="stdout"]')).to_contain_text("begun 0", timeout=PATIENCE)
    expect(page.locator("#head .state")).to_have_text("running")
    (ecloud.folder / gate).touch()
    expect(page.locator('[data-stream="stdout"]')).to_contain_text("over 0", timeout=PATIENCE)
    expect(page.locator("#head .state")).to_have_text("succeeded", timeout=PATIENCE)


def test_a_pool_is_changed_paused_and_let_go_on(visit: Visit, ecloud: Deployment) -> None:
    page = visit.page
    page.goto("/fleet")
    form = page.get_by_role("form", name="Pool local")
    form.get_by_label("Maximum").fill("1")
    form.get_by_role("button", name="Change").click()
    expect(page.get_by_role("status").last).to_contain_text("from 0 to 1 VMs")
    form.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("button", name="Let VMs come")).to_be_visible(timeout=PATIENCE)
    assert ecloud.look("show_pools")[0]["paused"] is True
    page.get_by_role("button", name="Let VMs come").click()
    expect(form.get_by_role("button", name="Pause")).to_be_visible(timeout=PATIENCE)
    page.get_by_role("button", name="As the settings").click()
    expect(page.get_by_role("button", name="As the settings")).to_have_count(0, timeout=PATIENCE)
    assert ecloud.look("show_pools")[0]["maximum"] == 2


def test_no_page_keeps_anybody_out(visit: Visit, ecloud: Deployment) -> None:
    (ecloud.folder / "open").touch()
    rows = [
        {"id": "bad-{n}", "foreach": {"n": {"range": [0, 3]}}, "command": "echo step {n}; echo no >&2; exit 3"},
        {"id": "good", "command": "echo '{\"x\": 1}' > g.json", "outputs": ["g.json"], "metrics": "g.json"},
    ]
    job = ecloud.push({"job": "seen", "tasks": rows}, name="seen")
    ecloud.look("show_jobs")
    page = visit.page
    page.goto(f"/jobs/{job}")
    expect(page.locator("#jobstate .state")).to_have_text("failed", timeout=PATIENCE)
    parts = (
        "",
        "/graph",
        "/timeline",
        "/table",
        "/results",
        "/tasks/0",
        "/tasks/3",
        "/preview?path=g.json",
        "/tasks/0/attempts/1/stderr",
    )
    for path in (
        "/login",
        "/",
        "/jobs",
        "/fleet",
        "/data",
        "/admin",
        "/find?target=nobody",
        *(f"/jobs/{job}{part}" for part in parts),
    ):
        page.goto(path)
        page.locator("main h1").first.wait_for(state="attached")
        assert visit.violations() == [], path
        assert visit.overflow() <= 0, path
    assert all("nobody" in one for one in visit.troubles), visit.troubles  # the browser notes that there is no such page
    visit.troubles.clear()


def test_everything_can_be_reached_and_seen_by_keyboard(wide: Visit) -> None:
    page = wide.page
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    expect(page.get_by_role("link", name="Skip to the content")).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.keyboard.press("Tab")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


def test_the_colours_can_be_switched_and_stay_so(wide: Visit) -> None:
    page = wide.page
    colour = "getComputedStyle(document.documentElement).backgroundColor"
    light = page.evaluate(colour)
    page.get_by_role("button", name="Colours").click()
    page.get_by_role("button", name="Colours: light").click()
    dark = page.evaluate(colour)
    assert light != dark
    page.reload()
    assert page.evaluate(colour) == dark
    expect(page.get_by_role("button", name="Colours: dark")).to_be_visible()


def test_the_browser_keeps_no_token_and_logging_out_ends_it_all(wide: Visit, ecloud: Deployment) -> None:
    page = wide.page
    token = _access(ecloud)["token"]
    kept = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])")
    assert token not in kept
    (cookie,) = wide.cookies()
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Strict"
    assert cookie["name"] not in kept
    page.get_by_role("button", name="Log out").click()
    page.wait_for_url("**/login")
    page.goto("/fleet")
    assert page.url.endswith("/login?next=%2Ffleet")
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/fleet")


def test_a_wrong_token_is_told_on_the_page(browser: Browser, ecloud: Deployment) -> None:
    visit = Visit(browser, _access(ecloud)["url"], WIDE, "light")
    visit.page.goto("/login?next=https://evil.example/")
    visit.page.get_by_label("Token").fill("wrong")
    visit.page.get_by_role("button", name="Log in").click()
    expect(visit.page.get_by_role("alert").first).to_contain_text("not known")
    visit.page.get_by_label("Token").fill(_access(ecloud)["token"])
    visit.page.get_by_role("button", name="Log in").click()
    visit.page.wait_for_url(f"{visit.url}/")  # never another host
    visit.close()


def test_names_and_logs_that_are_programs_do_not_run(wide: Visit, ecloud: Deployment) -> None:
    page = wide.page
    hostile = "<img src=x onerror=window.ran=1>"
    rows = [{"id": hostile, "command": f"echo '{hostile}<script>window.ran=1</script>'; exit 1"}]
    job = ecloud.push({"job": "hostile", "tasks": rows}, name="hostile")
    page.goto(f"/jobs/{job}")
    expect(page.locator("#jobstate .state")).to_have_text("failed", timeout=PATIENCE)
    for part in ("", "/graph", "/timeline", "/table", "/tasks/0"):
        page.goto(f"/jobs/{job}{part}")
        expect(page.get_by_text(hostile).first).to_be_attached()
        assert page.evaluate("window.ran") is None
    expect(page.locator('[data-stream="stdout"]')).to_contain_text("<script>", timeout=PATIENCE)
    assert page.evaluate("window.ran") is None


def test_a_revoked_token_sends_an_open_page_to_the_log_in(browser: Browser, ecloud: Deployment) -> None:
    made = ecloud.look("create_token", "viewer", "vic")
    visit = Visit(browser, _access(ecloud)["url"], WIDE, "light")
    visit.log_in(made["token"])
    expect(visit.page.locator("#pulse .word")).to_have_text("live")
    ecloud.admin("revoke_token", "vic")
    visit.page.wait_for_url("**/login", timeout=PATIENCE)
    visit.close()
