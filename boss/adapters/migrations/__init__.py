"""The schema's history: numbered modules, each with ``up(db)``, applied in order and never changed once released.

Rules:
- Forward only. A database that is newer than this list is refused.
- ``up`` may run again after a crash in its middle (MySQL commits every statement of schema by itself): it makes only what is missing.
"""

from collections.abc import Callable
from typing import Final

from boss.adapters.database import Database
from boss.adapters.migrations import m0001_tables, m0002_tokens, m0003_reruns, m0004_claim_groups, m0005_lease, m0006_audit

#: Migration number n is at position n - 1.
MIGRATIONS: Final[tuple[Callable[[Database], None], ...]] = (
    m0001_tables.up,
    m0002_tokens.up,
    m0003_reruns.up,
    m0004_claim_groups.up,
    m0005_lease.up,
    m0006_audit.up,
)


def migrate(db: Database, newest: int | None = None) -> None:
    """Bring the schema forward to ``newest`` (the newest of all, without one); what is there already stays."""
    db.define("CREATE TABLE IF NOT EXISTS schema_version (version {integer} NOT NULL PRIMARY KEY) {table}")
    with db.transaction():
        ((version,),) = db.select("SELECT COALESCE(MAX(version), 0) FROM schema_version")
        for number in range(int(version) + 1, (len(MIGRATIONS) if newest is None else newest) + 1):
            MIGRATIONS[number - 1](db)
            db.insert("schema_version", ("version",), [(number,)])
