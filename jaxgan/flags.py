"""The flags of `python -m jaxgan.main`, parsed before JAX is imported."""

from __future__ import annotations

import argparse
from pathlib import Path

from jaxgan import errors

# Flags that only some modes accept.
MODES_OF = dict.fromkeys(("samples", "seed", "label", "condition", "truncation", "rejection"), "sample")
MODES_OF |= {"out": "export", "step": "evaluate sample"}


def _parser(description: str | None) -> argparse.ArgumentParser:
    parser = errors.ArgumentParser("python -m jaxgan.main", description=description, allow_abbrev=False,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--config", help="NAME of a configs/NAME.py, or a path; --config.KEY=VALUE changes a field")
    parser.add_argument("--workdir", type=Path, help="output directory (default: runs/<config name>)")
    parser.add_argument("--mode", choices=["train", "evaluate", "sample", "export", "config"], default="train")
    parser.add_argument("--list", help="print the available choices and exit")
    samples = "number of samples of --mode=sample (default: 100, or 8 for each condition of --condition)"
    parser.add_argument("--samples", type=int, help=samples)
    parser.add_argument("--seed", type=int, help="random seed of --mode=sample (default: 0)")
    parser.add_argument("--out", type=Path, help="output folder of --mode=export (default: DIR/export)")
    parser.add_argument("--label", help="number or name of the class that --mode=sample samples (default: all)")
    parser.add_argument("--condition", type=Path, help=".npz file of arrays [n, ...] that --mode=sample conditions on")
    parser.add_argument(
        "--truncation", type=float, help="--mode=sample resamples a normal z beyond this many deviations"
    )
    parser.add_argument(
        "--rejection", type=float, help="--mode=sample has D accept, all from this quantile of its logits"
    )
    parser.add_argument("--step", help="step of the checkpoint to evaluate or sample, or best (default: the newest)")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def parse(description: str | None) -> tuple[argparse.Namespace, list[str]]:
    """Parses the command line: the flags, and the remaining arguments such as --config.KEY=VALUE.

    Args:
      description: for --help.

    Raises:
      UserError: neither a configuration nor a work directory, or a flag that the mode does not use.
    """
    flags, changes = _parser(description).parse_known_args()
    if not flags.config and not flags.workdir and not flags.list:
        raise errors.UserError("give --config=NAME (--list=configs prints the names), or --workdir=DIR of a run.")
    for flag, modes in MODES_OF.items():
        if getattr(flags, flag) is not None and flags.mode not in modes:
            hint = " (training has --config.seed)" if flag == "seed" else ""
            right = " and ".join(f"--mode={mode}" for mode in modes.split()) + hint
            raise errors.UserError(f"--{flag} is for {right}, not for --mode={flags.mode}; leave it out.")
    if flags.label and flags.condition:
        raise errors.UserError("--label and --condition both say what to sample; give one of them.")
    if flags.condition and (flags.truncation, flags.rejection) != (None, None):
        raise errors.UserError(
            "--truncation and --rejection cannot be combined with --condition; call gan.sample instead."
        )
    return flags, changes
