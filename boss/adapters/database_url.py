"""Database URLs: where the database is and how to log in. Pure.

Rules:
- ``sqlite:///path`` (so four slashes for an absolute path) or ``mysql://user:password@host:port/database?option=value``.
- The nodes of a cluster are named one after the other, ``host:port,host:port``: the first that answers is used.
- No message ever holds the password.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from boss.ports import StoreError

#: Options of a MySQL URL (files) and what the driver calls them.
_TLS: Final = {"ssl_ca": "ca", "ssl_cert": "cert", "ssl_key": "key"}
#: Schemes that people write. Another word is not repeated: where the scheme was forgotten it may be a part of the password.
_KINDS: Final = frozenset(
    {"http", "https", "mongodb", "mssql", "oracle", "postgres", "postgresql", "redis", "sqlite", "mysql", "mariadb"}
)
_HELP: Final = "write sqlite:///path or mysql://user:password@host:port/database"


@dataclass(frozen=True, slots=True)
class Location:
    """A parsed database URL. ``shown`` is how messages name it (no password); ``options`` go to the driver.

    ``others`` are the further nodes of a cluster, as host and port.
    """

    dialect: str
    database: str
    shown: str
    options: Mapping[str, Any]
    others: tuple[tuple[str, int], ...] = ()


def locate(url: str) -> Location:
    """Read ``sqlite:///path`` (four slashes for an absolute path) or ``mysql://user:password@host:port/database?ssl_ca=...``.

    Options of MySQL: ``ssl_ca``, ``ssl_cert``, ``ssl_key`` (files), ``unix_socket``. Raises StoreError for anything else.
    """
    if url.startswith("sqlite:///"):
        return _locate_sqlite(url.removeprefix("sqlite:///"))
    if url.startswith(("mysql://", "mariadb://")):
        return _locate_mysql(url)
    scheme = url.partition(":")[0]
    told = f" {scheme!r}" if scheme in _KINDS else ""
    raise StoreError(f"the database URL has an unknown scheme{told}; {_HELP}")


def _locate_sqlite(path: str) -> Location:
    if not path or path == ":memory:":
        raise StoreError(f"the database URL names no file; {_HELP}")
    return Location("sqlite", path, path, {})


def _locate_mysql(url: str) -> Location:
    try:
        parts = urlsplit(url)
        given = parse_qsl(parts.query)
    except ValueError:  # a bracket that is not closed, options without end
        raise StoreError(f"the database URL cannot be read; {_HELP}") from None
    login, _, places = parts.netloc.rpartition("@")
    nodes = [_node(place) for place in places.split(",")]
    database = unquote(parts.path.strip("/"))
    if not all(host for host, _port in nodes) or not database:
        raise StoreError(f"the database URL names no host or no database; {_HELP}")
    if "#" in url or any(char in database for char in "/:@"):  # a password has cut the URL: its rest would be said as the name
        raise StoreError(
            f"the database URL has a / : @ # where none can be; in a user or a password write %2F %3A %40 %23; {_HELP}"
        )
    user, _, password = login.partition(":")
    (host, port), *others = nodes
    options: dict[str, Any] = {"host": host, "port": port, "user": unquote(user), "password": unquote(password)}
    tls: dict[str, str] = {}
    for name, value in given:
        if name in _TLS:
            tls[_TLS[name]] = value
        elif name == "unix_socket":
            options[name] = value
        else:
            known = (*_TLS, "unix_socket")
            close = get_close_matches(name, known, cutoff=0.8)  # another may be a part of a password that has a ? in it
            told = f" {name!r}" if close else ""
            raise StoreError(f"the database URL has an unknown option{told}; known: {', '.join(known)}")
    if tls:
        options["ssl"] = tls
    shown = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in nodes)
    return Location("mysql", database, f"mysql://{options['user']}@{shown}/{database}", options, tuple(others))


def _node(place: str) -> tuple[str, int]:
    """Host and port of ``host``, ``host:port`` or ``[address]:port``."""
    try:
        parts = urlsplit(f"//{place}")
        return parts.hostname or "", parts.port or 3306
    except ValueError:
        raise StoreError(f"the database URL has a port that is no number; {_HELP}") from None
