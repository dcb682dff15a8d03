"""Rows of a benchmark: results.jsonl, one line per finished cell and protocol, with all that is needed to repeat it."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from samplerzoo.bench.machine import Machine
from samplerzoo.errors import UsageError, path_text
from samplerzoo.metrics.evaluate import Metrics
from samplerzoo.metrics.names import metric_name
from samplerzoo.options import Name, Options
from samplerzoo.sampling.recipe import Recipe
from samplerzoo.system.files import atomic_file, digest_text
from samplerzoo.trust.limits import MOST_LETTERS, MOST_STEPS
from samplerzoo.trust.records import read_lines, sealed, whole_lines

if TYPE_CHECKING:
    from pandas import DataFrame

RESULTS_FILE = "results.jsonl"
MEASURED_AGAIN = "remove the line, and the same `samplerzoo bench` measures it again"
"""Advice for a line that was changed."""
EXACT = "exact"
"""Features name of rows whose output distribution is known, so that the distance needs no images."""
ERROR = "error"
"""Features name of rows with distances of images to the converged solution of the same noise."""


SCORE = "clip-score"
"""Features name of rows with scores: how near images are to their prompts."""


class Protocol(Options):
    """Protocol of a measurement. Two figures can be compared if their protocols are equal.

    Attributes:
        images: number of images; None for exact moments.
        prompts: number and SHA-256 of the prompts; None for images that were made without prompts.
        features, features_id: name as metrics carry it, and identity of weights and preprocessing.
        reference, reference_id: name of the reference statistics, and their SHA-256 (first 16 hex digits).
        target: guidance and clip of the converged solutions that images are compared with; None without both, and for
            other figures. Errors to different solutions say nothing of the samplers.
        dimensions: number of features; None in rows of earlier versions, which kept no errors.
        floor, floor_id: name and SHA-256 of the real images that the floor is drawn from, if there are any.
    """

    model: Name
    fingerprint: Name
    images: PositiveInt | None
    labels: Name | None
    prompts: Name | None = None
    features: Name
    features_id: Name
    reference: Name
    reference_id: Name
    reference_images: PositiveInt | None
    target: Name | None = None
    dimensions: PositiveInt | None = None
    floor: Name | None = None
    floor_id: Name | None = None

    @model_validator(mode="after")
    def _counts_its_images(self) -> Self:
        if self.images is None and self.features != EXACT:
            raise ValueError(f"images are not counted, and the features are not {EXACT}")
        return self

    @property
    def metric(self) -> str:
        """Name of the distance: fd_mnist@5000. Only features of the published Inception network give fid@5000."""
        if self.features in (ERROR, SCORE):
            return f"{self.features}@{self.images}"
        return metric_name(self.features, self.features_id, self.images)

    @property
    def measure(self) -> str:
        """Metric, and the target if there is one."""
        return ", ".join(filter(None, [self.metric, self.target]))

    @property
    def title(self) -> str:
        """Model, measure, and prompts if there are any."""
        return ", ".join(filter(None, [f"{self.model}: {self.measure}", self.prompts]))


class CostPerImage(Options):
    """Cost of an image, counted at the network."""

    nfe: PositiveFloat
    network_calls: PositiveFloat
    classifier_gradients: NonNegativeFloat
    second_nfe: NonNegativeFloat = 0.0
    """Evaluations of a guidance's own network."""

    @property
    def work(self) -> float:
        """Evaluations per image, including those of a second network and gradients of a classifier."""
        return self.nfe + self.classifier_gradients + self.second_nfe


class Speed(Machine):
    """Speed of sampling on a machine, without warm-up, features and files.

    Attributes:
        images_per_second: speed of one process.
        encoding_seconds, decoding_seconds: seconds per image of text encoders and of the decoder of latents; 0 for a
            model without them.
        peak_memory: most memory in use, in bytes.
    """

    images_per_second: PositiveFloat
    encoding_seconds: NonNegativeFloat = 0.0
    decoding_seconds: NonNegativeFloat = 0.0
    peak_memory: NonNegativeInt


FolderName = Annotated[str, Field(pattern=r"^[^./\\\x00][^/\\\x00]*$", max_length=MOST_LETTERS)]
"""Name of a folder directly inside another one, so that it leads nowhere else."""


class ImageError(Options):
    """Mean distance of images to the converged solutions of the same noise, with a 95% interval over the images.

    All fields are None if the sampler is stochastic. Ends of an interval are None if too few images decide the mean.

    Attributes:
        mean, low, high: root mean square error over the pixels of an image in [-1, 1].
        features_mean, features_low, features_high: distance between features, if there is a feature network.
        moved: median distance by which the converged solutions moved when their steps were last doubled.
        solution: name of the folder of converged solutions.
    """

    mean: NonNegativeFloat | None = None
    low: NonNegativeFloat | None = None
    high: NonNegativeFloat | None = None
    features_mean: NonNegativeFloat | None = None
    features_low: NonNegativeFloat | None = None
    features_high: NonNegativeFloat | None = None
    moved: NonNegativeFloat | None = None
    solution: FolderName | None = None

    @model_validator(mode="after")
    def _lies_in_its_interval(self) -> Self:
        _check_interval("mean", self.low, self.mean, self.high)
        _check_interval("features_mean", self.features_low, self.features_mean, self.features_high)
        return self


class ImageScore(Options):
    """Mean score of images, 100 times the cosine between an image and its prompt, with a 95% interval.

    Its ends are None if too few images decide the mean.
    """

    mean: NonNegativeFloat
    low: NonNegativeFloat | None = None
    high: NonNegativeFloat | None = None

    @model_validator(mode="after")
    def _lies_in_its_interval(self) -> Self:
        _check_interval("mean", self.low, self.mean, self.high)
        return self


def _check_interval(what: str, low: float | None, mean: float | None, high: float | None) -> None:
    """Refuse an interval with only one end, or one that does not contain its mean."""
    if (low is None) != (high is None):
        raise ValueError(f"the interval of {what} has one end")
    if low is not None and high is not None and not (mean is not None and low <= mean <= high):
        raise ValueError(f"{what} is {mean}, outside of its interval from {low:g} to {high:g}")


class Row(Options):
    """One line of results.jsonl.

    Attributes:
        cell: name of the cell, a hash of all that image i depends on.
        metrics: metrics of all images together; None in rows of errors or scores.
        error: mean error of single images; None in other rows.
        score: mean score of single images; None in other rows.
        clipped: share of the values of x0 that were clipped; None if clipping was off.
    """

    cell: FolderName
    recipe: Recipe
    timesteps: tuple[float, ...] = Field(max_length=MOST_STEPS)
    protocol: Protocol
    metrics: Metrics | None = None
    error: ImageError | None = None
    score: ImageScore | None = None
    cost: CostPerImage
    speed: Speed | None = None
    clipped: float | None = Field(None, ge=0, le=1)
    warnings: tuple[str, ...] = ()
    command: str = ""
    versions: dict[Name, Name] = Field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """Return the row as JSON, without fields that do not apply to it, such as prompts or a decoder's time."""
        lacking: dict[str, Any] = {name: True for name in ("metrics", "error", "score") if getattr(self, name) is None}
        of_recipe = {
            name for name in ("hosted", "height", "width", "pipeline_options") if getattr(self.recipe, name) is None
        }
        if self.recipe.prompts is None:
            of_recipe |= {"prompts", "negative_prompt"}
        of_protocol = {name for name in ("prompts", "target") if getattr(self.protocol, name) is None}
        lacking |= {"recipe": of_recipe, "protocol": of_protocol}
        apart = ("encoding_seconds", "decoding_seconds", "offload")
        lacking["speed"] = {name for name in apart if self.speed is not None and not getattr(self.speed, name)}
        return self.model_dump(mode="json", exclude=lacking)

    @property
    def key(self) -> tuple[str, Protocol]:
        """Identity of a row. A later row with the same key replaces it."""
        return self.cell, self.protocol


def read_rows(folder: Path) -> list[Row]:
    """Read the rows of a benchmark folder, in the order they were finished; none if it has no results.jsonl.

    A later row with the key of an earlier one replaces it. An incomplete last line, as a killed process leaves behind,
    is ignored.

    Raises:
        ZooError: any other line is not a row, or was changed after it was written.
    """
    rows = map(_with_target, read_lines(folder / RESULTS_FILE, Row, MEASURED_AGAIN))
    return [*{row.key: row for row in rows}.values()]


def target_of(recipe: Recipe) -> str | None:
    """Say what a converged solution depends on beside model, labels and noise, as in `cfg scale=3.0, clip static:1.0`.

    Returns:
        None without guidance and clip.
    """
    options = {name: value for name, value in recipe.named_guidance_options.items() if value is not None}
    guidance = [recipe.guidance or "guidance"] if recipe.guidance or options else []
    words = " ".join([*guidance, *(f"{name}={value}" for name, value in options.items())])
    clip = "" if recipe.clip_x0 in (None, "off") else f"clip {recipe.clip_x0}"
    target = ", ".join(filter(None, [words, clip])) or None
    return target if target is None or len(target) <= MOST_LETTERS else digest_text(target)


def _with_target(row: Row) -> Row:
    """Add the target to a row of errors of an earlier version, which kept none."""
    if row.protocol.features != ERROR or row.protocol.target is not None:
        return row
    return row.model_copy(update={"protocol": row.protocol.model_copy(update={"target": target_of(row.recipe)})})


def read_some(folder: Path) -> list[Row]:
    """Read the rows of a benchmark folder, of which there has to be at least one.

    Raises:
        UsageError: the folder holds no rows.
        ZooError: a line is not a row.
    """
    rows = read_rows(folder)
    if not rows:
        bench = shlex.join(["samplerzoo", "bench", "-o", str(folder)])
        raise UsageError(f"{folder} holds no rows of a benchmark; `{bench}` makes them")
    return rows


def frame(folder: str | os.PathLike[str]) -> DataFrame:
    """Read a benchmark folder as a pandas DataFrame: one row per line of results.jsonl, one column per field.

    Nested fields have dotted names, such as `recipe.sampler_options.eta`, `metrics.fd` and `cost.nfe`. A field that a
    row lacks is NaN or None, which makes floats of a column of integers.

    Raises:
        UsageError: the folder holds no rows.
        ZooError: a line is not a row.
    """
    return tabulate(read_some(Path(path_text("the folder of a benchmark", folder))))


def tabulate(rows: Sequence[Row]) -> DataFrame:
    """Make the DataFrame of `frame` from rows."""
    from pandas import json_normalize

    # nested under "row", plain fields keep their places among the nested ones
    nested = [{"row": row.record()} for row in rows]
    return json_normalize(nested).rename(columns=lambda name: name.removeprefix("row."))


def append_rows(folder: Path, rows: Iterable[Row]) -> None:
    """Append rows to results.jsonl, replacing an incomplete last line."""
    path = folder / RESULTS_FILE
    whole = b"".join(line + b"\n" for line in whole_lines(path))
    if path.exists() and path.read_bytes() != whole:
        with atomic_file(path) as partial:
            partial.write_bytes(whole)
    with path.open("a") as file:
        file.write("".join(json.dumps(sealed(row.record())) + "\n" for row in rows))
