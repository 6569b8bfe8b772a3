"""A boss of today whose local workers are of the first release: ``python -m tests.upgrade.earlier``."""

import sys
from pathlib import Path

from boss import __main__ as boss

#: The worker as 0.1.0 shipped it; never made anew.
WORKER = Path(__file__).with_name("worker-0.1.0.pyz")


def main() -> int:
    """Run it."""
    boss.worker_bundle = lambda _folder: WORKER
    return boss.main([])


if __name__ == "__main__":
    sys.exit(main())
