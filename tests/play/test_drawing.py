"""Requests that settings of the page make, and the drawings of them, without a browser and without gradio."""

from __future__ import annotations

import dataclasses
import shlex
import threading
from pathlib import Path
from typing import Any

import folders
import numpy as np
import pytest
import torch

import samplerzoo as zoo
from samplerzoo import images
from samplerzoo.cli import main
from samplerzoo.core.paths import NAMED_PATHS
from samplerzoo.play.drawing import Drawn, Moment, draw
from samplerzoo.play.studio import Studio, fitting_options
from samplerzoo.report import plane
from samplerzoo.sampling.converged import with_steps
from samplerzoo.sampling.plan import make_plan
from samplerzoo.sampling.recipe import Recipe


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    return Studio.open(str(folders.ddpm(tmp_path_factory.mktemp("play") / "model", classes=3)), device="cpu")


def drawn(studio: Studio, **values: object) -> Drawn:
    *_, last = draw(studio.ask({"sampler": "ddim", "steps": 3, "images": 3, **values}).plan)
    assert isinstance(last, Drawn)
    return last


def test_the_printed_command_makes_the_images_of_the_page(studio: Studio, tmp_path: Path) -> None:
    values = {"sampler": "dpm-solver++", "solver_order": 3, "eta": 0.5, "spacing": "karras", "spacing_rho": 5.0}
    values |= {"class_labels": "2,0", "seed": 7, "images": 3, "steps": 4, "clip_x0": "static:1"}
    request = studio.ask(values)
    *_, last = draw(request.plan)
    program, *words = shlex.split(request.command)
    assert program == "samplerzoo"
    assert main([*words, "-o", str(tmp_path / "run")]) == 0
    for number, pixels in enumerate(last.pixels):
        made = images.read_png(tmp_path / "run" / "images" / f"{number:06d}.png")[0]
        np.testing.assert_array_equal(made, pixels)


def test_the_way_has_every_state_and_ends_in_the_images(studio: Studio) -> None:
    found = drawn(studio, steps=5)
    assert (len(found.way.states), len(found.way.predictions), found.cost.nfe) == (6, 5, 5)
    np.testing.assert_array_equal(images.to_uint8(found.way.states[-1]), found.pixels)


def test_a_drawing_that_nobody_reads_stops(studio: Studio) -> None:
    calls = 0

    def net(*asked: Any) -> torch.Tensor:
        nonlocal calls
        calls += 1
        return studio.model.net(*asked)

    counting = dataclasses.replace(studio, model=dataclasses.replace(studio.model, net=net))
    moments = draw(counting.ask({"sampler": "ddim", "steps": 1000, "images": 1}).plan)
    assert isinstance(next(moments), Moment)
    moments.close()
    for thread in threading.enumerate():
        if thread.name == "drawing":
            thread.join(timeout=60)
            assert not thread.is_alive()
    assert 0 < calls < 1000


def test_an_error_of_the_drawing_reaches_its_reader(studio: Studio) -> None:
    with pytest.raises(zoo.ZooError, match="cfg needs a null label"):
        drawn(studio, guidance="cfg")


def test_of_another_sampler_only_the_options_that_it_has_are_kept() -> None:
    values = {"sampler": "ddpm", "eta": 1.0, "steps": 5, "guidance": None, "guidance_scale": 2.0, "images": 2}
    assert fitting_options(values) == {"sampler": "ddpm", "steps": 5, "guidance": None, "images": 2}


@pytest.mark.parametrize("path", NAMED_PATHS)
def test_points_of_the_plane_follow_the_flow_as_steps_grow_many(path: str) -> None:
    ends = []
    for steps in (5, 200):
        recipe = Recipe(sampler="ddim", steps=steps)
        plan = make_plan(recipe, plane.plane(NAMED_PATHS[path]()), 50)
        *_, points = draw(plan)
        *_, flow = draw(with_steps(plan, 128))
        ends.append(float((plane.ends_of(points) - plane.ends_of(flow)).norm(dim=1).mean()))
    few, many = ends
    assert many < 0.05 < few  # a twentieth of the distance of neighbouring modes; they are .1 to .35 and .002 to .006


def test_the_film_holds_every_moment_of_its_points() -> None:
    plan = make_plan(Recipe(sampler="heun", steps=4), plane.plane(NAMED_PATHS["vp"]()), 30)
    *_, points = draw(plan)
    *_, flow = draw(with_steps(plan, 128))
    film = plane.film(points, flow)
    assert film.count("calcMode='linear'") == 2 * (plane.MOVING + 1)  # both coordinates of each point, and the level
    first = film.split("values='")[1].split("'")[0].split(";")
    assert len(first) == 4 + 1 + 1  # noise, four steps, and the rest at the end
    assert "nan" not in film


def test_the_share_near_a_mode_is_that_of_the_data() -> None:
    generator = torch.Generator().manual_seed(0)
    centres = plane.modes().repeat(500, 1)
    points = centres + plane.STD * torch.randn(len(centres), 2, generator=generator)
    assert plane.share_near(points) == pytest.approx(0.9889, abs=0.005)  # 1 - exp(-4.5), of 4,000 draws
