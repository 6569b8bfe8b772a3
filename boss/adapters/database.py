"""One database behind a URL: connections, transactions, bulk statements, errors in one sentence. The only file that imports peewee.

Rules:
- peewee keeps one connection per thread and opens it when needed. Statements are plain SQL with ``?`` for a value, in the part
  of the language that SQLite, MariaDB and MySQL share; what differs between them is written here and nowhere else.
- A transaction ends by commit, or the connection is given up: nothing of a failed one can leak into the next.
- An update names every row it changes. If the database has fewer of them, the transaction fails: somebody else writes there.
- Whatever a driver raises leaves as a StoreError: what was tried, where (without the password), the driver's words, the remedy.
"""

import logging
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any, Final

import peewee
import pymysql
from pymysql.constants import CLIENT
from pymysql.cursors import SSCursor

from boss.adapters.database_url import Location, locate
from boss.ports import StoreError

log = logging.getLogger(__name__)

Row = tuple[Any, ...]

#: How long SQLite waits for another writer, in seconds.
BUSY_TIMEOUT: Final = 30
#: Rows and characters of one UPDATE that MySQL gets at once; well below the smallest usual ``max_allowed_packet``.
UPDATE_ROWS: Final = 500
UPDATE_SIZE: Final = 2_000_000
#: Rows of a stream that are read at once.
STREAM_ROWS: Final = 2_000
#: How long a server may take to accept a connection, and each answer until the connection is made, in seconds: one that hangs
#: must not keep the next one from being asked.
GREETING_TIMEOUT: Final = 10
#: How long one may take to answer a statement, in seconds.
_ANSWER_TIMEOUT: Final = 300
#: Bytes of a statement beside its largest value.
_FRAME: Final = 64 * 1024

_SQLITE_TYPES: Final = {
    "integer": "INTEGER",
    "real": "REAL",
    "name": "TEXT",
    "text": "TEXT",
    "bytes": "BLOB",
    "table": "",
    "clustered": "WITHOUT ROWID",
}
_MYSQL_TABLE: Final = "ENGINE=InnoDB ROW_FORMAT=DYNAMIC CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
_MYSQL_TYPES: Final = {
    "integer": "BIGINT",
    "real": "DOUBLE",
    "name": "VARCHAR(255)",
    "text": "LONGTEXT",
    "bytes": "LONGBLOB",
    "table": _MYSQL_TABLE,
    "clustered": _MYSQL_TABLE,
}
_MYSQL_SNAPSHOT: Final = (
    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
)
_MYSQL_SESSION: Final = "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', wait_timeout = 31536000"

#: What the drivers raise for a database that cannot or will not; UnicodeError and OverflowError for a value that it cannot hold.
_DRIVER_ERRORS: Final = (peewee.PeeweeException, sqlite3.Error, pymysql.Error, OSError, UnicodeError, OverflowError)

#: What to do about an error of MySQL, by its number.
_MYSQL_REMEDIES: Final = {
    1021: "free some disk space on the server",
    1047: "the node has lost its cluster: look at wsrep_cluster_size and wsrep_local_state_comment on each node",
    1044: "give the user all rights: GRANT ALL ON <database>.* TO <user>",
    1045: "check user and password in the database URL",
    1049: "make it: CREATE DATABASE <database>",
    1114: "free some disk space on the server",
    1142: "give the user all rights: GRANT ALL ON <database>.* TO <user>",
    1146: "start the boss once: it makes the tables",
    1153: "raise max_allowed_packet of the server",
    1290: "let it take changes, or name the server that does (SET GLOBAL read_only = OFF)",
    1698: "check user and password in the database URL",
    **dict.fromkeys((2002, 2003, 2006, 2013), "check that the server runs and can be reached at this address"),
}
#: What to do about an error of SQLite, by its words.
_SQLITE_REMEDIES: Final = (
    ("database is locked", "another program holds it; end that program, or give this boss a state folder of its own"),
    ("unable to open database file", "the folder must exist and be writable"),
    ("readonly database", "make the file and its folder writable for this user"),
    ("disk is full", "free some disk space"),
    ("not a database", "restore a back-up of it (`python -m boss restore`)"),
    ("malformed", "restore a back-up of it (`python -m boss restore`)"),
    ("no such table", "start the boss once: it makes the tables"),
)
#: MySQL's error when the time for a lock is over.
_LOCKED: Final = 1205
#: Errors of MySQL after which only a new connection helps.
_LOST: Final = frozenset({0, 2006, 2013, 2055})


class RowLocked(StoreError):
    """Another connection holds a row, for longer than was to be waited."""


class ConnectionLost(StoreError):
    """The server closed the connection (it was restarted, or the network broke); a new one may work."""


class _Nodes(peewee.MySQLDatabase):
    """MySQL on one server or several that hold the same: a connection is made to the first that answers and takes part in its cluster."""

    def __init__(self, location: Location, **options: Any) -> None:
        self._nodes = ((location.options["host"], location.options["port"]), *location.others)
        super().__init__(location.database, **location.options, **options)

    def _connect(self) -> Any:
        *before, last = self._nodes
        for host, port in before:
            try:
                return self._connected_to(host, port)
            except _DRIVER_ERRORS as error:
                log.warning("the database at %s:%d does not answer, the next one is asked: %s", host, port, error)
        return self._connected_to(*last)

    def _connected_to(self, host: str, port: int) -> Any:
        where = {"host": host, "port": port, "connect_timeout": GREETING_TIMEOUT, "read_timeout": GREETING_TIMEOUT}
        made = pymysql.connect(database=self.database, autocommit=True, **(self.connect_params | where))
        if len(self._nodes) > 1:
            made.cursor().execute(
                "SELECT COUNT(*) FROM information_schema.schemata"
            )  # refused where the node has lost its cluster
        # pymysql takes one for both; this one holds from the next answer on
        made._read_timeout = _ANSWER_TIMEOUT  # type: ignore[attr-defined]
        return made


def _connector(location: Location, readonly: bool) -> Any:
    """peewee's database object, which connects each thread when it first asks."""
    if location.dialect == "sqlite":
        pragmas: dict[str, Any] = (
            {"query_only": 1} if readonly else {"journal_mode": "wal", "synchronous": "full", "journal_size_limit": 2**26}
        )
        pragmas |= {"foreign_keys": 1, "cache_size": -65536}
        kind = peewee.SqliteDatabase if readonly else _PrivateFile
        return kind(location.database, pragmas=pragmas, timeout=BUSY_TIMEOUT)
    return _Nodes(
        location,
        collation="utf8mb4_bin",
        client_flag=CLIENT.FOUND_ROWS,
        init_command=_MYSQL_SESSION,
        write_timeout=_ANSWER_TIMEOUT,
    )


class _PrivateFile(peewee.SqliteDatabase):
    """A file that is made, when it is, for its user alone."""

    def _connect(self) -> Any:
        _keep_private(self.database)
        return super()._connect()  # type: ignore[misc]


def _keep_private(path: str) -> None:
    """Tasks' variables are in it: a new file is its user's alone, as its log will be, and other users are kept out of an old one.

    Nothing that is there is opened: to close it would end the locks that SQLite has on it in this process.
    """
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except OSError:  # it is there, or cannot be: SQLite says so
        for name in (path, f"{path}-wal", f"{path}-shm"):
            with suppress(OSError):
                os.chmod(name, os.stat(name).st_mode & 0o770)


class Database:
    """SQL on SQLite or MySQL/MariaDB. One object may be used by many threads; each has a connection of its own."""

    def __init__(self, url: str, readonly: bool = False) -> None:
        """``readonly`` repeats a read once when the server had closed the connection. Connects at the first use."""
        self.location = locate(url)
        self.sqlite = self.location.dialect == "sqlite"
        self._readonly = readonly
        self._connector = _connector(self.location, readonly)

    def end_of(self, column: str, size: int) -> str:
        """An expression for the last ``size`` characters of a text; on SQLite bytes, for speed and because a NUL would end the text."""
        return f"SUBSTR(CAST({column} AS BLOB), -{size})" if self.sqlite else f"RIGHT({column}, {size})"

    def select(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """All rows of a query."""
        try:
            return self._select(sql, values)
        except ConnectionLost:
            if not self._readonly:
                raise
            self.close()
            return self._select(sql, values)

    def execute(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Run one statement; the number of rows that it matched."""
        with self._errors("run a statement"):
            cursor = self._connector.execute_sql(self._native(sql), tuple(values))
            return int(cursor.rowcount)

    def define(self, sql: str) -> None:
        """Run one statement of schema, written with ``{integer}``, ``{text}``... for what the dialects call differently."""
        with self._errors("change the schema"):
            self._connector.execute_sql(sql.format_map(_SQLITE_TYPES if self.sqlite else _MYSQL_TYPES))

    def define_column(self, table: str, column: str, kind: str) -> None:
        """Add a column unless it is there; ``kind`` as in ``define``, with a default for the rows that exist."""
        with self._errors("read"):
            known = {found.name for found in self._connector.get_columns(table)}
        if column not in known:
            self.define(f"ALTER TABLE {table} ADD COLUMN {column} {kind}")

    def define_index(self, name: str, table: str, columns: str, unique: bool = False) -> None:
        """Make an index unless it is there."""
        kind = "UNIQUE INDEX" if unique else "INDEX"
        if self.sqlite:
            self.define(f"CREATE {kind} IF NOT EXISTS {name} ON {table} ({columns})")
        elif not self.select(
            "SELECT 1 FROM information_schema.statistics WHERE table_schema = DATABASE() AND table_name = ? AND index_name = ?",
            (table, name),
        ):
            self.define(f"CREATE {kind} {name} ON {table} ({columns})")

    def tables(self) -> list[str]:
        """Names of the tables that exist."""
        with self._errors("read"):
            return list(self._connector.get_tables())

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Row], replace: bool = False) -> None:
        """Add rows; with ``replace`` a row of the same primary key gives way."""
        if not rows:
            return
        marks = ", ".join("?" * len(columns))
        sql = f"{'REPLACE' if replace else 'INSERT'} INTO {table} ({', '.join(columns)}) VALUES ({marks})"
        if not self.sqlite:
            self._check_room(table, rows)
        with self._errors(f"write to {table}"):
            self._connector.cursor().executemany(self._native(sql), rows)

    def _check_room(self, table: str, rows: Sequence[Row]) -> None:
        """Refuse a row that is larger than the server takes at once: it would only close the connection, and say nothing.

        Few rows are as large: a job's table of parameters is one.
        """
        largest = max(sum(len(value) for value in row if isinstance(value, str | bytes)) for row in rows)
        if largest > UPDATE_SIZE:
            [(limit,)] = self.select("SELECT @@max_allowed_packet")
            if largest + _FRAME > limit:
                raise StoreError(
                    f"cannot write to {table} in the database {self.location.shown}: a row has {largest / 2**20:.0f} MiB, more than the "
                    f"{limit / 2**20:.0f} MiB that the server takes at once; {_MYSQL_REMEDIES[1153]}"
                )

    def update(self, table: str, keys: Sequence[str], columns: Sequence[str], rows: Sequence[Row]) -> None:
        """Set ``columns`` of the rows found by ``keys``; each of ``rows`` holds its keys first, then its values.

        Raises StoreError when not every row exists.
        """
        if not rows:
            return
        with self._errors(f"write to {table}"):
            matched = (self._update_each if self.sqlite else self._update_joined)(table, keys, columns, rows)
        if matched != len(rows):
            raise StoreError(
                f"cannot write to {table} of {self.location.shown}: {len(rows) - matched} of {len(rows)} rows are gone; "
                "no other program may change this database"
            )

    def stream(self, sql: str) -> Iterator[list[Row]]:
        """The rows of a big query, some at a time: neither side keeps all of them. It must be read to its end."""
        with self._errors("read"):
            if self.sqlite:
                cursor = self._connector.execute_sql(sql)
            else:
                cursor = self._connector.connection().cursor(SSCursor)
                cursor.execute(sql)
            while rows := cursor.fetchmany(STREAM_ROWS):
                yield list(rows)
            cursor.close()

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """The database as it is at one moment, for reading; nobody who writes has to wait."""
        begin = ("BEGIN DEFERRED",) if self.sqlite else _MYSQL_SNAPSHOT
        with self._errors("read"):
            for sql in begin:
                self._connector.execute_sql(sql)
        try:
            yield
        finally:
            self._give_up()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of the block or nothing, durable at its end. SQLite takes the right to write at the beginning."""
        try:
            with self._errors("begin a transaction"):
                self._connector.begin(*(("IMMEDIATE",) if self.sqlite else ()))
            yield
            with self._errors("commit"):
                self._connector.commit()
        except BaseException:
            self._give_up()
            raise

    @contextmanager
    def impatient(self, seconds: int) -> Iterator[None]:
        """Wait for no lock of another connection longer than that: RowLocked then. SQLite has its own bound, and no such clients."""
        if not self.sqlite:
            self.execute(f"SET SESSION innodb_lock_wait_timeout = {seconds}, lock_wait_timeout = {seconds}")
        try:
            yield
        finally:
            if not self.sqlite:
                with suppress(StoreError):  # a connection that has ended takes its settings with it
                    self.execute("SET SESSION innodb_lock_wait_timeout = DEFAULT, lock_wait_timeout = DEFAULT")

    def cut_off_others(self) -> None:
        """End all other connections of this user to this database on a server: what they have begun is rolled back, and locks nothing."""
        others = (
            "SELECT id FROM information_schema.processlist "
            "WHERE user = SUBSTRING_INDEX(USER(), '@', 1) AND db = DATABASE() AND id <> CONNECTION_ID()"
        )
        for (number,) in self.select(others):
            try:
                self.execute(f"KILL CONNECTION {int(number)}")
            except StoreError as error:  # it has ended by itself
                log.info("%s", error)

    def close(self) -> None:
        """Close this thread's connection; the next use opens another."""
        try:
            self._connector.close()
        except _DRIVER_ERRORS as error:  # it was broken: nothing is left to close
            log.debug("closing: %s", error)

    def _give_up(self) -> None:
        """Roll back, and close the connection: the next use finds none of its troubles."""
        try:
            self._connector.rollback()
        except _DRIVER_ERRORS as error:  # nobody there: the database rolls back what was not committed
            log.debug("no rollback: %s", error)
        self.close()

    def _select(self, sql: str, values: Sequence[Any]) -> list[Row]:
        with self._errors("read"):
            rows: list[Row] = self._connector.execute_sql(self._native(sql), tuple(values)).fetchall()
            return rows if self.sqlite else list(rows)

    def _native(self, sql: str) -> str:
        return sql if self.sqlite else _for_mysql(sql)

    def _update_each(self, table: str, keys: Sequence[str], columns: Sequence[str], rows: Sequence[Row]) -> int:
        """One prepared statement, run for every row."""
        values = ", ".join(f"{name} = ?{number}" for number, name in enumerate(columns, len(keys) + 1))
        found = " AND ".join(f"{name} = ?{number}" for number, name in enumerate(keys, 1))
        cursor = self._connector.cursor()
        cursor.executemany(f"UPDATE {table} SET {values} WHERE {found}", rows)
        return int(cursor.rowcount)

    def _update_joined(self, table: str, keys: Sequence[str], columns: Sequence[str], rows: Sequence[Row]) -> int:
        """Few statements for many rows: the table joined with the new values."""
        names = (*keys, *columns)
        first = "SELECT " + ", ".join(f"%s AS {name}" for name in names)
        others = " UNION ALL SELECT " + ", ".join(["%s"] * len(names))
        values = ", ".join(f"t.{name} = v.{name}" for name in columns)
        found = " AND ".join(f"t.{name} = v.{name}" for name in keys)
        cursor = self._connector.cursor()
        matched = 0
        for part in _slices(rows):
            table_of_values = first + others * (len(part) - 1)
            sql = f"UPDATE {table} t JOIN ({table_of_values}) v ON {found} SET {values}"
            matched += cursor.execute(sql, [value for row in part for value in row])
        return matched

    @contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        """What the drivers raise, as a StoreError; a broken connection is told apart."""
        try:
            yield
        except _DRIVER_ERRORS as error:
            number, words = _said(error)
            sentence = f"cannot {doing} in the database {self.location.shown}: {words}{_remedy(number, words)}"
            kind = ConnectionLost if number in _LOST else RowLocked if number == _LOCKED else StoreError
            raise kind(sentence) from error


def _said(error: BaseException) -> tuple[int | None, str]:
    """MySQL's number (None for other errors) and the driver's words."""
    if len(error.args) >= 2 and isinstance(error, peewee.PeeweeException | pymysql.Error):
        return int(error.args[0]), str(error.args[1]) or "the connection is closed"
    return None, str(error)


def _remedy(number: int | None, words: str) -> str:
    if number is not None:
        remedy = _MYSQL_REMEDIES.get(number, "")
    else:
        remedy = next((remedy for sign, remedy in _SQLITE_REMEDIES if sign in words), "")
    return f"; {remedy}" if remedy else ""


@lru_cache(maxsize=256)
def _for_mysql(sql: str) -> str:
    return sql.replace("?", "%s")


def _slices(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """The rows in order, cut where a slice would hold more than UPDATE_ROWS rows or UPDATE_SIZE characters."""
    start, size = 0, 0
    for position, row in enumerate(rows):
        weight = sum(len(value) for value in row if isinstance(value, str | bytes))
        if position > start and (position - start >= UPDATE_ROWS or size + weight > UPDATE_SIZE):
            yield rows[start:position]
            start, size = position, 0
        size += weight
    yield rows[start:]
