"""Blame of errors: frames of a traceback, and the plugins that they belong to."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any
from unittest import SkipTest

import pytest
import torch
from samplerzoo_plugins.ddim import DDIM
from samplerzoo_plugins.dpm_solver_pp import DPMSolverPP

from samplerzoo import registry
from samplerzoo.core.blame import blame, blaming, plugin_title
from samplerzoo.core.guidance import Guidance
from samplerzoo.core.kinds import check_plugin
from samplerzoo.core.paths import VP
from samplerzoo.core.sampler import Sampler
from samplerzoo.core.schedule import Schedule
from samplerzoo.errors import UsageError, ZooError
from samplerzoo.models.load import Model
from samplerzoo.options import Field
from samplerzoo.sampling.sample import sample
from samplerzoo.testing import gaussian, mixture


class Failing(Sampler):
    """Sampler that raises the error in ERROR."""

    def step(self, x, t, s, denoise, noise):
        raise ERROR[0]


ERROR: list[BaseException] = [ZeroDivisionError("nothing")]


def failure(sampler: Sampler, error: BaseException) -> BaseException:
    """Return the error that a run ends with."""
    ERROR[0] = error
    with pytest.raises(BaseException) as caught:  # noqa: PT011
        sample(gaussian(VP.from_config({})), sampler, steps=2, num_images=1)
    return caught.value


def test_an_error_is_one_line_from_the_error_itself() -> None:
    error = KeyError("nothing\nof that name")
    found = failure(Failing(), error)
    assert isinstance(found, ZooError)
    assert str(found).startswith("sampler Failing fails: KeyError: 'nothing\\nof that name' (")
    line = Failing.step.__code__.co_firstlineno + 1
    assert str(found).endswith(f"test_blame.py, line {line}, in step)")
    assert found.__cause__ is error


@pytest.mark.parametrize(
    "error",
    [
        ZooError("it has its message"),
        UsageError("this too"),
        torch.OutOfMemoryError("lower the batch size"),
        SkipTest("not here"),
        KeyboardInterrupt(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_some_errors_are_nobodys(error: BaseException) -> None:
    assert failure(Failing(), error) is error


def test_without_a_line_of_a_plugin_there_is_no_blame() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        int("1") / 0
    assert blame(caught.value, DDIM) is None
    with pytest.raises(ZeroDivisionError), blaming(DDIM(), None):
        raise ZeroDivisionError


def test_what_on_step_raises_is_its_callers_affair() -> None:
    class Cancelled(Exception):
        pass

    class Right(DDIM):
        def step(self, x, t, s, denoise, noise):
            return super().step(x, t, s, denoise, noise)

    def on_step(number: int, level: object, x: object) -> None:
        if number:
            raise Cancelled

    with pytest.raises(Cancelled):
        sample(gaussian(VP.from_config({})), Right(), steps=2, num_images=1, on_step=on_step)


def test_a_network_that_fails_by_itself_is_named_as_what_fails(linear: Schedule) -> None:
    def net(x: Any, time: Any, condition: Any) -> Any:
        raise RuntimeError("not today")

    with pytest.raises(
        ZooError, match=r"(?i)the network, as sampler .*ddim calls it, fails: RuntimeError: not today \(.*ddim"
    ):
        sample(Model(net, linear, shape=(1,)), DDIM(), steps=2, num_images=1)


def test_a_network_in_the_file_of_a_plugin_is_not_the_plugin(linear: Schedule) -> None:
    def net(x: Any, time: Any, condition: Any) -> Any:
        raise RuntimeError("not today")

    class Own(Sampler):
        def step(self, x, t, s, denoise, noise):
            return denoise(x, t).x0

    with pytest.raises(ZooError, match="network, as sampler Own calls it, fails: RuntimeError: not today") as caught:
        sample(Model(net, linear, shape=(1,)), Own(), steps=2, num_images=1)
    own, inner = Own.step.__code__.co_firstlineno + 1, net.__code__.co_firstlineno + 1
    assert f"test_blame.py, line {own}, in step; raised in {__file__}, line {inner})" in str(caught.value)


def test_a_network_that_returns_no_tensor_is_refused(linear: Schedule) -> None:
    with pytest.raises(ZooError, match="the network of mine returned NoneType, and has to return a tensor"):
        sample(Model(lambda x, time, condition: None, linear, shape=(1,), name="mine"), DDIM(), steps=2, num_images=1)


@pytest.mark.parametrize("error", [SystemExit(3), StopIteration()], ids=lambda error: type(error).__name__)
def test_what_ends_a_program_or_an_iteration_is_an_error_like_others(error: BaseException) -> None:
    found = failure(Failing(), error)
    assert isinstance(found, ZooError)
    assert str(found).startswith(f"sampler Failing fails: {type(error).__name__}: ")
    assert str(found).endswith("in step)")


def test_an_option_that_is_set_is_told_with_the_way_out() -> None:
    class Keeping(Sampler):
        last: float = Field(0.0, description="what it keeps")

        def step(self, x, t, s, denoise, noise):
            self.last = 1.0
            return x

    with pytest.raises(ZooError, match=r"fails: last: Instance is frozen .*; options do not change: keep what does"):
        sample(gaussian(VP.from_config({})), Keeping(), steps=2, num_images=1)


def test_the_innermost_class_of_a_file_is_blamed(linear: Schedule) -> None:
    class Asking(Sampler):
        def step(self, x, t, s, denoise, noise):
            return denoise(x, t).x0

    class Pushing(Guidance):
        def guide(self, denoise, condition, model):
            def guided(x, t):
                return denoise(x, t, condition).nothing

            return guided

    with pytest.raises(ZooError, match=r"^guidance Pushing fails: AttributeError"):
        sample(mixture(linear, torch.eye(2)), Asking(), guidance=Pushing(), labels=[0], steps=2)


def test_a_notebook_has_no_file_and_its_class_is_named() -> None:
    names: dict[str, Any] = {"Sampler": Sampler, "__name__": "__main__"}
    source = "class Cell(Sampler):\n    def step(self, x, t, s, denoise, noise):\n        return helped(x)\n"
    exec(compile(source, "<ipython-input-3>", "exec"), names)
    exec(compile("def helped(x):\n    return 1 / 0\n", "<ipython-input-2>", "exec"), names)
    found = failure(names["Cell"](), ZeroDivisionError())
    assert str(found) == "sampler Cell fails: ZeroDivisionError: division by zero (class Cell, line 3, in step)"


def test_of_several_in_a_file_the_one_that_runs_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_files", {})
    one = (
        "\nclass {}(Sampler):\n    '''One.'''\n    def step(self, x, t, s, denoise, noise):\n        return helped(x)\n"
    )
    path = tmp_path / "several.py"
    path.write_text(
        "from samplerzoo import Sampler\ndef helped(x):\n    return 1 / 0\n"
        + "".join(map(one.format, ["A1", "B2", "C3"]))
    )
    for plugin in registry.load_file(path):
        found = failure(plugin.load()(), ZeroDivisionError())
        assert str(found).startswith(f"sampler {plugin.name} fails: ZeroDivisionError")
        assert str(found).endswith(f"({path}, line 3, in helped)")


def test_a_module_of_the_plugins_own_package_is_the_plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "zoo_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "helpers.py").write_text("def helped(x):\n    return 1 / 0\n")
    (package / "sampler.py").write_text(
        "from samplerzoo import Sampler\nfrom zoo_package.helpers import helped\n\nclass Far(Sampler):\n    '''.'''\n"
        "    def step(self, x, t, s, denoise, noise):\n        return helped(x)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    from zoo_package.sampler import Far  # type: ignore[import-not-found]

    found = failure(Far(), ZeroDivisionError())
    assert str(found).endswith(f"({package / 'helpers.py'}, line 2, in helped)")
    for name in [name for name in sys.modules if name.startswith("zoo_package")]:
        del sys.modules[name]


def test_a_scheduler_of_diffusers_is_a_plugin_in_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    from samplerzoo_plugins.diffusers_schedulers import scheduler

    made = registry.make("sampler", "diffusers:DDIMScheduler", {})

    def broken(*arguments: object) -> None:
        raise ZeroDivisionError("nothing")

    monkeypatch.setattr(scheduler.SchedulerSampler, "_visiting", broken)
    assert isinstance(made, Sampler)
    found = failure(made, ZeroDivisionError())
    assert "sampler DDIMScheduler fails: ZeroDivisionError: nothing (" in str(found)


def test_titles() -> None:
    assert plugin_title(Failing) == plugin_title(Failing()) == "sampler Failing"
    check_plugin(DPMSolverPP, "sampler")
    registry.get("sampler", "dpm-solver++").load()
    check_plugin(DPMSolverPP, "sampler")
    assert plugin_title(registry.make("sampler", "dpm-solver++", {})) == "sampler dpm-solver++"
    assert plugin_title(3) == "plugin int"
