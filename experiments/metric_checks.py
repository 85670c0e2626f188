"""Precision, recall, density and coverage under fifteen checks that a measure of fidelity or diversity should pass.

    python -m experiments.metric_checks [--quick] [--out=runs/metric_checks] [--check mean_shift ...] [--repeats=10]

Claim (Raisa, van Breugel and van der Schaar, arXiv:2505.22450, tables 3 and 4): each of the four fails many of them. A
check varies a model's distribution relative to the data's (a shift, a scale, dropped modes, a number of samples) and
tests two properties of a metric along the way: `bounds`, its value where this is known (near 1 if the two are
indistinguishable, near 0 if they are disjoint), and a shape. That makes 30 rows of four cells. `Check.published` has
the verdicts by dimension behind these cells, from the outputs of the authors' notebook: an error of an implementation
shows up as a changed cell, even if the paper's verdict is a failure.

As published: 1,000 real and 1,000 fake examples unless stated otherwise, standardized by the mean and standard
deviation of the real ones, 10 repeats, verdicts on the means over repeats; closed balls (`strict=False`), k = 3 for
precision and recall, and for density and coverage the smallest k whose expected coverage exceeds .95, which is 5.
"Near" means within .05. The random numbers are not the authors', so a verdict whose mean is close to a limit may change
by chance: for each one that differs, the fraction of resampled repeats that would give the published one is reported.

Letters: T passes, F fails, and for two checks of diversity H or L: passes as a metric that does not, or does, penalize
fakes that are spread too widely. A dash: not applicable.

Expected: the 30 rows as published.
Written to --out: metric_checks.png, result.json (means and standard deviations per point), and parts/ (results that a
repeated command reuses).
Measured, 10 repeats, 859 s of CPU time on two cores of an AMD EPYC (Zen 3) that were busy with other work, 2026-11-26:
116 of the 120 cells are as published. The mean of each of the other four is close to its limit; with the fraction of
resampled repeats that give the published letter, they are: modes dropped, then invented, shape, coverage T instead of F
(48%); scale of one dimension, bounds, precision T instead of F (16%) and recall F instead of T (33%); mean shift,
Pareto, bounds, precision T instead of F (3%). Behind cells that agree, six verdicts for a single dimension differ,
among them density over modes dropped together: it is flat at 1, with a standard error of .01 to .02 at each of 50
points, and whether all of them stay near 1 is chance (T instead of F at d = 8, F instead of T at 64).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from experiments import lab
from jaxgan.errors import UserError
from jaxgan.files import write_atomically
from jaxgan.metrics import prdc
from jaxgan.run.plots import LINES, figure_png, new_figure

N = 1000
METRICS = ("precision", "recall", "density", "coverage")  # of fidelity, diversity, fidelity, diversity
NEAR = 0.05
COVERAGE = 0.95  # expected coverage of equal distributions that the k of density and coverage has to exceed
MOST_K = 20
RESAMPLES = 1000

Random = np.random.Generator
Points = Iterator[tuple[str, float, np.ndarray, np.ndarray]]  # group, x coordinate, real [n, d], fake [m, d]
Criterion = Callable[[np.ndarray], bool | str]  # of a metric at the points of a group, in their order


# --- Criteria ---------------------------------------------------------------------------------------------------------


def near(i: int, target: float) -> Criterion:
    """The value at point i is near the target."""
    return lambda y: bool(target - NEAR <= y[i] <= target + NEAR)


def wide(i: int) -> Criterion:
    """At point i, where fakes are spread too widely, a measure of diversity is near 1 ('high') or near 0 ('low')."""
    return lambda y: "high" if near(i, 1)(y) else "low" if near(i, 0)(y) else False


def bell(y: np.ndarray) -> bool:
    """High in the middle, low at both ends."""
    middle = y[len(y) // 2]
    ends = min(y[0], y[-1])
    return bool(middle - max(y[0], y[-1]) >= 0.2 and y.max() - middle <= 0.1 and ends - y.min() <= 0.1)


def falls(y: np.ndarray) -> bool:
    """High at the left end, low at the right end."""
    return bool(y[0] - y[-1] >= 0.2 and y.max() - y[0] <= 0.1 and y[-1] - y.min() <= 0.1)


def rises(y: np.ndarray) -> bool:
    return falls(y[::-1])


def falls_by(i: int) -> Criterion:
    """`falls`, by at least .1 before point i."""
    return lambda y: falls(y) and bool(y[0] - y[i] >= 0.1)


def flat(y: np.ndarray) -> bool:
    return bool(np.ptp(y) <= 0.05)


def settles(y: np.ndarray) -> bool:
    """Flat in its right half."""
    return flat(y[len(y) // 2 :])


def either(*, high: Criterion, low: Criterion) -> Criterion:
    return lambda y: "low" if low(y) else "high" if high(y) else False


class Part(NamedTuple):
    """A criterion for each kind of metric; None if it does not apply."""

    words: str
    fidelity: Criterion | None
    diversity: Criterion | None
    group: str = ""  # the only group that it applies to; "" means all


def both(words: str, criterion: Criterion) -> Part:
    return Part(words, criterion, criterion)


def verdict(part: Part, metric: str, y: np.ndarray) -> str:
    """The verdict as a letter."""
    criterion = part.fidelity if metric in ("precision", "density") else part.diversity
    return "-" if criterion is None else {True: "T", False: "F", "high": "H", "low": "L"}[criterion(y)]


def combine(letters: str) -> str:
    """The cell for several verdicts: all have to pass, and not some as 'high' and others as 'low'."""
    applicable = set(letters) - {"-"}
    if "F" in applicable or {"H", "L"} <= applicable:
        return "F"
    return "H" if "H" in applicable else "L" if "L" in applicable else "T"


# --- Distributions ----------------------------------------------------------------------------------------------------


def normal(rng: Random, n: int, d: int, mean: Any = 0.0, deviation: Any = 1.0) -> np.ndarray:
    return mean + deviation * rng.standard_normal((n, d))


def sample_mixture(rng: Random, means: np.ndarray, deviation: float, weights: np.ndarray) -> np.ndarray:
    """N samples of a mixture of normal distributions with means [k, d]."""
    mode = rng.choice(len(means), N, p=weights / weights.sum())
    return normal(rng, N, means.shape[1], means[mode], deviation)


def sphere(rng: Random, d: int, radius: float) -> np.ndarray:
    x = normal(rng, N, d)
    return radius * x / np.linalg.norm(x, axis=1, keepdims=True)


def ball(rng: Random, n: int, d: int, radius: float) -> np.ndarray:
    x = normal(rng, n, d)
    return radius * rng.uniform(size=(n, 1)) ** (1 / d) * x / np.linalg.norm(x, axis=1, keepdims=True)


def torus(rng: Random, n: int) -> np.ndarray:
    """A disc of radius .1 at distance 1, rotated about the third axis: [n, 3]."""
    disc, angle = ball(rng, n, 2, 0.1), rng.uniform(0, 2 * np.pi, n)
    from_axis = 1 + disc[:, 0]
    return np.stack([from_axis * np.cos(angle), from_axis * np.sin(angle), disc[:, 1]], axis=1)


REACH = {1: 6.0, 8: 3.0, 64: 1.0}  # of the shift, by dimension
LOG_REACH = {1: 3.0, 8: 1.0, 64: 0.5}  # of the ratio of deviations, in powers of ten
MODES = np.linspace(0, 10, 10)
MODE_DEVIATION = {1: 1 / 6, 8: 1 / 3, 64: 1.0}
SIZES = np.logspace(2, 4, 20).astype(int)
OVERLAP = 0.2  # of two hypercubes, in volume
PLANTED = np.array([  # the modes of the data, then those that a model invents
    [5.46794328, -4.08481523], [4.87211875, -13.64864684], [-16.39432073, 9.09802249], [-2.15447941, 12.46200019],
    [11.55784483, -4.96049923], [-24.60558474, 14.18020818], [16.84215967, -3.18710751], [-5.47807206, -6.77247129],
    [9.46726546, 1.05922347], [-5.40346201, -17.29490131],
])  # fmt: skip


def mean_shift(rng: Random) -> Points:
    for d, reach in REACH.items():
        real = normal(rng, N, d)
        for mean in np.linspace(-reach, reach, 51):
            yield f"d = {d}", mean, real, normal(rng, N, d, mean)


def outlier(rng: Random) -> Points:
    for d, reach in REACH.items():
        real, out = normal(rng, N, d), np.full((1, d), reach)
        with_outlier = np.concatenate([real, out])
        for mean in np.linspace(-reach, reach, 51):
            fake = normal(rng, N, d, mean)
            yield f"real outlier, d = {d}", mean, with_outlier, fake
            yield f"fake outlier, d = {d}", mean, real, np.concatenate([fake, out])


def deviation_ratio(rng: Random) -> Points:
    for d, reach in LOG_REACH.items():
        real = normal(rng, N, d)
        for ratio in np.logspace(-reach, reach, 51):
            yield f"d = {d}", ratio, real, normal(rng, N, d, 0.0, ratio)


def dropping(rng: Random, *, simultaneous: bool) -> Points:
    for d, deviation in MODE_DEVIATION.items():
        means, weights = np.tile(MODES[:, None], (1, d)), np.ones(10)
        real = sample_mixture(rng, means, deviation, weights)
        for dropped in np.linspace(0, 1, 50) if simultaneous else range(10):
            if simultaneous:  # a fraction of every mode but the first
                weights = np.append(1.0, np.full(9, 1 - dropped))
            else:  # the last modes, entirely
                weights = (np.arange(10) < 10 - dropped).astype(float)
            yield f"d = {d}", dropped, real, sample_mixture(rng, means, deviation, weights)


def invention(rng: Random) -> Points:
    real = sample_mixture(rng, PLANTED[:5], 0.25, np.ones(5))
    for modes in range(1, 11):
        yield "d = 2", modes, real, sample_mixture(rng, PLANTED[:modes], 0.25, np.ones(modes))


def sphere_radius(rng: Random) -> Points:
    for d in (2, 16, 128):
        real = sphere(rng, d, 1.0)
        for radius in np.linspace(0.1, 1.9, 51):
            yield f"d = {d}", radius, real, sphere(rng, d, radius)


def hypercubes(rng: Random, *, real_too: bool) -> Points:
    for d in (1, 8, 64):
        start, real = 1 - OVERLAP ** (1 / d), rng.uniform(0, 1, (N, d))
        for n in SIZES:
            real = rng.uniform(0, 1, (n, d)) if real_too else real
            yield f"d = {d}", n, real, rng.uniform(start, start + 1, (n, d))


def ball_and_torus(rng: Random) -> Points:
    in_ball = partial(ball, rng, d=3, radius=0.8)
    for words, data, model in (
        ("real ball", in_ball, partial(torus, rng)),
        ("real torus", partial(torus, rng), in_ball),
    ):
        real = data(n=N)
        for n in SIZES:
            yield words, n, real, model(n=n)


def one_or_two_modes(rng: Random) -> Points:
    for d in (1, 8, 64):
        for mu in np.linspace(0, 5, 20):
            real = sample_mixture(rng, np.tile([[-mu / 2], [mu / 2]], (1, d)), 1.0, np.ones(2))
            yield f"d = {d}", mu, real, normal(rng, N, d, 0.0, np.sqrt(1 + mu**2))


def one_scale(rng: Random) -> Points:
    for scale in np.logspace(-3, 3, 20):
        stretch = np.array([1.0, scale])
        yield "d = 2", scale, normal(rng, N, 2) * stretch, normal(rng, N, 2, np.array([6.0, 0.0])) * stretch


def heavy_tail(rng: Random) -> Points:
    with_tail = lambda mean: np.stack([mean + rng.standard_normal(N), 1 + rng.pareto(1.01, N)], axis=1)  # noqa: E731
    real = with_tail(0.0)
    for mean in np.linspace(-6, 6, 51):
        yield "d = 2", mean, real, with_tail(mean)


def one_disjoint(rng: Random) -> Points:
    for others in np.unique(np.logspace(0, 3, 20).astype(int)):
        real, fake = normal(rng, N, others + 1), normal(rng, N, others + 1)
        fake[:, 0] += 6
        yield "all", others, real, fake


def discrete(rng: Random) -> Points:
    for group in ("real continuous", "real discrete"):
        for scale in np.logspace(0, 3, 20):
            real, fake = scale * normal(rng, N, 1), scale * normal(rng, N, 1)
            yield group, scale, *((real, np.round(fake)) if group == "real continuous" else (np.round(real), fake))


# --- The checks -------------------------------------------------------------------------------------------------------


class Check(NamedTuple):
    words: str
    draw: Callable[[Random], Points]  # one repeat
    rows: dict[str, tuple[Part, ...]]  # the two rows of the table, by the tested property
    # By group, a word for each part that applies to it, in order; a word has a letter for each of METRICS.
    published: dict[str, str]

    def parts(self, group: str) -> list[tuple[str, Part]]:
        """The criteria of a group, each with its row."""
        return [(row, part) for row, parts in self.rows.items() for part in parts if part.group in ("", group)]


CENTRE = {
    "bounds": (both("identical", near(25, 1)), both("left end", near(0, 0)), both("right end", near(-1, 0))),
    "bell shape": (both("bell", bell),),
}
DROPPED = (both("identical", near(0, 1)), Part("all dropped", near(-1, 1), None))
SETTLES = (both("settles", settles),)
DISJOINT = (both("left end", near(0, 0)), both("right end", near(-1, 0)))


# Rounded values are in the support of the continuous distribution; the converse is almost never true.
CONTINUOUS, DISCRETE = "real continuous", "real discrete"
ROUNDED = tuple(
    part
    for words, i in (("coarse", 0), ("fine", -1))
    for part in (Part(words, near(i, 1), near(i, 0), CONTINUOUS), Part(words, near(i, 0), wide(i), DISCRETE))
)

CHECKS = {
    "mean_shift": Check(
        "mean shift", mean_shift, CENTRE,
        {"d = 1": "TTTT TTTT TTTT TTTT", "d = 8": "FFTT TTTT TTTT TTTT", "d = 64": "FFTT TTTT TTTT TTTT"},
    ),
    "outlier": Check(
        "mean shift, one outlier", outlier, CENTRE,
        {
            "real outlier, d = 1": "TTTT TFTT FTFT FTTT",
            "real outlier, d = 8": "FFTT TTTT FTFT FTTT",
            "real outlier, d = 64": "FFTT TTTT FTFT FTTT",
            "fake outlier, d = 1": "TTTT TFTT TTTT TFTT",
            "fake outlier, d = 8": "FFTT TFTT TTTT TFTT",
            "fake outlier, d = 64": "FFTT TFTT TTTT TFTT",
        },
    ),
    "deviation": Check(
        "ratio of deviations", deviation_ratio,
        {
            "bounds": (
                both("identical", near(25, 1)),
                Part("narrow", near(0, 1), near(0, 0)),
                Part("wide", near(-1, 0), wide(-1)),
            ),
            "shape": (Part("shape", falls, either(high=rises, low=bell)),),
        },
        {"d = 1": "TTTT TTTT THTL THTL", "d = 8": "FFTT TTFF THTL THTL", "d = 64": "FFTT TTFF THTL THTF"},
    ),
    "simultaneous": Check(
        "modes dropped together", partial(dropping, simultaneous=True),
        {"bounds": DROPPED, "shape": (Part("shape", flat, falls_by(47)),)},
        {"d = 1": "TTTT T-T- TFTT", "d = 8": "FFTT F-T- TFFT", "d = 64": "FFTT F-T- TFTT"},
    ),
    "sequential": Check(
        "modes dropped one by one", partial(dropping, simultaneous=False),
        {"bounds": DROPPED, "shape": (Part("shape", flat, falls_by(4)),)},
        {"d = 1": "TTTT T-T- TTTT", "d = 8": "FFTT F-T- TTTT", "d = 64": "FFTT F-T- TTTT"},
    ),
    "invention": Check(
        "modes dropped, then invented", invention,
        {
            "bounds": (
                both("identical", near(4, 1)),
                Part("most dropped", near(0, 1), None),
                Part("most invented", None, near(-1, 1)),
            ),
            "shape": (Part("shape", falls, rises),),
        },
        {"d = 2": "TTTT T-T- -T-F TTTF"},
    ),
    "sphere": Check(
        "surface of a sphere, radius", sphere_radius, CENTRE,
        {"d = 2": "TTTT TTTT TTTT TTTT", "d = 16": "TTTT TTFF TFTT TFFT", "d = 128": "FTTT FTFF TFTT FFFF"},
    ),
    "hypercubes": Check(
        "hypercubes, both sizes", partial(hypercubes, real_too=True),
        {"convergence": SETTLES, "value .2": (both("largest", near(-1, OVERLAP)),)},
        {"d = 1": "TTTT TTTT", "d = 8": "FFFF FFFF", "d = 64": "TTTT FFFF"},
    ),
    "hypercubes_fake": Check(
        "hypercubes, fake size", partial(hypercubes, real_too=False),
        {"convergence": SETTLES, "value .2": (both("largest", near(-1, OVERLAP)),)},
        {"d = 1": "TTTT TTTT", "d = 8": "TFTF FFFF", "d = 64": "TTTT FFFF"},
    ),
    "torus": Check(
        "ball and torus, fake size", ball_and_torus,
        {"bounds": (both("largest", near(-1, 0)),), "convergence": SETTLES},
        {"real ball": "TTTT TTTT", "real torus": "TTTF TFTF"},
    ),
    "modes": Check(
        "one mode for two", one_or_two_modes,
        {
            "bounds": (both("identical", near(0, 1)),),
            "shape": (Part("shape", falls, either(high=flat, low=falls)),),
        },
        {"d = 1": "TTTT THTF", "d = 8": "FFTT TFTL", "d = 64": "FFTT TFTL"},
    ),
    "scale": Check(
        "scale of one dimension", one_scale,
        {"bounds": DISJOINT, "invariance": (both("flat", flat),)},
        {"d = 2": "TTTT FTTT FFTT"},
    ),
    "heavy_tail": Check("mean shift, Pareto", heavy_tail, CENTRE, {"d = 2": "TTTT TTTT FTTT TTTT"}),
    "disjoint": Check(
        "disjoint in one dimension", one_disjoint,
        {"bounds": DISJOINT, "shape": (both("flat", flat),)},
        {"all": "TTTT FFFF FFFF"},
    ),
    "discrete": Check(
        "discrete and continuous", discrete,
        {"bounds": ROUNDED, "shape": (both("flat", flat),)},
        {CONTINUOUS: "TTFT TFTF TFFF", DISCRETE: "THTL FHFH FTFF"},
    ),
}  # fmt: skip


# --- The command ------------------------------------------------------------------------------------------------------


class Curve(NamedTuple):
    """The scores of a group of points."""

    x: np.ndarray  # [p]
    runs: np.ndarray  # [repeats, p, 4], METRICS

    @property
    def mean(self) -> np.ndarray:
        return self.runs.mean(axis=0)


def scores(real: np.ndarray, radii: np.ndarray, fake: np.ndarray, k: int) -> list[float]:
    """METRICS of standardized examples; k: neighbours for density and coverage."""
    first, second = prdc.evaluate_each(real, fake, (3, k), strict=False, real_radii=radii)
    return [first["precision"], first["recall"], second["density"], second["coverage"]]


def choose_k(n: int) -> int:
    return next(k for k in range(1, MOST_K) if prdc.expected_coverage(n, n, k) > COVERAGE)


def repeat(check: Check, rng: Random) -> dict[str, list[tuple[float, list[float]]]]:
    """The scores at each point of each group, for one repeat."""
    points: dict[str, list[tuple[float, list[float]]]] = {}
    last = None
    for group, x, data, fake in check.draw(rng):
        if data is not last:
            mean, deviation, k, last = data.mean(axis=0), data.std(axis=0), choose_k(len(data)), data
            real = (data - mean) / deviation
            radii = prdc.radii(real, (3, k))
        points.setdefault(group, []).append((float(x), scores(real, radii, (fake - mean) / deviation, k)))
    return points


def curves(check: Check, *, repeats: int, seed: list[int]) -> dict[str, Curve]:
    runs = [repeat(check, np.random.default_rng([*seed, i])) for i in range(repeats)]
    return {
        group: Curve(np.array([x for x, _ in points]), np.array([[y for _, y in run[group]] for run in runs]))
        for group, points in runs[0].items()
    }


def group_verdicts(check: Check, curves: dict[str, Curve]) -> dict[str, list[str]]:
    """The verdicts by group: four letters per criterion."""
    return {
        group: [
            "".join(verdict(part, metric, curve.mean[:, i]) for i, metric in enumerate(METRICS))
            for _, part in check.parts(group)
        ]
        for group, curve in curves.items()
    }


def rows(check: Check, words: dict[str, list[str]]) -> dict[str, str]:
    """The two rows of the table, four letters each."""
    letters: dict[str, list[str]] = {row: ["", "", "", ""] for row in check.rows}
    for group, of_group in words.items():
        for (row, _), word in zip(check.parts(group), of_group, strict=True):
            letters[row] = [cell + letter for cell, letter in zip(letters[row], word, strict=True)]
    return {row: "".join(map(combine, cells)) for row, cells in letters.items()}


def published(check: Check) -> dict[str, list[str]]:
    return {group: words.split() for group, words in check.published.items()}


def chance(part: Part, metric: str, y: np.ndarray, letter: str) -> float:
    """How often the verdict is `letter` when the repeats [r, p] are resampled (bootstrap)."""
    rng = np.random.default_rng(0)
    resampled = (y[rng.integers(0, len(y), len(y))].mean(axis=0) for _ in range(RESAMPLES))
    return sum(verdict(part, metric, mean) == letter for mean in resampled) / RESAMPLES


def differences(check: Check, curves: dict[str, Curve], verdicts: dict[str, list[str]]) -> list[dict[str, Any]]:
    """The verdicts that differ from the published ones, and how close these were."""
    return [
        {
            "where": f"{check.words}, {group}, {row} ({part.words}), {metric}",
            "here": word[i],
            "published": published_word[i],
            "share": chance(part, metric, curves[group].runs[:, :, i], published_word[i]),
        }
        for group, of_group in verdicts.items()
        for (row, part), word, published_word in zip(check.parts(group), of_group, published(check)[group], strict=True)
        for i, metric in enumerate(METRICS)
        if word[i] != published_word[i]
    ]


def picture(curves: dict[str, dict[str, Curve]], table: list[tuple[str, str, str, str]]) -> bytes:
    """Plots the table, with differing cells framed, and the curves of each check's last group."""
    figure = new_figure(17, 9.5)
    left, right = figure.subfigures(1, 2, width_ratios=(1, 2.3))
    axis, frame = left.subplots(), {"facecolor": "none", "edgecolor": "black"}
    for i, (_, _, here, there) in enumerate(table):
        for j, (letter, published_letter) in enumerate(zip(here, there, strict=True)):
            axis.text(j, i, letter, ha="center", va="center", fontsize=9, fontweight="bold",
                      color="tab:red" if letter == "F" else "tab:green",
                      bbox=None if letter == published_letter else frame)  # fmt: skip
    axis.set(xlim=(-0.5, 3.5), ylim=(len(table) - 0.5, -0.8))
    axis.set_xticks(range(4), METRICS, rotation=30, ha="left", fontsize=9)
    axis.xaxis.tick_top()
    axis.set_yticks(range(len(table)), [f"{check}: {row}" for check, row, _, _ in table], fontsize=8)
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)
    panels = right.subplots(4, 4).ravel()
    for panel, (name, groups) in zip(panels, curves.items(), strict=False):
        group, curve = list(groups.items())[-1]
        for i, color in enumerate(LINES[:4]):
            panel.plot(curve.x, curve.mean[:, i], color=color, linewidth=1.3)
        log = np.all(curve.x > 0) and curve.x.max() > 30 * curve.x.min()
        panel.set(xscale="log" if log else "linear", ylim=(-0.05, max(1.15, min(2.0, 1.05 * curve.mean.max()))))
        panel.set_title(f"{CHECKS[name].words}\n{group}", fontsize=8)
        panel.tick_params(labelsize=7)
        lab.tidy(panel)
    for panel in panels[len(curves) :]:
        panel.axis("off")
    for metric, color in zip(METRICS, LINES, strict=False):
        panels[-1].plot([], [], color=color, label=metric)
    panels[-1].legend(frameon=False, loc="center")
    return figure_png(figure)


def main() -> None:
    parser = lab.make_parser("metric_checks", __doc__, quick="one repeat of three short checks")
    parser.add_argument("--check", nargs="+", help=f"any of {', '.join(CHECKS)}; default: all")
    parser.add_argument("--repeats", type=int)
    parser.add_argument("--seed", type=int, default=0)
    flags = lab.parse(parser, check=(list(CHECKS), ["sequential", "invention", "scale"]), repeats=(10, 1))
    names, repeats = flags.check, flags.repeats
    lab.check_choices("--check", names, CHECKS)
    if repeats < 1 or flags.seed < 0:
        raise UserError(f"--repeats={repeats} must be 1 or more, --seed={flags.seed} 0 or more.")

    started = time.perf_counter()
    found: dict[str, dict[str, Curve]] = {}
    result: dict[str, Any] = {}
    table: list[tuple[str, str, str, str]] = []
    flipped: list[dict[str, Any]] = []
    print(f"{'':48}{'here':>8}{'paper':>8}")
    for name in names:
        check = CHECKS[name]
        setting = {"repeats": repeats, "seed": [flags.seed, list(CHECKS).index(name)]}
        cached = lab.cached(flags.out, {"check": name} | setting, partial(curves, check, **setting))
        found[name] = {group: Curve(*map(np.array, one)) for group, one in cached.items()}
        verdicts = group_verdicts(check, found[name])
        flipped += differences(check, found[name], verdicts)
        theirs = rows(check, published(check))
        for row, letters in rows(check, verdicts).items():
            table.append((check.words, row, letters, theirs[row]))
            print(f"{check.words + ', ' + row:48}{letters:>8}{theirs[row]:>8}", flush=True)
        parts = {group: [part.words for _, part in check.parts(group)] for group in verdicts}
        curve = {
            group: {"x": one.x, "mean": one.mean, "deviation": one.runs.std(axis=0)}
            for group, one in found[name].items()
        }
        result[name] = {"parts": parts, "verdicts": verdicts, "published": published(check), "curves": curve}
        seconds = time.perf_counter() - started
        lab.write_result(flags.out, {"checks": result, "table": table, "differences": flipped, "repeats": repeats,
                                     "seed": flags.seed, "seconds": seconds})  # fmt: skip
    write_atomically(flags.out / "metric_checks.png", picture(found, table))
    cells = sum(a != b for _, _, here, there in table for a, b in zip(here, there, strict=True))
    print(f"\n{4 * len(table) - cells} of {4 * len(table)} cells as published")
    for one in flipped:
        share = f"{one['share']:.0%} of resamples"
        print(f"  {one['where']}: {one['here']} here; {one['published']} published, and in {share}")
    print(f"{seconds:.0f} s; {flags.out}")


if __name__ == "__main__":
    lab.run(main)
