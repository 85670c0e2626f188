"""The work directory of a sweep: sweep.json, its members, and results.jsonl, what they reached."""

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

# {"name", "about": the sweep file's docstring, "members": see `records`, "common": the fields that all members share}
SWEEP = "sweep.json"
RESULTS = "results.jsonl"
SOURCES = "sources.json"  # which checkpoint each `generator.initialize_from` was when a member first began with it
HISTORY = "history.json"  # of a chunk: {"members": their names, "before", "lines": see `chunk.Progressed`}
STEPS = "train.steps"  # the one field that a sweep may have more of later


def key(setting: dict[str, Any], seed: int) -> str:
    """What tells the result of a member from the others."""
    return json.dumps([setting, seed], sort_keys=True)


def key_of(trial: Trial) -> str:
    return key(trial.setting, trial.config.seed)


@contextmanager
def _reading(path: Path, remedy: str) -> Iterator[None]:
    """Turns what a missing or damaged file raises into one sentence."""
    try:
        yield
    except (ValueError, KeyError, TypeError, OSError, RecursionError) as error:
        raise UserError(f"{path} cannot be read ({error}); {remedy}.") from None


def read(workdir: Path) -> dict[str, dict[str, Any]]:
    """The results on disk, by `key`.

    Raises:
      UserError: results.jsonl is damaged.
    """
    path = workdir / RESULTS
    with _reading(path, "restore it from a backup"):
        lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        found = {key(line["setting"], line["seed"]): line for line in lines}
        for line in lines:
            line["steps"] + 0, line["diverged"]
        return found


def write(workdir: Path, trials: list[Trial], results: dict[str, dict[str, Any]]) -> None:
    """Writes the results so far, in the order of the sweep."""
    lines = [json.dumps(results[key]) + "\n" for key in map(key_of, trials) if key in results]
    write_atomically(workdir / RESULTS, "".join(lines).encode())


def is_finished(trial: Trial, results: dict[str, dict[str, Any]]) -> bool:
    """Whether a member has a result that training on would not change."""
    result = results.get(key_of(trial))
    return result is not None and (result["diverged"] or result["steps"] >= trial.config.train.steps)


def chunks_in_progress(workdir: Path) -> list[list[str]]:
    """The names of the members of each chunk that has a checkpoint to resume from.

    Raises:
      UserError: a chunk's history is damaged.
    """
    return [read_history(path.parent)["members"] for path in sorted((workdir / "chunks").glob(f"*/{HISTORY}"))]


def read_history(place: Path) -> dict[str, Any]:
    """What history.json of a chunk holds.

    Raises:
      UserError: it is damaged.
    """
    path = place / HISTORY
    with _reading(path, f"delete {place} to train its members anew"):
        history = json.loads(path.read_text())
        if not all(isinstance(name, str) for name in history["members"]):
            raise ValueError("its members have no names")
        history["before"], history["lines"]
        return history


def read_sweep(workdir: Path) -> dict[str, Any]:
    """What sweep.json holds.

    Raises:
      UserError: it is damaged, or names a member so that its directory would not be in members/.
    """
    path = workdir / SWEEP
    with _reading(path, "restore it from a backup"):
        sweep = json.loads(path.read_text())
        dict(sweep["common"])
        for member in sweep["members"]:
            if not re.fullmatch(r"\d{3,}[A-Za-z0-9_.=+-]*", member["name"]):
                raise ValueError(f"{member['name']!r} is not the name of a member")
            key(member["setting"], member["seed"]), dict(member["config"])
        return sweep


def records(trials: list[Trial]) -> dict[str, Any]:
    """The members as sweep.json has them: the fields that all share once, and each member's own."""
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
    """The members, under the names that they have in `workdir` if they are there: a sweep may grow.

    It may get more settings, more seeds, and more `train.steps`.

    Raises:
      UserError: `workdir` holds something else than (a part of) this sweep; the sentence says what differs.
    """
    path = workdir / SWEEP
    if not path.exists():
        names = {entry.name for entry in workdir.iterdir()} if workdir.exists() else set()
        if not all(name == LOCK or is_temporary(name, SWEEP) or is_bystander(name) for name in names):
            raise UserError(f"{workdir} is not empty and has no {SWEEP}; choose another --workdir.")
        return trials
    sweep = read_sweep(workdir)
    before = {key(member["setting"], member["seed"]): member for member in sweep["members"]}
    done, training = read(workdir), {name for names in chunks_in_progress(workdir) for name in names}
    started = {k: member for k, member in before.items() if k in done or member["name"] in training}
    ours = {key_of(trial): trial for trial in trials}
    gone = [member for k, member in started.items() if k not in ours]
    if gone:
        raise UserError(
            f"{workdir} belongs to another sweep ({len(gone)} of the {len(started)} members that it has trained are "
            f"not in this one, such as {gone[0]['setting']} with seed={gone[0]['seed']}); choose another --workdir."
        )
    for k, member in started.items():
        _check_same(workdir, ours[k], sweep["common"] | member["config"])
    taken, found = {member["name"] for member in before.values()}, []
    for k, trial in ours.items():
        name = before[k]["name"] if k in before else trial.name
        while k not in before and name in taken:
            name += "+"
        taken.add(name)
        found.append(trial._replace(name=name))
    return found


def _check_same(workdir: Path, trial: Trial, before: dict[str, Any]) -> None:
    """Refuses a member that was trained under another configuration, but for more steps.

    A field that is younger than the sweep had its default.
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
            f"a sweep may get more settings, seeds and train.steps: choose another --workdir for other changes."
        )


@contextmanager
def open_sweep(workdir: Path, name: str, about: str, trials: list[Trial]) -> Iterator[list[Trial]]:
    """Makes `workdir` the work directory of this sweep, and of this process alone until the block ends.

    Yields:
      The members as `match_existing` names them.

    Raises:
      UserError: it is in use, or what `match_existing` refuses.
    """
    check_name(workdir)
    workdir.mkdir(parents=True, exist_ok=True)
    with lock(workdir):
        trials = match_existing(workdir, trials)
        content = {"name": name, "about": about} | records(trials)
        write_atomically(workdir / SWEEP, (json.dumps(content, indent=1) + "\n").encode())
        yield trials


def check_source(workdir: Path, config: ConfigDict) -> None:
    """Records the checkpoint that `generator.initialize_from` is, or checks that it still is the recorded one.

    All members of a sweep that begin from a work directory begin from one checkpoint of it.

    Raises:
      UserError: it is gone, or has been trained on since.
    """
    found = warm_start.source_of(config)
    if found is None:
        return
    known = _sources(workdir)
    before = known.setdefault(found["workdir"], found)
    if before != found:
        raise UserError(
            f"members of this sweep began from step {before['step']} of generator.initialize_from={found['workdir']}, "
            f"whose newest checkpoint is now that of step {found['step']}, with other numbers; bring that checkpoint "
            f"back, or start the sweep anew in another --workdir."
        )
    write_atomically(workdir / SOURCES, json.dumps(known, indent=1).encode())


def source_in(workdir: Path, config: ConfigDict) -> dict[str, Any] | None:
    """The checkpoint that members of this configuration began from; None for none."""
    return _sources(workdir).get(config.generator.initialize_from)


def _sources(workdir: Path) -> dict[str, Any]:
    path = workdir / SOURCES
    with _reading(path, "restore it from a backup"):
        return dict(json.loads(path.read_text())) if path.exists() else {}
