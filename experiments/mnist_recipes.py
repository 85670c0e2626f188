"""The MNIST recipes compared: each is trained with its configuration and the same seeds, and scored on classifier
features.

    python -m experiments.mnist_recipes [--recipe dcgan cgan ...] [--seeds 0 1 2] [--out=runs/mnist_recipes]
        [--config.KEY=VALUE ...]

Trains `configs/NAME_mnist.py` for every recipe and seed that is not finished in --out, one after another, each in its
own work directory (NAME_SEED); runs that were stopped are resumed. Then prints the table and draws the picture of all
finished runs.

Columns: FID, precision and recall (`evaluate.k` neighbours) of 10,000 samples at the last step, against the 10,000 test
images, on features of the classifier trained on MNIST's labels; for conditional recipes, the fraction of samples that
the classifier assigns to the requested class; seconds of training, without evaluation. Means over seeds with 95% t
intervals if there are two or more seeds. The row of real data is 10,000 training images in place of samples.

Written to --out: mnist_recipes.png (random samples of the first seed, one grid per recipe; one row per class if G is
conditional), result.json.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

import jaxgan
from experiments import lab
from jaxgan import data, errors, train
from jaxgan.config import update, validate
from jaxgan.config.files import override
from jaxgan.data.decode import decode, encode
from jaxgan.evaluation.evaluator import make_measure
from jaxgan.files import write_atomically
from jaxgan.run.grids import grid
from jaxgan.run.plots import figure_png, new_figure
from jaxgan.run.scores import EVALUATION
from jaxgan.run.writers import read_metrics
from jaxgan.sweep.statistics import mean_interval

RECIPES = ("dcgan", "cgan", "lsgan", "dragan", "wgan_gp")
COLUMNS = {
    "classifier_fid": "FID",
    "classifier_precision": "precision",
    "classifier_recall": "recall",
    "label_accuracy": "right class",
    "seconds": "seconds",
}
SIDE = 10  # rows and columns of a grid


def config_of(recipe: str, seed: int, changes: Sequence[str]) -> ConfigDict:
    """The configuration of a recipe with a seed and the changes --config.KEY=VALUE."""
    config = importlib.import_module(f"configs.{recipe}_mnist").get_config()
    config = override(update(config, {"seed": seed}), list(changes))
    validate(config)
    return config


def numbers_of(workdir: Path) -> dict[str, float] | None:
    """The scores of a finished run and its training time in seconds; None if it is not finished."""
    path = workdir / EVALUATION
    if not path.exists():
        return None
    scores, batch = json.loads(path.read_bytes()), json.loads((workdir / "config.json").read_bytes())
    if scores["step"] != batch["train"]["steps"]:
        return None
    seconds, last = 0.0, 0
    for line in read_metrics(workdir):
        seconds += (line["step"] - last) * batch["train"]["batch_size"] / line["images_per_second"]
        last = line["step"]
    return {name: scores[name] for name in COLUMNS if name in scores} | {"seconds": seconds}


def real_row(config: ConfigDict) -> dict[str, float]:
    """The scores of training images in place of samples."""
    dataset = data.load(config.data)
    every = max(1, len(dataset.train) // config.evaluate.samples)
    images = dataset.train[::every][: config.evaluate.samples]
    scores = make_measure(config, dataset)(np.asarray(decode(images, config.data.gcn, config.data.low)))
    return {name: scores[name] for name in COLUMNS if name in scores}


def table(runs: Mapping[str, Sequence[Mapping[str, float]]]) -> list[str]:
    """One line per recipe: mean and half the width of the interval over seeds."""
    lines = [f"{'recipe':12}{'seeds':>6}" + "".join(f"{heading:>18}" for heading in COLUMNS.values())]
    for name, results in runs.items():
        cells = []
        for column in COLUMNS:
            values = [run[column] for run in results if column in run]
            digits = 0 if column == "seconds" else 2 if column == "classifier_fid" else 3
            if not values:
                cells.append("-")
            elif len(values) == 1:
                cells.append(f"{values[0]:.{digits}f}")
            else:
                mean = mean_interval(values)
                cells.append(f"{mean.mean:.{digits}f} ± {(mean.high - mean.low) / 2:.{digits}f}")
        lines.append(f"{name:12}{len(results):6d}" + "".join(f"{cell:>18}" for cell in cells))
    return lines


def picture(workdirs: Mapping[str, Path]) -> bytes:
    """Random samples of one run per recipe, not selected; one row per class if G is conditional."""
    figure = new_figure(3.4 * len(workdirs), 3.7)
    for axis, (name, workdir) in zip(
        figure.subplots(1, len(workdirs), squeeze=False)[0], workdirs.items(), strict=True
    ):
        gan = jaxgan.load(workdir)
        y = np.arange(SIDE * SIDE) // SIDE if gan.gan.num_classes else None
        images = encode(gan.sample(SIDE * SIDE, seed=0, y=y), gan.config.data.gcn, gan.config.data.low)
        axis.imshow(grid(images, SIDE), cmap="gray", vmin=0, vmax=255)
        axis.set_title(f"{name}, step {gan.step:,}")
        axis.set_axis_off()
    return figure_png(figure)


def main() -> int:
    parser = lab.make_parser("mnist_recipes", __doc__)
    parser.add_argument("--recipe", nargs="+", default=list(RECIPES), help=f"any of {', '.join(RECIPES)}")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--finished", action="store_true", help="do not train, only tabulate finished runs")
    flags, changes = parser.parse_known_args()
    lab.check_choices("--recipe", flags.recipe, RECIPES)
    workdirs = {(name, seed): flags.out / f"{name}_{seed}" for seed in flags.seeds for name in flags.recipe}
    for (name, seed), workdir in workdirs.items():
        if not flags.finished and numbers_of(workdir) is None:
            code = train.train(config_of(name, seed, changes), workdir)
            if code:
                return code
    runs: dict[str, list[dict[str, Any]]] = {}
    for (name, seed), workdir in workdirs.items():
        numbers = numbers_of(workdir)
        if numbers is not None:
            runs.setdefault(name, []).append({"seed": seed, **numbers})
    if not runs:
        raise errors.UserError(f"{flags.out} contains no finished run; leave out --finished.")
    real = real_row(config_of("dcgan", 0, changes))
    print("\n".join(table(runs | {"real data": [real]})))
    first = {name: flags.out / f"{name}_{results[0]['seed']}" for name, results in runs.items()}
    write_atomically(flags.out / "mnist_recipes.png", picture(first))
    lab.write_result(flags.out, {"runs": runs, "real": real})
    print(flags.out)
    return 0


if __name__ == "__main__":
    lab.run(main)
