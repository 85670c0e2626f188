"""Which metric detects which damage, and which metrics agree while a GAN learns?

    python -m experiments.metric_agreement [--quick] [--out=runs/metric_agreement] [--steps=2000] [--seeds=3]
        [--looks=10] [--samples=2000] [--draws=5]

Every score of this package that takes arrays, on the features of the classifier of MNIST's labels, against the 10,000
test images and the training images. Each is turned so that higher is better. The idea of damage at several strengths
is that of arXiv:1706.08500 (its figure of FID under disturbances; quoted from memory).

1. Damage. Validation images in place of samples, in 5 disjoint draws, as they are and with

    blur        a Gaussian of so many pixels
    noise       a normal number on each pixel, of this deviation where white is 1
    dropping    so many classes left out, of each draw others; images of the classes that are kept take their place
    repeating   this share of them replaced by copies of a few training images, a twentieth as many as samples
    copying     this share of them replaced by different training images

   For each score its rank correlation with the strength (Spearman, 0 being untouched; the mean over draws; -1: it falls
   at every step) and the weakest damage that it notices: lower than untouched by a t-test paired by draw, at 5%
   corrected by Holm for the strengths.
2. Training. configs/dcgan_mnist.py, looked at 10 times, from a hundredth of the steps to all of them, evenly spaced in
   their logarithm: rank correlations of all scores with each other and with the step, over the looks of a seed; means
   over seeds with 95% t intervals.

Scores: precision and recall with k = 3, density and coverage with k = 5; Inception Score on the classifier's logits;
PRD over 3 clusterings (the paper: 10); Parzen log-likelihood in pixels, its width chosen on a tenth of the test images;
1-NN accuracy by its distance from 1/2; Z_U and the authentic share as in experiments/memorization.py. "Higher is
better" is a convention for density, diversity and Z_U, of which more is not always better: a rise with the damage tells
as much as a fall.

Expected: FID and KID notice everything but copying. Precision and density are blind to dropping, which recall, coverage
and F8 notice. Z_U and the authentic share notice copying, and they alone. That a score is blind is an equivalence: the
90% t interval of its change, paired by draw, is within .05 at every strength (TOST); that FID and KID do not mind
copies: their 90% intervals are above those of one dropped class. What is only not noticed is undecided.
Written to --out: metric_agreement.png, result.json, and scores.json, whose scores are not computed again; a seed
that lacks an evaluation is trained from its beginning.
Not run at its default size yet. Measured with --steps=1000 --seeds=2 --looks=6 --samples=1000 --draws=3, 827 s of CPU
time, two cores of an AMD EPYC (Zen 3), busy with other work, 2026-11-26. FID and KID notice
.5 pixels of blur, noise of .05, one dropped class, and a share of .3 of repeated images (FID and KID fall there in no
strict order, -.68), and no copies. Recall and Inception Score notice noise of .02. Precision and density notice noise
only from .4, and were not found to notice dropping; density notices repeating at .05. Copies of a share of .05 are
noticed by Z_U and the authentic share; no other score was found to notice them. With 3 draws most falls of two standard
deviations are missed, so this is no finding: blindness to dropping, or to copying, is undecided at this size.

Over training FID agrees with KID (.97), coverage (.97) and F8 (.97), and with the step by .83. Precision runs against
the step (-.88 [-1.00, -.05]) and against recall (-.98): the first samples, all alike, have the highest. Two seeds: most
of the intervals are wide.
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

KS = (3, 5)  # nearest neighbours: of precision and recall, of density and coverage
FEW = 20  # samples for each image that `repeating` copies
CLUSTERINGS = 3  # that PRD is the mean of; the paper's 10 would take most of the time
QUICK_EXAMPLES, QUICK_CLUSTERINGS = 20_000, 1  # --quick: that the classifier is trained on, and of PRD
MARGIN = 0.05  # a smaller change of precision or density, which are about 1 for real images, counts as none
UNTOUCHED = "untouched/0"
STEP = "step"

# The scores, and which way each is better.
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

Strengths = Mapping[str, Sequence[float]]  # of each damage, weakest first
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
    radii: np.ndarray  # [n, 2] squared, of KS
    to_train: np.ndarray  # [n] squared distances to the nearest training image
    train: np.ndarray  # [t, d] float32
    spacing: np.ndarray  # [t, 1] squared distances to the nearest other training image
    clusterings: int  # of PRD


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
    """All `SCORES` of images [m, H, W, C] uint8 in random order, in their own signs; NaN if all features are equal."""
    features, logits = real.network(fake)
    if np.array_equal(features.min(axis=0), features.max(axis=0)):  # G has collapsed on a point
        return dict.fromkeys(SCORES, math.nan)
    m, tenth = min(len(features), len(real.features)), len(real.pixels) // 10
    nearest = distances.nearest(features, real.train, 1)
    sharp, spread = prdc.evaluate_each(real.features, features, KS, real_radii=real.radii)
    curve = prd.evaluate(real.features[:m], features[:m], runs=real.clusterings)
    classes = modes.count(logits.argmax(axis=1), logits.shape[1])
    found = {
        "FID": fid.from_moments(*real.moments, *fid.moments(features)),
        "KID": kid.unbiased(real.features, features),
        "1-NN": abs(neighbours.evaluate(features, real.features).accuracy - 0.5),
        "Inception Score": inception_score.evaluate(logits)[0],
        "Parzen": parzen.evaluate(rows_of(fake), real.pixels[:tenth], real.pixels[tenth:], parzen.SIGMAS).mean,
        "precision": sharp["precision"],
        "density": spread["density"],
        "PRD F1/8": curve["f1_8"],
        "recall": sharp["recall"],
        "coverage": spread["coverage"],
        "PRD F8": curve["f8"],
        "classes": classes["modes"],
        "KL of classes": classes["mode_kl"],
        "diversity": diversity.evaluate(real.features, features),
        "near-duplicates": birthday.evaluate(real.features, features)["near_duplicates"],
        "Z_U": memorization.z_u(real.to_train, nearest[0][:, 0]),
        "authentic": share_authentic(nearest, real.spacing),
    }
    return {name: found[name] for name in SCORES}


def turned(numbers: dict[str, float]) -> np.ndarray:
    """Scores as a row with signs such that higher is better: [len(SCORES)]."""
    return SIGNS * np.array([numbers[name] for name in SCORES])


# --- Damage -----------------------------------------------------------------------------------------------------------


def blurred(images: np.ndarray, sigma: float) -> np.ndarray:
    """Images [n, H, W, C] uint8 blurred by a Gaussian of `sigma` pixels, with edges replicated."""
    smooth = ndimage.gaussian_filter(images.astype(np.float32), (0, sigma, sigma, 0), mode="nearest")
    return np.round(smooth).astype(np.uint8)


def noisy(images: np.ndarray, deviation: float, random: np.random.Generator) -> np.ndarray:
    """Images [n, H, W, C] uint8 with normal noise (white = 1), clipped to the range of pixels."""
    noise = 255 * deviation * random.standard_normal(images.shape, np.float32)
    return np.round(np.clip(images + noise, 0, 255)).astype(np.uint8)


def without(rows: np.ndarray, labels: np.ndarray, gone: Iterable[int], random: np.random.Generator) -> np.ndarray:
    """Replaces the rows of some classes by distinct other rows of the remaining classes.

    Args:
      rows: [n] ints, of a draw; labels: [t] ints, of all rows that there are; gone: classes.

    Raises:
      UserError: the classes that are kept have fewer than n rows.
    """
    kept = ~np.isin(labels, list(gone))
    own, others = rows[kept[rows]], np.setdiff1d(np.flatnonzero(kept), rows)
    missing = len(rows) - len(own)
    if missing > len(others):
        raise UserError(
            f"the validation set has {kept.sum()} images without the classes {sorted(gone)}, and a draw needs "
            f"{len(rows)}; lower --samples."
        )
    return random.permutation(np.concatenate([own, random.choice(others, missing, replace=False)]))


def replaced(images: np.ndarray, originals: np.ndarray, share: float, random: np.random.Generator) -> np.ndarray:
    """Images [n, ...] with a random fraction of them replaced by originals [t, ...], all equally often."""
    count = round(share * len(images))
    found = images.copy()
    found[random.permutation(len(images))[:count]] = originals[np.resize(random.permutation(len(originals)), count)]
    return found


def damaged(images: data.Dataset, rows: np.ndarray, name: str, strength: float, seed: int) -> np.ndarray:
    """Validation images `rows` [n] with one of `DAMAGES`: [n, H, W, C] uint8; a stronger damage includes a weaker one.

    Args:
      seed: of a draw, the same for all strengths.
    """
    random, draw = np.random.default_rng([seed, list(DAMAGES).index(name)]), images.validation[rows]
    match name:
        case "blur":
            return blurred(draw, strength)
        case "noise":
            return noisy(draw, strength, random)
        case "dropping":
            gone = random.permutation(images.classes)[: int(strength)].tolist()
            return images.validation[without(rows, images.validation_labels, gone, random)]
        case "repeating":
            few = random.choice(len(images.train), max(1, len(rows) // FEW), replace=False)
            return replaced(draw, images.train[few], strength, random)
    return replaced(draw, images.train, strength, random)


# --- Measurements -----------------------------------------------------------------------------------------------------


class Store:
    """scores.json: scores by name, stored as soon as they are computed, by one command or several."""

    def __init__(self, path: Path, about: dict[str, Any]):
        """Raises a UserError if the file holds scores of other samples than `about` says."""
        self.path, self.about = path, about
        self.found = self._read()

    def _read(self) -> dict[str, dict[str, float]]:
        if not self.path.exists():
            return {}
        kept = json.loads(self.path.read_text())
        if kept["about"] != self.about:
            raise UserError(f"{self.path} holds scores of {kept['about']}, not of {self.about}; take another --out.")
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
    """Scores of each draw, untouched and damaged, by 'damage/strength/draw'."""
    rows = np.random.default_rng(0).permutation(len(images.validation))[: draws * count].reshape(draws, count)
    for i, draw in enumerate(rows):
        if (key := f"{UNTOUCHED}/{i}") not in store.found:
            store.add(key, scores(real, images.validation[draw]))
        for name, strengths in damages.items():
            for strength in strengths:
                if (key := f"{name}/{strength}/{i}") not in store.found:
                    store.add(key, scores(real, damaged(images, draw, name, strength, i)))
        print(f"damage: draw {i + 1} of {draws} scored", flush=True)


def measure_training(
    store: Store, real: Real, images: data.Dataset, config: ConfigDict, *, looks: list[int], seeds: int, count: int
) -> None:
    """Trains a GAN with each seed and evaluates it at each of `looks`, by 'training/seed/step'.

    A seed whose looks are not all there is trained from its beginning.
    """
    parallel.check_batch(config)
    gan = build_for(config, images)
    advance, draw, init = parallel.make_train_steps(gan), make_sampler(gan), jax.jit(gan.init)
    train = parallel.replicate(stored_examples(gan, images))
    for seed in range(seeds):
        missing = [step for step in looks if f"training/{seed}/{step}" not in store.found]
        hparams = parallel.replicate(traced(update(config, {"seed": seed})))
        state = parallel.replicate(init(hparams)) if missing else None
        for before, step in pairwise([0, *missing]):
            state, _ = advance(hparams, state, train, step - before)
            samples = draw(hparams, state, run_stream(hparams, "evaluate"), count)
            store.add(f"training/{seed}/{step}", scores(real, encode(samples, config.data.gcn, config.data.low)))
            print(f"training: seed {seed} scored at step {step:,} of {looks[-1]:,}", flush=True)


def looks_of(steps: int, count: int) -> list[int]:
    """`count` steps, logarithmically spaced from a hundredth of all to all, without duplicates."""
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
    noticed: list[bool]  # by strength: it is lower than of untouched images, beyond chance
    change: list[float]  # by strength: mean change from untouched images, in standard deviations of draws of these
    intervals: list[tuple[float, float]]  # by strength: 90% of the mean change, paired by draw; infinite under 3 draws

    def falls_beyond(self, margin: float) -> bool:
        """Whether the score is shown to fall by more than `margin` at some strength."""
        return any(yes and high < -margin for yes, (_, high) in zip(self.noticed, self.intervals, strict=True))

    def weakest(self, strengths: Sequence[float]) -> float | None:
        """The weakest damage that the score detects."""
        return next((strength for strength, yes in zip(strengths, self.noticed, strict=True) if yes), None)


def response(y: np.ndarray) -> Response:
    """The response from y [draws, 1 + strengths]: a score, higher is better, of untouched images first."""
    untouched, others = y[:, 0], y[:, 1:]
    ranks = mean_interval([rank_correlation(np.arange(y.shape[1]), row) for row in y])
    tests = [paired_difference(column, untouched) for column in others.T]
    p = holm(np.nan_to_num([test.p for test in tests], nan=1.0))
    change, deviation = others.mean(axis=0) - untouched.mean(), untouched.std(ddof=1) if len(y) > 1 else math.nan
    with np.errstate(
        divide="ignore", invalid="ignore"
    ):  # a score that is the same for every draw: the count of classes
        relative = np.where(change == 0, 0.0, change / deviation)
    return Response(
        ranks.mean,
        [bool(test.mean < 0 and q <= LEVEL) for test, q in zip(tests, p, strict=True)],
        relative.tolist(),
        [lab.equivalence_interval(column, untouched) for column in others.T],
    )


def responses(found: dict[str, dict[str, float]], damages: Strengths, draws: int) -> dict[str, dict[str, Response]]:
    """The responses by damage and score."""
    answer = {}
    for name, strengths in damages.items():
        places = [UNTOUCHED, *(f"{name}/{strength}" for strength in strengths)]
        y = np.array([[turned(found[f"{place}/{i}"]) for place in places] for i in range(draws)])
        answer[name] = {score: response(y[:, :, i]) for i, score in enumerate(SCORES)}
    return answer


def correlations(table: np.ndarray) -> np.ndarray:
    """Rank correlations [k, k] of the columns of a table [looks, k]."""
    return np.array([[rank_correlation(a, b) for b in table.T] for a in table.T])


def agreement(found: dict[str, dict[str, float]], looks: list[int], seeds: int) -> dict[tuple[str, str], MeanInterval]:
    """The mean over seeds of the rank correlations during training, by pairs of STEP and SCORES."""
    names, matrices = [STEP, *SCORES], []
    for seed in range(seeds):
        table = [[step, *turned(found[f"training/{seed}/{step}"])] for step in looks]
        matrices.append(correlations(np.array(table)))
    by_pair = np.moveaxis(np.array(matrices), 0, -1)
    return {(a, b): cut(mean_interval(by_pair[i, j])) for i, a in enumerate(names) for j, b in enumerate(names)}


def cut(mean: MeanInterval) -> MeanInterval:
    """The interval of a mean correlation, clipped to [-1, 1]."""
    return mean._replace(low=max(-1.0, mean.low), high=min(1.0, mean.high)) if mean.n > 1 else mean


def verdicts(found: dict[str, dict[str, Response]]) -> dict[str, bool | None]:
    """The verdict on each expectation; None if these draws do not decide.

    That a damage is noticed is shown by a test; that one was not noticed shows nothing. That scores stay as they are is
    shown by equivalence, within a margin. That a score is untouched by copying is too much to show; that it falls less
    than where one class is dropped is not.
    """
    sees = {damage: {name for name, one in by_score.items() if any(one.noticed)} for damage, by_score in found.items()}
    others = set(sees) - {"copying"}
    dropping, copying = found["dropping"], found["copying"]
    blind = [dropping[name] for name in ("precision", "density")]
    milder = [(*copied, *dropping[name].intervals[0]) for name in ("FID", "KID") for copied in copying[name].intervals]
    return {
        "FID and KID notice all but copying": all({"FID", "KID"} <= sees[damage] for damage in others) or None,
        "... and fall less by copying than by a dropped class": lab.decide(
            all(low > most for low, _, _, most in milder), any(high < least for _, high, least, _ in milder)
        ),
        f"precision and density change by under {MARGIN} by dropping": lab.decide(
            all(lab.is_equivalent(one.intervals, MARGIN) for one in blind),
            any(one.falls_beyond(MARGIN) for one in blind),
        ),
        "recall, coverage and F8 notice dropping": {"recall", "coverage", "PRD F8"} <= sees["dropping"] or None,
        "Z_U and the authentic share notice copying": {"Z_U", "authentic"} <= sees["copying"] or None,
        "... and they alone": None if sees["copying"] <= {"Z_U", "authentic"} else False,
    }


# --- Tables and picture -----------------------------------------------------------------------------------------------


def damage_table(found: dict[str, dict[str, Response]], damages: Strengths) -> Iterator[str]:
    """Per score and damage, the weakest strength detected and, in brackets, the rank correlation with the strength."""
    yield "weakest damage noticed (-: none), and rank correlation of the score, higher is better, with the strength"
    yield f"{'':18}" + "".join(f"{f'{name}, {UNITS[name]}':>20}" for name in damages)
    for score in SCORES:
        cells = []
        for name, strengths in damages.items():
            one = found[name][score]
            weakest = one.weakest(strengths)
            rank = "same" if math.isnan(one.rank) else f"{one.rank:+.2f}"
            cells.append(f"{'-' if weakest is None else f'{weakest:g}'} ({rank})")
        yield f"{score:18}" + "".join(f"{cell:>20}" for cell in cells)


def agreement_table(found: dict[tuple[str, str], MeanInterval]) -> Iterator[str]:
    """Per score, its rank correlation with the step and with FID during training, and the score most unlike it."""
    yield "rank correlation over training, mean and 95% interval over seeds"
    yield f"{'':18}{'with the step':>24}{'with FID':>24}   most like              least like"
    for score in SCORES:
        others = {b: mean.mean for (a, b), mean in found.items() if a == score and b not in (score, STEP) and mean.n}
        ends = (
            [f"{name} {others[name]:+.2f}" for name in (max(others, key=others.get), min(others, key=others.get))]
            if others
            else ["-", "-"]
        )
        cells = [found[score, other].text(2) for other in (STEP, "FID")]
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


def draw_damage(axis: Axes, found: dict[str, dict[str, Response]], damages: Strengths) -> None:
    change = np.array([[x for name in damages for x in found[name][score].change] for score in SCORES])
    seen = np.array([[x for name in damages for x in found[name][score].noticed] for score in SCORES])
    image = axis.imshow(
        np.clip(np.nan_to_num(change, nan=0.0), -100, 100),
        cmap="RdBu",
        norm=SymLogNorm(2, vmin=-100, vmax=100),
        aspect="auto",
    )
    y, x = np.nonzero(seen)
    axis.plot(x, y, "o", color="black", markersize=4)
    edges = np.cumsum([0, *(len(strengths) for strengths in damages.values())])
    for name, start, end in zip(damages, edges[:-1], edges[1:], strict=True):
        axis.text((start + end - 1) / 2, -0.7, f"{name}\n({UNITS[name]})", ha="center", va="bottom")
        axis.axvline(end - 0.5, color="white", linewidth=4)
    strengths = [f"{strength:g}" for some in damages.values() for strength in some]
    axis.set_xticks(range(len(strengths)), strengths, rotation=60, fontsize=8)
    axis.set_yticks(range(len(SCORES)), list(SCORES))
    axis.set_xlabel("strength of the damage")
    axis.set_title("Damaged images in place of samples (dot: worse than untouched, beyond chance)", pad=42)
    bar = axis.figure.colorbar(image, ax=axis, ticks=(-100, -10, -2, 0, 2, 10, 100), pad=0.01)
    bar.ax.set_yticklabels(["-100 or worse", "-10", "-2", "0", "2", "10", "100 or better"])
    bar.set_label("change of the score, in standard deviations of untouched draws; red is worse")


def draw_agreement(axis: Axes, found: dict[tuple[str, str], MeanInterval], steps: int) -> None:
    names = [STEP, *SCORES]
    matrix = np.array([[found[a, b].mean for b in names] for a in names])
    image = axis.imshow(np.ma.masked_invalid(matrix), cmap="RdBu", vmin=-1, vmax=1, aspect="auto")
    axis.set_facecolor("lightgrey")  # of scores that never change
    for (i, j), x in np.ndenumerate(matrix):
        if np.isfinite(x):
            axis.text(j, i, f"{x:.1f}".replace("-0.0", "0.0"), ha="center", va="center", fontsize=7,
                      color="white" if abs(x) > 0.7 else "black")  # fmt: skip
    axis.set_xticks(range(len(names)), names, rotation=60, ha="right", rotation_mode="anchor")
    axis.set_yticks(range(len(names)), names)
    axis.set_title(f"A DCGAN's training to step {steps:,}: do scores rise together? (grey: one never changed)")
    bar = axis.figure.colorbar(image, ax=axis, pad=0.01)
    bar.set_label("rank correlation over looks, every score turned so that higher is better")


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
    parser.add_argument("--looks", type=int, help="evaluations per DCGAN (default: 10; quick: 4)")
    parser.add_argument("--samples", type=int, help="samples per evaluation (default: 2,000; quick: 50)")
    parser.add_argument("--draws", type=int, help="draws of validation images (default: 5; quick: 3)")
    sizes = {"steps": (2000, 300), "seeds": (3, 2), "looks": (10, 4), "samples": (2000, 50), "draws": (5, 3)}
    flags = lab.parse(parser, out=("runs/metric_agreement", "runs/metric_agreement_quick"), **sizes)
    n, out = {name: getattr(flags, name) for name in sizes}, flags.out
    config = base(flags.quick)
    if min(n.values()) < 1 or n["samples"] < prd.CLUSTERS or n["samples"] * n["draws"] > config.data.validation:
        raise UserError(
            f"--steps={n['steps']}, --seeds={n['seeds']}, --looks={n['looks']} must be 1 or more, and --draws="
            f"{n['draws']} of --samples={n['samples']}, {prd.CLUSTERS} or more, at most {config.data.validation} "
            f"validation images together."
        )
    damages = {name: strengths[1::2] if flags.quick else strengths for name, strengths in DAMAGES.items()}

    store = Store(out / "scores.json", {"data": config.data.name, "samples": n["samples"]})
    images = data.load(config.data)
    examples = QUICK_EXAMPLES if flags.quick else classifier.EXAMPLES
    clusterings = QUICK_CLUSTERINGS if flags.quick else CLUSTERINGS
    real = real_of(images, classifier.load_or_train(images, examples=examples), clusterings)
    looks = looks_of(n["steps"], n["looks"])
    measure_damage(store, real, images, damages, count=n["samples"], draws=n["draws"])
    measure_training(store, real, images, config, looks=looks, seeds=n["seeds"], count=n["samples"])

    damage, training = responses(store.found, damages, n["draws"]), agreement(store.found, looks, n["seeds"])
    print("\n" + "\n".join(damage_table(damage, damages)) + "\n\n" + "\n".join(agreement_table(training)) + "\n")
    held = verdicts(damage)
    result = n | {
        "looks": looks,
        "strengths": damages,
        "damage": {name: {score: one._asdict() for score, one in some.items()} for name, some in damage.items()},
        "training": {f"{a}, {b}": mean._asdict() for (a, b), mean in training.items()},
    }
    lab.finish(out, result, {"metric_agreement": picture(damage, damages, training, n["steps"])}, held)


if __name__ == "__main__":
    lab.run(main)
