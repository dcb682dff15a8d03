"""Each family of models against the stock code of diffusers, at the same draws, and mutants that have to be seen."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import folders
import pytest
import torch
from folders import loaded, off
from samplerzoo_plugins.classifier_free_guidance import ClassifierFreeGuidance
from samplerzoo_plugins.consistency import Consistency
from samplerzoo_plugins.ddim import DDIM
from samplerzoo_plugins.ddpm import DDPM
from samplerzoo_plugins.probability_flow import ProbabilityFlow
from torch import Tensor

import samplerzoo as zoo
from samplerzoo.core.codec import Latents
from samplerzoo.core.guidance import Guidance
from samplerzoo.core.level import Grid
from samplerzoo.core.model import Model
from samplerzoo.core.paths import VE, VP, RectifiedFlow
from samplerzoo.core.prediction import Clip
from samplerzoo.core.sampler import Sampler, grid_of
from samplerzoo.models.load import ModelFolder
from samplerzoo.testing import run

SAME = 1e-5
"""Difference of pixels from diffusers that is float32 rounding over ten steps; see `folders`."""
SEEN = 1e-2
"""Difference of pixels that a wrong convention makes, at least."""
STEPS = 10
LABELS = [1, 0, 3]


def drawn(
    model: Model,
    sampler: Sampler,
    noise: Tensor,
    *,
    grid: Grid | None = None,
    labels: Sequence[int] | None = None,
    guidance: Guidance | None = None,
    clip: Clip | None = None,
    draws: Sequence[Tensor] = (),
) -> Tensor:
    """Draw images from this noise, and return their pixels before they are clamped and rounded."""
    source: Iterator[Tensor] = iter([noise, *draws])
    with torch.no_grad():
        state = run(
            model,
            sampler,
            grid_of(sampler, model.schedule, STEPS) if grid is None else grid,
            lambda: next(source),
            guidance=guidance,
            condition=model.condition(labels),
            clip=clip or model.clip,
        )
        return model.decode(state)


def stock_grid(model: Model, stock: folders.Stock) -> Grid:
    """Return the grid of diffusers, to its float32 digits: the networks here turn one of a timestep into 1e-5.

    It has to be the model's own grid.
    """
    assert stock.sigmas is not None
    own = [level.tau for level in model.schedule.grid(len(stock.sigmas) - 1).levels]
    assert own == pytest.approx(stock.sigmas.tolist(), abs=1e-6)
    return Grid(tuple(model.schedule.at(sigma) for sigma in stock.sigmas.tolist()))


def told(model: Model, c_noise: Callable[[Any], float]) -> Model:
    """Tell the network another time."""
    return dataclasses.replace(model, parametrization=dataclasses.replace(model.parametrization, c_noise=c_noise))


def negated(model: Model) -> Model:
    """Turn the sign of the network's output."""
    return dataclasses.replace(model, net=lambda x, time, condition: -model.net(x, time, condition))


def unscaled(model: Model) -> Model:
    """Leave out the scaling of the network's input."""
    return dataclasses.replace(model, parametrization=dataclasses.replace(model.parametrization, c_in=lambda t: 1.0))


# -- UNet2DModel


@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v_prediction"])
@pytest.mark.parametrize("classes", [None, 4])
def test_unet_with_betas_is_diffusers(tmp_path: Path, prediction: str, classes: int | None) -> None:
    folder = folders.ddpm(tmp_path, classes=classes, prediction_type=prediction, clip_sample=False)
    noise, labels = folders.latents(folder), LABELS if classes else None
    stock = folders.stock_ddim(folder, noise, STEPS, labels=labels)
    model = loaded(folder)
    grid = model.schedule.grid(STEPS, "leading")
    # of sample, diffusers itself is off by 1.8e-5 from a run in float64: it works eps out of float32 tables
    same = 3 * SAME if prediction == "sample" else SAME
    assert off(drawn(model, DDIM(), noise, grid=grid, labels=labels), stock.pixels) < same
    mutants = {
        "told tau": told(model, lambda t: t.tau * 0.9),
        "told timestep/1000": told(model, lambda t: (t.tau - 1) / 1000),
        "other sign": negated(model),
    }
    for name, mutant in mutants.items():
        assert off(drawn(mutant, DDIM(), noise, grid=grid, labels=labels), stock.pixels) > SEEN, name
    if labels:
        shifted = [label - 1 for label in LABELS if label] + [2]
        assert off(drawn(model, DDIM(), noise, grid=grid, labels=shifted), stock.pixels) > SEEN


@pytest.mark.parametrize("classes", [None, 4])
def test_flow_is_diffusers(tmp_path: Path, classes: int | None) -> None:
    """Euler's method on the path of FlowMatchEuler, with shift 1, where diffusers' own grid is right."""
    folder = folders.flow(tmp_path, classes=classes)
    noise, labels = folders.latents(folder), LABELS if classes else None
    stock = folders.stock_flow_euler(folder, noise, STEPS, labels=labels)
    model = loaded(folder)
    assert isinstance(model.schedule, RectifiedFlow)
    assert model.schedule.spacing == "scheduler"
    grid = model.schedule.grid(STEPS)
    assert stock.sigmas is not None
    assert [level.tau for level in grid.levels] == pytest.approx(stock.sigmas.tolist(), abs=1e-7)
    assert off(drawn(model, ProbabilityFlow(), noise, labels=labels), stock.pixels) < SAME
    mutants = {
        "told sigma": told(model, lambda t: t.tau),
        "told 1 - t/T": told(model, lambda t: 1000 * (1 - t.tau)),
        "other sign": negated(model),
    }
    for name, mutant in mutants.items():
        assert off(drawn(mutant, ProbabilityFlow(), noise, labels=labels), stock.pixels) > SEEN, name


def test_a_static_shift_is_applied_once(tmp_path: Path) -> None:
    """diffusers shifts the ends of its own grid twice; given the even sigmas, it shifts them once, as here."""
    folder = folders.flow(tmp_path, shift=3.0)
    noise, model = folders.latents(folder), loaded(folder)
    even = [float(sigma) for sigma in torch.linspace(1, 0.001, STEPS, dtype=torch.float64)]
    once = folders.stock_flow_euler(folder, noise, STEPS, sigmas=even)
    twice = folders.stock_flow_euler(folder, noise, STEPS)
    grid = [level.tau for level in model.schedule.grid(STEPS).levels]
    assert once.sigmas is not None
    assert twice.sigmas is not None
    assert grid == pytest.approx(once.sigmas.tolist(), abs=1e-7)
    assert grid[-2] == pytest.approx(3 * 0.001 / (1 + 2 * 0.001))
    assert twice.sigmas[-2].item() == pytest.approx(0.00893, rel=1e-2)  # the wrong one
    assert off(drawn(model, ProbabilityFlow(), noise), once.pixels) < SAME
    assert off(drawn(model, ProbabilityFlow(), noise), twice.pixels) > SEEN


@pytest.mark.parametrize("kind", ["exponential", "linear"])
def test_a_dynamic_shift_follows_the_number_of_tokens(tmp_path: Path, kind: str) -> None:
    folder = folders.dit_flow(tmp_path, use_dynamic_shifting=True, time_shift_type=kind)
    opened = ModelFolder.open(folder)
    assert "16 tokens" in " ".join(opened.guesses)  # states of 8 x 8 in patches of 2 x 2
    mu = 0.5 + (1.15 - 0.5) * (16 - 256) / (4096 - 256)
    even = [float(sigma) for sigma in torch.linspace(1, 0.001, STEPS, dtype=torch.float64)]
    noise, model = folders.latents(folder), loaded(folder)
    stock = folders.stock_dit(folder, noise, LABELS, STEPS, sigmas=even, mu=mu)
    grid = stock_grid(model, stock)
    assert off(drawn(model, ProbabilityFlow(), noise, grid=grid, labels=LABELS), stock.pixels) < SAME


@pytest.mark.parametrize("spread", ["karras", "exponential"])
def test_a_flow_schedulers_own_spread_is_its_grid(tmp_path: Path, spread: str) -> None:
    folder = folders.flow(tmp_path, shift=2.0, **{f"use_{spread}_sigmas": True})
    even = [float(sigma) for sigma in torch.linspace(1, 0.001, STEPS, dtype=torch.float64)]
    stock = folders.stock_flow_euler(folder, folders.latents(folder), STEPS, sigmas=even)
    assert stock.sigmas is not None
    grid = [level.tau for level in loaded(folder).schedule.grid(STEPS).levels]
    assert grid == pytest.approx(stock.sigmas.tolist(), rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("steps", [1, 5, 30])
def test_spacings_that_are_even_in_time_keep_the_shift(tmp_path: Path, steps: int) -> None:
    """As diffusers' pipelines of Flux give it even times, which it shifts."""
    import diffusers

    folder = folders.flow(tmp_path, shift=3.0)
    schedule, theirs = loaded(folder).schedule, diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    theirs.set_timesteps(sigmas=[1 - k / steps for k in range(steps)])
    grid = schedule.grid(steps, "trailing")
    assert [level.tau for level in grid.levels] == pytest.approx(theirs.sigmas.tolist(), rel=1e-6)
    assert schedule.grid(steps, "linspace") == schedule.grid(steps, "scheduler")


def test_a_terminal_shift_stretches_the_grid(tmp_path: Path) -> None:
    folder = folders.flow(tmp_path, shift=2.0, shift_terminal=0.1)
    schedule = loaded(folder).schedule
    assert schedule.grid(STEPS).levels[-2].tau == pytest.approx(0.1)
    assert len(schedule.grid(1)) == 1  # NaN in diffusers


@pytest.mark.parametrize("scheduler", ["EDMEulerScheduler", "EDMDPMSolverMultistepScheduler"])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_edm_is_diffusers(tmp_path: Path, scheduler: str, prediction: str) -> None:
    folder = folders.edm(tmp_path, scheduler_class=scheduler, prediction_type=prediction, classes=4)
    euler = folders.edm(tmp_path / "euler", prediction_type=prediction, classes=4)
    noise, model = folders.latents(folder), loaded(folder)
    assert isinstance(model.schedule, VE)
    assert (model.schedule.T, model.schedule.low, model.schedule.prior_std) == (80.0, 0.002, 80.0)
    stock = folders.stock_edm(euler, noise, STEPS, labels=LABELS, start=80.0)
    assert off(drawn(model, ProbabilityFlow(), noise, labels=LABELS), stock.pixels) < SAME
    mutants = {
        "told sigma": told(model, lambda t: t.sigma),
        "told log sigma": told(model, lambda t: math.log(t.sigma)),
        "other sign": negated(model),
        "input not scaled": unscaled(model),
    }
    for name, mutant in mutants.items():
        assert off(drawn(mutant, ProbabilityFlow(), noise, labels=LABELS), stock.pixels) > SEEN, name


def test_an_edm_schedulers_own_spread_is_its_grid(tmp_path: Path) -> None:
    folder = folders.edm(tmp_path, sigma_schedule="exponential")
    stock = folders.stock_edm(folder, folders.latents(folder), STEPS)
    assert stock.sigmas is not None
    schedule = loaded(folder).schedule
    assert schedule.spacing == "scheduler"
    assert [level.tau for level in schedule.grid(STEPS).levels] == pytest.approx(stock.sigmas.tolist(), rel=1e-5)


def test_continuous_euler_is_diffusers(tmp_path: Path) -> None:
    """EulerDiscrete with continuous timesteps was taken for betas once, without a word."""
    folder = folders.continuous(tmp_path, classes=4)
    noise, model = folders.latents(folder), loaded(folder)
    stock = folders.stock_edm(folder, noise, STEPS, labels=LABELS, start=3.0)
    assert off(drawn(model, ProbabilityFlow(), noise, labels=LABELS), stock.pixels) < SAME
    for mutant in (told(model, lambda t: t.sigma), negated(model), unscaled(model)):
        assert off(drawn(mutant, ProbabilityFlow(), noise, labels=LABELS), stock.pixels) > SEEN


def test_continuous_timesteps_without_v_are_those_of_betas(tmp_path: Path) -> None:
    folder = folders.continuous(tmp_path, prediction_type="epsilon", use_karras_sigmas=False)
    assert isinstance(loaded(folder).schedule, VP)


def test_ve_reads_the_score(tmp_path: Path) -> None:
    folder = folders.ve(tmp_path)
    model = loaded(folder)
    x = folders.latents(folder)
    for sigma in (0.02, 0.3, 1.0):
        level = model.schedule.at(sigma)
        score = folders.stock_answer(folder, x, torch.tensor(sigma))
        with torch.no_grad():
            p = model.denoise(x, level)
        assert off(p.score, score) < SAME * float(score.abs().max())
        assert off(p.x0, x + sigma**2 * score) < SAME
    images = torch.rand(2, 3, 8, 8)
    assert torch.equal(model.decode(images), 2 * images - 1)  # it was trained on [0, 1]
    torch.testing.assert_close(model.codec.encode(model.decode(images)), images)
    assert model.schedule.spacing == "karras"


def test_consistency_is_diffusers(tmp_path: Path) -> None:
    folder = folders.consistency(tmp_path, classes=4, clip_denoised=False)
    noise, model = folders.latents(folder), loaded(folder)
    draws = [folders.latents(folder, seed=seed) for seed in (1, 2)]
    for indices in ([0], [22, 0]):
        stock = folders.stock_consistency(folder, noise, draws[: len(indices)] if len(indices) > 1 else [], indices,
                                          labels=LABELS)  # fmt: skip
        assert stock.sigmas is not None
        grid = model.schedule.grid_at(stock.sigmas[: len(indices)].tolist())
        found = drawn(model, Consistency(), noise, grid=grid, labels=LABELS, draws=draws)
        assert off(found, stock.pixels) < SAME, indices
    for mutant in (told(model, lambda t: t.sigma), negated(model), unscaled(model)):
        assert off(drawn(mutant, Consistency(), noise, grid=grid, labels=LABELS, draws=draws), stock.pixels) > SEEN


def test_a_consistency_models_grid_is_its_schedulers(tmp_path: Path) -> None:
    import diffusers

    folder = folders.consistency(tmp_path)
    schedule = loaded(folder).schedule
    scheduler = diffusers.CMStochasticIterativeScheduler()
    for steps in (1, 2, 4, 10):
        scheduler.set_timesteps(steps)
        found = schedule.timesteps(schedule.grid(steps))
        assert found == pytest.approx(scheduler.sigmas[:-1].tolist(), rel=1e-5)


def test_a_consistency_model_refuses_what_needs_a_mean(tmp_path: Path) -> None:
    model = loaded(folders.consistency(tmp_path))
    with pytest.raises(zoo.UsageError, match=r"ddim needs the mean .*--sampler consistency"):
        zoo.sample(model, "ddim", steps=2, num_images=1)
    with pytest.raises(zoo.UsageError, match="needs the mean"):
        zoo.sample(model, "diffusers:DDIMScheduler", steps=2, num_images=1)
    assert zoo.sample(model, "consistency", steps=2, num_images=1).nfe == 2


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_lcm_is_diffusers(tmp_path: Path, prediction: str) -> None:
    import diffusers

    folder = folders.ddpm(tmp_path, scheduler_class="LCMScheduler", prediction_type=prediction, clip_sample=False)
    noise, model = folders.latents(folder), loaded(folder)
    scheduler = diffusers.LCMScheduler.from_pretrained(folder, subfolder="scheduler")
    unet = diffusers.UNet2DModel.from_pretrained(folder, subfolder="unet")
    draws = [folders.latents(folder, seed=seed) for seed in (1, 2, 3)]
    scheduler.set_timesteps(4)
    assert model.schedule.timesteps(model.schedule.grid(4)) == scheduler.timesteps.tolist()
    x = noise
    with torch.no_grad(), folders._drawing(draws, scheduler):
        for t in scheduler.timesteps:
            x = scheduler.step(unet(x, t).sample, t, x).prev_sample
    found = drawn(model, Consistency(), noise, grid=model.schedule.grid(4), draws=draws)
    assert off(found, x) < SAME
    with pytest.raises(zoo.UsageError, match="needs the mean"):
        zoo.sample(model, "ddpm", steps=2, num_images=1)


# -- latents


def test_ldm_is_diffusers(tmp_path: Path) -> None:
    folder = folders.ldm(tmp_path)
    noise, model = folders.latents(folder), loaded(folder)
    stock = folders.stock_ldm(folder, noise, STEPS)
    grid = model.schedule.grid(STEPS, "leading")
    assert off(drawn(model, DDIM(), noise, grid=grid), stock.pixels) < SAME
    assert model.image_shape == (3, 16, 16)
    without = dataclasses.replace(model, codec=_scaled(model.codec, 2.0))
    assert off(drawn(without, DDIM(), noise, grid=grid), stock.pixels) > SEEN
    assert model.clip == Clip("off")


def _scaled(codec: zoo.Codec, factor: float) -> zoo.Codec:
    """Make the mutant of a codec that leaves out scaling_factor."""

    class Mutant(zoo.Codec):
        def decode(self, states: Tensor) -> Tensor:
            return codec.decode(states * factor)

    return Mutant()


def test_dit_is_diffusers_with_guidance(tmp_path: Path) -> None:
    """DiTPipeline's null label is always 1000, so the transformer has a thousand classes here."""
    folder = folders.dit(tmp_path, classes=1000)
    noise, model = folders.latents(folder), loaded(folder)
    labels = [207, 360, 999]
    grid = model.schedule.grid(STEPS, "leading")
    assert (model.num_classes, model.null_label) == (1000, 1000)
    for scale in (1.0, 3.0):
        stock = folders.stock_dit(folder, noise, labels, STEPS, scale)
        cfg = ClassifierFreeGuidance(scale=scale)
        assert off(drawn(model, DDIM(), noise, grid=grid, labels=labels, guidance=cfg), stock.pixels) < SAME
    mutants = {
        "null label K - 1": (dataclasses.replace(model, null_label=999), cfg),
        "three channels": (model, ClassifierFreeGuidance(scale=scale, channels=3)),
        "told timestep/1000": (told(model, lambda t: (t.tau - 1) / 1000), cfg),
        "other sign": (negated(model), cfg),
        "decoded without scaling": (dataclasses.replace(model, codec=_scaled(model.codec, 2.0)), cfg),
    }
    for name, (mutant, guidance) in mutants.items():
        found = drawn(mutant, DDIM(), noise, grid=grid, labels=labels, guidance=guidance)
        assert off(found, stock.pixels) > SEEN, name


def test_dit_guided_on_three_channels_leaves_the_fourth(tmp_path: Path) -> None:
    folder = folders.dit(tmp_path)
    model = loaded(folder)
    x, t, condition = folders.latents(folder), model.schedule.at(500), model.condition(LABELS)
    with torch.no_grad():
        plain = model.denoise(x, t, condition)
        whole, three = (
            ClassifierFreeGuidance(scale=4.0, channels=channels).guide(model.denoise, condition, model)(x, t)
            for channels in (None, 3)
        )
    torch.testing.assert_close(three.eps[:, 3:], plain.eps[:, 3:], rtol=0, atol=1e-5)  # of another batch
    torch.testing.assert_close(three.eps[:, :3], whole.eps[:, :3])
    assert off(whole.eps[:, 3:], plain.eps[:, 3:]) > SEEN


def test_the_learned_variance_of_a_dit_is_used(tmp_path: Path) -> None:
    """DiTPipeline throws it away; ddpm takes it where the folder's network has one."""
    model = loaded(folders.dit(tmp_path))
    assert model.variance == "learned"
    assert zoo.make_plan(zoo.Recipe(sampler="ddpm"), model, 2).sampler == DDPM(variance="learned")
    small = zoo.Recipe(sampler="ddpm", sampler_options={"variance": "small"})
    assert zoo.make_plan(small, model, 2).sampler == DDPM(variance="small")
    learned, fixed = (
        zoo.sample(model, "ddpm", labels=LABELS, steps=5, **options).images for options in ({}, {"variance": "small"})
    )
    assert off(learned, fixed) > SEEN


def test_dit_with_a_flow_runs_where_diffusers_fails(tmp_path: Path) -> None:
    folder = folders.dit_flow(tmp_path)
    noise, model = folders.latents(folder), loaded(folder)
    stock = folders.stock_dit(folder, noise, LABELS, STEPS, 3.0)
    grid, cfg = stock_grid(model, stock), ClassifierFreeGuidance(scale=3.0)
    assert off(drawn(model, ProbabilityFlow(), noise, grid=grid, labels=LABELS, guidance=cfg), stock.pixels) < SAME
    for name, mutant in {"told sigma": told(model, lambda t: t.tau), "other sign": negated(model)}.items():
        found = drawn(mutant, ProbabilityFlow(), noise, grid=grid, labels=LABELS, guidance=cfg)
        assert off(found, stock.pixels) > SEEN, name


def test_an_old_dit_is_read_by_its_norm(tmp_path: Path) -> None:
    import json

    folder = folders.dit(tmp_path)
    before = drawn(loaded(folder), DDIM(), folders.latents(folder), labels=LABELS)
    file = folder / "transformer" / "config.json"
    config = json.loads(file.read_text())
    file.write_text(json.dumps({**config, "_class_name": "Transformer2DModel"}))
    assert torch.equal(drawn(loaded(folder), DDIM(), folders.latents(folder), labels=LABELS), before)


RULES = {
    "scaling_factor": {"scaling_factor": 0.18215},
    "shift_factor": {"scaling_factor": 1.5305, "shift_factor": 0.0609},
    "mean and std": {
        "scaling_factor": 0.5, "latents_mean": [-1.0, 0.5, 0.2, 1.0], "latents_std": [8.0, 5.0, 3.0, 2.0],
    },
}  # fmt: skip
"""Rules by which latents are decoded, beside that of LDM: of Stable Diffusion and DiT, of SD3, of Playground."""


@pytest.mark.parametrize("rule", RULES)
def test_latents_are_decoded_by_the_rule_of_their_config(tmp_path: Path, rule: str) -> None:
    import diffusers

    folder = folders.dit(tmp_path, vae=RULES[rule])
    codec, z = loaded(folder).codec, folders.latents(folder)
    vae = diffusers.AutoencoderKL.from_pretrained(folder, subfolder="vae")
    given = vae.config
    if rule == "mean and std":
        mean, std = (torch.tensor(values).reshape(1, 4, 1, 1) for values in (given.latents_mean, given.latents_std))
        unscaled = z * std / given.scaling_factor + mean
    else:
        unscaled = z / given.scaling_factor + (given.shift_factor or 0.0)
    with torch.no_grad():
        expected = vae.decode(unscaled).sample
        back = codec.encode(expected)
        latents = vae.encode(expected).latent_dist.mode()
    assert off(codec.decode(z), expected) < SAME
    others = [vae.decode(z).sample, vae.decode(z / given.scaling_factor).sample]
    assert sum(off(it.detach(), expected) < SEEN for it in others) <= (rule == "scaling_factor")
    with torch.no_grad():
        assert off(codec.decode(back), vae.decode(latents).sample) < 10 * SAME  # encode is the way back


def test_latents_are_decoded_a_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, z = loaded(folders.ldm(tmp_path)), torch.randn(5, 3, 8, 8)
    whole = model.decode(z)
    sizes = []
    codec = model.codec
    assert isinstance(codec, Latents)
    decoder = codec._decoder
    monkeypatch.setattr(codec, "_decoder", lambda module, part: [sizes.append(len(part)), decoder(module, part)][1])
    monkeypatch.setattr("samplerzoo.core.codec.PIXELS_AT_ONCE", 2 * 16 * 16)
    torch.testing.assert_close(model.decode(z), whole, rtol=0, atol=SAME)
    assert sizes == [2, 2, 1]


# -- the whole way through


FAMILIES: dict[str, Callable[..., Path]] = {
    "ddpm": folders.ddpm,
    "flow": folders.flow,
    "edm": folders.edm,
    "continuous": folders.continuous,
    "ve": folders.ve,
    "consistency": folders.consistency,
    "ldm": folders.ldm,
    "dit": folders.dit,
    "dit_flow": folders.dit_flow,
}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_drawn_alike_by_library_and_pipeline(tmp_path: Path, family: str) -> None:
    folder = FAMILIES[family](tmp_path)
    model = loaded(folder)
    sampler = "ddim" if model.averages else "consistency"
    labels = None if model.num_classes is None else LABELS
    result = zoo.sample(model, sampler, steps=4, num_images=3, labels=labels, seed=3)
    assert result.images.shape == (3, *model.image_shape)
    assert result.states.shape == (3, *model.shape)
    torch.testing.assert_close(model.decode(result.states), result.images, rtol=0, atol=SAME)
    assert result.picture().width > 3 * model.image_shape[-1]
    pipeline = zoo.SamplerPipeline.from_pretrained(folder)
    call: dict[str, Any] = {"sampler": sampler, "num_inference_steps": 4, "class_labels": labels, "output_type": "pt"}
    images = pipeline(batch_size=3, generator=torch.Generator().manual_seed(3), **call).images
    assert off(images, (result.images / 2 + 0.5).clamp(0, 1)) < SAME


@pytest.mark.parametrize("family", ["ddpm", "flow", "edm", "ve", "ldm", "dit", "dit_flow"])
@pytest.mark.parametrize("sampler", ["ddpm", "heun", "dpm-solver++", "unipc", "reverse-sde", "deis"])
def test_samplers_of_every_kind_run_on_every_family(tmp_path: Path, family: str, sampler: str) -> None:
    model = loaded(FAMILIES[family](tmp_path))
    labels = None if model.num_classes is None else [0, 1]
    images = zoo.sample(model, sampler, steps=6, num_images=2, labels=labels).images
    assert images.isfinite().all()


def test_architectures_claim_what_they_read_and_nothing_twice() -> None:
    from samplerzoo.models.parts import architectures

    found = architectures()
    assert {"unet2d", "dit", "betas", "flow", "edm", "ve", "consistency", "lcm", "kl", "vq"} <= {
        name for name, _ in found
    }
    for (_, one), (_, other) in itertools.combinations(found, 2):
        for config in ({"_class_name": name} for name in (*one.reads, *other.reads)):
            assert not (one.claims(config) and other.claims(config)), config
