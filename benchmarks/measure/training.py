"""Training compared with the example loop of diffusers, on the same network, data and batch size."""

from __future__ import annotations

import io
import shutil
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import datasets
import numpy as np
import torch
from accelerate import Accelerator
from diffusers import DDPMScheduler, UNet2DModel
from diffusers.optimization import get_cosine_schedule_with_warmup
from diffusers.training_utils import EMAModel
from PIL import Image
from torch.utils.data import DataLoader

from measure.child import Child
from measure.figure import Figure
from measure.networks import scratch, unconditional_mnist
from samplerzoo.training.options import TrainOptions
from samplerzoo.training.train import train

STEPS, BATCH, IMAGES, ROUNDS = 16, 64, 1280, 7


def measure() -> list[Figure]:
    """Measure our images per second divided by theirs, and our step compared with the bare work of any loop.

    In one process both keep freed memory. In processes of their own each runs with its default settings.
    """
    data = _data(Path(scratch().name) / "noise.parquet")
    our_seconds, their_seconds, bare = _in_turn([lambda: _ours(data), lambda: _theirs(data), _bare])
    with (
        Child("measure.training:ours", keep=True, data=str(data)) as our,
        Child("measure.training:theirs", keep=False, data=str(data)) as their,
    ):
        our_own, their_own = _in_turn([our, their])
    setting = f"embedded network, unconditional, batch {BATCH}, {STEPS} steps, float32"
    return [
        _gain(f"diffusers' example loop against samplerzoo train, one process: {setting}", their_seconds, our_seconds),
        _gain(f"diffusers' example loop against samplerzoo train, each as it comes: {setting}", their_own, our_own),
        Figure(
            f"samplerzoo train against the same steps on one batch in memory: {setting}",
            [a / c for a, c in zip(our_seconds, bare, strict=True)],
            "<= 1.03",
        ),
    ]


def _in_turn(works: Sequence[Callable[[], float]]) -> list[list[float]]:
    """Collect the seconds that the works return, one list per round, after a warm-up round. The order alternates."""
    took: list[list[float]] = [[] for _ in works]
    for number in range(ROUNDS + 1):
        order = list(range(len(works)))
        for which in order if number % 2 == 0 else reversed(order):
            took[which].append(works[which]())
    return [answers[1:] for answers in took]


def _gain(what: str, theirs: Sequence[float], ours: Sequence[float]) -> Figure:
    speed = STEPS * BATCH / statistics.median(ours)
    return Figure(what, [b / a for a, b in zip(ours, theirs, strict=True)], ">= 1", facts={"images/s": speed})


def ours(data: str) -> Callable[[], float]:
    """Return our work. A process of its own runs it."""
    return lambda: _ours(Path(data))


def theirs(data: str) -> Callable[[], float]:
    """Return the work of diffusers. A process of its own runs it."""
    return lambda: _theirs(Path(data))


def _data(path: Path) -> Path:
    """Write PNG images of noise to a parquet file."""
    pixels = np.random.default_rng(0).integers(0, 256, (IMAGES, 28, 28), dtype=np.uint8)
    content = []
    for picture in pixels:
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "png")
        content.append({"bytes": buffer.getvalue(), "path": None})
    features = datasets.Features({"image": datasets.Image()})
    datasets.Dataset.from_dict({"image": content}, features=features).to_parquet(str(path))
    return path


def _ours(data: Path) -> float:
    """Train with samplerzoo and return the seconds of its loop."""
    output = Path(scratch().name) / "trained"
    shutil.rmtree(output, ignore_errors=True)
    config = unconditional_mnist()
    options = TrainOptions(
        dataset=str(data), output_dir=str(output), max_train_steps=STEPS, train_batch_size=BATCH, eval_images=1,
        eval_steps=1, block_out_channels=config["block_out_channels"], layers_per_block=config["layers_per_block"],
        mixed_precision="no",
    )  # fmt: skip
    return train(options).seconds


def _theirs(data: Path) -> float:
    """Return the seconds of the loop of diffusers' train_unconditional.py, without logs and pictures."""
    accelerator = Accelerator()
    model = UNet2DModel(**unconditional_mnist())
    ema = EMAModel(model.parameters(), use_ema_warmup=True, power=0.75)
    noise_scheduler = DDPMScheduler()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.95, 0.999), weight_decay=1e-6)
    dataset = datasets.load_dataset("parquet", data_files=str(data), split="train")

    def transform(examples: dict[str, list[Image.Image]]) -> dict[str, list[torch.Tensor]]:
        pictures = [np.asarray(image, dtype=np.float32) / 127.5 - 1 for image in examples["image"]]
        return {"input": [torch.from_numpy(picture)[None] for picture in pictures]}

    dataset.set_transform(transform)
    loader = DataLoader(dataset, batch_size=BATCH, shuffle=True)
    schedule = get_cosine_schedule_with_warmup(optimizer, 500, STEPS)
    model, optimizer, loader, schedule = accelerator.prepare(model, optimizer, loader, schedule)
    ema.to(accelerator.device)
    model.train()
    start = time.perf_counter()
    for _, batch in zip(range(STEPS), loader, strict=False):
        images = batch["input"]
        noise = torch.randn_like(images)
        timesteps = torch.randint(0, 1000, (len(images),), device=images.device)
        noisy = noise_scheduler.add_noise(images, noise, timesteps)
        with accelerator.accumulate(model):
            loss = torch.nn.functional.mse_loss(model(noisy, timesteps).sample.float(), noise.float())
            accelerator.backward(loss)
            accelerator.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
        ema.step(model.parameters())
        loss.detach().item()
    return time.perf_counter() - start


def _bare() -> float:
    """Return the seconds of forward, backward, clipping, AdamW and the moving average, and nothing else."""
    model = UNet2DModel(**unconditional_mnist()).train()
    ema = EMAModel(model.parameters(), use_ema_warmup=True, power=0.75)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    noisy, noise = torch.randn(2, BATCH, 1, 28, 28)
    timesteps = torch.randint(0, 1000, (BATCH,))
    start = time.perf_counter()
    for _ in range(STEPS):
        torch.nn.functional.mse_loss(model(noisy, timesteps).sample, noise).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        ema.step(model.parameters())
    return time.perf_counter() - start
