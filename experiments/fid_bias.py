"""The bias of FID at finite sample sizes, and two models whose ranking it reverses.

    python -m experiments.fid_bias [--quick] [--out=runs/fid_bias] [--trials=3] [--seed=0]

Claim (Binkowski, Sutherland, Arbel and Gretton, arXiv:1801.01401, appendix D): let Q = ReLU(N(1, I)), and consider two
models in d = 2048 dimensions, the size of Inception's features,

    P1 = ReLU(N(0, I)),   P2 = ReLU(N(1, .8 S + .2 I)),   S = (4/d) C C^T,   C with standard normal entries.

FID(P1, Q) = 1123.0 is larger than FID(P2, Q), and yet with 50,000 samples P1 has the lower FID in every trial, 1133.7
with a standard deviation of .2: the worse model wins, reliably. With 100,000 samples the ranking is right. (The two
distributions and everything but these three numbers are quoted from memory. Q is known exactly, not from samples.)

The following are compared, all derived for this project:

- FID(P1, Q) = d ((m0 - m1)^2 + (s0 - s1)^2), with the means m and standard deviations s of ReLU(N(0, 1)) and ReLU(N(1,
  1)).
- FID(P2, Q) from the exact moments of P2 for the sampled C: the covariance of two rectified normal variables as a
  series in their correlation, with Hermite polynomials (`rectified_moments`).
- E FID(N samples of P1) = FID + d v/N + sqrt(v w) d (d + 1)/(4 (N - 1)) to first order in d/N, where v and w are the
  variances under P1 and Q: `first_order_fid`.
- FID-infinity (arXiv:1911.07023): the intercept at 1/N = 0 of a line fitted to FID over 1/N at 15 sizes from 5,000 to
  50,000; and the same from 20,000 on, because FID is not linear where N is only a few times d. From 50,000 samples it
  should restore the right ranking, which neither paper claims.

Expected: |FID(P1, Q) - 1123.04| < .01 by the closed form; the mean over trials at 50,000 samples within .2 of 1133.7;
the ranking wrong in every trial at 50,000 and right in every trial at 100,000; by FID-infinity, P1 within .5 of 1123.04
and the ranking right.
Written to --out: fid_bias.png, result.json.
Measured, 3 trials, 426 s of CPU time on two cores of an AMD EPYC (Zen 3) that were busy with other work, 2026-11-26:

                 5,000     10,000    25,000    50,000    100,000   closed form
    P1, mean     1235.73   1177.70   1144.53   1133.66   1128.31   1123.04
    P2, mean     1339.58   1223.02   1156.65   1135.00   1124.55   1113.77
    P1, SD       .79       .39       .24       .32       .13
    P2, SD       1.18      .45       .40       .31       .26

The ranking is wrong in every trial at 50,000 (by .77 to 1.73) and right in every trial at 100,000. FID-infinity
restores it: 1122.40 (P1) and 1110.74 (P2) from all sizes, 1123.34 and 1112.43 from 20,000 on. Only the latter fit is
within .5 for P1.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.polynomial import hermite_e
from scipy.special import ndtr

from experiments import lab
from jaxgan.errors import UserError
from jaxgan.metrics import fid
from jaxgan.run.plots import BLUE, ORANGE, figure_png, new_figure

PUBLISHED = {"P1": 1123.0, "P1, 50,000 samples": 1133.7, "deviation": 0.2}
DIMENSIONS = 2048
SIZES = (5_000, 10_000, 25_000, 50_000, 100_000)
REVERSED, RIGHT = 50_000, 100_000  # sample sizes at which the paper reports the wrong and the right ranking
ORDER = 8  # of the series in the correlation: correlations are below .15 at d = 2048
ROWS = 10_000  # samples per batch


class Model(NamedTuple):
    """ReLU(N(mean, covariance)) with the same mean in every coordinate."""

    mean: float
    root: np.ndarray | None  # [d, d] float32, the transposed Cholesky factor of the covariance; None: I
    moments: tuple[np.ndarray, np.ndarray]  # after the ReLU: [d], [d, d] float64


def rectified_moments(mean: float, covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean [d] and covariance [d, d] of ReLU(x), x ~ N(mean, covariance), float64.

    With a = mean / s, the Hermite coefficients e_k = E[ReLU(mean + s z) He_k(z)] are s Phi(a) for k = 1 and,
    integrating by parts, s phi(a) He_{k-2}(-a) for k >= 2; cov(ReLU(x_i), ReLU(x_j)) = sum_{k >= 1} r^k e_k(i) e_k(j) /
    k!, with r the correlation of x_i and x_j (Mehler). The diagonal is exact; elsewhere the series ends after `ORDER`
    terms.
    """
    s = np.sqrt(np.diag(covariance))
    a = mean / s
    cdf, pdf = ndtr(a), np.exp(-a * a / 2) / math.sqrt(2 * math.pi)
    means = mean * cdf + s * pdf
    correlation = covariance / np.outer(s, s)
    result, power = np.zeros_like(covariance), np.ones_like(covariance)
    for k in range(1, ORDER + 1):
        power = power * correlation
        e = s * cdf if k == 1 else s * pdf * hermite_e.hermeval(-a, np.eye(ORDER)[k - 2])
        result += power * np.outer(e, e) / math.factorial(k)
    np.fill_diagonal(result, (mean**2 + s**2) * cdf + mean * s * pdf - means**2)
    return means, result


def models(d: int, seed: int) -> tuple[dict[str, Model], tuple[np.ndarray, np.ndarray]]:
    """P1 and P2, and the moments of Q."""
    C, eye = np.random.default_rng(seed).standard_normal((d, d)), np.eye(d)
    covariance = 0.8 * (4 / d) * (C @ C.T) + 0.2 * eye
    by_name = {
        "P1": Model(0.0, None, rectified_moments(0.0, eye)),
        "P2": Model(1.0, np.linalg.cholesky(covariance).T.astype(np.float32), rectified_moments(1.0, covariance)),
    }
    return by_name, rectified_moments(1.0, eye)


def sample(model: Model, n: int, rng: np.random.Generator) -> np.ndarray:
    """Samples n examples of a model: [n, d] float32."""
    x = np.empty((n, len(model.moments[0])), np.float32)
    for start in range(0, n, ROWS):
        rows = x[start : start + ROWS]
        rng.standard_normal(out=rows, dtype=np.float32)
        rows[:] = np.maximum(np.float32(model.mean) + (rows if model.root is None else rows @ model.root), 0)
    return x


def first_order_fid(d: int, n: int) -> float:
    """E FID(P1 from n samples, Q), to first order in d / n."""
    (m0, v), (m1, w) = ((m[0], c[0, 0]) for m, c in (rectified_moments(mean, np.eye(1)) for mean in (0.0, 1.0)))
    exact = d * ((m0 - m1) ** 2 + (math.sqrt(v) - math.sqrt(w)) ** 2)
    return float(exact + d * v / n + math.sqrt(v * w) * d * (d + 1) / (4 * (n - 1)))


def trial(model: Model, real: tuple[np.ndarray, np.ndarray], sizes: tuple[int, ...], seed: list[int]) -> list[float]:
    """FID of the first n of a new set of samples, for each size n."""
    x = sample(model, max(sizes), np.random.default_rng(seed))
    return [fid.from_moments(*real, *fid.moments(x[:n])) for n in sizes]


def trials(
    models: dict[str, Model], real: tuple[np.ndarray, np.ndarray], *, sizes: tuple[int, ...], count: int, seed: int
) -> Iterator[dict[str, list[float]]]:
    for i in range(count):
        yield {name: trial(model, real, sizes, [seed, 1 + i, j]) for j, (name, model) in enumerate(models.items())}


def infinities(
    models: dict[str, Model], real: tuple[np.ndarray, np.ndarray], *, sizes: tuple[int, ...] | None, seed: int
) -> dict[str, dict[str, Any]]:
    """FID-infinity of each model from `REVERSED` samples: from all sizes (None means the 15), and from 20,000 on."""
    results = {}
    for j, (name, model) in enumerate(models.items()):
        x = sample(model, REVERSED, np.random.default_rng([seed, 0, j]))
        all_sizes = fid.infinity_from(*real, x, sizes=sizes, seed=seed)
        upper = [(n, value) for n, value in zip(all_sizes.sizes, all_sizes.fids, strict=True) if n >= 20_000]
        results[name] = {
            "sizes": all_sizes.sizes,
            "fids": all_sizes.fids,
            "intercept": all_sizes.fid,
            "slope": all_sizes.slope,
            "upper intercept": fid.extrapolate(*zip(*upper, strict=True))[0],
        }
    return results


def verdicts(
    exact: dict[str, float], runs: dict[str, np.ndarray], lines: dict[str, dict[str, Any]], sizes: tuple[int, ...]
) -> dict[str, lab.Verdict]:
    """The verdict on each part of the claim; `runs` [trials, sizes]."""
    index = {n: i for i, n in enumerate(sizes)}
    wrong, right = index[REVERSED], index[RIGHT]
    mean, tolerance = runs["P1"][:, wrong].mean(), PUBLISHED["deviation"]
    lower = lambda key: lines["P2"][key] < lines["P1"][key]  # noqa: E731
    return {
        "P2 is nearer to Q": exact["P2"] < exact["P1"],
        "closed form of P1": abs(exact["P1"] - 1123.04) < 0.01,
        "P1 at 50,000 is 1133.7": bool(abs(mean - PUBLISHED["P1, 50,000 samples"]) < tolerance),
        "reversed at 50,000": lab.in_every_run(runs["P1"][:, wrong] < runs["P2"][:, wrong]),
        "right at 100,000": lab.in_every_run(runs["P1"][:, right] > runs["P2"][:, right]),
        "FID-infinity of P1": abs(lines["P1"]["intercept"] - exact["P1"]) < 0.5,
        "FID-infinity of P1, from 20,000": abs(lines["P1"]["upper intercept"] - exact["P1"]) < 0.5,
        "order by FID-infinity": lower("intercept"),
        "order by FID-infinity, from 20,000": lower("upper intercept"),
    }


def picture(
    exact: dict[str, float],
    runs: dict[str, np.ndarray],
    lines: dict[str, dict[str, Any]],
    sizes: tuple[int, ...],
    first_order: dict[int, float],
) -> bytes:
    """Plots FID over 1/N for both models, with the exact value at 0, and the fits of FID-infinity."""
    figure = new_figure(11, 4.5)
    for axis, least in zip(figure.subplots(1, 2), (0, 10_000), strict=True):
        for name, color in (("P1", BLUE), ("P2", ORANGE)):
            indices = [i for i, n in enumerate(sizes) if n >= least]
            for run in runs[name]:
                axis.plot([1e5 / sizes[i] for i in indices], run[indices], "o", color=color, markersize=4, alpha=0.5)
            line, end = lines[name], 1e5 / sizes[indices[0]]
            points = [(1e5 / n, value) for n, value in zip(line["sizes"], line["fids"], strict=True) if n >= least]
            axis.plot(*zip(*points, strict=True), "x", color=color, markersize=4)
            axis.plot([0, end], [line["intercept"], line["intercept"] + line["slope"] * end / 1e5], color=color,
                      linewidth=0.8, label=f"{name}: fit of FID-infinity")  # fmt: skip
            axis.plot(0, exact[name], "*", color=color, markersize=13, label=f"{name}: exact, {exact[name]:.1f}")
        indices = [n for n in first_order if n >= least]
        axis.plot([1e5 / n for n in indices], [first_order[n] for n in indices], ":", color="black", linewidth=1,
                  label="P1: first-order prediction")  # fmt: skip
        axis.set(xlabel="100,000 / N", ylabel="FID", title="all sizes" if not least else "from 10,000 samples")
        lab.tidy(axis)
        axis.legend(frameon=False, fontsize=8)
    return figure_png(figure)


def main() -> None:
    parser = lab.make_parser("fid_bias", __doc__, quick="one trial, FID-infinity from three sizes")
    parser.add_argument("--trials", type=int)
    parser.add_argument("--seed", type=int, default=0)
    flags = lab.parse(parser, trials=(3, 1))
    count = flags.trials
    if count < 1 or flags.seed < 0:
        raise UserError(f"--trials={flags.trials} must be 1 or more, --seed={flags.seed} 0 or more.")
    sizes = SIZES[-2:] if flags.quick else SIZES

    started = time.perf_counter()
    by_name, real = models(DIMENSIONS, flags.seed)
    exact = {name: fid.from_moments(*real, *model.moments) for name, model in by_name.items()}
    first_order = {n: first_order_fid(DIMENSIONS, n) for n in SIZES}
    row = lambda name, numbers: print(f"{name:24}" + "".join(f"{x:>10.2f}" for x in numbers))  # noqa: E731
    print(f"{'samples':24}" + "".join(f"{n:>10,}" for n in sizes) + f"{'infinity':>10}")
    row("P1, first order", [first_order[n] for n in sizes] + [exact["P1"]])
    runs: dict[str, Any] = {name: [] for name in by_name}
    for trial in trials(by_name, real, sizes=sizes, count=count, seed=flags.seed):
        for name, fids in trial.items():
            runs[name].append(fids)
            row(name, fids)
    runs = {name: np.array(fids) for name, fids in runs.items()}
    for name, fids in runs.items():
        row(f"{name}, mean", [*fids.mean(axis=0), exact[name]])
    if count > 1:
        for name, fids in runs.items():
            row(f"{name}, deviation", fids.std(axis=0, ddof=1))
    lines = infinities(by_name, real, sizes=(20_000, 30_000, REVERSED) if flags.quick else None, seed=flags.seed)
    print(f"\n{'FID-infinity':24}{'exact':>10}{'all sizes':>11}{'from 20,000':>13}")
    for name, line in lines.items():
        print(f"{name:24}{exact[name]:10.2f}{line['intercept']:11.2f}{line['upper intercept']:13.2f}")
    held = verdicts(exact, runs, lines, sizes)
    seconds = time.perf_counter() - started
    result = {"exact": exact, "first order": first_order, "sizes": sizes, "trials": runs, "infinity": lines,
              "published": PUBLISHED, "seed": flags.seed, "seconds": seconds}  # fmt: skip
    lab.finish(flags.out, result, {"fid_bias": picture(exact, runs, lines, sizes, first_order)}, held)
    lab.require(dict(list(held.items())[:5]))


if __name__ == "__main__":
    lab.run(main)
