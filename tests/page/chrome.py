"""A real browser on the page: Debian's Chromium, driven by Playwright, that notes whatever a user should never see happen.

Chromium is ``/usr/bin/chromium``, or what ECLOUD_TEST_CHROMIUM names.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = os.environ.get("ECLOUD_TEST_CHROMIUM", "/usr/bin/chromium")
ARGUMENTS = ("--no-sandbox", "--disable-quic", "--disable-background-networking", "--disable-dev-shm-usage")
WIDE, NARROW = (1280, 900), (390, 844)
AXE = Path(__file__).with_name("vendor") / "axe.min.js"
#: Milliseconds for what a page should do by itself.
PATIENCE = 30_000


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser, without a window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


class Visit:
    """One visitor's window. ``troubles`` are errors in its console and requests to other hosts."""

    def __init__(self, browser: Browser, url: str, size: tuple[int, int], scheme: str) -> None:
        self.url = url
        self.troubles: list[str] = []
        self._context = browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme=scheme,  # type: ignore[arg-type]
            base_url=url,
            reduced_motion="reduce",
        )
        self._context.set_default_timeout(PATIENCE)
        self._context.on("request", self._requested)
        self.page: Page = self._context.new_page()
        self.page.on("console", lambda said: self._trouble(said.text) if said.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda error: self._trouble(str(error)))

    def _requested(self, request: Any) -> None:
        if urlsplit(request.url).netloc != urlsplit(self.url).netloc and not request.url.startswith(("data:", "blob:")):
            self._trouble(f"a request to {request.url}")

    def _trouble(self, text: str) -> None:
        self.troubles.append(f"{self.page.url}: {text}")

    def log_in(self, token: str) -> None:
        """Show a token, as a user does."""
        self.page.goto("/login")
        self.page.get_by_label("Token").fill(token)
        self.page.get_by_role("button", name="Log in").click()
        self.page.wait_for_url(f"{self.url}/")

    def cookies(self) -> list[Any]:
        """What the browser keeps."""
        return list(self._context.cookies())

    def overflow(self) -> int:
        """By how many pixels the page is wider than its window."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))

    def violations(self) -> list[str]:
        """What axe finds that keeps people out: serious and critical, each with the first element."""
        self.page.evaluate(AXE.read_text())
        found = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        return [
            f"{one['id']} ({one['impact']}): {one['help']}: {one['nodes'][0]['html'][:200]} {one['nodes'][0]['failureSummary'][:300]}"
            for one in found["violations"]
            if one["impact"] in ("serious", "critical")
        ]

    def close(self) -> None:
        """The window is closed."""
        self._context.close()
