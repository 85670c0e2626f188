"""What the work directory of a sweep says: the fields that vary, and the settings with their runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jaxgan.config.files import from_json
from jaxgan.evaluation.evaluator import selection
from jaxgan.metrics import DISPLAYS
from jaxgan.run.workdir import CONFIG
from jaxgan.sweep import results
from jaxgan.sweep.plan import varying


class Field(NamedTuple):
    """A field that varies, or several that have the same value in every setting."""

    keys: list[str]
    label: str

    def value(self, setting: dict[str, Any]) -> Any:
        return setting.get(self.keys[0], "base")


class Setting(NamedTuple):
    """A setting and those of its runs that are finished."""

    label: str
    setting: dict[str, Any]
    names: list[str]  # of the members, one a seed
    results: list[dict[str, Any]]  # lines of results.jsonl, of the same members

    def scores(self, when: str, metric: str) -> dict[int, float | None]:
        """The 'final' or 'best' value of a metric by seed, None for a run that diverged; {} if it is not measured."""
        alive = [result for result in self.results if not result["diverged"]]
        if alive and not any(metric in result[when] for result in alive):
            return {}
        return {r["seed"]: None if r["diverged"] else r[when].get(metric) for r in self.results}

    @property
    def diverged(self) -> int:
        return sum(result["diverged"] for result in self.results)


class Swept(NamedTuple):
    """A sweep, as far as its runs are finished."""

    title: str
    about: str
    planned: int  # runs
    fields: list[Field]
    settings: list[Setting]  # those with a finished run
    selection: str | None  # the number by which all settings choose their best checkpoints; None if not by the same
    metrics: list[str]  # of `metrics.DISPLAYS` those that were measured, `selection` first

    @property
    def finished(self) -> int:
        return sum(len(setting.results) for setting in self.settings)

    @property
    def diverged(self) -> int:
        return sum(setting.diverged for setting in self.settings)


def read_settings(workdir: Path) -> Swept:
    """The sweep in `workdir`, of which any number of runs may be finished.

    Raises:
      UserError: a file is damaged.
    """
    sweep, lines = results.read_sweep(workdir), results.read(workdir)
    fields = varying_fields([member["setting"] for member in sweep["members"]])
    found: dict[str, Setting] = {}
    for member in sweep["members"]:
        line = lines.get(results.key(member["setting"], member["seed"]))
        if line is None:
            continue
        same = json.dumps(member["setting"], sort_keys=True)
        setting = found.setdefault(same, Setting(label(fields, member["setting"]), member["setting"], [], []))
        setting.names.append(member["name"])
        setting.results.append(line)
    settings = list(found.values())
    chosen = {_selection(workdir / "members" / setting.names[0]) for setting in settings}
    by = chosen.pop() if len(chosen) == 1 else None
    metrics = [name for name in DISPLAYS if any(not_diverged(setting.scores("final", name)) for setting in settings)]
    metrics.sort(key=lambda name: name != by)
    title, _, about = sweep["about"].strip().partition("\n")
    return Swept(title or sweep["name"], about.strip("\n"), len(sweep["members"]), fields, settings, by, metrics)


def _selection(member: Path) -> str | None:
    """The number that names the best checkpoint of a member."""
    path = member / CONFIG
    chosen = selection(from_json(path.read_text())) if path.is_file() else None
    return chosen[0] if chosen else None


def not_diverged(scores: dict[int, float | None]) -> list[float]:
    """The numbers of the runs that have one."""
    return [score for score in scores.values() if score is not None]


def varying_fields(sweep: Sequence[dict[str, Any]]) -> list[Field]:
    """What the settings of a sweep, seeds aside, differ in, each with the shortest label that is unique."""
    alike: dict[str, list[str]] = {}
    for key in varying(list(sweep)):
        if key != "seed":
            alike.setdefault(json.dumps([setting.get(key, "base") for setting in sweep]), []).append(key)

    def last(key: str, parts: int) -> str:
        return ".".join(key.split(".")[-parts:])

    heads = [keys[0] for keys in alike.values()]
    parts = [
        next(n for n in range(1, 9) if sum(last(other, n) == last(key, n) for other in heads) == 1) for key in heads
    ]
    return [Field(keys, last(keys[0], n)) for keys, n in zip(alike.values(), parts, strict=True)]


def label(fields: Sequence[Field], setting: dict[str, Any]) -> str:
    """'loss=minimax, d_steps=2'; 'base' where nothing varies."""
    return ", ".join(f"{field.label}={word(field.value(setting))}" for field in fields) or "base"


def word(value: Any) -> str:
    """A value of a field as people write it."""
    return f"{value:g}" if isinstance(value, float) else str(value)
