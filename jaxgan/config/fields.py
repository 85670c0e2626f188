"""The mechanics of a tree of fields: plain dictionaries, types, and the sentences for what does not fit."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import inspect
import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from jaxgan.config.pytorch_words import translate
from jaxgan.errors import UserError

_KIND = {bool: "truth value", int: "whole number", float: "number", str: "word", list: "list"}
_PLAIN = (bool, int, float, str, tuple)


class Config(ConfigDict):
    """A ConfigDict in which a field hides a method of the same name: `config.train.update` is the field."""

    def __getattribute__(self, name: str) -> Any:
        fields = object.__getattribute__(self, "__dict__").get("_fields", ())  # not there yet while it is unpickled
        return self[name] if name in fields else super().__getattribute__(name)

    def update(self, *other: Mapping[str, Any], **kwargs: Any) -> None:
        """Sets fields, recursively, as ConfigDict's method, which would call the field `train.update`."""
        for name, value in dict(*other, **kwargs).items():
            if isinstance(self.get(name), ConfigDict):
                Config.update(self[name], value)
            else:
                self[name] = value


class Section(NamedTuple):
    """A part of the configuration in which one field names a choice, and that choice brings fields of its own."""

    key: str  # the field that names the choice
    choices: Mapping[str, Any]


def fields_of(choice: Any) -> dict[str, Any]:
    """The fields that a choice brings, with their defaults.

    They are the attributes with a plain default of a dataclass (a Flax module, an optimizer), and the keyword-only
    arguments of a function, or of each function in a NamedTuple of functions (a loss).
    """
    if isinstance(choice, type) and dataclasses.is_dataclass(choice):
        attributes = {f.name: f.default for f in dataclasses.fields(choice) if f.name not in ("name", "parent")}
        return {name: default for name, default in attributes.items() if isinstance(default, _PLAIN)}
    functions = [part for part in choice if callable(part)] if isinstance(choice, tuple) else [choice]
    keywords = (p for f in functions for p in inspect.signature(f).parameters.values() if p.kind is p.KEYWORD_ONLY)
    return {p.name: p.default for p in keywords if isinstance(p.default, _PLAIN)}


def accepted_kwargs(function: Callable, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Those of `fields` that `function` takes."""
    return {name: fields[name] for name in inspect.signature(function).parameters if name in fields}


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
    """What is at 'a.b.c'."""
    for name in path.split("."):
        config = config[name]
    return config


def coerce(key: str, old: Any, value: Any) -> Any:
    """`value` as the type of `old`.

    Raises:
      UserError: it is of another type.
    """
    value = list(value) if isinstance(value, tuple) else value
    old = list(old) if isinstance(old, tuple) else old
    if isinstance(old, float) and type(value) is int:
        with suppress(OverflowError):  # the sentence below
            value = float(value)
    if type(value) is not type(old):
        raise UserError(f"{key} takes a {_KIND[type(old)]} such as {old!r}, not {value!r}.")
    return tuple(value) if isinstance(value, list) else value


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that is most like `name`."""
    return difflib.get_close_matches(name, list(known), n=1, cutoff=0.0)[0]


def nearby(name: str, known: Iterable[str], cutoff: float = 0.6) -> list[str]:
    """The known name of which `name` may be a misspelling; [] for none.

    Args:
      cutoff: in [0, 1], how alike they must be.
    """
    return difflib.get_close_matches(name, list(known), n=1, cutoff=cutoff)


def invalid_choice_error(key: str, value: Any, choices: Iterable[str]) -> UserError:
    """The error of a field whose value is none of its choices."""
    near = nearby(str(value), choices)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    if text := translate(str(value)):
        hint = f"; {text}."
    return UserError(f"{key} must be one of {', '.join(choices)}, not {value!r}{hint}")


def fingerprint(flat: dict[str, Any]) -> str:
    """A short name for a set of values, the same on every machine."""
    return hashlib.sha256(json.dumps(flat, sort_keys=True).encode()).hexdigest()[:12]
