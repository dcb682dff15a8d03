"""`samplerzoo info NAME`: show a sampler, a guidance, a feature network, a spacing or a model in detail."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import click

from samplerzoo import registry
from samplerzoo.cli.flags import flags, validated
from samplerzoo.cli.plugin_flags import plugin_flag
from samplerzoo.cli.repeated import TellsRepeated
from samplerzoo.cli.terminal import show
from samplerzoo.core.kinds import GUIDANCE_PREFIX
from samplerzoo.core.schedule import Schedule
from samplerzoo.errors import UsageError, ZooError, did_you_mean
from samplerzoo.fields import facts
from samplerzoo.models.folder import is_exact, pretrained
from samplerzoo.models.options import ReadingOptions
from samplerzoo.registry import Plugin

SHOWN_STEPS = 10
"""Steps of the default grid that is shown for a model."""


@click.command("info", cls=TellsRepeated, params=[plugin_flag, *flags(ReadingOptions)])
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="for machines")
def command(plugin: tuple[str, ...], name: str, as_json: bool, **reading: Any) -> None:
    """Print all about a sampler, a guidance, a feature network, a spacing or a model.

    For a plugin: what it is, its paper, its options with bounds and defaults. For a model (an embedded name, a folder,
    a hub id or exact:DATASET): images, schedule, classes, and how it was made. Of plugins of several kinds with one
    name, all are printed.
    """
    for file in plugin:
        registry.load_file(file)
    kinds = [] if is_exact(name) else registry.kinds(name)
    if not kinds:
        registry.refuse_file(name, "samplerzoo", "info")
    if kinds:
        found = [_plugin(registry.get(kind, name)) for kind in kinds]
    elif name in pretrained() or "/" in name or name.startswith(".") or is_exact(name) or Path(name).is_dir():
        found = [_model(name, validated(ReadingOptions, reading))]
    else:
        known = [plugin.name for kind in registry.GROUPS for plugin in registry.plugins(kind)]
        names = sorted({*known, *pretrained()})
        raise UsageError(f"nothing is called {name!r}{did_you_mean(name, names)}; there are: {', '.join(names)}")
    if as_json:
        show(json.dumps(found if len(found) > 1 else found[0], indent=2))
        return
    for number, each in enumerate(found):
        if number:
            show("")
        _print(each)


def _plugin(plugin: Plugin) -> dict[str, Any]:
    cls = plugin.load()
    flagged = {} if plugin.kind == "features" else facts(cls)  # features have a source, and no flags
    options = [
        {
            "flag": _flag(plugin, name),
            "type": known.kind,
            "default": known.default,
            "bounds": known.bounds,
            "help": known.help,
        }
        for name, known in flagged.items()
    ]
    found: dict[str, Any] = {
        "name": plugin.name,
        "kind": plugin.kind,
        "source": f"{plugin.source} {plugin.version}",
        "class": f"{cls.__module__}.{cls.__qualname__}",
        "about": inspect.getdoc(cls) or "",
    }
    if plugin.kind == "sampler" and not any(field.is_required() for field in cls.model_fields.values()):
        from samplerzoo.core.exact import is_stochastic

        default: Any = cls()
        found |= {"order": default.order, "stochastic": is_stochastic(default)}
    return {**found, "options": options}


def _flag(plugin: Plugin, option: str) -> str:
    """Return how an option is set on the command line. A spacing's options are written behind its name."""
    if plugin.kind == "spacing":
        return f"--spacing {plugin.name}:{option}="
    return f"--{GUIDANCE_PREFIX if plugin.kind == 'guidance' else ''}{option}".replace("_", "-")


def _model(name: str, reading: ReadingOptions) -> dict[str, Any]:
    """Return all that is known about a model."""
    from samplerzoo.models.load import open_model

    found = open_model(name, reading)
    model, schedule = found.stub, found.stub.schedule
    return {
        "name": name,
        "kind": "model",
        "fingerprint": found.fingerprint,
        "family": found.family,
        "path": schedule.kind,
        "parametrization": model.parametrization.name,
        "x0": "the mean" if model.averages else "one possible image",
        "shape": model.shape,
        "codec": model.codec.name,
        "image_shape": model.image_shape,
        "T": schedule.T,
        "log_snr": [round(schedule.at(tau).log_snr, 3) for tau in (schedule.T, schedule.low)],
        "spacing": schedule.spacing,
        "grid": _shown_grid(schedule),
        "clip_x0": str(model.clip),
        "variance": model.variance,
        "prompts": model.text is not None,
        "num_classes": model.num_classes,
        "null_label": model.null_label,
        "classifier": model.classifier is not None,
        "class_names": model.class_names,
        **found.about(),
        "guessed": found.guesses,
    }


def _shown_grid(schedule: Schedule) -> list[float] | str:
    """Return the default grid of ten steps, or of fewer if ten do not fit; or the reason why there is none."""
    for steps in (SHOWN_STEPS, 4, 2, 1):
        try:
            return [round(timestep, 4) for timestep in schedule.timesteps(schedule.grid(steps))]
        except ZooError as error:
            reason = str(error)
    return reason


def _print(found: dict[str, Any]) -> None:
    options = found.pop("options", None)
    about = found.pop("about", None)
    width = max(map(len, found)) + 2
    for name, value in found.items():
        if value not in (None, {}, [], ()):
            shown = value if isinstance(value, (str, int, float)) else json.dumps(value)
            show(f"{name:{width}}{shown}")
    if about:
        show("\n" + about)
    if options:
        show("\noptions:")
        for option in options:
            default = "" if option["default"] is None else f"default: {option['default']}"
            notes = "; ".join(filter(None, [default, option["bounds"]]))
            between = "" if option["flag"].endswith("=") else " "
            said = f"  {option['flag']}{between}{option['type']}  {option['help']}"
            show(said + (f"  [{notes}]" if notes else ""))
