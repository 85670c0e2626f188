"""A configuration as a dictionary of fields, the conversion of values to their types, and error messages."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from ml_collections import ConfigDict

from jaxgan.config.pytorch_words import translate
from jaxgan.errors import UserError
from jaxgan.fields import nearby

_KIND = {bool: "truth value", int: "whole number", float: "number", str: "word", list: "list"}


class Config(ConfigDict):
    """A ConfigDict in which a field hides a method of the same name: `config.train.update` is the field."""

    def __getattribute__(self, name: str) -> Any:
        fields = object.__getattribute__(self, "__dict__").get("_fields", ())  # not there yet while it is unpickled
        return self[name] if name in fields else super().__getattribute__(name)

    def update(self, *other: Mapping[str, Any], **kwargs: Any) -> None:
        """Sets fields recursively, like ConfigDict's method, which would call the field `train.update`."""
        for name, value in dict(*other, **kwargs).items():
            if isinstance(self.get(name), ConfigDict):
                Config.update(self[name], value)
            else:
                self[name] = value


def coerce(key: str, old: Any, value: Any) -> Any:
    """`value` as the type of `old`.

    Raises:
      UserError: it is of another type.
    """
    value = list(value) if isinstance(value, tuple) else value
    old = list(old) if isinstance(old, tuple) else old
    if isinstance(old, float) and type(value) is int:
        with suppress(OverflowError):  # raises the error below
            value = float(value)
    if type(value) is not type(old):
        raise UserError(f"{key} takes a {_KIND[type(old)]} such as {old!r}, not {value!r}.")
    return tuple(value) if isinstance(value, list) else value


def invalid_choice_error(key: str, value: Any, choices: Iterable[str]) -> UserError:
    """The error for a field whose value is not among its choices."""
    near = nearby(str(value), choices)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    if text := translate(str(value)):
        hint = f"; {text}."
    return UserError(f"{key} must be one of {', '.join(choices)}, not {value!r}{hint}")


def fingerprint(flat: dict[str, Any]) -> str:
    """A short name for a set of values, the same on every machine."""
    return hashlib.sha256(json.dumps(flat, sort_keys=True).encode()).hexdigest()[:12]
