"""Database URLs: where the database is and how to log in. Pure.

Rules:
- ``sqlite:///path`` (so four slashes for an absolute path) or ``mysql://user:password@host:port/database?option=value``.
- No message ever holds the password.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from boss.ports import StoreError

#: Options of a MySQL URL (files) and what the driver calls them.
_TLS: Final = {"ssl_ca": "ca", "ssl_cert": "cert", "ssl_key": "key"}
_HELP: Final = "write sqlite:///path or mysql://user:password@host:port/database"


@dataclass(frozen=True, slots=True)
class Location:
    """A parsed database URL. ``shown`` is how messages name it (no password); ``options`` go to the driver."""

    dialect: str
    database: str
    shown: str
    options: Mapping[str, Any]


def locate(url: str) -> Location:
    """Read ``sqlite:///path`` (four slashes for an absolute path) or ``mysql://user:password@host:port/database?ssl_ca=...``.

    Options of MySQL: ``ssl_ca``, ``ssl_cert``, ``ssl_key`` (files), ``unix_socket``. Raises StoreError for anything else.
    """
    if url.startswith("sqlite:///"):
        return _locate_sqlite(url.removeprefix("sqlite:///"))
    if url.startswith(("mysql://", "mariadb://")):
        return _locate_mysql(url)
    raise StoreError(f"the database URL has an unknown scheme {url.split(':', 1)[0][:20]!r}; {_HELP}")


def _locate_sqlite(path: str) -> Location:
    if not path or path == ":memory:":
        raise StoreError(f"the database URL names no file; {_HELP}")
    return Location("sqlite", path, path, {})


def _locate_mysql(url: str) -> Location:
    parts = urlsplit(url)
    try:
        port = parts.port or 3306
    except ValueError:
        raise StoreError(f"the database URL has a port that is no number; {_HELP}") from None
    database = unquote(parts.path.strip("/"))
    if not parts.hostname or not database:
        raise StoreError(f"the database URL names no host or no database; {_HELP}")
    options: dict[str, Any] = {
        "host": parts.hostname,
        "port": port,
        "user": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
    }
    tls: dict[str, str] = {}
    for name, value in parse_qsl(parts.query):
        if name in _TLS:
            tls[_TLS[name]] = value
        elif name == "unix_socket":
            options[name] = value
        else:
            raise StoreError(f"the database URL has an unknown option {name!r}; known: {', '.join(_TLS)}, unix_socket")
    if tls:
        options["ssl"] = tls
    return Location("mysql", database, f"mysql://{options['user']}@{parts.hostname}:{port}/{database}", options)
