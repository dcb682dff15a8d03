"""Overhead around the network: a diffusers pipeline and a run of ours, each against bare calls of its network."""

from __future__ import annotations

import statistics
from pathlib import Path

from measure.child import Child
from measure.figure import Figure, Work, in_turn
from measure.networks import call_of, of_peers, saved
from measure.peers import PEERS, STEPS, layout_of
from samplerzoo.core.model import Layout
from samplerzoo.models.load import load

ROUNDS = 41  # a ratio of two ratios varies twice as much as a single one


def measure() -> list[Figure]:
    """Compare with the pipelines of diffusers, in float32 on both sides."""
    return [
        _figure(peer, title, saved(title.split()[0], config), batch)
        for title, config, batch in of_peers()
        for peer in ("DDIMPipeline", "DDPMPipeline")
    ]


def _figure(peer: str, title: str, folder: Path, batch: int) -> Figure:
    """Time four processes in turn: the pipeline, our run, and as many bare network calls as each makes."""
    sampler, _ = PEERS[peer]
    given = {"folder": str(folder), "steps": STEPS, "batch": batch}
    layout = layout_of(folder, batch)
    with (
        Child("measure.peers:theirs", keep=False, peer=peer, **given) as theirs,
        Child("measure.peers:ours", keep=True, sampler=sampler, compiled=False, layout=layout, **given) as ours,
        Child("measure.bare:calls", keep=False, layout="contiguous", **given) as plain,
        Child("measure.bare:calls", keep=True, layout=layout, **given) as fast,
    ):
        rounds = in_turn([theirs, ours, plain, fast], ROUNDS)
    runs, bare = [a / b for a, b, _, _ in rounds], [a / b for _, _, a, b in rounds]
    facts: dict[str, float | str] = {
        "the run gains": statistics.median(runs),
        "the calls gain": statistics.median(bare),
        "layout": layout,
    }
    what = f"{sampler} against {peer}: {title}, {STEPS} steps, batch {batch}"
    return Figure(what, [run / calls for run, calls in zip(runs, bare, strict=True)], ">= 0.97", facts=facts)


def calls(folder: str, steps: int, batch: int, layout: Layout) -> Work:
    """Return a function that calls only the network, `steps` times. A process of its own runs it."""
    call = call_of(load(folder, dtype="float32", layout=layout), batch)

    def work() -> None:
        for _ in range(steps):
            call()

    return work
