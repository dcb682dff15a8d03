"""Harness: make and measure the cells of a suite. It can be stopped at any moment and started again.

A cell is done when results.jsonl has its row. Any other cell continues from its last shard, and from the images that an
earlier suite has left in the folder.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm.auto import tqdm

from samplerzoo.bench import results, shards
from samplerzoo.bench.cell import Cell, cell_title, make_cells
from samplerzoo.bench.error import (
    CONVERGED,
    ErrorMeter,
    is_deterministic,
    save_converged,
    solution_name,
    solutions,
)
from samplerzoo.bench.estimate import Remaining, Solving, StepTimer
from samplerzoo.bench.machine import Machine
from samplerzoo.bench.meter import Meter
from samplerzoo.bench.results import CostPerImage, Protocol, Row, Speed
from samplerzoo.bench.score import ScoreMeter
from samplerzoo.bench.shards import ShardRecord
from samplerzoo.bench.suite import Suite
from samplerzoo.core.cost import Cost
from samplerzoo.core.duration import Duration
from samplerzoo.core.level import Level
from samplerzoo.core.model import Model, Offload
from samplerzoo.errors import ZooError
from samplerzoo.models.load import open_model
from samplerzoo.sampling.converged import check_flow, converge
from samplerzoo.sampling.driver import Batch, timed_batches
from samplerzoo.sampling.plan import Plan
from samplerzoo.sampling.recipe import Recipe
from samplerzoo.sampling.tuning import FASTEST, Tuning, TuningRequest, choose_tuning
from samplerzoo.system.environment import choose_device, device_name, versions
from samplerzoo.system.files import locked
from samplerzoo.system.memory import peak_memory, reset_peak
from samplerzoo.system.processes import gather, on_main, processes, share

DELAY = 2.0
"""Seconds after which work shows its progress."""


@dataclass(frozen=True)
class BenchOptions:
    """Options for running a suite. None is part of a cell's name, and none changes a figure by more than rounding.

    Attributes:
        asked: requested batch size and layout; a shard holds one batch.
        device: device that draws and measures the images.
        command: command line, for the report.
        compiled: make the network faster with torch.compile.
        offload: how much of a whole pipeline's weights is on the device at once.
        dry: only say what would be done, and measure no tuning.
    """

    asked: TuningRequest = FASTEST
    device: str = "auto"
    command: str = ""
    compiled: bool = False
    offload: Offload | None = None
    dry: bool = False


@dataclass(frozen=True, eq=False)
class SuiteOutcome:
    """Result of a suite.

    Attributes:
        rows: rows of its cells, in its order.
        failures: reasons why other cells have no row.
    """

    rows: Sequence[Row]
    failures: Sequence[str]


class Harness:
    """Maker and measurer of a suite's cells, on a device and in a folder.

    In a multi-process run every process has a harness, and they share the images. A network is loaded once for each
    dtype, and the feature network once. A thread writes files while the next images are made. If the device is a GPU,
    figures are computed in a thread, too.
    """

    def __init__(self, suite: Suite, folder: Path, options: BenchOptions) -> None:
        processes()  # chooses the GPU of this process
        self._folder, self._options = folder, options
        self._device = choose_device(options.device)
        self._measures_beside = self._device != "cpu"  # on the same cores, both at once take longer than in turn
        self._meter = Meter(suite, self._device) if "fd" in suite.measures else None
        self._errors = ErrorMeter(folder, self._meter) if "error" in suite.measures else None
        self._found = open_model(suite.model, suite.reading).offloaded(options.offload, self._device)
        if self._errors:
            check_flow(self._found.stub)
        if options.compiled:
            self._found.check_compiled()
        counts = self._meter.class_counts(self._found.stub.class_names) if self._meter else ()
        self._scores = ScoreMeter(suite, self._found.stub, self._device) if "clip-score" in suite.measures else None
        self._cells = make_cells(suite, self._found, self._device, counts)
        if self._meter and any(cell.recipe.class_labels == "natural" for cell in self._cells):
            self._meter.check_proportion(self._found.stub)
        self._solutions = solutions(self._cells) if self._errors else []
        self._tuning = self._chosen_tuning()
        self._models: dict[tuple[str, str | None], Model] = {}

    @property
    def planned(self) -> list[tuple[Recipe, float]]:
        """Recipes of the cells, each with its evaluations per image."""
        return [(cell.recipe, cell.cost.work) for cell in self._cells]

    def estimate(self) -> list[Remaining]:
        """Estimate what is left to do of every cell, and for how long.

        Raises:
            UsageError: the images cannot be measured.
        """
        left = on_main(self._left)
        cells = [*self._solutions, *self._cells]
        work = [Remaining(cell, *of_cell) for cell, of_cell in zip(cells, left, strict=True)]
        if all(remaining.done for remaining in work):
            return work
        shape = self._found.stub.image_shape
        if self._meter is not None:
            self._meter.check(shape)
        if self._scores is not None:
            self._scores.check()
        sampling = StepTimer(self._loaded, self._tuning.batch_size)
        measuring = None if self._meter is None else self._meter.timer(shape)
        shared: set[int] = set()  # numbers of images whose shared work is counted
        found = []
        for remaining in tqdm(work, "estimate", delay=DELAY, leave=False, disable=True if processes()[0] else None):
            cell, seconds = remaining.cell, sampling.seconds(remaining.cell, remaining.batches)
            effort = self._errors.effort(cell) if self._errors and cell.converges and remaining.batches else (1.0, 1.0)
            seconds *= effort[0]
            if self._meter is not None and measuring is not None and not (remaining.done or cell.converges):
                there = self._meter.lacking(cell.folder(self._folder), cell.images)
                seconds += measuring.features(remaining.images + sum(map(len, there))) / processes()[1]
                seconds += measuring.row(cell.images)
                seconds += 0.0 if cell.images in shared else measuring.once(cell.images)
                shared.add(cell.images)
            found.append(dataclasses.replace(remaining, seconds=seconds, effort=effort))
        return found

    def extend(self, names: Collection[str], images: int) -> None:
        """Add the named cells with another number of images, for `estimate` and `run` to make."""
        there = {(cell.name, cell.images) for cell in self._cells}
        own = {cell.name: cell for cell in self._cells if cell.name in names}
        self._cells += [cell.with_images(images) for name, cell in own.items() if (name, images) not in there]
        self._solutions = solutions(self._cells) if self._errors else []

    def run(self, work: Sequence[Remaining], on_row: Callable[[Row], None]) -> SuiteOutcome:
        """Make and measure what is left. A cell that fails stops no other.

        Args:
            on_row: called on the main process with each new row.
        """
        failures: list[str] = []
        measured: list[Future[list[str]]] = []
        with locked(self._folder):
            total = sum(
                len(batch) * remaining.cell.cost.nfe * remaining.effort[0]
                for remaining in work
                for batch in share(remaining.batches)
            )
            with (
                tqdm(total=total, unit="eval", unit_scale=True, disable=True if processes()[0] else None) as bar,
                ThreadPoolExecutor(1) as measurer,
            ):
                for number, remaining in enumerate(work, 1):
                    bar.set_description(f"cell {number} of {len(work)}")
                    if remaining.done:
                        continue
                    lost = self._complete(remaining, bar)
                    failures += lost
                    bar.set_description(f"cell {number} of {len(work)}: measuring")
                    if not lost and not remaining.cell.converges and not processes()[0]:
                        measured.append(measurer.submit(self._measure, remaining.cell, on_row))
                        if not self._measures_beside:
                            wait(measured)
                failures += on_main(lambda: [failure for future in measured for failure in future.result()])
            return SuiteOutcome(on_main(self._rows), failures)

    def _left(self) -> list[tuple[bool, list[range], bool]]:
        """Return for every solution and cell whether it is done, its batches to make, and whether to measure errors."""
        done = {row.key for row in results.read_rows(self._folder)}
        coming: dict[str, list[range]] = {}  # by cell: one may appear twice, with more images the second time
        left: list[tuple[bool, list[range], bool]] = []
        wanted = set()  # solutions that are needed for a cell's errors
        for cell in self._cells:
            lacking = {key[1].features for key in self._keys(cell) if key not in done}
            errors = results.ERROR in lacking and is_deterministic(cell)
            images = errors or bool(lacking - {results.ERROR})
            batches = self._missing(cell, coming.get(cell.name, []), errors=errors) if images else []
            coming.setdefault(cell.name, []).extend(batches)
            left.append((not lacking, batches, errors))
            if errors:
                wanted.add(solution_name(cell))
        solved = [
            self._errors.missing(each, self._tuning.batch_size) if self._errors and each.name in wanted else []
            for each in self._solutions
        ]
        return [*((not batches, batches, False) for batches in solved), *left]

    def _chosen_tuning(self) -> Tuning:
        """Return the tuning asked for, else the fastest one for the suite as a whole."""
        asked, recipe = self._options.asked, self._cells[0].recipe
        if self._options.compiled:
            return asked.unmeasured
        evaluations = 0.0 if self._options.dry else sum(cell.images * cell.cost.nfe for cell in self._cells)
        return on_main(lambda: choose_tuning(self._found, self._device, recipe.dtype, evaluations, asked))

    def _keys(self, cell: Cell) -> list[tuple[str, Protocol]]:
        """Return the keys of a cell's rows, one for each meter."""
        meters = (self._meter, self._errors, self._scores)
        return [(cell.name, meter.protocol(cell)) for meter in meters if meter is not None]

    def _missing(self, cell: Cell, coming: Sequence[range], *, errors: bool) -> list[range]:
        """Return the batches of a cell to draw. For errors, images stored in 8 bits are drawn again."""
        there = shards.present(cell.folder(self._folder), shards.IMAGES)
        batches = shards.missing([*there, *coming], cell.images, self._tuning.batch_size)
        again = self._errors.lacking(cell) if self._errors and errors else []
        return sorted([*(shard for shard in again if shard not in coming), *batches], key=lambda shard: shard[0])

    def _loaded(self, cell: Cell) -> Plan:
        """Return the plan of a cell with weights in its dtype, the second model of its guidance included."""
        dtype, second = cell.recipe.dtype, cell.recipe.second_fingerprint
        if (dtype, None) not in self._models:
            self._models[dtype, None] = self._found.load(
                device=self._device, dtype=dtype, compiled=self._options.compiled, layout=self._tuning.layout
            )
        if (dtype, second) not in self._models:
            self._models[dtype, second] = cell.plan.with_weights(self._models[dtype, None]).model
        return dataclasses.replace(cell.plan, model=self._models[dtype, second])

    def _complete(self, remaining: Remaining, bar: tqdm) -> list[str]:
        """Make the missing images of a cell and their features; return an error of each process that failed."""
        if remaining.cell.converges:
            return gather(_failures(remaining.cell, lambda: self._solve(remaining, bar)))
        for work in (lambda: self._make(remaining, bar), lambda: self._extract(remaining.cell)):
            failures = gather(_failures(remaining.cell, work))
            if failures:
                return failures
        return []

    def _measure(self, cell: Cell, on_row: Callable[[Row], None]) -> list[str]:
        """Compute the missing rows of a cell; return the error, if there was one."""

        def measure() -> None:
            done = {row.key for row in results.read_rows(self._folder)}
            for key in self._keys(cell):
                if key not in done:
                    row = self._row(cell, key[1])
                    results.append_rows(self._folder, [row])
                    on_row(row)

        return _failures(cell, measure)

    def _solve(self, remaining: Remaining, bar: tqdm) -> None:
        """Make this process's share of a converged solution."""
        cell = remaining.cell
        if not remaining.batches:
            return
        plan, folder = self._loaded(cell), self._folder / CONVERGED / cell.name
        progress = Solving(bar, cell.cost.nfe, remaining.effort[0], sum(map(len, share(remaining.batches))))
        for batch in share(remaining.batches):
            save_converged(folder, batch, converge(plan, batch, progress.on_step))
            progress.end(len(batch))

    def _make(self, remaining: Remaining, bar: tqdm) -> None:
        """Make this process's share of the images."""
        if not remaining.batches:
            return
        cell, folder = remaining.cell, remaining.cell.folder(self._folder)
        plan, evaluations = self._loaded(cell), cell.cost.nfe / len(cell.plan.grid)
        if not processes()[0]:
            cell.describe(folder)

        def on_step(number: int, level: Level, x: torch.Tensor) -> None:
            bar.update(len(x) * evaluations if number else 0)

        saving: Future[None] | None = None
        reset_peak(self._device)
        with ThreadPoolExecutor(1) as writer:  # to write a shard while the next one is drawn
            for batch, pixels, duration in timed_batches(plan, remaining.batches, on_step):
                shard = range(batch.indices[0], batch.indices[-1] + 1)
                if saving is not None:
                    saving.result()
                if not shards.path(folder, shards.IMAGES, shard).exists():
                    saving = writer.submit(shards.save_images, folder, shard, pixels, self._made(batch, duration))
                if self._errors and remaining.errors:
                    self._errors.save(cell, batch.indices, plan.model.decode(batch.images).float().cpu().numpy())
                reset_peak(self._device)
            if saving is not None:
                saving.result()

    def _made(self, batch: Batch, duration: Duration) -> ShardRecord:
        return ShardRecord(
            calls=batch.cost.calls,
            evaluations=batch.cost.evaluations,
            gradients=batch.cost.gradients,
            second=batch.cost.second,
            seconds=duration.seconds,
            encoding=duration.encoding,
            decoding=duration.decoding,
            clipped=batch.clipped,
            peak_memory=peak_memory(self._device),
            device=device_name(self._device),
            threads=torch.get_num_threads(),
            processes=processes()[1],
            batch_size=self._tuning.batch_size,
            compiled=self._options.compiled,
            layout=self._tuning.layout,
            offload=self._options.offload,
        )

    def _extract(self, cell: Cell) -> None:
        """Compute features of this process's share of the shards that have none."""
        if (meter := self._meter) is None:
            return
        folder = cell.folder(self._folder)
        lacking = share(on_main(lambda: meter.lacking(folder, cell.images)))
        quiet = True if processes()[0] else None
        for shard in tqdm(lacking, desc="features", delay=DELAY, leave=False, disable=quiet):
            meter.extract(folder, shard)

    def _row(self, cell: Cell, protocol: Protocol) -> Row:
        folder = cell.folder(self._folder)
        metrics, error, score = None, None, None
        warnings: list[str] = []
        if self._scores is not None and protocol.features == results.SCORE:
            score = self._scores.measure(cell, folder)
        elif self._errors is not None and protocol.features == results.ERROR:
            error, warnings = self._errors.measure(cell)
        else:
            assert self._meter is not None
            metrics, warnings, _ = self._meter.measure(cell, folder)
        there = [shard for shard in shards.present(folder, shards.IMAGES) if shard[0] < cell.images]
        made = {shard: shards.made(folder, shard) for shard in there}
        return Row(
            cell=cell.name,
            recipe=cell.recipe,
            timesteps=tuple(cell.plan.model.schedule.timesteps(cell.plan.grid)),
            protocol=protocol,
            metrics=metrics,
            error=error,
            score=score,
            cost=CostPerImage(
                **(sum((it.cost(len(shard)) for shard, it in made.items()), Cost()) if made else cell.cost).per_image()
            ),
            speed=speed(made) if made else None,
            clipped=clipped(made),
            warnings=(*cell.plan.warnings, *warnings),
            command=self._options.command,
            versions=versions(),
        )

    def _rows(self) -> list[Row]:
        found = {row.key: row for row in results.read_rows(self._folder)}
        return [found[key] for cell in self._cells for key in self._keys(cell) if key in found]


def speed(made: Mapping[range, ShardRecord]) -> Speed:
    """Return the speed of shards that were made on the same machine, the one with the most images."""
    alike: dict[Machine, dict[range, ShardRecord]] = {}
    for shard, it in made.items():
        alike.setdefault(it.machine, {})[shard] = it
    machine, most = max(alike.items(), key=lambda found: sum(map(len, found[1])))
    images = sum(map(len, most))
    return Speed(
        images_per_second=images / sum(it.seconds for it in most.values()),
        encoding_seconds=sum(it.encoding for it in most.values()) / images,
        decoding_seconds=sum(it.decoding for it in most.values()) / images,
        peak_memory=max(it.peak_memory for it in most.values()),
        **machine.model_dump(),
    )


def clipped(made: Mapping[range, ShardRecord]) -> float | None:
    """Return the share of values of x0 that were clipped, over all shards; None without a clip."""
    shares = [(len(shard), it.clipped) for shard, it in made.items() if it.clipped is not None]
    return sum(count * share for count, share in shares) / sum(count for count, _ in shares) if shares else None


def _failures(cell: Cell, work: Callable[[], None]) -> list[str]:
    """Run `work`. Return its error in one line, or nothing if it succeeded."""
    try:
        work()
    except ZooError as error:
        return [f"{cell_title(cell.recipe)}: {error}"]
    return []


def run_exactly(suite: Suite, folder: Path, command: str, on_row: Callable[[Row], None]) -> SuiteOutcome:
    """Make the rows of a suite on an exact model. It compares moments, and draws no images."""
    from samplerzoo.bench import gaussian

    failures: list[str] = []
    recipes = [recipe for recipe, _ in suite.points]
    found = []
    with locked(folder):
        for row in gaussian.rows(recipes, failures.append):
            found.append(row.model_copy(update={"command": command}))
            on_row(found[-1])
        known = on_main(lambda: results.read_rows(folder))
        on_main(lambda: results.append_rows(folder, [row for row in found if row not in known]))
    return SuiteOutcome(found, failures)
