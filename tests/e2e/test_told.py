"""A real boss tells people: over TLS, after it was killed before it had told, and under the same id."""

import json
from pathlib import Path

import pytest

from tests.e2e.deployment import deployed, until
from tests.receivers import PASSWORD, USER, Hook, MailServer

SETTINGS = """
[notify]
gather = 0.2
[notify.people]
{me} = "me@example.org"
[notify.smtp]
host = "localhost"
port = {port}
user = "{user}"
password = "{password}"
sender = "ecloud@example.org"
ca = "{mail_ca}"
[notify.targets.ops]
webhook = "{url}/hooks/s3cret-path"
secret = "signing-key"
ca = "{hook_ca}"
[notify.targets.people]
mail = ["owner"]
"""


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:Session.login_data is deprecated")
def test_a_boss_that_was_killed_before_it_had_told_tells_afterwards_and_nothing_twice(tmp_path: Path) -> None:
    with MailServer(tmp_path / "mail", "starttls", log_in=True) as mail, Hook(tmp_path / "hook") as hook:
        file = tmp_path / "ecloud.toml"
        file.write_text("")
        with deployed(tmp_path, ECLOUD_CONFIG=str(file)) as ecloud:
            ecloud.push({"tasks": [{"id": "early", "command": "true"}]}, name="early")
            until(lambda: ecloud.look("status", "--job", "early")["jobs"][0]["state"] == "succeeded" or None, 60, "the first job")
            owner = ecloud.look("status", "--job", "early")["jobs"][0]["owner"]
            ecloud.stop()
            about_mail = {"port": mail.port, "user": USER, "password": PASSWORD, "mail_ca": mail.ca}
            file.write_text(SETTINGS.format(me=owner, url=hook.url, hook_ca=hook.ca, **about_mail))
            ecloud.start()
            hook.answers = [(503, {})] * 100
            ecloud.push({"tasks": [{"id": "b-{i}", "foreach": {"i": {"range": [0, 3]}}, "command": "exit 3"}]}, name="bad")
            until(lambda: (hook.posts and mail.mails) or None, 60, "both to be asked")
            ecloud.kill()
            hook.answers = []
            refused = {json.loads(body)["id"] for _, _, body in hook.posts}
            before = len(hook.posts)
            ecloud.start()
            until(lambda: len(hook.posts) > before or None, 60, "the message after the start")
            told = [json.loads(body) for _, _, body in hook.posts[before:]]
            assert {one["id"] for one in told} == refused, "it is the same message"
            assert [notice["about"] for one in told for notice in one["notices"]] == ["bad"], "early had ended before"
            assert mail.to == [["me@example.org"]]
            assert "job bad of" in mail.mails[0]["Subject"]
            ecloud.stop()
            ecloud.start()
            tried = ecloud.look("notify_test")
            assert [one["sent"] for one in tried] == [True, True]
            assert len(hook.posts) == before + 2 and len(mail.mails) == 2, "nothing but the tests"
            log = ecloud.log.read_text()
        for secret in (PASSWORD, "s3cret-path", "signing-key"):
            assert secret not in log
