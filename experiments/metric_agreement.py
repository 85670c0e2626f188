"""Which metric detects which damage to images, and which metrics agree while a GAN is trained?

    python -m experiments.metric_agreement [--quick] [--out=runs/metric_agreement] [--steps=2000] [--seeds=3]
        [--evaluations=10] [--samples=2000] [--draws=5]

All scores of this package that take arrays are computed on the features of the classifier of MNIST's labels, against
the 10,000 test images and the training images. Signs are chosen such that higher is better. The idea of damage at
several strengths is from arXiv:1706.08500 (its figure of FID under disturbances; quoted from memory).

1. Damage. Validation images take the place of samples, in 5 disjoint draws, unchanged and with

    blur        a Gaussian filter of this many pixels
    noise       normal noise on each pixel, with this standard deviation where white is 1
    dropping    this many classes left out, different ones in each draw; images of other classes take their place
    repeating   this fraction of them replaced by copies of a few training images, a twentieth as many as samples
    copying     this fraction of them replaced by different training images

For each score: its rank correlation with the strength (Spearman, with 0 for unchanged images; the mean over draws; -1
means that it falls at every step), and the weakest damage that it detects, i.e. for which it is lower than for
unchanged images by a t-test paired by draw, at 5% with Holm's correction over strengths.
2. Training. configs/dcgan_mnist.py, evaluated 10 times, logarithmically spaced from a hundredth of the steps to all of
   them: rank correlations of all scores with each other and with the step, over the evaluations of a seed; means over
   seeds with 95% t intervals.

Scores: precision and recall with k = 3, density and coverage with k = 5; Inception Score on the classifier's logits;
PRD over 3 clusterings (the paper: 10); Parzen log-likelihood in pixel space, with the width chosen on a tenth of the
test images; 1-NN accuracy as its distance from 1/2; Z_U and the authentic fraction as in experiments/memorization.py.
"Higher is better" is a convention for density, diversity and Z_U, which can also be too high: an increase with the
damage is as informative as a decrease.

Expected: FID and KID detect everything but copying. Precision and density do not respond to dropping, which recall,
coverage and F8 detect. Only Z_U and the authentic fraction detect copying. That a score does not respond is shown by
equivalence: the 90% t interval of its change, paired by draw, is within .05 at every strength (TOST); that FID and KID
are hardly affected by copies: their 90% intervals are above those for one dropped class. A damage that is merely not
detected is undecided.
Written to --out: metric_agreement.png, result.json, and scores.json, whose scores are reused; a seed with a missing
evaluation is trained from its beginning. Not yet run at its default size. Measured with --steps=1000 --seeds=2
--evaluations=6 --samples=1000 --draws=3, 827 s of CPU time on two cores of an AMD EPYC (Zen 3) that were busy with
other work, 2026-11-26. FID and KID detect .5 pixels of blur, noise of .05, one dropped class, and a fraction of .3 of
repeated images (where they do not fall monotonically, -.68), and no copies. Recall and Inception Score detect noise of
.02. Precision and density detect noise only from .4 on, and were not shown to detect dropping; density detects
repeating at .05. Copies at a fraction of .05 are detected by Z_U and the authentic fraction; no other score was shown
to detect them. With 3 draws, most decreases of two standard deviations are missed, so this is not evidence of absence:
whether scores ignore dropping or copying is undecided at this size.

During training, FID agrees with KID (.97), coverage (.97) and F8 (.97), and with the step (.83). Precision is
negatively correlated with the step (-.88 [-1.00, -.05]) and with recall (-.98): the first samples, which are all alike,
have the highest precision. With two seeds, most of the intervals are wide.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import SymLogNorm
from ml_collections import ConfigDict
from scipy import ndimage, stats

from configs import dcgan_mnist
from experiments import lab
from experiments.memorization import rows_of, share_authentic
from jaxgan import data, parallel
from jaxgan.config import update
from jaxgan.config.hparams import traced
from jaxgan.data.decode import encode
from jaxgan.errors import UserError
from jaxgan.evaluation.samples import make_sampler
from jaxgan.features import classifier
from jaxgan.files import exclusive, write_atomically
from jaxgan.game.batches import stored_examples
from jaxgan.game.build import build_for
from jaxgan.game.state import run_stream
from jaxgan.metrics import (
    birthday,
    distances,
    diversity,
    fid,
    inception_score,
    kid,
    memorization,
    modes,
    neighbours,
    parzen,
    prd,
    prdc,
)
from jaxgan.run import plots
from jaxgan.sweep.statistics import LEVEL, MeanInterval, holm, mean_interval, paired_difference

KS = (3, 5)  # number of nearest neighbours for precision and recall, and for density and coverage
FEW = 20  # samples per image that `repeating` copies
CLUSTERINGS = 3  # that PRD is averaged over; the paper's 10 would take most of the time
QUICK_EXAMPLES, QUICK_CLUSTERINGS = 20_000, 1  # with --quick: training examples of the classifier; for PRD
MARGIN = 0.05  # a smaller change of precision or density, which are about 1 for real images, counts as none
UNTOUCHED = "untouched/0"
STEP = "step"

# The scores; 1 if higher is better, -1 if lower is better.
SCORES = {
    "FID": -1,
    "KID": -1,
    "1-NN": -1,
    "Inception Score": 1,
    "Parzen": 1,
    "precision": 1,
    "density": 1,
    "PRD F1/8": 1,
    "recall": 1,
    "coverage": 1,
    "PRD F8": 1,
    "classes": 1,
    "KL of classes": -1,
    "diversity": 1,
    "near-duplicates": -1,
    "Z_U": 1,
    "authentic": 1,
}
SIGNS = np.array(list(SCORES.values()), float)

Strengths = Mapping[str, Sequence[float]]  # by damage, weakest first
DAMAGES: dict[str, tuple[float, ...]] = {
    "blur": (0.35, 0.5, 0.7, 1.0, 1.4),
    "noise": (0.02, 0.05, 0.1, 0.2, 0.4),
    "dropping": (1, 2, 3, 5, 7),
    "repeating": (0.02, 0.05, 0.1, 0.3, 1),
    "copying": (0.05, 0.1, 0.2, 0.5, 1),
}
UNITS = {"blur": "pixels", "noise": "deviation", "dropping": "classes", "repeating": "share", "copying": "share"}


# --- Scores -----------------------------------------------------------------------------------------------------------


class Real(NamedTuple):
    """Precomputed reference: t training images and n test images with their features of d numbers."""

    network: classifier.Classifier
    pixels: np.ndarray  # [n, p] float32 in [0, 1], test
    features: np.ndarray  # [n, d] float32, test
    moments: tuple[np.ndarray, np.ndarray]  # [d], [d, d]
    radii: np.ndarray  # [n, 2] squared, for KS
    to_train: np.ndarray  # [n] squared distances to the nearest training image
    train: np.ndarray  # [t, d] float32
    spacing: np.ndarray  # [t, 1] squared distances to the nearest other training image
    clusterings: int  # for PRD


def real_of(images: data.Dataset, network: classifier.Classifier, clusterings: int) -> Real:
    features, train = network.features(images.test), network.features(images.train)
    return Real(
        network=network,
        pixels=rows_of(images.test),
        features=features,
        moments=fid.moments(features),
        radii=prdc.radii(features, KS),
        to_train=distances.nearest(features, train, 1)[0][:, 0],
        train=train,
        spacing=distances.nearest_others(train, 1)[0],
        clusterings=clusterings,
    )


def scores(real: Real, fake: np.ndarray) -> dict[str, float]:
    """All `SCORES` of images [m, H, W, C] uint8 in random order, with their own signs; NaN if all features are
    equal."""
    features, logits = real.network(fake)
    if np.array_equal(features.min(axis=0), features.max(axis=0)):  # G has collapsed on a point
        return dict.fromkeys(SCORES, math.nan)
    m, tenth = min(len(features), len(real.features)), len(real.pixels) // 10
    nearest = distances.nearest(features, real.train, 1)
    with_few_neighbours, with_more_neighbours = prdc.evaluate_each(real.features, features, KS, real_radii=real.radii)
    curve = prd.evaluate(real.features[:m], features[:m], runs=real.clusterings)
    classes = modes.count(logits.argmax(axis=1), logits.shape[1])
    values = {
        "FID": fid.from_moments(*real.moments, *fid.moments(features)),
        "KID": kid.unbiased(real.features, features),
        "1-NN": abs(neighbours.evaluate(features, real.features).accuracy - 0.5),
        "Inception Score": inception_score.evaluate(logits)[0],
        "Parzen": parzen.evaluate(rows_of(fake), real.pixels[:tenth], real.pixels[tenth:], parzen.SIGMAS).mean,
        "precision": with_few_neighbours["precision"],
        "density": with_more_neighbours["density"],
        "PRD F1/8": curve["f1_8"],
        "recall": with_few_neighbours["recall"],
        "coverage": with_more_neighbours["coverage"],
        "PRD F8": curve["f8"],
        "classes": classes["modes"],
        "KL of classes": classes["mode_kl"],
        "diversity": diversity.evaluate(real.features, features),
        "near-duplicates": birthday.evaluate(real.features, features)["near_duplicates"],
        "Z_U": memorization.z_u(real.to_train, nearest[0][:, 0]),
        "authentic": share_authentic(nearest, real.spacing),
    }
    return {name: values[name] for name in SCORES}


def higher_is_better(numbers: dict[str, float]) -> np.ndarray:
    """Scores as a row, with signs such that higher is better: [len(SCORES)]."""
    return SIGNS * np.array([numbers[name] for name in SCORES])


# --- Damage -----------------------------------------------------------------------------------------------------------


def blur(images: np.ndarray, sigma: float) -> np.ndarray:
    """Images [n, H, W, C] uint8 blurred by a Gaussian of `sigma` pixels, with edges replicated."""
    smooth = ndimage.gaussian_filter(images.astype(np.float32), (0, sigma, sigma, 0), mode="nearest")
    return np.round(smooth).astype(np.uint8)


def add_noise(images: np.ndarray, deviation: float, random: np.random.Generator) -> np.ndarray:
    """Images [n, H, W, C] uint8 with normal noise (white = 1), clipped to the range of pixels."""
    noise = 255 * deviation * random.standard_normal(images.shape, np.float32)
    return np.round(np.clip(images + noise, 0, 255)).astype(np.uint8)


def drop_classes(
    rows: np.ndarray, labels: np.ndarray, dropped: Iterable[int], random: np.random.Generator
) -> np.ndarray:
    """Replaces the rows of some classes by distinct other rows of the remaining classes.

    Args:
      rows: [n] ints, the rows of a draw.
      labels: [t] ints, the labels of all rows.
      dropped: classes.

    Raises:
      UserError: the remaining classes have fewer than n rows.
    """
    remaining = ~np.isin(labels, list(dropped))
    remaining_rows, replacements = rows[remaining[rows]], np.setdiff1d(np.flatnonzero(remaining), rows)
    missing = len(rows) - len(remaining_rows)
    if missing > len(replacements):
        raise UserError(
            f"the validation set has {remaining.sum()} images without the classes {sorted(dropped)}, and a draw needs "
            f"{len(rows)}; lower --samples."
        )
    return random.permutation(np.concatenate([remaining_rows, random.choice(replacements, missing, replace=False)]))


def replace_some(images: np.ndarray, originals: np.ndarray, share: float, random: np.random.Generator) -> np.ndarray:
    """Images [n, ...] with a random fraction of them replaced by originals [t, ...], all equally often."""
    count = round(share * len(images))
    result = images.copy()
    result[random.permutation(len(images))[:count]] = originals[np.resize(random.permutation(len(originals)), count)]
    return result


def damage(images: data.Dataset, rows: np.ndarray, name: str, strength: float, seed: int) -> np.ndarray:
    """Validation images `rows` [n] with one of `DAMAGES`: [n, H, W, C] uint8; a stronger damage includes a weaker one.

    Args:
      seed: of the draw, the same for all strengths.
    """
    random, originals = np.random.default_rng([seed, list(DAMAGES).index(name)]), images.validation[rows]
    match name:
        case "blur":
            return blur(originals, strength)
        case "noise":
            return add_noise(originals, strength, random)
        case "dropping":
            dropped = random.permutation(images.classes)[: int(strength)].tolist()
            return images.validation[drop_classes(rows, images.validation_labels, dropped, random)]
        case "repeating":
            few = random.choice(len(images.train), max(1, len(rows) // FEW), replace=False)
            return replace_some(originals, images.train[few], strength, random)
    return replace_some(originals, images.train, strength, random)


# --- Measurements -----------------------------------------------------------------------------------------------------


class Store:
    """scores.json: scores by name, stored as soon as they are computed, by one command or several."""

    def __init__(self, path: Path, about: dict[str, Any]):
        """Raises a UserError if the file holds scores of samples other than those that `about` describes."""
        self.path, self.about = path, about
        self.found = self._read()

    def _read(self) -> dict[str, dict[str, float]]:
        if not self.path.exists():
            return {}
        kept = json.loads(self.path.read_text())
        if kept["about"] != self.about:
            raise UserError(f"{self.path} holds scores of {kept['about']}, not of {self.about}; choose another --out.")
        return kept["scores"]

    def add(self, key: str, numbers: dict[str, float]) -> None:
        """Adds scores to those in the file, to which another command may have added."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with exclusive(self.path):
            self.found = self._read() | {key: numbers}
            text = json.dumps({"about": self.about, "scores": self.found}, indent=1)
            write_atomically(self.path, text.encode())


def measure_damage(
    store: Store, real: Real, images: data.Dataset, damages: Strengths, *, count: int, draws: int
) -> None:
    """Scores of each draw, unchanged and damaged, by 'damage/strength/draw'."""
    rows = np.random.default_rng(0).permutation(len(images.validation))[: draws * count].reshape(draws, count)
    for i, draw in enumerate(rows):
        if (key := f"{UNTOUCHED}/{i}") not in store.found:
            store.add(key, scores(real, images.validation[draw]))
        for name, strengths in damages.items():
            for strength in strengths:
                if (key := f"{name}/{strength}/{i}") not in store.found:
                    store.add(key, scores(real, damage(images, draw, name, strength, i)))
        print(f"damage: draw {i + 1} of {draws} scored", flush=True)


def measure_training(
    store: Store,
    real: Real,
    images: data.Dataset,
    config: ConfigDict,
    *,
    evaluations: list[int],
    seeds: int,
    count: int,
) -> None:
    """Trains a GAN with each seed and scores it at each step of `evaluations`, by 'training/seed/step'.

    A seed with a missing evaluation is trained from its beginning.
    """
    parallel.check_batch(config)
    gan = build_for(config, images)
    advance, sampler, init = parallel.make_train_steps(gan), make_sampler(gan), jax.jit(gan.init)
    train = parallel.replicate(stored_examples(gan, images))
    for seed in range(seeds):
        missing = [step for step in evaluations if f"training/{seed}/{step}" not in store.found]
        hparams = parallel.replicate(traced(update(config, {"seed": seed})))
        state = parallel.replicate(init(hparams)) if missing else None
        for before, step in pairwise([0, *missing]):
            state, _ = advance(hparams, state, train, step - before)
            samples = sampler(hparams, state, run_stream(hparams, "evaluate"), count)
            store.add(f"training/{seed}/{step}", scores(real, encode(samples, config.data.gcn, config.data.low)))
            print(f"training: seed {seed} scored at step {step:,} of {evaluations[-1]:,}", flush=True)


def evaluation_steps(steps: int, count: int) -> list[int]:
    """`count` steps, logarithmically spaced from a hundredth of `steps` to all of them, without duplicates."""
    return np.unique(np.round(np.geomspace(max(1, steps / 100), steps, count)).astype(int)).tolist()


# --- Analysis ---------------------------------------------------------------------------------------------------------


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's rank correlation over the entries [n] where both are finite; NaN if one of them is constant."""
    finite = np.isfinite(a) & np.isfinite(b)
    a, b = a[finite], b[finite]
    return float(stats.spearmanr(a, b).statistic) if len(a) > 1 and np.ptp(a) > 0 and np.ptp(b) > 0 else math.nan


class Response(NamedTuple):
    """The response of a score (higher is better) to a damage of increasing strength."""

    rank: float  # the mean over draws of its rank correlation with the strength, NaN if it never changes
    detected: list[bool]  # by strength: it is significantly lower than for unchanged images
    change: list[float]  # by strength: mean change from unchanged images, in standard deviations over draws of these
    intervals: list[tuple[float, float]]  # by strength: 90% of the mean change, paired by draw; infinite below 3 draws

    def falls_beyond(self, margin: float) -> bool:
        """Whether the score is shown to fall by more than `margin` at some strength."""
        return any(
            significant and high < -margin for significant, (_, high) in zip(self.detected, self.intervals, strict=True)
        )

    def weakest(self, strengths: Sequence[float]) -> float | None:
        """The weakest damage that the score detects."""
        return next(
            (strength for strength, significant in zip(strengths, self.detected, strict=True) if significant), None
        )


def response(y: np.ndarray) -> Response:
    """The response from y [draws, 1 + strengths]: a score (higher is better), for unchanged images first."""
    unchanged, damaged = y[:, 0], y[:, 1:]
    ranks = mean_interval([rank_correlation(np.arange(y.shape[1]), row) for row in y])
    tests = [paired_difference(column, unchanged) for column in damaged.T]
    p = holm(np.nan_to_num([test.p for test in tests], nan=1.0))
    change, deviation = damaged.mean(axis=0) - unchanged.mean(), unchanged.std(ddof=1) if len(y) > 1 else math.nan
    with np.errstate(
        divide="ignore", invalid="ignore"
    ):  # a score may be the same for every draw, such as the number of classes
        relative = np.where(change == 0, 0.0, change / deviation)
    return Response(
        ranks.mean,
        [bool(test.mean < 0 and q <= LEVEL) for test, q in zip(tests, p, strict=True)],
        relative.tolist(),
        [lab.equivalence_interval(column, unchanged) for column in damaged.T],
    )


def responses(scores: dict[str, dict[str, float]], damages: Strengths, draws: int) -> dict[str, dict[str, Response]]:
    """The responses by damage and score."""
    results = {}
    for name, strengths in damages.items():
        keys = [UNTOUCHED, *(f"{name}/{strength}" for strength in strengths)]
        y = np.array([[higher_is_better(scores[f"{key}/{i}"]) for key in keys] for i in range(draws)])
        results[name] = {score: response(y[:, :, i]) for i, score in enumerate(SCORES)}
    return results


def correlations(table: np.ndarray) -> np.ndarray:
    """Rank correlations [k, k] of the columns of a table [evaluations, k]."""
    return np.array([[rank_correlation(a, b) for b in table.T] for a in table.T])


def agreement(
    scores: dict[str, dict[str, float]], evaluations: list[int], seeds: int
) -> dict[tuple[str, str], MeanInterval]:
    """The mean over seeds of the rank correlations during training, by pairs of STEP and SCORES."""
    names, matrices = [STEP, *SCORES], []
    for seed in range(seeds):
        table = [[step, *higher_is_better(scores[f"training/{seed}/{step}"])] for step in evaluations]
        matrices.append(correlations(np.array(table)))
    by_pair = np.moveaxis(np.array(matrices), 0, -1)
    return {(a, b): cut(mean_interval(by_pair[i, j])) for i, a in enumerate(names) for j, b in enumerate(names)}


def cut(mean: MeanInterval) -> MeanInterval:
    """The interval of a mean correlation, clipped to [-1, 1]."""
    return mean._replace(low=max(-1.0, mean.low), high=min(1.0, mean.high)) if mean.n > 1 else mean


def verdicts(responses: dict[str, dict[str, Response]]) -> dict[str, bool | None]:
    """The verdict on each expectation; None if these draws do not decide.

    That a damage is detected is shown by a test; failing to detect one shows nothing. That a score does not change is
    shown by equivalence, within a margin. It cannot be shown that copying does not affect a score at all, but it can be
    shown that the score falls less than if one class is dropped.
    """
    detected = {
        damage: {name for name, one in by_score.items() if any(one.detected)} for damage, by_score in responses.items()
    }
    others = set(detected) - {"copying"}
    dropping, copying = responses["dropping"], responses["copying"]
    blind = [dropping[name] for name in ("precision", "density")]
    mild = [(*copied, *dropping[name].intervals[0]) for name in ("FID", "KID") for copied in copying[name].intervals]
    return {
        "FID and KID detect all but copying": all({"FID", "KID"} <= detected[damage] for damage in others) or None,
        "... and fall less by copying than by a dropped class": lab.decide(
            all(low > most for low, _, _, most in mild), any(high < least for _, high, least, _ in mild)
        ),
        f"precision and density change by under {MARGIN} by dropping": lab.decide(
            all(lab.is_equivalent(one.intervals, MARGIN) for one in blind),
            any(one.falls_beyond(MARGIN) for one in blind),
        ),
        "recall, coverage and F8 detect dropping": {"recall", "coverage", "PRD F8"} <= detected["dropping"] or None,
        "Z_U and the authentic fraction detect copying": {"Z_U", "authentic"} <= detected["copying"] or None,
        "... and they alone": None if detected["copying"] <= {"Z_U", "authentic"} else False,
    }


# --- Tables and picture -----------------------------------------------------------------------------------------------


def damage_table(responses: dict[str, dict[str, Response]], damages: Strengths) -> Iterator[str]:
    """Per score and damage, the weakest strength detected and, in brackets, the rank correlation with the strength."""
    yield "weakest damage detected (-: none), and rank correlation of the score (higher is better) with the strength"
    yield f"{'':18}" + "".join(f"{f'{name}, {UNITS[name]}':>20}" for name in damages)
    for score in SCORES:
        cells = []
        for name, strengths in damages.items():
            response = responses[name][score]
            weakest = response.weakest(strengths)
            rank = "same" if math.isnan(response.rank) else f"{response.rank:+.2f}"
            cells.append(f"{'-' if weakest is None else f'{weakest:g}'} ({rank})")
        yield f"{score:18}" + "".join(f"{cell:>20}" for cell in cells)


def agreement_table(correlations: dict[tuple[str, str], MeanInterval]) -> Iterator[str]:
    """Per score, its rank correlation with the step and with FID during training, and the score most unlike it."""
    yield "rank correlation during training, mean and 95% interval over seeds"
    yield f"{'':18}{'with the step':>24}{'with FID':>24}   most like              least like"
    for score in SCORES:
        with_others = {
            b: mean.mean for (a, b), mean in correlations.items() if a == score and b not in (score, STEP) and mean.n
        }
        ends = (
            [
                f"{name} {with_others[name]:+.2f}"
                for name in (max(with_others, key=with_others.get), min(with_others, key=with_others.get))
            ]
            if with_others
            else ["-", "-"]
        )
        cells = [correlations[score, other].text(2) for other in (STEP, "FID")]
        yield f"{score:18}{cells[0]:>24}{cells[1]:>24}   {ends[0]:23}{ends[1]}"


def picture(
    damage: dict[str, dict[str, Response]],
    damages: Strengths,
    training: dict[tuple[str, str], MeanInterval],
    steps: int,
) -> bytes:
    """Heat maps of the scores' responses to damage and of their agreement during training."""
    figure = plots.new_figure(20, 8.5)
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
    draw_damage(left, damage, damages)
    draw_agreement(right, training, steps)
    return plots.figure_png(figure)


def draw_damage(axis: Axes, responses: dict[str, dict[str, Response]], damages: Strengths) -> None:
    change = np.array([[x for name in damages for x in responses[name][score].change] for score in SCORES])
    detected = np.array([[x for name in damages for x in responses[name][score].detected] for score in SCORES])
    image = axis.imshow(
        np.clip(np.nan_to_num(change, nan=0.0), -100, 100),
        cmap="RdBu",
        norm=SymLogNorm(2, vmin=-100, vmax=100),
        aspect="auto",
    )
    y, x = np.nonzero(detected)
    axis.plot(x, y, "o", color="black", markersize=4)
    edges = np.cumsum([0, *(len(strengths) for strengths in damages.values())])
    for name, start, end in zip(damages, edges[:-1], edges[1:], strict=True):
        axis.text((start + end - 1) / 2, -0.7, f"{name}\n({UNITS[name]})", ha="center", va="bottom")
        axis.axvline(end - 0.5, color="white", linewidth=4)
    strengths = [f"{strength:g}" for some in damages.values() for strength in some]
    axis.set_xticks(range(len(strengths)), strengths, rotation=60, fontsize=8)
    axis.set_yticks(range(len(SCORES)), list(SCORES))
    axis.set_xlabel("strength of the damage")
    axis.set_title("Damaged images in place of samples (dot: significantly worse than unchanged images)", pad=42)
    bar = axis.figure.colorbar(image, ax=axis, ticks=(-100, -10, -2, 0, 2, 10, 100), pad=0.01)
    bar.ax.set_yticklabels(["-100 or worse", "-10", "-2", "0", "2", "10", "100 or better"])
    bar.set_label("change of the score, in standard deviations over unchanged draws; red is worse")


def draw_agreement(axis: Axes, correlations: dict[tuple[str, str], MeanInterval], steps: int) -> None:
    names = [STEP, *SCORES]
    matrix = np.array([[correlations[a, b].mean for b in names] for a in names])
    image = axis.imshow(np.ma.masked_invalid(matrix), cmap="RdBu", vmin=-1, vmax=1, aspect="auto")
    axis.set_facecolor("lightgrey")  # for scores that never change
    for (i, j), x in np.ndenumerate(matrix):
        if np.isfinite(x):
            axis.text(j, i, f"{x:.1f}".replace("-0.0", "0.0"), ha="center", va="center", fontsize=7,
                      color="white" if abs(x) > 0.7 else "black")  # fmt: skip
    axis.set_xticks(range(len(names)), names, rotation=60, ha="right", rotation_mode="anchor")
    axis.set_yticks(range(len(names)), names)
    axis.set_title(f"Training of a DCGAN to step {steps:,}: do scores rise together? (grey: one never changed)")
    bar = axis.figure.colorbar(image, ax=axis, pad=0.01)
    bar.set_label("rank correlation over evaluations, with signs such that higher is better")


# --- The command ------------------------------------------------------------------------------------------------------


def base(quick: bool) -> ConfigDict:
    """The recipe; with --quick small, on digits of 8x8 pixels."""
    config = dcgan_mnist.get_config()
    small = {
        "data.name": "digits",
        "data.validation": 200,
        "generator.widths": (16, 8),
        "discriminator.widths": (8, 16),
    }
    return update(config, small) if quick else config


def main() -> None:
    parser = lab.make_parser("metric_agreement", __doc__, quick="a small DCGAN on scikit-learn's digits")
    parser.add_argument("--steps", type=int, help="default: 2,000; quick: 300")
    parser.add_argument("--seeds", type=int, help="seeds of the DCGAN (default: 3; quick: 2)")
    parser.add_argument("--evaluations", "--looks", type=int, help="evaluations per DCGAN (default: 10; quick: 4)")
    parser.add_argument("--samples", type=int, help="samples per evaluation (default: 2,000; quick: 50)")
    parser.add_argument("--draws", type=int, help="draws of validation images (default: 5; quick: 3)")
    sizes = {"steps": (2000, 300), "seeds": (3, 2), "evaluations": (10, 4), "samples": (2000, 50), "draws": (5, 3)}
    flags = lab.parse(parser, out=("runs/metric_agreement", "runs/metric_agreement_quick"), **sizes)
    n, out = {name: getattr(flags, name) for name in sizes}, flags.out
    config = base(flags.quick)
    if min(n.values()) < 1 or n["samples"] < prd.CLUSTERS or n["samples"] * n["draws"] > config.data.validation:
        raise UserError(
            f"--steps={n['steps']}, --seeds={n['seeds']} and --evaluations={n['evaluations']} must be 1 or more, "
            f"--samples={n['samples']} must be {prd.CLUSTERS} or more, and --draws={n['draws']} times that at most the "
            f"{config.data.validation} validation images."
        )
    damages = {name: strengths[1::2] if flags.quick else strengths for name, strengths in DAMAGES.items()}

    store = Store(out / "scores.json", {"data": config.data.name, "samples": n["samples"]})
    images = data.load(config.data)
    examples = QUICK_EXAMPLES if flags.quick else classifier.EXAMPLES
    clusterings = QUICK_CLUSTERINGS if flags.quick else CLUSTERINGS
    real = real_of(images, classifier.load_or_train(images, examples=examples), clusterings)
    evaluations = evaluation_steps(n["steps"], n["evaluations"])
    measure_damage(store, real, images, damages, count=n["samples"], draws=n["draws"])
    measure_training(store, real, images, config, evaluations=evaluations, seeds=n["seeds"], count=n["samples"])

    damage, training = responses(store.found, damages, n["draws"]), agreement(store.found, evaluations, n["seeds"])
    print("\n" + "\n".join(damage_table(damage, damages)) + "\n\n" + "\n".join(agreement_table(training)) + "\n")
    held = verdicts(damage)
    result = n | {
        "evaluations": evaluations,
        "strengths": damages,
        "damage": {name: {score: one._asdict() for score, one in some.items()} for name, some in damage.items()},
        "training": {f"{a}, {b}": mean._asdict() for (a, b), mean in training.items()},
    }
    lab.finish(out, result, {"metric_agreement": picture(damage, damages, training, n["steps"])}, held)


if __name__ == "__main__":
    lab.run(main)
