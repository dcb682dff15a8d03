"""Report of speed: tables with their bars, a plot of growth, and the machine."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from measure.figure import Figure
from samplerzoo.system.environment import machine, versions
from samplerzoo.system.files import atomic_file

TITLES = {
    "samplers": "What a sampler costs: the time of a run over that inside its network calls",
    "peers": "Against what people use: seconds of the other for one of ours",
    "bare": "As much as the hardware gives: what a run gains on a pipeline, of what its network calls alone gain",
    "levers": "What each measure gives: evaluations a second for one of the call in float32, default layout, batch 64",
    "quality": "Whether the images are the same",
    "guidance": "Guidance: seconds for one of a conditional run",
    "hosting": "A sampler as a scheduler: a pipeline of diffusers with it, for one of the pipeline with its own",
    "startup": "Start-up",
    "scale": "How it grows",
    "training": "Training",
}
GROWTH = {"images": "images", "steps": "steps", "size": "million parameters", "processes": "processes"}


def write(folder: Path, section: str, figures: Sequence[Figure]) -> None:
    """Write the figures of a section as JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "command": f"python benchmarks/speed.py {section}",
        "machine": machine(),
        "versions": versions(),
        "figures": [dataclasses.asdict(figure) for figure in figures],
    }
    with atomic_file(folder / f"{section}.json") as partial:
        partial.write_text(json.dumps(content, indent=1) + "\n")


def render(folder: Path) -> Path:
    """Write report.md with all sections measured so far, and return its path."""
    parts = [
        "# Speed",
        "Every ratio is the median of pairs that were timed in turn; in brackets the lowest and highest.",
    ]
    for section, title in TITLES.items():
        if not (folder / f"{section}.json").exists():
            continue
        content = json.loads((folder / f"{section}.json").read_text())
        figures = [Figure(**figure) for figure in content["figures"]]
        parts += [f"## {title}", f"`{content['command']}`", _table(figures)]
        if section == "scale":
            _growth(figures, folder / "growth.png")
            parts += ["![seconds against images, steps, size and processes](growth.png)", _slopes(figures)]
        found = content["machine"]
        parts.append(
            f"{found['cpus']} CPUs ({found['processor']}, {found['instructions']}), {found['torch_threads']} threads"
            + (f", {', '.join(found['cuda'])}" if found["cuda"] else "")
            + "; "
            + ", ".join(f"{name} {content['versions'][name]}" for name in ("python", "torch", "diffusers"))
            + "."
        )
    with atomic_file(folder / "report.md") as partial:
        partial.write_text("\n\n".join(parts) + "\n")
    return folder / "report.md"


def _table(figures: Sequence[Figure]) -> str:
    lines = ["| what | median | rounds | bar | | |", "| :-- | :-- | --: | :-- | :-- | :-- |"]
    for figure in figures:
        spread = f"{figure.median:.4g} ({min(figure.values):.4g} to {max(figure.values):.4g}) {figure.unit}"
        verdict = {None: "", True: "reached", False: "**missed**"}[figure.met]
        facts = ", ".join(
            f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
            for name, value in figure.facts.items()
            if name != "x"
        )
        lines.append(f"| {figure.what} | {spread} | {len(figure.values)} | {figure.bar} | {verdict} | {facts} |")
    return "\n".join(lines)


def _series(figures: Sequence[Figure], kind: str) -> list[tuple[float, float]]:
    return [(float(f.facts["x"]), f.median) for f in figures if f.what.startswith(f"{kind}:")]


def _slopes(figures: Sequence[Figure]) -> str:
    """Describe the slopes between the last two points on logarithmic axes, where fixed costs weigh least.

    Linear growth has slope 1. Perfect scaling with processes has slope -1.
    """
    said = []
    for kind in GROWTH:
        (x1, y1), (x2, y2) = _series(figures, kind)[-2:]
        said.append(f"{kind} {np.log(y2 / y1) / np.log(x2 / x1):.3g}")
    return f"Slope between the last two points, on logarithmic axes: {', '.join(said)}."


def _growth(figures: Sequence[Figure], path: Path) -> None:
    from matplotlib.figure import Figure as Canvas
    from matplotlib.ticker import LogLocator

    canvas = Canvas(figsize=(12, 3.2), layout="constrained", facecolor="#fcfcfa")
    for axes, (kind, label) in zip(canvas.subplots(1, len(GROWTH)), GROWTH.items(), strict=True):
        x, y = zip(*_series(figures, kind), strict=True)
        axes.loglog(x, y, "o-", color="#0072b2")
        axes.set_xticks(x, [f"{round(value, 1):,g}" for value in x])
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.minorticks_off()
        axes.set_xlabel(label)
        axes.set_ylabel("seconds")
        axes.grid(True, color="#d8dce0", linewidth=0.6)
        axes.set_facecolor("#fcfcfa")
    with atomic_file(path) as partial:
        canvas.savefig(partial, format="png", dpi=150)
