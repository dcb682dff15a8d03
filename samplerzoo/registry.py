"""Plugins by name: from entry points, listed without being imported, and from files that the user names."""

from __future__ import annotations

import functools
import importlib.util
import inspect
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from samplerzoo.blame import blaming, import_fault, remember
from samplerzoo.errors import UsageError, ZooError, did_you_mean, reason
from samplerzoo.protocol import check_members

if TYPE_CHECKING:
    from samplerzoo.core.source import Source
    from samplerzoo.options import Options

Kind = Literal["sampler", "guidance", "features"]
GROUPS: dict[Kind, str] = {
    "sampler": "samplerzoo.samplers",
    "guidance": "samplerzoo.guidance",
    "features": "samplerzoo.features",
}
USAGE: dict[Kind, str] = {
    "sampler": "a sampler; type --sampler {}",
    "guidance": "a guidance, which works with every sampler; type --sampler ddim --guidance {}",
    "features": "a feature network, for metrics; type --features {}",
}
"""What to say to who took a plugin for one of another kind."""

PLUGINS_VARIABLE = "SAMPLERZOO_PLUGINS"
"""Environment variable with files to load, separated as in PATH."""

SOURCES = "samplerzoo.sources"
"""Group of the libraries whose samplers go by `source:name`; `plugins` leaves them out, for it imports nothing."""

GUIDANCE_PREFIX = "guidance_"
"""Before the name of a guidance's field, where it stands beside those of a sampler."""

RESERVED = frozenset(
    "model revision sampler guidance plugin steps spacing timesteps num_images batch_size seed class_labels clip_x0 "
    "device compile layout dtype trajectory output resume overwrite dry_run json debug help "
    "T beta_schedule beta_start beta_end rescale_betas_zero_snr labels on_step options "
    "images seeds features reference floor".split()
)
"""Flags of `run`, `timesteps` and `bench` and keywords of `sample`, which no field of a sampler may be called."""


@dataclass(frozen=True)
class Plugin:
    """A plugin by what its distribution says of it; nothing is imported before `load`."""

    kind: Kind
    name: str
    source: str
    """The distribution, or the stem of the file, that it comes from."""
    version: str
    target: EntryPoint | type
    foreign: bool = False
    """Whether a source has it, and not a distribution or a file."""

    @property
    def file(self) -> Path | None:
        """The file that it was loaded from, if it was named as a file."""
        if self.foreign or isinstance(self.target, EntryPoint):
            return None
        return Path(inspect.getfile(self.target))

    def load(self) -> type[Options]:
        """The options class, checked against the protocol.

        Raises:
            ZooError: it cannot be imported, or is not what its group says. Names the plugin, its source and the reason.
        """
        broken = f"{self.kind} {self.name!r} of {self.source} is broken"
        found = _entered(self.target, broken) if isinstance(self.target, EntryPoint) else self.target
        try:
            _check(found, self.kind)
        except TypeError as error:
            raise ZooError(f"{broken}: {reason(error)}") from error
        remember(found, self.name)
        return found


def _entered(point: EntryPoint, broken: str) -> Any:
    """Import what an entry point names. A plugin may fail in any way, and takes nothing else down with it."""
    try:
        return point.load()
    except (Exception, SystemExit) as error:
        raise ZooError(f"{broken}: {import_fault(error, point.module)}") from error


def check_plugin(cls: type, kind: Kind) -> None:
    """Check the class of an object that was not loaded by the registry: its methods, and the names of its options.

    Raises:
        ZooError: it could not be registered; in one line, with file and line of the member that is wrong.
    """
    try:
        _check(cls, kind)
    except TypeError as error:
        raise ZooError(f"{kind} {cls.__name__} of {cls.__module__} is broken: {reason(error)}") from error
    remember(cls, cls.__name__)


def check_methods(cls: type, kind: Kind) -> None:
    """Check the methods of an object's class that was not loaded by the registry, as in a notebook.

    Raises:
        ZooError: samplerzoo could not call it; in one line, with file and line of the method that is wrong.
    """
    try:
        check_members(cls, _bases()[kind], kind)
    except TypeError as error:
        raise ZooError(f"{kind} {cls.__name__} of {cls.__module__} is broken: {reason(error)}") from error
    remember(cls, cls.__name__)


def plugins(kind: Kind) -> list[Plugin]:
    """Every plugin of a kind, in the order of their names."""
    found = [Plugin(kind, point.name, *_origin(point.dist), point) for point in _points(GROUPS[kind], _installed())]
    for path in filter(None, os.environ.get(PLUGINS_VARIABLE, "").split(os.pathsep)):
        load_file(path)
    found += [plugin for loaded in _files.values() for plugin in loaded if plugin.kind == kind]
    return sorted(found, key=lambda plugin: (plugin.name, plugin.source))


@functools.lru_cache(maxsize=len(GROUPS) + 1)
def _points(group: str, installed: tuple[tuple[str, int], ...]) -> tuple[EntryPoint, ...]:
    """The entry points of a group. To read them takes milliseconds, which every `sample` would wait for.

    Args:
        installed: that of which they are, by `_installed`.
    """
    return tuple(entry_points(group=group))


def _installed() -> tuple[tuple[str, int], ...]:
    """The folders where packages are, and when something was last installed in each."""
    return tuple((folder, _modified(folder)) for folder in sys.path)


def _modified(folder: str) -> int:
    """When an entry of sys.path last changed, in nanoseconds; 0 if it is not there."""
    try:
        return os.stat(folder or os.curdir).st_mtime_ns
    except OSError:
        return 0


@functools.cache
def _origin(distribution: Distribution | None) -> tuple[str, str]:
    """Name and version, which take half a millisecond to read."""
    if distribution is None:
        return "?", ""
    metadata = distribution.metadata
    return metadata["Name"], metadata["Version"]


def get(kind: Kind, name: str) -> Plugin:
    """The plugin of this name; `source:name` tells two of one name apart, and `diffusers:name` is a scheduler there."""
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
    for other in GROUPS:
        if other != kind and any(plugin.name == short for plugin in plugins(other)):
            raise UsageError(f"{name} is {USAGE[other].format(short)}")
    names = [plugin.name for plugin in known]
    near = did_you_mean(name, names)
    for library in sources() if kind == "sampler" and not near else ():  # to ask a library is to import it
        found = load_source(library)
        if short in found.names():
            raise UsageError(f"no {kind} {name!r}; a {found.noun} of {library} is called {library}:{short}")
    raise UsageError(f"no {kind} {name!r}{near}; known: {', '.join(names) or 'none'}")


def sources() -> dict[str, EntryPoint]:
    """The libraries that samplers may come from beside plugins, by name; none is imported."""
    return {point.name: point for point in _points(SOURCES, _installed())}


def load_source(name: str) -> Source:
    """One of `sources`.

    Raises:
        ZooError: it cannot be imported, or is none.
    """
    from samplerzoo.core.source import Source

    point = sources()[name]
    origin, _ = _origin(point.dist)
    broken = f"source {name!r} of {origin} is broken"
    found = _entered(point, broken)
    try:
        if not (inspect.isclass(found) and issubclass(found, Source)):
            raise TypeError(f"{found!r} is not a subclass of samplerzoo.Source")
        check_members(found, Source, "source")
        remember(found, name)
        with blaming(found):
            return found()
    except TypeError as error:
        raise ZooError(f"{broken}: {reason(error)}") from error


def _foreign(library: str, name: str) -> Plugin:
    """A sampler of another library.

    Raises:
        UsageError: the library has no such sampler, or it cannot be one here; says why.
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
    """The kinds that have a plugin of this name."""
    source, _, short = name.rpartition(":")
    if source in sources():
        return ["sampler"]
    return [kind for kind in GROUPS if any(plugin.name == short for plugin in plugins(kind))]


def make(kind: Kind, name: str, options: dict[str, Any]) -> Options:
    """A plugin's object with these options.

    Raises:
        UsageError: an option that it does not have, naming who has it, or a value that it refuses.
    """
    from pydantic import ValidationError

    from samplerzoo.options import complaint

    cls = get(kind, name).load()
    for option in options:
        if option not in cls.model_fields:
            raise UsageError(unknown_option(kind, name, option))
    with blaming(cls):
        try:
            return cls(**options)
        except ValidationError as error:
            raise UsageError(f"{kind} {name}: {complaint(error)}") from error


def split_options(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split options into those of a sampler and those of a guidance, without their prefix."""
    for_sampler, for_guidance = {}, {}
    for name, value in options.items():
        if name.startswith(GUIDANCE_PREFIX):
            for_guidance[name.removeprefix(GUIDANCE_PREFIX)] = value
        else:
            for_sampler[name] = value
    return for_sampler, for_guidance


def unknown_option(kind: Kind, name: str, option: str) -> str:
    """What to say of an option that a plugin does not have: its owners, or else the nearest that it has."""
    having = owners(kind, option)
    if having:
        return f"{kind} {name} has no option {option!r}; it belongs to: {', '.join(having)}"
    fields = _fields(get(kind, name))
    return (
        f"{kind} {name} has no option {option!r}{did_you_mean(option, fields)}; it has: {', '.join(fields) or 'none'}"
    )


def owners(kind: Kind, option: str) -> list[str]:
    """Names of the plugins that have this option."""
    return [plugin.name for plugin in plugins(kind) if option in _fields(plugin)]


def load_file(path: str | os.PathLike[str]) -> list[Plugin]:
    """Registers the samplers, guidances and feature networks of a Python file, under their class names in kebab-case.

    A class whose name begins with an underscore is the file's own affair.
    """
    from samplerzoo.options import kebab

    file = Path(path).resolve()
    if file in _files:
        return _files[file]
    module = _import(file)
    found = [
        Plugin(kind, kebab(cls.__name__), file.stem, str(file), cls)
        for kind, base in _bases().items()
        for cls in vars(module).values()
        if inspect.isclass(cls) and issubclass(cls, base) and cls.__module__ == module.__name__
        if not cls.__name__.startswith("_")
    ]
    if not found:
        raise UsageError(f"plugin {path}: the file defines no subclass of Sampler, Guidance or Features")
    for plugin in found:
        plugin.load()
    _files[file] = found
    return found


_files: dict[Path, list[Plugin]] = {}


def _import(file: Path) -> Any:
    if not file.is_file():
        raise UsageError(f"plugin {file}: no such file")
    name = f"samplerzoo_plugin_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise UsageError(f"plugin {file}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # pydantic looks annotations up there
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


def _bases() -> dict[Kind, type[Options]]:
    """What each kind is a subclass of."""
    from samplerzoo.core.features import Features
    from samplerzoo.core.guidance import Guidance
    from samplerzoo.core.sampler import Sampler

    return {"sampler": Sampler, "guidance": Guidance, "features": Features}


def _check(cls: Any, kind: Kind) -> None:
    """The protocol, as far as it can be seen without running."""
    base = _bases()[kind]
    if not (inspect.isclass(cls) and issubclass(cls, base)):
        raise TypeError(f"{cls!r} is not a subclass of samplerzoo.{base.__name__}")
    own = set(cls.model_fields) - set(base.model_fields)
    taken = set(dir(base)) | (RESERVED if kind == "sampler" else set())
    for field in own:
        if field in taken or (kind == "sampler" and field.startswith(GUIDANCE_PREFIX)):
            raise TypeError(
                f"the field {field!r} of {cls.__name__} has the name of a {base.__name__} member or a run flag"
            )
        if not cls.model_fields[field].description:
            raise TypeError(f"the field {field!r} of {cls.__name__} has no description, which is the help of its flag")
    check_members(cls, base, kind)
