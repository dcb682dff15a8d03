"""The table of levels."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from samplerzoo.core.schedule import Schedule


def test_the_table_is_the_grid_of_the_run(cli, linear: Schedule) -> None:
    found = json.loads(cli("timesteps", "--steps", 7, "--spacing", "logsnr", "--json").out)
    levels = linear.grid(7, "logsnr").levels
    assert [row["tau"] for row in found] == [level.tau for level in levels]
    assert found[0]["alpha"] == levels[0].alpha
    assert found[-1] == {"timestep": -1.0, "tau": 0.0, "alpha": 1.0, "sigma": 0.0, "log_snr": None}


def test_the_table_reads_well(cli) -> None:
    lines = cli("timesteps", "--steps", 2).out.splitlines()
    assert lines[0].split() == ["step", "timestep", "tau", "alpha", "sigma", "log-SNR"]
    assert lines[1].split() == ["0", "999", "1000", "0.006352818", "0.999979821", "-10.1177"]
    assert lines[3].split() == ["2", "clean", "0", "1.000000000", "0.000000000", "inf"]


def test_a_list_of_ones_own(cli) -> None:
    rows = json.loads(cli("timesteps", "--timesteps", "900,10.5,0", "--json").out)
    assert [row["timestep"] for row in rows] == [900, 10.5, 0, -1]


def test_another_schedule(cli) -> None:
    words = ["--T", 10, "--beta-schedule", "scaled_linear", "--beta-start", 0.1, "--beta-end", 0.4, "--steps", 10]
    rows = json.loads(cli("timesteps", *words, "--json").out)
    assert len(rows) == 11
    assert rows[-2]["alpha"] == pytest.approx(0.9**0.5)


def test_the_schedule_of_a_model(cli, tiny_model: Path) -> None:
    config = tiny_model / "scheduler" / "scheduler_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "num_train_timesteps": 300}))
    assert json.loads(cli("timesteps", "--model", tiny_model, "--json").out)[0]["tau"] == 300
    cli("timesteps", "--model", tiny_model, "--T", 20).refuses(2, "--model")


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ("--steps 1001", ["1001", "at most 1000", "--spacing"]),
        ("--steps 0", ["--steps", "greater than 0"]),
        ("--spacing trail", ["no spacing 'trail'", "did you mean trailing?"]),
        ("--timesteps 10,20", ["decrease"]),
        ("--timesteps 1000", ["outside"]),
        ("--timesteps 10 --steps 3", ["timesteps take the place"]),
        ("--sampler ddpm --eta 0.5", ["--eta", "ddim"]),
        ("--beta-schedule linea", ["--beta-schedule", "linear"]),
        ("--model nowhere", ["nowhere"]),
    ],
)
def test_bad_requests(cli, words: str, parts: list[str]) -> None:
    cli("timesteps", *words.split()).refuses(2, *parts)
