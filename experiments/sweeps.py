"""Experiments that are sweeps: named settings, trained by `jaxgan.sweep`, and the curves of their members."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from jaxgan.errors import UserError
from jaxgan.run.writers import read_metrics
from jaxgan.sweep import launchers, plan, results
from jaxgan.sweep.__main__ import run
from jaxgan.sweep.settings import Setting, read_settings


def train(
    workdir: Path, about: str, base: ConfigDict, settings: Mapping[str, dict[str, Any]], seeds: Iterable[int]
) -> dict[str, Setting]:
    """Trains each setting with each seed, or what is left of them: the finished ones by name, in their order.

    Args:
      workdir: of the sweep; the same call again resumes it, with more settings, seeds or train.steps it extends it.
      about: heads the sweep's report.
      base: configuration that the settings change.
      settings: {name: {config field: value}}, no two of them equal.
      seeds: of each setting.

    Raises:
      UserError: what a setting cannot have, `workdir` holds another sweep, or members failed.
      SystemExit: it was stopped by a signal, and is saved.
    """
    seeds = list(seeds)
    members = [setting | {"seed": seed} for setting in settings.values() for seed in seeds]
    try:
        trials = results.match_existing(workdir, plan.trials(base, members))
        code = run(workdir, workdir.name, about, trials, launchers.get_launcher("local", ""))
    except UserError as error:
        raise UserError(str(error).replace("another --workdir", "another --out")) from error
    if code:
        sys.exit(code)
    found = {_key(setting.setting): setting for setting in read_settings(workdir).settings}
    return {name: found[_key(setting)] for name, setting in settings.items()}


def _key(setting: dict[str, Any]) -> str:
    return json.dumps(setting, sort_keys=True)


def curves(workdir: Path, setting: Setting, metric: str) -> tuple[np.ndarray, np.ndarray]:
    """A metric over training: steps [n], and its numbers [members, n], NaN where a member has none."""
    lines = [[line for line in read_metrics(workdir / "members" / name) if metric in line] for name in setting.names]
    steps = np.array(max(([line["step"] for line in member] for member in lines), key=len, default=[]))
    numbers = np.full((len(lines), len(steps)), np.nan)
    for row, member in zip(numbers, lines, strict=True):
        for line in member:
            if line[metric] is not None:
                row[np.searchsorted(steps, line["step"])] = line[metric]
    return steps, numbers
