"""4: claims that one create call asked for together, and the key of the worker that joined from a claim's server."""

from boss.adapters.database import Database


def up(db: Database) -> None:
    """Add the columns; the claims of earlier versions were asked for one by one."""
    db.define_column("vms", "claim_group", "{name} NOT NULL DEFAULT ''")
    db.define_column("vms", "worker_key", "{name} NOT NULL DEFAULT ''")
