"""Text-to-image models as a whole: their folders, what a run of them depends on, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import folders
import pytest
import torch
from folders import loaded, off
from safetensors.torch import load_file, save_file
from samplerzoo_plugins.architectures.unet2d_condition import UNet2DCondition
from samplerzoo_plugins.autoguidance import Autoguidance
from samplerzoo_plugins.classifier_free_guidance import ClassifierFreeGuidance

import samplerzoo as zoo
from samplerzoo.core.model import Model
from samplerzoo.core.text import MOST_KEPT, TextEncoder
from samplerzoo.errors import UsageError, ZooError
from samplerzoo.models.load import open_model
from samplerzoo.models.options import ReadingOptions
from samplerzoo.models.second import check_second
from samplerzoo.testing import check_architecture

ROUNDING = 1e-5
"""Difference that an image's batch makes in float32."""
PROMPTS = ["a cat", "two dogs", ""]
GUIDED = ClassifierFreeGuidance(scale=7.5)


# images


def test_an_image_is_that_of_its_prompt_whatever_the_batch(sd_model: Model) -> None:
    options: dict[str, Any] = {"steps": 3, "guidance": GUIDED, "num_images": 5}
    whole, parts = (zoo.sample(sd_model, "ddpm", prompts=PROMPTS, batch_size=size, **options) for size in (5, 2))
    assert whole.images.shape == (5, 3, 16, 16)
    assert off(parts.images, whole.images) < ROUNDING
    assert whole.nfe == 6  # neither the text encoder nor the decoder is counted
    alone = zoo.sample(sd_model, "ddpm", prompts="a cat", **options)
    assert [off(alone.images[i], whole.images[i]) < ROUNDING for i in range(5)] == [True, False, False, True, False]
    assert len(zoo.sample(sd_model, "ddim", steps=1, prompts=PROMPTS).images) == 3


def test_each_prompt_is_encoded_once(sd_model: Model) -> None:
    encoded: list[str] = []
    text = sd_model.text
    assert text is not None

    def encode(prompt: str) -> Any:
        encoded.append(prompt)
        return text.encode(prompt)

    counted = dataclasses.replace(sd_model, text=TextEncoder(encode, text.count, text.most))
    zoo.sample(counted, steps=4, prompts=PROMPTS, num_images=8, batch_size=2, guidance=GUIDED, negative_prompt="dog")
    assert sorted(encoded) == sorted({*PROMPTS, "dog"})


def test_what_is_kept_of_prompts_is_bounded() -> None:
    encoded: list[str] = []

    def encode(prompt: str) -> dict[str, torch.Tensor]:
        encoded.append(prompt)
        return {"told": torch.zeros(1).expand(MOST_KEPT // 2)}  # which takes no memory

    text = TextEncoder(encode, len, 3)
    for prompt in "abcabc":
        assert text.inputs([prompt])["told"].shape == (1, MOST_KEPT // 2)
    assert "".join(encoded) == "abcc"


def test_autoguidance_leads_away_from_a_second_folder(tmp_path: Path, sd: Path, sd_model: Model) -> None:
    worse = folders.sd(tmp_path / "worse", seed=7)
    both = dataclasses.replace(sd_model, second=loaded(worse))

    def latents(of: Model, **how: Any) -> torch.Tensor:
        return zoo.sample(of, steps=3, prompts=PROMPTS, **how).states

    plain, bad, away = (latents(both, guidance=Autoguidance(scale=scale)) for scale in (1.0, 0.0, 2.0))
    assert off(plain, latents(sd_model)) == 0
    assert off(bad, latents(loaded(worse))) < 1e-3  # it is good - 1 * (good - bad), in float32
    assert off(away, plain) > 0.01
    check_second(open_model(str(worse)).stub, open_model(str(sd)).stub)
    other = folders.sd(tmp_path / "other", seed=7, text_seed=8)
    with pytest.raises(UsageError, match="another text encoder"):
        check_second(open_model(str(other)).stub, open_model(str(sd)).stub)


def test_half_precision_is_near(sd: Path, sd_model: Model) -> None:
    exact, rough = (zoo.sample(each, steps=3, prompts=PROMPTS).images for each in (sd_model, loaded(sd, "bfloat16")))
    assert 0 < off(exact, rough) < 0.5


def test_a_model_of_prompts_is_asked_for_prompts(sd_model: Model, conditional: Model) -> None:
    with pytest.raises(UsageError, match=r"prompts=\[\.\.\.\]"):
        zoo.sample(sd_model, steps=1)
    with pytest.raises(UsageError, match="no class labels"):
        zoo.sample(sd_model, steps=1, prompts=PROMPTS, labels=[0, 1, 2])
    with pytest.raises(UsageError, match="takes no prompts"):
        zoo.sample(conditional, steps=1, prompts=PROMPTS)
    with pytest.raises(UsageError, match="takes no prompts"):
        conditional.condition(prompts=PROMPTS)
    with pytest.raises(UsageError, match="no prompts"):
        zoo.sample(sd_model, steps=1, prompts=[])


# folders


def test_the_kit_passes_the_architecture() -> None:
    check_architecture(UNet2DCondition(), folders.text_unet())


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"in_channels": 9}, "inpainting"),
        ({"addition_embed_type": "image"}, "a second way"),
        ({"class_embed_type": "projection"}, "class_embed_type"),
        ({"num_class_embeds": 10}, "num_class_embeds"),
        ({"encoder_hid_dim_type": "image_proj"}, "encoder_hid_dim_type"),
        ({"time_cond_proj_dim": 8}, "distilled"),
        ({"cross_attention_dim": [8, 16]}, "one width"),
    ],
)
def test_networks_that_are_told_more_are_refused(config: dict[str, Any], says: str) -> None:
    with pytest.raises(ZooError, match=says):
        UNet2DCondition().facts({"_class_name": "UNet2DConditionModel", "sample_size": 8, **config})


def test_the_native_way_refuses_a_pipeline_with_two_text_encoders_by_its_network(tmp_path: Path, sd: Path) -> None:
    copy = tmp_path / "xl"
    shutil.copytree(sd, copy)
    change(copy / "model_index.json", _class_name="StableDiffusionXLPipeline", text_encoder_2=["transformers", "X"])
    change(copy / "unet" / "config.json", addition_embed_type="text_image")
    (copy / "text_encoder_2").mkdir()
    (copy / "text_encoder_2" / "config.json").write_text("{}")
    with pytest.raises(ZooError, match="StableDiffusionXLPipeline: addition_embed_type 'text_image'"):
        open_model(str(copy), ReadingOptions(hosted=False))


def change(file: Path, **keys: Any) -> None:
    """Change keys of a JSON file."""
    file.write_text(json.dumps({**json.loads(file.read_text()), **keys}))


def _without(part: str) -> Callable[[Path], None]:
    def broken(copy: Path) -> None:
        change(copy / "model_index.json", **{part: [None, None]})
        shutil.rmtree(copy / part)

    return broken


def _text_config(**keys: Any) -> Callable[[Path], None]:
    return lambda copy: change(copy / "text_encoder" / "config.json", **keys)


def _pickle(copy: Path) -> None:
    (copy / "text_encoder" / "model.safetensors").rename(copy / "text_encoder" / "pytorch_model.bin")


def _halved(copy: Path) -> None:
    (copy / "text_encoder" / "model.safetensors").rename(copy / "text_encoder" / "model.fp16.safetensors")


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (_without("text_encoder"), ["told prompts by text_encoder (CLIPTextModel)", "whole pipeline"]),
        (_without("tokenizer"), ["told prompts by tokenizer"]),
        (
            lambda copy: change(copy / "model_index.json", text_encoder=["transformers", "T5EncoderModel"]),
            ["T5EncoderModel", "CLIPTextModel"],
        ),
        (_pickle, ["text_encoder", "pytorch_model.bin is a pickle", "transformers.CLIPTextModel.from_pretrained"]),
        (_halved, ["text_encoder holds the weights model.fp16.safetensors: take --variant fp16"]),
        (_text_config(hidden_size=32), ["text_encoder", "weights do not fit config.json"]),
        (_text_config(num_hidden_layers=3), ["text_encoder", "weights do not fit config.json"]),
        (_text_config(vocab_size=10**9), ["text_encoder", "weights do not fit config.json"]),
        (_text_config(_attn_implementation="owner/kernel"), ["_attn_implementation", "no code of a folder is run"]),
        (_text_config(auto_map={"AutoModel": "code.Model"}), None),
        (lambda copy: (copy / "tokenizer" / "tokenizer.json").write_text("{"), ["tokenizer"]),
        (
            lambda copy: change(copy / "tokenizer" / "tokenizer_config.json", model_max_length="77"),
            ["model_max_length"],
        ),
        (lambda copy: (copy / "tokenizer" / "tokenizer.json").unlink(), ["tokenizer"]),
    ],
)
def test_what_a_folder_lacks_is_one_line(
    tmp_path: Path, sd: Path, broken: Callable[[Path], object], says: list[str] | None
) -> None:
    shutil.copytree(sd, tmp_path / "copy")
    broken(tmp_path / "copy")
    if says is None:
        loaded(tmp_path / "copy")
        return
    with pytest.raises(ZooError) as told:
        loaded(tmp_path / "copy")
    assert "\n" not in str(told.value)
    for each in says:
        assert each in str(told.value)


def test_the_pipeline_without_prompts_is_not_for_it(sd: Path) -> None:
    with pytest.raises(UsageError, match="makes images of prompts"):
        zoo.SamplerPipeline.from_pretrained(sd)


def test_the_network_alone_is_not_enough(sd: Path) -> None:
    with pytest.raises(ZooError, match="told prompts by text_encoder"):
        zoo.load(sd / "unet", scheduler=str(sd / "scheduler"))


def test_parts_without_an_index(tmp_path: Path, sd: Path, sd_model: Model) -> None:
    shutil.copytree(sd, tmp_path / "copy")
    (tmp_path / "copy" / "model_index.json").unlink()
    found, expected = (
        zoo.sample(each, steps=2, prompts=PROMPTS).images for each in (loaded(tmp_path / "copy"), sd_model)
    )
    assert off(found, expected) == 0


def test_the_names_that_older_versions_saved(tmp_path: Path, sd: Path, sd_model: Model) -> None:
    """Hub folders of Stable Diffusion have these: text_model. before each weight, vocab.json and merges.txt."""
    shutil.copytree(sd, tmp_path / "copy")
    weights, tokenizer = tmp_path / "copy" / "text_encoder" / "model.safetensors", tmp_path / "copy" / "tokenizer"
    old = {f"text_model.{name}": value.clone() for name, value in load_file(weights).items()}
    save_file({**old, "text_model.embeddings.position_ids": torch.arange(77)[None]}, weights, {"format": "pt"})
    saved = json.loads((tokenizer / "tokenizer.json").read_text())
    (tokenizer / "vocab.json").write_text(json.dumps(saved["model"]["vocab"]))
    (tokenizer / "merges.txt").write_text("#version: 0.2\n")
    (tokenizer / "tokenizer.json").unlink()
    found, expected = (
        zoo.sample(each, steps=2, prompts=PROMPTS).images for each in (loaded(tmp_path / "copy"), sd_model)
    )
    assert off(found, expected) == 0
    _halved(tmp_path / "copy")
    half = zoo.load(tmp_path / "copy", device="cpu", dtype="float32", variant="fp16")
    assert off(zoo.sample(half, steps=2, prompts=PROMPTS).images, expected) == 0


def test_a_safety_checker_is_not_run_and_it_is_said(tmp_path: Path, sd: Path) -> None:
    copy = tmp_path / "checked"
    shutil.copytree(sd, copy)
    change(copy / "model_index.json", safety_checker=["stable_diffusion", "StableDiffusionSafetyChecker"])
    (copy / "safety_checker").mkdir()
    (copy / "safety_checker" / "config.json").write_text('{"architectures": ["StableDiffusionSafetyChecker"]}')
    found = open_model(str(copy))
    assert "safety_checker (StableDiffusionSafetyChecker) is not run" in found.guesses
    assert found.fingerprint == open_model(str(sd)).fingerprint


def test_the_text_encoder_is_part_of_the_fingerprint(tmp_path: Path, sd: Path) -> None:
    known = open_model(str(sd)).fingerprint
    for part, file in (("tokenizer", "tokenizer.json"), ("text_encoder", "model.safetensors")):
        shutil.copytree(sd, tmp_path / part)
        with (tmp_path / part / part / file).open("ab") as content:
            content.write(b" ")
        assert open_model(str(tmp_path / part)).fingerprint != known
