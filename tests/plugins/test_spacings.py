"""Spacings: options behind the name, plugins of a file, and answers that cannot be used."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
from samplerzoo_plugins.spacings import Karras, Trailing

import samplerzoo as zoo
from samplerzoo import registry
from samplerzoo.core.paths import VE, RectifiedFlow
from samplerzoo.core.schedule import Schedule
from samplerzoo.errors import UsageError, ZooError
from samplerzoo.testing import check_spacing, gaussian

AUTHORS = Path(__file__).parents[2] / "plugins" / "README.md"


def test_options_stand_behind_the_name(linear: Schedule) -> None:
    """Check that rho is the exponent of Karras et al. 2022, eq. 5, on each kind of path."""
    for path in (linear, VE(), RectifiedFlow()):
        grid = path.grid(9, "karras:rho=3")
        roots = [math.exp(-level.log_snr / 2) ** (1 / 3) for level in grid.levels[:-1]]
        np.testing.assert_allclose(np.diff(roots), (roots[-1] - roots[0]) / 8, rtol=1e-7)
    assert linear.grid(9, "karras") == linear.grid(9, "karras:rho=7") == linear.grid(9, Karras())
    assert linear.grid(9, "samplerzoo:karras:rho=3") == linear.grid(9, Karras(rho=3))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("karas", r"no spacing 'karas' \(did you mean karras\?\)"),
        ("karras:roh=3", r"spacing karras has no option 'roh' \(did you mean rho\?\); it has: rho"),
        ("trailing:rho=3", "spacing trailing has no option 'rho'; it belongs to: karras"),
        ("karras:rho=x", "spacing karras: rho: Input should be a valid number"),
        ("karras:rho=0", "spacing karras: rho: Input should be greater than or equal to 1"),
        ("ddim", "ddim is a sampler; type --sampler ddim"),
    ],
)
def test_what_no_spacing_is(linear: Schedule, name: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        linear.grid(5, name)


def test_that_of_a_file_is_sampled_on(halves: Path, linear: Schedule) -> None:
    registry.load_file(halves)
    out = zoo.sample(gaussian(linear), "ddim", steps=2, spacing="halves", num_images=1)
    assert [level.tau for level in out.grid.levels] == [1000, 500, 0]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("None", "taus gives None, and has to give a list of numbers"),
        ("['a']", "taus gives a list, and has to give a list of numbers"),
        ("[schedule.T]", "and has to give 3 times tau, one a step, and these are 1"),
        ("[nothing]", "fails: NameError: name 'nothing' is not defined"),
    ],
)
def test_a_mistake_has_file_and_line(halves: Path, linear: Schedule, answer: str, said: str) -> None:
    halves.write_text(halves.read_text().replace("[schedule.T * self.part**k for k in range(steps)]", answer))
    registry.load_file(halves)
    with pytest.raises(ZooError) as caught:
        linear.grid(3, "halves")
    assert said in str(caught.value)
    assert "spacing halves" in str(caught.value)
    assert f"{halves}, line 1" in str(caught.value)


def test_that_of_the_guide_passes_the_kit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_files", {})
    blocks = re.findall(r"^```python\n(.*?)^```$", AUTHORS.read_text(), re.MULTILINE | re.DOTALL)
    (source,) = (block for block in blocks if "(Spacing)" in block)
    (tmp_path / "power.py").write_text(source)
    registry.load_file(tmp_path / "power.py")
    made = registry.spacing("power:power=3")
    assert isinstance(made, zoo.Spacing)
    check_spacing(made)


def test_one_step_starts_at_the_top_of_every_path() -> None:
    for path in (VE(), RectifiedFlow()):
        assert [level.tau for level in path.grid(1, Trailing()).levels] == [path.T, 0]
