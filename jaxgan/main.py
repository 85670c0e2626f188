"""Trains, evaluates or samples one GAN:

    python -m jaxgan.main --config=digits [--config.KEY=VALUE ...] [--workdir=DIR]    (trains, in runs/digits)
    python -m jaxgan.main --workdir=DIR [--config.KEY=VALUE ...]                      (resumes, with what DIR stores)
    python -m jaxgan.main --mode=evaluate --workdir=DIR [--step=N|best] [--config.evaluate.KEY=VALUE] [--config.data...]
    python -m jaxgan.main --mode=sample --workdir=DIR [--step=N|best] [--samples=N] [--seed=S] [--label=Y]
    python -m jaxgan.main --mode=config --config=digits       (prints every field, its value, meaning and choices)
    python -m jaxgan.main --list=WHAT      (configs, losses, penalties, terms, networks, priors, optimizers, augments,
                                            metrics, conditions or data, with a line about each)
    python -m jaxgan.main --mode=export --workdir=DIR [--out=FOLDER]

Everything is written to the work directory; the same command again resumes where it stopped.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from jaxgan import errors

# The modes that use a flag; the others refuse it.
MODES_OF = {"samples": "sample", "seed": "sample", "label": "sample", "out": "export", "step": "evaluate sample"}


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m jaxgan.main", description=__doc__, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.error = errors.usage_error
    parser.add_argument("--config", help="NAME of a configs/NAME.py, or a path; --config.KEY=VALUE changes a field")
    parser.add_argument("--workdir", type=Path, help="output directory (default: runs/<config name>)")
    parser.add_argument("--mode", choices=["train", "evaluate", "sample", "export", "config"], default="train")
    parser.add_argument("--list", help="print the available choices and exit")
    parser.add_argument("--samples", type=int, help="number of samples of --mode=sample (default: 100)")
    parser.add_argument("--seed", type=int, help="random seed of --mode=sample (default: 0)")
    parser.add_argument("--out", type=Path, help="output folder of --mode=export (default: DIR/export)")
    parser.add_argument("--label", help="number or name of the class that --mode=sample samples (default: all)")
    parser.add_argument("--step", help="step of the checkpoint to evaluate or sample, or best (default: the newest)")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def main() -> int:
    flags, changes = arguments().parse_known_args()
    if not flags.config and not flags.workdir and not flags.list:
        raise errors.UserError("give --config=NAME (--list=configs prints the names), or --workdir=DIR of a run.")
    for flag, modes in MODES_OF.items():
        if getattr(flags, flag) is not None and flags.mode not in modes:
            hint = " (training has --config.seed)" if flag == "seed" else ""
            right = " and ".join(f"--mode={mode}" for mode in modes.split()) + hint
            raise errors.UserError(f"--{flag} is for {right}, not for --mode={flags.mode}; leave it out.")
    workdir = flags.workdir or Path("runs", Path(flags.config or "").stem)
    if flags.mode == "train" and not flags.list:
        print("starting: importing JAX", flush=True)  # takes a second or more
    from jaxgan.run.workdir import resolve

    if flags.list or flags.mode == "config":
        from jaxgan.config import catalog

        print(catalog.members(flags.list) if flags.list else catalog.describe(resolve(flags.config, workdir, changes)))
        return 0
    from jaxgan import train
    from jaxgan.run import commands, release

    if flags.mode == "train":
        return train.train(resolve(flags.config, workdir, changes), workdir)
    allowed = ("--config.evaluate.", "--config.data.") if flags.mode == "evaluate" else ()
    if invalid := [change for change in changes if not change.startswith(allowed)]:
        raise errors.UserError(f"--mode={flags.mode} uses the work directory's configuration; leave out {invalid[0]}.")
    if flags.mode == "evaluate":
        return commands.evaluate(workdir, changes, commands.parse_step(flags.step))
    if flags.mode == "export":
        return release.release(workdir, flags.out)
    samples = 100 if flags.samples is None else flags.samples
    return commands.sample(workdir, samples, flags.seed or 0, flags.label, commands.parse_step(flags.step))


if __name__ == "__main__":
    sys.exit(errors.run_cli(main))
