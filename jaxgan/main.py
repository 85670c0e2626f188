"""Trains, evaluates or samples one GAN:

    python -m jaxgan.main --config=digits [--config.KEY=VALUE ...] [--workdir=DIR]    (trains, in runs/digits)
    python -m jaxgan.main --workdir=DIR [--config.KEY=VALUE ...]                    (resumes, with DIR's configuration)
    python -m jaxgan.main --mode=evaluate --workdir=DIR [--step=N|best] [--config.evaluate.KEY=VALUE] [--config.data...]
    python -m jaxgan.main --mode=sample --workdir=DIR [--step=N|best] [--samples=N] [--seed=S]
                         [--label=Y | --condition=FILE.npz] [--truncation=2] [--rejection=1]
    python -m jaxgan.main --mode=config --config=digits       (prints every field, its value, meaning and choices)
    python -m jaxgan.main --list=WHAT      (configs, losses, penalties, terms, networks, priors, optimizers, augments,
                                            metrics, features, conditions or data, with a line about each)
    python -m jaxgan.main --mode=export --workdir=DIR [--out=FOLDER]

Everything is written to the work directory; the same command again resumes where it stopped.
"""

from __future__ import annotations

import sys
from pathlib import Path

from jaxgan import errors
from jaxgan.flags import parse


def main() -> int:
    flags, changes = parse(__doc__)
    workdir = flags.workdir or Path("runs", Path(flags.config or "").stem)
    if flags.mode == "train" and not flags.list:
        print("starting: importing JAX", flush=True)  # takes a second or more
    from jaxgan.run.workdir import resolve

    if flags.list or flags.mode == "config":
        from jaxgan.config import catalog

        print(catalog.members(flags.list) if flags.list else catalog.describe(resolve(flags.config, workdir, changes)))
        return 0
    from jaxgan import train
    from jaxgan.run import commands, compilation_cache, release

    compilation_cache.use()

    if flags.mode == "train":
        return train.train(resolve(flags.config, workdir, changes), workdir)
    allowed = ("--config.evaluate.", "--config.data.") if flags.mode == "evaluate" else ()
    if invalid := [change for change in changes if not change.startswith(allowed)]:
        raise errors.UserError(f"--mode={flags.mode} uses the work directory's configuration; leave out {invalid[0]}.")
    if flags.mode == "evaluate":
        return commands.evaluate(workdir, changes, commands.parse_step(flags.step))
    if flags.mode == "export":
        return release.release(workdir, flags.out)
    step = commands.parse_step(flags.step)
    samples = (8 if flags.condition else 100) if flags.samples is None else flags.samples
    if flags.condition:
        return commands.sample_conditions(workdir, flags.condition, samples, flags.seed or 0, step)
    options = {"truncation": flags.truncation, "rejection": flags.rejection}
    return commands.sample(workdir, samples, flags.seed or 0, flags.label, step, options)


if __name__ == "__main__":
    sys.exit(errors.run_cli(main))
