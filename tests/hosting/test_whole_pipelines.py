"""Whole pipelines as models: run by their own code, with noise, cost and records as everywhere."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from folders_of_pipelines import READING
from torch import Tensor

import samplerzoo as zoo
from samplerzoo.core.duration import Duration
from samplerzoo.core.noise import Noise
from samplerzoo.core.stopwatch import Stopwatch
from samplerzoo.errors import UsageError, ZooError
from samplerzoo.hosting import rehearsal
from samplerzoo.hosting.folder import PipelineFolder
from samplerzoo.hosting.hooks import time_texts
from samplerzoo.models.handle import ModelHandle
from samplerzoo.models.load import open_model
from samplerzoo.models.options import ReadingOptions
from samplerzoo.sampling.driver import timed_batches
from samplerzoo.sampling.pace import count_cost
from samplerzoo.sampling.plan import make_plan
from samplerzoo.sampling.recipe import Recipe

Folders = Callable[[str], Path]

PROMPTS = ["a cat", "a dog on a mat"]
ROUNDING = 1e-5
"""Largest difference, relative to the largest value, of images in float32 that were drawn in other batches."""


def off(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max() / b.abs().max())


def opened(folder: Path, **more: Any) -> ModelHandle:
    return open_model(folder, ReadingOptions(**{**READING[folder.name], **more}))


def fresh(folder: Path, **more: Any) -> zoo.Model:
    return opened(folder, **more).load(device="cpu", dtype="float32")


MODELS: dict[str, zoo.Model] = {}


def loaded(folder: Path, **more: Any) -> zoo.Model:
    """Load a model once, for tests that leave it as it is."""
    key = f"{folder} {more}"
    if key not in MODELS:
        MODELS[key] = fresh(folder, **more)
    return MODELS[key]


# -- images


@pytest.mark.parametrize(
    ("name", "sampler", "scale"),
    [
        *(
            ("sd", sampler, scale)
            for sampler, scale in (("dpm-solver++", 5.0), ("ddpm", 1.0), ("euler-ancestral", 3.0))
        ),
        *(("sdxl", sampler, scale) for sampler, scale in (("heun", 1.0), ("ddpm", 3.0))),
    ],
)
def test_hosted_way_is_the_native_one(whole: Folders, name: str, sampler: str, scale: float) -> None:
    """Compare two programs that share neither loop, nor guidance, nor decoder. 1e-4 is what the pipelines agree to."""
    told: dict[str, Any] = {"steps": 6, "seed": 3, "prompts": PROMPTS}
    negative = {"negative_prompt": "blue"} if scale > 1 else {}
    guided = {"guidance": "cfg", "guidance_scale": scale} if scale > 1 else {}
    native = zoo.sample(zoo.load(whole(name), dtype="float32"), sampler, **told, **guided, **negative)
    hosted = zoo.sample(loaded(whole(name)), sampler, **told, **negative, guidance_scale=scale)
    assert off(hosted.states, native.states) < 1e-4
    assert (hosted.images - native.images.clamp(-1, 1)).abs().max() < 1e-4
    assert (hosted.cost.calls, hosted.cost.evaluations) == (native.cost.calls, native.cost.evaluations)


@pytest.mark.parametrize("name", ["flux", "pixart"])
def test_image_depends_on_prompt_seed_and_number_alone(whole: Folders, name: str) -> None:
    model = loaded(whole(name))
    told: dict[str, Any] = {"steps": 4, "seed": 3}
    both = zoo.sample(model, "ddpm", prompts=PROMPTS, num_images=3, **told)
    single = zoo.sample(model, "ddpm", prompts=PROMPTS, num_images=3, batch_size=1, **told)
    assert off(single.states, both.states) < ROUNDING
    other = zoo.sample(model, "ddpm", prompts=["a cow", PROMPTS[1]], **told)
    assert off(other.states[1], both.states[1]) < ROUNDING
    assert off(other.states[0], both.states[0]) > 100 * ROUNDING
    assert both.images.shape == (3, *model.image_shape)
    assert both.images.abs().max() <= 1


def test_flux_is_its_pipeline_with_a_sampler_as_scheduler(whole: Folders) -> None:
    """Draw by hand what `sample` draws: the grid is the one that the pipeline asks for, with the shift of its size."""
    model = loaded(whole("flux"))
    drawn = zoo.sample(model, "probability-flow", steps=5, seed=3, prompts=PROMPTS[:1])
    pipeline = diffusers.FluxPipeline.from_pretrained(whole("flux"))
    pipeline.scheduler = zoo.as_scheduler("probability-flow", pipeline.scheduler, seed=3)
    latents = pipeline(
        PROMPTS[0], height=32, width=32, num_inference_steps=5, latents=Noise(3, [0], model.shape)(),
        output_type="latent",
    ).images  # fmt: skip
    assert torch.equal(drawn.states, latents)
    assert [level.sigma for level in drawn.grid.levels] == pytest.approx(pipeline.scheduler.sigmas.tolist())


def test_half_precision(whole: Folders) -> None:
    model = opened(whole("flux")).load(device="cpu", dtype="bfloat16")
    assert {weight.dtype for weight in model.drawer.pipeline.transformer.parameters()} == {torch.bfloat16}  # type: ignore[union-attr]
    made, exact = (zoo.sample(each, steps=2, prompts=PROMPTS) for each in (model, loaded(whole("flux"))))
    assert 1e-4 < off(made.states, exact.states) < 0.1


def test_listeners_hear_every_level(whole: Folders) -> None:
    found: list[tuple[int, float, Tensor]] = []
    model = loaded(whole("sdxl"))
    drawn = zoo.sample(
        model, "heun", steps=3, prompts=PROMPTS, trajectory=True,
        on_step=lambda number, level, x: found.append((number, level.tau, x.clone())),
    )  # fmt: skip
    assert [(number, tau) for number, tau, _ in found] == [(i, t.tau) for i, t in enumerate(drawn.grid.levels)]
    assert torch.equal(found[0][2], Noise(0, [0, 1], model.shape)())
    assert torch.equal(found[-1][2], drawn.states)
    assert drawn.trajectory is not None


@pytest.mark.parametrize(("name", "scale"), [("sdxl", 1.0), ("sdxl", 3.0), ("flux", 1.0)])
def test_listener_that_decodes_moves_no_image(whole: Folders, name: str, scale: float) -> None:
    """Decode in the middle of a call: a pipeline keeps the scale of its guidance, and more, in itself."""
    model, pictures = loaded(whole(name)), []
    told: dict[str, Any] = {"steps": 3, "prompts": PROMPTS, "guidance_scale": scale}
    heard = zoo.sample(model, **told, on_step=lambda number, level, x: pictures.append(model.decode(x)))
    plain = zoo.sample(model, **told)
    assert torch.equal(heard.states, plain.states)
    assert (heard.cost, len(pictures)) == (plain.cost, 4)
    assert torch.equal(pictures[-1], plain.images)


@pytest.mark.parametrize("kind", [ValueError, StopIteration, zoo.ZooError])
@pytest.mark.parametrize("at", [0, 3])
def test_an_error_of_a_listener_is_its_own(whole: Folders, kind: type[Exception], at: int) -> None:
    """It is none of the pipeline, which draws afterwards as before."""
    model, mine = loaded(whole("sdxl")), kind("mine")

    def listen(number: int, level: Any, x: Tensor) -> None:
        if number == at:
            raise mine

    told: dict[str, Any] = {"steps": 3, "prompts": PROMPTS[:1]}
    with pytest.raises(kind) as caught:
        zoo.sample(model, **told, on_step=listen)
    assert caught.value is mine
    assert torch.isfinite(zoo.sample(model, **told).states).all()


def test_states_are_decoded_by_the_pipeline(whole: Folders) -> None:
    model = loaded(whole("sdxl"))
    z = torch.randn(5, *model.shape, generator=torch.Generator().manual_seed(0))
    vae = model.drawer.pipeline.vae  # type: ignore[union-attr]
    with torch.no_grad():
        expected = vae.decode(z / vae.config.scaling_factor).sample.clamp(-1, 1)
    assert (model.decode(z) - expected).abs().max() < 1e-5


# -- cost


@pytest.mark.parametrize(
    ("name", "sampler", "arguments", "negative", "nfe"),
    [
        ("sdxl", "ddim", {"guidance_scale": 5.0}, None, 8),
        ("sdxl", "ddim", {"guidance_scale": 1.0}, None, 4),
        ("sdxl", "heun", {"guidance_scale": 1.0}, None, 7),
        ("flux", "ddim", {}, None, 4),
        ("flux", "ddim", {"true_cfg_scale": 3.0}, "blue", 8),  # two calls, and only with a negative prompt
    ],
)
def test_cost_is_known_before_the_weights(
    whole: Folders, name: str, sampler: str, arguments: dict[str, Any], negative: str | None, nfe: float
) -> None:
    found = opened(whole(name), pipeline_options=arguments)
    recipe = Recipe(sampler=sampler, steps=4, prompts=("a cat",), negative_prompt=negative)
    plan = make_plan(recipe, found.stub, 2)
    expected = count_cost(plan)
    assert expected.nfe == nfe
    drawn = zoo.sample(
        loaded(whole(name), pipeline_options=arguments), sampler, steps=4, prompts="a cat", negative_prompt=negative,
        num_images=2,
    )  # fmt: skip
    assert drawn.cost.per_image() == expected.per_image()


@pytest.mark.parametrize(("name", "places"), [("sdxl", ["meta"]), ("pixart", ["meta", "cpu"])])
def test_rehearsal_needs_no_weights(
    whole: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, places: list[str]
) -> None:
    """PixArt reads a value on the way, so that it is rehearsed with zeros."""
    tried: list[str] = []
    real = rehearsal._rehearse

    def noted(index: Any, arguments: Any, steps: int, place: str) -> Any:
        tried.append(place)
        return real(index, arguments, steps, place)

    monkeypatch.setattr(rehearsal, "_rehearse", noted)
    shutil.copytree(whole(name), tmp_path / name, ignore=shutil.ignore_patterns("*.safetensors"))
    before = torch.get_rng_state()
    model = opened(tmp_path / name).stub
    assert (model.shape, model.image_shape) == ((4, 8, 8), (3, 16, 16))
    assert tried == places
    assert torch.equal(torch.get_rng_state(), before)
    with pytest.raises(ZooError, match="no weights"):
        opened(tmp_path / name).load()


def test_text_encoders_and_decoder_are_timed_apart(whole: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    """Move the clock in a module of each part, so that its seconds say how often it was called."""
    model, now = fresh(whole("sdxl"), pipeline_options={"guidance_scale": 3.0}), [0.0]
    pipeline = model.drawer.pipeline  # type: ignore[union-attr]

    def moves(module: Any, seconds: float) -> None:
        def move(*_: object) -> None:
            now[0] += seconds

        module.register_forward_hook(move)

    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    moves(pipeline.unet, 1.0)
    moves(pipeline.text_encoder.text_projection, 10.0)
    moves(pipeline.text_encoder_2.text_projection, 10.0)
    moves(pipeline.vae.decoder, 1000.0)
    plan = make_plan(Recipe(sampler="ddim", steps=4, prompts=tuple(PROMPTS)), model, 2)
    first, second = (duration for *_, duration in timed_batches(plan, [range(2), range(2)]))
    # two encoders read the prompts, and empty ones where it decodes for the first time; SDXL leads away from zeros
    assert first == Duration(4 + 40 + 1000, 40, 1000)
    assert second == Duration(4 + 20 + 1000, 20, 1000)
    assert first.network == second.network == 4


def test_text_encoder_of_which_a_part_is_called(whole: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline, watch, now = diffusers.StableDiffusionPipeline.from_pretrained(whole("sd")), Stopwatch(), [0.0]
    time_texts(pipeline, watch)
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    layers = pipeline.text_encoder.encoder
    layers.register_forward_pre_hook(lambda *_: now.__setitem__(0, now[0] + 3))
    with pytest.raises(TypeError):
        layers(inputs_embeds="no tensor")
    layers(inputs_embeds=torch.zeros(1, 2, 16))
    assert watch.seconds == 6


def test_fingerprint_knows_weights_and_arguments(whole: Folders, tmp_path: Path) -> None:
    folder = whole("flux")
    known = opened(folder).fingerprint
    assert opened(folder).fingerprint == known
    assert opened(folder, pipeline_options={"guidance_scale": 2.0}).fingerprint != known
    assert opened(folder, height=64).fingerprint != known
    copy = shutil.copytree(folder, tmp_path / "flux")
    assert opened(copy).fingerprint == known
    config = json.loads((copy / "text_encoder_2" / "config.json").read_text())
    (copy / "text_encoder_2" / "config.json").write_text(json.dumps({**config, "dropout_rate": 0.2}))
    assert opened(copy).fingerprint != known


# -- refusals


def refused(folder: Path, *parts: str, **reading: Any) -> None:
    with pytest.raises(ZooError) as error:
        open_model(folder, ReadingOptions(**reading))
    assert "\n" not in str(error.value)
    for part in parts:
        assert part in str(error.value)


def test_arguments_that_the_pipeline_does_not_take(whole: Folders) -> None:
    folder = whole("sdxl")
    hosted: dict[str, Any] = {"hosted": True}
    refused(folder, "no argument 'guidance_scal'", "guidance_scale?", pipeline_options={"guidance_scal": 2.0}, **hosted)
    refused(folder, "here it is --steps", pipeline_options={"num_inference_steps": 2}, **hosted)
    refused(folder, "the run itself gives it", pipeline_options={"latents": [0.0]}, **hosted)
    refused(folder, "StableDiffusionXLPipeline", "divisible by 8", height=17, **hosted)
    refused(folder, "--null-label", "leave it out", null_label=3, **hosted)


def test_native_models_take_no_arguments_of_a_pipeline(whole: Folders) -> None:
    refused(whole("sd"), "--height is for whole pipelines", "--hosted", height=16)
    refused(
        whole("sd"), "--pipeline-option guidance_scale is for", "--hosted", pipeline_options={"guidance_scale": 2.0}
    )
    plain, scaled = (Recipe(sampler="ddim", prompts=("a",), guidance_options=it) for it in ({}, {"scale": 2.0}))
    native = open_model(whole("sd")).stub
    make_plan(plain, native, 1)
    with pytest.raises(UsageError, match=r"none: add .* or --guidance cfg or .*; or --hosted"):
        make_plan(scaled, native, 1)
    assert isinstance(opened(whole("sd")), PipelineFolder)
    with pytest.raises(UsageError, match="no pipeline of diffusers that takes prompts"):
        zoo.load("mnist", hosted=True)


def test_what_is_not_run(whole: Folders, tmp_path: Path) -> None:
    refused(whole("animatediff"), "AnimateDiffPipeline makes no pictures")
    copy = shutil.copytree(whole("flux"), tmp_path / "flux")
    index = json.loads((copy / "model_index.json").read_text())
    for pair in (["evil", "Encoder"], ["transformers", "no_such_class"], ["diffusers", "logging"]):
        (copy / "model_index.json").write_text(json.dumps({**index, "text_encoder_2": pair}))
        refused(copy, "text_encoder_2", "no code of a folder is run")
    (copy / "model_index.json").write_text(json.dumps({**index, "_class_name": "EvilPipeline"}))
    refused(copy, "EvilPipeline", "no architecture reads")
    (copy / "model_index.json").write_text(json.dumps({name: it for name, it in index.items() if name != "scheduler"}))
    refused(copy, "without a scheduler")


def test_no_code_of_a_folder_runs(whole: Folders, tmp_path: Path) -> None:
    copy = shutil.copytree(whole("flux"), tmp_path / "flux")
    ran = tmp_path / "ran"
    for place in ("scheduler/diffusers.py", "tokenizer/transformers.py", "pipeline.py", "modeling.py"):
        (copy / place).write_text(f"open({str(ran)!r}, 'w')\n")
    for part, file, key, value in (
        ("text_encoder_2", "config.json", "auto_map", {"AutoModel": "modeling.Evil"}),
        ("scheduler", "scheduler_config.json", "auto_map", {"AutoModel": "modeling.Evil"}),
    ):
        config = json.loads((copy / part / file).read_text())
        (copy / part / file).write_text(json.dumps({**config, key: value}))
    with suppress(ZooError):
        opened(copy).load(device="cpu", dtype="float32")
    assert not ran.exists()
    config = json.loads((copy / "text_encoder_2" / "config.json").read_text())
    (copy / "text_encoder_2" / "config.json").write_text(json.dumps({**config, "attn_implementation": "evil/kernel"}))
    refused(copy, "code of the hub", height=32, width=32)


def test_texts_beside_the_prompt_are_for_every_image(whole: Folders) -> None:
    told: dict[str, Any] = {"prompt_2": "a cow", "negative_prompt_2": "blue", "guidance_scale": 3.0}
    model = loaded(whole("sdxl"), pipeline_options=told)
    both, single = (zoo.sample(model, steps=2, prompts=PROMPTS, batch_size=size) for size in (2, 1))
    assert off(both.states, single.states) < ROUNDING
    assert off(both.states, zoo.sample(loaded(whole("sdxl")), steps=2, prompts=PROMPTS).states) > 100 * ROUNDING


def test_scale_of_the_own_guidance_is_one_of_the_plan(whole: Folders) -> None:
    """One model draws with every scale, as the pipeline does with the scale among its arguments."""
    model, told = loaded(whole("sdxl")), {"steps": 3, "prompts": PROMPTS}
    for scale, nfe in ((1.0, 3), (4.0, 6)):
        drawn = zoo.sample(model, guidance_scale=scale, **told)
        argument = zoo.sample(loaded(whole("sdxl"), pipeline_options={"guidance_scale": scale}), **told)
        assert torch.equal(drawn.states, argument.states)
        assert drawn.nfe == argument.nfe == nfe
        found, recipe = (
            opened(whole("sdxl")),
            Recipe(sampler="ddim", steps=3, prompts=("a",), guidance_options={"scale": scale}),
        )
        assert count_cost(make_plan(recipe, found.stub, 1)).nfe == nfe  # before the weights


def test_scale_that_cannot_be(whole: Folders) -> None:
    scaled = Recipe(sampler="ddim", steps=3, prompts=("a",), guidance_options={"scale": 3.0})
    with pytest.raises(UsageError, match="say the same"):
        count_cost(make_plan(scaled, opened(whole("sdxl"), pipeline_options={"guidance_scale": 3.0}).stub, 1))
    for options in ({"low": 1.0}, {"scale": "3"}, {"scale": True}, {"scale": None}):
        with pytest.raises(ValueError, match="guidance_"):
            Recipe(sampler="ddim", guidance_options=options)


def test_plans_that_a_pipeline_cannot_follow(whole: Folders) -> None:
    found = opened(whole("sdxl"))
    for told, words in (
        ({}, "add --prompts"),
        ({"guidance": "cfg", "prompts": ("a",)}, "guides by itself"),
        ({"class_labels": "3", "prompts": ("a",)}, "takes no class labels"),
        ({"sampler": "consistency", "prompts": ("a",)}, "consistency models"),
    ):
        with pytest.raises(UsageError, match=words):
            count_cost(make_plan(Recipe(**{"sampler": "ddim", **told}), found.stub, 1))
    with pytest.raises(UsageError, match="not compiled here"):
        found.load(compiled=True)


def test_pipeline_that_begins_with_other_noise(whole: Folders) -> None:
    model = fresh(whole("sdxl"))
    pipeline = model.drawer.pipeline  # type: ignore[union-attr]
    prepare = pipeline.prepare_latents
    pipeline.prepare_latents = lambda *args, **kwargs: 1.1 * prepare(*args, **kwargs)
    with pytest.raises(UsageError, match="begins with other noise"):
        zoo.sample(model, steps=2, prompts="a cat")


def test_error_of_a_network_is_the_networks(whole: Folders) -> None:
    model = fresh(whole("sdxl"))
    for weight in model.drawer.pipeline.unet.conv_out.parameters():  # type: ignore[union-attr]
        weight.data.fill_(torch.nan)
    with pytest.raises(ZooError, match="NaN"):
        zoo.sample(model, steps=2, prompts="a cat")
