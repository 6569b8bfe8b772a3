"""The rig of the API's tests with the page beside it, and a browser of few words: cookies, the session's word, HTML."""

import re
from html import unescape
from pathlib import Path
from typing import Any

import httpx

from boss.adapters.intake import Intake
from boss.page.app import install
from tests.api.rig import TOKEN, Rig


class Browser:
    """One visitor's browser: it has cookies, follows no redirects by itself, and keeps the word of its session."""

    def __init__(self, url: str, token: str = "") -> None:
        self.http = httpx.Client(base_url=url, timeout=30, trust_env=False)
        self.word = ""
        if token:
            self.log_in(token)

    def log_in(self, token: str) -> httpx.Response:
        """Show a token."""
        said = self.http.post("/api/v1/session", headers={"Authorization": f"Bearer {token}"})
        if said.status_code == 200:
            self.word = str(said.json()["word"])
        return said

    def get(self, path: str, code: int = 200, /, **params: Any) -> str:
        """A page's text."""
        said = self.http.get(path, params=params or None)
        assert said.status_code == code, f"{path}: {said.status_code} {said.text[:500]}"
        return said.text

    def call(self, method: str, path: str, body: object = None, **headers: str) -> httpx.Response:
        """What a button does."""
        sent = {"X-Ecloud-Word": self.word} | headers
        return self.http.request(method, f"/api/v1{path}", json=body, headers=sent)


class PageRig(Rig):
    """The boss with its page."""

    def __init__(self, folder: Path, intake: Intake, **facts: Any) -> None:
        super().__init__(folder, intake, **facts)
        self.history = install(self.app)
        self._browsers: list[Browser] = []

    def __enter__(self) -> "PageRig":
        self.history.__enter__()
        super().__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        for browser in self._browsers:
            browser.http.close()
        super().__exit__(*error)
        self.history.__exit__(None, None, None)

    def browser(self, token: str = TOKEN) -> Browser:
        """Somebody's browser, logged in unless the token is empty."""
        made = Browser(self.url, token)
        self._browsers.append(made)
        return made

    def token_of(self, role: str, name: str, **more: Any) -> str:
        """A new token's text."""
        return str(self.post("/tokens", {"role": role, "name": name, **more})["token"])

    def browser_of(self, role: str, name: str) -> Browser:
        """A browser of somebody of this role."""
        return self.browser(self.token_of(role, name))


def words(html: str) -> str:
    """A page's text without its tags, on one line."""
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", html)))
