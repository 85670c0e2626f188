"""The work directory of a sweep: sweep.json with its members, and results.jsonl."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from jaxgan.config import SECTIONS, default, flatten, update
from jaxgan.errors import UserError
from jaxgan.files import is_temporary, write_atomically
from jaxgan.run import warm_start
from jaxgan.run.checkpoints import check_name
from jaxgan.run.lock import LOCK, lock
from jaxgan.run.workdir import is_bystander
from jaxgan.sweep.plan import Trial

# {"name", "about": the sweep file's docstring, "members", "common": see `member_records`}
SWEEP = "sweep.json"
RESULTS = "results.jsonl"
SOURCES = "sources.json"  # the checkpoint of each `generator.initialize_from` when the first member began with it
HISTORY = "history.json"  # of a chunk: {"members": their names, "before", "lines": see `chunk.ChunkState`}
STEPS = "train.steps"  # the one field that may be increased later


def result_key(setting: dict[str, Any], seed: int) -> str:
    """Unique key of a member's result."""
    return json.dumps([setting, seed], sort_keys=True)


def trial_key(trial: Trial) -> str:
    return result_key(trial.setting, trial.config.seed)


@contextmanager
def _reading_file(path: Path, hint: str) -> Iterator[None]:
    """Converts the errors of reading a missing or damaged file to UserError."""
    try:
        yield
    except (ValueError, KeyError, TypeError, OSError, RecursionError) as error:
        raise UserError(f"{path} cannot be read ({error}); {hint}.") from None


def read(workdir: Path) -> dict[str, dict[str, Any]]:
    """The results on disk, by `result_key`.

    Raises:
      UserError: results.jsonl is damaged.
    """
    path = workdir / RESULTS
    with _reading_file(path, "restore it from a backup"):
        lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        results = {result_key(line["setting"], line["seed"]): line for line in lines}
        for line in lines:
            line["steps"] + 0, line["diverged"]
        return results


def write(workdir: Path, trials: list[Trial], results: dict[str, dict[str, Any]]) -> None:
    """Writes the results so far, in the order of the sweep."""
    lines = [json.dumps(results[key]) + "\n" for key in map(trial_key, trials) if key in results]
    write_atomically(workdir / RESULTS, "".join(lines).encode())


def is_finished(trial: Trial, results: dict[str, dict[str, Any]]) -> bool:
    """Whether a member has a final result: it diverged, or has made all its steps."""
    result = results.get(trial_key(trial))
    return result is not None and (result["diverged"] or result["steps"] >= trial.config.train.steps)


def chunks_in_progress(workdir: Path) -> list[list[str]]:
    """The names of the members of each chunk that has a checkpoint to resume from.

    Raises:
      UserError: a chunk's history is damaged.
    """
    return [read_history(path.parent)["members"] for path in sorted((workdir / "chunks").glob(f"*/{HISTORY}"))]


def read_history(directory: Path) -> dict[str, Any]:
    """Reads history.json of a chunk.

    Raises:
      UserError: it is damaged.
    """
    path = directory / HISTORY
    with _reading_file(path, f"delete {directory} to train its members again"):
        history = json.loads(path.read_text())
        if not all(isinstance(name, str) for name in history["members"]):
            raise ValueError("its members have no names")
        history["before"], history["lines"]
        return history


def read_sweep(workdir: Path) -> dict[str, Any]:
    """Reads sweep.json.

    Raises:
      UserError: it is damaged, or a member's name is not a valid directory name.
    """
    path = workdir / SWEEP
    with _reading_file(path, "restore it from a backup"):
        sweep = json.loads(path.read_text())
        dict(sweep["common"])
        for member in sweep["members"]:
            if not re.fullmatch(r"\d{3,}[A-Za-z0-9_.=+-]*", member["name"]):
                raise ValueError(f"{member['name']!r} is not the name of a member")
            result_key(member["setting"], member["seed"]), dict(member["config"])
        return sweep


def member_records(trials: list[Trial]) -> dict[str, Any]:
    """The members in the format of sweep.json: the fields common to all, and those of each member."""
    configs = [flatten(trial.config) for trial in trials]
    common = {
        field: value for field, value in configs[0].items() if all(config.get(field) == value for config in configs)
    }
    members = [
        {
            "name": trial.name,
            "setting": trial.setting,
            "seed": trial.config.seed,
            "config": {field: value for field, value in config.items() if field not in common},
        }
        for trial, config in zip(trials, configs, strict=True)
    ]
    return {"common": common, "members": members}


def match_existing(workdir: Path, trials: list[Trial]) -> list[Trial]:
    """Returns the members under their existing names in `workdir`, if any: a sweep may be extended.

    Extensions are more settings, more seeds, and more `train.steps`.

    Raises:
      UserError: `workdir` does not hold (a part of) this sweep; the message says what differs.
    """
    path = workdir / SWEEP
    if not path.exists():
        names = {entry.name for entry in workdir.iterdir()} if workdir.exists() else set()
        if not all(name == LOCK or is_temporary(name, SWEEP) or is_bystander(name) for name in names):
            raise UserError(f"{workdir} is not empty and has no {SWEEP}; choose another --workdir.")
        return trials
    sweep = read_sweep(workdir)
    before = {result_key(member["setting"], member["seed"]): member for member in sweep["members"]}
    done, training = read(workdir), {name for names in chunks_in_progress(workdir) for name in names}
    started = {k: member for k, member in before.items() if k in done or member["name"] in training}
    by_key = {trial_key(trial): trial for trial in trials}
    missing = [member for k, member in started.items() if k not in by_key]
    if missing:
        raise UserError(
            f"{workdir} belongs to another sweep ({len(missing)} of the {len(started)} members that it has trained are "
            f"not in this one, such as {missing[0]['setting']} with seed={missing[0]['seed']}); choose another "
            f"--workdir."
        )
    for k, member in started.items():
        _check_same(workdir, by_key[k], sweep["common"] | member["config"])
    taken, renamed = {member["name"] for member in before.values()}, []
    for k, trial in by_key.items():
        name = before[k]["name"] if k in before else trial.name
        while k not in before and name in taken:
            name += "+"
        taken.add(name)
        renamed.append(trial._replace(name=name))
    return renamed


def _check_same(workdir: Path, trial: Trial, before: dict[str, Any]) -> None:
    """Raises UserError if a member was trained with a different config (more train.steps are allowed).

    Fields that did not exist when the sweep began count as having had their defaults.
    """
    now, choices = json.loads(json.dumps(flatten(trial.config))), [f"{path}.{s.key}" for path, s in SECTIONS.items()]
    usual = json.loads(json.dumps(flatten(update(default(), {key: now[key] for key in choices}))))
    before = {field: usual[field] for field in now} | before
    changed = [field for field in dict.fromkeys([*before, *now]) if before.get(field) != now.get(field)]
    if changed == [STEPS] and now[STEPS] > before[STEPS]:
        return
    if changed:
        listed = "; ".join(f"{field} was {before.get(field)!r} and is now {now.get(field)!r}" for field in changed[:3])
        more = f"; and {len(changed) - 3} more" if len(changed) > 3 else ""
        raise UserError(
            f"{workdir} belongs to another sweep ({listed}{more}, for {trial.setting} with seed={trial.config.seed}); "
            f"a sweep may only be extended by settings, seeds and train.steps: choose another --workdir."
        )


@contextmanager
def open_sweep(workdir: Path, name: str, docstring: str, trials: list[Trial]) -> Iterator[list[Trial]]:
    """Creates and locks the work directory of a sweep, and writes sweep.json.

    Yields:
      The members as named by `match_existing`.

    Raises:
      UserError: it is in use, or see `match_existing`.
    """
    check_name(workdir)
    workdir.mkdir(parents=True, exist_ok=True)
    with lock(workdir):
        trials = match_existing(workdir, trials)
        content = {"name": name, "about": docstring} | member_records(trials)
        write_atomically(workdir / SWEEP, (json.dumps(content, indent=1) + "\n").encode())
        yield trials


def check_source(workdir: Path, config: ConfigDict) -> None:
    """Records the checkpoint of `generator.initialize_from`, or checks that it is still the recorded one.

    All members of a sweep that are initialized from a work directory use the same checkpoint of it.

    Raises:
      UserError: it is gone, or that run was trained further.
    """
    source = warm_start.source_checkpoint(config)
    if source is None:
        return
    recorded = _sources(workdir)
    before = recorded.setdefault(source["workdir"], source)
    if before != source:
        raise UserError(
            f"members of this sweep began from step {before['step']} of generator.initialize_from={source['workdir']}, "
            f"whose newest checkpoint is now a different one, of step {source['step']}; restore that checkpoint, or "
            f"start the sweep again in another --workdir."
        )
    write_atomically(workdir / SOURCES, json.dumps(recorded, indent=1).encode())


def read_warm_start(workdir: Path, config: ConfigDict) -> dict[str, Any] | None:
    """The checkpoint that members of this configuration were initialized from; None for none."""
    return _sources(workdir).get(config.generator.initialize_from)


def _sources(workdir: Path) -> dict[str, Any]:
    path = workdir / SOURCES
    with _reading_file(path, "restore it from a backup"):
        return dict(json.loads(path.read_text())) if path.exists() else {}
