"""Class names: their order, and the classes that a user names. Imports no heavy library."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import TypeVar

from samplerzoo.errors import UsageError, did_you_mean

T = TypeVar("T")

NAMED = 20
"""Largest number of classes that an error or a summary names."""


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Sort class names: as numbers if all of them are, so that 2 comes before 10, else as text."""
    found = sorted(set(names))
    return tuple(sorted(found, key=int) if are_numbers(found) else found)


def are_numbers(names: Collection[str]) -> bool:
    """Return True if every name is a whole number."""
    return all(re.fullmatch(r"[+-]?[0-9]+", name) for name in names)


def find_class(text: str, names: Sequence[str]) -> int | None:
    """Return the class with this name, or else with this number; None if there is none.

    If all names are numbers, such as 0, 5 and 7, a number is a name. Accents may be composed or decomposed in Unicode.

    Raises:
        UsageError: two classes have this name.
    """
    named = [number for number, name in enumerate(names) if name == text]
    if len(named) > 1:
        raise UsageError(f"the classes {' and '.join(map(str, named))} are both named {text!r}: give the number")
    if named:
        return named[0]
    numbered = [name for number, name in enumerate(names) if name == f"{text} ({number})"]
    if len(numbered) > 1:
        raise UsageError(f"the classes {' and '.join(numbered)} have the same name {text!r}: give one of them")
    one_way = [composed(name) for name in names]
    if one_way.count(composed(text)) == 1:
        return one_way.index(composed(text))
    by_number = re.fullmatch(r"[0-9]+", text) and not are_numbers(names)
    return int(text) if by_number and int(text) < len(names) else None


def apart(names: Iterable[str]) -> tuple[str, ...]:
    """Give classes of one name, as the two cranes of ImageNet, their numbers, since classes are told apart by names."""
    listed = [*names]
    count = Counter(map(composed, listed))
    found = tuple(f"{name} ({k})" if count[composed(name)] > 1 else name for k, name in enumerate(listed))
    return found if max(count.values(), default=1) == 1 else apart(found)  # a name may end in a number by itself


def order_among(names: Sequence[str], others: Sequence[str]) -> tuple[int, ...] | None:
    """Return the number that each of these classes has among others of the same names; None if they are not the same.

    Two classes of one name cannot be told apart, so that the order of all has to be the same.
    """
    ours, theirs = ([*map(composed, each)] for each in (names, others))
    if ours == theirs:
        return tuple(range(len(ours)))
    if sorted(ours) != sorted(theirs) or len(set(ours)) < len(ours):
        return None
    number = {name: index for index, name in enumerate(theirs)}
    return tuple(number[name] for name in ours)


def split_list(text: str, names: Sequence[str], known: Callable[[str], T | None]) -> Iterator[tuple[str, T | None]]:
    """Yield the words of a list such as `cat,dog` or `tench, Tinca tinca`, each with its meaning.

    Names may contain commas, so at each place the longest known name is taken.

    Args:
        known: function from a word to its meaning, or None if it has none.
    """
    parts = text.split(",")
    most = 1 + max((name.count(",") for name in names), default=0)
    while parts:
        for length in range(min(most, len(parts)), 0, -1):
            word = ",".join(parts[:length]).strip()
            meaning = known(word)
            if meaning is not None or length == 1:
                yield word, meaning
                del parts[:length]
                break


def parse_classes(text: str, names: Sequence[str]) -> list[int]:
    """Return the classes of a list of names or numbers that a user typed.

    Raises:
        UsageError: there is no such class, or one is named twice.
    """
    found: list[int] = []
    for word, chosen in split_list(text, names, lambda word: find_class(word, names)):
        if chosen is None:
            known = listed(names) if names else "none: the data have no labels"
            raise UsageError(f"no class named {word!r}{did_you_mean(word, list(names))}; the data's classes: {known}")
        if chosen in found:
            raise UsageError(f"--classes {text}: {names[chosen]} is named twice")
        found.append(chosen)
    return found


def listed(names: Sequence[str]) -> str:
    """Return names in one line: the first `NAMED` of many, and names with outer spaces in quotes."""
    shown = [name if name == name.strip() else repr(name) for name in names[:NAMED]]
    return ", ".join(shown) + (f", ... ({len(names)} in all)" if len(names) > NAMED else "")


def composed(text: str) -> str:
    """Return a text with composed accents (NFC), so that the two ways of writing a name in Unicode are one class."""
    return unicodedata.normalize("NFC", text)
