"""Training against diffusers' own way: its example loop, written plainly, on the same network, data and batch."""

from __future__ import annotations

import io
import shutil
import time
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

from measure.figure import Figure
from measure.networks import scratch, unconditional_mnist
from samplerzoo.training.options import TrainOptions
from samplerzoo.training.run import train

STEPS, BATCH, IMAGES, ROUNDS = 16, 64, 1280, 5


def measure() -> list[Figure]:
    """Images a second of ours for one of theirs, and our step against the bare work that no loop can leave out."""
    data = _data(Path(scratch().name) / "noise.parquet")
    rows = []
    for number in range(ROUNDS + 1):  # the first is for warmth
        works = [_ours, _theirs, _bare] if number % 2 == 0 else [_bare, _theirs, _ours]
        took = {work: work(data) for work in works}
        rows.append((took[_ours], took[_theirs], took[_bare]))
    ours, theirs, bare = (list(side) for side in zip(*rows[1:], strict=True))
    setting = f"embedded network, unconditional, batch {BATCH}, {STEPS} steps, float32"
    return [
        Figure(
            f"diffusers' example loop against samplerzoo train: {setting}",
            [b / a for a, b in zip(ours, theirs, strict=True)],
            ">= 1",
            facts={"images/s": STEPS * BATCH / sorted(ours)[ROUNDS // 2]},
        ),
        Figure(
            f"samplerzoo train against the same steps on one batch in memory: {setting}",
            [a / c for a, c in zip(ours, bare, strict=True)],
            "<= 1.03",
        ),
    ]


def _data(path: Path) -> Path:
    """PNG images of noise, in a parquet file."""
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
    """Seconds in the loop."""
    output = Path(scratch().name) / "trained"
    shutil.rmtree(output, ignore_errors=True)
    config = unconditional_mnist()
    options = TrainOptions(
        dataset=str(data), output_dir=str(output), max_train_steps=STEPS, train_batch_size=BATCH, eval_images=1,
        eval_steps=1, block_out_channels=config["block_out_channels"], layers_per_block=config["layers_per_block"],
    )  # fmt: skip
    return train(options).seconds


def _theirs(data: Path) -> float:
    """Seconds of the loop of diffusers' train_unconditional.py, less its logs and its pictures."""
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


def _bare(data: Path) -> float:
    """Seconds of forward, backward, clipping, AdamW and the moving average, and nothing else."""
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
