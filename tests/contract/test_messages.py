"""Messages on their way: a real mail server and a real web server on loopback, with TLS, signatures, refusals, and hostile words."""

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import pytest

from boss.adapters.certificates import Authority
from boss.adapters.notifier import Notifier, Surroundings
from boss.adapters.sending import Sender
from boss.adapters.wording import Wording, WordingError
from boss.core.events import Event
from boss.core.requests import Answer, ContextSet, Request
from boss.notices.delivery import Message, NotSent, UnknownTarget
from boss.notices.notice import Kind, Notice, made, to_text
from boss.notices.noting import FACT, STANDING
from boss.notices.targets import Smtp, Target, Telling
from boss.notices.watching import Disk, Left
from tests.receivers import PASSWORD, USER, Hook, MailServer
from tests.servers import eventually

MESSAGE = Message("id-1", "[ecloud c] job ising is done", "job ising is done.\n", b'{"text": "job ising is done"}')
ADA = "ada@example.org"


def smtp(server: MailServer, security: str = "none", **more: object) -> Smtp:
    return replace(Smtp("127.0.0.1", server.port, security, "ecloud@example.org", ca=server.ca), **more)  # type: ignore[arg-type]


def to_ada(how: Smtp) -> None:
    Sender(how, "c").send(Target("people", mail=(ADA,)), ADA, MESSAGE)


def not_sent(how: Smtp) -> NotSent:
    with pytest.raises(NotSent) as failure:
        to_ada(how)
    return failure.value


# ---- mail -------------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:Session.login_data is deprecated")
@pytest.mark.filterwarnings(
    "ignore:Requiring AUTH while not requiring TLS"
)  # it is TLS from the start, which this server cannot know
@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_mail_goes_over_tls_after_a_log_in(tmp_path: Path, security: str) -> None:
    with MailServer(tmp_path, security, log_in=True) as server:
        to_ada(smtp(server, security, user=USER, password=PASSWORD))
    (mail,) = server.mails
    assert server.to == [[ADA]]
    assert (mail["To"], mail["From"], mail["Subject"]) == (ADA, "ecloud <ecloud@example.org>", MESSAGE.subject)
    assert (mail["Message-ID"], mail["Auto-Submitted"]) == ("<id-1@c.ecloud.invalid>", "auto-generated")
    assert mail.get_content().replace("\r\n", "\n") == MESSAGE.text


@pytest.mark.filterwarnings("ignore:Session.login_data is deprecated")
def test_a_wrong_password_is_said_without_it_and_tried_again(tmp_path: Path) -> None:
    with MailServer(tmp_path, "starttls", log_in=True) as server:
        failure = not_sent(smtp(server, "starttls", user=USER, password="a-wrong-password"))
    assert "refuses the log-in: 535" in str(failure)
    assert "wrong-password" not in str(failure)
    assert not failure.for_good


def test_a_server_without_tls_gets_neither_password_nor_mail(tmp_path: Path) -> None:
    with MailServer(tmp_path, "none") as server:
        failure = not_sent(smtp(server, "starttls", user=USER, password=PASSWORD))
    assert "STARTTLS" in str(failure)
    assert server.mails == []


def test_a_server_that_another_ca_has_signed_is_not_believed(tmp_path: Path) -> None:
    other = Authority(tmp_path / "other").server(["127.0.0.1"]).ca
    with MailServer(tmp_path / "mine", "tls") as server:
        failure = not_sent(replace(smtp(server, "tls"), ca=other))
    assert "CERTIFICATE_VERIFY_FAILED" in str(failure)
    assert server.mails == []


def test_a_receiver_that_is_refused_for_good_is_not_tried_again_and_one_for_now_is(tmp_path: Path) -> None:
    with MailServer(tmp_path) as server:
        server.refuse = lambda address: "550 no such user"
        assert not_sent(smtp(server)).for_good
        server.refuse = lambda address: "451 come back later"
        failure = not_sent(smtp(server))
    assert not failure.for_good
    assert str(failure) == f"the mail server refuses {ADA}: 451 come back later"


def test_no_server_is_a_reason_to_try_again(tmp_path: Path) -> None:
    with MailServer(tmp_path) as server:
        how = smtp(server)
    assert not not_sent(how).for_good
    assert not_sent_without_server().for_good


def not_sent_without_server() -> NotSent:
    with pytest.raises(NotSent) as failure:
        Sender(None, "c").send(Target("people", mail=(ADA,)), ADA, MESSAGE)
    return failure.value


def test_hostile_words_make_no_header_no_line_and_no_mention(tmp_path: Path) -> None:
    evil = "x\r\nBcc: eve@example.org\r\n\r\n.\r\nMAIL FROM:<eve>\u2028<!channel> \u202e\x1b[2J\ud800"
    notices = [made("1-1", Kind.JOB_PAUSED, 1000.0, evil, f"job {evil} is paused: {evil}", evil, evil)]
    message = Wording("c", "http://127.0.0.1:1").message("people " + ADA, notices)
    with MailServer(tmp_path) as server:
        Sender(smtp(server), "c").send(Target("people", mail=(ADA,)), ADA, message)
    (mail,) = server.mails
    assert server.to == [[ADA]]
    assert set(mail.keys()) == {
        "From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "Content-Type", "Content-Transfer-Encoding", "MIME-Version",
    }  # fmt: skip
    assert "\n" not in mail["Subject"] and len(mail["Subject"]) <= 150
    assert "\x1b" not in mail.get_content()
    assert "\nBcc" not in mail.get_content().replace("\r", "\n")
    payload = json.loads(message.payload)
    assert "<!channel>" not in payload["text"]
    assert payload["notices"][0]["owner"].startswith("x Bcc: eve@example.org")


# ---- webhooks ---------------------------------------------------------------------------------------------------------


def test_a_webhook_gets_signed_json_over_tls(tmp_path: Path) -> None:
    with Hook(tmp_path) as hook:
        target = Target("ops", webhook=hook.url + "/hooks/abc", secret="the-key", ca=hook.ca)
        Sender(None, "c", lambda: 1234.5).send(target, "", MESSAGE)
    ((path, headers, body),) = hook.posts
    assert (path, headers["content-type"], headers["x-ecloud-id"]) == ("/hooks/abc", "application/json", "id-1")
    expected = hmac.new(b"the-key", b"1234." + body, hashlib.sha256).hexdigest()
    assert (headers["x-ecloud-timestamp"], headers["x-ecloud-signature"]) == ("1234", f"sha256={expected}")


def post(hook: Hook, ca: Path | None) -> NotSent:
    with pytest.raises(NotSent) as failure:
        Sender(None, "c").send(Target("ops", webhook=hook.url + "/hooks/s3cret-path", secret="the-key", ca=ca), "", MESSAGE)
    assert "s3cret-path" not in str(failure.value) and "the-key" not in str(failure.value)
    return failure.value


def test_answers_of_a_webhook_are_told_apart(tmp_path: Path) -> None:
    with Hook() as hook:
        hook.answers = [
            (503, {"Retry-After": "120"}),
            (429, {"Retry-After": "soon"}),
            (410, {}),
            (302, {"Location": "http://127.0.0.1:1/"}),
        ]
        found = [post(hook, None) for _ in range(4)]
    assert [(failure.for_good, failure.wait) for failure in found] == [(False, 120.0), (False, 0.0), (True, 0.0), (False, 0.0)]
    assert str(found[3]) == "the webhook answers 302", "no redirect is followed"
    assert len(hook.posts) == 4
    assert not post(hook, None).for_good, "nobody is there any more"


def test_a_webhook_that_another_ca_has_signed_is_not_believed(tmp_path: Path) -> None:
    other = Authority(tmp_path / "other").server(["127.0.0.1"]).ca
    with Hook(tmp_path / "mine") as hook:
        assert "CERTIFICATE_VERIFY_FAILED" in str(post(hook, other))
    assert hook.posts == []


# ---- words of one's own -------------------------------------------------------------------------------------------------


def test_templates_of_ones_own_win_and_one_that_stumbles_costs_no_message(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "subject.txt.j2").write_text("{{ count }} x\n{{ cluster }}\n")
    (tmp_path / "text.txt.j2").write_text("{{ nothing.there }}")
    (tmp_path / "slack.json.j2").write_text('{"blocks": {{ text | tojson }}}')
    (tmp_path / "bad.json.j2").write_text('{"text": {{ text }}}')
    wording = Wording("c", "http://x", tmp_path)
    notices = [made("1", Kind.TEST, 0.0, "a", 'quote " and <b>')]
    message = wording.message("ops", notices, "slack")
    assert message.subject == "1 x c"
    assert 'quote " and <b>' in message.text and "text.txt.j2" in caplog.text
    assert "quote" in json.loads(message.payload)["blocks"]
    assert json.loads(wording.message("ops", notices, "bad").payload)["version"] == 1
    assert wording.has("slack") and not wording.has("teams")


def test_a_template_that_cannot_be_read_is_said_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "text.txt.j2").write_text("{% for %}")
    with pytest.raises(WordingError, match=r"text\.txt\.j2"):
        Wording("c", "http://x", tmp_path)
    with pytest.raises(WordingError, match="there is no folder"):
        Wording("c", "http://x", tmp_path / "none")


def test_many_notices_are_one_message_that_names_some_and_counts_all() -> None:
    notices = [made(f"1-{n}", Kind.JOB_DONE, 0.0, "j", f"job j{n} is done") for n in range(300)]
    message = Wording("c", "http://x").message("ops", [*notices, made("2", Kind.DISK, 0.0, "d", "the disk is full")])
    assert message.subject == "[ecloud c] 300 jobs done, 1 disk nearly full"
    assert len(message.payload) < 20_000 and json.loads(message.payload)["more"] == 276
    assert json.loads(message.payload)["severity"] == "error"
    assert message.id == Wording("c", "http://x").message("ops", [*notices, made("2", Kind.DISK, 0.0, "d", "")]).id


# ---- the threads --------------------------------------------------------------------------------------------------------


class Desk:
    """The loop, as the notifier sees it: what it was told becomes facts. ``asks`` is how it answers."""

    def __init__(self) -> None:
        self.facts: dict[str, str] = {}
        self.asks = 200
        self._lock = threading.Lock()

    def put(self, event: Event) -> bool:
        assert isinstance(event, ContextSet)
        with self._lock:
            for name, value in event.facts.items():
                self.facts.pop(name, None)
                if value is not None:
                    self.facts[name] = value
        return True

    def ask(self, request: object) -> "Future[Answer]":
        made_request: Request = request(1)  # type: ignore[operator]
        if self.asks == 200:
            self.put(made_request)
        future: Future[Answer] = Future()
        future.set_result(Answer(self.asks, {}))
        return future


class Place:
    """A notifier with a desk, and what it looks at."""

    def __init__(self, *targets: Target, smtp: Smtp | None = None, retry_for: float = 600.0) -> None:
        self.telling = Telling(targets, people={"ada": ADA}, smtp=smtp, gather=0.01, retry_for=retry_for)
        self.desk = Desk()
        self.paused: dict[str, str] = {}
        self.disks: list[Disk] = []
        self.left: list[Left] = []
        self.now = 1000.0
        self.notifier = Notifier(self.telling, Wording("c", "http://x"), Sender(smtp, "c"), lambda: self.now)
        around = Surroundings(lambda: self.paused, lambda: self.disks, lambda: self.left)
        self.notifier.begin(self.desk, around)  # type: ignore[arg-type]
        self.notifier.loaded(1, None)

    def tell(self, *notices: Notice) -> None:
        """What the loop does after its commit."""
        rows = [(notice, self.telling.units(notice)) for notice in notices]
        self.desk.put(ContextSet({FACT + notice.id: to_text(notice, units) for notice, units in rows}))
        self.notifier.take(rows)

    def waiting(self) -> Sequence[str]:
        return [name for name in self.desk.facts if name.startswith(FACT)]


def done(number: int = 1, owner: str = "ada") -> Notice:
    return made(f"1-{number}", Kind.JOB_DONE, 1000.0, "j", f"job j{number} is done", owner)


@pytest.fixture
def hook() -> Iterator[Hook]:
    with Hook() as one:
        yield one


def test_what_was_told_is_noted_and_told_once(hook: Hook) -> None:
    place = Place(Target("ops", webhook=hook.url))
    with place.notifier:
        place.tell(done(1), done(2))
        place.tell(done(1))  # a load hands over what waits once more
        eventually(lambda: not place.waiting() and hook.posts)
    told = [one["id"] for _, _, body in hook.posts for one in json.loads(body)["notices"]]
    assert sorted(told) == ["1-1", "1-2"]


def test_a_target_that_does_not_answer_keeps_no_other_waiting_and_its_notices_stay(hook: Hook, tmp_path: Path) -> None:
    with Hook() as silent:
        pass
    place = Place(Target("gone", webhook=silent.url), Target("ops", webhook=hook.url))
    with place.notifier:
        place.tell(done())
        eventually(lambda: hook.posts and place.notifier.counts().get("retried"))
        eventually(lambda: '"for":["gone"]' in place.desk.facts[FACT + "1-1"])


def test_what_a_receiver_will_never_take_is_given_up_in_a_line(hook: Hook, caplog: pytest.LogCaptureFixture) -> None:
    hook.answers = [(400, {})]
    place = Place(Target("ops", webhook=hook.url))
    with place.notifier:
        place.tell(done())
        eventually(lambda: not place.waiting())
    assert "given up: the webhook answers 400; the first: job j1 is done" in caplog.text
    assert place.notifier.counts() == {"given up": 1}


def test_what_waited_too_long_or_for_a_target_that_is_gone_is_given_up(hook: Hook, caplog: pytest.LogCaptureFixture) -> None:
    place = Place(Target("ops", webhook=hook.url), retry_for=60.0)
    place.now = 2000.0
    place.tell(done(1))
    place.desk.put(ContextSet({FACT + "1-2": "x"}))
    place.notifier.take([(replace(done(2), at=2000.0), ["removed"])])
    assert place.waiting() == []
    assert "it is too old" in caplog.text and "its target is gone" in caplog.text


def test_everybody_gets_a_mail_of_their_own(tmp_path: Path) -> None:
    with MailServer(tmp_path) as server:
        place = Place(Target("people", mail=("owner", "ops@example.org")), smtp=smtp(server))
        with place.notifier:
            place.tell(done(1), done(2, owner="bob"))
            eventually(lambda: len(server.mails) == 2)
    found = {to[0]: mail["Subject"] for to, mail in zip(server.to, server.mails, strict=True)}
    assert found == {ADA: "[ecloud c] job j1 is done", "ops@example.org": "[ecloud c] 2 jobs done"}


def test_pools_disks_and_leaks_are_told_when_they_begin(hook: Hook) -> None:
    place = Place(Target("ops", webhook=hook.url))
    place.disks, place.paused = [Disk("the disk of the boss", 5, 100)], {"cloud": "no valid host"}
    place.left = [Left("openstack", "server", "id-1", "s")]
    with place.notifier:
        place.notifier.look()
        place.notifier.look()
        place.now += 1000.0
        place.notifier.look()
        eventually(lambda: not place.waiting())
    told = [one["kind"] for _, _, body in hook.posts for one in json.loads(body)["notices"]]
    assert sorted(told) == ["disk", "leak", "pool_paused"]
    assert "pool cloud" in place.desk.facts[STANDING]


def test_what_could_not_be_noted_is_told_at_the_next_look(hook: Hook) -> None:
    place = Place(Target("ops", webhook=hook.url))
    place.disks, place.desk.asks = [Disk("the disk of the boss", 5, 100)], 503
    place.notifier.look()
    assert place.desk.facts == {}
    place.desk.asks = 200
    place.notifier.look()
    assert len(place.waiting()) == 1


def test_a_test_message_says_how_it_went_at_each_receiver(hook: Hook, tmp_path: Path) -> None:
    with Hook() as silent:
        pass
    with MailServer(tmp_path) as server:
        targets = Target("ops", webhook=hook.url), Target("gone", webhook=silent.url), Target("people", mail=("owner",))
        notifier = Place(*targets, smtp=smtp(server)).notifier
        tried = {one.target: (one.to, one.sent) for one in notifier.test("", "ada")}
        assert tried == {"ops": ("", True), "gone": ("", False), "people": (ADA, True)}
        (nobody,) = notifier.test("people", "zoe")
        assert not nobody.sent and "no address of zoe" in nobody.said
    with pytest.raises(UnknownTarget):
        notifier.test("nobody", "ada")


def test_stopping_waits_for_no_receiver(hook: Hook) -> None:
    place = Place(Target("ops", webhook=hook.url))
    place.telling = replace(place.telling, gather=600.0)
    with place.notifier:
        place.notifier.take([])
    assert all(not thread.is_alive() for thread in place.notifier._threads)
