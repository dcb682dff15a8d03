"""Walk of a sampler from noise to data, with checks of its states."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch

from samplerzoo.core.blame import bad_answer, place_of, plugin_title
from samplerzoo.core.endless import MOST, endless
from samplerzoo.core.level import Grid, Level
from samplerzoo.core.noise import INITIAL_STEP
from samplerzoo.core.prediction import Denoiser, Prediction
from samplerzoo.core.sampler import Sampler
from samplerzoo.errors import ZooError


def walk(sampler: Sampler, grid: Grid, denoise: Denoiser, noise: Callable[[], torch.Tensor]) -> Iterator[torch.Tensor]:
    """Draw x_T. Yield it, and the state after every step of the grid.

    Raises:
        ZooError: the sampler yields something that is not a state.
    """
    x = denoise.schedule.prior_std * noise()
    yield x
    yield from walk_from(sampler, x, grid, denoise, noise)


def walk_from(
    sampler: Sampler, x: torch.Tensor, grid: Grid, denoise: Denoiser, noise: Callable[[], torch.Tensor]
) -> Iterator[torch.Tensor]:
    """Yield the state after every step of the grid, from a state x at its first level.

    Raises:
        ZooError: the sampler yields something that is not a state, or not one state per step, or draws without end.
    """
    method = "step" if type(sampler).walk is Sampler.walk else "walk"
    number = drawn = asked = 0

    def during() -> str:
        return f"in step {number + 1} of {len(grid)}"

    def counted() -> torch.Tensor:
        nonlocal drawn
        drawn += 1
        if drawn > MOST:
            raise endless(sampler, method, "draws", during(), "take each draw of noise() as it comes")
        return noise()

    def predict(x: torch.Tensor, level: Level) -> Prediction:
        nonlocal asked
        asked += 1
        if asked > MOST:
            raise endless(sampler, method, "calls denoise", during(), "end a step after so many calls")
        return denoise.predict(x, level)

    states = sampler.walk(x, grid, dataclasses.replace(denoise, predict=predict), counted)
    if isinstance(states, torch.Tensor) or not isinstance(states, Iterable):
        raise bad_answer(sampler, "walk", states, "a state a step: yield x, without return")
    for number, state in enumerate(states, 1):
        drawn = asked = 0
        if number > len(grid):
            raise _miscounted(sampler, "more than", grid)
        if not isinstance(state, torch.Tensor) or (state.shape, state.dtype) != (x.shape, x.dtype):
            raise bad_answer(sampler, method, state, f"a tensor like x, {x.dtype} of shape {tuple(x.shape)}")
        yield state
    if number < len(grid):
        raise _miscounted(sampler, f"{number} of", grid)


def _miscounted(sampler: Sampler, found: str, grid: Grid) -> ZooError:
    name, where = plugin_title(sampler), place_of(type(sampler), "walk")
    return ZooError(f"{name}: walk yields {found} the {len(grid)} steps of its grid ({where})")


class FiniteCheck:
    """Check that network and sampler give finite values at every step of a batch.

    Reading a value stalls a GPU, so all checks are read together after the last step.

    Args:
        steps: number of steps of the run, for messages.
        at_once: read every check immediately, which costs nothing on a CPU.
        advice: advice on what to do, as the end of the error message.

    Attributes:
        step: number of the current step.
    """

    def __init__(self, steps: int, *, at_once: bool, advice: str = "") -> None:
        self.step = INITIAL_STEP
        self._steps, self._at_once, self._advice = steps, at_once, advice
        self._seen: list[tuple[torch.Tensor, str, int, Level]] = []

    def __call__(self, x: torch.Tensor, culprit: str, level: Level) -> None:
        """Check x, which `culprit` returned at a level. If `at_once`, raise an error as `read` does."""
        low, high = torch.aminmax(x)  # NaN if any value is NaN; six times as fast as checking every value
        if self._at_once:
            self._refuse_infinite((low.item(), high.item()), culprit, self.step, level)
        else:
            self._seen.append((torch.stack([low, high]), culprit, self.step, level))

    def read(self) -> None:
        """Read all pending checks.

        Raises:
            ZooError: a value is NaN or infinite. The message names the first such step and the culprit.
        """
        seen, self._seen = self._seen, []
        extremes = torch.stack([extremes for extremes, *_ in seen]).tolist() if seen else []
        for values, (_, culprit, step, level) in zip(extremes, seen, strict=True):
            self._refuse_infinite(values, culprit, step, level)

    def _refuse_infinite(self, extremes: Sequence[float], culprit: str, step: int, level: Level) -> None:
        if not all(map(math.isfinite, extremes)):
            where = f"at step {step} of {self._steps}, tau {level.tau:g}"
            raise ZooError(f"{culprit} returned NaN or infinity {where}{self._advice}")
