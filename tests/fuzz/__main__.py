"""``python -m tests.fuzz TARGET SECONDS [FOLDER] [SEED]``: fuzz one target; findings go into FOLDER with a traceback, exit code not 0.

With a SEED that is not 0 the mutations are the same each time: for a suite that has to say the same of the same code.
"""

import contextlib
import shutil
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["boss.taskfile", "boss.core", "boss.adapters.database_url", "worker", "datastore"]):
    from tests.fuzz.targets import CORPUS, TARGETS


def main(name: str, seconds: str, folder: str = "", seed: str = "0") -> None:
    """Run libFuzzer, which ends the process."""
    work = Path(tempfile.mkdtemp(prefix="ecloud-fuzz-corpus."))
    shutil.copytree(CORPUS / name, work / "corpus", dirs_exist_ok=True)
    found = Path(folder) if folder else work / "found"
    found.mkdir(parents=True, exist_ok=True)
    options = [
        f"-max_total_time={seconds}",
        "-timeout=20",
        "-rss_limit_mb=1500",
        "-max_len=4096",
        f"-seed={seed}",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], *options, f"-artifact_prefix={found}/{name}-", str(work / "corpus")], TARGETS[name])
    with contextlib.suppress(SystemExit):
        atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
