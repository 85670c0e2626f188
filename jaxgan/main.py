"""Trains, evaluates or samples one GAN:

    python -m jaxgan.main --config=configs/digits.py [--config.KEY=VALUE ...] [--workdir=DIR]
    python -m jaxgan.main --mode=evaluate --workdir=DIR [--step=N|best] [--config.evaluate.KEY=VALUE] [--config.data...]
    python -m jaxgan.main --mode=sample --workdir=DIR [--step=N|best] [--samples=N] [--seed=S] [--label=Y]

Everything is written to the work directory; the same command again resumes where it stopped.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from jaxgan import errors


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m jaxgan.main", description=__doc__, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.error = errors.usage_error
    parser.add_argument("--config", help="a configs/NAME.py; --config.KEY=VALUE changes a field")
    parser.add_argument("--workdir", type=Path, help="where everything is written; default: runs/<config name>")
    parser.add_argument("--mode", choices=["train", "evaluate", "sample"], default="train")
    parser.add_argument("--samples", type=int, default=100, help="how many --mode=sample draws (default: 100)")
    parser.add_argument("--seed", type=int, default=0, help="which ones --mode=sample draws (default: 0)")
    parser.add_argument("--label", help="number or name of the class that --mode=sample draws (default: all)")
    parser.add_argument("--step", help="of the checkpoint to evaluate or sample, or best (default: the newest)")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def main() -> int:
    flags, changes = arguments().parse_known_args()
    if not flags.config and (flags.mode == "train" or not flags.workdir):
        raise errors.UserError("give --config=configs/NAME.py, or --workdir=DIR with --mode=evaluate or --mode=sample.")
    workdir = flags.workdir or Path("runs", Path(flags.config).stem)
    if flags.mode == "train":
        from jaxgan import train
        from jaxgan.config import files, validate

        if flags.step:
            raise errors.UserError("--step is for --mode=evaluate and --mode=sample; training resumes from the newest.")
        config = files.override(files.read(flags.config), changes)
        validate(config)
        return train.train(config, workdir)

    from jaxgan.run import trained

    allowed = ("--config.evaluate.", "--config.data.") if flags.mode == "evaluate" else ()
    if refused := [change for change in changes if not change.startswith(allowed)]:
        raise errors.UserError(f"--mode={flags.mode} uses the work directory's configuration; leave out {refused[0]}.")
    if flags.mode == "evaluate":
        return trained.evaluate(workdir, changes, trained.step_named(flags.step))
    return trained.draw(workdir, flags.samples, flags.seed, flags.label, trained.step_named(flags.step))


if __name__ == "__main__":
    sys.exit(errors.run_cli(main))
