"""The work directory of a sweep: sweep.json, its members, and results.jsonl, what they reached."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jaxgan.config import fingerprint, flatten
from jaxgan.errors import UserError
from jaxgan.run.files import draft, write_atomically
from jaxgan.run.lock import LOCK, lock
from jaxgan.sweep.plan import Planned

SWEEP = "sweep.json"  # {"name", "about": the sweep file's docstring, "members": see `records`}
RESULTS = "results.jsonl"
HISTORY = "history.json"  # of a chunk in training: {"members": their names, "lines": see `members.train`}


def key(setting: dict[str, Any], seed: int) -> str:
    """What tells the result of a member from the others."""
    return json.dumps([setting, seed], sort_keys=True)


def key_of(member: Planned) -> str:
    return key(member.setting, member.config.seed)


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
        return {key(line["setting"], line["seed"]): line for line in lines}


def write(workdir: Path, planned: list[Planned], results: dict[str, dict[str, Any]]) -> None:
    """Writes the results so far, in the order of the sweep."""
    lines = [json.dumps(results[key]) + "\n" for key in map(key_of, planned) if key in results]
    write_atomically(workdir / RESULTS, "".join(lines).encode())


def begun(workdir: Path) -> list[list[str]]:
    """The names of the members of each chunk that has a checkpoint to go on from.

    Raises:
      UserError: a chunk's history is damaged.
    """
    found = []
    for path in sorted((workdir / "chunks").glob(f"*/{HISTORY}")):
        with _reading(path, f"delete {path.parent} to train its members anew"):
            found.append([str(name) for name in json.loads(path.read_text())["members"]])
    return found


def read_sweep(workdir: Path) -> dict[str, Any]:
    """What sweep.json holds.

    Raises:
      UserError: it is damaged, or names a member so that its directory would not be in members/.
    """
    path = workdir / SWEEP
    with _reading(path, "restore it from a backup"):
        sweep = json.loads(path.read_text())
        for member in sweep["members"]:
            if not re.fullmatch(r"\d{3,}[A-Za-z0-9_.=+-]*", member["name"]):
                raise ValueError(f"{member['name']!r} is no name of a member")
            key(member["setting"], member["seed"]), member["identity"]
        return sweep


def identity(member: Planned) -> str:
    """Stands for the setting and the whole configuration of a member."""
    return fingerprint({"setting": member.setting, "config": flatten(member.config)})


def records(planned: list[Planned]) -> list[dict[str, Any]]:
    """The members as sweep.json has them."""
    return [
        {"name": member.name, "setting": member.setting, "seed": member.config.seed, "identity": identity(member)}
        for member in planned
    ]


def adopted(workdir: Path, planned: list[Planned]) -> list[Planned]:
    """The members, under the names that they have in `workdir` if they are there: a sweep may grow.

    Raises:
      UserError: `workdir` holds something else than (a part of) this sweep.
    """
    path = workdir / SWEEP
    if not path.exists():
        if workdir.exists() and {entry.name for entry in workdir.iterdir()} - {LOCK, draft(path).name}:
            raise UserError(f"{workdir} is not empty and has no {SWEEP}; choose another --workdir.")
        return planned
    before = read_sweep(workdir)["members"]
    done, training = read(workdir), {name for names in begun(workdir) for name in names}
    started = [m for m in before if key(m["setting"], m["seed"]) in done or m["name"] in training]
    ours = [(member, identity(member)) for member in planned]
    names = {m["identity"]: m["name"] for m in before}
    gone = {m["identity"] for m in started} - {i for _, i in ours}
    if gone:
        raise UserError(
            f"{workdir} belongs to another sweep ({len(gone)} of the {len(started)} members that it has trained are "
            f"not in this one); choose another --workdir."
        )
    taken, found = set(names.values()), []
    for member, i in ours:
        name = names.get(i, member.name)
        while i not in names and name in taken:
            name += "+"
        taken.add(name)
        found.append(member._replace(name=name))
    return found


@contextmanager
def opened(workdir: Path, name: str, about: str, planned: list[Planned]) -> Iterator[list[Planned]]:
    """Makes `workdir` the work directory of this sweep, and of this process alone until the block ends.

    Yields:
      The members as `adopted` names them.

    Raises:
      UserError: it is in use, or what `adopted` refuses.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    with lock(workdir):
        planned = adopted(workdir, planned)
        content = {"name": name, "about": about, "members": records(planned)}
        write_atomically(workdir / SWEEP, (json.dumps(content, indent=1) + "\n").encode())
        yield planned
