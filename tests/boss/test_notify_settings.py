"""The table [notify]: what is wrong is said with its place and remedy, secrets are shown nowhere, files lie beside the settings."""

from pathlib import Path

import pytest

import settings
from boss import config
from boss.adapters.wording import WordingError
from boss.notices.notice import Severity
from boss.notify_checks import examine_targets
from boss.telling import notifier_of
from tests.receivers import Hook, MailServer

MAIL = '[notify.smtp]\nhost = "mail.example.org"\nsender = "ecloud@example.org"\n'
WHOLE = f"""
[notify]
people = {{ada = "ada@example.org"}}
templates = "words"
{MAIL}user = "ecloud"
password = "mail-pass-phrase"
ca = "mail-ca.pem"
[notify.targets.ops]
webhook = "https://chat.example.org/hooks/s3cret-path"
secret = "signing-key"
severity = "warning"
kinds = ["job_failed", "disk"]
template = "slack"
[notify.targets.people]
mail = ["owner", "ops@example.org"]
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "ecloud.toml"
    monkeypatch.setenv("ECLOUD_CONFIG", str(path))
    monkeypatch.setenv("ECLOUD_STATE", str(tmp_path / "state"))
    return path


def test_all_of_it_is_read(file: Path) -> None:
    file.write_text(WHOLE)
    telling = config.load().telling
    ops, people = telling.targets
    assert (ops.name, ops.webhook, ops.secret) == ("ops", "https://chat.example.org/hooks/s3cret-path", "signing-key")
    assert (ops.severity, ops.kinds, ops.template) == (Severity.WARNING, {"job_failed", "disk"}, "slack")
    assert (people.mail, telling.people) == (("owner", "ops@example.org"), {"ada": "ada@example.org"})
    assert telling.smtp is not None
    assert (telling.smtp.password, telling.smtp.port, telling.smtp.security) == ("mail-pass-phrase", 587, "starttls")
    assert (telling.smtp.ca, telling.templates) == (file.parent / "mail-ca.pem", file.parent / "words")


def test_secrets_are_shown_nowhere(file: Path) -> None:
    file.write_text(WHOLE)
    values, _ = settings.load()
    shown = f"{values!r} {values} {values.model_dump()} {values.model_dump_json()} {config.load()!r}"
    for secret in ("mail-pass-phrase", "s3cret-path", "signing-key"):
        assert secret not in shown


def test_secrets_may_come_from_variables(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text(WHOLE.replace('password = "mail-pass-phrase"\n', ""))
    monkeypatch.setenv("ECLOUD_NOTIFY__SMTP__PASSWORD", "from-outside")
    monkeypatch.setenv("ECLOUD_NOTIFY__TARGETS__OPS__SECRET", "another-key")
    telling = config.load().telling
    assert telling.smtp is not None and telling.smtp.password == "from-outside"
    assert telling.targets[0].secret == "another-key"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[notify.targets.ops]\n", "notify.targets.ops: a target has either a webhook or mail"),
        (f'{MAIL}[notify.targets.ops]\nwebhook = "https://x/y"\nmail = ["owner"]\n', "either a webhook or mail"),
        ('[notify.targets.ops]\nwebhook = "http://chat.example.org/x"\n', "is reached in the clear: write https"),
        ('[notify.targets.ops]\nwebhook = "ftp://chat.example.org/x"\n', "is no URL: write it like https://"),
        ('[notify.targets.ops]\nwebhook = "https://chat.example.org/x\\r\\ny"\n', "is no URL"),
        ('[notify.targets.ops]\nwebhook = "https://[x"\n', "is no URL"),
        ('[notify.targets.ops]\nmail = ["owner"]\n', "targets.ops sends mail, and smtp names no host"),
        (f'{MAIL}[notify.targets.ops]\nmail = ["a@b\\nBcc: c@d"]\n', "notify.targets.ops.mail.0"),
        (f'{MAIL}[notify.targets.ops]\nmail = ["owner\\n"]\n', "notify.targets.ops.mail.0"),
        (f'{MAIL}[notify.targets.ops]\nmail = ["owner"]\nsecret = "x"\n', "secret, ca and template are for a webhook"),
        ('[notify.targets.ops]\nwebhook = "https://x/y"\nkinds = ["job_finished"]\n', "notify.targets.ops.kinds.0"),
        ('[notify.targets.ops]\nwebhook = "https://x/y"\ntemplate = "slack"\n', "templates names no folder"),
        ('[notify.targets."a b"]\nwebhook = "https://x/y"\n', "notify.targets.a b"),
        ('[notify.smtp]\nhost = "mail.example.org"\n', "a mail server needs a sender"),
        (f'{MAIL}user = "ecloud"\n', "user and password go together"),
        (f'{MAIL}user = "ecloud"\npassword = "x"\nsecurity = "none"\n', "a password is not sent in the clear"),
        ('[notify]\npeople = {ada = "ada"}\n', "notify.people.ada"),
        ("[notify]\nburst = 3\n", "unknown setting; did you mean notify.burst_"),
    ],
)
def test_what_is_wrong_is_named_with_its_place_and_remedy(file: Path, text: str, said: str) -> None:
    file.write_text(text)
    with pytest.raises(settings.SettingsError) as error:
        settings.load()
    assert said in str(error.value)
    assert str(file) in str(error.value)


def test_a_wrong_webhook_is_refused_without_being_shown(file: Path) -> None:
    file.write_text('[notify.targets.ops]\nwebhook = "http://chat.example.org/s3cret-path"\n')
    with pytest.raises(settings.SettingsError) as error:
        settings.load()
    assert "s3cret-path" not in str(error.value)


def test_a_form_that_there_is_no_template_for_is_said_at_the_start(file: Path) -> None:
    file.write_text(WHOLE)
    (file.parent / "words").mkdir()
    with pytest.raises(WordingError, match=r"there is no slack\.json\.j2"):
        notifier_of(config.load(), "c", "http://x")
    (file.parent / "words" / "slack.json.j2").write_text('{"text": {{ text | tojson }}}')
    assert notifier_of(config.load(), "c", "http://x") is not None


def test_without_targets_there_is_nothing_of_it(file: Path) -> None:
    file.write_text("")
    assert notifier_of(config.load(), "c", "http://x") is None


def test_doctor_reaches_everybody_and_sends_nothing(file: Path, tmp_path: Path) -> None:
    with Hook() as gone:
        gone_url = gone.url
    with MailServer(tmp_path, "starttls") as server, Hook(tmp_path) as hook:
        file.write_text(
            f'''
[notify.smtp]
host = "127.0.0.1"
port = {server.port}
sender = "ecloud@example.org"
ca = "{server.ca}"
[notify.targets.ops]
webhook = "{hook.url}/hooks/s3cret-path"
ca = "{hook.ca}"
[notify.targets.gone]
webhook = "{gone_url}/hooks/s3cret-path"
[notify.targets.people]
mail = ["owner"]
'''
        )
        file.chmod(0o644)
        found = {finding.check: (finding.verdict.value, finding.detail) for finding in examine_targets(config.load())}
        assert found["mail"] == ("ok", f"127.0.0.1:{server.port} lets us in (starttls)")
        assert found["webhook ops"][0] == "ok" and found["webhook gone"][0] == "note"
        assert "can be read by others" in found["being told"][1]
        assert "s3cret" not in str(found)
        assert hook.posts == [] and server.mails == []
        file.chmod(0o600)
        assert "being told" not in {finding.check for finding in examine_targets(config.load())}
