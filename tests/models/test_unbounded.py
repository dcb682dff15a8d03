"""Schedulers of diffusers that write -Infinity by default."""

import diffusers
import pytest

from samplerzoo.models.folder import read_json


@pytest.mark.parametrize("name", ["DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler", "SASolverScheduler"])
def test_default_config_is_read(tmp_path, name):
    getattr(diffusers, name)().save_pretrained(tmp_path)
    assert "lambda_min_clipped" not in read_json(tmp_path, "scheduler_config.json")
