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
import shutil
import sys
from contextlib import nullcontext
from pathlib import Path

from jaxgan import config, errors, plan, results
from jaxgan.plan import Planned


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m jaxgan.sweep", description=__doc__, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.error = errors.usage_error
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
    planned = results.adopted(workdir, planned)

    from jaxgan import launch, members, report  # import jax only once the arguments are right

    launcher = launch.find(flags.launcher, flags.ray_address)
    open_ = nullcontext(planned) if flags.plan else results.opened(workdir, flags.sweep.stem, about, planned)
    with open_ as planned:
        finished = results.read(workdir)
        unfinished = [member for member in planned if results.key_of(member) not in finished]
        chunks = members.chunks(workdir, unfinished, launcher.slots)
        if finished:
            print(f"{len(finished)} of {len(planned)} runs are finished already")
        if chunks:
            print(members.describe(chunks, launcher.slots, timed=flags.plan), flush=True)
        if flags.plan:
            return 0
        for chunk, new in launcher.run(workdir, chunks) if chunks else ():
            finished |= {results.key_of(member): result for member, result in zip(chunk, new, strict=True)}
            results.write(workdir, planned, finished)
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
    names = config.functions(path, "--sweep", "experiments/ablations/loss.py", "get_config", "get_sweep")
    return names.get("__doc__") or "", plan.members(config.returned(names, path), config.call(names, "get_sweep", path))


if __name__ == "__main__":
    sys.exit(errors.run_cli(main))
