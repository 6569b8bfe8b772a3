"""2: tokens, by the digests of their texts."""

from boss.adapters.database import Database

_TABLE = """CREATE TABLE IF NOT EXISTS tokens (
    id {name} NOT NULL PRIMARY KEY,
    name {name} NOT NULL,
    role {name} NOT NULL,
    digest {name} NOT NULL UNIQUE,
    created {real} NOT NULL,
    expires {real},
    used {real}
) {table}"""


def up(db: Database) -> None:
    """Make the table."""
    db.define(_TABLE)
