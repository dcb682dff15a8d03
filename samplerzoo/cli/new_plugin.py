"""`samplerzoo new-plugin NAME`: a folder with a plugin that works and can be installed, and its tests."""

from __future__ import annotations

import importlib.util
import keyword
import re
import shlex
from pathlib import Path
from string import Template

import click

from samplerzoo import registry
from samplerzoo.cli.paths import PATH
from samplerzoo.cli.repeated import TellsRepeated
from samplerzoo.core.kinds import Kind
from samplerzoo.errors import UsageError
from samplerzoo.registry import GROUPS
from samplerzoo.system.files import atomic_folder

TEMPLATES = Path(__file__).parent / "templates"
NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z][a-z0-9]*)*")
NOUNS: dict[Kind, str] = {
    "sampler": "a sampler",
    "guidance": "a guidance",
    "features": "a feature network",
    "spacing": "a spacing",
    "architecture": "an architecture",
}
CHECKED = "samplerzoo list\nsamplerzoo info {0}\nsamplerzoo check {0}\npytest\n"
COMMANDS: dict[Kind, str] = {
    "sampler": CHECKED + "samplerzoo run --sampler {0}",
    "guidance": CHECKED + "samplerzoo run --guidance {0} --guidance-scale 2",
    "features": CHECKED + "samplerzoo ref make IMAGES --features {0} -o reference.safetensors",
    "spacing": CHECKED + "samplerzoo run --spacing {0} --steps 10",
    "architecture": "samplerzoo list\npytest\nsamplerzoo run --model FOLDER",
}
"""Commands of a plugin's README, after it was installed."""


@click.command("new-plugin", cls=TellsRepeated)
@click.argument("name")
@click.option("--kind", type=click.Choice([*NOUNS]), default="sampler", show_default=True, help="kind of plugin")
@click.option("-o", "--output", type=PATH, metavar="FOLDER", help="[default: NAME]")
def command(name: str, kind: Kind, output: Path | None) -> None:
    """Make a folder with a plugin that works and can be installed, and its tests.

    NAME is the name for `--sampler`, `--guidance`, `--features` or `--spacing`, such as my-sampler. After
    `pip install -e NAME` it is listed, and `samplerzoo check NAME` says whether it is right.
    """
    folder = output or Path(name)
    module = _module(name, kind)
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise UsageError(f"{folder} is there already: take another name, or another folder with --output")
    article, noun = NOUNS[kind].split(" ", 1)
    words = {
        "name": name,
        "article": article.title(),
        "noun": noun,
        "group": GROUPS[kind],
        "module": module,
        "class_name": "".join(part.capitalize() for part in name.split("-")),
        "commands": COMMANDS[kind].format(name),
    }
    files = {
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        f"src/{module}.py": f"{kind}.py",
        f"tests/test_{module}.py": f"test_{kind}.py",
    }
    if kind == "architecture":
        files[f"src/{module}_network.py"] = "architecture_network.py"
    with atomic_folder(folder) as beside:
        for file, template in files.items():
            target = beside / file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(Template((TEMPLATES / f"{template}.txt").read_text()).substitute(words))
    click.echo(folder / f"src/{module}.py")
    next_command = f"pytest {shlex.quote(str(folder))}" if kind == "architecture" else f"samplerzoo check {name}"
    click.echo(f"next: pip install -e {shlex.quote(str(folder))} && {next_command}")


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
