"""Reads a sweep from its work directory: the fields that vary, and the settings with their runs."""

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


class SweptField(NamedTuple):
    """A config field that varies, or several that always vary together."""

    keys: list[str]
    label: str

    def value(self, setting: dict[str, Any]) -> Any:
        return setting.get(self.keys[0], "base")


class Setting(NamedTuple):
    """A setting and its finished runs."""

    label: str
    setting: dict[str, Any]
    names: list[str]  # of the members, one per seed
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


class SweepSummary(NamedTuple):
    """The finished runs of a sweep."""

    title: str
    docstring: str  # of the sweep file, without its first line
    planned: int  # runs
    fields: list[SweptField]
    settings: list[Setting]  # those with a finished run
    selection: str | None  # the metric that selects the best checkpoints of all settings; None if they differ
    metrics: list[str]  # those of `metrics.DISPLAYS` that were measured, `selection` first

    @property
    def finished(self) -> int:
        return sum(len(setting.results) for setting in self.settings)

    @property
    def diverged(self) -> int:
        return sum(setting.diverged for setting in self.settings)


def read_settings(workdir: Path) -> SweepSummary:
    """Reads the sweep in `workdir`, whether or not all its runs are finished.

    Raises:
      UserError: a file is damaged.
    """
    sweep, lines = results.read_sweep(workdir), results.read(workdir)
    fields = varying_fields([member["setting"] for member in sweep["members"]])
    by_setting: dict[str, Setting] = {}
    for member in sweep["members"]:
        line = lines.get(results.result_key(member["setting"], member["seed"]))
        if line is None:
            continue
        key = json.dumps(member["setting"], sort_keys=True)
        setting = by_setting.setdefault(key, Setting(label(fields, member["setting"]), member["setting"], [], []))
        setting.names.append(member["name"])
        setting.results.append(line)
    settings = list(by_setting.values())
    selections = {_selection(workdir / "members" / setting.names[0]) for setting in settings}
    common = selections.pop() if len(selections) == 1 else None
    metrics = [name for name in DISPLAYS if any(not_diverged(setting.scores("final", name)) for setting in settings)]
    metrics.sort(key=lambda name: name != common)
    title, _, docstring = sweep["about"].strip().partition("\n")
    return SweepSummary(
        title or sweep["name"], docstring.strip("\n"), len(sweep["members"]), fields, settings, common, metrics
    )


def _selection(member: Path) -> str | None:
    """The metric that selects the best checkpoint of a member."""
    path = member / CONFIG
    chosen = selection(from_json(path.read_text())) if path.is_file() else None
    return chosen[0] if chosen else None


def not_diverged(scores: dict[int, float | None]) -> list[float]:
    """The scores of the runs that have one."""
    return [score for score in scores.values() if score is not None]


def varying_fields(sweep: Sequence[dict[str, Any]]) -> list[SweptField]:
    """The fields in which the settings of a sweep differ, except the seed, each with the shortest unique label."""
    by_values: dict[str, list[str]] = {}
    for key in varying(list(sweep)):
        if key != "seed":
            by_values.setdefault(json.dumps([setting.get(key, "base") for setting in sweep]), []).append(key)

    def last(key: str, parts: int) -> str:
        return ".".join(key.split(".")[-parts:])

    heads = [keys[0] for keys in by_values.values()]
    parts = [
        next(n for n in range(1, 9) if sum(last(other, n) == last(key, n) for other in heads) == 1) for key in heads
    ]
    return [SweptField(keys, last(keys[0], n)) for keys, n in zip(by_values.values(), parts, strict=True)]


def label(fields: Sequence[SweptField], setting: dict[str, Any]) -> str:
    """A label such as 'loss=minimax, d_steps=2'; 'base' if nothing varies."""
    return ", ".join(f"{field.label}={format_value(field.value(setting))}" for field in fields) or "base"


def format_value(value: Any) -> str:
    """A config value as readable text."""
    return f"{value:g}" if isinstance(value, float) else str(value)
