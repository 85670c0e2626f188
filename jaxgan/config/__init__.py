"""Configurations: built from the sections that the package's modules declare (`sections.py`), changed and validated.

A section such as `generator` names a choice (`generator.name`) and contains that choice's fields in addition to its
own: the attributes of `networks/mlp.py: Generator`, with their defaults, comments and bounds, are the fields of
`generator.name=mlp`. Naming another choice replaces them by its defaults. A file in `configs/` starts from
`default()` and sets the fields that differ. The result is locked: an unknown field is an error that names the closest
field, or lists the existing ones. There are no other defaults.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ml_collections import ConfigDict

from jaxgan import optimizers
from jaxgan.algorithm1 import UPDATES
from jaxgan.augment import section as augment
from jaxgan.config.fields import Config, coerce, fingerprint, invalid_choice_error
from jaxgan.config.pytorch_words import translate
from jaxgan.config.sections import Root
from jaxgan.errors import UserError
from jaxgan.fields import (
    Choice,
    Field,
    OneOf,
    Section,
    accepted_kwargs,
    build_choice,
    check_bounds,
    declared,
    fields_of,
    flatten,
    get,
    nearby,
    sections,
    tree,
)
from jaxgan.game import accumulation, inference
from jaxgan.networks import forward
from jaxgan.objectives.terms import auxiliary, code, labelled, paired, regression

__all__ = ["default", "fingerprint", "flatten", "get", "update", "validate"]

# The sections that make a choice, outer ones first.
SECTIONS = {
    key.rpartition(".")[0]: Section(key.rpartition(".")[2], field.note(Choice).table)
    for key, field in tree(Root())
    if field.note(Choice)
}

# The allowed names of each field that names something without adding fields.
CHOICES = {key: field.note(OneOf).names for key, field in tree(Root()) if field.note(OneOf)}

# The checks that involve several sections.
CHECKS: tuple[Callable[[ConfigDict], None], ...] = (
    lambda config: UPDATES[config.train.update].check(config),
    augment.check,
    auxiliary.check,
    labelled.check,
    paired.check,
    regression.check,
    code.check,
    inference.check,
    forward.check_packing,
    accumulation.check,
    optimizers.check,
)

# Fields that may change when a run is resumed: none of them alters a step already made, or the meaning of a score.
# `data.name` and `data.dir` may change if the data were moved: their digest is checked.
RESUMABLE = (
    "data.name",
    "data.dir",
    "data.resident",
    "train.steps",
    "train.on_divergence",
    "train.max_restores",
    "log.every",
    "sample.every",
    "sample.rows",
    "evaluate.every",
    "checkpoint.every",
    "checkpoint.keep",
    "distributed.enabled",
    "distributed.coordinator",
    "distributed.processes",
    "distributed.process",
)


def default() -> ConfigDict:
    """A complete, locked configuration: two small multilayer perceptrons on scikit-learn's digits, with Adam."""
    c = Config()
    for key, field in tree(Root()):
        *parents, name = key.split(".")
        node = c
        for parent in parents:
            node[parent] = node.get(parent, Config())
            node = node[parent]
        node[name] = field.default
    for path, section in SECTIONS.items():
        node = get(c, path)
        for name, value in fields_of(section.choices[node[section.key]]).items():
            node[name] = value
    return c.lock()


def fields(config: ConfigDict) -> dict[str, Field]:
    """The declarations of all fields of `config`, including those of its choices."""
    declarations = dict(tree(Root()))
    for path, section in SECTIONS.items():
        choice = section.choices[get(config, path)[section.key]]
        declarations |= {f"{path}.{name}": field for name, field in declared(choice).items()}
    return declarations


def update(config: ConfigDict, changes: dict[str, Any]) -> ConfigDict:
    """A locked copy of `config` with `changes` ({'train.steps': 10}) made.

    Choices are changed first, whatever their position in `changes`: a new choice replaces the fields of the old one by
    its own defaults.

    Raises:
      UserError: an unknown field (see `_advice`), a field of another choice, or a value of another type.
    """
    changes = _same_condition(changes)
    copy = config.copy_and_resolve_references().unlock()
    for path, section in SECTIONS.items():
        key = f"{path}.{section.key}"
        if key in changes:
            _set_choice(get(copy, path), section, key, changes[key])
    known = flatten(copy)
    for key, value in changes.items():
        if key not in known:
            raise UserError(unknown_field(copy, key))
        parent, _, last = key.rpartition(".")
        node = get(copy, parent) if parent else copy
        node[last] = coerce(key, known[key], value)
    return copy.lock()


def _same_condition(changes: dict[str, Any]) -> dict[str, Any]:
    """The changes with `conditional` and `condition.name` equal, if either is among them."""
    names = {key: changes[key] for key in ("conditional", "condition.name") if key in changes}
    if len(set(map(str, names.values()))) > 1:
        text = " and ".join(f"{key}={name}" for key, name in names.items())
        raise UserError(f"{text} name two conditions, and the first is short for the second; set one of them.")
    return {key: name for name in names.values() for key in ("condition.name", "conditional")} | changes


def _set_choice(node: ConfigDict, section: Section, key: str, name: Any) -> None:
    if name not in section.choices:
        raise invalid_choice_error(key, name, section.choices)
    if name != node[section.key]:
        for field in fields_of(section.choices[node[section.key]]):
            del node[field]
        for field, value in fields_of(section.choices[name]).items():
            node[field] = value
        node[section.key] = name


def unknown_field(config: ConfigDict, key: str) -> str:
    """The error message for a field that `config` does not have: it belongs to another choice, or is misspelt."""
    for path, section in SECTIONS.items():
        field = key.removeprefix(f"{path}.")
        owners = [name for name, choice in section.choices.items() if field in fields_of(choice)]
        if field != key and owners:
            now = f"{path}.{section.key}={get(config, path)[section.key]}"
            return f"{key} is a field of {path}.{section.key}={' or '.join(owners)}, not of {now}; set that too."
    return f"the config has no field {key!r}; {_advice(config, key)}."


def _advice(config: ConfigDict, key: str) -> str:
    """A hint for an unknown field: the closest field, the translation of a term from PyTorch code, or the existing
    fields."""
    section, _, last = key.rpartition(".")
    fields = flatten(config)
    inside = [field for field in fields if field.startswith(f"{section}.")]
    if near := nearby(last, [field.removeprefix(f"{section}.") for field in inside]):
        return f"the nearest is {f'{section}.{near[0]}'!r}"
    if text := translate(key):
        return text
    elsewhere = [field for field in fields if field.rpartition(".")[2] == last] or nearby(key, fields, cutoff=0.8)
    if elsewhere and not inside:
        return f"the nearest is {elsewhere[0]!r}"
    while section and not inside:
        section = section.rpartition(".")[0]
        inside = [field for field in fields if field.startswith(f"{section}.")]
    names = dict.fromkeys(field.removeprefix(f"{section}.").partition(".")[0] for field in inside or fields)
    return f"{section or 'it'} has {', '.join(names)}; --mode=config prints the meaning of each"


def differences(a: ConfigDict, b: ConfigDict) -> list[str]:
    """The fields whose values differ, other than those a resumed run may change."""
    flat_a, flat_b = flatten(a), flatten(b)
    keys = dict.fromkeys([*flat_a, *flat_b])
    return [key for key in keys if flat_a.get(key) != flat_b.get(key) and key not in RESUMABLE]


def validate(config: ConfigDict) -> None:
    """Checks each value against its field's declaration, then runs the checks of sections, choices and `CHECKS`.

    Raises:
      UserError: an invalid value; the message contains the field, the value and the allowed ones.
    """
    flat = flatten(config)
    for key, field in fields(config).items():
        _check_value(key, field, flat[key])
    for path, section in sections(Root()):
        if check := getattr(section, "check", None):
            type(section)(**accepted_kwargs(type(section), get(config, path))).check()
    for path, section in SECTIONS.items():
        check = getattr(build_choice(section.choices, get(config, path), section.key), "check", None)
        if check is not None:
            check(**accepted_kwargs(check, get(config, path)))
    for check in CHECKS:
        check(config)


def _check_value(key: str, field: Field, value: Any) -> None:
    if (names := field.note(OneOf)) and value not in names.names:
        raise invalid_choice_error(key, value, names.names)
    for number in value if isinstance(value, list) else [value]:
        if isinstance(number, float) and not abs(number) < 3.4e38:
            raise UserError(f"{key} must be a number that fits into float32, not {number}.")
        if type(number) is int and key != "seed" and number >= 2**31:
            raise UserError(f"{key} must be below 2**31, not {number}.")
    check_bounds(key, field, value)
