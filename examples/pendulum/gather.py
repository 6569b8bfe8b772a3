"""One table of all periods beside the exact ones. The exit code is 1 if one of them is off by more than a hundredth of a percent."""

import argparse
import json
import sys
from pathlib import Path

import swing

#: The largest error that is allowed, as a part of the exact period.
ALLOWED = 1e-4


def main() -> int:
    """Write ``amplitude,length,period,exact``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("inputs", type=Path, nargs="+")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    lines, worst = ["amplitude,length,period,exact"], 0.0
    for path in options.inputs:
        found = json.loads(path.read_text())
        exact = swing.exact(found["amplitude"], found["length"])
        worst = max(worst, abs(found["period"] / exact - 1.0))
        lines.append(f"{found['amplitude']:g},{found['length']:g},{found['period']:.6f},{exact:.6f}")
    options.output.write_text("\n".join(lines) + "\n")
    print(f"{len(options.inputs)} periods, off by {worst:.1e} at most")
    if worst > ALLOWED:
        print(f"that is more than {ALLOWED:g}: more steps are needed", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
