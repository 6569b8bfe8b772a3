"""The doctor, asked by the running boss for its web page: by a program of its own, so that nothing of it runs in here."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def diagnose(patience: float = 120.0) -> list[tuple[str, str, str, str]]:
    """What the doctor finds: check, verdict (``ok``, ``note``, ``failed``), detail, remedy. Waits so many seconds at most."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-m", "boss", "doctor", "--json"]
    try:
        said = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, timeout=patience, check=False)
        return [(one["check"], one["verdict"], one["detail"], one["remedy"]) for one in json.loads(said.stdout)]
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError) as error:
        return [("doctor", "failed", f"it could not be asked ({error})", "`admin.py doctor` on the boss's machine")]
