"""Controls are made from the fields of plugins, and their values go back into the fields."""

from __future__ import annotations

import gc
import math
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any, Literal

import folders
import pytest
from PIL import Image

from samplerzoo import Field, Sampler
from samplerzoo.fields import facts
from samplerzoo.play.studio import Studio

gr = pytest.importorskip("gradio", reason="pip install 'samplerzoo[play]'")
controls = pytest.importorskip("samplerzoo.play.controls")
sweep = pytest.importorskip("samplerzoo.play.sweep")
pytestmark = pytest.mark.filterwarnings("ignore")  # of gradio


class Colour(Enum):
    red = "red"
    blue = "blue"


class Everything(Sampler):
    """Sampler with a field of every kind."""

    share: float = Field(0.5, ge=0.0, le=1.0, description="a share")
    levels: int = Field(2, ge=1, le=3, description="a small number")
    large: float = Field(1.0, ge=0.0, le=1e4, description="a number between bounds far apart")
    above: float = Field(1.0, gt=0.0, le=2.0, description="a number above a bound that it may not be")
    free: int | None = Field(None, description="a number, or nothing")
    kind: Literal["a", "b"] = Field("a", description="a choice")
    whole: Literal[1, 2] | None = Field(None, description="a choice of numbers, or nothing")
    on: bool = Field(True, description="a switch")
    many: tuple[float, ...] = Field((1.0, 2.0), description="numbers")
    text: str = Field("x", description="a text")
    needed: float = Field(description="a number that has to be given")
    maybe: bool | None = Field(None, description="yes, no, or as the model has it")
    hue: Colour = Field(Colour.red, description="an enumeration")
    endless: float = Field(math.inf, description="a number that no browser has")
    huge: int = Field(2**60 + 1, description="a number that a browser rounds")


@pytest.fixture(scope="module", autouse=True)
def swept() -> Iterator[None]:
    """Collect what gradio leaves open, while warnings of it are ignored."""
    yield
    gc.collect()


@pytest.fixture
def made() -> dict[str, Any]:
    with gr.Blocks():
        return {name: controls.field(name, known) for name, known in facts(Everything).items()}


def test_each_kind_of_field_has_its_component(made: dict[str, Any]) -> None:
    kinds = {name: type(control.component).__name__ for name, control in made.items()}
    assert kinds == {
        "share": "Slider", "levels": "Slider", "large": "Number", "above": "Number", "free": "Number",
        "kind": "Dropdown", "whole": "Dropdown", "on": "Checkbox", "many": "Textbox", "text": "Textbox",
        "needed": "Number", "maybe": "Dropdown", "hue": "Dropdown", "endless": "Textbox", "huge": "Textbox",
    }  # fmt: skip
    levels = made["levels"].component
    assert (levels.minimum, levels.maximum, levels.value, levels.step) == (1, 3, 2, 1)
    assert "a small number" in levels.info
    assert all(control.component.interactive for control in made.values())


def test_what_is_left_as_it_is_is_not_set(made: dict[str, Any]) -> None:
    """A sampler may have another default for a model: it has to see that nothing was chosen."""
    shown = [control.component.value for control in made.values()]
    assert controls.values([*made.values()], shown) == {}


def test_what_is_typed_becomes_the_values_of_the_fields(made: dict[str, Any]) -> None:
    typed = {
        "share": 0.25, "levels": 3, "large": 7, "above": 0.5, "free": 4, "kind": "b", "whole": "2", "on": False,
        "many": "3, 4.5", "text": "y", "needed": 1, "maybe": "no", "hue": "blue", "endless": "7.5",
        "huge": str(2**60 + 3),
    }  # fmt: skip
    found = controls.values([*made.values()], [*typed.values()])
    sampler = Everything(**found)
    assert sampler.model_dump() == {
        **typed,
        "whole": 2,
        "many": (3.0, 4.5),
        "maybe": False,
        "hue": Colour.blue,
        "endless": 7.5,
        "huge": 2**60 + 3,
    }


def test_a_switch_that_has_to_be_set_can_be_set_to_no() -> None:
    class Switched(Sampler):
        on: bool = Field(description="a switch without a default")

    with gr.Blocks():
        switch = controls.field("on", facts(Switched)["on"])
    assert controls.values([switch], [switch.component.value]) == {}
    assert controls.values([switch], ["no"]) == {"on": False}


def test_an_axis_reads_values_as_its_control_does(made: dict[str, Any]) -> None:
    every = [*made.values()]

    def read(option: str, text: str) -> tuple[str, list[Any]]:
        given = {"steps": 5, "rows": option, "rows values": text}
        found = sweep.read_axis(every, "rows", given)
        assert given == {"steps": 5}
        return found

    assert read("levels", "1, 2,3") == ("levels", [1, 2, 3])
    assert read("on", "yes,no") == ("on", [True, False])
    assert read("whole", "1,none") == ("whole", [1, None])
    with pytest.raises(controls.ZooError, match=r"levels: .*valid integer.* the values are 1,x"):
        read("levels", "1,x")
    with pytest.raises(controls.ZooError, match="an axis needs an option and values"):
        read("levels", " ")


def test_a_model_of_prompts_is_asked_for_prompts(tmp_path: Path) -> None:
    studio = Studio.open(str(folders.sd(tmp_path / "model")), device="cpu")
    with gr.Blocks():
        asked = controls.subject(studio, "one", 2)
    assert [control.name for control in asked] == ["prompts", "negative_prompt", "images", "seed"]
    found = controls.values(asked, ["a cat\na dog", "", 2, 0])
    request = studio.ask({"sampler": "ddim", "steps": 2, **found})
    assert request.plan.prompts == ("a cat", "a dog")
    assert "'--prompts=a cat' '--prompts=a dog'" in request.command
    many = controls.values(asked, ["\n".join(map(str, range(40))), "", 2, 0])
    assert (
        "--prompts=39 " in studio.ask({"sampler": "ddim", "steps": 2, **many}).command
    )  # and no file that there is not


def test_equal_pictures_have_files_of_their_own(tmp_path: Path) -> None:
    """One that is written again while a browser reads it would be a broken picture."""
    from gradio.image_utils import save_image

    pictures = [controls.marked(Image.new("L", (4, 4))) for _ in range(2)]
    assert len({save_image(each, str(tmp_path), "png") for each in pictures}) == 2


def test_a_hostile_error_is_text(tmp_path: Path) -> None:
    with pytest.raises(gr.Error) as said, controls.told():
        raise controls.ZooError("no <img src=x onerror=alert(1)>")
    assert "&lt;img" in said.value.message
    assert "<img" not in said.value.message
