"""Schedulers of diffusers on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from samplerzoo.bench import screening as verdict
from samplerzoo.bench.cell import Cell, make_cells
from samplerzoo.bench.suite import Suite
from samplerzoo.models.load import ModelFolder

UNIPC = "diffusers:UniPCMultistepScheduler"


def test_a_run_and_its_rerun(cli, tiny_model: Path) -> None:
    words = ["--sampler", UNIPC, "--solver-order", 3, "--steps", 4, "--model", tiny_model, "--num-images", 2]
    found = json.loads(cli("run", *words, "-o", "out", "--json").out)
    assert found["recipe"]["sampler_options"]["solver_order"] == 3
    version = found["versions"]["diffusers"]
    assert found["recipe"]["plugins"] == {"diffusers": version}
    assert found["nfe"] == 4
    assert "identical" in cli("rerun", "out/images/000001.png").out


def test_help_has_its_options(cli) -> None:
    out = cli("run", "--sampler", UNIPC, "--help").out
    assert f"Options of {UNIPC}" in out
    assert "--solver-order INTEGER" in out
    assert "--solver-type bh1|bh2" in out
    assert "--trained-betas" not in out
    assert "--timestep-spacing" not in out


def test_timesteps_shows_its_own_grid(cli) -> None:
    found = json.loads(cli("timesteps", "--sampler", UNIPC, "--steps", 4, "--spacing", "linspace", "--json").out)
    assert [level["timestep"] for level in found] == [999, 749, 500, 250, -1]  # not to 0, which is theirs alone
    karras = json.loads(cli("timesteps", "--sampler", UNIPC, "--steps", 4, "--use-karras-sigmas", "--json").out)
    assert karras[0]["timestep"] == 999
    assert karras[1]["timestep"] % 1
    assert karras[-2]["timestep"] < 50


def test_info(cli) -> None:
    found = json.loads(cli("info", "diffusers:DDIMScheduler", "--json").out)
    assert found["kind"] == "sampler"
    assert found["source"].startswith("diffusers ")
    assert "t - T // S" in found["about"]
    assert [option["flag"] for option in found["options"]] == ["--set-alpha-to-one", "--steps-offset", "--eta"]


def test_refusals(cli) -> None:
    cli("run", "--sampler", "diffusers:DDIMSchedular").refuses(2, "did you mean DDIMScheduler?", "list --all")
    cli("run", "--sampler", "diffusers:RePaintScheduler").refuses(2, "mask, original_image")
    cli("run", "--sampler", UNIPC, "--solver-order", "x").refuses(2, "--solver-order")
    cli("run", "--sampler", UNIPC, "--eta", 1).refuses(2, "--eta", UNIPC, "belongs to: ddim")
    cli("run", "--sampler", UNIPC, "--spacing", "quadratic", "--dry-run").refuses(2, "trailing, leading, linspace")
    cli("info", "diffusers:LCM").refuses(2, "'LCM'")


def test_list_all(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """List verdicts of our own: the measurement is tested with the bridge."""
    verdicts = [
        verdict.Verdict("AScheduler", None, "it takes no betas"),
        verdict.Verdict("BScheduler", 2e-3),
        verdict.Verdict("CScheduler", 1e-2, "it is wrong"),
        verdict.Verdict("DScheduler", 1e-3),
    ]
    monkeypatch.setattr(verdict, "verdicts", lambda library: verdicts)
    assert "  diffusers:" not in cli("list").out
    lines = cli("list", "--all").out.splitlines()
    shown = [line.split()[0] for line in lines if line.startswith("  diffusers:")]
    assert shown == [f"diffusers:{letter}Scheduler" for letter in "DBCA"]
    assert any("error 1.0e-02 at 50 steps, not offered: it is wrong" in line for line in lines)
    found = json.loads(cli("list", "--all", "--json").out)["schedulers of diffusers"]
    assert [entry["offered"] for entry in found] == [True, True, False, False]


def test_cells_know_the_version(cli, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from samplerzoo_plugins import diffusers_schedulers as bridge

    from samplerzoo.bench.suite import parse_suite

    rows = [{"sampler": "diffusers:DDIMScheduler", "eta": [0.0, 1.0], "steps": [2], "images": 2}]
    suite = parse_suite({"model": str(tiny_model)}, "suite", more_rows=rows)

    def cells_of(suite: Suite) -> list[Cell]:
        return make_cells(suite, ModelFolder.open(suite.model), "cpu")

    names = [cell.name for cell in cells_of(suite)]
    assert len(set(names)) == 2
    assert names == [cell.name for cell in cells_of(suite)]
    monkeypatch.setattr(bridge, "version", lambda _: "9.9")
    assert not {*names} & {cell.name for cell in cells_of(suite)}
