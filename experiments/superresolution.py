"""Super-resolution exchanges distortion for perception: an L1 loss alone, a conditional GAN alone, and both.

    python -m experiments.superresolution [--quick] [--out=runs/superresolution] [--steps=3000] [--seeds=3]

Claim (pix2pix, arXiv:1611.07004, with the terms of arXiv:1711.06077): a regression to the target is nearest to it and
looks least like data, a conditional GAN alone is farthest and looks most like it, and the two together are in between.
Data: scikit-learn's 8x8 digits given the means of their 4x4 blocks (four numbers). G: a U-Net with z at its bottleneck,
whose output is corrected so that its block means are those given. D: DCGAN's with R1. L1 "alone" is L1 with weight
10,000, beside which the adversarial gradient is nothing; "both" is L1 with weight 5, and the GAN has none.
On the test set, one sample per image:

1. PSNR: L1 > both > GAN;
2. FID in the features of a classifier: L1 > both > GAN (the reverse order: lower is better);
3. dispersion over z (1 for the true conditional): L1 < .1, and both < GAN.

Each by 95% t intervals of differences paired by seed. How many samples the classifier gives the class of their target
is measured beside it, without a claim: four numbers leave the class open.

Written to --out: superresolution.png, result.json, and parts/, what a repeated command does not train again.
Measured on the test set, 3 seeds of 3,000 steps, means with 95% t intervals; two cores of an AMD EPYC, busy with other
work, 4 minutes of CPU time, 2026-11-28:

            PSNR (dB)              of the mean of draws    FID                    dispersion         energy score
    L1      13.95 [13.88, 14.02]   13.95 [13.88, 14.02]    38.8 [35.5, 42.2]      .00                1.71 [1.69, 1.72]
    both    12.91 [12.81, 13.01]   12.91 [12.81, 13.01]    16.0 [14.0, 18.1]      .00                1.94 [1.91, 1.97]
    GAN     11.34 [11.14, 11.53]   13.23 [13.13, 13.33]    25.9 [18.0, 33.9]      .81 [.75, .88]     1.28 [1.25, 1.32]

The order of PSNR is as claimed. With L1, also together with a GAN, G ignores z. By FID both together are better than L1
alone, and not shown to be worse than the GAN alone; by the energy score, which ranks conditional samplers, the GAN
alone is best, and the mean of its draws has nearly the PSNR of L1.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import numpy as np

from experiments import lab
from experiments.conditionals import draws_of, trained
from jaxgan.config import default, update
from jaxgan.data import Dataset, load
from jaxgan.data.decode import encode
from jaxgan.features.classifier import load_or_train
from jaxgan.metrics import conditional, fid, paired
from jaxgan.run.plots import figure_png, new_figure
from jaxgan.sweep.statistics import mean_interval, paired_difference

L1 = {"L1": 1e4, "both": 5.0, "GAN": 0.0}  # weight of the L1 term by setting
DRAWS = 19
SHOWN = ("psnr", "psnr_of_mean", "fid", "dispersion", "energy_score", "accuracy")


def configuration(weight: float, seed: int, steps: int):
    changes = {
        "seed": seed,
        "condition.name": "low_resolution",
        "condition.factor": 4,
        "prior.size": 16,
        "generator.name": "unet",
        "generator.widths": (32, 64),
        "generator.ema.gamma": (3.0,),
        "discriminator.name": "dcgan",
        "discriminator.widths": (32, 64),
        "discriminator.norm": "none",
        "discriminator.bias": True,
        "objective.penalties.r1": 0.1,
        "objective.paired.l1": weight,
        "train.steps": steps,
    }
    for player in ("generator", "discriminator"):
        changes |= {f"optimizer.{player}.{field}": value for field, value in
                    {"name": "adam", "learning_rate": 1e-3, "b1": 0.5, "b2": 0.99}.items()}  # fmt: skip
    return update(default(), changes)


def measure(dataset: Dataset, weight: float, seed: int, steps: int) -> dict[str, Any]:
    """The scores of one run on the test set, and draws for the first of its images."""
    made = draws_of(trained(configuration(weight, seed, steps), dataset), dataset, DRAWS)
    classifier = load_or_train(dataset)
    first = encode(made["draws"][0], 0, 0)
    features = classifier.features(dataset.test), classifier.features(first)
    classes = np.argmax(classifier.logits(first), axis=1)
    scores = paired.evaluate(**made) | conditional.evaluate(**made)
    return {**scores, "fid": fid.evaluate(*features), "accuracy": float(np.mean(classes == dataset.test_labels)),
            "seed": seed, "shown": made["draws"][:3, :8], "mean": made["draws"].mean(axis=0)[:8]}  # fmt: skip


def verdicts(rows: dict[str, list[dict[str, Any]]]) -> dict[str, lab.Verdict]:
    """By the runs of each setting, in the order of their seeds."""

    def above(quantity: str, more: str, less: str) -> bool | None:
        a, b = (np.array([run[quantity] for run in rows[name]]) for name in (more, less))
        if len(a) < 3:
            return None
        difference = paired_difference(a, b)
        return lab.is_positive((difference.low, difference.high))

    found: dict[str, lab.Verdict] = {}
    for quantity, words in (("psnr", "PSNR"), ("fid", "FID")):
        for more, less in (("L1", "both"), ("both", "GAN")):
            found[f"{words}: {more} > {less}"] = above(quantity, more, less)
    found["dispersion of L1 below .1"] = lab.in_every_run(run["dispersion"] < 0.1 for run in rows["L1"])
    found["dispersion: GAN > both"] = above("dispersion", "GAN", "both")
    return found


def table(rows: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Prints and returns the means over seeds, with 95% intervals."""
    print(f"\n{'':6}" + "".join(f"{name:>24}" for name in SHOWN))
    cells = {name: {key: mean_interval([run[key] for run in runs]) for key in SHOWN} for name, runs in rows.items()}
    for name, row in cells.items():
        print(f"{name:6}" + "".join(f"{row[key].text(2):>24}" for key in SHOWN))
    return {name: {key: value._asdict() for key, value in row.items()} for name, row in cells.items()}


def picture(rows: dict[str, list[dict[str, Any]]], dataset: Dataset) -> bytes:
    """Eight test images: the condition, three draws and their mean by the first seed of each setting, the target."""
    targets = dataset.test[:8] / 255
    low = targets.reshape(8, 2, 4, 2, 4, 1).mean(axis=(2, 4)).repeat(4, axis=1).repeat(4, axis=2)
    columns = [("condition", low)]
    for name, runs in rows.items():
        columns += [(name, np.array(draw)) for draw in runs[0]["shown"]] + [("mean", np.array(runs[0]["mean"]))]
    columns.append(("target", targets))
    figure = new_figure(0.62 * len(columns), 5.6)
    for axes, (title, images) in zip(figure.subplots(8, len(columns)).T, columns, strict=True):
        axes[0].set_title(title, fontsize=8)
        for axis, image in zip(axes, images, strict=True):
            axis.imshow(image[..., 0], cmap="gray", vmin=0, vmax=1)
            axis.axis("off")
    return figure_png(figure)


def main() -> None:
    parser = lab.make_parser("superresolution", __doc__, quick="40 steps, one seed")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seeds", type=int)
    flags = lab.parse(parser, steps=(3000, 40), seeds=(3, 1))
    lab.check_positive(steps=flags.steps, seeds=flags.seeds)
    started = time.process_time()
    dataset = load(default().data)
    rows = {
        name: [
            lab.cached(flags.out, {"l1": weight, "seed": seed, "steps": flags.steps},
                       partial(measure, dataset, weight, seed, flags.steps))
            for seed in range(flags.seeds)
        ]
        for name, weight in L1.items()
    }  # fmt: skip
    scores = {name: [{key: run[key] for key in (*SHOWN, "seed")} for run in runs] for name, runs in rows.items()}
    result = {"table": table(rows), "runs": scores, "seconds": time.process_time() - started}
    lab.finish(flags.out, result, {"superresolution": picture(rows, dataset)}, verdicts(rows))


if __name__ == "__main__":
    lab.run(main)
