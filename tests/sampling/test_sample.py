"""`sample` as people call it: its result, its trajectory, and what is refused with what was meant."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import samplerzoo as zoo
from samplerzoo.errors import UsageError, ZooError


@pytest.fixture(scope="module")
def model() -> zoo.Model:
    return zoo.load("exact:digits:bandwidth=0.2", device="cpu")


def test_a_result_is_two_lines(model: zoo.Model) -> None:
    lines = repr(zoo.sample(model, "ddim", steps=3, num_images=10)).splitlines()
    assert lines[0] == "Result: 10 images of 1x8x8, labels 0, 1, 2, 3, 4, 5, 6, 7, …"
    assert lines[1].startswith("        3 steps, 3 network evaluations an image, ")
    assert len(lines) == 2


def test_one_label_is_that_of_all_images(model: zoo.Model) -> None:
    assert zoo.sample(model, "ddim", steps=2, num_images=3, labels=3).labels == [3, 3, 3]


@pytest.mark.parametrize("sampler", ["ddim", "heun", "ddpm"])
def test_a_trajectory_has_all_states_and_what_is_predicted_from_them(model: zoo.Model, sampler: str) -> None:
    seen: list[torch.Tensor] = []
    found = zoo.sample(
        model, sampler, steps=4, num_images=5, batch_size=2, trajectory=True,
        on_step=lambda number, level, x: seen.append(x),
    )  # fmt: skip
    way = found.trajectory
    assert way is not None
    assert way.states.shape == (5, 5, 1, 8, 8)
    assert way.predictions.shape == (4, 5, 1, 8, 8)
    assert torch.equal(way.states[-1], found.states)
    assert torch.equal(way.states[:, :2], torch.stack(seen[:5]))
    condition = model.condition(found.labels)
    for number, level in enumerate(found.grid.levels[:-1]):
        torch.testing.assert_close(way.predictions[number], model.denoise(way.states[number], level, condition).x0)
    assert zoo.sample(model, sampler, steps=4, num_images=2).trajectory is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"sampler": "DDIM"}, "did you mean ddim"),
        ({"sampler": "dpmsolver++"}, r"did you mean dpm-solver\+\+"),
        ({"sampler": 3}, "sampler is 3, and has to be a name or a Sampler"),
        ({"guidance": zoo.Guidance}, "give an object of it"),
        ({"scale": 2.0}, "called guidance_scale"),
        ({"guidance_scale": 2.0}, 'guidance="cfg"'),
        ({"num_inference_steps": 5}, "called steps here"),
        ({"generator": torch.Generator()}, "called seed here"),
        ({"etta": 0.0}, "did you mean eta"),
        ({"labels": 99}, "99"),
    ],
)
def test_what_was_meant_is_said(model: zoo.Model, words: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        zoo.sample(model, **{"steps": 2, **words})


def test_the_name_of_a_model_is_no_model() -> None:
    with pytest.raises(UsageError, match=r"samplerzoo.load\('exact:digits'\) makes one"):
        zoo.sample("exact:digits", "ddim")  # type: ignore[arg-type]


def test_a_bar_is_shown_where_it_is_asked_for(model: zoo.Model, capsys: pytest.CaptureFixture[str]) -> None:
    zoo.sample(model, "ddim", steps=2, num_images=2)
    assert capsys.readouterr().err == ""
    zoo.sample(model, "ddim", steps=2, num_images=2, progress=True)
    assert "sampling" in capsys.readouterr().err


@pytest.mark.parametrize("kind", [ValueError, TypeError, StopIteration, GeneratorExit, KeyboardInterrupt, ZooError])
@pytest.mark.parametrize("sampler", ["ddim", "dpm-solver++"])
def test_an_error_of_a_listener_is_its_own(model: zoo.Model, kind: type[BaseException], sampler: str) -> None:
    mine = kind("mine")

    def listen(number: int, level: Any, x: torch.Tensor) -> None:
        if number == 1:
            raise mine

    with pytest.raises(kind) as caught:
        zoo.sample(model, sampler, steps=2, num_images=2, on_step=listen)
    assert caught.value is mine


@pytest.mark.parametrize("labels", [[1.5], [True], torch.tensor([1.0]), ["3"]])
def test_a_label_is_a_whole_number(model: zoo.Model, labels: Any) -> None:
    with pytest.raises(UsageError, match="a label is a whole number"):
        zoo.sample(model, "ddim", steps=2, labels=labels)


def test_steps_and_timesteps_are_not_both_taken(model: zoo.Model) -> None:
    with pytest.raises(UsageError, match="timesteps take the place of steps"):
        zoo.sample(model, "ddim", steps=7, timesteps=[999, 500], num_images=1)


@pytest.mark.parametrize("size", [2000, 8000, 10**6])
def test_an_exact_model_is_bounded_before_its_images_are_read(size: int) -> None:
    with pytest.raises(UsageError, match="too large to be kept in memory: :image_size=32"):
        zoo.load(f"exact:digits:image_size={size}", device="cpu")


@pytest.mark.parametrize("keys", [{"steps": True}, {"steps": 2, "seed": False}, {"steps": 2, "eta": True}])
def test_a_truth_value_is_no_number(model: zoo.Model, keys: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"is a whole number, not|where no truth value can"):
        zoo.sample(model, "ddim", num_images=1, **keys)


ODD = [None, 3, 2.5, b"mnist", ["mnist"], "", True, {}, Path("nowhere/at/all")]
"""Values of any type, of which a name, a list or a number is one at a time."""
PATH: dict[str, Any] = {"schedule": zoo.VP.from_config({}), "shape": (1, 2, 2)}


def net(x: torch.Tensor, time: torch.Tensor, condition: object) -> torch.Tensor:
    return x


CALLS: dict[str, Callable[[Any, zoo.Model], object]] = {
    "load": lambda odd, model: zoo.load(odd),
    "find_model": lambda odd, model: zoo.find_model(odd),
    "load_file": lambda odd, model: zoo.load_file(odd),
    "load(device)": lambda odd, model: zoo.load("exact:digits", device=odd),
    "load(dtype)": lambda odd, model: zoo.load("exact:digits", dtype=odd),
    "load(layout)": lambda odd, model: zoo.load("exact:digits", layout=odd),
    "from_pretrained": lambda odd, model: zoo.SamplerPipeline.from_pretrained(odd),
    "sample(model)": lambda odd, model: zoo.sample(odd),
    "sample(sampler)": lambda odd, model: zoo.sample(model, odd),
    "make_plan(recipe)": lambda odd, model: zoo.make_plan(odd, model, 1),
    "make_plan(model)": lambda odd, model: zoo.make_plan(zoo.Recipe(sampler="ddim"), odd, 1),
    "stream": lambda odd, model: next(zoo.stream(odd)),
    "Model(net)": lambda odd, model: zoo.Model(odd, **PATH),
    "Model(schedule)": lambda odd, model: zoo.Model(net, **{**PATH, "schedule": odd}),
    "Model(shape)": lambda odd, model: zoo.Model(net, **{**PATH, "shape": odd}),
    "Clip.parse": lambda odd, model: zoo.Clip.parse(odd),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_value_of_another_type_is_one_clear_error(model: zoo.Model, call: str) -> None:
    for odd in ODD:
        with pytest.raises(zoo.ZooError):
            CALLS[call](odd, model)


@pytest.mark.parametrize(
    "keyword",
    "labels prompts num_images guidance steps spacing timesteps clip_x0 seed batch_size on_step eta".split(),
)
def test_a_keyword_of_another_type_is_one_clear_error(model: zoo.Model, keyword: str) -> None:
    """What a keyword takes is taken, and what it does not take raises no other kind of error."""
    for odd in ODD:
        with contextlib.suppress(zoo.ZooError):
            zoo.sample(model, "ddim", **{"steps": 1, "num_images": 1, keyword: odd})


def test_a_path_and_a_device_of_torch_are_taken() -> None:
    assert zoo.find_model(Path("mnist")) == zoo.find_model("mnist")
    assert zoo.load("exact:digits", device=torch.device("cpu")).device == "cpu"


@pytest.mark.parametrize("label", [3, np.int64(3), torch.tensor(3), np.array(3)])
def test_one_label_may_be_of_any_library(model: zoo.Model, label: Any) -> None:
    assert zoo.sample(model, "ddim", steps=1, num_images=2, labels=label).labels == [3, 3]


@pytest.mark.parametrize(
    ("decode", "fits"),
    [
        (lambda x: x.double(), True),
        (lambda x: x.half(), True),
        (lambda x: (255 * x).byte(), False),
        (lambda x: x + 0j, False),
        (lambda x: x[0], False),
        (lambda x: None, False),
    ],
)
def test_pictures_are_those_that_a_codec_has_to_give(decode: Callable[[Any], Any], fits: bool) -> None:
    class Own(zoo.Codec):
        def decode(self, states: torch.Tensor) -> torch.Tensor:
            return decode(states)  # type: ignore[no-any-return]

    own = zoo.Model(net, **PATH, codec=Own(), name="mine")
    if fits:
        assert zoo.sample(own, "ddim", steps=1, num_images=2).images.dtype == torch.float32
        return
    with pytest.raises(zoo.ZooError, match="the codec of mine has to decode states to pictures"):
        zoo.sample(own, "ddim", steps=1, num_images=2)


def test_pictures_that_are_no_numbers_are_the_decoders_fault_alone() -> None:
    class Broken(zoo.Codec):
        name = "latents"

        def decode(self, states: torch.Tensor) -> torch.Tensor:
            return states / 0

    own = zoo.Model(net, **PATH, codec=Broken(), name="mine")
    with pytest.raises(zoo.ZooError, match=r"the decoder of mine \(latents\) returned NaN or infinity; its weights or"):
        zoo.sample(own, "ddim", steps=1, num_images=2)
    assert own.decode(torch.full((1, 1, 2, 2), torch.nan)).isnan().all()  # of which the states themselves are to blame


def test_timesteps_are_no_text(model: zoo.Model) -> None:
    with pytest.raises(UsageError, match="timesteps is a list of numbers, not '900'"):
        zoo.sample(model, "ddim", timesteps="900", num_images=1)  # type: ignore[arg-type]
