"""How long a pendulum needs for one swing, there and back: its equation of motion, integrated for a quarter of it."""

import argparse
import json
import math
from pathlib import Path

#: In m/s^2.
GRAVITY = 9.81


def period(amplitude: float, length: float, steps: int) -> float:
    """Seconds, of a pendulum of ``length`` metres let go at ``amplitude`` degrees; ``steps`` are those of a small swing's period.

    Runge and Kutta's method, up to the step in which the pendulum hangs down, and a straight line within that step.
    """
    step = 2.0 * math.pi * math.sqrt(length / GRAVITY) / steps
    angle, speed, time = math.radians(amplitude), 0.0, 0.0
    while True:
        next_angle, next_speed = _advanced(angle, speed, step, length)
        if next_angle <= 0.0:
            return 4.0 * (time + step * angle / (angle - next_angle))
        angle, speed, time = next_angle, next_speed, time + step


def _advanced(angle: float, speed: float, step: float, length: float) -> tuple[float, float]:
    def pull(at: float) -> float:
        return -GRAVITY / length * math.sin(at)

    a1, s1 = speed, pull(angle)
    a2, s2 = speed + step / 2 * s1, pull(angle + step / 2 * a1)
    a3, s3 = speed + step / 2 * s2, pull(angle + step / 2 * a2)
    a4, s4 = speed + step * s3, pull(angle + step * a3)
    return angle + step / 6 * (a1 + 2 * a2 + 2 * a3 + a4), speed + step / 6 * (s1 + 2 * s2 + 2 * s3 + s4)


def exact(amplitude: float, length: float) -> float:
    """The same by the arithmetic-geometric mean, which is exact."""
    one, other = 1.0, math.cos(math.radians(amplitude) / 2.0)
    while one - other > 1e-15:
        one, other = (one + other) / 2.0, math.sqrt(one * other)
    return 2.0 * math.pi * math.sqrt(length / GRAVITY) / one


def main() -> None:
    """Write ``{"amplitude", "length", "period"}``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--amplitude", type=float, required=True, help="degrees, above 0 and below 180")
    parser.add_argument("--length", type=float, required=True, help="metres")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    found = period(options.amplitude, options.length, options.steps)
    options.output.write_text(json.dumps({"amplitude": options.amplitude, "length": options.length, "period": found}) + "\n")


if __name__ == "__main__":
    main()
