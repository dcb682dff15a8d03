"""Odd arguments of public functions: no error, or one clear error of the project's own."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch

import samplerzoo as zoo
from samplerzoo import registry
from samplerzoo.bench import frame
from samplerzoo.errors import UsageError, ZooError

ODD = [
    None, "", b"x", -1, float("nan"), 10**400, True, [], {}, object(), "\ud800", np.array([1.0, 2.0]), torch.zeros(2),
    "nothing", int, "a\0b",
]  # fmt: skip
SCHEDULE = zoo.VP.from_config({})
GRID = SCHEDULE.grid(2)
MODEL: dict[str, Any] = {"net": lambda x, t, c: x, "schedule": SCHEDULE, "shape": (1, 2, 2)}


def model() -> zoo.Model:
    return zoo.Model(**MODEL)


def scheduler() -> zoo.SamplerScheduler:
    return zoo.as_scheduler("ddim", diffusers.DDIMScheduler())


DDIM = registry.get("sampler", "ddim").load()
CFG = registry.get("guidance", "cfg").load()
CALLS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "Model": (zoo.Model, MODEL),
    "sample": (zoo.sample, {"model": model(), "sampler": "ddim", "steps": 1, "num_images": 1}),
    "load": (zoo.load, {"name": "nobody"}),
    "load_file": (zoo.load_file, {"path": "none.py"}),
    "find_model": (zoo.find_model, {"name": "mnist"}),
    "as_scheduler": (zoo.as_scheduler, {"sampler": "ddim", "scheduler": diffusers.DDIMScheduler()}),
    "SamplerScheduler": (zoo.SamplerScheduler, {}),
    "set_timesteps": (scheduler().set_timesteps, {"num_inference_steps": 2}),
    "make_plan": (
        zoo.make_plan, {"recipe": zoo.Recipe(sampler="ddim", steps=1), "model": model(), "num_images": 1},
    ),
    "stream": (
        lambda plan, batch_size=1, indices=None: [*zoo.stream(plan, batch_size=batch_size, indices=indices)],
        {"plan": zoo.make_plan(zoo.Recipe(sampler="ddim", steps=1), model(), 1)},
    ),
    "frame": (frame, {"folder": "none"}),
    "digest": (lambda file: zoo.digest(file), {"file": "none"}),
    "read_object": (lambda path: zoo.read_object(path), {"path": "none"}),
    "atomic_file": (lambda path: contextlib.ExitStack().enter_context(zoo.atomic_file(path)), {"path": "none"}),
    "check_transformers": (zoo.check_transformers, {"folder": "none"}),
    "Recipe": (zoo.Recipe, {"sampler": "ddim"}),
    "a sampler": (DDIM, {}),
    "a guidance": (CFG, {"scale": 2.0}),
    "Clip": (zoo.Clip, {"mode": "static"}),
    "Clip.parse": (zoo.Clip.parse, {"text": "off"}),
    "Parametrization": (zoo.Parametrization, {"name": "x", "c_skip": abs, "c_out": abs}),
    "edm": (zoo.edm, {}),
    "VP.from_config": (zoo.VP.from_config, {"config": {}}),
    "VP": (zoo.VP, {"betas": [0.1, 0.2]}),
    "VE": (zoo.VE, {}),
    "RectifiedFlow": (zoo.RectifiedFlow, {}),
    "Grid": (zoo.Grid, {"levels": GRID.levels}),
    "karras": (lambda top=2.0, low=1.0, steps=2, rho=7.0: zoo.karras(top, low, steps, rho), {}),
    "grid": (SCHEDULE.grid, {"steps": 2}),
    "grid of a flow": (zoo.RectifiedFlow().grid, {"steps": 2}),
    "transition_variance": (zoo.transition_variance, {"t": GRID.levels[0], "s": GRID.levels[1]}),
    "posterior_std": (zoo.posterior_std, {"t": GRID.levels[0], "s": GRID.levels[1]}),
    "grid_at": (SCHEDULE.grid_at, {"timesteps": [5, 1]}),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CALLS)
def test_odd_arguments_are_refused_in_words(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    function, usual = CALLS[name]
    for argument, parameter in inspect.signature(function).parameters.items():
        for value in ODD if parameter.kind is not parameter.VAR_KEYWORD else ():
            if argument == "on_step" and value is int:
                continue  # a function of one's own that fails
            with contextlib.suppress(ZooError):
                function(**{**usual, argument: value})


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"parametrization": "epsilon"}, r"such as PARAMETRIZATIONS\['epsilon'\]"),
        ({"parametrization": None}, "has to be a Parametrization"),
        ({"num_classes": -1}, "num_classes of a model in memory is a whole number of at least 1, not -1"),
        ({"num_classes": "ten"}, "num_classes of a model in memory is a whole number, not 'ten'"),
        ({"num_classes": True}, "is a whole number, not True"),
        (
            {"num_classes": 3, "null_label": 99},
            "null_label 99: .* the classes 0 to 2; a null label stands right",
        ),
        ({"null_label": 3}, "null_label 3: a model in memory has no classes"),
        ({"class_names": "ab"}, "a tuple of texts, one a class, not 'ab'"),
        ({"class_counts": ["a"]}, "a tuple of whole numbers, one a class"),
        ({"variance": "medium"}, "variance of .* has to be one of"),
        ({"clip": "static"}, "clip of a model is 'static', and has to be a Clip"),
        ({"text": "a cat"}, "text of a model is 'a cat', and has to be a TextEncoder"),
        ({"shape": (1, 10**6, 10**6)}, r"states of .* have more than 67108864 values"),
        ({"classifier": 3}, "classifier of a model in memory is 3, and has to be a function"),
    ],
)
def test_a_model_that_cannot_be_is_refused_when_it_is_made(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        zoo.Model(**{**MODEL, **wrong})


@pytest.mark.parametrize("function", [zoo.transition_variance, zoo.posterior_std])
def test_a_transition_leads_to_a_noisier_level(function: Callable[..., float]) -> None:
    noisy, cleaner, clean = GRID.levels
    for t, s in ((cleaner, noisy), (clean, noisy), (clean, clean)):
        with pytest.raises(UsageError, match="a transition leads from s to a noisier t"):
            function(t, s)
    assert function(noisy, noisy) == 0
    assert function(noisy, clean) == (noisy.sigma**2 if function is zoo.transition_variance else 0)


@pytest.mark.parametrize("schedule", [SCHEDULE, zoo.RectifiedFlow(), zoo.VE()])
@pytest.mark.parametrize("spacing", ["trailing", "karras", "logsnr"])
def test_too_many_steps_are_no_fault_of_the_spacing(schedule: zoo.Schedule, spacing: str) -> None:
    with pytest.raises(UsageError, match="steps is a whole number of at most 10,000, not"):
        schedule.grid(10**400, spacing)


def test_a_null_label_behind_the_classes_is_taken() -> None:
    assert zoo.Model(**MODEL, num_classes=3, null_label=3).has_null


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: zoo.Recipe(sampler="ddim", steps="x"), "Recipe: steps: Input should be a valid integer"),
        (lambda: zoo.Recipe(steps=3), "Recipe: sampler: Field required"),
        (lambda: DDIM(eta=5), "DDIM: eta: Input should be less than or equal to 1"),
        (lambda: DDIM(etta=1), "DDIM: etta: Extra inputs are not permitted"),
        (lambda: CFG(scale=True), "ClassifierFreeGuidance: scale: true stands where no truth value can"),
        (lambda: registry.make("sampler", "ddim", {"eta": 5}), "sampler ddim: eta: Input should be"),
        (lambda: zoo.load("mnist", nobody=1), "nobody: Extra inputs are not permitted"),
    ],
)
def test_options_are_refused_in_one_line_as_all_values_are(make: Callable[[], object], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        make()
    assert str(caught.value).startswith(words)
    assert "\n" not in str(caught.value)


def test_arguments_that_a_call_lacks_are_an_error_of_python() -> None:
    for call in (zoo.Model, zoo.Grid, lambda: zoo.as_scheduler("ddim"), lambda: DDIM(1.0)):  # type: ignore[call-arg]
        with pytest.raises(TypeError):
            call()  # type: ignore[operator]


@pytest.mark.parametrize("spacing", [3, b"x", [], object(), "", "nothing"])
def test_a_scheduler_of_no_spacing_is_refused_at_once(spacing: Any) -> None:
    with pytest.raises(UsageError, match="spacing"):
        zoo.as_scheduler("ddim", diffusers.DDIMScheduler(), spacing=spacing)


def test_a_seed_is_no_truth() -> None:
    with pytest.raises(UsageError, match="a seed is a whole number, not True"):
        zoo.as_scheduler("ddim", diffusers.DDIMScheduler(), seed=True)


def test_empty_texts_are_not_the_default() -> None:
    asked: dict[str, Any] = {"sampler": "ddim", "steps": 1, "num_images": 1}
    with pytest.raises(UsageError, match="class labels ''"):
        zoo.sample(zoo.Model(**MODEL, num_classes=3), labels="", **asked)
    with pytest.raises(UsageError, match="spacing"):
        zoo.sample(model(), spacing="", **asked)
    with pytest.raises(UsageError, match="class labels ''"):
        zoo.make_plan(zoo.Recipe(sampler="ddim", steps=1, class_labels=""), zoo.Model(**MODEL, num_classes=3), 1)
