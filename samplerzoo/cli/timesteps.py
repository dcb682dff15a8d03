"""`samplerzoo timesteps`: show the levels that a run would visit. It needs no torch, and only a model's config."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, TypeVar, cast

import click
from pydantic import Field, PositiveInt

from samplerzoo import registry
from samplerzoo.cli.flags import flags, given, validated
from samplerzoo.cli.plugin_flags import PluginCommand, plugin_flag, sampler_flag
from samplerzoo.cli.shared_flags import json_flag
from samplerzoo.core.betas import BETA_SCHEDULES
from samplerzoo.core.level import Level
from samplerzoo.core.paths import VP
from samplerzoo.core.sampler import Sampler, grid_of
from samplerzoo.core.schedule import Schedule
from samplerzoo.errors import UsageError
from samplerzoo.models.load import open_model
from samplerzoo.models.options import ReadingOptions
from samplerzoo.options import Options
from samplerzoo.sampling.recipe import GridRequest

Request = TypeVar("Request", bound=Options)


class ScheduleRequest(Options):
    """Request for a schedule without a model. The defaults are those of DDPM and of the embedded model."""

    T: PositiveInt = Field(1000, description="number of noise levels")
    beta_schedule: str = Field(
        "linear", description="shape of beta over time", json_schema_extra={"enum": [*BETA_SCHEDULES]}
    )
    beta_start: float = Field(1e-4, gt=0, lt=1, description="first beta")
    beta_end: float = Field(0.02, gt=0, lt=1, description="last beta")
    rescale_betas_zero_snr: bool = Field(False, description="rescale so that the last level holds no signal")

    def schedule(self) -> Schedule:
        return VP.from_config({"num_train_timesteps": self.T, **self.model_dump(exclude={"T"})})


@click.command(
    "timesteps",
    cls=PluginCommand,
    params=[
        sampler_flag,
        plugin_flag,
        *flags(GridRequest),
        click.Option(["--model"], help="model whose schedule is taken: an embedded model, a folder, or a hub id"),
        *flags(ReadingOptions),
        *flags(ScheduleRequest),
        json_flag,
    ],
)
def command(sampler: str, plugin: tuple[str, ...], as_json: bool, **values: Any) -> None:
    """Show the exact levels that a run visits: timestep, tau, alpha, sigma and log-SNR.

    The schedule is DDPM's linear one, the one that --T and --beta-schedule describe, or that of a model.
    """
    wanted = given(values)
    request = _taken(wanted, GridRequest)
    schedule = _schedule(wanted)
    made = cast(Sampler, registry.make("sampler", sampler, wanted))
    if request.timesteps is not None:
        grid = schedule.grid_at(request.timesteps)
    else:
        grid = grid_of(made, schedule, request.steps, request.spacing)
    if as_json:
        click.echo(json.dumps([*map(schedule.describe, grid.levels)], indent=2))
    else:
        _print(schedule, grid.levels)


def _taken(wanted: dict[str, Any], request: type[Request]) -> Request:
    """Remove the fields of a request from `wanted`, and make the request."""
    return validated(request, {name: wanted.pop(name) for name in [*wanted] if name in request.model_fields})


def _schedule(wanted: dict[str, Any]) -> Schedule:
    model = wanted.pop("model", None)
    request, reading = _taken(wanted, ScheduleRequest), _taken(wanted, ReadingOptions)
    if model is None:
        return request.schedule()
    if request.model_fields_set:
        raise UsageError("a model has a schedule of its own: give --model, or --T and --beta-schedule")
    return open_model(model, reading).stub.schedule


def _print(schedule: Schedule, levels: Sequence[Level]) -> None:
    click.echo(f"{'step':>5} {'timestep':>10} {'tau':>10} {'alpha':>12} {'sigma':>12} {'log-SNR':>9}")
    for step, level in enumerate(levels):
        timestep = "clean" if level.clean else f"{schedule.timestep(level.tau):.7g}"
        log_snr = "inf" if level.clean else f"{level.log_snr:.4f}"
        numbers = f"{level.tau:>10.7g} {level.alpha:>12.9f} {level.sigma:>12.9f}"
        click.echo(f"{step:>5} {timestep:>10} {numbers} {log_snr:>9}")
