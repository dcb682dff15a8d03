"""Protocol of plugins that can be checked without running them: how samplerzoo calls and reads their members."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Sequence
from inspect import Parameter, Signature
from typing import Any

from samplerzoo.core.blame import bad_answer, blaming, code_of, place_of, place_of_class

REQUIRED: dict[str, tuple[tuple[str, ...], ...]] = {
    "sampler": (("step", "walk"),),
    "guidance": (("guide",),),
    "features": (("load",), ("id",)),
    "spacing": (("taus",),),
    "source": (),
    "network": (("facts",), ("module",), ("call",)),
    "path": (("path",),),
    "codec": (("codec",), ("module",)),
}
"""Members that a plugin of each kind has to define: at least one of each group."""

CALLED: dict[str, tuple[str, ...]] = {
    "sampler": ("grid", "step", "suited", "walk"),
    "guidance": ("guide", "within_interval"),
    "features": ("load", "load_head", "load_text"),
    "spacing": ("taus",),
    "source": ("names", "refusal", "sampler"),
    "network": ("claims", "facts", "module", "parametrization", "call", "text"),
    "path": ("claims", "path"),
    "codec": ("claims", "codec", "module"),
}
"""Methods that samplerzoo calls, with the arguments of the base class, by position."""

READ: dict[str, tuple[str, ...]] = {
    "sampler": ("order", "takes_shift", "needs_mean"),
    "guidance": ("needs_labels", "keeps_scale_1"),
    "features": ("name", "id", "image_size", "references"),
    "spacing": ("needs_timesteps", "rounds", "starts_at_top", "has_one_step"),
    "source": ("noun", "version"),
    "network": ("texts", "unused"),
    "path": (),
    "codec": (),
}
"""Members that samplerzoo reads without calling them."""

VALUES: dict[str, tuple[type, str]] = {
    "order": (int, "a whole number"),
    "takes_shift": (bool, "True or False"),
    "needs_mean": (bool, "True or False"),
    "keeps_scale_1": (bool, "True or False"),
    "name": (str, "a text"),
    "id": (str, "a text"),
}
"""Types of members that may be properties, whose value only an object has."""

SWITCHES = ("needs_labels", "needs_timesteps", "rounds", "starts_at_top", "has_one_step")
"""Members that are True or False for the whole class."""

LEVELS = frozenset("ts")
"""Arguments whose names an author may swap: papers disagree on which of t and s comes first."""


def check_members(cls: type, base: type, kind: str) -> None:
    """Compare the members of a plugin's class with how samplerzoo uses them.

    Args:
        base: the class that plugins of this kind are subclasses of.

    Raises:
        TypeError: a member is missing, or cannot be used that way. The message has file and line of the member.
    """
    for name, field in getattr(cls, "model_fields", {}).items():
        extra = field.json_schema_extra
        unknown = sorted({*extra} - {"enum", "examples"}) if isinstance(extra, dict) else []
        if unknown:
            raise TypeError(f"{cls.__name__}.{name}: Field takes no {unknown[0]} ({place_of_class(cls)})")
    for members in REQUIRED[kind]:
        if not any(_overrides(cls, base, member) for member in members):
            meant = _meant(cls, base, members)
            hint = f"; is its {meant[0]} to be {meant[1]}?" if meant else ""
            raise TypeError(f"{cls.__name__} does not define {' or '.join(members)}{hint} ({place_of_class(cls)})")
    for name in CALLED[kind]:
        if name == "step" and _overrides(cls, base, "walk"):
            continue  # only the walk of Sampler calls it
        if _overrides(cls, base, name):
            fault = _fault_of_method(cls, base, name)
            if fault:
                raise TypeError(f"{fault} ({place_of(cls, name)})")
    for name in READ[kind]:
        if _overrides(cls, base, name):
            fault = _fault_of_value(name, inspect.getattr_static(cls, name))
            if fault:
                raise TypeError(f"{fault} ({place_of(cls, name)})")


def check_values(plugin: object, *names: str) -> None:
    """Read members of a plugin's object, and check the types of their values.

    Raises:
        ZooError: a member fails, or its value has a wrong type.
    """
    for name in names:
        kind, wanted = VALUES[name]
        with blaming(plugin):
            value = getattr(plugin, name)
        if not isinstance(value, kind):
            raise bad_answer(plugin, name, value, wanted)


def _overrides(cls: type, base: type, name: str) -> bool:
    nothing = object()
    found = inspect.getattr_static(cls, name, nothing)
    return found is not nothing and found is not inspect.getattr_static(base, name, nothing)


def _meant(cls: type, base: type, members: Sequence[str]) -> tuple[str, str] | None:
    """Return a member of the plugin whose name looks like a misspelt missing one, and the missing name."""
    own = {name for parent in cls.__mro__ if not issubclass(base, parent) for name in vars(parent)}
    for member in members:
        if close := difflib.get_close_matches(member, sorted(own), n=1):
            return close[0], member
    return None


def _fault_of_method(cls: type, base: type, name: str) -> str | None:
    """Return the reason why samplerzoo cannot call a method, or None if it can."""
    raw, method = inspect.getattr_static(cls, name), getattr(cls, name)
    if isinstance(raw, (property, functools.cached_property)):
        return f"{name} is a property, and samplerzoo calls it: take @property away"
    if not callable(method):
        return f"{name} is {raw!r}, and has to be a method"
    if inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method):
        return f"{name} is asynchronous, and has to be a plain method: def, not async def"
    if inspect.isgeneratorfunction(method) and name != "walk":
        walk = "; a generator is a walk: def walk(self, x, grid, denoise, noise)" if name == "step" else ""
        return f"{name} yields, and has to return its answer{walk}"
    try:
        own = [*inspect.signature(method).parameters.values()]
    except (TypeError, ValueError):  # a C function without a signature
        return None
    given = [*inspect.signature(getattr(base, name)).parameters][1:]
    if not isinstance(raw, (staticmethod, classmethod)) and hasattr(type(raw), "__get__"):  # called with self
        if not own or own[0].kind in (Parameter.KEYWORD_ONLY, Parameter.VAR_KEYWORD):
            return f"{name} takes {_listed(own)}: 'self' is missing"
        if own[0].kind is not Parameter.VAR_POSITIONAL:
            if own[0].name in given and len(own) <= len(given):
                return f"{name} takes {_listed(own)}: 'self' is missing"
            own = own[1:]
    fault = _fault_of_arguments(own, given)
    if fault is None:
        return None
    static = isinstance(raw, staticmethod) and own and own[0].name == "self"
    hint = "; a staticmethod gets no self" if static else ""
    return f"{name} takes {_listed(own)}, and is called with ({', '.join(given)}): {fault}{hint}"


def _fault_of_arguments(own: Sequence[Parameter], given: Sequence[str]) -> str | None:
    """Compare a method's parameters, without self, with the arguments that it is given by position."""
    for parameter in own:
        if parameter.kind is Parameter.KEYWORD_ONLY and parameter.default is Parameter.empty:
            return f"{parameter.name!r} is never passed by samplerzoo: give it a default, or make it a field"
    places = [p for p in own if p.kind in (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)]
    names = [parameter.name for parameter in places]
    if len(places) < len(given) and not any(p.kind is Parameter.VAR_POSITIONAL for p in own):
        lost = _apart(given, names, len(given) - len(places))
        return f"{_quoted(lost)} {'is' if len(lost) == 1 else 'are'} missing"
    needed = [parameter.name for parameter in places if parameter.default is Parameter.empty]
    if len(needed) > len(given):
        more = _apart(needed, given, len(needed) - len(given))
        return f"nothing is given for {_quoted(more)}: give it a default, or make it a field"
    first = names[: len(given)]
    if set(first) == set(given):
        wrong = [(a, b) for a, b in zip(first, given, strict=True) if a != b and not {a, b} <= LEVELS]
        if wrong:
            return f"{wrong[0][0]!r} stands where {wrong[0][1]!r} is given"
    return None


def _apart(names: Sequence[str], others: Sequence[str], count: int) -> Sequence[str]:
    """Return the names that are not among the others: `count` of them, else the last `count` names."""
    apart = [name for name in names if name not in others]
    return apart if len(apart) == count else names[-count:]


def _fault_of_value(name: str, raw: Any) -> str | None:
    """Return the reason why samplerzoo cannot read a member, or None if it can."""
    if callable(raw) or isinstance(raw, (staticmethod, classmethod, functools.partialmethod)):
        return f"{name} is a method, and is read without being called: put @property above it"
    if isinstance(raw, (property, functools.cached_property)):
        if name in SWITCHES:
            return f"{name} is a property, and has to be True or False for the whole class"
        getter = code_of(raw)
        waits = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
        return f"{name} yields or waits, and has to return its value" if getter and getter.co_flags & waits else None
    if name in (*SWITCHES, "takes_shift", "needs_mean", "keeps_scale_1") and not isinstance(raw, bool):
        return f"{name} is {raw!r}, and has to be True or False"
    if name == "order" and not isinstance(raw, int):
        return f"order is {raw!r}, and has to be a whole number"
    return None


def _listed(parameters: Sequence[Parameter]) -> str:
    return str(Signature([parameter.replace(annotation=Parameter.empty) for parameter in parameters]))


def _quoted(names: Sequence[str]) -> str:
    return " and ".join(f"{name!r}" for name in names)
