"""R1 by finite differences: what it estimates, how noisy it is, what it costs, and whether it trains as R1 does.

    python -m experiments.finite_differences [--quick] [--out=runs/finite_differences] [--seeds=40]

`r1_finite_difference`, (D(x + deviation n) - D(x))^2 / (2 deviation^2) with n ~ N(0, 1) per element, stands for R1
where second derivatives are not available (arXiv:2501.08316). Claims:

1. Its bias is deviation^2 / 2 times (tr H)^2 / 4 + |H|^2 / 2 + <g, gradient of tr H>, with g and H the gradient and the
   Hessian of D (derived here): on a D of two tanh layers in 5 dimensions, its mean over n lies within 4 standard errors
   of that for deviations up to .08.
2. The relative standard deviation of the estimate for one example is sqrt 2, so that of the mean over a minibatch of m
   examples with equal slopes is sqrt(2 / m) (derived here).
3. Training steps are faster and need less memory than with R1 (the reason given for using it): DCGAN's networks on
   28x28 images, minibatches of 64, no normalization.
4. At a deviation of .01 it measures slopes, not rounding errors: the mean of the estimate at convolutional D's initial
   weights is within 10% of R1 in float32, also if the logit is rounded to bfloat16.
5. It trains as R1 does: on `ring8` with weight .1, the share of samples near a mode and the JSD differ by less than .05
   (equivalence test over paired seeds; refuted if the 90% interval of a difference is beyond .05).

Written to --out: finite_differences.png, result.json, sweep/.
Measured, 2026-11-28, two cores of an AMD EPYC, busy with other work, about 6 minutes of CPU time:

    deviation                      .001    .003    .01     .03     .1      .2
    mean / R1, float32             1.015   1.015   1.011   .999    .950    .898
    mean / R1, bfloat16 logit      1.451   1.100   1.018   1.000   .951    .898

    DCGAN step         ms    temporary memory        ring8, 40 seeds        near a mode         JSD (nats)
    no penalty         169   58 MB
    R1                 219   67 MB                   R1                     .416 [.369, .464]   .449 [.422, .476]
    finite differences 308   101 MB                  finite differences     .286 [.254, .317]   .468 [.445, .491]

The bias and the variance are as derived. But a step takes 1.4 times as long as with R1, and half as much memory again:
with a LeakyReLU D, the second derivatives of R1 cost no more than two more passes of D, and here both points go
through D. On ring8 its noise costs a third of the samples near a mode.
"""

from __future__ import annotations

import math
import statistics
import time
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from configs import dcgan_mnist, ring8
from experiments import lab, sweeps
from experiments.benchmark import jaxgan_chunk
from jaxgan.algorithm1 import train_step
from jaxgan.config import default, update
from jaxgan.config.hparams import traced
from jaxgan.game.batches import TrainingSet
from jaxgan.game.build import build
from jaxgan.networks.layers import DataSpec
from jaxgan.objectives.penalties import PENALTIES
from jaxgan.run.plots import LINES, figure_png, new_figure
from jaxgan.sweep.settings import Setting
from jaxgan.sweep.statistics import mean_interval

DEVIATIONS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.2)
SMOOTH = (0.03, 0.05, 0.08)  # deviations of a bias above the error of its estimate and below terms of order 4
BLOCK, BLOCKS = 100_000, 20  # perturbations: for a mean and its standard error
TRAINED = 0.01  # deviation in training
MARGIN = 0.05  # of equivalence, in the share of samples near a mode and in JSD (nats)
SETTINGS = {
    "R1": {"objective.penalties.r1": 0.1},
    "finite differences": {"objective.penalties.r1_finite_difference": 0.1},
}
SCORES = ("high_quality", "jsd")
CONVOLUTIONAL = {"generator.norm": "none", "discriminator.norm": "none", "generator.bias": True}


def discriminator(changes: dict[str, Any], shape: tuple[int, ...]):
    """D at its initial weights: x [n, *shape] -> logits [n]."""
    config = update(default(), {"generator.output": "linear"} | changes)
    gan, hparams = build(config, DataSpec(shape), 100), traced(config)
    D = gan.init(hparams).discriminator
    return lambda x: gan.D(D.params, D.stats, x)[0].logits


def estimates(D, x: jax.Array, deviation: float, n: int, seed: int) -> jax.Array:
    """`n` estimates of R1 at each of the points x [m, *shape]: [n, m]."""
    penalty = PENALTIES["r1_finite_difference"].function
    keys = jax.random.split(jax.random.key(seed), (n, len(x)))
    return jax.vmap(lambda keys: penalty(D, x, None, keys, deviation=deviation))(keys)


def mean_and_prediction(D, x: jax.Array, *, deviation: float, n: int, seed: int) -> tuple[float, float]:
    """The mean of `n` estimates at the point x [d], and its derived value, without terms of deviation^4."""
    logit = lambda x: D(x[None])[0]  # noqa: E731
    trace = lambda x: jnp.trace(jax.hessian(logit)(x))  # noqa: E731
    g, H = jax.grad(logit)(x), jax.hessian(logit)(x)
    bias = deviation**2 / 2 * (trace(x) ** 2 / 4 + jnp.sum(H**2) / 2 + g @ jax.grad(trace)(x))
    mean = jax.jit(lambda seed: jnp.mean(estimates(D, x[None], deviation, n, seed)))
    return float(mean(seed)), float(g @ g / 2 + bias)


def bias_of_smooth() -> list[dict[str, float]]:
    """Per deviation, the mean of the estimate at one point, its standard error, R1, and the predicted mean."""
    smooth = {"discriminator.hidden": (16, 16), "discriminator.activation": "tanh", "discriminator.irange": 0.6}
    D = discriminator(smooth, (5,))
    x = 0.5 * jax.random.normal(jax.random.key(1), (5,))
    r1 = float(PENALTIES["r1"].function(D, x[None])[0])
    rows = []
    for deviation in SMOOTH:
        blocks = [mean_and_prediction(D, x, deviation=deviation, n=BLOCK, seed=seed) for seed in range(BLOCKS)]
        means = np.array([mean for mean, _ in blocks])
        rows.append({"deviation": deviation, "mean": means.mean(), "error": means.std(ddof=1) / math.sqrt(BLOCKS),
                     "predicted": blocks[0][1], "r1": r1})  # fmt: skip
    return rows


def rounding(quick: bool) -> dict[str, list[float]]:
    """The mean estimate relative to R1 by deviation, for a convolutional D and its logit rounded to bfloat16."""
    shape = (28, 28, 1)
    family = {"generator.name": "dcgan", "discriminator.name": "dcgan", "discriminator.deviation": 0.05}
    D = discriminator(family | CONVOLUTIONAL, shape)
    x = jax.random.uniform(jax.random.key(2), (16, *shape), minval=-1, maxval=1)
    # A trained D's logits are of order 1: those of the initial one are scaled to that.
    scale = 1 / float(jnp.max(jnp.abs(D(x))))
    nets = {"float32": lambda x: scale * D(x), "bfloat16": lambda x: jax.lax.reduce_precision(scale * D(x), 8, 7)}
    r1 = float(jnp.mean(PENALTIES["r1"].function(nets["float32"], x)))
    mean = lambda net, deviation: float(jnp.mean(estimates(net, x, deviation, 4 if quick else 256, 3)))  # noqa: E731
    return {name: [mean(jax.jit(net), deviation) / r1 for deviation in DEVIATIONS] for name, net in nets.items()}


def cost(quick: bool) -> dict[str, dict[str, Any]]:
    """By penalty: milliseconds per training step, a number per round in turns, and MB of temporary memory."""
    data = np.random.default_rng(0).integers(0, 256, (256, 28, 28, 1)).astype(np.uint8)
    steps, rounds = (2, 2) if quick else (10, 9)
    chunks: dict[str, Any] = {}
    rows: dict[str, dict[str, Any]] = {}
    for name, weights in {"none": {}, **SETTINGS}.items():
        config = update(dcgan_mnist.get_config(), CONVOLUTIONAL | weights)
        chunks[name] = jaxgan_chunk(config, data)
        chunks[name](steps)  # compile
        gan = build(config, DataSpec(data.shape[1:], bounds=(-1.0, 1.0)), len(data))
        hparams = traced(config)
        step = jax.jit(partial(train_step, gan)).lower(hparams, gan.init(hparams), TrainingSet(jnp.asarray(data)))
        memory = step.compile().memory_analysis()
        rows[name] = {"ms": [], "MB": None if memory is None else memory.temp_size_in_bytes / 1e6}
    for _ in range(rounds):
        for name, chunk in chunks.items():
            start = time.perf_counter()
            chunk(steps)
            rows[name]["ms"].append(1e3 * (time.perf_counter() - start) / steps)
    return rows


def train(out: Path, *, seeds: int, quick: bool) -> dict[str, Setting]:
    changes: dict[str, Any] = {"evaluate.every": 0, "log.every": 100}
    if quick:
        changes |= {"train.steps": 40, "evaluate.samples": 200, "log.every": 20}
    return sweeps.train(out / "sweep", __doc__, update(ring8.get_config(), changes), SETTINGS, range(100, 100 + seeds))


def verdicts(result: dict[str, Any]) -> dict[str, lab.Verdict]:
    """The verdict on each claim, from `bias`, `variation`, `cost`, `rounding` and the `scores` of the trained runs."""
    r1, ours = (result["cost"][name] for name in SETTINGS)
    ratio = mean_interval([math.log(b / a) for a, b in zip(r1["ms"], ours["ms"], strict=True)])
    at = DEVIATIONS.index(TRAINED)
    accurate = {name: abs(ratios[at] - 1) < 0.1 for name, ratios in result["rounding"].items()}
    intervals = [lab.equivalence_interval(*(np.array(result["scores"][s][name]) for s in SETTINGS)) for name in SCORES]
    return {
        "the derived bias": lab.in_every_run(
            abs(row["mean"] - row["predicted"]) < 4 * row["error"] for row in result["bias"]
        ),
        "a relative deviation of sqrt 2": abs(result["variation"] / math.sqrt(2) - 1) < 0.05,
        "faster than R1": lab.is_positive((-ratio.high, -ratio.low)),
        "less memory than R1": None if None in (r1["MB"], ours["MB"]) else ours["MB"] < r1["MB"],
        "deviation .01: slopes in float32": accurate["float32"],
        "deviation .01: slopes with a bfloat16 logit": accurate["bfloat16"],
        "trains as R1 does": lab.decide(
            shown=lab.is_equivalent(intervals, MARGIN),
            refuted=any(low > MARGIN or high < -MARGIN for low, high in intervals),
        ),
    }


def picture(result: dict[str, Any]) -> bytes:
    """Bias of a smooth D, the effect of rounding, time and memory, and the scores of all runs."""
    figure = new_figure(15, 3.8)
    bias, floor, costs, runs = figure.subplots(1, 4)
    deviations = np.linspace(0, max(SMOOTH), 50)
    row = result["bias"][-1]
    bias.plot(deviations, 1 + (row["predicted"] / row["r1"] - 1) * (deviations / row["deviation"]) ** 2, color="grey")
    for row in result["bias"]:
        bias.errorbar(row["deviation"], row["mean"] / row["r1"], 2 * row["error"] / row["r1"], fmt="o", color=LINES[0])
    bias.set(xlabel="deviation", ylabel="mean estimate / R1", title="a smooth D, and the derived bias")
    for color, (name, ratios) in zip(LINES, result["rounding"].items(), strict=False):
        floor.plot(DEVIATIONS, ratios, "o-", color=color, label=f"logit in {name}")
    floor.axhline(1, color="grey", linestyle=":")
    floor.set(xscale="log", xlabel="deviation", ylabel="mean estimate / R1", title="rounding")
    floor.legend(frameon=False, fontsize=8)
    names = list(result["cost"])
    times = [statistics.median(result["cost"][name]["ms"]) for name in names]
    costs.bar(range(len(names)), times, color=LINES[: len(names)])
    for i, name in enumerate(names):
        memory = result["cost"][name]["MB"]
        costs.text(i, times[i], "" if memory is None else f"{memory:.0f} MB", ha="center", va="bottom", fontsize=8)
    costs.set(xticks=range(len(names)), xticklabels=names, ylabel="ms per step", title="cost of a DCGAN step")
    for i, name in enumerate(SCORES):
        for j, setting in enumerate(SETTINGS):
            values = result["scores"][setting][name]
            runs.plot(
                [i + 0.3 * (j - 0.5)] * len(values), values, ".", color=LINES[j], label=setting if not i else None
            )
    runs.set(xticks=range(len(SCORES)), xticklabels=["near a mode", "JSD (nats)"], title="ring8, all runs")
    runs.legend(frameon=False, fontsize=8)
    lab.tidy(*figure.axes)
    return figure_png(figure)


def main() -> None:
    parser = lab.make_parser("finite_differences", __doc__, quick="few steps and 2 seeds")
    parser.add_argument("--seeds", type=int, help="of the runs on ring8")
    flags = lab.parse(parser, seeds=(40, 2))
    started = time.process_time()
    settings = train(flags.out, seeds=flags.seeds, quick=flags.quick)
    scores = {s: {name: list(found.scores("final", name).values()) for name in SCORES} for s, found in settings.items()}
    linear = discriminator({"discriminator.hidden": (1,), "discriminator.activation": "linear"}, (5,))
    values = jax.jit(lambda: estimates(linear, jnp.ones((1, 5)), TRAINED, BLOCK, 4))()
    result: dict[str, Any] = {"bias": bias_of_smooth(), "variation": float(jnp.std(values) / jnp.mean(values)),
              "rounding": rounding(flags.quick), "cost": cost(flags.quick), "scores": scores}  # fmt: skip
    for row in result["bias"]:
        print(f"deviation {row['deviation']:4g}: mean {row['mean']:.6f} +- {row['error']:.6f}, predicted "
              f"{row['predicted']:.6f}, R1 {row['r1']:.6f}")  # fmt: skip
    print(f"relative deviation of one estimate, linear D: {result['variation']:.3f}")
    for name, ratios in result["rounding"].items():
        print(f"logit in {name:9}: " + "  ".join(f"{d:g}: {r:.3f}" for d, r in zip(DEVIATIONS, ratios, strict=True)))
    for name, row in result["cost"].items():
        print(f"{name:19} {statistics.median(row['ms']):7.1f} ms per step, {row['MB'] or math.nan:7.1f} MB")
    for name, found in scores.items():
        print(f"{name:19} " + "  ".join(f"{score} {mean_interval(found[score]).text(3)}" for score in SCORES))
    result["seconds"] = time.process_time() - started
    lab.finish(flags.out, result, {"finite_differences": picture(result)}, verdicts(result))


if __name__ == "__main__":
    lab.run(main)
