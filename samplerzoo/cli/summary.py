"""First line of a plugin's docstring, read from its source without importing it.

A plugin that imports torch would make `samplerzoo list` take seconds.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import EntryPoint

from samplerzoo.registry import Plugin


def summary(plugin: Plugin) -> str:
    """Return the first line of a plugin's docstring, or an empty text if its source cannot be found or read."""
    if not isinstance(plugin.target, EntryPoint):
        return _first_line(inspect.getdoc(plugin.target))
    try:
        spec = _spec(plugin.target.module)
        source = spec.loader.get_source(spec.name)  # type: ignore[union-attr]
        tree = ast.parse(source or "")
    except (ImportError, AttributeError, SyntaxError, ValueError):
        return ""
    found = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == plugin.target.attr]
    return _first_line(ast.get_docstring(found[0])) if found else ""


def _spec(module: str) -> ModuleSpec:
    """Find the source of a module without importing its parent packages, as `find_spec` alone would.

    Raises:
        ImportError: there is no such module.
    """
    top, *inner = module.split(".")
    spec = importlib.util.find_spec(top)
    name = top
    for part in inner:
        name = f"{name}.{part}"
        spec = None if spec is None else PathFinder.find_spec(name, spec.submodule_search_locations)
    if spec is None:
        raise ImportError(module)
    return spec


def _first_line(text: str | None) -> str:
    return text.strip().splitlines()[0].rstrip(".") if text and text.strip() else ""
