"""Model folders: diffusers' load here, ours load in diffusers, and all others give a one-line error."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from samplerzoo import images
from samplerzoo.core.condition import Condition
from samplerzoo.core.model import Model
from samplerzoo.core.paths import VP
from samplerzoo.core.prediction import Clip
from samplerzoo.core.schedule import Schedule
from samplerzoo.errors import UsageError, ZooError
from samplerzoo.models.configs import ModelInfo
from samplerzoo.models.load import ModelFolder, load, save_model
from samplerzoo.sampling.sample import sample

MakeUNet = Callable[..., Any]


def load_float32(folder: Path) -> Model:
    return load(folder, device="cpu", dtype="float32")


def same_as_the_network(model: Model, unet: Any, labels: torch.Tensor | None = None) -> bool:
    x = torch.linspace(-1, 1, 2 * 64).reshape(2, 1, 8, 8)
    with torch.no_grad():
        theirs = unet(x, torch.tensor([41, 41]), class_labels=labels).sample
        return torch.equal(model.net(x, torch.full((2,), 41.0), model.condition(labels)), theirs)


# -- from diffusers


@pytest.mark.parametrize("pipeline", ["DDPMPipeline", "DDIMPipeline"])
def test_what_a_plain_diffusers_pipeline_saves(tmp_path: Path, tiny_unet: MakeUNet, pipeline: str) -> None:
    import diffusers

    unet, scheduler = tiny_unet(), getattr(diffusers, pipeline.replace("Pipeline", "Scheduler"))(beta_end=0.01)
    getattr(diffusers, pipeline)(unet, scheduler).save_pretrained(tmp_path)
    model = load_float32(tmp_path)
    assert same_as_the_network(model, unet)
    assert (model.shape, model.num_classes, model.null_label, model.classifier) == ((1, 8, 8), None, None, None)
    assert (model.parametrization.name, model.clip) == ("epsilon", Clip("static", 1.0))
    assert isinstance(model.schedule, VP)
    np.testing.assert_allclose(model.schedule.alphas[1:] ** 2, scheduler.alphas_cumprod.double().numpy(), rtol=2e-5)
    result = sample(model, "ddim", steps=3, num_images=2)
    assert result.images.shape == (2, 1, 8, 8)
    assert result.labels is None


def test_class_labels_without_a_null_label(tmp_path: Path, tiny_unet: MakeUNet) -> None:
    """diffusers does not say whether the last class means none: it is taken for a class, and CFG is refused."""
    from diffusers import DDPMPipeline, DDPMScheduler

    unet = tiny_unet(num_class_embeds=5)
    DDPMPipeline(unet, DDPMScheduler()).save_pretrained(tmp_path)
    model = load_float32(tmp_path)
    assert (model.num_classes, model.null_label) == (5, None)
    assert same_as_the_network(model, unet, torch.tensor([4, 0]))
    assert sample(model, steps=1, num_images=6).labels == [0, 1, 2, 3, 4, 0]
    with pytest.raises(UsageError, match="null label"):
        sample(model, steps=1, num_images=1, guidance="cfg")


def test_a_bare_network_with_its_scheduler_beside_it(tmp_path: Path, tiny_unet: MakeUNet) -> None:
    from diffusers import DDPMScheduler

    unet = tiny_unet()
    unet.save_pretrained(tmp_path)
    DDPMScheduler().save_pretrained(tmp_path)
    assert same_as_the_network(load_float32(tmp_path), unet)


def test_v_prediction_and_zero_terminal_snr(tmp_path: Path, tiny_unet: MakeUNet) -> None:
    from diffusers import DDIMPipeline, DDIMScheduler

    scheduler = DDIMScheduler(prediction_type="v_prediction", rescale_betas_zero_snr=True, clip_sample=False)
    DDIMPipeline(tiny_unet(), scheduler).save_pretrained(tmp_path)
    model = load_float32(tmp_path)
    assert (model.parametrization.name, model.clip) == ("v_prediction", Clip("off"))
    assert model.schedule.ends_in_noise
    level = model.schedule.at(42)
    x = torch.linspace(-1, 1, 64).reshape(1, 1, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(
            model.denoise(x, level).v, model.net(x, torch.tensor([41.0]), Condition()), rtol=1e-4, atol=1e-6
        )
    assert sample(model, "ddpm", steps=3, num_images=1).images.isfinite().all()


def test_a_learned_variance(tmp_path: Path, tiny_unet: MakeUNet) -> None:
    from diffusers import DDPMPipeline, DDPMScheduler

    unet = tiny_unet(out_channels=2)
    DDPMPipeline(unet, DDPMScheduler(variance_type="learned_range")).save_pretrained(tmp_path)
    model = load_float32(tmp_path)
    x = torch.linspace(-1, 1, 64).reshape(1, 1, 8, 8)
    with torch.no_grad():
        mean, raw = unet(x, torch.tensor([41])).sample.chunk(2, dim=1)
        p = model.denoise(x, model.schedule.at(42))
    torch.testing.assert_close(p.eps, mean)
    torch.testing.assert_close(p.variance, (raw + 1) / 2)
    for options in ({"variance": "learned"}, {"variance": "small"}):
        assert sample(model, "ddpm", steps=3, num_images=2, **options).images.shape == (2, 1, 8, 8)


@pytest.mark.parametrize(
    ("options", "clip"),
    [
        ({"clip_sample": False}, Clip("off")),
        ({"clip_sample": True, "clip_sample_range": 1.5}, Clip("static", 1.5)),
        ({"thresholding": True, "dynamic_thresholding_ratio": 0.9}, Clip("static", 1.0)),
        ({"thresholding": True, "dynamic_thresholding_ratio": 0.9, "sample_max_value": 1.5}, Clip("dynamic", 0.9, 1.5)),
    ],
)
def test_the_clip_is_the_schedulers(tmp_path: Path, tiny_unet: MakeUNet, options: dict[str, Any], clip: Clip) -> None:
    from diffusers import DDPMPipeline, DDPMScheduler

    DDPMPipeline(tiny_unet(), DDPMScheduler(**options)).save_pretrained(tmp_path)
    assert ModelFolder.open(tmp_path).stub.clip == clip


# -- to diffusers


def test_what_is_saved_here_is_a_pipeline(tmp_path: Path, tiny_unet: MakeUNet) -> None:
    from diffusers import DDPMPipeline, DDPMScheduler

    unet = tiny_unet()
    save_model(tmp_path, unet, DDPMScheduler(beta_end=0.01), ModelInfo(), "# a card\n")
    pipeline = DDPMPipeline.from_pretrained(tmp_path, use_safetensors=True)
    assert pipeline.scheduler.config.beta_end == 0.01
    assert same_as_the_network(load_float32(tmp_path), pipeline.unet)
    pipeline.set_progress_bar_config(disable=True)
    images = pipeline(num_inference_steps=2, output_type="np", generator=torch.Generator().manual_seed(0)).images
    assert images.shape == (1, 8, 8, 1)


def test_what_is_conditional_is_a_unet(tiny_model: Path) -> None:
    from diffusers import DDPMScheduler, UNet2DModel

    unet = UNet2DModel.from_pretrained(tiny_model / "unet", use_safetensors=True)
    assert same_as_the_network(load_float32(tiny_model), unet, torch.tensor([3, 0]))
    assert DDPMScheduler.from_pretrained(tiny_model / "scheduler").config.num_train_timesteps == 1000


def test_a_revision_is_of_the_hub(tiny_model: Path) -> None:
    for name in ("mnist", tiny_model):
        with pytest.raises(UsageError, match=r"--revision is for a model of the hub, and .* lies here: leave it out"):
            load(name, revision="main")


def test_round_trip(tiny_model: Path) -> None:
    model = load_float32(tiny_model)
    assert (model.num_classes, model.null_label, model.class_counts) == (3, 3, (1, 2, 1))
    assert (model.shape, model.clip, model.name) == ((1, 8, 8), Clip("off"), str(tiny_model))
    assert (tiny_model / "README.md").read_text() == "# tiny\n"
    assert sample(model, "ddim", steps=2, labels=[2], guidance="cfg", guidance_scale=2.0).nfe == 4


def test_the_null_label_is_no_class(tiny_model: Path) -> None:
    """Count classes by the network's room for labels, where only the null label is written down."""
    edit(tiny_model / "samplerzoo.json", num_classes=None)
    assert ModelFolder.open(tiny_model).stub.num_classes == 3


def test_weights_are_safetensors_alone(tiny_model: Path) -> None:
    kinds = {path.suffix for path in tiny_model.rglob("*") if path.is_file()}
    assert kinds == {".json", ".safetensors", ".md"}


def test_saving_again_replaces_and_leaves_the_rest(tiny_model: Path, tiny_unet: MakeUNet) -> None:
    from diffusers import DDPMScheduler

    (tiny_model / "loss.png").write_bytes(b"kept")
    info = ModelInfo(num_classes=3, null_label=3, class_names=["a", "b", "c"])
    save_model(tiny_model, tiny_unet(num_class_embeds=4), DDPMScheduler(), info, "# newer\n")
    assert load_float32(tiny_model).class_names == ("a", "b", "c")
    assert (tiny_model / "loss.png").read_bytes() == b"kept"
    assert not list(tiny_model.glob(".*"))


def test_a_save_that_fails_leaves_the_old_model(
    tiny_model: Path, tiny_unet: MakeUNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    from diffusers import DDPMPipeline, DDPMScheduler

    before = ModelFolder.open(tiny_model).fingerprint

    def full(self: object, folder: Path, **_: object) -> None:
        (folder / "unet").mkdir()
        (folder / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(DDPMPipeline, "save_pretrained", full)
    with pytest.raises(OSError, match="No space"):
        save_model(tiny_model, tiny_unet(num_class_embeds=4), DDPMScheduler(), ModelInfo(), "")
    assert ModelFolder.open(tiny_model).fingerprint == before
    assert load_float32(tiny_model).num_classes == 3
    assert not list(tiny_model.glob(".*"))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_another_dtype_is_float32_outside(tiny_model: Path, dtype: str) -> None:
    model = load(tiny_model, device="cpu", dtype=dtype)
    result = sample(model, steps=2, labels=[0])
    assert model.dtype == dtype
    assert result.images.dtype == torch.float32
    close = sample(load_float32(tiny_model), steps=2, labels=[0]).images
    # 8 bits of mantissa, divided by alpha = 0.006 in the first of two steps
    torch.testing.assert_close(result.images, close, rtol=0.1, atol=0.1)


def test_fingerprint_sees_weights_and_configs_but_not_the_card(tiny_model: Path) -> None:
    before = ModelFolder.open(tiny_model).fingerprint
    (tiny_model / "README.md").write_text("# other\n")
    assert ModelFolder.open(tiny_model).fingerprint == before
    edit(tiny_model / "scheduler" / "scheduler_config.json", beta_end=0.03)
    assert ModelFolder.open(tiny_model).fingerprint != before


# -- what cannot be loaded


def edit(path: Path, **changes: object) -> None:
    """None takes a key away."""
    config = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))


def unet_config(folder: Path, **changes: object) -> None:
    edit(folder / "unet" / "config.json", **changes)


def scheduler_config(folder: Path, **changes: object) -> None:
    edit(folder / "scheduler" / "scheduler_config.json", **changes)


WEIGHTS = Path("unet/diffusion_pytorch_model.safetensors")


def without_betas(folder: Path) -> None:
    """Leave no word of the class of the scheduler, whose defaults diffusers would take."""
    (folder / "model_index.json").unlink()
    scheduler_config(folder, _class_name=None, beta_schedule=None, trained_betas=None)


def truncate(folder: Path) -> None:
    data = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(data[: len(data) // 2])


def pickle_instead(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    torch.save({"conv_in.weight": torch.zeros(1)}, folder / "unet" / "diffusion_pytorch_model.bin")


def rewrite(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    weights = load_file(folder / WEIGHTS)
    change(weights)
    save_file(weights, folder / WEIGHTS)


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "no scheduler": (lambda f: shutil.rmtree(f / "scheduler"), "names scheduler .DDPMScheduler., .* it is not whole"),
    "no network": (lambda f: shutil.rmtree(f / "unet"), "names unet .UNet2DModel., .* it is not whole"),
    "no weights": (lambda f: (f / WEIGHTS).unlink(), "no weights"),
    "half the weights": (truncate, "cannot be read"),
    "empty weights": (lambda f: (f / WEIGHTS).write_bytes(b""), "cut short or damaged"),
    "a pickle": (pickle_instead, "is a pickle"),
    "a weight missing": (lambda f: rewrite(f, lambda w: w.pop("conv_in.bias")), "missing_keys conv_in.bias"),
    "a weight too many": (lambda f: rewrite(f, lambda w: w.update(x=torch.zeros(1))), "unexpected_keys x"),
    "weights of another network": (lambda f: unet_config(f, block_out_channels=[8, 16]), "cannot be read|do not fit"),
    "half a config": (lambda f: (f / "unet/config.json").write_text('{"_class'), "config.json: cannot be read"),
    "binary config": (lambda f: (f / "unet/config.json").write_bytes(b"\xff\xfe\x00"), "config.json: cannot be read"),
    "config of a list": (lambda f: (f / "unet/config.json").write_text("[]"), "not a JSON object"),
    "another network": (lambda f: unet_config(f, _class_name="UNet2DConditionModel"), "UNet2DConditionModel"),
    "no size": (lambda f: unet_config(f, sample_size=None), "sample_size"),
    "a size of words": (lambda f: unet_config(f, sample_size="big"), "sample_size"),
    "odd outputs": (lambda f: unet_config(f, out_channels=3), "out_channels is 3"),
    "embedded times": (lambda f: unet_config(f, class_embed_type="timestep"), "class_embed_type"),
    "unknown prediction": (lambda f: scheduler_config(f, prediction_type="flow"), "'flow' .*known: epsilon"),
    "eps at zero SNR": (lambda f: scheduler_config(f, rescale_betas_zero_snr=True), "says nothing of x0.*v_prediction"),
    "eps at a last beta of 1": (lambda f: scheduler_config(f, beta_end=1.0), "says nothing of x0.*v_prediction"),
    "learned": (lambda f: scheduler_config(f, variance_type="learned"), "learned_range"),
    "no betas": (without_betas, "no architecture reads scheduler"),
    "another scheduler": (
        lambda f: edit(f / "model_index.json", scheduler=["diffusers", "KarrasVeScheduler"]),
        "KarrasVeScheduler",
    ),
    "unknown betas": (lambda f: scheduler_config(f, beta_schedule="wavy"), "unknown beta_schedule 'wavy'"),
    "T of words": (lambda f: scheduler_config(f, num_train_timesteps="many"), "num_train_timesteps"),
    "clip of words": (lambda f: scheduler_config(f, clip_sample=True, clip_sample_range="wide"), "clip"),
    "clip of nothing": (lambda f: scheduler_config(f, clip_sample=True, clip_sample_range=-1.0), "clip"),
    "unknown info": (lambda f: edit(f / "samplerzoo.json", labels=3), "samplerzoo.json"),
    "half the info": (lambda f: (f / "samplerzoo.json").write_text("{"), "samplerzoo.json: cannot be read"),
    "more classes than room": (lambda f: edit(f / "samplerzoo.json", num_classes=9), "samplerzoo.json"),
    "a null label without room": (lambda f: edit(f / "samplerzoo.json", null_label=4), "samplerzoo.json"),
    "names for other classes": (lambda f: edit(f / "samplerzoo.json", class_names=["a"]), "samplerzoo.json"),
    "counts of other classes": (lambda f: edit(f / "samplerzoo.json", class_counts=[1, 2]), "samplerzoo.json"),
    "counts of nothing": (lambda f: edit(f / "samplerzoo.json", class_counts=[0, 0, 0]), "samplerzoo.json"),
    "half a classifier": (lambda f: touch(f / "classifier" / "model.safetensors"), "classifier"),
}


def touch(file: Path) -> None:
    file.parent.mkdir()
    file.touch()


def test_a_classifier_in_the_making_stops_no_run(tiny_model: Path) -> None:
    """It is trained into the folder of its model, and holds a lock and checkpoints until its first save."""
    touch(tiny_model / "classifier" / ".lock")
    assert load(tiny_model).classifier is None


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_folder_is_one_line_that_names_it(tiny_model: Path, what: str) -> None:
    break_it, message = BROKEN[what]
    break_it(tiny_model)
    with pytest.raises(ZooError, match=message) as caught:
        load_float32(tiny_model)
    assert "\n" not in str(caught.value)
    assert "tiny" in str(caught.value)  # the folder


@pytest.mark.parametrize("name", ["nowhere", "./nowhere", "/nowhere/at/all", "~/nowhere", "a/b/c"])
def test_a_model_that_is_nowhere(name: str) -> None:
    with pytest.raises(UsageError, match=f"no model '{name}'.*embedded models"):
        load(name)


def test_a_hub_model_without_a_network() -> None:
    with pytest.raises(ZooError, match="no folder 'nobody/nothing' here, and the hub did not give"):
        load("nobody/nothing")


def test_a_file_is_not_a_folder(tiny_model: Path) -> None:
    with pytest.raises(UsageError, match="is a file; give the folder"):
        load(tiny_model / "README.md")


def test_impossible_devices_and_dtypes(tiny_model: Path) -> None:
    with pytest.raises(UsageError, match="device 'abacus'"):
        load(tiny_model, device="abacus")
    with pytest.raises(UsageError, match="unknown dtype 'float8'"):
        load(tiny_model, device="cpu", dtype="float8")


GARBAGE = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.floats(), st.text(max_size=5), st.just([]), st.just({}),
    st.lists(st.integers(-1, 9), max_size=3),
)  # fmt: skip
KEYS = {
    "unet/config.json": [
        "_class_name", "sample_size", "in_channels", "out_channels", "num_class_embeds", "block_out_channels",
        "down_block_types", "norm_num_groups", "class_embed_type",
    ],
    "scheduler/scheduler_config.json": [
        "num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas", "prediction_type",
        "clip_sample", "clip_sample_range", "thresholding", "dynamic_thresholding_ratio", "variance_type",
        "rescale_betas_zero_snr",
    ],
    "samplerzoo.json": ["num_classes", "null_label", "class_names", "class_counts", "data", "recipe"],
}  # fmt: skip


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.sampled_from([(file, key) for file, keys in KEYS.items() for key in keys]), GARBAGE)
def test_garbage_in_a_config_loads_or_is_one_error(tiny_model: Path, where: tuple[str, str], value: object) -> None:
    file, key = where
    path = tiny_model / file
    whole = path.read_text()
    try:
        path.write_text(json.dumps({**json.loads(whole), key: value}))
        model = ModelFolder.open(tiny_model).stub
        assert isinstance(model.schedule, Schedule)
        load_float32(tiny_model)
    except ZooError as error:
        assert "\n" not in str(error)  # noqa: PT017
    finally:
        path.write_text(whole)


# -- compiled


def compiled_by(monkeypatch: pytest.MonkeyPatch, backend: Any) -> None:
    """In place of torch's own backend, which takes half a minute and a C++ compiler."""
    compile_module = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda net, **_: compile_module(net, backend=backend))


def test_a_compiled_network_gives_the_same_images(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graphs = []
    compiled_by(monkeypatch, lambda graph, inputs: graphs.append(graph) or graph.forward)
    model = load(tiny_model, device="cpu", dtype="float32", compiled=True)
    made = sample(model, "ddim", steps=2, num_images=3, batch_size=2)
    assert graphs
    assert model.compiled
    plain = sample(load_float32(tiny_model), "ddim", steps=2, num_images=3)
    torch.testing.assert_close(made.images, plain.images, rtol=1e-4, atol=1e-4)  # float32, of images up to 10


@pytest.mark.slow
def test_torch_compiles_a_network(tiny_model: Path, tmp_path: Path) -> None:
    """The one test with torch's own backend; in a process of its own, since setuptools, which it imports, refuses to
    follow a test that has imported distutils."""
    words = f"-m samplerzoo run --model {tiny_model} --device cpu --dtype float32 --steps 2 --num-images 2 --compile"
    subprocess.run([sys.executable, *words.split(), "-o", f"{tmp_path}/out"], check=True, capture_output=True)
    made = np.stack([images.read_png(tmp_path / f"out/images/00000{i}.png")[0] for i in range(2)]).astype(int)
    plain = images.to_uint8(sample(load_float32(tiny_model), "ddim", steps=2, num_images=2).images).astype(int)
    assert np.abs(made - plain).max() <= 1  # rounding


def test_a_network_that_does_not_compile(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(graph: Any, inputs: Any) -> Any:
        raise RuntimeError("no C++ compiler")

    compiled_by(monkeypatch, refuse)
    model = load(tiny_model, device="cpu", dtype="float32", compiled=True)
    with pytest.raises(ZooError, match=r"--compile: .*no C\+\+ compiler.*; leave --compile out") as caught:
        sample(model, "ddim", steps=2, num_images=1)
    assert "\n" not in str(caught.value)


def test_a_second_network_is_compiled_with_the_first(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled_by(monkeypatch, "eager")
    model = load(tiny_model, device="cpu", dtype="float32", compiled=True)
    assert ModelFolder.open(tiny_model).load_like(model).compiled
