"""Suite: what a benchmark compares, from a TOML file or from the command line.

A row names a sampler and may give its options, those of a guidance, and how the images are drawn. Lists multiply out:
eta = [0.0, 0.5, 1.0] with steps = [10, 20] makes six cells.
"""

from __future__ import annotations

import functools
import itertools
import math
import sys
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PositiveInt, TypeAdapter, ValidationError, model_validator
from pydantic.fields import FieldInfo

from samplerzoo import registry
from samplerzoo.core.blame import blame
from samplerzoo.core.kinds import GUIDANCE_PREFIX, Kind
from samplerzoo.core.paths import NAMED_PATHS
from samplerzoo.data.prompts import read_prompts
from samplerzoo.errors import UsageError, did_you_mean, reason
from samplerzoo.models.folder import GAUSSIAN, has_features, is_gaussian
from samplerzoo.models.options import ReadingOptions
from samplerzoo.registry import split_options
from samplerzoo.sampling.recipe import SCALE, DrawOptions, Recipe
from samplerzoo.trust.limits import MOST_CELLS, MOST_IMAGES

GAUSSIAN_STEPS = [5, 10, 20, 50, 100, 200, 500, 1000]
IDLE_ON_GAUSSIAN = ("images", "seeds", "dtype")
"""Keys of rows that have no effect on the exact Gaussian, which draws no images."""

Warn = Callable[[str], None]


Measure = Literal["error", "fd", "clip-score"]
ERROR_STEPS, ERROR_IMAGES, IMAGES = [5, 10, 20], 64, 1000
"""Default steps and images of a benchmark that measures errors alone, and default images of any other."""


class SuiteHeader(ReadingOptions):
    """Keys that all rows of a suite share: the model, and how its images are measured."""

    model: str = Field("mnist", description="an embedded model, a folder, a hub id, exact:DATASET, or gaussian[:PATH]")
    metrics: tuple[Measure, ...] | None = Field(
        None,
        min_length=1,
        description="error: distance of each image to the converged solution of the same noise, which needs no data; "
        "fd: Fréchet distance and all else that features and a reference give; clip-score: how near images are to "
        "their prompts, in the features of a CLIP model; default: fd, or error if there are no features",
    )
    features: str | None = Field(
        None, description="feature network that images are compared by, NAME:SOURCE; default: that of the model"
    )
    reference: str = Field(
        "train",
        description="real images to compare with: a reference that comes with the features, a file of `samplerzoo ref "
        "make`, a folder of images, or a data set",
    )
    reference_split: str = Field("train", description="split, where the reference is a data set or a folder of images")
    floor: str | None = Field(
        None,
        description="other real images, for the best distance to hope for: as the reference, with the split test; "
        "default: test, if the reference comes with the features",
    )


class RowOptions(DrawOptions):
    """Keys that a row may have beside the options of its sampler and guidance.

    At the top of a suite they hold for all rows.
    """

    images: PositiveInt | None = Field(
        None, le=MOST_IMAGES, description="how many of each cell; default: 1000, or 64 without fd"
    )
    seeds: int = Field(0, ge=0, lt=2**64, description="image i depends on the seed and i; every seed is a cell")
    class_labels: str | None = Field(
        None,
        description="3, 0-9, 1,3,5-7, balanced or natural: as frequent as in the reference, or in the training data if "
        "the reference does not say; default: natural where it can be, else balanced",
    )
    guidance: str | None = Field(None, description="such as cfg or classifier, with --guidance-scale")
    prompt_column: str | None = None
    """Column of the prompts, in a table whose column names do not tell."""

    @model_validator(mode="before")
    @classmethod
    def _prompts_of_files(cls, keys: dict[str, Any]) -> dict[str, Any]:
        """Read prompts from files: a row may name files, but a recipe holds the texts themselves."""
        asked, column = keys.get("prompts"), keys.get("prompt_column")
        if isinstance(asked, str) or (isinstance(asked, (list, tuple)) and all(isinstance(it, str) for it in asked)):
            return {**keys, "prompts": read_prompts(asked, column)}
        if column is not None:
            raise ValueError("prompt_column stands beside prompts")
        return keys


class Suite(SuiteHeader):
    """Header and rows. Each row has all of its keys, those from the top of the suite included."""

    rows: tuple[dict[str, Any], ...]
    every: bool = False
    """True if the rows are all samplers by default: one that does not suit the model is left out."""

    @functools.cached_property
    def measures(self) -> tuple[Measure, ...]:
        """Metrics to compute; by default fd if there are features or a reference, else error."""
        if self.metrics is not None:
            return self.metrics
        if self.features is not None or {"reference", "floor"} & self.model_fields_set or has_features(self.model):
            return ("fd",)
        return ("error",)

    @functools.cached_property
    def points(self) -> list[tuple[Recipe, int]]:
        """Recipes of all rows, multiplied out, and the number of images of each."""
        return [point for number, row in enumerate(self.rows, 1) for point in self._points(number, row)]

    def _points(self, number: int, row: dict[str, Any]) -> Iterator[tuple[Recipe, int]]:
        try:
            _check_keys(row)
            for values in _multiplied(row):
                keys = {name: values.pop(name) for name in RowOptions.model_fields if name in values}
                how = RowOptions.model_validate(keys)
                sampler = values.pop("sampler")
                for_sampler, for_guidance = split_options(values)
                recipe = Recipe.model_validate(
                    {
                        "model": self.model,
                        **dict(self.reading),
                        "sampler": sampler,
                        "sampler_options": for_sampler,
                        "guidance_options": for_guidance,
                        "seed": how.seeds,
                        **how.model_dump(exclude={"images", "seeds", "prompt_column"}, exclude_unset=True),
                    }
                )
                yield recipe, how.images or (IMAGES if "fd" in self.measures else ERROR_IMAGES)
        except ValidationError as error:
            raise UsageError(f"row {number}: {reason(error)}") from error
        except UsageError as error:
            raise UsageError(f"row {number}: {error}") from error


def read_suite(path: Path) -> dict[str, Any]:
    """Read a suite file.

    Raises:
        UsageError: there is no such file, or it is not TOML.
    """
    try:
        return tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise UsageError(f"no suite file {path}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path}: not a TOML file: {error}") from error


def parse_suite(
    content: Mapping[str, Any],
    name: str,
    flags: Mapping[str, Any] | None = None,
    more_rows: Sequence[Mapping[str, Any]] = (),
) -> Suite:
    """Make a suite, and check that every key is known and every value valid.

    Args:
        content: content of a file; empty without one.
        name: name in messages.
        flags: keys from the command line, which override those of the file in all rows.
        more_rows: rows from the command line, in addition to those of the file.

    Raises:
        UsageError: names the file, the row and the key, and suggests the nearest known key.
    """
    flags = flags or {}
    try:
        subject, shared, rows = _parts(content)
        above = {key: value for key, value in flags.items() if key in RowOptions.model_fields or _of_guidance(key)}
        subject |= {key: value for key, value in flags.items() if key in SuiteHeader.model_fields}
        named = [*rows, *more_rows]
        rows = named or _every_sampler(subject, {**shared, **above})
        every_row = tuple(_over(_over(shared, row), above) for row in rows)
        suite = Suite.model_validate({**subject, "rows": every_row, "every": not named})
        if is_gaussian(suite.model):
            gaussian_path(suite.model)  # refuses an unknown path; so does `points` an unknown sampler
            _refuse_idle(suite)
        _ = suite.points
    except ValidationError as error:
        raise UsageError(f"{name}: {reason(error)}") from error
    except UsageError as error:
        raise UsageError(f"{name}: {error}") from error
    return suite


def _parts(content: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any], list[Mapping[str, Any]]]:
    """Split the content of a file into the header, the keys that hold for all rows, and the rows."""
    rows = content.get("rows", [])
    if not (isinstance(rows, list) and all(isinstance(row, dict) for row in rows)):
        raise UsageError("rows must be tables: [[rows]]")
    known = [*SuiteHeader.model_fields, *RowOptions.model_fields]
    for key in content:
        if key not in (*known, "rows") and not _of_guidance(key):
            owners = registry.owners("sampler", key)
            hint = f"; it belongs in a row, with {' or '.join(owners)}" if owners else did_you_mean(key, known)
            raise UsageError(f"no key {key!r} at the top of a suite{hint}; there are: {', '.join(known)}, rows")
    subject = {key: value for key, value in content.items() if key in SuiteHeader.model_fields}
    shared = {key: value for key, value in content.items() if key != "rows" and key not in subject}
    return subject, shared, rows


def _every_sampler(subject: Mapping[str, Any], keys: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Make a row of all samplers, for a benchmark of the exact Gaussian or of errors that names no sampler."""
    steps = GAUSSIAN_STEPS if is_gaussian(subject.get("model", "")) else ERROR_STEPS
    if steps is ERROR_STEPS and "error" not in (subject.get("metrics") or ()):
        raise UsageError("there are no rows: add --sampler NAME, or [[rows]] to the file; --metrics error takes all")
    row = {"sampler": [recipe.sampler for recipe in default_recipes(steps=[1])]}
    return [row if "steps" in keys or "timesteps" in keys else {**row, "steps": steps}]


def _refuse_idle(suite: Suite) -> None:
    """Refuse keys that have no effect on an exact Gaussian, which has exact moments and draws no images.

    Raises:
        UsageError: names the keys.
    """
    header = {key for key in suite.model_fields_set if key not in ("model", "rows", "every")}
    idle = sorted(header | {key for row in suite.rows for key in IDLE_ON_GAUSSIAN if key in row})
    if idle:
        keys = ", ".join(f"{key} (--{key.replace('_', '-')})" for key in idle)
        raise UsageError(f"the exact Gaussian has exact moments, and draws no images: leave out {keys}")


def gaussian_path(model: str) -> str:
    """Return the name of the path of an exact Gaussian; the name of the model may have it after a colon.

    Raises:
        UsageError: there is no such path.
    """
    path = model.partition(":")[2] or "vp"
    if path not in NAMED_PATHS:
        raise UsageError(
            f"no model {model!r}: the exact Gaussian is on {', '.join(f'{GAUSSIAN}:{name}' for name in NAMED_PATHS)}"
        )
    return path


def say(message: str) -> None:
    print(f"samplerzoo: {message}", file=sys.stderr)


def default_recipes(steps: Iterable[int], warn: Warn = say) -> list[Recipe]:
    """Make a recipe of every installed sampler with its default options, at each number of steps.

    A broken plugin is left out, and `warn` gets the reason.
    """
    steps = list(steps)
    plugins = registry.plugins("sampler")
    count = Counter(plugin.name for plugin in plugins)
    recipes = []
    for plugin in plugins:
        name = plugin.name if count[plugin.name] == 1 else f"{plugin.source}:{plugin.name}"
        try:
            cls: Any = plugin.load()
            if not cls().needs_mean:  # the exact Gaussian gives the mean, and this sampler is for other models
                continue
        except Exception as error:
            warn(reason(blame(error) or error))
            continue
        recipes += [Recipe(model=GAUSSIAN, sampler=name, steps=n) for n in steps]
    return recipes


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Merge two sets of keys; `above` wins. Timesteps replace steps and spacing, and vice versa."""
    if "timesteps" in above:
        below = {key: value for key, value in below.items() if key not in ("steps", "spacing")}
    if "steps" in above or "spacing" in above:
        below = {key: value for key, value in below.items() if key != "timesteps"}
    return {**below, **above}


def _check_keys(row: Mapping[str, Any]) -> None:
    """Refuse a key that belongs neither to rows nor to one of the row's samplers or guidances."""
    if "sampler" not in row:
        raise UsageError("it names no sampler")
    kinds: tuple[Kind, ...] = ("sampler", "guidance")
    for kind in kinds:
        for name in [] if row.get(kind) is None else _listed(row[kind]):
            if not isinstance(name, str):
                raise UsageError(f"{kind} is a name or a list of names, and not {name!r:.60}")
            registry.get(kind, name)
    for key in row:
        if key in RowOptions.model_fields or key == "sampler":
            continue
        if key in SuiteHeader.model_fields:
            raise UsageError(f"{key} is one for all rows: it belongs at the top of the suite")
        kind = "guidance" if _of_guidance(key) else "sampler"
        option = key.removeprefix(GUIDANCE_PREFIX) if kind == "guidance" else key
        if kind == "guidance" and row.get("guidance") is None:
            if option == SCALE:  # for a whole pipeline, which guides by itself; any other model refuses it later
                continue
            having = " or ".join(registry.owners("guidance", option))
            raise UsageError(f"{key} is an option of a guidance" + (f": add guidance {having}" if having else ""))
        for name in _listed(row[kind]):
            _check_option(kind, name, key, option)


def _check_option(kind: Kind, name: str, key: str, option: str) -> None:
    fields = [*registry.get(kind, name).load().model_fields]
    if option in fields:
        return
    if registry.owners(kind, option):
        raise UsageError(registry.unknown_option(kind, name, option))
    known = [GUIDANCE_PREFIX + field for field in fields] if kind == "guidance" else fields
    close = did_you_mean(key, [*known, *RowOptions.model_fields])
    raise UsageError(f"no key {key!r}{close}; {kind} {name} has: {', '.join(known) or 'no options'}")


def _multiplied(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield every combination of the values of a row."""
    choices = {key: _choices(key, value, row) for key, value in row.items()}
    for key, values in choices.items():
        if not values:
            raise UsageError(f"{key} is an empty list")
    count = math.prod(map(len, choices.values()))
    if count > MOST_CELLS:
        raise UsageError(f"its lists multiply out to {count} cells; a row has at most {MOST_CELLS}")
    for combination in itertools.product(*choices.values()):
        yield dict(zip(choices, combination, strict=True))


def _choices(key: str, value: Any, row: Mapping[str, Any]) -> Sequence[Any]:
    """Return the values of a key to multiply out. If the field itself is a list, a flat list is one value."""
    values = _listed(value)
    return [value] if _is_list(_field(key, row)) and not any(isinstance(each, list) for each in values) else values


def _field(key: str, row: Mapping[str, Any]) -> FieldInfo | None:
    if key in RowOptions.model_fields or key == "sampler":
        return RowOptions.model_fields.get(key)
    kind: Kind = "guidance" if _of_guidance(key) else "sampler"
    if row.get(kind) is None:
        return None
    owner = registry.get(kind, _listed(row[kind])[0]).load()
    return owner.model_fields[key.removeprefix(GUIDANCE_PREFIX)]


def _is_list(field: FieldInfo | None) -> bool:
    if field is None:
        return False
    annotation: Any = field.annotation
    schema = TypeAdapter[Any](annotation).json_schema()
    return any(kind.get("type") == "array" for kind in (schema, *schema.get("anyOf", [])))


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _of_guidance(key: str) -> bool:
    return key.startswith(GUIDANCE_PREFIX)
