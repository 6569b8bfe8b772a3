"""HTTP to the boss: where it is, the token, and its refusals as exceptions.

Rules:
- The address comes from the caller, else ``ECLOUD_API_URL``, else ``api.json`` in the state folder (``ECLOUD_STATE``, by default
  ``~/.local/state/ecloud``), which the boss writes at its start for its own user. The token likewise (``ECLOUD_TOKEN``);
  the file's token is only ever sent to the file's address.
- An address may be several, with commas between them, where one of several machines is the boss: the next one is asked when nobody
  answers. What has been sent is never sent again elsewhere.
- An HTTPS address is verified (``client.trust``) before a token is sent there.
- Every failure becomes one of ``client.errors``; nothing of httpx leaves this module.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urldefrag, urlsplit

import httpx

from client.errors import (
    BossTrouble,
    BossUnreachable,
    ClientError,
    Conflict,
    InvalidRequest,
    NobodyThere,
    NotFound,
    NotPermitted,
    Problem,
    Refused,
)
from client.trust import distrusted, is_loopback, trust

PREFIX = "/api/v1"
#: Seconds to wait for a connection, and for an answer.
CONNECT = 5.0
ANSWER = 60.0

T = TypeVar("T")
Params = Mapping[str, str | int | float | Sequence[str]]


def state_folder() -> Path:
    """The boss's state folder on this machine."""
    return Path(os.environ.get("ECLOUD_STATE") or Path.home() / ".local" / "state" / "ecloud").expanduser()


def find_boss(url: str | None = None, token: str | None = None) -> tuple[str, str]:
    """The boss's address and token. Raises BossUnreachable when no address is known."""
    known = _written_down()
    found = url or os.environ.get("ECLOUD_API_URL") or known.get("url", "")
    if not found:
        place = state_folder() / "api.json"
        raise BossUnreachable(
            f"no boss is known here (no {place}): start one with `.venv/bin/python -m boss`, or set ECLOUD_API_URL"
        )
    own = known.get("token", "") if urldefrag(found).url.rstrip("/") == known.get("url", "").rstrip("/") else ""
    return found.rstrip("/"), token or os.environ.get("ECLOUD_TOKEN") or own


def _written_down() -> dict[str, str]:
    try:
        said = json.loads((state_folder() / "api.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except PermissionError as error:
        raise NotPermitted(f"{error.filename} may only be read by the boss's user; set ECLOUD_API_URL and ECLOUD_TOKEN") from None
    except (OSError, ValueError) as error:
        raise BossUnreachable(f"{state_folder() / 'api.json'} cannot be read: {error}") from None
    return {name: value for name, value in said.items() if isinstance(value, str)} if isinstance(said, dict) else {}


class Connection:
    """Requests to the boss, at the first of its addresses that answers. Safe to use from several threads."""

    def __init__(self, url: str, token: str) -> None:
        """``url`` is one address, or several with commas between them. Raises ClientError if none is of use."""
        self._urls = [one.strip().rstrip("/") for one in url.split(",") if one.strip()] or [url]
        self._token = token
        self._doors: dict[str, _Door] = {}
        self._at = 0  # which of the addresses has answered last
        self._reached(lambda door: None)

    @property
    def url(self) -> str:
        """The address that has answered last, or is asked next."""
        url = self._urls[self._at]
        return self._doors[url].url if url in self._doors else url.partition("#")[0]

    def close(self) -> None:
        """Close the kept connections."""
        for door in self._doors.values():
            door.close()

    def get(self, path: str, params: Params | None = None, timeout: float = ANSWER) -> Any:
        """What the boss answers to a GET, as plain data."""
        return self._ask("GET", path, params=dict(params or {}), timeout=timeout)

    def post(self, path: str, body: object = None, timeout: float = ANSWER) -> Any:
        """What the boss answers to a POST of plain data."""
        return self._ask("POST", path, json=body, timeout=timeout)

    def put(self, path: str, body: object) -> Any:
        """What the boss answers to a PUT of plain data."""
        return self._ask("PUT", path, json=body)

    def delete(self, path: str) -> Any:
        """What the boss answers to a DELETE."""
        return self._ask("DELETE", path)

    def upload(self, path: str, parts: Sequence[tuple[str, tuple[str, bytes, str]]], timeout: float = ANSWER) -> Any:
        """POST parts, each a name and ``(file name, content, media type)``, as multipart/form-data."""
        return self._ask("POST", path, files=list(parts), timeout=timeout)

    @contextmanager
    def lines(self, path: str, params: Params) -> Iterator[Iterator[Any]]:
        """The objects of a newline-delimited JSON stream, as they come; None stands for a sign of life."""
        with ExitStack() as stack:
            yield self._reached(lambda door: stack.enter_context(door.lines(path, params)))

    def _ask(self, method: str, path: str, **more: Any) -> Any:
        return self._reached(lambda door: door.ask(method, path, **more))

    def _reached(self, do: Callable[["_Door"], T]) -> T:
        """Do it at the address that has answered last, or at the first of the others where somebody is."""
        before = self._at
        for turn in range(len(self._urls)):
            at = (before + turn) % len(self._urls)
            try:
                done = do(self._door(self._urls[at]))
            except NobodyThere as error:
                if turn + 1 < len(self._urls):
                    continue
                if turn:
                    asked = ", ".join(one.partition("#")[0] for one in self._urls)
                    raise NobodyThere(f"no boss answers at any of {asked}; at the last: {error}") from None
                raise
            self._at = at
            return done
        raise AssertionError("there is an address")

    def _door(self, url: str) -> "_Door":
        if url not in self._doors:
            self._doors[url] = _Door(url, self._token)
        return self._doors[url]


class _Door:
    """One address of a boss, over connections that are kept."""

    def __init__(self, url: str, token: str) -> None:
        try:
            trusted = trust(url, _written_down_or_nothing())
            self.url = trusted.url
            self._tls = {"sni_hostname": trusted.name} if trusted.name else {}
            self._http = httpx.Client(
                base_url=self.url + PREFIX,
                headers={"Authorization": f"Bearer {token}"} if token else {},
                timeout=httpx.Timeout(ANSWER, connect=CONNECT),
                trust_env=not is_loopback(urlsplit(url).hostname),  # a proxy is for other machines
                verify=trusted.verify,
            )
        except (httpx.InvalidURL, ValueError) as error:
            raise InvalidRequest(f"{url!r} is no address of a boss: {error}") from None

    def close(self) -> None:
        """Close the kept connections."""
        self._http.close()

    @contextmanager
    def lines(self, path: str, params: Params) -> Iterator[Iterator[Any]]:
        """The objects of a newline-delimited JSON stream, as they come; None stands for a sign of life."""
        with self._failures():
            quiet = httpx.Timeout(ANSWER, connect=CONNECT)
            with self._http.stream("GET", path, params=dict(params), timeout=quiet, extensions=self._tls) as response:
                if response.status_code != 200:
                    response.read()
                    _answer_of(response)
                yield (_object_of(text) if text else None for text in response.iter_lines())

    def ask(self, method: str, path: str, **more: Any) -> Any:
        """What is answered to one request, as plain data."""
        with self._failures():
            return _answer_of(self._http.request(method, path, **more, extensions=self._tls))

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            raise InvalidRequest(f"{self.url!r} is no address of a boss: {error}") from None
        except httpx.ConnectError as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                raise distrusted(self.url, str(error)) from None
            if "[SSL" in str(error) and self.url.startswith("https:"):
                hint = "is the address (ECLOUD_API_URL) right?"
                raise BossUnreachable(f"what answers at {self.url} does not speak HTTPS ({error}); {hint}") from None
            raise NobodyThere(f"no boss answers at {self.url} ({error}); {_to_reach(self.url)}") from None
        except httpx.ConnectTimeout:
            raise NobodyThere(f"nobody answers at {self.url} within {CONNECT:.0f} s; {_to_reach(self.url)}") from None
        except httpx.TimeoutException:
            raise BossUnreachable(
                f"the boss at {self.url} does not answer in time; `admin.py doctor` says what is wrong"
            ) from None
        except httpx.TransportError as error:
            hint = "; a boss beyond loopback speaks HTTPS: is it https://...?" if _may_be_https(error, self.url) else ""
            raise BossUnreachable(f"the connection to {self.url} broke: {error or type(error).__name__}{hint}") from None


def _may_be_https(error: httpx.TransportError, url: str) -> bool:
    """Whether the other side has hung up on the first words, as one that expects TLS does."""
    return url.startswith("http:") and isinstance(error, httpx.RemoteProtocolError | httpx.ReadError)


def _written_down_or_nothing() -> dict[str, str]:
    try:
        return _written_down()
    except ClientError:
        return {}


def _to_reach(url: str) -> str:
    """What to do when nobody answers there: start the boss of this machine; one that is elsewhere is its admin's to start."""
    if url == _written_down_or_nothing().get("url", "").rstrip("/"):
        return "start it with `.venv/bin/python -m boss`"
    return "the address (ECLOUD_API_URL) or the tunnel to it is wrong, or the boss is down: ask its admin; `admin.py doctor` looks closer"


def _object_of(line: str) -> Any:
    """One line of a stream. The last one of a stream whose token was revoked meanwhile says so, and raises NotPermitted."""
    said = json.loads(line)
    if isinstance(said, dict) and "refused" in said:
        raise NotPermitted(str(said["refused"]))
    return said


def _answer_of(response: httpx.Response) -> Any:
    if response.status_code == 204:
        return None
    try:
        said = response.json()
    except ValueError:
        raise BossUnreachable(f"{response.url} answers ({response.status_code}), but not as a boss does") from None
    if response.is_success:
        return said
    raise _refusal(response.status_code, said if isinstance(said, dict) else {})


def _refusal(status: int, said: Mapping[str, Any]) -> ClientError:
    sentence = str(said.get("error") or f"the boss answered with status {status}")
    match status:
        case 401 | 403:
            return NotPermitted(sentence)
        case 404:
            return NotFound(sentence, said.get("nearest", ()))
        case 409:
            return Conflict(sentence)
        case 413:
            return Refused([Problem("", "", sentence)])
        case 422 if "problems" in said:
            return Refused([Problem(item["task"], item["field"], item["message"]) for item in said["problems"]])
        case 400 | 405 | 422:
            return InvalidRequest(sentence)
        case _:
            return BossTrouble(sentence)
