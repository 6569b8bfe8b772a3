"""What a task file would take: the boss says what it has and knows, and a process of this machine plays the file through.

Rules:
- The file is first shown to the boss as in a dry run: what is wrong with it is told in the same words.
- The simulator is another program (``python -m simulator plan``): nothing of the boss is imported here.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from client.beside import lying_beside
from client.connection import Connection
from client.errors import ClientError
from client.inventory import entries_of, given_entries, take_inventory
from client.pushing import TaskFile, Wishes, push
from client.sheets import read_sheets, sheets_named

#: The project's folder, where the simulator is found.
PROJECT = Path(__file__).resolve().parents[1]
#: Bytes of CSV files that a plan reads.
_TABLES = 2**30


class NotPlanned(ClientError):
    """No plan could be made; the sentence says why."""

    exit_code = 1


def plan(connection: Connection, file: TaskFile, wishes: Wishes) -> dict[str, Any]:
    """The plan as plain data (``simulator.planning.Plan``). Raises Refused as a push does, and NotPlanned."""
    push(connection, file, Wishes(replay=wishes.replay, files=wishes.files, dry_run=True))
    basis = connection.get("/basis")
    document = file.document
    inventory = take_inventory(file.folder, [*entries_of(document), *file.more, *given_entries(wishes.files, "--files {item}")])
    sheets = read_sheets(file.folder, sheets_named(document), _TABLES)
    with tempfile.TemporaryDirectory(prefix="ecloud-plan-") as name:
        folder = Path(name)
        (folder / "tasks").write_bytes(file.text)
        tables: dict[str, str] = {}
        for number, (table, data) in enumerate(sheets.files.items()):
            (folder / f"{number}.csv").write_bytes(data)
            tables[table] = str(folder / f"{number}.csv")
        question = {
            "text": str(folder / "tasks"),
            "file_name": file.name,
            "replay": wishes.replay,
            "files": sorted(inventory.files),
            "tables": tables,
            "unread_tables": sheets.unread,
            "beside": list(lying_beside(file.folder, document)),
            "basis": basis,
        }
        (folder / "question.json").write_text(json.dumps(question))
        command = [sys.executable, "-m", "simulator", "plan", str(folder / "question.json")]
        told = subprocess.run(command, check=False, cwd=PROJECT, capture_output=True, text=True)
    if told.returncode:
        raise NotPlanned(f"the simulator ended with an error: {(told.stderr.strip().splitlines() or ['it said nothing'])[-1]}")
    found: dict[str, Any] = json.loads(told.stdout)
    if "error" in found:
        raise NotPlanned(f"no plan: {found['error']}")
    return found
