"""The schema's history: numbered modules, each with ``up(db)``, applied in order and never changed once released.

Rules:
- Forward only. A database that is newer than this list is refused.
- ``up`` may run again after a crash in its middle (MySQL commits every statement of schema by itself): it makes only what is missing.
"""

from collections.abc import Callable
from typing import Final

from boss.adapters.database import Database
from boss.adapters.migrations import m0001_tables, m0003_reruns

#: Migration number n is at position n - 1.
MIGRATIONS: Final[tuple[Callable[[Database], None], ...]] = (m0001_tables.up, m0003_reruns.up)
