"""Commands that list and describe what is installed: list, info, env."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from samplerzoo import registry
from samplerzoo.cli import catalogue
from samplerzoo.models import folder

PLUGIN = '''
from pydantic import Field
from samplerzoo.core.sampler import Sampler

class HalfWay(Sampler):
    """Goes half way. And more words.

    A second paragraph.
    """

    speed: float = Field(0.5, gt=0, description="of going")

    def step(self, x, t, s, denoise, noise):
        return denoise(x, t).x0
'''


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a file with a sampler, which is forgotten after the test."""
    monkeypatch.setattr(registry, "_files", {})
    path = tmp_path / "half.py"
    path.write_text(PLUGIN)
    return path


def test_list_names_all_with_their_first_lines(cli) -> None:
    out = cli("list").out
    for name in ("ddim", "ddpm", "reverse-sde", "reverse-diffusion", "probability-flow", "cfg", "classifier"):
        assert f"  {name} " in out
    assert "Denoising diffusion implicit models (Song, Meng, Ermon 2021, eq. 12)" in out
    found = json.loads(cli("list", "--json").out)
    kinds = {"samplers", "guidances", "features", "spacings", "architectures"}
    assert kinds | {"models"} == set(found)
    assert all(entry["summary"] for kind in kinds for entry in found[kind] if entry["source"] == "samplerzoo")


def test_check_blames_the_broken_one_and_lists_the_rest(cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "site" / "broken-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{registry.GROUPS['sampler']}]\nwrong = no_such_module:Thing\n")
    monkeypatch.syspath_prepend(info.parent)
    assert cli("list").code == 0
    answer = cli("list", "--check")
    assert answer.code == 1
    (line,) = [line for line in answer.out.splitlines() if "wrong" in line]
    assert "BROKEN" in line
    assert "no_such_module" in line
    assert "  ddim " in answer.out


def test_a_plugin_file_is_listed_and_described(cli, plugin: Path) -> None:
    assert "half-way" in cli("list", "--plugin", plugin).out
    out = cli("info", "half-way", "--plugin", plugin).out
    assert "A second paragraph." in out
    assert "--speed NUMBER  of going  [default: 0.5; above 0]" in out


def test_models_are_listed_by_their_configs(cli, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (catalogue, folder):
        monkeypatch.setattr(module, "PRETRAINED", tiny_model.parent)
    (entry,) = json.loads(cli("list", "--json").out)["models"]
    assert entry == {"name": "tiny", "source": "samplerzoo", "summary": "8x8 pixels, 3 classes"}
    (tiny_model / "samplerzoo.json").write_text("{")
    answer = cli("list")
    assert answer.code == 1
    assert "BROKEN" in answer.out
    assert "samplerzoo.json" in answer.out


def test_info_of_plugins(cli) -> None:
    found = json.loads(cli("info", "ddim", "--json").out)
    assert found["order"] == 1
    assert found["stochastic"] is False
    assert found["options"] == [
        {
            "flag": "--eta",
            "type": "NUMBER",
            "default": "0.0",
            "bounds": "at least 0.0, at most 1.0",
            "help": found["options"][0]["help"],
        }
    ]
    assert "--guidance-scale NUMBER" in cli("info", "cfg").out
    assert cli("info", "samplerzoo:ddim").code == 0
    assert [each["kind"] for each in json.loads(cli("info", "classifier", "--json").out)] == ["guidance", "features"]
    cli("info", "dddim").refuses(2, "'dddim'", "did you mean ddim?")


def test_info_of_a_model_reads_no_weights(cli, tiny_model: Path) -> None:
    (tiny_model / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"")
    found = json.loads(cli("info", tiny_model, "--json").out)
    assert found["shape"] == [1, 8, 8]
    assert (found["num_classes"], found["null_label"], found["T"]) == (3, 3, 1000)


def test_env_has_what_a_bug_report_needs(cli) -> None:
    found = json.loads(cli("env", "--json").out)
    assert {"samplerzoo", "python", "torch", "diffusers", "system", "cpus", "cuda", "plugins"} <= set(found)
    assert found["dtype_auto"] in ("float32", "bfloat16")
    assert "torch" in cli("env").out
