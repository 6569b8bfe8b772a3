"""6: the audit: who has changed what, when, and what came of it."""

from boss.adapters.database import Database

_TABLE = """CREATE TABLE IF NOT EXISTS audit (
    number {integer} NOT NULL PRIMARY KEY,
    at {real} NOT NULL,
    who {name} NOT NULL,
    role {name} NOT NULL,
    token {name} NOT NULL,
    address {name} NOT NULL,
    verb {name} NOT NULL,
    job {name} NOT NULL,
    target {text} NOT NULL,
    code {integer} NOT NULL,
    said {text} NOT NULL
) {table}"""


def up(db: Database) -> None:
    """Make the table, and the index by which old entries are removed."""
    db.define(_TABLE)
    db.define_index("audit_at", "audit", "at")
