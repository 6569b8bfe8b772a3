"""``python -m boss backup|restore|adopt``: the database, and the keys that belong to it, into one file and back.

Rules:
- A back-up may be made while a boss runs: the database is read as it is at one moment. Nothing else here may.
- What is there is never removed: a restore refuses a database or keys that are in use, or with ``--force`` puts them aside under
  other names.
- Tokens that were revoked since stay revoked wherever that is known: a database that a restore puts aside gives its tokens to the new one.
- The database comes last, so that a restore that was cut off can be begun again, and no boss starts on half of it.
- The file holds the keys of the certificate authority and all that tasks say: it is secret, and has mode 0600.
- The files of the datastore are not in it; docs/data-safety.md says how they are saved.
"""

import shutil
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from boss import absent, datastores
from boss.adapters import archive, dump
from boss.adapters.database import Database, Row
from boss.adapters.database_url import locate
from boss.adapters.lock import LockTaken, alone
from boss.adapters.reader import Reader
from boss.config import BossConfig
from boss.ports import StoreError

#: What of the state folder belongs to the database: files, and the folder of the certificate authority.
_FILES = ("api.json", "api.port")
_KEYS = "pki"
#: What is to be done about tokens that came with an older database.
_LOOK = "look at `./admin.py show_tokens`, revoke again what was revoked since, and make anew what was made since"


class BackupError(Exception):
    """A back-up that cannot be made or restored; the message says what is in the way and what helps."""


def backup(config: BossConfig, path: str) -> list[str]:
    """Write a back-up to a new file, or under a name of its own into a folder that exists; the lines to say. Raises BackupError."""
    now, target = time.time(), Path(path)
    _there(config)
    folder = target if target.is_dir() or path.endswith("/") else target.parent
    if not folder.is_dir():
        raise BackupError(f"there is no folder {folder}: make it first")
    try:
        with tempfile.TemporaryDirectory(prefix=".ecloud-backup-", dir=folder) as passing:
            place = Path(passing)
            (place / "rows").mkdir()
            with dump.opened(config.database_url, readonly=True) as db:
                dumped = dump.write(db, place / "rows")
            _copy_state(config.state, place / "state")
            cluster = dumped.facts.get("cluster", "")
            if target.is_dir():
                target = target / f"ecloud-{cluster}-{time.strftime('%Y%m%d-%H%M%S', time.localtime(now))}.tar"
            about = {
                "created": now,
                "cluster": cluster,
                "epoch": int(dumped.facts.get("epoch", "0")),
                "schema": dumped.schema,
                "database": locate(config.database_url).dialect,
                "rows": dumped.rows,
            }
            archive.pack(target, place, about)
    except (StoreError, archive.ArchiveError) as error:
        raise BackupError(str(error)) from None
    except OSError as error:
        raise BackupError(f"cannot write the back-up into {folder}: {error.strerror or error}") from None
    return [
        f"{target}: {_amounts(dumped.rows)}, and the keys of cluster {cluster}; {_size(target.stat().st_size)}.",
        "SECRET: whoever reads this file can act as this boss. It has mode 0600; keep it like a private key.",
        "The files of the datastore are not in it: copy them after it, not before (docs/data-safety.md).",
    ]


def restore(config: BossConfig, source: Path, force: bool) -> list[str]:
    """Bring a back-up into this boss's database and state folder; the lines to say. Raises BackupError and changes nothing then."""
    now = time.time()
    said: list[str] = []
    try:
        config.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (
            alone(config.state),
            tempfile.TemporaryDirectory(prefix=".ecloud-restore-", dir=config.state) as passing,
            dump.opened(config.database_url) as db,
        ):
            place = Path(passing)
            manifest = archive.unpack(_chosen(source), place)
            _check(manifest, place, now)
            stamp = time.strftime("%Y%m%d_%H%M%S", time.localtime(now)) + f"_{int(now * 1e6) % 10**6:06d}"
            occupied = _database_in_use(config, db)
            differing = _differing_keys(config.state, place / "state" / _KEYS)
            if not force and (occupied or differing):
                raise BackupError("; ".join(filter(None, (occupied, differing))) + "; --force puts what is there aside")
            saved = dump.tokens_saved(place / "rows", int(manifest["schema"])) if "tokens" in manifest["rows"] else []
            tokens = _tokens_kept(db, manifest) if occupied else None
            with ExitStack() as undo:
                said += _restore_state(config.state, place / "state", stamp, undo)
                said += _restore_rows(config, db, place / "rows", manifest, stamp, bool(occupied), now, tokens)
                undo.pop_all()
    except (StoreError, archive.ArchiveError, LockTaken) as error:
        raise BackupError(str(error)) from None
    except OSError as error:
        raise BackupError(f"cannot restore {source}: {error.strerror or error}") from None
    made = time.strftime("%F %T", time.localtime(manifest["created"]))
    return [
        *said,
        f"Restored as of {made} (cluster {manifest['cluster']}): {_amounts(manifest['rows'])}.",
        "What has happened since is not known to this database. Results that were accepted since stay on the datastore: where a task that",
        "runs again yields another file, the older one is put aside, in replaced/ there.",
        *_about_tokens(made, saved, tokens),
        *_files_first(config),
    ]


def adopt(config: BossConfig) -> list[str]:
    """Make a database safe to use that was restored by other means than ``restore``; the lines to say. Raises BackupError."""
    _there(config)
    try:
        with alone(config.state), dump.opened(config.database_url) as db:
            if dump.jobs_in(db) is None:
                raise BackupError(f"there is nothing in the database {db.location.shown}: no boss has used it yet")
            with db.transaction():
                dump.mark(db, time.time())
            (config.state / "outdated").unlink(missing_ok=True)
            shown = db.location.shown
    except (StoreError, LockTaken) as error:
        raise BackupError(str(error)) from None
    return [
        f"{shown} is taken as restored at this moment: nothing is named twice, and nothing newer is overwritten. Start the boss now.",
        f"Tokens are as that database has them: {_LOOK}.",
    ]


def _tokens_kept(db: Database, manifest: dict[str, Any]) -> list[Row] | None:
    """The tokens of the database that is put aside, if it is of the same cluster: it knows what was revoked since."""
    if "tokens" not in manifest["rows"]:
        return None
    try:
        return dump.tokens_in(db, str(manifest["cluster"]))
    except StoreError:
        return None  # a damaged file


def _about_tokens(made: str, saved: list[tuple[str, str]], kept: list[Row] | None) -> list[str]:
    """Who may come in after a restore; ``saved`` are the tokens of the back-up, ``kept`` those of the database that was put aside."""
    if kept is None:
        return [f"Tokens are as of {made}: {_LOOK}."]
    gone = [f"{one} of {name}" for one, name in saved if one not in {row[0] for row in kept}]
    left = f" ({len(gone)} of the back-up left out: {', '.join(gone[:5])}{', ...' if len(gone) > 5 else ''})" if gone else ""
    return [f"Tokens are as in the database that was put aside, so that what was revoked stays revoked{left}."]


def _files_first(config: BossConfig) -> list[str]:
    """Where the datastore's files must be before the boss starts, and whether they seem to be."""
    reader = Reader(config.database_url)
    try:
        named = reader.context().get(datastores.FACT, "")
        jobs = reader.jobs_with_results(absent.LOOKED_FOR)
    except StoreError as error:
        raise BackupError(f"everything was restored, but the database cannot be read: {error}") from None
    finally:
        reader.close()
    where = absent.place(config, named)
    if not jobs:
        return ["Start the boss now."]
    if named or config.datastore:
        return [f"Before you start the boss, see that the datastore's files are on {where.removeprefix('the ')}."]
    missing = absent.below_root(config, jobs)
    if not missing:
        return [f"The datastore's files are in {where}. Start the boss now."]
    root = config.datastore_root
    empty = f"{root} is empty. " if not root.is_dir() or not any(root.iterdir()) else ""
    return [
        f"NOT YET: {empty}{absent.sentence(missing, where)}.",
        f"Bring the datastore's files to {where}, then start the boss.",
    ]


# ---- the parts -----------------------------------------------------------------------------------------------------


def _there(config: BossConfig) -> None:
    """Refuse a database file that does not exist: opening it would make one."""
    location = locate(config.database_url)
    if location.dialect == "sqlite" and not Path(location.database).exists():
        raise BackupError(f"there is no database {location.shown}: no boss has run here (ECLOUD_STATE, ECLOUD_DATABASE_URL?)")


def _chosen(source: Path) -> Path:
    """The file, or the newest back-up in a folder."""
    if not source.is_dir():
        return source
    found = sorted(source.glob("ecloud-*.tar"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise BackupError(f"there is no back-up (ecloud-*.tar) in {source}")
    return found[-1]


def _check(manifest: dict[str, Any], place: Path, now: float) -> None:
    """Refuse what this program or this machine cannot restore."""
    try:
        schema, created = int(manifest["schema"]), float(manifest["created"])
        rows, cluster = dict(manifest["rows"]), str(manifest["cluster"])
    except (KeyError, TypeError, ValueError) as error:
        raise BackupError(f"the manifest of this back-up says nothing usable about {error}; use another back-up") from None
    if now < created:
        when = time.strftime("%F %T", time.localtime(created))
        raise BackupError(f"the back-up is of {when}, which is in the future by this machine's clock: set the clock first")
    missing = [table.name for table in dump.tables_of(schema) if not (place / "rows" / f"{table.name}.jsonl.gz").is_file()]
    if missing or not cluster or set(rows) != {table.name for table in dump.tables_of(schema)}:
        raise BackupError(f"this back-up is not whole: {', '.join(missing) or 'rows or cluster'} missing; use another back-up")


def _database_in_use(config: BossConfig, db: Database) -> str:
    """What is in the way of new tables, as a sentence; empty if nothing is."""
    location = locate(config.database_url)
    if location.dialect == "sqlite" and not Path(location.database).exists():
        return ""
    try:
        jobs = dump.jobs_in(db)
    except StoreError as error:
        if location.dialect != "sqlite":
            raise
        return str(error)  # a file that is damaged is put aside like any other
    return "" if jobs is None else f"the database {location.shown} is in use ({jobs} jobs)"


def _differing_keys(state: Path, keys: Path) -> str:
    there = state / _KEYS
    if not there.exists() or not keys.exists():
        return ""
    same = all(
        (there / path.name).is_file() and archive.digest_of(there / path.name) == archive.digest_of(path) for path in _files(keys)
    )
    return "" if same else f"{there} has keys of another boss"


def _copy_state(state: Path, target: Path) -> None:
    """Copy what belongs to the database out of the state folder."""
    target.mkdir(mode=0o700)
    for name in _FILES:
        if (state / name).is_file():
            shutil.copyfile(state / name, target / name)
    if (state / _KEYS).is_dir():
        (target / _KEYS).mkdir(mode=0o700)
        for path in _files(state / _KEYS):
            shutil.copyfile(path, target / _KEYS / path.name)


def _restore_state(state: Path, source: Path, stamp: str, undo: ExitStack) -> list[str]:
    """Bring the keys, and what else is missing; the same keys are left as they are."""
    said = []
    keys = state / _KEYS
    if _differing_keys(state, source / _KEYS):
        kept = state / f"{_KEYS}.before_{stamp}"
        _move(keys, kept, undo)
        said.append(f"The keys that were here are in {kept}.")
    if not keys.exists() and (source / _KEYS).is_dir():
        _move(source / _KEYS, keys, undo)
    for name in _FILES:
        if (source / name).is_file() and not (state / name).exists():
            _move(source / name, state / name, undo)
    archive.sync_folder(state)
    return said


def _move(old: Path, new: Path, undo: ExitStack) -> None:
    old.rename(new)
    undo.callback(new.rename, old)


def _restore_rows(
    config: BossConfig,
    db: Database,
    rows: Path,
    manifest: dict[str, Any],
    stamp: str,
    aside: bool,
    now: float,
    tokens: list[Row] | None,
) -> list[str]:
    fill = _fill_sqlite if db.sqlite else _fill_mysql
    said = fill(db, rows, manifest, stamp, aside, now, tokens)
    (config.state / "outdated").unlink(missing_ok=True)
    return said


def _fill_sqlite(
    db: Database, rows: Path, manifest: dict[str, Any], stamp: str, aside: bool, now: float, tokens: list[Row] | None
) -> list[str]:
    """A new file beside the place of the old one, renamed when it is whole."""
    db.close()
    place = Path(db.location.database)
    fresh = place.with_name(f".{place.name}.restoring")
    for path in _parts(fresh):
        path.unlink(missing_ok=True)
    try:
        with dump.opened(f"sqlite:///{fresh}") as new:
            dump.read(new, rows, int(manifest["schema"]), manifest["rows"], now, tokens)
        kept = place.with_name(f"{place.name}.before_{stamp}")
        with ExitStack() as undo:
            # The write-ahead log first: one that stayed behind would be played into the new database.
            for path, other in reversed(list(zip(_parts(place), _parts(kept), strict=True))):
                if path.exists():
                    _move(path, other, undo)
            fresh.rename(place)
            undo.pop_all()
        archive.sync_folder(place.parent)
    finally:
        for path in _parts(fresh):
            path.unlink(missing_ok=True)
    return [f"The database that was here is {kept}."] if aside else []


def _fill_mysql(
    db: Database, rows: Path, manifest: dict[str, Any], stamp: str, aside: bool, now: float, tokens: list[Row] | None
) -> list[str]:
    """The tables of the old one get other names; if the new ones cannot be filled, they get theirs back."""
    prefix = f"before_{stamp}_"
    with ExitStack() as undo:
        if aside:
            dump.set_aside(db, prefix)
            undo.callback(dump.bring_back, db, prefix)
        undo.callback(dump.remove, db)
        dump.remove(db)  # what a restore that was cut off has left
        dump.read(db, rows, int(manifest["schema"]), manifest["rows"], now, tokens)
        undo.pop_all()
    return [f"The tables that were in {db.location.shown} are there as {prefix}jobs and so on."] if aside else []


def _parts(place: Path) -> Sequence[Path]:
    """A SQLite database's files."""
    return [place, place.with_name(place.name + "-wal"), place.with_name(place.name + "-shm")]


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))


def _amounts(rows: dict[str, int]) -> str:
    return f"{rows.get('jobs', 0):,} jobs, {rows.get('tasks', 0):,} tasks, {rows.get('attempts', 0):,} attempts"


def _size(count: int) -> str:
    return f"{count / 2**20:.1f} MiB" if count >= 2**20 else f"{count} bytes"
