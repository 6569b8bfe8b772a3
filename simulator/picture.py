"""Cost against time of a plan, drawn."""

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot


def draw(made: dict[str, Any], picture: Path) -> None:
    """Cost against time of a plan, as a picture."""
    figure, axes = pyplot.subplots(figsize=(6, 4))
    hours = [way["makespan"] / 3600 for way in made["ways"]]
    cost = [way["cpu_hours"] for way in made["ways"]]
    axes.plot(hours, cost, "o-")
    places: dict[tuple[float, float], list[dict[str, Any]]] = {}
    for way, x, y in zip(made["ways"], hours, cost, strict=True):
        places.setdefault((x, y), []).append(way)
    for place, ways in places.items():  # settings that come to the same are told together
        settings = ", ".join(f"{way['haste']:g}" for way in ways)
        text = f"haste {settings}: {max(way['vms'] for way in ways)} VMs"
        axes.annotate(text, place, textcoords="offset points", xytext=(5, 5), fontsize=8)
    axes.set_xlabel("hours until all has ended")
    axes.set_ylabel("vCPU hours of the VMs")
    axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(picture, dpi=120)
