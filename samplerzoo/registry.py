"""Plugins by name: from entry points, listed without being imported, and from files that the user names."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import os
import shlex
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from samplerzoo.core.blame import blame, blaming, import_fault, place_of, remember
from samplerzoo.core.kinds import GUIDANCE_PREFIX, Kind, bases, check_class
from samplerzoo.core.protocol import check_members
from samplerzoo.errors import UsageError, ZooError, did_you_mean, expect, path_text, reason, short
from samplerzoo.system.entry_points import origin, points

if TYPE_CHECKING:
    from samplerzoo.core.source import Source
    from samplerzoo.core.spacing import Spacing
    from samplerzoo.options import Options

GROUPS: dict[Kind, str] = {
    "sampler": "samplerzoo.samplers",
    "guidance": "samplerzoo.guidance",
    "features": "samplerzoo.features",
    "spacing": "samplerzoo.spacings",
    "architecture": "samplerzoo.architectures",
}
USAGE: dict[Kind, str] = {
    "sampler": "a sampler; type --sampler {}",
    "guidance": "a guidance, which works with every sampler; type --sampler ddim --guidance {}",
    "features": "a feature network, for metrics; type --features {}",
    "spacing": "a spacing, which works with every sampler; type --spacing {}",
    "architecture": "an architecture, which reads model folders by itself",
}
"""Hint for a plugin name that is given to a flag for another kind."""

PLUGINS_VARIABLE = "SAMPLERZOO_PLUGINS"
"""Environment variable with files to load, separated as in PATH."""

SOURCES = "samplerzoo.sources"
"""Entry-point group of the libraries whose samplers are named `source:name`. `plugins` leaves their samplers out, since
listing them would import the library."""


@dataclass(frozen=True)
class Plugin:
    """Plugin as its distribution describes it. Nothing is imported before `load`."""

    kind: Kind
    name: str
    source: str
    """Name of its distribution; for a file, the file name without .py."""
    version: str
    target: EntryPoint | type
    foreign: bool = False
    """True for a sampler of another library, which a source found."""

    @property
    def file(self) -> Path | None:
        """File that the user named; None for an installed plugin."""
        if self.foreign or isinstance(self.target, EntryPoint):
            return None
        return Path(inspect.getfile(self.target))

    def load(self) -> type[Options]:
        """Import the plugin's class, and check it against the protocol.

        Raises:
            ZooError: it cannot be imported, or is of a wrong kind. The message has plugin, source, reason and line.
        """
        broken = f"{self.kind} {self.name!r} of {self.source} is broken"
        found = _entered(self.target, broken) if isinstance(self.target, EntryPoint) else self.target
        try:
            check_class(found, self.kind)
        except TypeError as error:
            raise ZooError(f"{broken}: {error}") from error
        remember(found, self.name)
        return found


def _entered(point: EntryPoint, broken: str) -> Any:
    """Import the object of an entry point. A plugin may raise any error, and each one becomes a ZooError."""
    try:
        return point.load()
    except (Exception, SystemExit) as error:
        raise ZooError(f"{broken}: {import_fault(error, point.module)}") from error


def plugins(kind: Kind) -> list[Plugin]:
    """List every plugin of a kind, sorted by name."""
    found = [Plugin(kind, point.name, *origin(point.dist), point) for point in points(GROUPS[kind])]
    broken_files()  # loads the files that are not broken
    found += [plugin for loaded in _files.values() for plugin in loaded if plugin.kind == kind]
    return sorted(found, key=lambda plugin: (plugin.name, plugin.source))


def broken_files() -> dict[str, str]:
    """Load the files that PLUGINS_VARIABLE names. Return those that cannot be loaded, with the reason.

    They raise no error here, since the variable may come from a shell profile and affect every command.
    """
    paths = [*filter(None, os.environ.get(PLUGINS_VARIABLE, "").split(os.pathsep))]
    for path in paths:
        if path not in _broken:
            try:
                load_file(path)
            except ZooError as error:
                _broken[path] = str(error)
    return {path: _broken[path] for path in paths if path in _broken}


def get(kind: Kind, name: str) -> Plugin:
    """Find a plugin by name, or by `package:name` if several share a name. `diffusers:name` is a diffusers scheduler.

    Raises:
        UsageError: no plugin has the name, or several have it.
    """
    known = plugins(kind)
    source, _, short = name.rpartition(":")
    if kind == "sampler" and source in sources():
        return _foreign(source, short)
    matches = [plugin for plugin in known if plugin.name == short and source in ("", plugin.source)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        choices = " or ".join(f"{plugin.source}:{plugin.name}" for plugin in matches)
        raise UsageError(f"{len(matches)} {kind} plugins are called {name!r}; say {choices}")
    refuse_file(name, flag=f"--{kind}")
    for other in GROUPS:
        if other != kind and any(plugin.name == short for plugin in plugins(other)):
            raise UsageError(f"{name} is {USAGE[other].format(short)}")
    names = [plugin.name for plugin in known]
    near = did_you_mean(name, names)
    for library in sources() if kind == "sampler" and not near else ():  # only now, since this imports the library
        found = load_source(library)
        if short in found.names():
            raise UsageError(f"no {kind} {name!r}; a {found.noun} of {library} is called {library}:{short}")
    broken = "".join(f"; {PLUGINS_VARIABLE}: {fault}" for fault in broken_files().values())
    raise UsageError(f"no {kind} {name!r}{near}; known: {', '.join(names) or 'none'}{broken}")


def sources() -> dict[str, EntryPoint]:
    """Return the other libraries that samplers may come from, by name. None is imported."""
    return {point.name: point for point in points(SOURCES)}


def load_source(name: str) -> Source:
    """Import a library's source by its name in `sources`.

    Raises:
        ZooError: it cannot be imported, or is not a source.
    """
    from samplerzoo.core.source import Source

    point = sources()[name]
    distribution, _ = origin(point.dist)
    broken = f"source {name!r} of {distribution} is broken"
    found = _entered(point, broken)
    try:
        if not (inspect.isclass(found) and issubclass(found, Source)):
            raise TypeError(f"{found!r} is not a subclass of samplerzoo.Source")
        check_members(found, Source, "source")
        remember(found, name)
        with blaming(found):
            return found()
    except TypeError as error:
        raise ZooError(f"{broken}: {error}") from error


def _foreign(library: str, name: str) -> Plugin:
    """Find a sampler of another library.

    Raises:
        UsageError: the library does not have it, or it cannot be used here. It gives the reason.
    """
    source = load_source(library)
    names = source.names()
    if name not in names:
        raise UsageError(
            f"{library} {source.version} has no {source.noun} {name!r}{did_you_mean(name, names)}; "
            "`samplerzoo list --all` shows those that it has"
        )
    refusal = source.refusal(name)
    if refusal is not None:
        raise UsageError(f"{library}:{name} cannot be a sampler here: {refusal}")
    return Plugin("sampler", name, library, source.version, source.sampler(name), foreign=True)


def kinds(name: str) -> list[Kind]:
    """List the kinds that have a plugin of this name."""
    source, _, short = name.rpartition(":")
    if source in sources():
        return ["sampler"]
    return [kind for kind in GROUPS if any(plugin.name == short for plugin in plugins(kind))]


def make(kind: Kind, name: str, options: dict[str, Any]) -> Options:
    """Make a plugin's object with these options.

    Raises:
        UsageError: the plugin refuses a value, or does not have an option. Then the message names plugins that have it.
    """
    from pydantic import ValidationError

    cls = get(kind, name).load()
    for option in options:
        if option not in cls.model_fields:
            raise UsageError(unknown_option(kind, name, option))
    with blaming(cls):
        try:
            return cls(**options)
        except UsageError as error:
            if not isinstance(error.__cause__, ValidationError):
                raise
            raise UsageError(f"{kind} {name}: {reason(error.__cause__)}") from error
        except TypeError as error:
            if blame(error, cls) is not None:
                raise
            how = f"cannot be made of its options alone: {reason(error)} ({place_of(cls, '__init__')})"
            raise ZooError(f"{kind} {name} {how}; make each option a field") from error


def spacing(text: str) -> Spacing:
    """Make a spacing from its name, perhaps with options: `karras`, or `karras:rho=5`.

    Raises:
        UsageError: no spacing has the name, or it has no such option, or it refuses the value.
    """
    expect("spacing", text, str)
    name, options = split_spacing(text)
    return cast("Spacing", make("spacing", name, options))


def split_spacing(text: str) -> tuple[str, dict[str, Any]]:
    """Split `karras:rho=5` into name and options. A part without `=`, such as a package, belongs to the name.

    Raises:
        UsageError: an option is given twice.
    """
    parts = text.split(":")
    pairs = [part.split("=", 1) for part in parts if "=" in part]
    options = dict(pairs)
    if len(options) < len(pairs):
        twice = next(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)
        raise UsageError(f"spacing {short(text)}: {twice} is given twice")
    return ":".join(part for part in parts if "=" not in part), options


def split_options(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split options into those of a sampler and those of a guidance, without their prefix."""
    for_sampler, for_guidance = {}, {}
    for name, value in options.items():
        if name.startswith(GUIDANCE_PREFIX):
            for_guidance[name.removeprefix(GUIDANCE_PREFIX)] = value
        else:
            for_sampler[name] = value
    return for_sampler, for_guidance


def unknown_option(kind: Kind, name: str, option: str, beside: Sequence[str] = ()) -> str:
    """Return the message for an unknown option: which plugins have it, or which known word is the most similar.

    Args:
        beside: further words that may be meant, in addition to the plugin's own options.
    """
    having = owners(kind, option)
    if having:
        return f"{kind} {name} has no option {option!r}; it belongs to: {', '.join(having)}"
    fields = _fields(get(kind, name))
    near = did_you_mean(option, [*fields, *beside])
    return f"{kind} {name} has no option {option!r}{near}; it has: {', '.join(fields) or 'none'}"


def owners(kind: Kind, option: str) -> list[str]:
    """List the names of the plugins that have this option."""
    return [plugin.name for plugin in plugins(kind) if option in _fields(plugin)]


def refuse_file(name: str, *command: str, flag: str | None = None) -> None:
    """Refuse the name of a file where the name of a plugin is expected. The file is not run.

    Args:
        command: beginning of the command line in the message, before the words for file and plugin.
        flag: flag before the name of the plugin, if it has one.

    Raises:
        UsageError: it names a file. The message shows how to name the plugins in it.
    """
    if not name.endswith(".py"):
        return
    if not Path(name).is_file():
        raise UsageError(f"no file {name}, and no plugin of that name")
    from samplerzoo.options import kebab

    try:
        body = ast.parse(Path(name).read_bytes()).body
    except SyntaxError as error:
        raise UsageError(f"{name} cannot be read: {error.msg} (line {error.lineno})") from error
    except (OSError, ValueError, RecursionError, MemoryError):
        body = []
    classes = [node for node in body if isinstance(node, ast.ClassDef)]
    plugins = [kebab(node.name) for node in classes if node.bases and not node.name.startswith("_")] or ["NAME"]
    flags = [] if flag is None else [flag]
    lines = (shlex.join([*command, "--plugin", name, *flags, plugin]) for plugin in plugins)
    raise UsageError(f"{name} is a file, and a plugin in it is named beside it: {', or '.join(lines)}")


def load_file(path: str | os.PathLike[str]) -> list[Plugin]:
    """Register the plugins of a Python file, of whatever kinds, under their class names in kebab-case.

    A class whose name begins with an underscore is left out.
    """
    from samplerzoo.options import kebab

    file = Path(path_text("a plugin's file", path)).resolve()
    if file in _files:
        return _files[file]
    module = _import(file)
    found = [
        Plugin(kind, kebab(cls.__name__), file.stem, str(file), cls)
        for kind, base in bases().items()
        for cls in vars(module).values()
        if inspect.isclass(cls) and issubclass(cls, base) and cls.__module__ == module.__name__
        if not cls.__name__.startswith("_")
    ]
    if not found:
        raise UsageError(
            f"plugin {path}: the file defines no subclass of Sampler, Guidance, Features, Spacing or an architecture"
        )
    for plugin in found:
        plugin.load()
    _files[file] = found
    return found


_files: dict[Path, list[Plugin]] = {}
_broken: dict[str, str] = {}
"""Errors of files that PLUGINS_VARIABLE names. A file that failed is not run again."""


def _import(file: Path) -> Any:
    if not file.is_file():
        raise UsageError(f"plugin {file}: no such file")
    name = f"samplerzoo_plugin_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise UsageError(f"plugin {file}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # pydantic resolves annotations there
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise ZooError(f"plugin {file} cannot be imported: {import_fault(error, name)}") from error
    return module


def _fields(plugin: Plugin) -> list[str]:
    try:
        return list(plugin.load().model_fields)
    except ZooError:
        return []
