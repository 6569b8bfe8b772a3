"""3: what each result was made of, and which results are stale.

What earlier versions have made keeps working: nobody knows what it was made of (``input_set`` -1), and its results count as made by
nobody here (``result`` 1), so that whatever replaces them counts as different.
"""

from boss.adapters.database import Database


def up(db: Database) -> None:
    """Add the columns and the table of input sets."""
    db.define_column("jobs", "stale", "{integer} NOT NULL DEFAULT 0")
    db.define_column("tasks", "input_set", "{integer} NOT NULL DEFAULT -1")
    db.define_column("tasks", "result", "{integer} NOT NULL DEFAULT 1")
    db.define_column("tasks", "stale", "{integer} NOT NULL DEFAULT 0")
    db.define_column("attempts", "input_set", "{integer} NOT NULL DEFAULT -1")
    db.define_column("attempts", "read_results", "{bytes}")
    db.define(
        """CREATE TABLE IF NOT EXISTS input_sets (
        job {integer} NOT NULL,
        number {integer} NOT NULL,
        data {text} NOT NULL,
        PRIMARY KEY (job, number),
        FOREIGN KEY (job) REFERENCES jobs (number) ON DELETE CASCADE
    ) {table}"""
    )
