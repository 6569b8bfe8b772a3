"""5: the boss row: whose the database is, and until when by the database's own clock."""

from boss.adapters.database import Database


def up(db: Database) -> None:
    """Make the table and its one row, which nobody holds."""
    db.define(
        """
        CREATE TABLE IF NOT EXISTS boss (
            id {integer} NOT NULL PRIMARY KEY, epoch {integer} NOT NULL, turn {integer} NOT NULL,
            holder {name} NOT NULL, place {text} NOT NULL, keyring {name} NOT NULL, expires {real} NOT NULL
        ) {table}
        """
    )
    if not db.select("SELECT 1 FROM boss WHERE id = 1"):
        db.insert("boss", ("id", "epoch", "turn", "holder", "place", "keyring", "expires"), [(1, 0, 0, "", "", "", 0.0)])
