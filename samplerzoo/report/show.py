"""Pictures of several settings beside each other, drawn from the same noise; nothing is measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from samplerzoo import images
from samplerzoo.errors import UsageError
from samplerzoo.models.load import load
from samplerzoo.models.options import ReadingOptions
from samplerzoo.report.gallery import blocks
from samplerzoo.report.line_names import name_lines, option_text, place
from samplerzoo.sampling.driver import stream
from samplerzoo.sampling.plan import Plan, make_plan
from samplerzoo.sampling.recipe import Recipe
from samplerzoo.sampling.trajectory import Trajectory

if TYPE_CHECKING:
    from samplerzoo.core.model import Model, Offload

SHOWN, MOST = 2, 64
"""Images of a setting, if neither their number, labels nor prompts are given, and the most of them."""


def save_picture(
    recipes: Sequence[Recipe],
    reading: ReadingOptions,
    count: int | None,
    axis: str,
    device: str,
    output: Path,
    offload: Offload | None = None,
) -> None:
    """Draw the images of each recipe, and save them on one sheet.

    Args:
        count: images of each recipe.
        axis: option whose values are the columns.

    Raises:
        UsageError: a recipe does not go with the model, or no recipe has the option.
    """
    places = [place(recipe, axis) for recipe in recipes]
    if all(value is None for value in places):
        raise UsageError(f"--columns {axis}: no setting has this option")
    columns = [*dict.fromkeys(places)]
    lines = name_lines(recipes, axis)
    cells = {}
    plans = (plan for _, plan in _plans(recipes, reading, count, device, offload))
    for plan, line, value in zip(plans, lines, places, strict=True):
        (batch,) = stream(plan, batch_size=plan.num_images)
        row = [*lines.categories].index(line)
        cells[row, columns.index(value)] = images.to_uint8(plan.model.decode(batch.images))
    heads = [_head(axis, value) for value in columns]
    images.save_png(blocks(cells, [*lines.categories], heads), output)


def save_ways(
    recipes: Sequence[Recipe],
    reading: ReadingOptions,
    count: int | None,
    axis: str,
    device: str,
    output: Path,
    offload: Offload | None = None,
) -> None:
    """Draw the way of the images of each recipe, and save them below each other; see `save_picture`."""
    ways = []
    for recipe, plan in _plans(recipes, reading, count, device, offload):
        way = Trajectory(plan, recipe)
        list(stream(plan, batch_size=plan.num_images, on_step=way.reached, on_prediction=way.predicted))
        ways.append(way.picture())
    width, height = max(way.width for way in ways), sum(way.height for way in ways)
    sheet = Image.new(ways[0].mode, (width, height), (images.PAPER,) * len(ways[0].getbands()))
    top = 0
    for picture in ways:
        sheet.paste(picture, (0, top))
        top += picture.height
    images.save_png(sheet, output)


def _plans(
    recipes: Sequence[Recipe], reading: ReadingOptions, count: int | None, device: str, offload: Offload | None
) -> Iterator[tuple[Recipe, Plan]]:
    """Plan each recipe on the model, whose weights are read once for each dtype."""
    models: dict[str, Model] = {}
    for recipe in recipes:
        if recipe.dtype not in models:
            models[recipe.dtype] = load(
                recipe.model, device=device, dtype=recipe.dtype, offload=offload, **dict(reading)
            )
        model = models[recipe.dtype]
        asked = _listed(recipe.class_labels) if recipe.prompts is None else min(len(recipe.prompts), MOST)
        yield recipe, make_plan(recipe, model, count or asked or SHOWN).with_weights(model)


def _listed(labels: str | None) -> int | None:
    """Count the labels of a list, such as 3,8 or 0-9; None for a rule such as balanced."""
    try:
        parts = [part.partition("-") for part in (labels or "").split(",")]
        return sum(int(last or first) - int(first) + 1 for first, _, last in parts)
    except ValueError:
        return None


def _head(axis: str, value: Any) -> str:
    if axis == "steps":
        return f"{value} step{'s' * (value != 1)}"
    return option_text(axis, value) or "–"
