"""Fields of the configuration. The declaration of a field includes its bounds and whether the training step traces it.

A section is a frozen dataclass. A choice with fields of its own is a dataclass too, or a Flax module, or a function
with keyword-only arguments. The comment next to a field is its meaning, which `--mode=config` prints; its annotation
contains the rest:

    learning_rate: Annotated[float, TRACED, above(0)] = 1e-4  # meaning norm: Annotated[str, one_of("none", "batch")] =
    "none"  # meaning weight: Weight = 0.0  # traced, 0 or more; a term with weight 0 is left out of the program

A field without annotation is static and may have any value of the type of its default. (Annotations are evaluated late:
a lambda in one cannot use the names of its module.)
"""

from __future__ import annotations

import dataclasses
import difflib
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, partial
from typing import Annotated, Any, NamedTuple, get_type_hints

import numpy as np
from ml_collections import ConfigDict

from jaxgan.errors import UserError

_PLAIN = (bool, int, float, str, tuple)


class Traced(NamedTuple):
    """The value enters the training step as an array: runs that differ only in it share a compiled program."""

    form: Callable[[Any], np.generic] = np.float32  # the value -> the array that is traced
    switch: Callable[[Any], bool] | None = None  # whether the value turns something on, which the program depends on


class Bound(NamedTuple):
    """A condition on a value: 'KEY must be `words`, not VALUE'."""

    words: str
    holds: Callable[[Any], bool]


class OneOf(NamedTuple):
    """The field names one of these."""

    names: Iterable[str]


class Choice(NamedTuple):
    """The field names an entry of a table, and that entry adds its own fields to the section."""

    table: Mapping[str, Any]


def above(low: float) -> Bound:
    """Values > low."""
    return Bound(f"above {low}", lambda x: x > low)


def at_least(low: float) -> Bound:
    """Values >= low."""
    return Bound(f"{low} or more", lambda x: x >= low)


def below(high: float) -> Bound:
    """Values < high."""
    return Bound(f"below {high}", lambda x: x < high)


def within(low: float, high: float, ends: str = "[]") -> Bound:
    """Values from low to high; '[' includes an end, '(' leaves it out."""
    left, right = ends[0], ends[1]
    return Bound(
        f"in {left}{low}, {high}{right}",
        lambda x: (low <= x if left == "[" else low < x) and (x <= high if right == "]" else x < high),
    )


def one_of(*names: str) -> OneOf:
    """One of these words."""
    return OneOf(names)


TRACED = Traced()
SWITCHED = Traced(switch=lambda weight: weight > 0)  # a term with weight 0 is left out of the program
Weight = Annotated[float, SWITCHED, at_least(0)]
INLINE = "inline"  # for a mapping of sections: its sections are siblings of the field instead of being nested in it


class Field(NamedTuple):
    """A field: its default, and the notes in its annotation."""

    default: Any
    notes: tuple[Any, ...] = ()

    def note(self, kind: type[Any]) -> Any:
        """The note of this kind, or None."""
        return next((note for note in self.notes if isinstance(note, kind)), None)


class Section(NamedTuple):
    """A part of the configuration in which one field names a choice, and that choice adds its own fields."""

    key: str  # the field that names the choice
    choices: Mapping[str, Any]


@cache
def declared(choice: Any) -> dict[str, Field]:
    """The fields of a choice.

    For a dataclass (a Flax module, an optimizer) these are the attributes with a plain default; for a function, or for
    each function in a NamedTuple of functions (a loss), the keyword-only arguments.
    """
    if isinstance(choice, type) and dataclasses.is_dataclass(choice):
        defaults = {f.name: f.default for f in dataclasses.fields(choice) if f.name not in ("name", "parent")}
        return _fields(choice, {name: default for name, default in defaults.items() if isinstance(default, _PLAIN)})
    by_name: dict[str, Field] = {}
    for function in (part for part in choice if callable(part)) if isinstance(choice, tuple) else [choice]:
        keywords = [p for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY]
        by_name |= _fields(function, {p.name: p.default for p in keywords if isinstance(p.default, _PLAIN)})
    return by_name


_hints = cache(partial(get_type_hints, include_extras=True))


def _fields(owner: Any, defaults: Mapping[str, Any]) -> dict[str, Field]:
    hints = _hints(owner) if defaults else {}
    return {name: Field(default, getattr(hints.get(name), "__metadata__", ())) for name, default in defaults.items()}


def fields_of(choice: Any) -> dict[str, Any]:
    """The fields of a choice, with their defaults."""
    return {name: field.default for name, field in declared(choice).items()}


def _entries(section: Any, path: str) -> Iterator[tuple[str, Field]]:
    """The entries of a section (an instance of its dataclass) by key; a mapping is replaced by its entries."""
    defaults = {f.name: getattr(section, f.name) for f in dataclasses.fields(section)}
    for name, field in _fields(type(section), defaults).items():
        if isinstance(field.default, Mapping):
            inside = path if INLINE in field.notes else f"{path}{name}."
            yield from ((f"{inside}{key}", field._replace(default=value)) for key, value in field.default.items())
        else:
            yield f"{path}{name}", field


def tree(section: Any, path: str = "") -> Iterator[tuple[str, Field]]:
    """The fields of a section and of those in it, in order: ('train.steps', Field)."""
    for key, field in _entries(section, path):
        if dataclasses.is_dataclass(field.default):
            yield from tree(field.default, f"{key}.")
        else:
            yield key, field


def sections(section: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The sections in a section, outer ones first, with their paths: ('generator.ema', EmaSection())."""
    for key, field in _entries(section, path):
        if dataclasses.is_dataclass(field.default):
            yield key, field.default
            yield from sections(field.default, f"{key}.")


def build_choice(table: Mapping[str, Any], section: ConfigDict, key: str = "name", **attributes: Any) -> Any:
    """The choice of a section: for a dataclass an instance with the section's fields, else the table's entry.

    Args:
      key: the field that names the choice.
      attributes: additional attributes, which are not fields.
    """
    choice = table[section[key]]
    if not isinstance(choice, type):
        return choice
    return choice(**{name: section[name] for name in declared(choice)}, **attributes)


def accepted_kwargs(function: Callable, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Those of `fields` that are parameters of `function`."""
    return {name: fields[name] for name in inspect.signature(function).parameters if name in fields}


def check_bounds(key: str, field: Field, value: Any) -> None:
    """Raises UserError if a value is outside one of the field's bounds."""
    for note in field.notes:
        if isinstance(note, Bound) and not note.holds(value):
            raise UserError(f"{key} must be {note.words}, not {value}.")


def flatten(config: ConfigDict) -> dict[str, Any]:
    """{'train.steps': 20000, ...}, tuples as lists (as JSON has them)."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, ConfigDict):
            flat.update({f"{key}.{k}": v for k, v in flatten(value).items()})
        else:
            flat[key] = list(value) if isinstance(value, tuple) else value
    return flat


def get(config: ConfigDict, path: str) -> Any:
    """The value at 'a.b.c'."""
    for name in path.split("."):
        config = config[name]
    return config


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that is most similar to `name`."""
    return difflib.get_close_matches(name, list(known), n=1, cutoff=0.0)[0]


def nearby(name: str, known: Iterable[str], cutoff: float = 0.6) -> list[str]:
    """The known name of which `name` may be a misspelling, as a list; [] for none.

    Args:
      cutoff: the minimum similarity, in [0, 1].
    """
    return difflib.get_close_matches(name, list(known), n=1, cutoff=cutoff)
