"""Model folders as people keep them: each is recognized, or refused in one line with its name and a way out."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import folders
import pytest
import torch
from safetensors.torch import load_file, save_file

import samplerzoo as zoo
from samplerzoo.cli import main
from samplerzoo.core.paths import VP
from samplerzoo.data.class_names import apart
from samplerzoo.data.image_sets import load_images
from samplerzoo.data.options import DataOptions
from samplerzoo.models.load import ModelFolder
from samplerzoo.models.options import ReadingOptions
from samplerzoo.models.parts import read_parts


def scheduled(folder: Path, scheduler: Any) -> Path:
    """Put a network and this scheduler's config into a folder, without an index."""
    folders.ddpm(folder)
    (folder / "model_index.json").unlink()
    shutil.rmtree(folder / "scheduler")
    scheduler.save_pretrained(folder / "scheduler")
    return folder


def images(folder: Path, **options: Any) -> torch.Tensor:
    model = zoo.load(folder, device="cpu", dtype="float32", **options)
    labels = None if model.num_classes is None else [0, 1]
    sampler = "ddim" if model.averages else "consistency"
    return zoo.sample(model, sampler, steps=3, num_images=2, labels=labels, clip_x0="off").images


# -- A: what a folder is taken for

REFUSED: dict[str, Callable[[], Any]] = {
    "IPNDMScheduler": diffusers.IPNDMScheduler,
    "TCDScheduler": diffusers.TCDScheduler,
    "FlowMatchLCMScheduler": diffusers.FlowMatchLCMScheduler,
    "UnCLIPScheduler": diffusers.UnCLIPScheduler,
    "CogVideoXDDIMScheduler": diffusers.CogVideoXDDIMScheduler,
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_scheduler_that_nobody_reads_is_named(tmp_path: Path, name: str) -> None:
    folder = scheduled(tmp_path / "m", REFUSED[name]())
    with pytest.raises(zoo.ZooError, match=rf"no architecture reads scheduler \({name}\)"):
        ModelFolder.open(folder)


def test_a_pipeline_with_other_parts_is_named_as_a_whole(tmp_path: Path) -> None:
    folder = folders.ddpm(tmp_path / "m")
    index = json.loads((folder / "model_index.json").read_text())
    index |= {"_class_name": "StableDiffusionPipeline", "text_encoder": ["transformers", "CLIPTextModel"],
              "safety_checker": [None, None]}  # fmt: skip
    (folder / "model_index.json").write_text(json.dumps(index))
    (folder / "text_encoder").mkdir()
    (folder / "text_encoder" / "config.json").write_text('{"architectures": ["CLIPTextModel"]}')
    with pytest.raises(zoo.ZooError, match=r"is a StableDiffusionPipeline of .*no architecture reads text_encoder"):
        ModelFolder.open(folder)


def test_a_part_beside_network_and_scheduler_is_not_passed_over(tmp_path: Path) -> None:
    """Without an index, too: a folder with a VQ model makes pictures by it."""
    folder = folders.ldm(tmp_path / "m")
    with_index = images(folder)
    (folder / "model_index.json").unlink()
    assert torch.equal(images(folder), with_index)
    assert ModelFolder.open(folder).stub.image_shape == (3, 16, 16)
    shutil.copytree(folder / "vqvae", folder / "other")
    with pytest.raises(zoo.ZooError, match="one network, one scheduler and one autoencoder"):
        ModelFolder.open(folder)


def test_a_part_that_the_index_names_and_is_not_there_is_missed(tmp_path: Path) -> None:
    folder = folders.ldm(tmp_path / "m")
    shutil.rmtree(folder / "vqvae")
    with pytest.raises(zoo.ZooError, match=r"names vqvae \(VQModel\), and there is no such folder"):
        ModelFolder.open(folder)


def test_an_autoencoder_of_other_latents_is_refused(tmp_path: Path) -> None:
    folder, other = folders.ldm(tmp_path / "m"), folders.dit(tmp_path / "dit")
    shutil.rmtree(folder / "vqvae")
    shutil.copytree(other / "vae", folder / "vae")
    (folder / "model_index.json").unlink()
    with pytest.raises(zoo.ZooError, match=r"4 latent channels, and the network in .* has 3"):
        ModelFolder.open(folder)


@pytest.mark.parametrize(
    ("scheduler", "reason"),
    [
        (diffusers.FlowMatchEulerDiscreteScheduler(invert_sigmas=True), "invert_sigmas"),
        (diffusers.ScoreSdeVeScheduler(), "whether its output is the score or the noise"),
        (diffusers.DDPMScheduler(variance_type="learned"), "variance_type 'learned' means different things"),
        (diffusers.DDPMScheduler(variance_type="learned_range"), "no output for a variance"),
        (diffusers.UniPCMultistepScheduler(use_flow_sigmas=True), "use_flow_sigmas with prediction_type 'epsilon'"),
        (diffusers.UniPCMultistepScheduler(prediction_type="flow_prediction"), "prediction_type 'flow_prediction'"),
        (diffusers.EDMEulerScheduler(sigma_min=3.0, sigma_max=2.0), "0 < sigma_min < sigma_max"),
        (diffusers.EDMEulerScheduler(sigma_max=1e308), "sigma_max: Input should be less than or equal to"),
        (diffusers.EDMEulerScheduler(sigma_data=1e200), "sigma_data: Input should be less than or equal to"),
        (
            diffusers.FlowMatchEulerDiscreteScheduler(shift=1e300),
            r"shift: the shift of its grid is 1e\+300",
        ),
        (
            diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, base_shift=800, max_shift=900),
            "base_shift and max_shift: the shift of its grid is",
        ),
        (diffusers.DDPMScheduler(trained_betas=[0.1] * 10), "10 trained_betas, and num_train_timesteps is 1000"),
    ],
)
def test_a_config_that_cannot_be_honoured_is_refused_by_its_key(tmp_path: Path, scheduler: Any, reason: str) -> None:
    folder = scheduled(tmp_path / "m", scheduler)
    with pytest.raises(zoo.ZooError, match=reason) as raised:
        ModelFolder.open(folder)
    assert "\n" not in str(raised.value)
    assert str(folder / "scheduler") in str(raised.value)


@pytest.mark.parametrize(
    "scheduler",
    [
        diffusers.DDPMScheduler(beta_schedule="laplace"),
        diffusers.HeunDiscreteScheduler(beta_schedule="exp"),
        diffusers.DDPMScheduler(beta_schedule="sigmoid"),
        diffusers.KDPM2DiscreteScheduler(),
    ],
)
def test_betas_are_diffusers_own(tmp_path: Path, scheduler: Any) -> None:
    schedule = ModelFolder.open(scheduled(tmp_path / "m", scheduler)).stub.schedule
    assert isinstance(schedule, VP)
    torch.testing.assert_close(torch.from_numpy(schedule.alphas[1:] ** 2).float(), scheduler.alphas_cumprod, rtol=1e-3,
                               atol=1e-6)  # fmt: skip


def test_betas_that_a_config_leaves_out_are_those_of_its_class(tmp_path: Path) -> None:
    folder = scheduled(tmp_path / "m", diffusers.HeunDiscreteScheduler())
    before = ModelFolder.open(folder).stub.schedule.at(1000)
    file = folder / "scheduler" / "scheduler_config.json"
    config = {
        key: value for key, value in json.loads(file.read_text()).items() if key not in ("beta_start", "beta_end")
    }
    file.write_text(json.dumps(config))
    assert ModelFolder.open(folder).stub.schedule.at(1000) == before


@pytest.mark.parametrize(
    ("most", "clip"), [(1.0, "static:1.0"), (1.5, "dynamic:0.995:1.5"), (1e6, "dynamic:0.995:1000000.0")]
)
def test_thresholding_is_bounded_by_sample_max_value(tmp_path: Path, most: float, clip: str) -> None:
    folder = folders.ddpm(tmp_path / "m", scheduler_class="DDIMScheduler", thresholding=True, clip_sample=False,
                          sample_max_value=most)  # fmt: skip
    model = zoo.load(folder, device="cpu", dtype="float32")
    assert str(model.clip) == clip
    scheduler = diffusers.DDIMScheduler.from_pretrained(folder, subfolder="scheduler")
    x = 4 * torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    level = model.schedule.at(400)
    p = zoo.Prediction.of(zoo.PARAMETRIZATIONS["sample"], x, level, x)
    torch.testing.assert_close(model.clip(p).x0, scheduler._threshold_sample(x))


def test_a_table_of_times_is_asked_at_whole_timesteps(tmp_path: Path) -> None:
    folder = tmp_path / "m"
    unet = folders._unet(0, time_embedding_type="learned", num_train_timesteps=1000)
    diffusers.DDPMPipeline(unet, diffusers.DDPMScheduler(**folders.MILD, clip_sample=False)).save_pretrained(folder)
    model = zoo.load(folder, device="cpu", dtype="float32")
    assert zoo.sample(model, "heun", steps=4, spacing="karras", num_images=1).images.isfinite().all()
    with torch.no_grad():
        answer = model.denoise(folders.latents(folder), model.schedule.at(801)).eps
    expected = folders.stock_answer(folder, folders.latents(folder), torch.tensor(800))
    torch.testing.assert_close(answer, expected)


@pytest.mark.parametrize("scheduler", [diffusers.FlowMatchEulerDiscreteScheduler(), diffusers.EDMEulerScheduler()])
def test_a_table_of_times_on_a_path_without_timesteps_is_refused(tmp_path: Path, scheduler: Any) -> None:
    folder = tmp_path / "m"
    unet = folders._unet(0, time_embedding_type="learned", num_train_timesteps=1000)
    diffusers.DDPMPipeline(unet, scheduler).save_pretrained(folder)
    with pytest.raises(zoo.ZooError, match="time_embedding_type 'learned'"):
        ModelFolder.open(folder)


def test_a_table_of_fewer_times_than_the_scheduler_has_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "m"
    unet = folders._unet(0, time_embedding_type="learned", num_train_timesteps=100)
    diffusers.DDPMPipeline(unet, diffusers.DDPMScheduler(**folders.MILD)).save_pretrained(folder)
    with pytest.raises(zoo.ZooError, match="1000 timesteps, and the network's table of times has 100 rows"):
        ModelFolder.open(folder)


@pytest.mark.parametrize(("kind", "variance"), [("fixed_small", "small"), ("fixed_large", "large")])
def test_the_variance_of_ddpm_is_that_of_the_model(tmp_path: Path, kind: str, variance: str) -> None:
    folder = folders.ddpm(tmp_path / "m", variance_type=kind)
    model = zoo.load(folder, device="cpu", dtype="float32")
    plan = zoo.make_plan(zoo.Recipe(sampler="ddpm"), model, 1)
    assert plan.sampler.model_dump() == {"variance": variance}
    given = zoo.Recipe(sampler="ddpm", sampler_options={"variance": "small"})
    assert zoo.make_plan(given, model, 1).sampler.model_dump() == {"variance": "small"}


# -- a network by itself


def test_a_bare_network_takes_a_scheduler(tmp_path: Path) -> None:
    folder = folders.flow(tmp_path / "m")
    whole = images(folder)
    bare = folder / "unet"
    with pytest.raises(zoo.ZooError, match=r"without a scheduler.*--scheduler"):
        ModelFolder.open(bare)
    for scheduler in (folder / "scheduler", folder / "scheduler" / "scheduler_config.json", folder):
        assert torch.equal(images(bare, scheduler=str(scheduler)), whole)
    with pytest.raises(zoo.UsageError, match="no such file"):
        ModelFolder.open(bare, ReadingOptions(scheduler="nowhere"))
    with pytest.raises(zoo.UsageError, match="no architecture reads UNet2DModel"):
        ModelFolder.open(bare, ReadingOptions(scheduler=str(bare / "config.json")))


def test_a_size_that_is_left_open_is_given(tmp_path: Path) -> None:
    folder = folders.ddpm(tmp_path / "m")
    whole, file = images(folder), folder / "unet" / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "sample_size": None}))
    with pytest.raises(zoo.ZooError, match=r"sample_size .*--shape 3,HEIGHT,WIDTH"):
        ModelFolder.open(folder)
    assert torch.equal(images(folder, shape=(3, 8, 8)), whole)
    assert images(folder, shape=(3, 16, 12)).shape == (2, 3, 16, 12)
    with pytest.raises(zoo.UsageError, match="3 channels"):
        ModelFolder.open(folder, ReadingOptions(shape=(1, 8, 8)))


def test_a_shape_that_contradicts_the_config_is_refused(tmp_path: Path) -> None:
    folder = folders.ddpm(tmp_path / "m")
    with pytest.raises(zoo.UsageError, match=r"--shape 3,16,16: .* says \(3, 8, 8\)"):
        ModelFolder.open(folder, ReadingOptions(shape=(3, 16, 16)))


# -- B: weights as people keep them


def variant_alone(folder: Path, part: str, variant: str = "fp16") -> None:
    """Leave the weights of a variant alone."""
    plain = folder / part / "diffusion_pytorch_model.safetensors"
    plain.rename(folder / part / f"diffusion_pytorch_model.{variant}.safetensors")


def test_a_variant_is_read_where_it_is_asked_for(tmp_path: Path) -> None:
    folder = folders.ddpm(tmp_path / "m")
    plain = images(folder)
    variant_alone(folder, "unet")
    with pytest.raises(zoo.ZooError, match=r"diffusion_pytorch_model\.fp16\.safetensors: take --variant fp16"):
        zoo.load(folder)
    with pytest.raises(zoo.ZooError, match=r"--variant fp32: .*take --variant fp16"):
        zoo.load(folder, variant="fp32")
    assert torch.equal(images(folder, variant="fp16"), plain)


def test_a_variant_of_the_network_goes_with_the_only_weights_of_the_decoder(tmp_path: Path) -> None:
    folder = folders.dit(tmp_path / "m")
    plain = images(folder)
    variant_alone(folder, "transformer")
    assert torch.equal(images(folder, variant="fp16"), plain)
    with pytest.raises(zoo.ZooError, match="take --variant fp16"):
        zoo.load(folder)


def test_a_variant_that_is_nowhere_is_refused(tmp_path: Path) -> None:
    folder = folders.ddpm(tmp_path / "m")
    with pytest.raises(zoo.ZooError, match=r"--variant fp16: .* alone: leave --variant out"):
        zoo.load(folder, variant="fp16")


@pytest.mark.parametrize("variant", [None, "fp16"])
def test_sharded_weights_are_read(tmp_path: Path, variant: str | None) -> None:
    folder = folders.ddpm(tmp_path / "m")
    plain = images(folder)
    unet = diffusers.UNet2DModel.from_pretrained(folder, subfolder="unet")
    shutil.rmtree(folder / "unet")
    unet.save_pretrained(folder / "unet", max_shard_size="50KB", variant=variant)
    assert len(list((folder / "unet").glob("*.safetensors"))) > 1
    assert torch.equal(images(folder, variant=variant), plain)


def test_a_pickle_is_named_with_a_command_that_converts_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folders.ddpm(tmp_path / "it's me")
    plain = images(folder)
    unet = diffusers.UNet2DModel.from_pretrained(folder, subfolder="unet")
    shutil.rmtree(folder / "unet")
    unet.save_pretrained(folder / "unet", safe_serialization=False)
    with pytest.raises(zoo.ZooError, match=r"diffusion_pytorch_model.bin is a pickle") as raised:
        zoo.load(folder)
    python, flag, code, *words = shlex.split(str(raised.value).split("where you trust it: ")[1])
    assert (python, flag) == ("python", "-c")
    monkeypatch.setattr(sys, "argv", [flag, *words])
    exec(code)  # as python -c does
    assert torch.equal(images(folder), plain)


def test_checkpoints_of_diffusers_trainer_are_read_with_a_scheduler(tmp_path: Path) -> None:
    """Its folders checkpoint-N hold `unet`, and `unet_ema` with the keys of the average in its config."""
    from diffusers.training_utils import EMAModel

    whole = folders.ddpm(tmp_path / "out")
    plain = images(whole)
    checkpoint = tmp_path / "out" / "checkpoint-500"
    shutil.move(whole / "unet", checkpoint / "unet")
    unet = diffusers.UNet2DModel.from_pretrained(checkpoint / "unet")
    ema = EMAModel(unet.parameters(), model_cls=diffusers.UNet2DModel, model_config=unet.config)
    ema.save_pretrained(str(checkpoint / "unet_ema"))
    with pytest.raises(zoo.ZooError, match=r"2 networks, unet and unet_ema: name one of them, as --model .*unet_ema"):
        ModelFolder.open(checkpoint)
    for name in ("unet", "unet_ema"):
        assert torch.equal(images(checkpoint / name, scheduler=str(whole / "scheduler")), plain)


@pytest.mark.parametrize("objective", ["epsilon", "flow", "edm"])
def test_checkpoints_of_our_trainer_are_read(tmp_path: Path, objective: str) -> None:
    """A checkpoint holds weights alone; what they mean is read from the folder that it lies in."""
    out = tmp_path / "out"
    words = "--dataset digits --train-batch-size 16 --max-train-steps 2 --checkpointing-steps 1"
    tiny = "--block-out-channels 8,16 --layers-per-block 1 --attention-levels 0 --eval-images 1 --eval-steps 1"
    asked = ["--objective", objective, "--output-dir", str(out), "--mixed-precision", "no"]
    assert main(["train", *words.split(), *tiny.split(), *asked]) == 0
    first, last = (out / "checkpoints" / name for name in ("checkpoint-0000001", "checkpoint-0000002"))
    assert [ModelFolder.open(it).stub.parametrization.name for it in (out, first)] == [objective] * 2
    assert torch.equal(images(last), images(out))
    assert not torch.equal(images(first), images(out))


def test_the_layout_of_the_first_repositories_is_read(tmp_path: Path) -> None:
    whole = folders.ddpm(tmp_path / "whole", clip_sample=False)
    root = tmp_path / "root"
    shutil.copytree(whole / "unet", root)
    shutil.copy(whole / "scheduler" / "scheduler_config.json", root)
    assert torch.equal(images(root), images(whole))
    config = json.loads((root / "scheduler_config.json").read_text())
    del config["_class_name"], config["_diffusers_version"]  # as in 2022
    (root / "scheduler_config.json").write_text(json.dumps({**config, "tensor_format": "pt"}))
    assert torch.equal(images(root), images(whole))


def test_an_autoencoder_beside_the_first_layout_decodes(tmp_path: Path) -> None:
    """A network in the root is no reason to pass over the folders beside it."""
    whole = folders.ldm(tmp_path / "whole")
    root = tmp_path / "root"
    shutil.copytree(whole / "unet", root)
    shutil.copytree(whole / "scheduler", root / "scheduler")
    shutil.copytree(whole / "vqvae", root / "vqvae")
    assert torch.equal(images(root), images(whole))


def test_a_folder_that_holds_no_module_is_passed_over(tmp_path: Path) -> None:
    folder = folders.ddpm(tmp_path / "m")
    before = images(folder)
    (folder / "model_index.json").unlink()
    (folder / "logs").mkdir()
    (folder / "logs" / "config.json").write_text('{"learning_rate": 0.1}')
    assert torch.equal(images(folder), before)


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"vqvae": "VQModel"}, r"vqvae is 'VQModel'; write the pair"),
        ({"vqvae": ["VQModel"]}, r"vqvae is \['VQModel'\]"),
        ({"../elsewhere": ["diffusers", "VQModel"]}, "no name of a part"),
    ],
)
def test_an_index_that_names_a_part_wrongly_is_refused(tmp_path: Path, entry: dict[str, Any], reason: str) -> None:
    folder = folders.ldm(tmp_path / "m")
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**index, **entry}))
    with pytest.raises(zoo.ZooError, match=reason):
        ModelFolder.open(folder)


def test_a_network_that_does_not_fit_is_named_with_its_pipeline(tmp_path: Path) -> None:
    """As LDMSuperResolutionPipeline, whose network also takes the small picture."""
    folder = folders.ldm(tmp_path / "m")
    index = json.loads((folder / "model_index.json").read_text())
    index["_class_name"] = "LDMSuperResolutionPipeline"
    (folder / "model_index.json").write_text(json.dumps(index))
    config = json.loads((folder / "unet" / "config.json").read_text())
    (folder / "unet" / "config.json").write_text(json.dumps({**config, "in_channels": 6}))
    with pytest.raises(zoo.ZooError, match="unet of a LDMSuperResolutionPipeline: out_channels is 3; for 6"):
        ModelFolder.open(folder)


# -- C: null labels of others


def test_a_null_label_of_others_is_named(tmp_path: Path) -> None:
    folder = folders.ddpm(tmp_path / "m", classes=11)
    opened = ModelFolder.open(folder)
    assert (opened.stub.num_classes, opened.stub.null_label) == (11, None)
    assert any("--null-label 10" in guess for guess in opened.guesses)
    with pytest.raises(zoo.UsageError, match=r"cfg needs a null label.*by --null-label: `samplerzoo info`"):
        zoo.sample(zoo.load(folder), "ddim", guidance="cfg", guidance_scale=2.0, steps=2, num_images=1)
    told = zoo.load(folder, null_label=10, device="cpu")
    assert (told.num_classes, told.null_label) == (10, 10)
    assert zoo.sample(told, "ddim", guidance="cfg", guidance_scale=2.0, steps=2, num_images=11).labels == [
        *range(10),
        0,
    ]
    assert ModelFolder.open(folder, ReadingOptions(null_label=10)).guesses == ()


@pytest.mark.parametrize(("label", "reason"), [(11, "11 rows, 0 to 10"), (3, "lies among the classes 0 to 9")])
def test_a_null_label_that_cannot_be_is_refused(tmp_path: Path, label: int, reason: str) -> None:
    folder = folders.ddpm(tmp_path / "m", classes=11)
    with pytest.raises(zoo.UsageError, match=reason):
        ModelFolder.open(folder, ReadingOptions(null_label=label))


def test_a_null_label_of_an_unconditional_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(zoo.UsageError, match=r"--null-label 10: .* is unconditional"):
        ModelFolder.open(folders.ddpm(tmp_path / "m"), ReadingOptions(null_label=10))


@pytest.mark.parametrize(
    ("file", "said"), [("run.json", "images that `samplerzoo run`"), ("results.jsonl", "`samplerzoo report '{}'`")]
)
def test_a_folder_of_our_own_that_is_no_model_is_known(tmp_path: Path, file: str, said: str) -> None:
    folder = tmp_path / "of mine"
    folder.mkdir()
    (folder / file).touch()
    with pytest.raises(zoo.ZooError, match="is no model folder: it holds ") as caught:
        zoo.load(folder)
    assert said.format(folder) in str(caught.value)


def test_the_exact_gaussian_is_a_model_of_bench_alone() -> None:
    with pytest.raises(zoo.UsageError, match="is for `samplerzoo bench --model gaussian:ve`"):
        zoo.load("gaussian:ve")


def test_the_parts_of_a_folder_are_listed(tmp_path: Path) -> None:
    parts = read_parts(folders.dit(tmp_path / "m"))
    assert parts.pipeline == "DiTPipeline"
    assert [str(part) for part in parts] == [
        "transformer (DiTTransformer2DModel)", "scheduler (DDIMScheduler)", "vae (AutoencoderKL)",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("learned", "scheduler", "said"),
    [(True, {}, True), (False, {}, False), (True, {"variance_type": "learned_range"}, False)],
)
def test_twice_the_channels_are_said_to_be_taken_for_a_learned_variance(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], learned: bool, scheduler: dict[str, str], said: bool
) -> None:
    """In the facts of the model, and once where its weights are read."""
    folder = folders.dit(tmp_path / "m", learned_variance=learned, scheduler_class="DDPMScheduler", **scheduler)
    opened = ModelFolder.open(folder)
    assert not capsys.readouterr().err
    assert any("taken for a learned variance" in guess for guess in opened.guesses) == said
    for _ in range(2):
        zoo.load(folder, device="cpu")
    told = "its network gives twice as many channels as it takes: the second half is taken"
    assert capsys.readouterr().err.count(f"samplerzoo: {folder}: {told}") == said


@pytest.mark.parametrize(("names", "null_label"), [(10, None), (11, None), (10, 10)])
def test_class_names_say_how_many_classes_there_are(tmp_path: Path, names: int, null_label: int | None) -> None:
    folder = folders.ddpm(tmp_path / "m", classes=11)
    info = {"class_names": [str(name) for name in range(names)], "null_label": null_label}
    (folder / "samplerzoo.json").write_text(json.dumps(info))
    opened = ModelFolder.open(folder)
    assert (opened.stub.num_classes, opened.stub.null_label) == (names, null_label)
    assert any("--null-label 10" in guess for guess in opened.guesses) == (names == 10 and null_label is None)


@pytest.mark.parametrize(("names", "null_label"), [(2, 10), (11, 10), (9, None), (12, None)])
def test_class_names_that_do_not_fit_the_table_are_refused(tmp_path: Path, names: int, null_label: int | None) -> None:
    folder = folders.ddpm(tmp_path / "m", classes=11)
    info = {"class_names": [str(name) for name in range(names)], "null_label": null_label}
    (folder / "samplerzoo.json").write_text(json.dumps(info))
    with pytest.raises(zoo.ZooError, match=rf"samplerzoo.json: {names} class_names, and the network's table"):
        ModelFolder.open(folder)


def test_a_pickle_of_another_form_gets_no_command_that_would_fail(tmp_path: Path) -> None:
    folder = folders.ddpm(tmp_path / "m")
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(folder / "unet" / "model.ckpt")
    with pytest.raises(zoo.ZooError, match=r"model\.ckpt is a pickle.*not in the form of diffusers") as raised:
        zoo.load(folder)
    assert "python -c" not in str(raised.value)


def index(folder: Path, **keys: Any) -> None:
    path = folder / "model_index.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **keys}))


def test_names_that_end_in_numbers_are_kept_apart() -> None:
    assert apart(["a", "b"]) == ("a", "b")
    assert apart(["crane", "dog", "crane"]) == ("crane (0)", "dog", "crane (2)")
    names = apart(["crane", "crane (0)", "crane"])
    assert len({*names}) == 3
    assert names[2] == "crane (2)"


def test_class_names_of_a_pipelines_index_are_read(tmp_path: Path) -> None:
    names = ["tench, Tinca tinca", "crane", "dog", "crane"]
    index(folder := folders.dit(tmp_path, classes=4), id2label={str(k): name for k, name in enumerate(names)})
    model = zoo.load(folder, device="cpu", dtype="float32")
    assert model.class_names == ("tench, Tinca tinca", "crane (1)", "dog", "crane (3)")
    drawn = zoo.sample(model, "ddim", labels="dog,tench, Tinca tinca,crane (3)", num_images=3, steps=1)
    assert drawn.labels == [2, 0, 3]
    with pytest.raises(
        zoo.UsageError,
        match=r"the classes crane \(1\) and crane \(3\) have the same name 'crane': give one of them",
    ):
        zoo.sample(model, "ddim", labels="crane", num_images=1, steps=1)
    (folder / "samplerzoo.json").write_text(json.dumps({"class_names": ["a", "b", "c", "d"]}))
    assert ModelFolder.open(folder).stub.class_names == ("a", "b", "c", "d")


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ({"0": "cat"}, "id2label has 1 names, and .* 4 classes; class_names in .*samplerzoo.json go before it"),
        ({"0": "cat", "2": "dog"}, "id2label: its keys have to be the numbers of 2 classes"),
        (["cat"], "id2label: Input should be a valid dictionary"),
    ],
)
def test_names_of_an_index_that_cannot_be_are_refused(tmp_path: Path, labels: Any, said: str) -> None:
    index(folder := folders.dit(tmp_path, classes=4), id2label=labels)
    with pytest.raises(zoo.ZooError, match=f"model_index.json: {said}"):
        ModelFolder.open(folder)


def test_two_classes_of_one_name_stay_apart_where_pictures_are_read_again(tmp_path: Path) -> None:
    index(folder := folders.dit(tmp_path / "m", classes=3), id2label={"0": "crane", "1": "cat", "2": "crane"})
    run = ["run", "--model", str(folder), "--sampler", "ddim", "--steps", "1", "--num-images", "3"]
    assert main([*run, "-o", str(tmp_path / "run")]) == 0
    record = tmp_path / "run" / "run.json"
    for names in (["crane (0)", "cat", "crane (2)"], ["crane", "cat", "crane"]):  # the latter as of an older version
        record.write_text(json.dumps({**json.loads(record.read_text()), "class_names": names}))
        data = load_images(DataOptions(dataset=str(tmp_path / "run")))
        assert data.class_names == ("crane (0)", "cat", "crane (2)")
        assert data.labels.tolist() == [0, 1, 2]


def test_a_scheduler_is_of_the_class_that_the_index_names_as_for_diffusers(tmp_path: Path) -> None:
    folder = folders.ddpm(tmp_path)
    assert ModelFolder.open(folder).stub.schedule.kind == "VP"
    index(folder, scheduler=["diffusers", "FlowMatchEulerDiscreteScheduler"])
    assert type(diffusers.DDPMPipeline.from_pretrained(folder).scheduler).__name__ == "FlowMatchEulerDiscreteScheduler"
    opened = ModelFolder.open(folder)
    assert (opened.stub.schedule.kind, opened.stub.parametrization.name) == ("flow", "flow")
    index(folder, scheduler=["my_scheduler", "MyScheduler"])  # a class of one's own, whose config tells what it is like
    assert ModelFolder.open(folder).stub.schedule.kind == "VP"
    index(folder, scheduler=["diffusers", "KarrasVeScheduler"])
    with pytest.raises(zoo.ZooError, match="KarrasVeScheduler"):
        ModelFolder.open(folder)


POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:aaa\nsize 4\n"
WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.mark.parametrize(
    "file",
    ["model_index.json", "samplerzoo.json", "unet/config.json", f"unet/{WEIGHTS}", "scheduler/scheduler_config.json"],
)
def test_what_git_lfs_has_not_fetched_is_named(tmp_path: Path, file: str) -> None:
    (folders.ddpm(tmp_path) / file).write_text(POINTER)
    with pytest.raises(zoo.ZooError, match=rf"{file}: git-lfs has not fetched it: run `git lfs pull`"):
        zoo.load(tmp_path, device="cpu")


@pytest.mark.parametrize(
    "file",
    ["text_encoder/model.safetensors", "text_encoder/config.json", "tokenizer/vocab.json", "tokenizer/merges.txt"],
)
def test_parts_of_text_that_git_lfs_has_not_fetched_are_named(tmp_path: Path, sd: Path, file: str) -> None:
    shutil.copytree(sd, tmp_path / "sd")
    (tmp_path / "sd" / file).write_text(POINTER)
    with pytest.raises(zoo.ZooError, match=rf"{file}: git-lfs has not fetched it: run `git lfs pull`"):
        zoo.load(tmp_path / "sd", device="cpu", hosted=False)


@pytest.mark.parametrize("size", [0, 4, 2000, -1])
def test_weights_that_are_cut_short_are_named(tmp_path: Path, size: int) -> None:
    file = folders.ddpm(tmp_path) / "unet" / WEIGHTS
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(zoo.ZooError, match=f"{WEIGHTS}: cannot be read: it is cut short or damaged"):
        zoo.load(tmp_path, device="cpu")


def test_a_mark_that_diffusers_does_not_read_is_named(tmp_path: Path) -> None:
    file = folders.ddpm(tmp_path) / "unet" / "config.json"
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    with pytest.raises(
        zoo.ZooError, match=r"config.json begins with a byte order mark .BOM., which diffusers does not"
    ):
        zoo.load(tmp_path, device="cpu")


@pytest.mark.parametrize("start", ["module.", "_orig_mod.", "module._orig_mod."])
def test_names_of_a_wrapped_network_are_named_with_a_command_that_mends_them(tmp_path: Path, start: str) -> None:
    file = folders.ddpm(tmp_path / "it's me") / "unet" / WEIGHTS
    whole = load_file(file)
    save_file({start + name: value for name, value in whole.items()}, file)
    with pytest.raises(zoo.ZooError, match=f"begin with '{start}', as those of a network in a wrapper") as told:
        zoo.load(tmp_path / "it's me", device="cpu")
    subprocess.run(str(told.value).split("each name: ")[1], shell=True, check=True)
    assert zoo.sample(zoo.load(tmp_path / "it's me"), "ddim", steps=1, num_images=1).images.isfinite().all()


def test_a_flow_of_one_timestep_takes_a_spacing(tmp_path: Path) -> None:
    folder = scheduled(tmp_path, diffusers.FlowMatchEulerDiscreteScheduler(num_train_timesteps=1))
    model = zoo.load(folder, device="cpu", dtype="float32")
    with pytest.raises(zoo.UsageError, match=r"num_train_timesteps of the scheduler is 1, .* give --spacing trailing"):
        zoo.sample(model, "ddim", steps=3, num_images=1)
    assert zoo.sample(model, "ddim", steps=3, num_images=1, spacing="trailing").images.isfinite().all()
