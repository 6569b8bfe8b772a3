"""Sessions: what a cookie opens, what it never does, and when it ends. Hostile sites, neighbours and thieves among the visitors."""

import re

import httpx
import pytest

from boss.api import sessions
from boss.api.accounts import Accounts, Caller, digest_of
from boss.api.answers import Refusal
from boss.api.log_in import cookie_name, cookie_of
from boss.api.sessions import Sessions
from boss.core.tokens import Role, Token
from tests.page.house import PageRig

PAGES = (
    "/", "/jobs", "/jobs/job", "/jobs/job/graph", "/jobs/job/timeline", "/jobs/job/table", "/jobs/job/table.csv", "/jobs/job/results",
    "/jobs/job/tasks/0", "/jobs/job/preview?path=x", "/jobs/job/file?path=x", "/fleet", "/fleet/leaks", "/data", "/data/job", "/admin",
    "/admin/doctor", "/history.json", "/live", "/jobs/job/tasks/0/log", "/find?target=job",
)  # fmt: skip


def test_without_a_session_every_page_leads_to_the_log_in(rig: PageRig) -> None:
    stranger = rig.browser("")
    for path in PAGES:
        said = stranger.http.get(path)
        assert said.status_code == 303, path
        assert said.headers["location"].startswith("/login"), path
    assert "token" in stranger.get("/login")


def test_a_part_that_a_page_asks_for_without_a_session_is_refused_and_redirects_nowhere(rig: PageRig) -> None:
    assert rig.browser("").http.get("/", headers={"HX-Request": "true"}).status_code == 401
    assert rig.browser("").http.get("/live", headers={"Accept": "text/event-stream"}).status_code == 401


def test_a_token_makes_a_cookie_that_scripts_and_other_sites_never_have(rig: PageRig) -> None:
    said = rig.browser("").log_in(rig.token_of("viewer", "vic"))
    cookie = said.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Path=/" in cookie
    assert "Domain" not in cookie
    assert "Secure" not in cookie  # plain HTTP on loopback
    value = cookie_of(cookie.partition(";")[0], cookie_name(rig.url))
    assert value
    assert value not in said.text


def test_with_tls_the_cookie_goes_over_nothing_else_and_belongs_to_this_host_alone() -> None:
    assert cookie_name("https://boss.example:8443") == "__Host-ecloud-8443"
    assert cookie_name("http://127.0.0.1:1234") == "ecloud-1234"


def test_behind_a_proxy_with_tls_the_cookie_is_secure(rig: PageRig) -> None:
    headers = {"Authorization": f"Bearer {rig.token_of('viewer', 'vic')}", "X-Forwarded-Proto": "https"}
    said = httpx.post(f"{rig.url}/api/v1/session", headers=headers, trust_env=False)
    assert "Secure" in said.headers["set-cookie"]


def test_a_wrong_token_opens_nothing_and_is_noted(rig: PageRig) -> None:
    stranger = rig.browser("")
    assert stranger.log_in("wrong").status_code == 401
    assert not stranger.http.cookies
    rig.until(lambda rig: any(entry["verb"] == "log_in" and entry["code"] == 401 for entry in rig.get("/audit")))


def test_guessing_tokens_at_the_log_in_is_slowed_down_as_everywhere(rig: PageRig) -> None:
    stranger = rig.browser("")
    codes = [stranger.log_in("wrong").status_code for _ in range(40)]
    assert codes[0] == 401
    assert codes[-1] == 429


def test_logging_in_and_out_is_in_the_audit(rig: PageRig) -> None:
    browser = rig.browser_of("researcher", "ada")
    assert browser.call("DELETE", "/session").status_code == 200
    rig.until(lambda rig: {"log_in", "log_out"} <= {entry["verb"] for entry in rig.get("/audit") if entry["who"] == "ada"})


def test_the_cookie_alone_changes_nothing_and_reads_nothing_of_the_api(rig: PageRig) -> None:
    rig.push({"a": "hold"})
    browser = rig.browser()
    for word in ("", "wrong"):
        assert browser.call("POST", "/cancel", {"targets": ["job"]}, **{"X-Ecloud-Word": word}).status_code == 403
    assert browser.http.post("/api/v1/cancel", json={"targets": ["job"]}).status_code == 401
    assert browser.http.get("/api/v1/status").status_code == 401
    assert rig.states() == {"a": "running"} or rig.get("/jobs/job")["state"] == "running"


def test_a_form_of_another_site_changes_nothing(rig: PageRig) -> None:
    rig.push({"a": "hold"})
    browser = rig.browser()
    said = browser.http.post("/api/v1/cancel", data={"targets": "job"}, headers={"Origin": "https://evil.example"})
    assert said.status_code == 401
    said = browser.http.options(
        "/api/v1/cancel",
        headers={
            "Origin": "https://evil.example",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "x-ecloud-word",
        },
    )
    assert "access-control-allow-origin" not in said.headers
    assert rig.get("/jobs/job")["state"] == "running"


def test_no_page_contains_the_word_or_the_cookie(rig: PageRig) -> None:
    rig.push({"a": "hold"})
    browser = rig.browser()
    secrets = [browser.word, *browser.http.cookies.values()]
    for path in ("/", "/jobs", "/jobs/job", "/jobs/job/tasks/0", "/fleet", "/data", "/admin"):
        text = browser.get(path)
        assert not any(secret in text for secret in secrets), path


def test_the_word_with_the_cookie_is_the_caller_by_name_in_the_audit(rig: PageRig) -> None:
    ada = rig.browser_of("researcher", "ada")
    rig.push_by(rig.client(rig.token_of("researcher", "ada")), {"a": "hold"})
    assert ada.call("POST", "/pause", {"targets": ["job"]}).status_code == 200
    (entry,) = [one for one in rig.get("/audit", job="job") if one["verb"] == "pause"]
    assert (entry["who"], entry["role"], entry["code"]) == ("ada", "researcher", 200)


def test_a_role_holds_by_session_as_it_does_by_token(rig: PageRig) -> None:
    rig.push({"a": "hold"})
    viewer, researcher = rig.browser_of("viewer", "vic"), rig.browser_of("researcher", "ada")
    assert viewer.call("POST", "/cancel", {"targets": ["job"]}).status_code == 403
    assert "belongs to root" in researcher.call("POST", "/cancel", {"targets": ["job"]}).text
    assert viewer.call("PUT", "/pools/local", {"maximum": 1}).status_code == 403
    assert viewer.call("POST", "/tokens", {"role": "admin", "name": "vic"}).status_code == 403
    assert viewer.http.get("/admin").status_code == 403
    assert researcher.http.get("/admin").status_code == 403
    assert rig.get("/jobs/job")["state"] == "running"


def test_a_session_makes_no_further_session(rig: PageRig) -> None:
    assert rig.browser().call("POST", "/session").status_code == 409


def test_logging_out_ends_the_session_at_once_and_no_other(rig: PageRig) -> None:
    token = rig.token_of("viewer", "vic")
    here, there = rig.browser(token), rig.browser(token)
    kept = dict(here.http.cookies)
    assert here.call("DELETE", "/session").status_code == 200
    here.http.cookies.update(kept)
    assert here.http.get("/").status_code == 303
    assert here.call("GET", "/me").status_code == 401
    there.get("/")


def test_a_revoked_token_ends_its_sessions(rig: PageRig) -> None:
    vic = rig.browser_of("viewer", "vic")
    vic.get("/")
    assert rig.http.delete("/tokens/vic").status_code == 200
    assert vic.http.get("/").status_code == 303
    assert vic.call("GET", "/me").status_code == 401


def test_a_live_stream_ends_with_its_session(rig: PageRig) -> None:
    token = rig.token_of("viewer", "vic")
    vic, other = rig.browser(token), rig.browser(token)
    other.http.cookies.update(vic.http.cookies)
    with vic.http.stream("GET", "/live") as stream:
        lines = stream.iter_lines()
        assert next(lines).startswith("retry")
        assert rig.http.delete("/tokens/vic").status_code == 200
        assert "refused" in list(lines)[-1]


# ---- the table of sessions, on a clock of its own ------------------------------------------------------------------------


class Desk:
    """The two calls of a desk that accounts need."""

    def tokens(self) -> dict[str, object]:
        """None but the local ones."""
        return {}

    def put(self, event: object) -> bool:
        """Ignored."""
        return True


class Clock:
    """A clock that is set by hand."""

    now = 1000.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Stands still."""
    return Clock()


@pytest.fixture
def table(clock: Clock) -> Sessions:
    """The sessions of two admins."""
    return Sessions(Accounts(Desk(), {"one": "ada", "two": "bob"}), clock)  # type: ignore[arg-type]


def _caller(table: Sessions, text: str) -> Caller:
    return table._accounts.admit(f"Bearer {text}")


def test_a_session_is_over_after_a_while_without_a_request(table: Sessions, clock: Clock) -> None:
    cookie, word = table.begin(_caller(table, "one"))
    clock.now += sessions.IDLE - 1
    assert table.admit(cookie, word).name == "ada"
    clock.now += sessions.IDLE
    with pytest.raises(Refusal, match="log in again"):
        table.admit(cookie, None)
    assert len(table) == 0


def test_no_session_lasts_for_ever_however_often_it_is_used(table: Sessions, clock: Clock) -> None:
    cookie, _ = table.begin(_caller(table, "one"))
    end = clock.now + sessions.LONGEST
    while clock.now + sessions.IDLE / 2 < end:
        clock.now += sessions.IDLE / 2
        table.admit(cookie, None)
    clock.now = end
    with pytest.raises(Refusal):
        table.admit(cookie, None)


def test_sessions_are_bounded_for_each_token_and_the_quietest_makes_room(table: Sessions, clock: Clock) -> None:
    bobs, _ = table.begin(_caller(table, "two"))
    opened = []
    for _ in range(sessions.OF_ONE + 1):
        clock.now += 1
        opened.append(table.begin(_caller(table, "one"))[0])
    assert len(table) == sessions.OF_ONE + 1
    with pytest.raises(Refusal):
        table.admit(opened[0], None)
    assert table.admit(opened[1], None).name == "ada"
    assert table.admit(bobs, None).role is Role.ADMIN


def test_a_session_ends_in_the_second_in_which_its_token_expires() -> None:
    digest, wall = digest_of("text"), Clock()
    token = Token("tok-1", "vic", Role.VIEWER, digest, 0.0, expires=wall.now + 60)
    desk = Desk()
    desk.tokens = lambda: {digest: token}  # type: ignore[method-assign, dict-item]
    accounts = Accounts(desk, {}, wall)  # type: ignore[arg-type]
    table = Sessions(accounts, Clock())
    cookie, word = table.begin(accounts.admit("Bearer text"))
    wall.now += 59.9
    assert table.admit(cookie, word).name == "vic"
    wall.now += 0.1
    with pytest.raises(Refusal):
        table.admit(cookie, word)


def test_neither_cookie_nor_word_is_kept(table: Sessions) -> None:
    cookie, word = table.begin(_caller(table, "one"))
    kept = repr([(digest, one) for digest, one in table._open.items()])
    assert cookie not in kept
    assert word not in kept


def test_the_word_of_another_session_is_refused(table: Sessions) -> None:
    cookie, _ = table.begin(_caller(table, "one"))
    _, other = table.begin(_caller(table, "one"))
    with pytest.raises(Refusal) as refused:
        table.admit(cookie, other)
    assert refused.value.status == 403


@pytest.mark.parametrize("header", ["", "ecloud-1", "ecloud-1x=a", "x=ecloud-1=a", ";;;=;", "ecloud-12=b"])
def test_cookies_that_are_not_ours_are_none(header: str) -> None:
    assert cookie_of(header, "ecloud-1") == ""
    assert cookie_of(header + "; ecloud-1=mine", "ecloud-1") == "mine"


def test_names_of_cookies_can_stand_in_a_header() -> None:
    for url in ("http://127.0.0.1:1", "https://[::1]:8443", "https://boss.example"):
        assert re.fullmatch(r"[A-Za-z0-9_-]+", cookie_name(url))
