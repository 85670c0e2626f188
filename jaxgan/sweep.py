"""Trains every setting of an ablation with several seeds, and reports means with confidence intervals:

    python -m jaxgan.sweep --sweep=experiments/ablations/loss.py [--workdir=DIR] [--plan]
        [--launcher=local|ray|slurm] [--ray_address=ADDRESS]

A sweep file defines get_config(), the base, and get_sweep(), a list of settings (`jaxgan/plan.py`); its
docstring, with the question, heads the report. The work directory gets results.jsonl, report.md and
report.html, and a work directory of each member in members/. The same command again goes on where it
stopped.
"""

from __future__ import annotations

import argparse
import json
import runpy
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from jaxgan import errors, plan
from jaxgan.config import fingerprint, flatten
from jaxgan.errors import UserError
from jaxgan.plan import Planned
from jaxgan.workdir import lock, write_atomically

SWEEP = "sweep.json"  # {"name", "about": the sweep file's docstring, "members": [{"name", "setting", ...}, ...]}
RESULTS = "results.jsonl"


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m jaxgan.sweep", description=__doc__, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.error = errors.fail
    parser.add_argument("--sweep", type=Path, required=True, help="an experiments/ablations/NAME.py")
    parser.add_argument("--workdir", type=Path, help="where everything is written; default: runs/sweeps/NAME")
    parser.add_argument("--plan", action="store_true", help="say what would be trained and how long it takes")
    parser.add_argument("--launcher", choices=["local", "ray", "slurm"], default="local")
    parser.add_argument("--ray_address", default="", help="of a Ray cluster, or 'auto'; default: start one here")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def main() -> int:
    flags = arguments().parse_args()
    about, planned = read(flags.sweep)
    workdir = flags.workdir or Path("runs", "sweeps", flags.sweep.stem)
    planned = adopted(workdir, planned)

    from jaxgan import launch, members, report

    launcher = launch.find(flags.launcher, flags.ray_address)
    with nullcontext() if flags.plan else opened(workdir, flags.sweep.stem, about, planned):
        finished = results(workdir)
        unfinished = [member for member in planned if key_of(member) not in finished]
        chunks = members.chunks(workdir, unfinished, launcher.slots)
        if finished:
            print(f"{len(finished)} of {len(planned)} runs are finished already")
        if chunks:
            print(members.describe(chunks, launcher.slots, timed=flags.plan), flush=True)
        if flags.plan:
            return 0
        for chunk, new in launcher.run(workdir, chunks):
            finished |= {key_of(member): result for member, result in zip(chunk, new, strict=True)}
            lines = [json.dumps(finished[key]) + "\n" for key in map(key_of, planned) if key in finished]
            write_atomically(workdir / RESULTS, "".join(lines).encode())
            members.forget(workdir, chunk)
        shutil.rmtree(workdir / "chunks", ignore_errors=True)  # what a kill after the last results left
        report.write(workdir)
    print(f"finished {len(planned)} runs; the report is {workdir / 'report.html'}")
    return 0


def read(path: Path) -> tuple[str, list[Planned]]:
    """The docstring of a sweep file and the members that it asks for.

    Raises:
      UserError: no such file, a function is missing, or what `plan.members` refuses.
    """
    try:
        names = runpy.run_path(str(path))
    except OSError as error:
        raise UserError(f"the --sweep file {path} cannot be read: {error.strerror}.") from None
    for name in ("get_config", "get_sweep"):
        if name not in names:
            raise UserError(f"the --sweep file {path} defines no {name}(); see experiments/ablations/loss.py.")
    return names.get("__doc__") or "", plan.members(names["get_config"](), names["get_sweep"]())


def adopted(workdir: Path, planned: list[Planned]) -> list[Planned]:
    """The members, under the names that they have in `workdir` if they are there: a sweep may grow.

    Raises:
      UserError: `workdir` holds something else than (a part of) this sweep.
    """
    path = workdir / SWEEP
    if not path.exists():
        if workdir.exists() and {entry.name for entry in workdir.iterdir()} - {".lock"}:
            raise UserError(f"{workdir} is not empty and has no {SWEEP}; choose another --workdir.")
        return planned
    try:
        names = {member["identity"]: member["name"] for member in json.loads(path.read_text())["members"]}
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise UserError(f"{path} cannot be read ({error}); restore it from a backup.") from None
    gone = names.keys() - {identity(member) for member in planned}
    if gone:
        raise UserError(
            f"{workdir} belongs to another sweep ({len(gone)} of its {len(names)} members are not in this one); "
            f"choose another --workdir."
        )
    taken = set(names.values())
    for i, member in enumerate(planned):
        name = names.get(identity(member), member.name)
        while identity(member) not in names and name in taken:
            name += "+"
        taken.add(name)
        planned[i] = member._replace(name=name)
    return planned


@contextmanager
def opened(workdir: Path, name: str, about: str, planned: list[Planned]) -> Iterator[None]:
    """Makes `workdir` the work directory of this sweep, and of this process alone until the block ends.

    Raises:
      UserError: it is in use, or what `adopted` refuses.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    with lock(workdir):
        adopted(workdir, planned)  # again: another process may have been quicker
        content = {
            "name": name,
            "about": about,
            "members": [
                {
                    "name": member.name,
                    "setting": member.setting,
                    "seed": member.config.seed,
                    "identity": identity(member),
                }
                for member in planned
            ],
        }
        write_atomically(workdir / SWEEP, (json.dumps(content, indent=1) + "\n").encode())
        yield


def identity(member: Planned) -> str:
    """Stands for the setting and the whole configuration of a member."""
    return fingerprint({"setting": member.setting, "config": flatten(member.config)})


def key_of(member: Planned) -> str:
    """What tells the result of a member from the others."""
    return json.dumps([member.setting, member.config.seed], sort_keys=True)


def results(workdir: Path) -> dict[str, dict[str, Any]]:
    """The results on disk, by `key_of`."""
    path = workdir / RESULTS
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return {json.dumps([line["setting"], line["seed"]], sort_keys=True): line for line in lines}


if __name__ == "__main__":
    sys.exit(errors.exit_on(main, debug="--debug" in sys.argv))
