"""Trains, evaluates or samples one GAN:

    python -m jaxgan.main --config=configs/digits.py [--config.KEY=VALUE ...]
        [--workdir=DIR] [--mode=train|evaluate|sample]

Everything is written to the work directory; the same command again goes on where it stopped.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from jaxgan import config, errors


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m jaxgan.main", description=__doc__, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.error = errors.fail
    parser.add_argument("--config", required=True, help="a configs/NAME.py; --config.KEY=VALUE changes a field")
    parser.add_argument("--workdir", type=Path, help="where everything is written; default: runs/<config name>")
    parser.add_argument("--mode", choices=["train", "evaluate", "sample"], default="train")
    parser.add_argument("--samples", type=int, default=100, help="how many --mode=sample draws (default: 100)")
    parser.add_argument("--seed", type=int, default=0, help="which ones --mode=sample draws (default: 0)")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def main() -> int:
    flags, changes = arguments().parse_known_args()
    settings = config.override(config.read(flags.config), changes)
    config.validate(settings)
    workdir = flags.workdir or Path("runs", Path(flags.config).stem)

    if changes and flags.mode != "train":
        raise errors.UserError(f"--mode={flags.mode} uses the work directory's configuration; leave out {changes[0]}.")

    from jaxgan import train, trained  # import jax only once the arguments are right

    if flags.mode == "train":
        return train.train(settings, workdir)
    if flags.mode == "evaluate":
        return trained.evaluate(workdir)
    return trained.draw(workdir, flags.samples, flags.seed)


if __name__ == "__main__":
    sys.exit(errors.exit_on(main))
