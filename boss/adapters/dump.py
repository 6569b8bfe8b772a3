"""All rows of a database as files, and back: one gzipped file of JSON lines a table, the same whatever the kind of the database.

Rules:
- What is written is the database at one moment, while a boss goes on writing to it: a read transaction, on SQLite beside its
  write-ahead log, on MySQL a consistent snapshot. (SQLite's online backup begins anew whenever another process writes: beside a busy
  boss it may never end.)
- Which tables and columns there are is asked of an empty database of the same schema, not listed here.
- Rows go into a database without tables only, and all in one transaction; a restore that was cut off is known by its marker, and no boss
  opens such a database.
- The schema is made as old as the rows are; the next boss brings it forward.
"""

import base64
import gzip
import json
import tempfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from boss.adapters import lease
from boss.adapters.database import Database, Row
from boss.adapters.migrations import MIGRATIONS, migrate
from boss.adapters.rows import TOKEN_COLUMNS
from boss.core import restored
from boss.ports import StoreError

#: The fact that says that a restore has begun and not ended.
RESTORING: Final = "restoring"
_VERSION_TABLE: Final = "schema_version"
#: Whose the database is now: no part of what is saved.
_BOSS_TABLE: Final = "boss"
_TOKENS: Final = "tokens"
#: Rows that are written at once.
_SLICE: Final = 2_000


@dataclass(frozen=True, slots=True)
class Table:
    """A table's columns in order, and the places of those that hold bytes."""

    name: str
    columns: tuple[str, ...]
    binary: frozenset[int]


@dataclass(frozen=True, slots=True)
class Dumped:
    """What was written: the schema's number, the context, how many rows of each table."""

    schema: int
    facts: dict[str, str]
    rows: dict[str, int]


def tables_of(schema: int) -> list[Table]:
    """The tables of a schema, those first that others refer to. Raises StoreError for one that this program does not know."""
    if not 0 < schema <= len(MIGRATIONS):
        raise StoreError(
            f"schema {schema} is not known to this ecloud, which knows up to {len(MIGRATIONS)}: use the newer ecloud"
        )
    with tempfile.TemporaryDirectory(prefix="ecloud-") as folder:
        db = Database(f"sqlite:///{folder}/empty.db")
        try:
            migrate(db, schema)
            names = [name for name in db.tables() if name not in (_VERSION_TABLE, _BOSS_TABLE)]
            parents = {name: {row[2] for row in db.select(f"PRAGMA foreign_key_list({name})")} for name in names}
            found = {name: _table(name, db.select(f"PRAGMA table_info({name})")) for name in names}
        finally:
            db.close()
    ordered: list[str] = []
    while len(ordered) < len(names):
        ordered += [name for name in names if name not in ordered and parents[name] <= {*ordered, name}]
    return [found[name] for name in ordered]


def write(db: Database, folder: Path) -> Dumped:
    """Write ``<table>.jsonl.gz`` for every table into a folder. Raises StoreError."""
    with db.snapshot():
        if _VERSION_TABLE not in db.tables():
            raise StoreError(f"there is nothing in the database {db.location.shown}: no boss has used it yet")
        ((schema,),) = db.select(f"SELECT COALESCE(MAX(version), 0) FROM {_VERSION_TABLE}")
        tables = tables_of(int(schema))
        facts: dict[str, str] = dict(db.select("SELECT name, value FROM context"))
        if RESTORING in facts:
            raise StoreError(f"a restore into the database {db.location.shown} was cut off: restore it again first")
        rows = {table.name: _write_table(db, table, folder / f"{table.name}.jsonl.gz") for table in tables}
    return Dumped(int(schema), facts, rows)


def read(
    db: Database, folder: Path, schema: int, expected: Mapping[str, int], now: float, tokens: Sequence[Row] | None = None
) -> None:
    """Fill an empty database from a folder, and mark it as restored at the time of day ``now``.

    ``tokens`` (of ``tokens_in``) take the place of those in the folder.
    Raises StoreError, also when a table has another number of rows than is ``expected``; nothing but empty tables is left then.
    """
    tables = tables_of(schema)
    migrate(db, schema)
    with db.transaction():
        db.insert("context", ("name", "value"), [(RESTORING, "1")], replace=True)
    with db.transaction():
        db.execute("DELETE FROM context")
        for table in tables:
            count = _read_table(db, table, folder / f"{table.name}.jsonl.gz")
            if count != expected[table.name]:
                raise StoreError(f"the back-up has {count} rows of {table.name}, not {expected[table.name]}; use another back-up")
        if tokens is not None:
            db.execute(f"DELETE FROM {_TOKENS}")
            db.insert(_TOKENS, TOKEN_COLUMNS, tokens)
        mark(db, now)


def tokens_in(db: Database, cluster: str) -> list[Row] | None:
    """The tokens of a database that a boss of this cluster has used, as ``TOKEN_COLUMNS``; None for any other database."""
    there = db.tables()
    if _TOKENS not in there or "context" not in there:
        return None
    if db.select("SELECT value FROM context WHERE name = 'cluster'") != [(cluster,)]:
        return None
    return db.select(f"SELECT {', '.join(TOKEN_COLUMNS)} FROM {_TOKENS} ORDER BY id")


def tokens_saved(folder: Path, schema: int) -> list[tuple[str, str]]:
    """The tokens in a folder that ``write`` has filled, by id and name."""
    table = next(table for table in tables_of(schema) if table.name == _TOKENS)
    places = table.columns.index("id"), table.columns.index("name")
    rows = [row for rows in _slices(folder / f"{_TOKENS}.jsonl.gz", table) for row in rows]
    return [(str(row[places[0]]), str(row[places[1]])) for row in rows]


def mark(db: Database, now: float) -> None:
    """Make the next boss careful: see ``boss.core.restored``. To be called in a transaction."""
    facts: dict[str, str] = dict(db.select("SELECT name, value FROM context"))
    ((highest,),) = db.select("SELECT COALESCE(MAX(number), 0) FROM tasks")
    ((newest,),) = db.select("SELECT COALESCE(MAX(created), 0) FROM jobs")
    marks = restored.marks(facts, int(highest), float(newest), now)
    db.insert("context", ("name", "value"), list(marks.items()), replace=True)
    lease.reset(db, int(marks["epoch"]))


def jobs_in(db: Database) -> int | None:
    """How many jobs a boss's database has; None for one that no boss has used, or into which a restore was cut off."""
    there = db.tables()
    if _VERSION_TABLE not in there or "context" not in there or "jobs" not in there:
        return None
    ((jobs,),) = db.select("SELECT COUNT(*) FROM jobs")
    return int(jobs) if jobs or db.select("SELECT 1 FROM context WHERE name = 'epoch'") else None


def set_aside(db: Database, prefix: str) -> None:
    """Give our tables in a MySQL database other names: with a prefix."""
    _rename(db, {name: prefix + name for name in _mine(db)})


def bring_back(db: Database, prefix: str) -> None:
    """Take back what ``set_aside`` has done."""
    _rename(db, {prefix + name: name for name in _names() if prefix + name in db.tables()})


def remove(db: Database) -> None:
    """Drop our tables in a MySQL database: those that a restore which was cut off has made."""
    for name in reversed(_mine(db)):
        db.define(f"DROP TABLE {name}")


def _rename(db: Database, names: Mapping[str, str]) -> None:
    db.define("RENAME TABLE " + ", ".join(f"{old} TO {new}" for old, new in names.items()))


def _mine(db: Database) -> list[str]:
    there = db.tables()
    return [name for name in _names() if name in there]


def _names() -> list[str]:
    """All our tables, those first that others refer to."""
    return [_VERSION_TABLE, _BOSS_TABLE, *(table.name for table in tables_of(len(MIGRATIONS)))]


def _table(name: str, columns: list[Row]) -> Table:
    named = tuple(row[1] for row in columns)
    return Table(name, named, frozenset(place for place, row in enumerate(columns) if row[2].upper() == "BLOB"))


def _write_table(db: Database, table: Table, path: Path) -> int:
    count = 0
    with gzip.open(path, "wt", compresslevel=1, encoding="ascii", newline="\n") as file:
        for rows in db.stream(f"SELECT {', '.join(table.columns)} FROM {table.name}"):
            file.writelines(json.dumps(_portable(row, table.binary), separators=(",", ":")) + "\n" for row in rows)
            count += len(rows)
    return count


def _read_table(db: Database, table: Table, path: Path) -> int:
    count = 0
    for rows in _slices(path, table):
        db.insert(table.name, table.columns, rows)
        count += len(rows)
    return count


def _slices(path: Path, table: Table) -> Iterator[list[Row]]:
    with gzip.open(path, "rt", encoding="ascii") as file:
        while True:
            try:
                rows = [_native(json.loads(line), table) for line in islice(file, _SLICE)]
            except (ValueError, TypeError, EOFError, OSError, zlib.error) as error:
                raise StoreError(
                    f"the rows of {table.name} in the back-up cannot be read ({error}); use another back-up"
                ) from None
            if not rows:
                return
            yield rows


def _portable(row: Row, binary: frozenset[int]) -> list[object]:
    values: list[object] = list(row)
    for place in binary:
        if values[place] is not None:
            values[place] = base64.b64encode(row[place]).decode("ascii")
    return values


def _native(row: list[object], table: Table) -> Row:
    if len(row) != len(table.columns) or any(isinstance(value, list | dict) for value in row):
        raise ValueError(f"a row does not have {len(table.columns)} plain values")
    for place in table.binary:
        if row[place] is not None:
            row[place] = base64.b64decode(str(row[place]), validate=True)
    return tuple(row)


@contextmanager
def opened(url: str, readonly: bool = False) -> Iterator[Database]:
    """A database for the length of the block."""
    db = Database(url, readonly)
    try:
        yield db
    finally:
        db.close()
