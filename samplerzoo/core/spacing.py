"""Spacing protocol: a spacing spreads the steps of a run over a noise path, in the same way for every sampler."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from samplerzoo.core.blame import bad_answer, blaming, plugin_title
from samplerzoo.errors import UsageError
from samplerzoo.options import Options

if TYPE_CHECKING:
    from samplerzoo.core.schedule import Schedule


class Spacing(Options):
    """Spacing, which spreads the steps of a run over a noise path. Write `taus`.

    A run of one step starts at T, and `taus` is not called.
    """

    needs_timesteps: ClassVar[bool] = False
    """True if it needs training timesteps. Paths without them, such as VE and flow paths, are then refused."""

    rounds: ClassVar[bool] = False
    """True if it visits only whole timesteps on paths that have them, so that at most T steps fit."""

    starts_at_top: ClassVar[bool] = True
    """True if a run starts at T for any number of steps; False if it may start at a level with less noise."""

    has_one_step: ClassVar[bool] = False
    """True if `taus` is called for a run of one step, too."""

    def taus(self, schedule: Schedule, steps: int) -> Sequence[float]:
        """Return the decreasing times tau of the noisy levels, one per step, each in (0, T]."""
        raise NotImplementedError(f"{type(self).__name__} has no taus")

    def spread(self, schedule: Schedule, steps: int) -> list[float]:
        """Return the times tau of a run with any number of steps, checked.

        Raises:
            UsageError: the steps do not fit, or the path does not suit this spacing.
            ZooError: the spacing fails, or returns something else.
        """
        if steps < 1:
            raise UsageError(f"a run needs at least 1 step, not {steps}")
        whole = schedule.whole
        if self.needs_timesteps and whole is None:
            raise UsageError(
                f"{plugin_title(self)} is of training timesteps, which a {schedule.kind} path does not have: "
                f"the usual one is --spacing {schedule.usual}"
            )
        if self.rounds and whole is not None and steps > whole:
            raise UsageError(
                f"{steps} steps do not fit on the {whole} timesteps of {plugin_title(self)}: take at most {whole}, "
                "or a --spacing of `samplerzoo list` that goes between them"
            )
        if steps == 1 and not self.has_one_step:
            return [float(schedule.T)]
        with blaming(self):
            found: Any = self.taus(schedule, steps)
        try:
            taus = [float(tau) for tau in found]
        except (TypeError, ValueError) as error:
            raise bad_answer(self, "taus", found, "a list of numbers, the decreasing times tau") from error
        if len(taus) != steps:
            raise bad_answer(self, "taus", found, f"{steps} times tau, one a step, and these are {len(taus)}")
        return taus
