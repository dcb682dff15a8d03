"""Run: make a folder of images from a recipe, by one process or by many.

The folder holds images/000000.png ..., each carrying its recipe; manifest.jsonl; grid.png; run.json. Every file is
complete or missing, so that an interrupted run can continue where it stopped.
"""

from __future__ import annotations

import json
import math
import os
import re
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ConfigDict, PositiveInt, ValidationError
from tqdm.auto import tqdm

from samplerzoo import images
from samplerzoo.core.cost import Cost
from samplerzoo.core.duration import Duration
from samplerzoo.core.level import Level
from samplerzoo.core.model import Offload
from samplerzoo.data.class_names import listed
from samplerzoo.data.folders import left_out
from samplerzoo.errors import UsageError, ZooError
from samplerzoo.models.folder import INFO_FILE
from samplerzoo.models.load import open_model, warn
from samplerzoo.options import Name, Options
from samplerzoo.sampling import trajectory, tuning
from samplerzoo.sampling.driver import split_batches, stream, timed_batches
from samplerzoo.sampling.idle import warn_of_idle_options
from samplerzoo.sampling.pace import count_cost
from samplerzoo.sampling.plan import Plan, fill_defaults, make_plan
from samplerzoo.sampling.recipe import ImageRecord, Recipe
from samplerzoo.sampling.trajectory import Trajectory
from samplerzoo.sampling.tuning import FASTEST, TuningRequest
from samplerzoo.system.environment import choose_device, device_name, versions
from samplerzoo.system.files import atomic_file, contents, locked, write_json
from samplerzoo.system.processes import gather, on_main, processes
from samplerzoo.trust.markup import visible
from samplerzoo.trust.records import read_object, read_record

RECORD_FILE, MANIFEST_FILE, GRID_FILE, IMAGE_FOLDER = "run.json", "manifest.jsonl", "grid.png", "images"
PIXELS = "pixels"
"""Key of the digest of an image's pixels in its metadata; earlier versions had none."""
IMAGE_FILE = re.compile(r"\d{6,}\.png")
GRID_IMAGES = 64
RUNS = Path("runs")


@dataclass(frozen=True, eq=False)
class Run:
    """Recipe with its plan, ready to be executed.

    Attributes:
        recipe: recipe with every default filled in.
        plan: plan of the recipe, with the weights of its models.
        cost: cost of one image.
        batch_size: images drawn at once.
    """

    recipe: Recipe
    plan: Plan
    cost: Cost
    batch_size: int


class RunRecord(Options):
    """Fields that a resumed run reads from run.json; the rest is for people."""

    model_config = ConfigDict(extra="ignore")

    recipe: Recipe
    num_images: PositiveInt
    class_names: tuple[Name, ...] | None = None


@dataclass(frozen=True)
class RunOptions:
    """Options for executing a run; none of them changes what an image shows.

    Attributes:
        overwrite: remove an older run in the folder.
        resume: complete an older run of the same recipe.
        trajectory: also save the trajectory of the first images, as a strip and as a film.
    """

    overwrite: bool = False
    resume: bool = False
    trajectory: bool = False


def prepare_run(
    recipe: Recipe,
    num_images: int,
    *,
    asked: TuningRequest = FASTEST,
    device: str = "auto",
    compiled: bool = False,
    offload: Offload | None = None,
    shape: tuple[int, ...] | None = None,
) -> Run:
    """Find sampler, guidance and model, and refuse those that do not go together before the weights are read.

    Args:
        asked: requested batch size and layout; by default the fastest.
        offload: how much of a whole pipeline's weights is on the device at once.
        shape: (C, H, W) that the pictures must have; by default any.

    Raises:
        UsageError: the request cannot be met.
        ZooError: the model makes pictures of another shape.
    """
    device = choose_device(device)
    found = open_model(recipe.model, recipe.reading).offloaded(offload, device)
    if shape is not None:
        found.check_shape(shape)
    images.check_channels(found.stub.image_shape[0], f"an image of {found.stub.name}")
    plan = make_plan(recipe, found.stub, num_images)
    cost = count_cost(plan)
    warn_of_idle_options(plan, recipe)
    recipe = fill_defaults(recipe, plan, found.fingerprint)
    recipe = recipe.model_copy(update={"dtype": found.choose_dtype(recipe.dtype, device)})
    chosen = asked.unmeasured
    if not compiled:
        evaluations = num_images * cost.nfe
        chosen = on_main(lambda: tuning.choose_tuning(found, device, recipe.dtype, evaluations, asked))
    model = found.load(device=device, dtype=recipe.dtype, compiled=compiled, layout=chosen.layout)
    return Run(recipe, plan.with_weights(model), cost, chosen.batch_size)


def draw_image(run: Run, index: int) -> images.Pixels:
    """Draw one image of the run by itself, as pixels (H, W, C)."""
    (batch,) = stream(run.plan, indices=[index])
    return images.to_uint8(run.plan.model.decode(batch.images))[0]


def save_image(recipe: Recipe, index: int, label: int | None, pixels: images.Pixels, path: Path) -> None:
    """Save one image of a run, with its recipe and a digest of its pixels (H, W, C)."""
    metadata = {**recipe.metadata(index, label), PIXELS: images.digest_pixels(pixels)}
    images.save_png(images.picture(pixels), path, metadata)


def image_path(index: int) -> str:
    """Return the path of an image in its run folder."""
    return f"{IMAGE_FOLDER}/{index:06d}.png"


def outside_images(folder: Path) -> Path:
    """Return a folder for other pictures: this one, or the run folder if this one holds a run's images."""
    here = folder.resolve()
    return folder / os.pardir if here.name == IMAGE_FOLDER and (here.parent / RECORD_FILE).is_file() else folder


def default_folder(recipe: Recipe) -> Path:
    """Return runs/SAMPLER-STEPS, or the first free folder with -2, -3 ... behind this name."""

    root = outside_images(Path()) / RUNS

    def free() -> Path:
        name = f"{recipe.sampler.replace(':', '-')}-{recipe.steps}"
        names = (name if number == 1 else f"{name}-{number}" for number in range(1, sys.maxsize))
        return next(root / name for name in names if not contents(root / name))

    return on_main(free)


def like_before(asked: TuningRequest, folder: Path) -> TuningRequest:
    """Fill a tuning request with the batch size and layout of the run in the folder, unless the user asks for others.

    The images of a resumed run are then equal, bit for bit, to those of an uninterrupted run.
    """
    record = read_object(folder / RECORD_FILE) if (folder / RECORD_FILE).exists() else {}
    before = {name: record[name] for name in TuningRequest.model_fields if name in record}
    with suppress(ValidationError):  # the record may have been edited
        return TuningRequest.model_validate({**before, **asked.model_dump(exclude_none=True)})
    return asked


def execute_run(run: Run, folder: Path, options: RunOptions) -> dict[str, Any]:
    """Make the missing images and the other files of a run. Return the content of run.json.

    In a multi-process run every process calls this, and makes its share of the images.
    """
    with locked(folder):
        record = on_main(lambda: _open(run, folder, options))
        wanted = on_main(lambda: _missing(run, folder, options))
        with _on_failure(folder, record):
            cost, duration = _make(run, folder, wanted, options)
            record = {**record, **_figures(cost, duration), "status": "done"}
            on_main(lambda: _finish(run, folder, record))
    return record


def _make(run: Run, folder: Path, wanted: Sequence[int], options: RunOptions) -> tuple[Cost, Duration]:
    """Write the images of this process. Return the cost of all processes, and the duration of the slowest."""
    rank, world = processes()
    shown = options.trajectory and rank == 0 and wanted[:1] == [0]  # a trajectory shows the first images or nothing
    listener = Trajectory(run.plan, run.recipe) if shown else None
    share = math.ceil(math.ceil(len(wanted) / run.batch_size) / world)
    cost, duration = Cost(), Duration()
    writing: Future[None] | None = None
    with (
        tqdm(total=share * len(run.plan.grid), desc="sampling", unit="step", disable=True if rank else None) as bar,
        ThreadPoolExecutor(1) as writer,  # to write a batch while the next one is drawn
    ):

        def on_step(number: int, level: Level, x: torch.Tensor) -> None:
            bar.update(number > 0)
            if listener is not None:
                listener.reached(number, level, x)

        batches = split_batches(wanted, run.batch_size)
        on_prediction = None if listener is None else listener.predicted
        for batch, pixels, elapsed in timed_batches(run.plan, batches, on_step, on_prediction):
            cost, duration = cost + batch.cost, duration + elapsed
            if writing is not None:
                writing.result()
            writing = writer.submit(_save, run, folder, batch.indices, pixels)
        if writing is not None:
            writing.result()
    if listener is not None and listener.complete:
        listener.save(folder)
    shares = gather([(cost, duration)])
    slowest = max((duration for _, duration in shares), key=lambda duration: duration.seconds)
    return sum((share for share, _ in shares), Cost()), slowest


def _save(run: Run, folder: Path, indices: Sequence[int], pixels: images.Pixels) -> None:
    """Write the images of a batch that are missing.

    A resumed run draws whole batches, since the rounding of an image depends on its batch.
    """
    for index, image in zip(indices, pixels, strict=True):
        path = folder / image_path(index)
        if not path.exists():
            save_image(run.recipe, index, _label(run, index), image, path)


def _label(run: Run, index: int) -> int | None:
    return None if run.plan.labels is None else int(run.plan.labels[index])


def _missing(run: Run, folder: Path, options: RunOptions) -> list[int]:
    """Return the images to draw: whole batches, if at least one of their images is missing."""
    size, num_images = run.batch_size, run.plan.num_images
    batches = [range(start, min(start + size, num_images)) for start in range(0, num_images, size)]
    no_way = options.trajectory and not all((folder / name).exists() for name in trajectory.FILES)
    return [
        index
        for batch in batches
        if any(not (folder / image_path(index)).exists() for index in batch) or (no_way and batch.start == 0)
        for index in batch
    ]


def _open(run: Run, folder: Path, options: RunOptions) -> dict[str, Any]:
    """Refuse or clear a folder that is not empty, and record the run in it."""
    record = _record(run)
    if contents(folder):
        if options.overwrite:
            _clear(folder)
        elif options.resume:
            record = {**_same_run(run, folder), **record}
            _check_images(run, folder)
        else:
            raise UsageError(f"{folder} is not empty; --resume completes the run in it, --overwrite replaces it")
        for note in left_out(folder, [folder / image_path(index) for index in range(run.plan.num_images)]):
            warn(f"samplerzoo: {folder}: {visible(note)}")
    write_json(folder / RECORD_FILE, record)
    return record


def _same_run(run: Run, folder: Path) -> dict[str, Any]:
    """Return the record of the run in the folder, which must have the same recipe."""
    if not (folder / RECORD_FILE).exists():
        raise UsageError(f"{folder} holds no run that could be resumed (no {RECORD_FILE}); take another folder")
    try:
        old = read_record(folder / RECORD_FILE, RunRecord)
    except ZooError as error:
        raise UsageError(f"{error}; it is no run that could be resumed: take another folder, or --overwrite") from error
    differences = old.recipe.differences(run.recipe)
    if differences:
        raise UsageError(f"{folder} holds another run, with {'; '.join(differences)}: --overwrite or another folder")
    names = run.plan.model.class_names
    if old.class_names and old.class_names != names:
        now = f"now calls them {listed(names)}" if names else "has none now"
        raise UsageError(
            f"{folder} holds images of classes with the names {listed(old.class_names)}, and {run.recipe.model} "
            f"{now}: give it its names back in {INFO_FILE}, or take another folder, or --overwrite"
        )
    if old.num_images > run.plan.num_images:
        raise UsageError(
            f"the run in {folder} has {old.num_images} images: --num-images cannot be fewer when it is resumed"
        )
    return read_object(folder / RECORD_FILE)


def _check_images(run: Run, folder: Path) -> None:
    """Check that each image in the folder has the recipe and the number that its place in the run requires.

    Raises:
        ZooError: names the first wrong image.
    """
    for index in range(run.plan.num_images):
        path, label = folder / image_path(index), _label(run, index)
        if not path.exists():
            continue
        try:
            pixels, found = images.read_png(path)
            told = None if found is None else found.pop(PIXELS, None)
            what = None
            if found is None:
                what = "carries no recipe"
            elif found != run.recipe.metadata(index, label):
                what = _difference(ImageRecord.of(found, str(path)), run, index)
        except ZooError as error:
            raise ZooError(f"{error}: move it away, and --resume makes the image anew") from error
        if what is None and told not in (None, images.digest_pixels(pixels)):
            what = "has other pixels than when it was written"
        if what:
            raise ZooError(
                f"{path} {what}: this run did not make it there. Move it away, and --resume makes the image anew"
            )


def _difference(found: ImageRecord, run: Run, index: int) -> str | None:
    """Describe how an image's record differs from the run's, ignoring the version; None if it does not."""
    wanted = ImageRecord.of(run.recipe.metadata(index, _label(run, index)), "this run")
    parts = [(found.index, index, "image"), (found.label, wanted.label, "of class")]
    said = [f"{what} {was}, not {now}" for was, now, what in parts if was != now]
    said += found.recipe.differences(wanted.recipe)
    return f"is {'; '.join(said)}" if said else None


def _clear(folder: Path) -> None:
    """Remove the files of a run, and nothing else."""
    for name in (RECORD_FILE, MANIFEST_FILE, GRID_FILE, *trajectory.FILES):
        (folder / name).unlink(missing_ok=True)
    for path in (folder / IMAGE_FOLDER).glob("*.png"):
        if IMAGE_FILE.fullmatch(path.name):
            path.unlink()


def _record(run: Run) -> dict[str, Any]:
    plan = run.plan
    return {
        "status": "running",
        "command": ["samplerzoo", *sys.argv[1:]],
        "recipe": run.recipe.model_dump(mode="json"),
        "num_images": plan.num_images,
        "class_names": plan.model.class_names,
        "batch_size": run.batch_size,
        "layout": run.plan.model.layout,
        **({} if plan.model.offload is None else {"offload": plan.model.offload}),
        "processes": processes()[1],
        "device": device_name(run.plan.model.device),
        "threads": torch.get_num_threads(),
        "grid": [*map(plan.model.schedule.describe, plan.grid.levels)],
        "versions": versions(),
    }


def _figures(cost: Cost, duration: Duration) -> dict[str, Any]:
    """Return cost and speed of the images that this call has drawn."""
    if not cost.images:
        return {"images_made": 0}
    apart = {"encoding_seconds": duration.encoding, "decoding_seconds": duration.decoding}
    return {
        "images_made": cost.images,
        **cost.per_image(),
        "seconds": round(duration.seconds, 3),
        **{name: round(seconds, 3) for name, seconds in apart.items() if seconds},
        "images_per_second": round(cost.images / duration.seconds, 3),
    }


def _finish(run: Run, folder: Path, record: dict[str, Any]) -> None:
    count = run.plan.num_images
    with atomic_file(folder / MANIFEST_FILE) as partial, partial.open("w") as file:
        for index in range(count):
            line = {"index": index, "file": image_path(index), "seed": run.plan.seed, "label": _label(run, index)}
            if run.recipe.prompts is not None:
                line["prompt"] = run.recipe.prompt(index)
            file.write(json.dumps(line) + "\n")
    shown = [_picture(folder, index) for index in range(min(count, GRID_IMAGES))]
    labels = None if run.plan.labels is None else list(run.plan.labels[: len(shown)])
    images.save_png(images.grid(np.stack(shown), labels, run.plan.model.class_names), folder / GRID_FILE)
    write_json(folder / RECORD_FILE, record)


def _picture(folder: Path, index: int) -> images.Pixels:
    """Read a picture of the run. Refuse one of another size, which another program must have put there."""
    pixels = images.read_png(folder / image_path(index))[0]
    first = images.read_png(folder / image_path(0))[0]
    if pixels.shape != first.shape:
        raise ZooError(
            f"{folder / image_path(index)}: a picture of {_size(pixels)}, where that of image 0 has {_size(first)}: "
            "remove the one that this run did not make, and --resume makes it again"
        )
    return pixels


def _size(pixels: images.Pixels) -> str:
    height, width, channels = pixels.shape
    return f"{width}x{height}, {'grey' if channels == 1 else 'colour'}"


@contextmanager
def _on_failure(folder: Path, record: dict[str, Any]) -> Iterator[None]:
    """Record the reason if the run fails."""
    try:
        yield
    except BaseException as error:
        why = str(error) if isinstance(error, ZooError) else type(error).__name__
        if not processes()[0]:
            with suppress(OSError):  # the run may have failed because the disk is full
                write_json(folder / RECORD_FILE, {**record, "status": f"ended early: {why}"})
        raise
