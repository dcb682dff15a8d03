"""Fixtures of all tests: a schedule, a small network, and a separate cache."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault(
    "HF_HUB_OFFLINE", "1"
)  # set before any Hugging Face library is imported, so that tests use no network
if "PYTEST_XDIST_WORKER" in os.environ:  # two workers that both want all cores wait for each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch
from hypothesis import settings

from samplerzoo import registry
from samplerzoo.core.model import Model
from samplerzoo.core.paths import VP
from samplerzoo.core.schedule import Schedule
from samplerzoo.system import environment
from samplerzoo.testing import mixture

LINEAR = {"num_train_timesteps": 1000, "beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02}

HALVES = '''
from samplerzoo import Field, Spacing


class Halves(Spacing):
    """Each time is a part of the one before it (Zeno, about 450 BC)."""

    part: float = Field(0.5, gt=0, lt=1, description="part of the time that is left after a step")

    def taus(self, schedule, steps):
        return [schedule.T * self.part**k for k in range(steps)]
'''

gc.disable()  # until all tests are collected: looking for garbage takes a third of the time of their imports

OBJECTS = 20_000
"""New objects after which garbage is collected: 700, as Python has it, takes a tenth of the time of all tests."""


def pytest_collection_finish() -> None:
    """Look for garbage among what the tests make alone, and not among a million objects of libraries."""
    gc.freeze()
    gc.set_threshold(OBJECTS)
    gc.enable()


settings.register_profile("samplerzoo", deadline=None, derandomize=True, max_examples=50, database=None)
settings.load_profile("samplerzoo")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Neither read nor write the cache of this machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def float32_by_default() -> Iterator[None]:
    """Make dtype "auto" float32 in this process, so that no result depends on the processor."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(environment, "native_bfloat16", lambda device: False)
        yield


@pytest.fixture(scope="session")
def sd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a tiny folder of Stable Diffusion, for tests that leave it as it is."""
    import folders  # diffusers and transformers are imported by those that need them

    return folders.sd(tmp_path_factory.mktemp("sd"))


@pytest.fixture(scope="session")
def sd_model(sd: Path) -> Model:
    """Load that folder as a model of samplerzoo's own, in float32."""
    import folders

    return folders.loaded(sd)


@pytest.fixture(scope="session")
def linear() -> Schedule:
    """Return the schedule of Ho, Jain, Abbeel 2020: T = 1000, beta from 1e-4 to 0.02."""
    return VP.from_config(LINEAR)


@pytest.fixture(scope="session")
def tiny_unet() -> Callable[..., torch.nn.Module]:
    """Return a function that makes a UNet2DModel for 8x8 images. Its weights depend on the options only."""
    from diffusers import UNet2DModel

    def make(**options: object) -> torch.nn.Module:
        base = {
            "sample_size": 8, "in_channels": 1, "out_channels": 1, "layers_per_block": 1, "norm_num_groups": 4,
            "block_out_channels": (8, 8), "attention_head_dim": 8,
            "down_block_types": ("DownBlock2D", "AttnDownBlock2D"), "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
        }  # fmt: skip
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return UNet2DModel(**{**base, **options}).eval()

    return make


@pytest.fixture
def tiny_model(tmp_path: Path, tiny_unet: Callable[..., torch.nn.Module]) -> Path:
    """Write a class-conditional model folder with classes 0 to 2 and null label 3."""
    from diffusers import DDPMScheduler

    from samplerzoo.models.configs import ModelInfo
    from samplerzoo.models.load import save_model

    info = ModelInfo(num_classes=3, null_label=3, class_counts=[1, 2, 1])
    save_model(tmp_path / "tiny", tiny_unet(num_class_embeds=4), DDPMScheduler(clip_sample=False), info, "# tiny\n")
    return tmp_path / "tiny"


@pytest.fixture(scope="session")
def conditional(linear: Schedule) -> Model:
    """Return an exact model with classes 0 to 2, null label 3 and shape (2,)."""
    return mixture(linear, torch.tensor([[1.0, 0.0], [-1.0, 0.5], [0.0, -1.0]]), 0.3)


@pytest.fixture
def halves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a spacing into a file, which no command has loaded so far."""
    monkeypatch.setattr(registry, "_files", {})
    path = tmp_path / "halves.py"
    path.write_text(HALVES)
    return path


FEW_CHECKS = {
    "SAMPLER_CHECKS": (
        "check_one_state_a_step", "check_deterministic", "check_lands_on_the_point", "check_moments", "check_order"
    ),
    "LAST_CHECKS": (),
    "GUIDANCE_CHECKS": ("check_scale_1_is_conditional", "check_scale_guides", "check_evaluations_are_counted"),
}  # fmt: skip


@pytest.fixture
def quick_kit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave a few checks in the kit, where a test is about what becomes of any check."""
    from samplerzoo.testing import conformance

    for name, few in FEW_CHECKS.items():
        left = tuple(check for check in getattr(conformance, name) if check.__name__ in few)
        assert len(left) == len(few)
        monkeypatch.setattr(conformance, name, left)
