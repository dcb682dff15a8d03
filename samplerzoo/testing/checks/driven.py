"""Checks of a sampler in the driver: recorded states, and counted evaluations."""

from __future__ import annotations

import torch

from samplerzoo.core.level import Level
from samplerzoo.core.sampler import Sampler
from samplerzoo.sampling.sample import sample
from samplerzoo.testing.fixtures import ON_VP, Path, Watched, bimodal, given_noise

STEPS, IMAGES = 6, 3


def check_recording_changes_nothing(sampler: Sampler, path: Path = ON_VP) -> None:
    """Check that recording the states changes no image, and that a recorded state stays as it was."""
    seen: list[tuple[int, torch.Tensor, torch.Tensor]] = []

    def record(number: int, level: Level, x: torch.Tensor) -> None:
        seen.append((number, x, x.clone()))

    model = bimodal(schedule=path.schedule)
    plain = sample(model, sampler, steps=STEPS, num_images=IMAGES)
    recorded = sample(model, sampler, steps=STEPS, num_images=IMAGES, on_step=record)
    assert torch.equal(plain.images, recorded.images), "images differ when their way is recorded"
    assert plain.cost == recorded.cost, f"recording changes the cost from {plain.cost} to {recorded.cost}"
    numbers = [number for number, _, _ in seen]
    assert numbers == list(range(len(plain.grid) + 1)), f"the states of a run are numbered {numbers}"
    for number, now, then in seen:
        assert torch.equal(now, then), f"the state of step {number} was changed after it had been yielded"
    assert torch.equal(seen[-1][1], plain.images), "the last state is not the image"


def check_nfe_is_what_it_calls(sampler: Sampler, path: Path = ON_VP) -> None:
    """Check that the driver's count of network evaluations is the number of calls of `denoise`."""
    model = bimodal(schedule=path.schedule)
    result = sample(model, sampler, steps=STEPS, num_images=IMAGES)
    watched = Watched(model)
    list(watched.states(sampler, result.grid, given_noise(IMAGES, (2,), torch.float32)))
    called = sum(len(x) for x, _ in watched.asked)
    assert result.cost.evaluations == called, (
        f"the network was evaluated {result.cost.evaluations} times for {IMAGES} images, and {called} times through "
        "denoise(x, level)"
    )
    one = sample(model, sampler, steps=STEPS, num_images=1)
    assert one.nfe == result.nfe, f"an image costs {one.nfe:g} evaluations alone and {result.nfe:g} in a batch"
