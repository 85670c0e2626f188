"""The plan of a sweep: its settings, its members, and how members are grouped into programs and chunks."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from jaxgan.config import fingerprint, flatten, update, validate
from jaxgan.config.hparams import static
from jaxgan.errors import UserError

# A setting is {config field: value}; a sweep is a list of them.
Sweep = list[dict[str, Any]]


def over(key: str, values: Iterable[Any]) -> Sweep:
    """One setting for each value of a config field."""
    return [{key: value} for value in values]


def fixed(setting: dict[str, Any]) -> Sweep:
    """One setting, to combine with others."""
    return [dict(setting)]


def product(*sweeps: Sweep) -> Sweep:
    """Every combination of a setting from each sweep; the last sweep varies fastest."""
    return [_merged(settings) for settings in itertools.product(*sweeps)]


def zipped(*sweeps: Sweep) -> Sweep:
    """Merges the first settings of all sweeps, the second ones, and so on.

    Raises:
      UserError: sweeps of different lengths.
    """
    lengths = [len(sweep) for sweep in sweeps]
    if len(set(lengths)) > 1:
        raise UserError(f"zipped() takes sweeps of equal length, not of {lengths}; use product() to cross them.")
    return [_merged(settings) for settings in zip(*sweeps, strict=True)]


def chain(*sweeps: Sweep) -> Sweep:
    """The settings of all sweeps, one sweep after another."""
    return [setting for sweep in sweeps for setting in sweep]


def _merged(settings: Sequence[dict[str, Any]]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for setting in settings:
        for key in setting:
            if key in merged:
                raise UserError(f"two of the combined sweeps set {key}; leave it to one of them.")
        merged |= setting
    return merged


class Trial(NamedTuple):
    """A member of a sweep: one setting with one seed."""

    name: str  # of its work directory
    setting: dict[str, Any]  # from the sweep file, without the seed
    config: ConfigDict


def trials(base: ConfigDict, sweep: Sweep) -> list[Trial]:
    """Validates a sweep and returns its members.

    Raises:
      UserError: no settings, an unknown or inapplicable field, an invalid value, or two settings with the same
        configuration.
    """
    if not isinstance(sweep, list) or not all(isinstance(setting, dict) for setting in sweep):
        raise UserError("get_sweep() must return a list of {config field: value}; see jaxgan/sweep/plan.py.")
    if not sweep:
        raise UserError("the sweep has no settings; get_sweep() must return at least one.")
    sweep = [{key: _plain(value) for key, value in setting.items()} for setting in sweep]
    varied = varying(sweep)
    members: list[Trial] = []
    numbers: dict[str, int] = {}  # of the settings, by configuration
    for number, setting in enumerate(sweep):
        with setting_in_errors(setting):
            config = update(base, setting)
            validate(config)
            if config.train.on_divergence != "stop":
                raise UserError("members that diverge are frozen; leave train.on_divergence=stop.")
            if config.distributed.enabled:
                raise UserError("members of a sweep are not distributed over hosts; leave distributed.enabled=False.")
            if config.data.resident == "false":
                raise UserError("members of a sweep share one copy of the data; leave data.resident=auto.")
        identity = json.dumps(flatten(config), sort_keys=True)
        if identity in numbers:
            raise UserError(f"settings {numbers[identity]} and {number} are the same: {setting}; drop one.")
        numbers[identity] = number
        label = "-".join(f"{key.rpartition('.')[2]}={setting[key]}" for key in varied if key in setting)
        name = f"{number:03d}-{re.sub(r'[^A-Za-z0-9.=-]+', '_', label)[:80]}".rstrip("-")
        members.append(Trial(name, {key: value for key, value in setting.items() if key != "seed"}, config))
    return members


@contextmanager
def setting_in_errors(setting: dict[str, Any]) -> Iterator[None]:
    """Prefixes a UserError with the setting that caused it."""
    try:
        yield
    except UserError as error:
        raise UserError(f"setting {setting}: {error}" if setting else str(error)) from None


def _plain(value: Any) -> Any:
    """Converts NumPy numbers and arrays to Python numbers and lists."""
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else value


def varying(sweep: Sweep) -> list[str]:
    """The fields in which the settings of a sweep differ, in order of appearance."""
    keys = dict.fromkeys(key for setting in sweep for key in setting)
    values = {key: {json.dumps(setting.get(key)) for setting in sweep} for key in keys}
    return [key for key in keys if len(values[key]) > 1]


def program_key(trial: Trial) -> str:
    """A key shared by trials that differ in traced hyperparameters only: one compiled program trains them."""
    return fingerprint(static(trial.config))


def group_by(trials: Iterable[Trial], key: Callable[[Trial], Any]) -> list[list[Trial]]:
    """Groups trials by key, in order of appearance."""
    groups: dict[Any, list[Trial]] = {}
    for trial in trials:
        groups.setdefault(key(trial), []).append(trial)
    return list(groups.values())


def split(group: Sequence[Trial], count: int) -> list[list[Trial]]:
    """Splits a group into `count` chunks as evenly as possible."""
    cuts = [len(group) * i // count for i in range(count + 1)]
    return [list(group[a:b]) for a, b in itertools.pairwise(cuts)]
