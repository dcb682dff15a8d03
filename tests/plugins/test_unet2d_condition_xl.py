"""Stable Diffusion XL as a model of samplerzoo's own, against the pipeline of diffusers."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import diffusers
import folders
import pytest
import torch
from folders import loaded
from samplerzoo_plugins.architectures.unet2d_condition import UNet2DCondition
from samplerzoo_plugins.architectures.unet2d_condition_xl import UNet2DConditionXL
from samplerzoo_plugins.classifier_free_guidance import ClassifierFreeGuidance

import samplerzoo as zoo
from samplerzoo.core.model import Model
from samplerzoo.core.noise import Noise
from samplerzoo.core.text import TextEncoder
from samplerzoo.errors import ZooError
from samplerzoo.models.load import ModelFolder, open_model
from samplerzoo.models.options import ReadingOptions
from samplerzoo.testing import check_architecture

SAME = 1e-4
"""Difference from diffusers, relative to the largest value, that is float32 rounding."""
SEEN = 1e-2
"""Difference that a wrong convention makes, at least."""
STEPS = 6
PROMPTS = ["a cat", "two dogs, é and 猫", ""]
GUIDED = ClassifierFreeGuidance(scale=5.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folders.sdxl(tmp_path_factory.mktemp("sdxl"))


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    return loaded(folder)


def off(found: torch.Tensor, expected: torch.Tensor) -> float:
    return folders.off(found, expected) / float(expected.abs().max())


def native(model: Model, sampler: str = "ddim", *, guidance: Any = GUIDED, **asked: Any) -> zoo.Result:
    return zoo.sample(model, sampler, steps=STEPS, seed=3, prompts=PROMPTS, guidance=guidance, **asked)


def of_the_pipeline(folder: Path, model: Model, sampler: str = "ddim", scale: float = GUIDED.scale, **call: Any) -> Any:
    """Return latents of the pipeline's own call, with the sampler as its scheduler."""
    pipeline = diffusers.StableDiffusionXLPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.scheduler = zoo.as_scheduler(sampler, pipeline.scheduler)
    first = Noise(3, range(len(PROMPTS)), model.shape)()
    call = {"latents": first, "guidance_scale": scale, "num_inference_steps": STEPS, "output_type": "latent", **call}
    return pipeline(PROMPTS, **call).images


@pytest.mark.parametrize("sampler", ["ddim", "dpm-solver++", "heun"])
def test_images_are_those_of_the_pipeline(folder: Path, model: Model, sampler: str) -> None:
    found = native(model, sampler)
    assert off(found.states, of_the_pipeline(folder, model, sampler)) < SAME
    pictures = 2 * of_the_pipeline(folder, model, sampler, output_type="pt") - 1
    assert (found.images.clamp(-1, 1) - pictures).abs().max() < SAME


def test_negative_prompts_and_no_guidance(folder: Path, model: Model) -> None:
    for asked, call in (
        ({"negative_prompt": "blue"}, {"negative_prompt": ["blue"] * 3}),
        ({"negative_prompt": ""}, {"negative_prompt": [""] * 3}),
        ({"guidance": None}, {"scale": 1.0}),
    ):
        assert off(native(model, **asked).states, of_the_pipeline(folder, model, **call)) < SAME, asked
    assert off(native(model, negative_prompt="").states, native(model).states) > SEEN  # an empty prompt is no zeros


def test_index_that_asks_for_the_empty_prompt(tmp_path: Path) -> None:
    folder = folders.sdxl(tmp_path / "empty", zeros=False)
    model = loaded(folder)
    assert off(native(model).states, of_the_pipeline(folder, model)) < SAME
    assert torch.equal(native(model).states, native(model, negative_prompt="").states)


def test_it_is_the_hosted_way(folder: Path, model: Model) -> None:
    hosted = loaded(folder, hosted=True)
    told = {"steps": STEPS, "seed": 3, "prompts": PROMPTS, "guidance_scale": 5.0}
    other, found = zoo.sample(hosted, "heun", **told), zoo.sample(model, "heun", guidance="cfg", **told)
    assert off(found.states, other.states) < SAME
    assert (found.cost.calls, found.cost.evaluations) == (other.cost.calls, other.cost.evaluations)


def test_prompts_are_of_their_images(model: Model) -> None:
    whole, single = (native(model, batch_size=size).states for size in (3, 1))
    assert off(single, whole) < 1e-5


def test_wrong_conventions_are_seen(folder: Path, model: Model) -> None:
    expected, text = native(model).states, model.text
    assert text is not None

    def told(change: Any) -> Model:
        def encode(prompt: str) -> Mapping[str, torch.Tensor]:
            return {**text.encode(prompt), **change(text.encode(prompt))}

        return dataclasses.replace(model, text=TextEncoder(encode, text.count, text.most, text.nothing))

    changes: dict[str, Any] = {
        "encoders the other way round": lambda it: {"encoder_hidden_states": it["encoder_hidden_states"].roll(24, -1)},
        "pooled text is left out": lambda it: {"text_embeds": torch.zeros_like(it["text_embeds"])},
        "picture has another size": lambda it: {"time_ids": it["time_ids"] / 2},
        "crop in place of the size": lambda it: {"time_ids": it["time_ids"].roll(2)},
    }
    for name, change in changes.items():
        assert off(native(told(change)).states, expected) > SEEN / 10, name
    empty = dataclasses.replace(model, text=dataclasses.replace(text, nothing=None))
    assert off(native(empty).states, expected) > SEEN


def test_half_precision_is_near(folder: Path, model: Model) -> None:
    rough = loaded(folder, "bfloat16")
    assert 0 < (native(rough).images - native(model).images).abs().mean() < 0.1


# -- folders


def test_the_kit_passes_the_architecture() -> None:
    network = folders.text_unet(
        addition_embed_type="text_time", addition_time_embed_dim=8, projection_class_embeddings_input_dim=20 + 6 * 8
    )
    check_architecture(UNet2DConditionXL(), network)
    config = {**network.config, "_class_name": "UNet2DConditionModel"}
    assert not UNet2DCondition().claims(config)
    assert not UNet2DConditionXL().claims({**config, "addition_embed_type": None})


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"projection_class_embeddings_input_dim": None}, "projection_class_embeddings_input_dim None"),
        ({"projection_class_embeddings_input_dim": 48}, "6 numbers of the picture's size"),
        ({"addition_time_embed_dim": "8"}, "addition_time_embed_dim"),
        ({"addition_time_embed_dim": -8}, "addition_time_embed_dim"),
        ({"projection_class_embeddings_input_dim": 10**12}, "projection_class_embeddings_input_dim"),
        ({"in_channels": 9}, "inpainting"),
        ({"encoder_hid_dim_type": "text_proj"}, "encoder_hid_dim_type"),
        ({"time_cond_proj_dim": 8}, "distilled"),
    ],
)
def test_networks_that_are_told_something_else(config: dict[str, Any], says: str) -> None:
    usual = {"_class_name": "UNet2DConditionModel", "sample_size": 8, "addition_embed_type": "text_time"}
    dims = {"projection_class_embeddings_input_dim": 68, "addition_time_embed_dim": 8}
    with pytest.raises((ZooError, ValueError), match=says):
        UNet2DConditionXL().facts({**usual, **dims, **config})


def test_setting_of_the_index_is_part_of_the_model(folder: Path, tmp_path: Path) -> None:
    known = ModelFolder.open(folder)
    assert known.parts.settings == {"force_zeros_for_empty_prompt": True}
    copy = shutil.copytree(folder, tmp_path / "copy")
    index = json.loads((copy / "model_index.json").read_text())

    def changed(**keys: Any) -> ModelFolder:
        (copy / "model_index.json").write_text(json.dumps({**index, **keys}))
        return ModelFolder.open(copy)

    assert changed().fingerprint == known.fingerprint
    other = changed(force_zeros_for_empty_prompt=False)
    assert other.fingerprint != known.fingerprint
    assert other.stub.text is not None
    assert known.stub.text is not None
    assert other.stub.text.identity() != known.stub.text.identity()
    with pytest.raises(
        ZooError, match=r"model_index.json: force_zeros_for_empty_prompt is 'no', and has to be like True"
    ):
        changed(force_zeros_for_empty_prompt="no")


def test_what_a_folder_lacks_is_one_line(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    index = json.loads((copy / "model_index.json").read_text())
    other = {"text_encoder_2": ["transformers", "CLIPTextModel"]}
    (copy / "model_index.json").write_text(json.dumps({**index, **other}))
    refused(copy, "CLIPTextModel, and what tells unet")
    (copy / "model_index.json").write_text(json.dumps({**index, "text_encoder_2": [None, None]}))
    shutil.rmtree(copy / "text_encoder_2")
    refused(copy, r"by text_encoder_2 \(CLIPTextModelWithProjection\), and there is none")


def refused(folder: Path, says: str) -> None:
    with pytest.raises(ZooError, match=says) as told:
        open_model(folder, ReadingOptions(hosted=False))
    assert "\n" not in str(told.value)
