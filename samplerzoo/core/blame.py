"""Blame: turn an error of a plugin's code into one line, with file and line of the plugin."""

from __future__ import annotations

import ast
import inspect
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any
from unittest import SkipTest

from samplerzoo.errors import ZooError, reason

OURS = ("samplerzoo.core.", "samplerzoo.options.", "pydantic.", "builtins.", "abc.", "typing.")
"""Modules of base classes of plugins, which do not belong to a plugin themselves."""

_names: dict[type, str] = {}


def remember(cls: type, name: str | None = None) -> None:
    """Note a plugin that was loaded: `blame` looks for it without being told, and calls it by this name.

    Args:
        name: name that it is registered under. By default the name of an earlier call, or else the class name.
    """
    _names[cls] = name or _names.get(cls, cls.__name__)


def plugin_title(plugin: object) -> str:
    """Return kind and name of a plugin's class or object, such as `sampler ddim`; its class name if it has no other."""
    cls = _class(plugin)
    bases = (base.__module__.rpartition(".") for base in cls.__mro__)
    kind = next((name for room, _, name in bases if room == "samplerzoo.core"), "plugin")
    return f"{kind} {_names.get(cls, cls.__name__)}"


def blame(error: BaseException, *plugins: object) -> ZooError | None:
    """Say which plugin an error comes from, as a ZooError with file and line.

    It names the innermost line of the traceback that is a plugin's own. If the plugin called the network there, with
    a state of a wrong shape for example, the message says so.

    Args:
        plugins: classes or objects of plugins; if there are none, every plugin that was loaded.

    Returns:
        None if no plugin is involved, or if the error is not its fault: a ZooError already has a message, and
        exhausted memory, an interruption or a skipped test are not mistakes.
    """
    if isinstance(error, RuntimeError) and isinstance(error.__cause__, StopIteration):
        error = error.__cause__  # a StopIteration from a generator is raised again, without the plugin's line
    if not isinstance(error, (Exception, SystemExit)) or isinstance(error, (ZooError, SkipTest)):
        return None
    known = [plugin for plugin in (plugins or _names) if plugin is not None]
    files = {plugin: _files(plugin) for plugin in map(_class, known)}
    everywhere = [*traceback.walk_tb(error.__traceback__)]
    calls = [n for n, (frame, _) in enumerate(everywhere) if _calls_network(frame)]
    frames = everywhere[: calls[-1]] if calls else everywhere  # a network may be defined in a plugin's file
    inside = [n for n, (frame, _) in enumerate(frames) if frame.f_code.co_filename in set().union(*files.values())]
    if not inside or _out_of_memory(error):
        return None
    plugin = _owner([frames[number][0] for number in reversed(inside)], files)
    package = _package(frames[inside[-1]][0])
    if package not in ("", "samplerzoo"):  # the plugin's own helper modules
        inside += [n for n, (frame, _) in enumerate(frames) if _package(frame) == package]
    deepest = max(inside)
    frame, line = frames[deepest]
    network = any(n > deepest for n in calls)
    culprit = f"the network, as {plugin_title(plugin)} calls it, fails" if network else f"{plugin_title(plugin)} fails"
    where = f"{place(frame.f_code, line, plugin)}, in {frame.f_code.co_name}"
    if network:
        inner, inner_line = everywhere[-1]
        where += f"; raised in {inner.f_code.co_filename}, line {inner_line}"
    return ZooError(f"{culprit}: {reason(error)} ({where}){_way_out(error, frame.f_code.co_filename)}")


def bad_answer(plugin: object, method: str, answer: object, wanted: str, *, of: str = "") -> ZooError:
    """Return the error for a method of a plugin that returned a wrong object, with file and line of the method.

    Args:
        wanted: words for what it has to return, such as `a Grid`.
        of: words for what returned the answer, if not the method itself, such as `'s function`.
    """
    shape = getattr(answer, "shape", None)
    what = "None" if answer is None else f"a {type(answer).__name__}"
    if isinstance(shape, tuple):
        what += f" ({getattr(answer, 'dtype', '')}) of shape {tuple(shape)}"
    found = f"{plugin_title(plugin)}: {method}{of} gives {what}, and has to give {wanted}"
    return ZooError(f"{found} ({place_of(_class(plugin), method)})")


@contextmanager
def blaming(*plugins: object) -> Iterator[None]:
    """Turn the errors of these plugins into one line each, as `blame` does. Other errors pass as they are.

    Raises:
        ZooError: from the plugin's own error.
    """
    try:
        yield
    except (Exception, SystemExit) as error:
        told = blame(error, *plugins)
        if told is None:
            raise
        raise told from error


def place(code: CodeType | None, line: int | None, plugin: object) -> str:
    """Return file and line of a plugin's code. In a notebook, which has no file, return class and line."""
    cls = _class(plugin)
    file = _module_file(cls) if code is None else code.co_filename
    where = file if os.path.isfile(file) else f"class {cls.__qualname__}"
    return where if line is None else f"{where}, line {line}"


def place_of(cls: type, name: str) -> str:
    """Return file and line of a member of a class; those of the class if there is no such code."""
    code = code_of(inspect.getattr_static(cls, name, None))
    if code is not None:
        return place(code, code.co_firstlineno, cls)
    return place_of_class(cls)


def place_of_class(cls: type) -> str:
    """Return file and line where a class begins."""
    try:
        return place(None, inspect.getsourcelines(cls)[1], cls)
    except (OSError, TypeError):
        return place(None, None, cls)


def code_of(attribute: Any) -> CodeType | None:
    """Return the code of a function, of a method of any kind, or of a property."""
    for inner in ("fget", "func", "__func__"):
        attribute = getattr(attribute, inner, None) or attribute
    code = getattr(inspect.unwrap(attribute) if callable(attribute) else attribute, "__code__", None)
    return code if isinstance(code, CodeType) else None


NOT_ANNOTATED = (
    "a value of a class has no type: `name: float = Field(1.0, description=...)` is an option, "
    "`NAME: ClassVar[int] = 3` a constant"
)
"""Message that replaces pydantic's for a class with `name = value`."""


def import_fault(error: BaseException, module: str) -> str:
    """Say in one line why a plugin's module cannot be imported, with the file and the line that failed.

    Args:
        module: name of the module to import.
    """
    top = module.partition(".")[0]
    lines = [
        (frame.f_code.co_filename, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if str(frame.f_globals.get("__name__")).partition(".")[0] == top
    ]
    if isinstance(error, SyntaxError) and error.filename:
        return f"{type(error).__name__}: {error.msg} ({error.filename}, line {error.lineno})"
    if lines:
        file, line = lines[-1]
        why = NOT_ANNOTATED if getattr(error, "code", None) == "model-field-missing-annotation" else reason(error)
        return f"{why} ({file}, line {line}){_way_out(error, file)}"
    there = getattr(sys.modules.get(module), "__file__", None)
    return f"{reason(error)} ({there})" if there else reason(error)


def _way_out(error: BaseException, file: str) -> str:
    """Return advice for code that sets an option, or that imports a name that samplerzoo does not have."""
    if getattr(error, "title", None) and "frozen" in reason(error):
        return "; options do not change: keep what does in local variables of walk"
    if not isinstance(error, ImportError) or not f"{error.name}.".startswith("samplerzoo."):
        return ""
    try:
        nodes = [*ast.walk(ast.parse(Path(file).read_bytes()))]
    except (OSError, SyntaxError, ValueError):
        nodes = []
    imports = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.module == error.name]
    names = dict.fromkeys(alias.name for node in imports for alias in node.names)
    public = getattr(sys.modules.get("samplerzoo"), "__all__", ())
    known = [name for name in names if name in public]
    if known:
        return f"; import it from samplerzoo itself: from samplerzoo import {', '.join(known)}"
    return "; public names are in samplerzoo itself, as in: from samplerzoo import Sampler"


def _class(plugin: object) -> type:
    return plugin if isinstance(plugin, type) else type(plugin)


def _owner(frames: Sequence[FrameType], files: dict[type, set[str]]) -> type:
    """Find the plugin's class to which the innermost possible frame belongs, since a file may hold several classes.

    Args:
        frames: frames of a traceback, the innermost first.
    """
    objects = [type(frame.f_locals.get("self")) for frame in frames]
    for frame, own in zip(frames, objects, strict=True):
        code = frame.f_code
        if own in files and code.co_filename in files[own]:
            return own
        named = [cls for cls in files if code.co_qualname.startswith(f"{cls.__qualname__}.")]
        named = [cls for cls in named if code.co_filename in files[cls]]
        if named:
            return next((cls for cls in objects if cls in files and issubclass(cls, named[-1])), named[-1])
    return [cls for cls, names in files.items() if frames[0].f_code.co_filename in names][-1]


def _files(cls: type) -> set[str]:
    """Return the files, or names of notebook cells, in which a plugin's classes are defined."""
    found: set[str] = set()
    for base in cls.__mro__:
        module = base.__module__
        if not f"{module}.".startswith(OURS):
            own = [part for part in vars(base).values() if getattr(part, "__module__", module) == module]
            codes = {code.co_filename for code in map(code_of, own) if code is not None}
            found |= codes or {_module_file(base)}
    return found - {""}


def _module_file(cls: type) -> str:
    """Return the file of a class's module; an empty text for a script or a notebook, which hold other code, too."""
    module = None if cls.__module__ == "__main__" else sys.modules.get(cls.__module__)
    return getattr(module, "__file__", None) or ""


def _package(frame: FrameType) -> str:
    """Return the top-level package of a frame's module; an empty text if it is in none."""
    return str(frame.f_globals.get("__package__") or "").partition(".")[0]


def _calls_network(frame: FrameType) -> bool:
    """Tell whether a frame is samplerzoo's call of a model."""
    return frame.f_code.co_name == "denoise" and _package(frame) == "samplerzoo"


def _out_of_memory(error: BaseException) -> bool:
    """Recognise torch's error without importing torch."""
    return any(cls.__name__ == "OutOfMemoryError" for cls in type(error).__mro__)
