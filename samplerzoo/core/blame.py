"""Blame: an error of a plugin's code, told in one line with the file and the line of the plugin."""

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
"""Modules with classes that plugins inherit from, and that are no part of a plugin."""

_names: dict[type, str] = {}


def remember(cls: type, name: str | None = None) -> None:
    """Note a plugin that was loaded: `blame` looks for it without being told, and calls it by this name.

    Args:
        name: name that it is registered under; by default the name that is known, or else that of the class.
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
        None if no plugin has a part in it, or if the error is not to be blamed on one: a ZooError has its message, and
        memory that ran out, an interruption or a skipped test are no mistakes.
    """
    if not isinstance(error, Exception) or isinstance(error, (ZooError, SkipTest)) or _out_of_memory(error):
        return None
    known = [plugin for plugin in (plugins or _names) if plugin is not None]
    files = {plugin: _files(plugin) for plugin in map(_class, known)}
    frames = [*traceback.walk_tb(error.__traceback__)]
    inside = [n for n, (frame, _) in enumerate(frames) if frame.f_code.co_filename in set().union(*files.values())]
    if not inside:
        return None
    plugin = _owner([frames[number][0] for number in reversed(inside)], files)
    package = _package(frames[inside[-1]][0])
    if package not in ("", "samplerzoo"):  # the plugin's own helper modules
        inside += [n for n, (frame, _) in enumerate(frames) if _package(frame) == package]
    deepest = max(inside)
    frame, line = frames[deepest]
    network = any(_calls_network(frame) for frame, _ in frames[deepest + 1 :])
    culprit = f"the network, as {plugin_title(plugin)} calls it, fails" if network else f"{plugin_title(plugin)} fails"
    where = f"{place(frame.f_code, line, plugin)}, in {frame.f_code.co_name}"
    return ZooError(f"{culprit}: {reason(error)} ({where}){_way_out(error, frame.f_code.co_filename)}")


@contextmanager
def blaming(*plugins: object) -> Iterator[None]:
    """Turn the errors of these plugins into one line each, as `blame` does. Other errors pass as they are.

    Raises:
        ZooError: from the plugin's own error.
    """
    try:
        yield
    except Exception as error:
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
    """Return file and line of a member of a class; those of the class if the member has no code."""
    code = code_of(inspect.getattr_static(cls, name))
    if code is not None:
        return place(code, code.co_firstlineno, cls)
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


def import_fault(error: BaseException, module: str) -> str:
    """Say in one line why a plugin's module cannot be imported, with the file and the line that failed.

    Args:
        module: the name that it was to be imported by.
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
        return f"{reason(error)} ({file}, line {line}){_way_out(error, file)}"
    there = getattr(sys.modules.get(module), "__file__", None)
    return f"{reason(error)} ({there})" if there else reason(error)


def _way_out(error: BaseException, file: str) -> str:
    """Say how to import what a plugin takes from a module of samplerzoo that is not there, or no longer."""
    if not isinstance(error, ImportError) or not (error.name or "").startswith("samplerzoo."):
        return ""
    try:
        nodes = [*ast.walk(ast.parse(Path(file).read_bytes()))]
    except (OSError, SyntaxError, ValueError):
        nodes = []
    imports = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.module == error.name]
    names = [alias.name for node in imports for alias in node.names] or ["..."]
    return f"; import it from samplerzoo itself: from samplerzoo import {', '.join(dict.fromkeys(names))}"


def _class(plugin: object) -> type:
    return plugin if isinstance(plugin, type) else type(plugin)


def _owner(frames: Sequence[FrameType], files: dict[type, set[str]]) -> type:
    """Find the class that the first of these frames, the innermost first, belongs to; one file may hold several."""
    code = frames[0].f_code
    known = [cls for cls, names in files.items() if code.co_filename in names]
    named = [cls for cls in known if code.co_qualname.startswith(f"{cls.__qualname__}.")]
    objects = [type(frame.f_locals.get("self")) for frame in frames]
    return next((cls for cls in objects if cls in known), (named or known)[-1])


def _files(cls: type) -> set[str]:
    """Return the files, or names of notebook cells, that a plugin's classes are written in."""
    found: set[str] = set()
    for base in cls.__mro__:
        module = base.__module__
        if not f"{module}.".startswith(OURS):
            own = [part for part in vars(base).values() if getattr(part, "__module__", module) == module]
            codes = {code.co_filename for code in map(code_of, own) if code is not None}
            found |= codes or {_module_file(base)}
    return found - {""}


def _module_file(cls: type) -> str:
    """Return the file of a class's module; nothing for a script or a notebook, which holds more than the plugin."""
    module = None if cls.__module__ == "__main__" else sys.modules.get(cls.__module__)
    return getattr(module, "__file__", None) or ""


def _package(frame: FrameType) -> str:
    """Return the top-level package of a frame's module; nothing if it is in none."""
    return str(frame.f_globals.get("__package__") or "").partition(".")[0]


def _calls_network(frame: FrameType) -> bool:
    """Say whether a frame is samplerzoo's call of a model."""
    return frame.f_code.co_name == "denoise" and _package(frame) == "samplerzoo"


def _out_of_memory(error: Exception) -> bool:
    """Recognise torch's error without importing torch."""
    return any(cls.__name__ == "OutOfMemoryError" for cls in type(error).__mro__)
