"""The samplers as a pipeline of diffusers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMPipeline,
    DDPMScheduler,
    FlowMatchEulerDiscreteScheduler,
    ImagePipelineOutput,
    UNet2DModel,
)

import samplerzoo as zoo
from samplerzoo.core.noise import Noise
from samplerzoo.errors import UsageError
from samplerzoo.hosting.pipeline import SamplerPipeline, seed_of
from samplerzoo.images import to_uint8
from samplerzoo.models.load import ModelFolder


@pytest.fixture
def plain(tmp_path: Path, tiny_unet: Any) -> Path:
    """As diffusers itself saves it; with so little noise that an untrained network leaves most of an image in range."""
    scheduler = DDPMScheduler(num_train_timesteps=20, clip_sample=False)
    DDPMPipeline(tiny_unet(), scheduler).save_pretrained(tmp_path / "plain")
    return tmp_path / "plain"


IN_RANGE = {"clip_x0": "dynamic"}
"""An untrained network's images are all black and white otherwise, and any two are alike."""


def quiet(folder: Path | str) -> SamplerPipeline:
    pipeline = SamplerPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_images_are_those_of_sample(tiny_model: Path) -> None:
    pipeline = quiet(tiny_model)
    how: dict[str, Any] = {"sampler": "ddim", "eta": 0.5, "guidance": "cfg", "guidance_scale": 2.0, **IN_RANGE}
    out = pipeline(class_labels=[2, 0], num_inference_steps=4, generator=seeded(5), output_type="pt", **how)
    there = zoo.sample(zoo.load(tiny_model, device="cpu"), steps=4, labels=[2, 0], seed=5, batch_size=2, **how)
    assert isinstance(out, ImagePipelineOutput)
    assert torch.equal(out.images, (there.images / 2 + 0.5).clamp(0, 1))
    pictures = pipeline(class_labels=[2, 0], num_inference_steps=4, generator=seeded(5), **how).images
    assert [picture.size for picture in pictures] == [(8, 8), (8, 8)]
    assert np.array_equal(np.stack(pictures), to_uint8(there.images)[..., 0])
    (array,) = pipeline(3, seeded(5), 4, "np", return_dict=False)
    assert array.shape == (3, 8, 8, 1)


def test_a_folder_of_plain_diffusers(plain: Path) -> None:
    """And DDIM on leading spacing is what diffusers makes of the same x_T."""
    pipeline = quiet(plain)
    out = pipeline(batch_size=2, num_inference_steps=5, spacing="leading", generator=seeded(0), output_type="pt").images
    scheduler = DDIMScheduler(num_train_timesteps=20, clip_sample=False)
    scheduler.set_timesteps(5)
    x = Noise(0, [0, 1], (1, 8, 8))()
    for t in scheduler.timesteps:
        with torch.no_grad():
            x = scheduler.step(pipeline.unet(x, t).sample, t, x).prev_sample
    assert (x.abs() < 1).float().mean() > 0.5
    torch.testing.assert_close(out, (x / 2 + 0.5).clamp(0, 1), rtol=0, atol=1e-5)


def test_the_embedded_model() -> None:
    pipeline = quiet("mnist")
    out = pipeline(class_labels=7, num_inference_steps=2, generator=seeded(0), guidance="cfg", guidance_scale=2.0)
    assert [(picture.size, picture.mode) for picture in out.images] == [((28, 28), "L")]
    assert {name for name, part in pipeline.components.items() if part is not None} == {"unet", "scheduler"}


def test_saved_and_loaded_by_both(tiny_model: Path, tmp_path: Path) -> None:
    (tiny_model / "classifier").mkdir()
    (tiny_model / "classifier" / "model.safetensors").touch()
    (tiny_model / "classifier" / "config.json").write_text('{"id2label": {"0": "a", "1": "b", "2": "c"}}')
    first = quiet(tiny_model)
    first.save_pretrained(tmp_path / "again")
    again = quiet(tmp_path / "again")
    images = [
        each(
            class_labels=[1], num_inference_steps=2, generator=seeded(1), output_type="pt", guidance="cfg", **IN_RANGE
        ).images
        for each in (first, again)
    ]
    assert torch.equal(*images)
    assert isinstance(DDPMPipeline.from_pretrained(tmp_path / "again").unet, UNet2DModel)
    model = ModelFolder.open(tmp_path / "again").stub
    assert (model.num_classes, model.null_label, model.classifier_classes) == (3, 3, 3)


def test_parts_and_changes_of_them(tiny_unet: Any) -> None:
    """Made of parts, as any pipeline of diffusers; another scheduler brings other betas."""
    unet = tiny_unet(num_class_embeds=4)
    pipeline = SamplerPipeline(unet, DDPMScheduler(clip_sample=False), null_label=3)
    pipeline.set_progress_bar_config(disable=True)
    how: dict[str, Any] = {
        "class_labels": [1],
        "num_inference_steps": 3,
        "output_type": "pt",
        "guidance": "cfg",
        **IN_RANGE,
    }
    one = pipeline(generator=seeded(0), guidance_scale=1.5, **how).images
    pipeline.scheduler = DDPMScheduler(clip_sample=False, beta_schedule="squaredcos_cap_v2")
    assert not torch.equal(one, pipeline(generator=seeded(0), guidance_scale=1.5, **how).images)
    assert pipeline.to(torch.float64).dtype == torch.float64
    with pytest.raises(UsageError, match="has no option 'etaa'"):
        pipeline(etaa=1.0)
    with pytest.raises(UsageError, match="output_type is pil, np or pt, not 'latent'"):
        pipeline(output_type="latent")


def test_a_generator_gives_the_seed() -> None:
    generator = seeded(5)
    first, second = seed_of(generator), seed_of(generator)
    assert first == 5
    assert second != first
    again = seeded(5)
    assert [seed_of(again), seed_of(again)] == [first, second]
    torch.manual_seed(11)
    assert seed_of(None) == 11
    assert seed_of(None) != 11
    assert seed_of(seeded(2**64 - 1)) == 2**64 - 1


def test_generators_of_one_image_each(tiny_model: Path) -> None:
    """As in diffusers: an image is that of its generator, whatever the others are."""
    pipeline = quiet(tiny_model)

    def images(generator: Any, **options: Any) -> torch.Tensor:
        return pipeline(
            generator=generator, num_inference_steps=3, output_type="pt", eta=1.0, **IN_RANGE, **options
        ).images

    together = images([seeded(1), seeded(2), seeded(3)], class_labels=[0, 1, 2])
    alone = [images(seeded(seed), class_labels=[seed - 1]) for seed in (1, 2, 3)]
    assert torch.equal(together, torch.cat(alone))
    assert torch.equal(images([seeded(1), seeded(2), seeded(3)]), together)  # balanced, which is 0, 1, 2
    twice = seeded(4)
    assert not torch.equal(images(twice, class_labels=[1]), images(twice, class_labels=[1]))


def test_how_many_images(plain: Path, tiny_model: Path) -> None:
    assert len(quiet(plain)(num_inference_steps=1).images) == 1
    conditional = quiet(tiny_model)
    assert len(conditional(num_inference_steps=1, class_labels=[0, 1]).images) == 2
    assert len(conditional(num_inference_steps=1, class_labels=torch.tensor([2]), batch_size=3).images) == 3
    assert len(conditional(num_inference_steps=1, class_labels="0-2", batch_size=2).images) == 2
    with pytest.raises(UsageError, match="batch_size: 2, class_labels: 3"):
        conditional(batch_size=2, class_labels=[0, 1, 2])
    with pytest.raises(UsageError, match="batch_size: 3, generators: 2"):
        conditional(batch_size=3, generator=[seeded(0), seeded(1)])


def test_callback_and_progress(plain: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pipeline = SamplerPipeline.from_pretrained(plain)
    capsys.readouterr()
    told: list[tuple[int, float]] = []

    def callback(pipe: Any, step: int, timestep: float, given: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        assert pipe is pipeline
        assert given["latents"].shape == (2, 1, 8, 8)
        told.append((step, timestep))
        return given

    pipeline(2, num_inference_steps=4, callback_on_step_end=callback)
    assert told == [(0, 19), (1, 14), (2, 9), (3, 4)]
    assert "4/4" in capsys.readouterr().err
    with pytest.raises(UsageError, match="can look, and not change"):
        pipeline(num_inference_steps=2, callback_on_step_end=lambda *_: {"latents": torch.zeros(1)})


def test_schedulers_of_diffusers_too(plain: Path) -> None:
    out = quiet(plain)(sampler="diffusers:UniPCMultistepScheduler", solver_order=3, num_inference_steps=4)
    assert len(out.images) == 1


def test_parts_of_other_names_are_loaded_by_what_they_are(tmp_path: Path) -> None:
    """Or an index that is not there, or that names parts as its author liked."""
    import folders

    folder = folders.ldm(tmp_path / "m")
    how: dict[str, Any] = {"num_inference_steps": 2, "output_type": "pt", "sampler": "ddim"}
    expected = quiet(folder)(generator=seeded(0), **how).images
    index = json.loads((folder / "model_index.json").read_text())
    index["denoiser"], index["decoder"] = index.pop("unet"), index.pop("vqvae")
    (folder / "model_index.json").write_text(json.dumps(index))
    (folder / "unet").rename(folder / "denoiser")
    (folder / "vqvae").rename(folder / "decoder")
    assert torch.equal(quiet(folder)(generator=seeded(0), **how).images, expected)
    (folder / "model_index.json").unlink()
    assert torch.equal(quiet(folder)(generator=seeded(0), **how).images, expected)
    assert SamplerPipeline.from_pretrained(folder, torch_dtype=torch.bfloat16).dtype == torch.bfloat16
    with pytest.raises(UsageError, match="takes no safety_checker: torch_dtype and variant alone"):
        SamplerPipeline.from_pretrained(folder, safety_checker=None)


def test_a_note_is_said_of_each_folder(tmp_path: Path, tiny_unet: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """The grid of a flow's scheduler ends in a long step, in both folders."""
    for name in ("one", "other"):
        DDPMPipeline(tiny_unet(), FlowMatchEulerDiscreteScheduler()).save_pretrained(tmp_path / name)
        quiet(tmp_path / name)(sampler="unipc", num_inference_steps=5)
        assert f"{tmp_path / name}: the grid of its scheduler ends" in capsys.readouterr().err
