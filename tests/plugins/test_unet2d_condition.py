"""Text-to-image models against StableDiffusionPipeline of diffusers, at the same draws, and mutants that are seen."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import diffusers
import folders
import pytest
import torch
from folders import loaded, off
from samplerzoo_plugins.classifier_free_guidance import ClassifierFreeGuidance
from samplerzoo_plugins.ddim import DDIM
from torch import Tensor

import samplerzoo as zoo
from samplerzoo.core.guidance import Guidance
from samplerzoo.core.model import Model
from samplerzoo.core.noise import Noise
from samplerzoo.core.text import TextEncoder
from samplerzoo.models.load import open_model
from samplerzoo.testing import run

SAME = 1e-4
"""Difference of latents and pixels from diffusers that is float32 rounding, which guidance by 7.5 makes larger."""
SEEN = 1e-2
"""Difference that a wrong convention makes, at least."""
STEPS = 10
PROMPTS = ["a cat", "two dogs, é and 猫", ""]
GUIDED = ClassifierFreeGuidance(scale=7.5)


@pytest.fixture(scope="module")
def noise(sd: Path) -> Tensor:
    return folders.latents(sd)


@pytest.fixture(scope="module")
def stock(sd: Path, noise: Tensor) -> folders.Stock:
    return folders.stock_sd(sd, noise, PROMPTS, STEPS)


def state(
    model: Model, noise: Tensor, guidance: Guidance | None = GUIDED, prompts: list[str] = PROMPTS, **asked: Any
) -> Tensor:
    """Return the last latents that this noise becomes."""
    condition = model.condition(prompts=prompts, **asked)
    grid = model.schedule.grid(STEPS, "trailing")
    with torch.no_grad():
        return run(model, DDIM(), grid, lambda: noise, guidance=guidance, condition=condition, clip=model.clip)


def test_guided_images_are_those_of_diffusers(sd_model: Model, noise: Tensor, stock: folders.Stock) -> None:
    latents = state(sd_model, noise)
    assert off(latents, stock.latents) < SAME
    assert off(sd_model.decode(latents), stock.pixels) < SAME


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize(("sampler", "options"), [("ddim", {}), ("dpm-solver++", {"solver_order": 3}), ("heun", {})])
def test_images_are_those_of_the_sampler_in_the_pipeline(
    tmp_path: Path, sampler: str, options: dict[str, Any], prediction: str
) -> None:
    """Compare with the pipeline's own loop, prompts, guidance and decoder, and the sampler as its scheduler."""
    folder = folders.sd(tmp_path, prediction_type=prediction)
    model = loaded(folder)
    told: dict[str, Any] = {"guidance": GUIDED, "negative_prompt": "dog", "prompts": PROMPTS}
    native = zoo.sample(model, sampler, steps=STEPS, seed=3, **told, **options)
    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.scheduler = zoo.as_scheduler(sampler, pipeline.scheduler, **options)
    call = {"num_inference_steps": STEPS, "guidance_scale": GUIDED.scale, "negative_prompt": ["dog"] * len(PROMPTS)}
    first = Noise(3, range(len(PROMPTS)), model.shape)()
    latents = pipeline(PROMPTS, latents=first, output_type="latent", **call).images
    assert off(native.states, latents) < SAME * latents.abs().max()
    pixels = pipeline(PROMPTS, latents=first, output_type="pt", **call).images
    assert off(native.images.clamp(-1, 1), 2 * pixels - 1) < SAME


@pytest.mark.parametrize("prediction", ["v_prediction", "sample"])
def test_what_the_network_predicts(tmp_path: Path, prediction: str) -> None:
    folder = folders.sd(tmp_path, prediction_type=prediction)
    noise = folders.latents(folder)
    stock = folders.stock_sd(folder, noise, PROMPTS, STEPS)
    # of sample, diffusers works eps out of float32 tables, and guidance makes its rounding larger
    same = 10 * SAME if prediction == "sample" else SAME
    assert off(state(loaded(folder), noise), stock.latents) < same


@pytest.mark.parametrize(
    "kind", ["PNDMScheduler", "EulerDiscreteScheduler", "DPMSolverMultistepScheduler", "LMSDiscreteScheduler"]
)
def test_the_schedulers_of_its_folders_say_the_same_path(tmp_path: Path, sd: Path, kind: str) -> None:
    shutil.copytree(sd, tmp_path / "copy")
    saved = {"_class_name": kind, **folders.STABLE, "set_alpha_to_one": False, "skip_prk_steps": True}
    (tmp_path / "copy" / "scheduler" / "scheduler_config.json").write_text(json.dumps(saved))
    index = tmp_path / "copy" / "model_index.json"
    index.write_text(json.dumps({**json.loads(index.read_text()), "scheduler": ["diffusers", kind]}))
    found, expected = (open_model(str(each)).stub for each in (tmp_path / "copy", sd))
    grids = [[*map(str, model.schedule.grid(STEPS, "trailing").levels)] for model in (found, expected)]
    assert grids[0] == grids[1]
    assert (found.parametrization.name, found.clip.mode) == ("epsilon", "off")


def test_a_negative_prompt_takes_the_place_of_the_empty_one(sd: Path, sd_model: Model, noise: Tensor) -> None:
    stock = folders.stock_sd(sd, noise, PROMPTS, STEPS, negative_prompt="dog")
    assert off(state(sd_model, noise, negative_prompt="dog"), stock.latents) < SAME
    assert off(state(sd_model, noise), stock.latents) > SEEN


def test_without_guidance_it_is_the_pipeline_at_scale_1(sd: Path, sd_model: Model, noise: Tensor) -> None:
    stock = folders.stock_sd(sd, noise, PROMPTS, STEPS, 1.0)
    assert off(state(sd_model, noise, None), stock.latents) < SAME
    assert off(state(sd_model, noise, ClassifierFreeGuidance(scale=1.0)), stock.latents) < SAME


def test_guidance_in_an_interval_and_rescaled(sd: Path, sd_model: Model, noise: Tensor) -> None:
    nowhere, everywhere = (ClassifierFreeGuidance(scale=7.5, low=low) for low in (1e3, 0.0))
    assert off(state(sd_model, noise, nowhere), state(sd_model, noise, None)) == 0
    assert off(state(sd_model, noise, everywhere), state(sd_model, noise)) == 0
    assert off(state(sd_model, noise, ClassifierFreeGuidance(scale=7.5, rescale=0.7)), state(sd_model, noise)) > SEEN


def test_wrong_conventions_are_seen(sd: Path, sd_model: Model, noise: Tensor, stock: folders.Stock) -> None:
    text = sd_model.text
    assert text is not None
    tokenizer, encoder = folders.clip_tokenizer(), folders.text_encoder(sd)

    def penultimate(prompt: str) -> dict[str, Tensor]:
        tokens = tokenizer(prompt, padding="max_length", max_length=77, return_tensors="pt").input_ids
        return {"encoder_hidden_states": encoder(tokens, output_hidden_states=True).hidden_states[-2][0]}

    class OfTheNext(TextEncoder):
        def inputs(self, prompts: Sequence[str]) -> dict[str, Tensor]:
            return super().inputs([*prompts[1:], prompts[0]])

    mutants = {
        "null prompt is wrong": state(sd_model, noise, negative_prompt="."),
        "text of the wrong image": state(told(sd_model, OfTheNext(text.encode, text.count, text.most)), noise),
        "penultimate layer": state(told(sd_model, TextEncoder(penultimate, text.count, text.most)), noise),
    }
    for name, latents in mutants.items():
        assert off(latents, stock.latents) > SEEN, name
    assert off(sd_model.decode(stock.latents), stock.pixels) < SAME
    assert off(sd_model.decode(stock.latents / folders.DECODER["scaling_factor"]), stock.pixels) > SEEN, "scaled twice"


def told(model: Model, text: TextEncoder) -> Model:
    return dataclasses.replace(model, text=text)
