"""A run: a recipe made into a folder of images, by one process or by many.

images/000000.png ..., each carrying its recipe; manifest.jsonl; grid.png; run.json. Every file is whole or not there,
so a run that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import json
import math
import re
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from tqdm.auto import tqdm

from samplerzoo import images
from samplerzoo.core.cost import Cost
from samplerzoo.core.schedule import Level
from samplerzoo.errors import UsageError, ZooError
from samplerzoo.models.folder import read_json
from samplerzoo.sampling import trajectory
from samplerzoo.sampling.driver import Batch, stream
from samplerzoo.sampling.job import Job
from samplerzoo.sampling.recipe import Recipe
from samplerzoo.sampling.trajectory import Trajectory
from samplerzoo.sampling.tuning import PaceRequest
from samplerzoo.system.environment import device_name, versions
from samplerzoo.system.files import atomic_file, contents, locked, write_json
from samplerzoo.system.processes import gather, on_main, processes

RECORD_FILE, MANIFEST_FILE, GRID_FILE = "run.json", "manifest.jsonl", "grid.png"
IMAGE_FILE = re.compile(r"\d{6,}\.png")
GRID_IMAGES = 64
RUNS = Path("runs")


@dataclass(frozen=True)
class Settings:
    """How to run; nothing here changes what an image shows.

    Attributes:
        overwrite: an older run in the folder goes.
        resume: an older run of the same recipe is completed.
        trajectory: also save the way of the first images, as a strip and as a film.
    """

    overwrite: bool = False
    resume: bool = False
    trajectory: bool = False


def image_path(index: int) -> str:
    """Of an image, in its run folder."""
    return f"images/{index:06d}.png"


def default_folder(recipe: Recipe) -> Path:
    """runs/ddim-50, or with -2, -3 ... behind it, the first that is free."""

    def free() -> Path:
        name = f"{recipe.sampler.replace(':', '-')}-{recipe.steps}"
        names = (name if number == 1 else f"{name}-{number}" for number in range(1, sys.maxsize))
        return next(RUNS / name for name in names if not contents(RUNS / name))

    return on_main(free)


def like_before(asked: PaceRequest, folder: Path) -> PaceRequest:
    """With the batch size and layout of the run in the folder where none is asked for.

    Then what is left of the run is made in the same company, to the bit as if it had not been interrupted.
    """
    record = read_json(folder, RECORD_FILE) if (folder / RECORD_FILE).exists() else {}
    before = {name: record[name] for name in PaceRequest.model_fields if name in record}
    with suppress(ValidationError):  # of a record that somebody edited
        return PaceRequest(**{**before, **asked.model_dump(exclude_none=True)})
    return asked


def execute(job: Job, folder: Path, settings: Settings) -> dict[str, Any]:
    """Make the images that are not there yet, and what goes with them; returns what run.json holds.

    In a multi-process run every process calls this, and makes its share of the images.
    """
    with locked(folder):
        record = on_main(lambda: _open(job, folder, settings))
        wanted = on_main(lambda: _missing(job, folder, settings))
        with _on_failure(folder, record):
            cost, seconds = _make(job, folder, wanted, settings)
            record = {**record, **_figures(cost, seconds), "status": "done"}
            on_main(lambda: _finish(job, folder, record))
    return record


def _make(job: Job, folder: Path, wanted: Sequence[int], settings: Settings) -> tuple[Cost, float]:
    """Writes the images of this process; returns cost and seconds of sampling, of all processes."""
    rank, world = processes()
    listener = Trajectory(job.plan.grid) if settings.trajectory and rank == 0 else None
    share = math.ceil(math.ceil(len(wanted) / job.batch_size) / world)
    cost, seconds = Cost(), 0.0
    writing: Future[None] | None = None
    with (
        tqdm(total=share * len(job.plan.grid), desc="sampling", unit="step", disable=True if rank else None) as bar,
        ThreadPoolExecutor(1) as writer,  # a batch is written while the next is drawn
    ):

        def on_step(number: int, level: Level, x: torch.Tensor) -> None:
            bar.update(number > 0)
            if listener is not None:
                listener(number, level, x)

        batches = stream(job.model, job.plan, batch_size=job.batch_size, indices=wanted, on_step=on_step)
        while (made := timed(batches, job.batch_size)) is not None:
            batch, pixels, elapsed = made
            cost, seconds = cost + batch.cost, seconds + elapsed
            if writing is not None:
                writing.result()
            writing = writer.submit(_save, job, folder, batch.indices, pixels)
        if writing is not None:
            writing.result()
    if listener is not None and listener.complete:
        listener.save(folder)
    shares = gather([(cost, seconds)])
    return sum((share for share, _ in shares), Cost()), max(seconds for _, seconds in shares)


def timed(batches: Iterator[Batch], batch_size: int) -> tuple[Batch, images.Pixels, float] | None:
    """The next batch, and its seconds without those of loading and saving; to_uint8 waits for the device."""
    start = time.perf_counter()
    try:
        batch = next(batches, None)
        pixels = None if batch is None else images.to_uint8(batch.images)
    except torch.OutOfMemoryError as error:
        raise ZooError(f"out of memory with batches of {batch_size}: lower --batch-size") from error
    return None if batch is None or pixels is None else (batch, pixels, time.perf_counter() - start)


def _save(job: Job, folder: Path, indices: Sequence[int], pixels: images.Pixels) -> None:
    """Those that are not there: a resumed run makes whole batches, since an image's company moves its rounding."""
    for index, image in zip(indices, pixels, strict=True):
        path = folder / image_path(index)
        if not path.exists():
            images.save_png(images.picture(image), path, job.recipe.metadata(index, _label(job, index)))


def _label(job: Job, index: int) -> int | None:
    return None if job.plan.labels is None else int(job.plan.labels[index])


def _missing(job: Job, folder: Path, settings: Settings) -> list[int]:
    """The images to make: all those of a batch in which one is not there."""
    size, num_images = job.batch_size, job.plan.num_images
    batches = [range(start, min(start + size, num_images)) for start in range(0, num_images, size)]
    no_way = settings.trajectory and not (folder / trajectory.STRIP_FILE).exists()
    return [
        index
        for batch in batches
        if any(not (folder / image_path(index)).exists() for index in batch) or (no_way and batch.start == 0)
        for index in batch
    ]


def _open(job: Job, folder: Path, settings: Settings) -> dict[str, Any]:
    """Refuse or clear a folder in use, and put down what is going to be made."""
    record = _record(job)
    if contents(folder):
        if settings.overwrite:
            _clear(folder)
        elif settings.resume:
            record = {**_same_run(job, folder), **record}
        else:
            raise UsageError(f"{folder} is not empty; --resume completes the run in it, --overwrite replaces it")
    write_json(folder / RECORD_FILE, record)
    return record


def _same_run(job: Job, folder: Path) -> dict[str, Any]:
    """The record of the run that the folder holds, which must be of the same recipe."""
    old = read_json(folder, RECORD_FILE) if (folder / RECORD_FILE).exists() else {}
    try:
        recipe, num_images = Recipe.model_validate(old["recipe"]), int(old["num_images"])
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{folder} holds no run that could be resumed ({RECORD_FILE}); take another folder") from error
    differences = recipe.differences(job.recipe)
    if differences:
        raise UsageError(f"{folder} holds another run, with {'; '.join(differences)}: --overwrite or another folder")
    if num_images > job.plan.num_images:
        raise UsageError(
            f"the run in {folder} has {num_images} images: --num-images cannot be fewer when it is resumed"
        )
    return old


def _clear(folder: Path) -> None:
    """Remove what a run writes, and nothing else that may lie there."""
    for name in (RECORD_FILE, MANIFEST_FILE, GRID_FILE, trajectory.STRIP_FILE, trajectory.FILM_FILE):
        (folder / name).unlink(missing_ok=True)
    for path in (folder / "images").glob("*.png"):
        if IMAGE_FILE.fullmatch(path.name):
            path.unlink()


def _record(job: Job) -> dict[str, Any]:
    plan = job.plan
    return {
        "status": "running",
        "command": ["samplerzoo", *sys.argv[1:]],
        "recipe": job.recipe.model_dump(mode="json"),
        "num_images": plan.num_images,
        "batch_size": job.batch_size,
        "layout": job.model.layout,
        "processes": processes()[1],
        "device": device_name(job.model.device),
        "threads": torch.get_num_threads(),
        "grid": [level.describe() for level in plan.grid.levels],
        "versions": versions(),
    }


def _figures(cost: Cost, seconds: float) -> dict[str, Any]:
    """What was counted and timed of the images that were made now."""
    if not cost.images:
        return {"images_made": 0}
    return {
        "images_made": cost.images,
        **cost.per_image(),
        "seconds": round(seconds, 3),
        "images_per_second": round(cost.images / seconds, 3),
    }


def _finish(job: Job, folder: Path, record: dict[str, Any]) -> None:
    count = job.plan.num_images
    with atomic_file(folder / MANIFEST_FILE) as partial, partial.open("w") as file:
        for index in range(count):
            line = {"index": index, "file": image_path(index), "seed": job.plan.seed, "label": _label(job, index)}
            file.write(json.dumps(line) + "\n")
    shown = [images.read_png(folder / image_path(index))[0] for index in range(min(count, GRID_IMAGES))]
    labels = None if job.plan.labels is None else list(job.plan.labels[: len(shown)])
    images.save_png(images.grid(np.stack(shown), labels, job.model.class_names), folder / GRID_FILE)
    write_json(folder / RECORD_FILE, record)


@contextmanager
def _on_failure(folder: Path, record: dict[str, Any]) -> Iterator[None]:
    """Put down why the run ended, if it did not end well."""
    try:
        yield
    except BaseException as error:
        reason = str(error) if isinstance(error, ZooError) else type(error).__name__
        if not processes()[0]:
            with suppress(OSError):  # what ended the run may well be a full disk
                write_json(folder / RECORD_FILE, {**record, "status": f"ended early: {reason}"})
        raise
