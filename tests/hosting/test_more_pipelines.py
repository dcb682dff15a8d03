"""Pipelines of many kinds: a hosted sampler makes what the pipeline's own scheduler of the same method makes."""

from __future__ import annotations

import pytest
import torch
from more_pipelines import PIPELINES, run

import samplerzoo as zoo


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", PIPELINES)
def test_makes_the_same(name: str) -> None:
    hosted = PIPELINES[name]
    pipeline = hosted.build()
    assert type(pipeline).__name__ == name
    theirs = run(pipeline, hosted)
    pipeline.scheduler = zoo.as_scheduler(hosted.sampler, pipeline.scheduler, **hosted.options)
    atol = hosted.tolerance * float(theirs.abs().max())
    torch.testing.assert_close(run(pipeline, hosted), theirs, rtol=0, atol=atol)
