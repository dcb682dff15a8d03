"""Training loop for all tasks, on Accelerate: one or several processes, CPU or GPU.

A resumed training equals an uninterrupted one. The order of the data is a function of (seed, epoch), the random
numbers of a batch are a function of (seed, epoch, batch, process), and the checkpoint holds everything else. No global
random state is read.
"""

from __future__ import annotations

import copy
import json
import math
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from accelerate import Accelerator
from diffusers.optimization import get_scheduler
from diffusers.training_utils import EMAModel
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from samplerzoo.data.order import EpochSampler, keyed_generator
from samplerzoo.errors import UsageError, ZooError, reason
from samplerzoo.images import from_uint8
from samplerzoo.system.files import atomic_file
from samplerzoo.training import checkpoint
from samplerzoo.training.checkpoint import Progress
from samplerzoo.training.options import LoopOptions
from samplerzoo.training.pictures import LogLine
from samplerzoo.training.task import Report, Task
from samplerzoo.trust.records import read_lines, whole_lines

METRICS_FILE = "metrics.jsonl"
"""File of the losses, one line for every `logging_steps` optimizer steps."""


LINE_SECONDS = 30.0
"""Least seconds between two printed lines of the loss, if there is no terminal."""


class Trainer:
    """Training of one task.

    Raises:
        UsageError: the data do not fill a batch, or there is no checkpoint to resume from.
        ZooError: the checkpoint cannot be read.
    """

    def __init__(self, task: Task, options: LoopOptions, accelerator: Accelerator) -> None:
        self.task = task
        self.options = options
        self.output = Path(options.output_dir)
        self.accelerator = accelerator
        self.resumed = self._checkpoint_to_resume()
        self.progress = Progress() if self.resumed is None else checkpoint.read_progress(self.resumed)
        self._check_end()
        self.signal: int | None = None
        self.stopping = False
        self.next_line = 0.0
        self.last_loss: float | None = None
        self.logged = (0, 0.0)  # images and seconds at the last line of metrics.jsonl
        self.bare = task.net
        self.ema = _ema(self.bare, options)
        self._prepare()
        self._resume()

    def run(self) -> Report:
        """Train until the last step or an interruption, and write a checkpoint and the model folder at the end."""
        with self._signals(), self._bar() as bar:
            while not self._over():
                self._epoch(bar)
                if not self._over() and self.progress.epoch % self.task.illustrate_epochs == 0:
                    self._illustrate()
            self._checkpoint()
        if not self.stopping:
            self._illustrate()
        self.accelerator.end_training()
        return self.report()

    def report(self) -> Report:
        """Return the current state of the training."""
        p, main = self.progress, self.accelerator.is_main_process
        changes = tuple(p.changes)
        return Report(p.step, p.epoch, p.images, p.seconds, self.last_loss, self.stopping, main, changes)

    @property
    def round(self) -> int:
        """Number of images in one forward pass of all processes."""
        return self.options.train_batch_size * self.accelerator.num_processes

    def _check_end(self) -> None:
        """Refuse an end that a resumed training has already passed: the record would show too few steps."""
        o, p = self.options, self.progress
        by_steps = o.max_train_steps is not None
        end, here = (o.max_train_steps, p.step) if by_steps else (o.num_epochs, p.epoch + (p.seen > 0))
        if end is not None and end < here:
            flag = "--max-train-steps" if by_steps else "--num-epochs"
            raise UsageError(
                f"cannot resume from {self.resumed}: {flag} {end}: it has {here} already: give as many or more, or an "
                "earlier checkpoint to --resume-from-checkpoint"
            )

    def _last_step(self) -> int:
        """Return the number of optimizer steps at which the training ends, from where it is now."""
        o, p, size = self.options, self.progress, len(self.task.data)
        if o.max_train_steps is not None:
            return o.max_train_steps
        here, whole = (-(-(images // self.round) // o.gradient_accumulation_steps) for images in (size - p.seen, size))
        epochs = o.num_epochs - p.epoch
        return p.step + (here + (epochs - 1) * whole if epochs > 0 else 0)

    def _prepare(self) -> None:
        o, accelerator = self.options, self.accelerator
        self.sampler = EpochSampler(len(self.task.data), o.seed)
        loader = DataLoader(
            self.task.data,
            o.train_batch_size,
            sampler=self.sampler,
            drop_last=True,
            collate_fn=_as_fetched,
            num_workers=o.dataloader_num_workers,
            pin_memory=accelerator.device.type == "cuda",
            generator=torch.Generator(),  # else the loader draws from the global random state
        )
        if len(self.task.data) < self.round:
            raise UsageError(
                f"{len(self.task.data)} images do not fill one batch of {o.train_batch_size} on each of "
                f"{accelerator.num_processes} processes: lower --train-batch-size"
            )
        self.max_steps = self._last_step()
        optimizer = torch.optim.AdamW(
            self.task.net.parameters(),
            lr=o.learning_rate,
            betas=(o.adam_beta1, o.adam_beta2),
            weight_decay=o.adam_weight_decay,
            eps=o.adam_epsilon,
        )
        scheduler = get_scheduler(
            o.lr_scheduler, optimizer, num_warmup_steps=o.lr_warmup_steps, num_training_steps=self.max_steps
        )
        self.net, self.optimizer, self.loader, self.scheduler = accelerator.prepare(
            self.task.net, optimizer, loader, scheduler
        )
        if self.ema is not None:
            self.ema.to(accelerator.device)
        checkpoint.register_hooks(accelerator, self.bare, self.ema, self.progress)
        accelerator.init_trackers("samplerzoo", config=_flat(o.model_dump()))

    def _resume(self) -> None:
        if self.resumed is None:
            if self.accelerator.is_main_process:  # only now, when the training can no longer be refused
                checkpoint.remove_all(self.output)  # of an older training, so that "latest" does not find them
                _cut_metrics(self.output / METRICS_FILE, 0)
            return
        place = copy.copy(self.progress)
        checkpoint.restore(self.accelerator, self.resumed)
        vars(self.progress).update(vars(place))
        self._set_optimizer()
        for name, (then, now) in checkpoint.changed_options(self.resumed, self._recorded()).items():
            self.progress.changes.append(f"from step {self.progress.step}, {name} {now} in place of {then}")
            self.accelerator.print(self.progress.changes[-1])
        if self.accelerator.is_main_process:
            _cut_metrics(self.output / METRICS_FILE, self.progress.step)
        self.logged = (self.progress.images, self.progress.seconds)
        self.accelerator.print(f"resuming from {self.resumed}")

    def _checkpoint_to_resume(self) -> Path | None:
        """Find the checkpoint to resume from, if the user names one. Refuse options that do not fit it."""
        if self.options.resume_from_checkpoint is None:
            return None
        folder = checkpoint.find_checkpoint(self.output, self.options.resume_from_checkpoint)
        checkpoint.check_changes(checkpoint.changed_options(folder, self._recorded()), folder, self.task.data)
        return folder

    def _set_optimizer(self) -> None:
        """Set the current options of the optimizer, and the learning rate at the current place of the current schedule.

        The restored ones are those of the checkpoint. The schedule counts optimizer steps, whatever their batch size.
        """
        o, schedule = self.options, self.scheduler.scheduler
        schedule.last_epoch, schedule.base_lrs = self.progress.step, [o.learning_rate]
        schedule._last_lr = [o.learning_rate * factor(self.progress.step) for factor in schedule.lr_lambdas]
        for group, rate in zip(self.optimizer.param_groups, schedule._last_lr, strict=True):
            group.update(
                lr=rate,
                initial_lr=o.learning_rate,
                betas=(o.adam_beta1, o.adam_beta2),
                weight_decay=o.adam_weight_decay,
                eps=o.adam_epsilon,
            )
        self.accelerator.step = 0  # gradient accumulation starts anew

    def _recorded(self) -> dict[str, Any]:
        """Return what determines the result: options, processes and data, but not output folder and resumption."""
        recorded = self.options.model_dump(mode="json", exclude={"output_dir", "overwrite", "resume_from_checkpoint"})
        data = [len(self.task.data), list(self.task.data.class_names)]
        recorded |= {"image_size": self.task.data.image_size, checkpoint.PICTURES: self.task.data.fingerprint}
        return {**recorded, "num_processes": self.accelerator.num_processes, checkpoint.DATA: data}

    def _epoch(self, bar: tqdm[Any]) -> None:
        p, o = self.progress, self.options
        self.sampler.start(p.epoch, p.seen)
        losses: list[Tensor] = []
        self.net.train()
        mark = time.perf_counter()
        for images, labels in self.loader:
            rng = keyed_generator(o.seed, p.epoch, p.batch, self.accelerator.process_index)
            losses.append(self._batch(images, labels, rng))
            p.batch, p.seen, p.images = p.batch + 1, p.seen + self.round, p.images + self.round
            mark, p.seconds = time.perf_counter(), p.seconds + time.perf_counter() - mark
            if not self.accelerator.sync_gradients:
                continue
            self._stepped(losses, bar)
            losses.clear()
            if p.step >= self.max_steps or self._interrupted():
                return
            if p.step % o.checkpointing_steps == 0:
                self._checkpoint()
                mark = time.perf_counter()
        p.epoch, p.batch, p.seen = p.epoch + 1, 0, 0

    def _batch(self, images: Tensor, labels: Tensor, rng: torch.Generator) -> Tensor:
        """Do one forward and backward pass, and an optimizer step if one is due. Return the loss."""
        images = from_uint8(images)
        if self.options.random_flip:
            flipped = torch.rand(len(images), generator=rng).to(images.device) < 0.5
            images = torch.where(flipped[:, None, None, None], images.flip(-1), images)
        with self.accelerator.accumulate(self.net):
            loss = self.task.loss(self.net, images, labels, rng)
            self.accelerator.backward(loss)
            if self.accelerator.sync_gradients:
                self.accelerator.clip_grad_norm_(self.net.parameters(), self.options.max_grad_norm)
            self.optimizer.step()
            if self.accelerator.sync_gradients:
                self.scheduler.step()
            self.optimizer.zero_grad()
        return loss.detach()

    def _stepped(self, losses: list[Tensor], bar: tqdm[Any]) -> None:
        """Update the counters, the moving average and the log after an optimizer step.

        Raises:
            ZooError: the loss is NaN or infinite.
        """
        p = self.progress
        p.step += 1
        if self.ema is not None:
            self.ema.step(self.bare.parameters())
        loss = self.accelerator.reduce(torch.stack(losses).mean(), "mean").item()
        if not math.isfinite(loss):
            raise ZooError(
                f"the loss is not a number at step {p.step}: lower --learning-rate from {self.options.learning_rate:g}"
            )
        p.losses.append(loss)
        bar.update()
        if p.step % self.options.logging_steps == 0 or p.step == self.max_steps:
            self._log(bar)

    def _log(self, bar: tqdm[Any]) -> None:
        p = self.progress
        self.last_loss = sum(p.losses) / len(p.losses)
        images, seconds = (now - then for now, then in zip((p.images, p.seconds), self.logged, strict=True))
        self.logged = (p.images, p.seconds)
        line = {"step": p.step, "epoch": p.epoch, "loss": self.last_loss, "lr": self.scheduler.get_last_lr()[0]}
        p.losses.clear()
        self._say_loss(bar)
        bar.set_postfix(loss=f"{self.last_loss:.4f}", images_per_s=f"{images / seconds:.0f}")
        self.accelerator.log({key: line[key] for key in ("loss", "lr")}, step=p.step)
        if self.accelerator.is_main_process:
            with (self.output / METRICS_FILE).open("a") as file:
                file.write(json.dumps({**line, "seconds": round(p.seconds, 1)}) + "\n")

    def _say_loss(self, bar: tqdm[Any]) -> None:
        """Print the loss in a line every `LINE_SECONDS`, if there is no terminal for a progress bar."""
        now = time.monotonic()
        if bar.disable and now >= self.next_line and self.progress.step < self.max_steps:
            self.next_line = now + LINE_SECONDS
            rate = self.scheduler.get_last_lr()[0]
            self.accelerator.print(
                f"step {self.progress.step} of {self.max_steps}: loss {self.last_loss:.4f}, learning rate {rate:.3g}",
                flush=True,
            )

    def _interrupted(self) -> bool:
        """Return True if any process received a signal to stop. All processes learn of it at the same step."""
        if self.signal is not None:
            self.accelerator.set_trigger()
        self.stopping = self.accelerator.check_trigger()
        return self.stopping

    def _over(self) -> bool:
        return self.stopping or self.progress.step >= self.max_steps

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Stop with a checkpoint at the first Ctrl-C or SIGTERM. The second one has its usual effect."""
        before = {int(number): signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

        def note(number: int, frame: FrameType | None) -> None:
            self.signal = number
            signal.signal(number, before[number])

        for number in before:
            signal.signal(number, note)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _bar(self) -> tqdm[Any]:
        hidden = None if self.accelerator.is_local_main_process else True  # None: shown on a terminal only
        return tqdm(total=self.max_steps, initial=self.progress.step, unit="step", desc="training", disable=hidden)

    def _checkpoint(self) -> None:
        """Write the training state, then the model folder.

        Raises:
            ZooError: a file cannot be written.
        """
        try:
            folder = checkpoint.write_checkpoint(
                self.accelerator,
                self.output,
                self.progress,
                self._recorded(),
                self.task.data,
                self.options.checkpoints_total_limit,
            )
            if self.accelerator.is_main_process:
                self.task.save(self.output, self.averaged().cpu(), self.report())
        except (OSError, RuntimeError, SafetensorError) as error:  # each writer raises its own error for a full disk
            whole = checkpoint.existing(self.output)
            last = f"the last whole one is {whole[-1]}" if whole else "there is none yet"
            raise ZooError(
                f"cannot write a checkpoint at step {self.progress.step}: {reason(error)}; {last}"
            ) from error
        self.accelerator.wait_for_everyone()
        self.accelerator.print(f"checkpoint {folder}")

    def averaged(self) -> nn.Module:
        """Return a copy of the network in evaluation mode, with the moving average as weights if there is one."""
        net = copy.deepcopy(self.bare).eval()
        for patch in ("forward", "_original_forward"):  # Accelerate's autocast, bound to the network being trained
            vars(net).pop(patch, None)
        if self.ema is not None:
            self.ema.copy_to(net.parameters())
        return net

    def _illustrate(self) -> None:
        self.task.illustrate(self.output, self.averaged(), self.report(), self.accelerator.is_main_process)
        self.accelerator.wait_for_everyone()


def _ema(net: nn.Module, options: LoopOptions) -> EMAModel | None:
    """Create the moving average that the options ask for, or return None."""
    if not options.use_ema:
        return None
    return EMAModel(
        net.parameters(),
        decay=options.ema_max_decay,
        use_ema_warmup=True,
        inv_gamma=options.ema_inv_gamma,
        power=options.ema_power,
        foreach=True,  # a few kernels in all, instead of four for each tensor
    )


def _as_fetched(batch: Any) -> Any:
    """Return the batch unchanged, because the data set returns whole batches."""
    return batch


def _flat(options: dict[str, Any]) -> dict[str, Any]:
    """Convert values other than numbers and strings to strings, since trackers accept no others."""
    return {key: value if isinstance(value, (int, float, str, bool)) else str(value) for key, value in options.items()}


def _cut_metrics(path: Path, step: int) -> None:
    """Delete the lines that a killed training wrote after `step`, the step of its last checkpoint."""
    lines = zip(whole_lines(path), read_lines(path, LogLine), strict=True)
    with atomic_file(path) as partial:
        partial.write_bytes(b"".join(line + b"\n" for line, read in lines if read.step <= step))
