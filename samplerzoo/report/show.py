"""Pictures of several settings beside each other, drawn from the same noise; nothing is measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from samplerzoo import images
from samplerzoo.errors import UsageError
from samplerzoo.models.load import load, open_model
from samplerzoo.models.options import ReadingOptions
from samplerzoo.report.gallery import blocks
from samplerzoo.report.line_names import name_lines, option_text, place
from samplerzoo.sampling.driver import stream
from samplerzoo.sampling.idle import warn_of_options_idle_in_all
from samplerzoo.sampling.plan import Plan, make_plan
from samplerzoo.sampling.recipe import Recipe
from samplerzoo.sampling.trajectory import Trajectory
from samplerzoo.system.files import atomic_file

if TYPE_CHECKING:
    from samplerzoo.core.model import Model, Offload

SHOWN, MOST = 2, 64
"""Images of a setting if neither their number, labels nor prompts are given, and the most that prompts ask for."""


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
        UsageError: a recipe does not fit the model, or no recipe has the option.
    """
    columns, lines = _columns(recipes, axis), name_lines(recipes, axis)
    cells = {}
    for (recipe, plan), line in zip(_plans(recipes, reading, count, device, offload), lines, strict=True):
        (batch,) = stream(plan, batch_size=plan.num_images)
        spot = [*lines.categories].index(line), columns.index(place(recipe, axis))
        cells[spot] = images.to_uint8(plan.model.decode(batch.images))
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
    """Draw the trajectories of the images of each recipe, and save them below each other; see `save_picture`."""
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


def save_plane(recipes: Sequence[Recipe], reading: ReadingOptions, path: str, axis: str, output: Path) -> list[str]:
    """Move points of a plane by each recipe, and save their trajectories as one animated SVG; see `save_picture`.

    Args:
        path: word for the path from noise to data; see `plane.path_of`.

    Returns:
        One line of text per recipe, which says where its points end.
    """
    from samplerzoo.report import plane

    schedule = plane.path_of(path, open_model(recipes[0].model, reading).stub)
    columns, lines = _columns(recipes, axis), name_lines(recipes, axis)
    found, titles, said = {}, {}, []
    for recipe, line in zip(recipes, lines, strict=True):
        value = place(recipe, axis)
        spot = [*lines.categories].index(line), columns.index(value)
        plan = plane.plan_of(recipe, schedule)
        found[spot] = plane.move(plan), plane.move(plane.flow_of(plan))
        titles[spot] = f"{line}, {_head(axis, value)}"
        said.append(f"{titles[spot]}: {plane.verdict(*found[spot])}")
    with atomic_file(output) as partial:
        partial.write_text(plane.films(found, titles), "utf-8")
    return said


def _columns(recipes: Sequence[Recipe], axis: str) -> list[Any]:
    """Return the distinct places of recipes on an axis, in order of appearance.

    Raises:
        UsageError: no recipe has the option.
    """
    columns = [*dict.fromkeys(place(recipe, axis) for recipe in recipes)]
    if columns == [None]:
        raise UsageError(f"--columns {axis}: no setting has this option")
    return columns


def _plans(
    recipes: Sequence[Recipe], reading: ReadingOptions, count: int | None, device: str, offload: Offload | None
) -> list[tuple[Recipe, Plan]]:
    """Plan each recipe on the model, whose weights are read once for each dtype. Warn of options that do nothing."""
    models: dict[str, Model] = {}
    plans = []
    for recipe in recipes:
        if recipe.dtype not in models:
            models[recipe.dtype] = load(
                recipe.model, device=device, dtype=recipe.dtype, offload=offload, **dict(reading)
            )
        model = models[recipe.dtype]
        asked = _listed(recipe.class_labels) if recipe.prompts is None else min(len(recipe.prompts), MOST)
        plans.append((recipe, make_plan(recipe, model, count or asked or SHOWN).with_weights(model)))
    warn_of_options_idle_in_all([(plan, recipe) for recipe, plan in plans], "setting")
    return plans


def _listed(labels: str | None) -> int | None:
    """Count the labels of a list, such as 3,8 or 0-9; None for a rule such as balanced."""
    try:
        parts = [part.partition("-") for part in (labels or "").split(",")]
        return sum(int(last or first) - int(first) + 1 for first, _, last in parts)
    except ValueError:
        return None


def _head(axis: str, value: Any) -> str:
    return option_text(axis, value) or "–"
