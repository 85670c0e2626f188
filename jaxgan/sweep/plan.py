"""What a sweep will train: its settings, the members they make, and the programs that those share."""

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
from jaxgan.errors import UserError
from jaxgan.game.hparams import static

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
    """The first settings of all sweeps together, the second ones together, ...

    Raises:
      UserError: sweeps of different lengths.
    """
    lengths = [len(sweep) for sweep in sweeps]
    if len(set(lengths)) > 1:
        raise UserError(f"zipped() takes sweeps of one length, not of {lengths}; use product() to cross them.")
    return [_merged(settings) for settings in zip(*sweeps, strict=True)]


def chain(*sweeps: Sweep) -> Sweep:
    """The settings of one sweep after those of the other."""
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
    """A member of a sweep before it is trained."""

    name: str  # of its work directory
    setting: dict[str, Any]  # as the sweep file gave it, without the seed
    config: ConfigDict


def trials(base: ConfigDict, sweep: Sweep) -> list[Trial]:
    """The members of a sweep, checked.

    Raises:
      UserError: no settings, an unknown field or one of a choice that is not made, a value that it cannot have, or two
        settings that make the same run.
    """
    if not isinstance(sweep, list) or not all(isinstance(setting, dict) for setting in sweep):
        raise UserError("get_sweep() must return a list of {config field: value}; see jaxgan/sweep/plan.py.")
    if not sweep:
        raise UserError("the sweep has no settings; get_sweep() must return at least one.")
    sweep = [{key: _plain(value) for key, value in setting.items()} for setting in sweep]
    varied = varying(sweep)
    found: list[Trial] = []
    seen: dict[str, int] = {}
    for number, setting in enumerate(sweep):
        with naming(setting):
            config = update(base, setting)
            validate(config)
            if config.train.on_divergence != "stop":
                raise UserError("a member that diverges is frozen; leave train.on_divergence=stop.")
            if config.distributed.enabled:
                raise UserError("the members of a sweep are not spread over hosts; leave distributed.enabled=False.")
        identity = json.dumps(flatten(config), sort_keys=True)
        if identity in seen:
            raise UserError(f"settings {seen[identity]} and {number} are the same: {setting}; drop one.")
        seen[identity] = number
        label = "-".join(f"{key.rpartition('.')[2]}={setting[key]}" for key in varied if key in setting)
        name = f"{number:03d}-{re.sub(r'[^A-Za-z0-9.=-]+', '_', label)[:80]}".rstrip("-")
        found.append(Trial(name, {key: value for key, value in setting.items() if key != "seed"}, config))
    return found


@contextmanager
def naming(setting: dict[str, Any]) -> Iterator[None]:
    """Begins the sentence of a UserError with the setting that it is about."""
    try:
        yield
    except UserError as error:
        raise UserError(f"setting {setting}: {error}" if setting else str(error)) from None


def _plain(value: Any) -> Any:
    """A NumPy number or array as the Python number or list that it is."""
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else value


def varying(sweep: Sweep) -> list[str]:
    """The fields that the settings of a sweep differ in, in the order of their appearance."""
    keys = dict.fromkeys(key for setting in sweep for key in setting)
    values = {key: {json.dumps(setting.get(key)) for setting in sweep} for key in keys}
    return [key for key in keys if len(values[key]) > 1]


def program_key(trial: Trial) -> str:
    """The same for all trials that differ in traced numbers only: one compiled program trains them."""
    return fingerprint(static(trial.config))


def group_by(trials: Iterable[Trial], key: Callable[[Trial], Any]) -> list[list[Trial]]:
    """The trials with the same key together, in the order of their appearance."""
    groups: dict[Any, list[Trial]] = {}
    for trial in trials:
        groups.setdefault(key(trial), []).append(trial)
    return list(groups.values())


def split(group: Sequence[Trial], count: int) -> list[list[Trial]]:
    """`count` chunks, as even as possible."""
    cuts = [len(group) * i // count for i in range(count + 1)]
    return [list(group[a:b]) for a, b in itertools.pairwise(cuts)]
