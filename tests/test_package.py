"""`import samplerzoo as zoo`: all names are there, and nothing heavy is imported before it is used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import samplerzoo as zoo


def test_every_public_name_is_there() -> None:
    assert all(getattr(zoo, name).__doc__ for name in zoo.__all__)
    assert set(zoo.__all__) <= set(dir(zoo))


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'samplerzoo' has no attribute 'smaple'"):
        _ = zoo.smaple


def test_importing_it_imports_nothing_heavy() -> None:
    code = "import sys, samplerzoo; sys.exit(bool({'torch', 'numpy', 'pydantic', 'diffusers'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_two_ways_of_saying_no_have_their_exit_codes() -> None:
    assert (zoo.ZooError.exit_code, zoo.UsageError.exit_code) == (1, 2)
    assert issubclass(zoo.UsageError, zoo.ZooError)
    assert issubclass(zoo.UsageError, ValueError)
