"""When does G copy its training images, and which metric detects it?

    python -m experiments.memorization [--quick] [--out=runs/memorization] [--sizes 100 1000 10000]
        [--evaluations 300 1000 3000] [--seeds=3]

A GAN is trained on the first 100, 1,000 or 10,000 images of MNIST (`data.limit`). At each evaluation, samples of G are
scored in pixel space against its training images and against test images. Two reference rows need no G: copies, which
are training images in place of samples, and fresh, which are validation images in place of samples. A metric detects
copying if it ranks copies below fresh images.

Scores: Z_U, the data-copying test (arXiv:2004.05675; below -3, samples are closer to the training images than test
images are); the fraction of authentic samples, which are farther from their nearest training image than that image is
from its own nearest neighbour (AuthPct, arXiv:2102.08921); FID in pixel space to training and to test images;
precision, recall, density and coverage against test images (k = 5); the 1-nearest-neighbour test against test images
(.5 if the two cannot be distinguished).

G has two layers of 256 units, D two of 128 maxout units with 2 pieces; the rest is configs/mnist_averaged.py (Adam, R1,
an EMA of G) with minibatches of 100. The sweep is extended from one evaluation to the next. 1,000 samples, the first
1,000 test images.

Claims: the data-copying test detects copies by Z_U below -3 (arXiv:2004.05675); that a GAN copies few training images
and not many, and that scores against test images do not detect copies of many (expected by this project). A G copies
if its authentic share is below that of fresh images.
Written to --out: memorization.png, result.json, scores.json, sweep/.
Measured (means of 3 seeds, and of 3 sets of copies and of fresh images; 95% t intervals):

    images   samples      Z_U     authentic          FID, train   FID, test   coverage   1-NN
    100      step 300     -30.1   .557 [.37, .74]    48.0         52.4        .31        .96
    100      step 1,000   -33.0   .242 [.10, .38]    33.7         42.1        .56        .90
    100      step 3,000   -35.2   .090 [.07, .11]    20.5         32.1        .64        .89
    1,000    step 3,000   -23.2   .561 [.47, .65]    10.6         16.3        .94        .76
    10,000   step 300     -10.6   .993 [.97, 1.02]   51.1         48.1        .34        .96
    10,000   step 3,000   -12.9   .762 [.71, .82]     9.4         11.6        .96        .72
    100      copies       -38.7   0                    .6         20.1        .33        .96
    10,000   copies       -38.7   0                   1.5          5.5        .91        .61
    10,000   fresh         -1.6   .667                2.6          4.8        .93        .60

With 100 and 1,000 images G copies more with every evaluation; with 10,000 its samples are farther from the training
images than fresh images are. Z_U is below -3 in all 27 cases, also at step 300, when no sample is near a training
image: smooth samples are near to everything, so Z_U measures more than copying. Copies of 100 and 1,000 images are also
detected by FID to test images, recall, coverage and the 1-NN test, as they lack diversity; copies of 10,000 by Z_U and
the authentic share alone.
About 9 minutes of CPU time, two cores of an AMD EPYC, busy with other work, 2026-11-28.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

import jaxgan
from configs import mnist_averaged
from experiments import lab, sweeps
from experiments.ablations import small_digits
from jaxgan import data
from jaxgan.config import update
from jaxgan.errors import UserError
from jaxgan.files import write_atomically
from jaxgan.metrics import distances, fid, memorization, neighbours, prdc
from jaxgan.run import plots
from jaxgan.sweep.settings import read_settings
from jaxgan.sweep.statistics import mean_interval

COPIES = -3.0  # G copies if Z_U is below this
K = 5  # nearest neighbours of precision, recall, density and coverage
# For each score: digits, and 1 if higher is better, -1 if lower is better.
SHOWN = {
    "z_u": (1, 1),
    "authentic": (3, 1),
    "fid_train": (2, -1),
    "fid_test": (2, -1),
    "precision": (3, 1),
    "recall": (3, 1),
    "density": (2, 1),
    "coverage": (3, 1),
    "neighbours": (3, -1),
}
PICTURED = {
    "z_u": "Z_U",
    "authentic": "authentic share",
    "fid_train": "FID to training images",
    "fid_test": "FID to test images",
    "coverage": "coverage",
    "neighbours": "accuracy of 1-NN",
}


def base(quick: bool) -> ConfigDict:
    """Algorithm 1 with Adam, R1 and an EMA of G, as configs/mnist_averaged.py, on smaller networks."""
    changes = mnist_averaged.CHANGES | {
        "generator.hidden": (256, 256),
        "discriminator.hidden": (128, 128),
        "discriminator.pieces": 2,
        "discriminator.irange": 0.05,
        "train.batch_size": 100,
        "log.every": 50,
        "sample.every": 0,
        "evaluate.every": 0,
        "evaluate.metrics": (),
    }
    if quick:
        changes |= {"generator.hidden": (64, 64), "discriminator.hidden": (32, 32), "train.batch_size": 20}
    return update(small_digits() if quick else mnist_averaged.get_config(), changes)


# --- Scores -----------------------------------------------------------------------------------------------------------


def authentic(train: np.ndarray, fake: np.ndarray) -> float:
    """The fraction of samples that are farther from their nearest training image than that is from its own nearest.

    Args:
      train: [n, d], n of 2 or more; fake: [m, d].
    """
    return share_authentic(distances.nearest(fake, train, 1), distances.nearest_others(train, 1)[0])


def share_authentic(nearest: tuple[np.ndarray, np.ndarray], spacing: np.ndarray) -> float:
    """`authentic` from precomputed distances.

    Args:
      nearest: the squared distance of each sample to its nearest training image, and that image's index, [m, 1] each.
      spacing: [n, 1] squared distances of training images to the nearest other one.
    """
    near, which = nearest
    return float(np.mean(near > spacing[which[:, 0]]))


def scores(fake: np.ndarray, train: np.ndarray, test: np.ndarray) -> dict[str, float]:
    """All scores of `SHOWN`, from rows of pixels: fake [m, d], train [n, d], test [t, d] float32 in [0, 1]."""
    fidelity_and_diversity = prdc.evaluate(test, fake, K)
    return {
        "z_u": memorization.evaluate(train, test, fake),
        "authentic": authentic(train, fake),
        "fid_train": fid.evaluate(train, fake),
        "fid_test": fid.evaluate(test, fake),
        **fidelity_and_diversity,
        "neighbours": neighbours.evaluate(fake, test).accuracy,
    }


def references(
    train: np.ndarray, fresh: np.ndarray, test: np.ndarray, *, count: int, draws: int
) -> dict[str, list[dict[str, float]]]:
    """The scores of copies, sampled with replacement, and of fresh images: `draws` sets of `count` each."""
    random = np.random.default_rng(0)
    results: dict[str, list[dict[str, float]]] = {"copies": [], "fresh": []}
    for part in np.split(fresh[: count * draws], draws):
        results["copies"].append(scores(train[random.integers(0, len(train), count)], train, test))
        results["fresh"].append(scores(part, train, test))
    return results


def rows_of(images: np.ndarray) -> np.ndarray:
    """Images [n, H, W, C] uint8 as rows of numbers in [0, 1], [n, d] float32."""
    return images.reshape(len(images), -1).astype(np.float32) / np.float32(255)


# --- Training ---------------------------------------------------------------------------------------------------------


def train_and_score(
    out: Path,
    config: ConfigDict,
    images: data.Dataset,
    *,
    sizes: list[int],
    evaluations: list[int],
    seeds: int,
    count: int,
) -> dict[str, dict[str, float]]:
    """Trains and evaluates at each step of `evaluations`: scores by 'images/seed/step'. Resumes where it stopped.

    The sweep is extended from one evaluation to the next, and its members are scored before training continues.
    """
    path = out / "scores.json"
    scores_by_key: dict[str, dict[str, float]] = json.loads(path.read_text()) if path.exists() else {}
    settings = {str(n): {"data.limit": n} for n in sizes}
    test = rows_of(images.test[:count])
    for step in evaluations:
        if all(f"{n}/{seed}/{step}" in scores_by_key for n in sizes for seed in range(seeds)):
            continue
        members = sweeps.train(out / "sweep", __doc__, update(config, {"train.steps": step}), settings, range(seeds))
        for name, setting in members.items():
            train = rows_of(images.train[: int(name)])
            for member, result in zip(setting.names, setting.results, strict=True):
                key = f"{name}/{result['seed']}/{step}"
                if key not in scores_by_key:
                    fake = jaxgan.load(out / "sweep" / "members" / member).sample(count)
                    scores_by_key[key] = scores(fake.reshape(count, -1), train, test)
                    write_atomically(path, json.dumps(scores_by_key, indent=1).encode())
    return scores_by_key


def scores_at(scores: dict[str, dict[str, float]], n: int, step: int, name: str) -> list[float]:
    """A score of all seeds."""
    return [numbers[name] for key, numbers in scores.items() if key.split("/")[::2] == [str(n), str(step)]]


def mean_of(rows: list[dict[str, float]], name: str) -> float:
    return float(np.mean([row[name] for row in rows]))


def detects_copies(real: dict[str, list[dict[str, float]]]) -> dict[str, bool]:
    """Which scores rate copies significantly worse than fresh images (95%)."""
    return {
        name: mean_interval(
            [better * (a[name] - b[name]) for a, b in zip(real["fresh"], real["copies"], strict=True)]
        ).low
        > 0
        for name, (_, better) in SHOWN.items()
    }


def verdicts(
    scores: dict[str, dict[str, float]], real: dict[int, dict], evaluations: list[int]
) -> dict[str, lab.Verdict]:
    """The verdict on each claim: from the scores of all runs, and those of copies and fresh images per size."""
    fresh = {n: [row["authentic"] for row in rows["fresh"]] for n, rows in real.items()}
    few, many = min(real), max(real)

    def copies_more(n: int, sign: int) -> bool | None:
        """Whether `sign` times the authentic share of fresh images is above that of the last samples."""
        share = mean_interval(scores_at(scores, n, evaluations[-1], "authentic"))
        mean = float(np.mean(fresh[n]))
        return lab.is_positive(sorted((sign * (mean - share.low), sign * (mean - share.high))))

    below = [(int(key.split("/")[0]), row["authentic"]) for key, row in scores.items() if row["z_u"] < COPIES]
    detectors = {name for name, detected in detects_copies(real[many]).items() if detected}
    return {
        f"with {few:,} images G copies": copies_more(few, 1),
        f"with {many:,} images G does not copy": copies_more(many, -1),
        f"Z_U below {COPIES:g} only where G copies": lab.in_every_run(share < np.mean(fresh[n]) for n, share in below),
        f"only Z_U and the authentic share detect copies of {many:,} images": detectors == {"z_u", "authentic"},
    }


def table(scores: dict[str, dict[str, float]], real: dict[int, dict], evaluations: list[int]) -> Iterator[str]:
    yield f"{'images':>7} {'samples':>12}" + "".join(f"{name:>11}" for name in SHOWN)
    for n, rows in real.items():
        for kind in ("copies", "fresh"):
            numbers = [f"{mean_of(rows[kind], name):.{digits}f}" for name, (digits, _) in SHOWN.items()]
            yield f"{n:7d} {kind:>12}" + "".join(f"{number:>11}" for number in numbers)
        for step in evaluations:
            means = [mean_interval(scores_at(scores, n, step, name)) for name in SHOWN]
            numbers = [f"{mean.mean:.{digits}f}" for mean, (digits, _) in zip(means, SHOWN.values(), strict=True)]
            yield f"{n:7d} {f'step {step}':>12}" + "".join(f"{number:>11}" for number in numbers)
        yield f"{n:7d} {'detects':>12}" + "".join(
            f"{'yes' if yes else '-':>11}" for yes in detects_copies(rows).values()
        )


def picture(
    scores: dict[str, dict[str, float]], real: dict[int, dict], evaluations: list[int], pairs: np.ndarray
) -> bytes:
    """Plots scores during training, a colour per number of images, and samples above their nearest training images.

    Args:
      pairs: [H, W], the grid of both.
    """
    figure = plots.new_figure(13, 6)
    left, right = figure.subfigures(1, 2, width_ratios=(2, 1))
    axes = left.subplots(2, 3, sharex=True)
    for axis, name in zip(axes.reshape(-1), PICTURED, strict=True):
        for color, n in zip(plots.LINES, real, strict=False):
            lines = np.array([scores_at(scores, n, step, name) for step in evaluations])
            axis.plot(evaluations, lines, color=color, linewidth=0.8, alpha=0.6)
            axis.plot(evaluations, lines.mean(axis=1), "o-", color=color, markersize=4, label=f"{n:,} images")
            axis.axhline(mean_of(real[n]["copies"], name), color=color, linestyle=":", linewidth=1)
        axis.axhline(mean_of(real[n]["fresh"], name), color="black", linestyle="--", linewidth=1)
        if name == "z_u":
            axis.set_yscale("symlog", linthresh=3)
        axis.set(xscale="log", title=PICTURED[name])
        axis.set_xticks(evaluations, [f"{step:,}" for step in evaluations])
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    axes[0, 0].plot([], [], color="black", linestyle="--", label="fresh images")
    axes[0, 0].plot([], [], color="black", linestyle=":", label="copies")
    axes[0, 0].legend(frameon=False, fontsize=7)
    for axis in axes[-1]:
        axis.set_xlabel("steps")
    panel = right.subplots()
    panel.imshow(pairs, cmap="gray", vmin=0, vmax=1)
    panel.set_axis_off()
    panel.set_title("samples, and below each its nearest training image", fontsize=9)
    return plots.figure_png(figure)


def pairs(workdir: Path, names: dict[int, str], images: data.Dataset, columns: int = 8) -> np.ndarray:
    """Per number of images, samples of a member above their nearest training images: [H', W']."""
    lines = []
    for n, name in names.items():
        train = images.train[:n]
        fake = jaxgan.load(workdir / "members" / name).sample(columns)
        which = distances.nearest(fake.reshape(columns, -1), rows_of(train), 1)[1][:, 0]
        for row in (fake[..., 0], train[which, ..., 0] / 255):
            lines.append(np.concatenate([np.pad(image, 1) for image in row], axis=1))
    return np.concatenate(lines)


# --- The command ------------------------------------------------------------------------------------------------------


def main() -> None:
    parser = lab.make_parser("memorization", __doc__, quick="small networks on scikit-learn's digits")
    parser.add_argument("--sizes", type=int, nargs="+", help="numbers of training images; quick: 50 400")
    parser.add_argument(
        "--evaluations", "--looks", type=int, nargs="+", help="steps at which G is evaluated; quick: 20 60"
    )
    parser.add_argument("--seeds", type=int, help="seeds per size (default: 3; quick: 2)")
    flags = lab.parse(parser, out=("runs/memorization", "runs/memorization_quick"), seeds=(3, 2),
                      sizes=([100, 1000, 10_000], [50, 400]), evaluations=([300, 1000, 3000], [20, 60]))  # fmt: skip
    sizes, evaluations, seeds, out = flags.sizes, flags.evaluations, flags.seeds, flags.out
    config = base(flags.quick)
    if (
        evaluations != sorted(set(evaluations))
        or evaluations[0] < 1
        or seeds < 1
        or min(sizes) < config.train.batch_size
    ):
        raise UserError(
            f"--evaluations={evaluations} must increase and start at 1 or more, --seeds={seeds} must be 1 or more, and "
            f"--sizes={sizes} at least one minibatch, {config.train.batch_size}."
        )
    count, draws = (70, 2) if flags.quick else (1000, 3)

    images = data.load(config.data)
    scores = train_and_score(out, config, images, sizes=sizes, evaluations=evaluations, seeds=seeds, count=count)
    fresh, test = rows_of(images.validation), rows_of(images.test[:count])
    real = {n: references(rows_of(images.train[:n]), fresh, test, count=count, draws=draws) for n in sizes}
    print("\n" + "\n".join(table(scores, real, evaluations)))
    result = {"sizes": sizes, "evaluations": evaluations, "seeds": seeds, "samples": count, "scores": scores,
              "real": real, "detects": {n: detects_copies(rows) for n, rows in real.items()}}  # fmt: skip
    members = {setting.setting["data.limit"]: setting.names[0] for setting in read_settings(out / "sweep").settings}
    grid = pairs(out / "sweep", members, images)
    held = verdicts(scores, real, evaluations)
    lab.finish(out, result, {"memorization": picture(scores, real, evaluations, grid)}, held)


if __name__ == "__main__":
    lab.run(main)
