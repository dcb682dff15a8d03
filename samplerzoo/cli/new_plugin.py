"""`samplerzoo new-plugin NAME`: a folder with a plugin that works and can be installed, and its tests."""

from __future__ import annotations

import importlib.util
import keyword
import re
from pathlib import Path
from string import Template

import click

from samplerzoo import registry
from samplerzoo.errors import UsageError
from samplerzoo.registry import GROUPS, Kind
from samplerzoo.system.files import atomic_folder

TEMPLATES = Path(__file__).parent / "templates"
NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z][a-z0-9]*)*")
USAGE: dict[Kind, str] = {"sampler": "--sampler {}", "guidance": "--guidance {} --guidance-scale 2"}
FLAGS: dict[Kind, str] = {"sampler": "`--at` here", "guidance": "`--guidance-parallel` here"}


@click.command("new-plugin")
@click.argument("name")
@click.option("--kind", type=click.Choice([*USAGE]), default="sampler", show_default=True, help="kind of plugin")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FOLDER", help="[default: NAME]")
def command(name: str, kind: Kind, output: Path | None) -> None:
    """Make a folder with a sampler or a guidance that works and can be installed, and its tests.

    NAME is the name for `--sampler` or `--guidance`, such as my-sampler. After `pip install -e NAME` it is listed, and
    `samplerzoo check NAME` says whether it is right.
    """
    folder = output or Path(name)
    module = _module(name, kind)
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise UsageError(f"{folder} is there already: take another name, or another folder with --output")
    words = {
        "name": name,
        "kind": kind,
        "group": GROUPS[kind],
        "module": module,
        "class_name": "".join(part.capitalize() for part in name.split("-")),
        "usage": USAGE[kind].format(name),
        "flags": FLAGS[kind],
    }
    files = {
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        f"src/{module}.py": f"{kind}.py",
        f"tests/test_{module}.py": f"test_{kind}.py",
    }
    with atomic_folder(folder) as beside:
        for file, template in files.items():
            target = beside / file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(Template((TEMPLATES / f"{template}.txt").read_text()).substitute(words))
    click.echo(folder / f"src/{module}.py")
    click.echo(f"next: pip install -e {folder} && samplerzoo check {name}")


def _module(name: str, kind: Kind) -> str:
    """Return the name of the plugin's module.

    Raises:
        UsageError: the plugin cannot have this name, or the name is taken.
    """
    if not NAME.fullmatch(name):
        close = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
        hint = f", such as {close}" if NAME.fullmatch(close) else ""
        raise UsageError(f"{name!r} is no name for a plugin: take lower-case words with hyphens between them{hint}")
    for plugin in registry.plugins(kind):
        if plugin.name == name:
            raise UsageError(f"there is a {kind} {name} already, of {plugin.source}: take another name")
    module = name.replace("-", "_")
    if keyword.iskeyword(module) or importlib.util.find_spec(module) is not None:
        raise UsageError(f"{name} would be imported as {module}, which is taken: take another name")
    return module
