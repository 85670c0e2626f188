"""WGAN critics compared with a known Wasserstein-1 distance: direction and length of their gradients, and their value.

    python -m experiments.critics [--quick] [--out=runs/critics] [--pair 2,4 ...] [--method clip ...]
                                  [--steps=5000] [--batch_size=256] [--seeds=3]
    python -m experiments.critics --full     # the released numbers of steps and minibatch size, hours on a CPU

Claim (Korotin, Kolesov and Burnaev, arXiv:2206.07767, the table in their released code): critics with clipped weights
or spectral normalization do not estimate the Wasserstein-1 distance. Critics with a gradient penalty, two-sided (GP) or
one-sided (LP), learn the direction of the optimal gradient, and over- or underestimate the distance. All get worse with
the number N of funnels.

The pair of distributions. u(x) = min_n |x - a_n| + b_n, with N centres a_n uniform in the cube [-2.5, 2.5]^d and b_n
from N(0, .01). q is uniform in the cube. p is q with each point moved down its ray of u, which begins at the funnel's
centre and ends at another funnel or at a face of the cube: from fraction t of its length to fraction t^8. Every move is
along a line on which u has slope 1, so -u is an optimal critic, its gradient is known, and W1 is the mean length of the
moves. p is the data and q the fakes: G is the identity, z is uniform, and only D is trained, by
`game.step.discriminator_step`. D has two layers of max(2 d, 128) ReLU units, initialized as in PyTorch, Adam 2e-4 (0,
.9), Wasserstein loss; clip .04, penalties of weight 10, or spectral normalization.

Differences from the released runs: our own centres, different for each seed (theirs are one sample of other centres, so
the true distances differ, and W1 is compared as a fraction of the true one); 5,000 steps with minibatches of 256
instead of 5,000 (clip), 10,000 (spectral) and 60,000 (GP, LP) with 1,024, which --full restores; one power iteration
per step instead of five; 2^14 points for the scores instead of 2^12. GroupSort with orthogonal layers, the sixth method
of the table, is not implemented in the package.

Three observations about the released code, which affect the published rows:

1. It computes |x - a| as the square root of |x|^2 + |a|^2 - 2 x a (torch.cdist, float32), which loses distances below
   about 1e-3. In two dimensions, t^8 moves 13 to 18% of p that close to a centre, where its "true" gradient is
   therefore 0: -u itself scores a cosine of about .88 (`ceiling`), not the 1 that the table states. In eight dimensions
   and more it is 1.
2. It clips kernels but not biases (Algorithm 1 of arXiv:1701.07875 clips all parameters). With biases uniform on +-
   1/sqrt(2) and kernels below .04, hardly any unit of the first layer has its kink inside the square, and the critic is
   nearly linear. `clip_kernels` does the same, and `clip` is Algorithm 1.
3. Its spectral normalization does not differentiate sigma, unlike arXiv:1802.05957 (section 2.3). A separate run on the
   released centres of d, N = 2, 4, not reproduced by this command (10,000 steps, one seed), gave cosine .14 and W1 .14
   without the gradient of sigma, and .54 and .33 with it; published are .21 and .15, and the true W1 is .82.

Expected: W1 of clipped and spectral critics is off by more than a third in every run, that of penalized ones by less
than a third; penalized ones have the better cosine in every run; cosines decrease from N = 4 to N = 64.
Written to --out: critics.png, result.json, and parts/ (results that a repeated command reuses).
Measured, 3 seeds of 5,000 steps; 863 s of CPU time on two cores of an AMD EPYC (Zen 3) that were busy with other work,
2026-11-26. Mean W1 as a fraction of the true one, with published values in parentheses:

    d, N     clip   clip_kernels   spectral     gradient_penalty   one_sided
    2, 4     .20    .16 (.04)      .56 (.19)    1.03 (1.05)        1.06 (1.08)
    2, 64    .03    .02 (-.02)     .14 (.01)    .22 (.55)          .69 (.97)
    8, 4     .34    .73 (.59)      .64 (.31)    1.09 (1.06)        1.09 (1.05)
    8, 64    .14    .18 (.17)      .25 (.14)    .79 (.92)          .80 (.94)

Clipped and spectral critics are off by more than a third except in two runs of clip_kernels and one of spectral
normalization at 8, 4. Penalized ones are within a third except for GP at 2, 64, where it is trained for a twelfth of
the released steps and is off in the published table too. They have the better direction in all other cases (there the
cosine of GP is .14, of spectral .22). All get worse with N. With the released minibatch size of 1,024 (--full, NVIDIA
H200, 2026-11-26, pairs 2, 4 and 2, 64), W1 of clip, clip_kernels and spectral is .19, .16, .58 and .03, .02, .16: the
smaller minibatch is not the reason for their errors.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments import lab
from jaxgan.conditions import UNCONDITIONAL
from jaxgan.config import default, update
from jaxgan.config.hparams import traced
from jaxgan.errors import UserError
from jaxgan.game.batches import Batch, Frame, local_indices, sample_noise
from jaxgan.game.build import build
from jaxgan.game.gan import Gan
from jaxgan.game.hparams import HParams
from jaxgan.game.state import Player, run_stream
from jaxgan.game.step import discriminator_step
from jaxgan.networks.layers import DataSpec
from jaxgan.optimizers import clip_weights
from jaxgan.run.plots import LINES, figure_png, new_figure
from jaxgan.sweep.statistics import mean_interval

SIDE = 2.5  # half the side of the cube
POWER = 8
SCORED = 2**14  # points of p and of q that a critic is scored on; 2^12 in the released code
NUM_EVALS = 10  # evaluations over training, evenly spaced
CLIP = 0.04
PIXELS = 64  # per side of a picture
TOLERANCE = 1 / 3  # relative to the true W1

METHODS: dict[str, dict[str, Any]] = {
    "clip": {"optimizer.discriminator.clip": CLIP},
    "clip_kernels": {},  # see `clipped_kernels`
    "spectral": {"discriminator.norm": "spectral"},
    "gradient_penalty": {"objective.penalties.gradient_penalty": 10.0},
    "one_sided": {"objective.penalties.gradient_penalty_one_sided": 10.0},
}
PENALIZED = ("gradient_penalty", "one_sided")
RELEASED = {"clip": 5000, "clip_kernels": 5000, "spectral": 10_000, "gradient_penalty": 60_000, "one_sided": 60_000}
DEFAULT_PAIRS = ((2, 4), (2, 64), (8, 4), (8, 64))
# The released table: for each (d, N) the true W1, and cosine, L2 and W1 of each method. Its clip is `clip_kernels`.
PUBLISHED: dict[tuple[int, int], dict[str, Any]] = {
    pair: {"true": true} | dict(zip(("clip_kernels", "spectral", "gradient_penalty", "one_sided"), rows, strict=True))
    for pair, true, *rows in (
        ((2, 4), 0.817, (0.072, 0.849, 0.031), (0.213, 0.738, 0.152), (0.845, 0.087, 0.857), (0.818, 0.171, 0.885)),
        ((2, 16), 0.466, (0.070, 0.887, 0.044), (0.156, 0.845, 0.079), (0.681, 0.455, 0.422), (0.810, 0.152, 0.479)),
        ((2, 64), 0.230, (0.065, 0.847, -0.005), (0.075, 0.819, 0.003), (0.355, 1.084, 0.127), (0.676, 0.340, 0.224)),
        ((8, 4), 1.882, (0.341, 2.018, 1.109), (0.354, 1.080, 0.591), (0.961, 0.093, 1.998), (0.961, 0.098, 1.984)),
        ((8, 16), 1.585, (0.214, 2.440, 0.605), (0.261, 1.157, 0.338), (0.925, 0.177, 1.700), (0.925, 0.171, 1.662)),
        ((8, 64), 1.259, (0.120, 1.979, 0.210), (0.186, 1.112, 0.179), (0.817, 0.405, 1.163), (0.827, 0.345, 1.182)),
        ((16, 4), 1.941, (0.333, 6.896, 1.723), (0.352, 1.230, 0.633), (0.964, 0.091, 2.071), (0.964, 0.089, 2.122)),
        ((16, 256), 1.399, (0.155, 1.775, 0.285), (0.176, 1.121, 0.141), (0.607, 0.827, 0.914), (0.598, 0.790, 0.911)),
    )
}  # fmt: skip


# --- The pair of distributions ----------------------------------------------------------------------------------------


class Funnels(NamedTuple):
    """u(x) = min_n |x - centres[n]| + heights[n], of slope 1 almost everywhere."""

    centres: jax.Array  # [N, d]
    heights: jax.Array  # [N]


def draw_funnels(key: jax.Array, d: int, n: int) -> Funnels:
    """Centres uniform in the cube, heights from N(0, .01)."""
    centres_key, heights_key = jax.random.split(key)
    centres = jax.random.uniform(centres_key, (n, d), minval=-SIDE, maxval=SIDE)
    return Funnels(centres, 0.1 * jax.random.normal(heights_key, (n,)))


class Ray(NamedTuple):
    """The transport ray of u through a point: from a funnel's centre to another funnel or to a face of the cube."""

    centre: jax.Array  # [d]
    direction: jax.Array  # [d], of length 1, up the ray: the gradient of u on it
    here: jax.Array  # distance of the point from the centre
    length: jax.Array


def ray(funnels: Funnels, x: jax.Array) -> Ray:
    """The ray through x [d] in the cube."""
    away = x[None] - funnels.centres
    distances = jnp.linalg.norm(away, axis=1)
    nearest = jnp.argmin(distances + funnels.heights)
    here = distances[nearest]
    v = away[nearest] / here
    to_face = jnp.min((SIDE - x * jnp.sign(v)) / jnp.abs(v))
    # |x + r v - a_n| + b_n = u(x) + r, squared. A root r is a solution if u(x) + r - b_n is positive.
    gap = here + funnels.heights[nearest] - funnels.heights
    r = (jnp.square(distances) - jnp.square(gap)) / (2 * (gap - away @ v))
    intersects = (r > 0) & (r > -gap) & (jnp.arange(len(r)) != nearest)
    return Ray(
        funnels.centres[nearest], v, here, here + jnp.minimum(to_face, jnp.min(jnp.where(intersects, r, jnp.inf)))
    )


def transport(along: Ray) -> jax.Array:
    """The sample of p for a point of q: it moves along its ray from fraction t of the length to t^8: [d]."""
    t = along.here / along.length
    return along.centre + t**POWER * along.length * along.direction


# --- Training ---------------------------------------------------------------------------------------------------------


def game(method: str, d: int, batch_size: int) -> tuple[Gan, HParams]:
    """A game with a critic and no generator: G is the identity on z, which is uniform in the cube."""
    width = max(2 * d, 128)
    changes = {
        "generator.name": "toy",
        "prior.name": "uniform",
        "prior.size": d,
        "prior.scale": SIDE / math.sqrt(3),
        "discriminator.hidden": (width, width),
        "discriminator.activation": "relu",
        "objective.loss": "wasserstein",
        "train.batch_size": batch_size,
    }
    adam = {"learning_rate": 2e-4, "b1": 0.0, "b2": 0.9}
    changes |= {f"optimizer.discriminator.{name}": value for name, value in adam.items()}
    config = update(default(), changes | METHODS[method])
    gan = build(config, DataSpec((d,)), batch_size)
    gan = gan._replace(G=lambda theta_g, stats, z, y=None, **_: (z, stats))
    return clipped_kernels(gan) if method == "clip_kernels" else gan, traced(config)


def clipped_kernels(gan: Gan) -> Gan:
    """The game with weight clipping as released: kernels are clipped, biases are not."""

    def optimizer(player: str, hparams: HParams) -> optax.GradientTransformation:
        kernels = lambda params: jax.tree.map(lambda a: a.ndim > 1, params)  # noqa: E731
        return optax.chain(gan.optimizer(player, hparams), optax.masked(clip_weights(CLIP), kernels))

    return gan._replace(optimizer=optimizer)


def init_critic(gan: Gan, hparams: HParams) -> Player:
    """The critic at initialization: kernels and biases uniform within +- 1/sqrt(inputs), as in PyTorch's layers."""
    D = gan.init(hparams).discriminator
    key = jax.random.fold_in(run_stream(hparams, "init"), 2)
    layers = {}
    for i, (name, layer) in enumerate(D.params.items()):
        limit = 1 / math.sqrt(layer["kernel"].shape[0])
        keys = dict(zip(("kernel", "bias"), jax.random.split(jax.random.fold_in(key, i)), strict=True))
        layers[name] = {
            part: jax.random.uniform(keys[part], a.shape, minval=-limit, maxval=limit) for part, a in layer.items()
        }
    return Player(layers, D.stats, gan.optimizer("discriminator", hparams).init(layers))


def scores(f: Callable[[jax.Array], jax.Array], funnels: Funnels, key: jax.Array) -> dict[str, jax.Array]:
    """Compares a critic f, [n, d] -> [n], with the optimal critic -u on SCORED samples of p and as many of q.

    Returns:
      Scalars: `cosine`, the mean cosine of its gradient with that of -u at points of p; `L2`, the mean squared
      difference of the two; `W1`, its estimate E_p f - E_q f; `slope`, the mean norm of its gradient; `true`, the true
      W1, which is the mean length of the moves; `ceiling`, the cosine of the gradient of -u with the one that the
      released code computes for it.
    """
    q_points, other_q_points = jax.random.uniform(key, (2, SCORED, funnels.centres.shape[1]), minval=-SIDE, maxval=SIDE)
    rays = jax.vmap(partial(ray, funnels))(q_points)
    p = jax.vmap(transport)(rays)
    gradient = jax.grad(lambda x: jnp.sum(f(x)))(p)
    # The ray gives the direction even if t^8 is so small that p is the centre in float32. The released code computes
    # |p - a| as sqrt(|p|^2 + |a|^2 - 2 p a); where this is rounded to 0, its gradient is 0.
    nonzero = jnp.sum(p * p, axis=1) + jnp.sum(rays.centre**2, axis=1) - 2 * jnp.sum(p * rays.centre, axis=1) > 0
    along, slope = -jnp.sum(gradient * rays.direction, axis=1), jnp.linalg.norm(gradient, axis=1)
    return {
        "cosine": jnp.mean(along / jnp.maximum(slope, 1e-15)),
        "L2": jnp.mean(jnp.square(slope) - 2 * along + 1),
        "W1": jnp.mean(f(p)) - jnp.mean(f(other_q_points)),
        "slope": jnp.mean(slope),
        "true": jnp.mean(rays.here - (rays.here / rays.length) ** POWER * rays.length),
        "ceiling": jnp.mean(nonzero.astype(jnp.float32)),
    }


def potential(funnels: Funnels, x: jax.Array) -> jax.Array:
    """u: [n, d] -> [n]."""
    return jnp.min(jnp.linalg.norm(x[:, None] - funnels.centres[None], axis=-1) + funnels.heights[None], axis=1)


def grid_points() -> jax.Array:
    """A regular grid over the square: [PIXELS^2, 2]."""
    axis = jnp.linspace(-SIDE, SIDE, PIXELS)
    return jnp.stack(jnp.meshgrid(axis, axis), axis=-1).reshape(-1, 2)


def train(method: str, pair: tuple[int, int], *, steps: int, batch_size: int, seeds: int) -> dict[str, np.ndarray]:
    """Trains critics and returns their `scores` over training, [seeds, NUM_EVALS] each.

    A seed determines the funnels, the critic and the data. In two dimensions, the results include `critic` and `u` at
    `grid_points`, [seeds, PIXELS^2].
    """
    gan, hparams = game(method, pair[0], batch_size)
    indices = local_indices(gan.batch_size, None)

    def run(seed: jax.Array, n: jax.Array) -> dict[str, jax.Array]:
        seeded = hparams | {"seed": seed}
        funnels = draw_funnels(run_stream(seeded, "user"), *pair)

        def step(i: jax.Array, D: Player) -> Player:
            key = jax.random.fold_in(run_stream(seeded, "train"), i)
            noise = sample_noise(gan, seeded, key, indices)
            z = sample_noise(gan, seeded, jax.random.fold_in(key, gan.batch_size), indices).z
            x = jax.vmap(lambda x: transport(ray(funnels, x)))(z)
            G = Player({}, {}, optax.EmptyState())
            return discriminator_step(Frame(gan, seeded), G, D, Batch(x, UNCONDITIONAL, noise, i))[0]

        def train_and_score(D: Player, j: jax.Array) -> tuple[Player, dict[str, jax.Array]]:
            D = jax.lax.fori_loop(j * n, (j + 1) * n, step, D)
            return D, scores(lambda x: gan.D(D.params, D.stats, x)[0].logits, funnels, run_stream(seeded, "evaluate"))

        D, results = jax.lax.scan(train_and_score, init_critic(gan, seeded), jnp.arange(NUM_EVALS, dtype=jnp.uint32))
        if pair[0] == 2:
            critic = gan.D(D.params, D.stats, grid_points())[0].logits
            results |= {"critic": critic, "u": potential(funnels, grid_points())}
        return results

    # Sequential, because on a CPU vmap's batched products of this size take 50% longer.
    results = jax.jit(lambda seeds, n: jax.lax.map(lambda seed: run(seed, n), seeds))(
        np.arange(seeds, dtype=np.uint32), jnp.uint32(steps // NUM_EVALS)
    )
    return {name: np.asarray(a, np.float64) for name, a in results.items()}


# --- The command ------------------------------------------------------------------------------------------------------

Runs = dict[tuple[int, int], dict[str, dict[str, np.ndarray]]]


def table(runs: Runs) -> list[dict[str, Any]]:
    """Prints and returns the last scores of each pair and method: published, and ours with 95% intervals over seeds."""
    rows = []
    for pair, methods in runs.items():
        published = PUBLISHED.get(pair, {})
        first = next(iter(methods.values()))
        true, ceiling = mean_interval(first["true"][:, -1]), mean_interval(first["ceiling"][:, -1])
        print(f"\nd, N = {pair[0]}, {pair[1]}: true W1 {true.text(3)}, published {published.get('true', '-')}; "
              f"ceiling of the released cosine {ceiling.text(3)}")  # fmt: skip
        print(f"{'':18}{'cosine':>9} {'':22}{'L2':>8} {'':22}{'W1 / true':>10}")
        for method, found in methods.items():
            ours = {
                "cosine": mean_interval(found["cosine"][:, -1]),
                "L2": mean_interval(found["L2"][:, -1]),
                "W1 / true": mean_interval(found["W1"][:, -1] / found["true"][:, -1]),
            }
            row_published = published.get(method)
            if row_published is not None:
                row_published = (row_published[0], row_published[1], row_published[2] / published["true"])
            rows.append({"pair": pair, "method": method, "published": row_published, "true": true._asdict(),
                         **{name: mean._asdict() for name, mean in ours.items()}})  # fmt: skip
            columns_published = ["-"] * 3 if row_published is None else [f"{number:.3f}" for number in row_published]
            columns = zip(columns_published, ours.values(), strict=True)
            print(f"{method:18}" + "".join(f"{number:>8}  {mean.text(3):22}" for number, mean in columns))
    return rows


def verdicts(runs: Runs, limits: str = "") -> dict[str, lab.Verdict]:
    """The verdict on each part of the claim that was run, over all runs.

    Args:
      limits: what shorter training than the published one cannot decide; "" = as published.
    """
    last = {pair: {m: {k: a[:, -1] for k, a in values.items() if k in ("cosine", "W1", "true")}
                   for m, values in methods.items()} for pair, methods in runs.items()}  # fmt: skip
    pairs = [(method, values) for methods in last.values() for method, values in methods.items()]
    ratios = lambda which: [values["W1"] / values["true"] for method, values in pairs if (method in PENALIZED) == which]  # noqa: E731
    parts = {
        f"W1 of clipped and spectral critics is off by more than {TOLERANCE:.0%}": [
            np.all(np.abs(ratio - 1) > TOLERANCE) for ratio in ratios(False)
        ],
        f"W1 of penalized critics is within {TOLERANCE:.0%}": [
            np.all(np.abs(ratio - 1) < TOLERANCE) for ratio in ratios(True)
        ],
        "penalized critics have the better direction": [
            np.all(methods[better]["cosine"] > methods[worse]["cosine"])
            for methods in last.values()
            for better in set(methods) & set(PENALIZED)
            for worse in set(methods) - set(PENALIZED)
        ],
    }
    decided = lambda outcomes: lab.reproduced(outcomes, limits) if limits else outcomes  # noqa: E731
    held = {claim: decided(lab.in_every_run(outcomes)) for claim, outcomes in parts.items() if outcomes}
    for d, fewer in last:
        for d_, more in last:
            if d == d_ and fewer < more:
                falls = [float(np.mean(last[d, more][m]["cosine"])) < float(np.mean(last[d, fewer][m]["cosine"]))
                         for m in last[d, fewer]]  # fmt: skip
                claim = f"cosine falls from N = {fewer} to {more} in {d} dimensions, for every method"
                held[claim] = decided(lab.in_every_run(falls))
    return held


def picture(runs: Runs) -> bytes:
    """Plots level sets of the first seed's critics, cosines during training, and W1 relative to its true value."""
    names = list(next(iter(runs.values())))
    colors = dict(zip(names, LINES, strict=False))
    two_dimensional = next((methods for pair, methods in runs.items() if pair[0] == 2), None)
    figure = new_figure(13.5, 7.6 if two_dimensional else 4.2)
    upper, lower = figure.subfigures(2, 1, height_ratios=(0.8, 1)) if two_dimensional else (None, figure)
    if two_dimensional:
        panels = {"-u": -next(iter(two_dimensional.values()))["u"][0]} | {
            name: result["critic"][0] for name, result in two_dimensional.items()
        }
        for axis, (name, values) in zip(np.atleast_1d(upper.subplots(1, len(panels))), panels.items(), strict=True):
            axis.contourf(values.reshape(PIXELS, PIXELS), levels=16, cmap="viridis")
            axis.set(title=name, xticks=[], yticks=[], aspect="equal")
    curves, bars = lower.subplots(1, 2)
    for (pair, methods), style in zip(runs.items(), ("-", "--", ":", "-."), strict=False):
        for name, result in methods.items():
            fractions = np.arange(1, NUM_EVALS + 1) / NUM_EVALS
            curves.plot(fractions, result["cosine"].mean(axis=0), style, color=colors[name])
        curves.plot([], [], style, color="black", label=f"d, N = {pair[0]}, {pair[1]}")
    curves.set(xlabel="fraction of the steps", title="cosine with the true gradient, mean over seeds", ylim=(0, 1))
    curves.legend(frameon=False)
    for i, (pair, methods) in enumerate(runs.items()):
        for j, (name, result) in enumerate(methods.items()):
            x = i + (j - (len(names) - 1) / 2) * 0.15
            ratios = result["W1"][:, -1] / result["true"][:, -1]
            bars.plot(np.full(len(ratios), x), ratios, ".", color=colors[name], label=None if i else name)
            if name in PUBLISHED.get(pair, {}):
                bars.plot(x, PUBLISHED[pair][name][2] / PUBLISHED[pair]["true"], "_", color=colors[name], markersize=12)
    bars.plot([], [], "_", color="black", markersize=12, label="published")
    bars.axhline(1, color="black", linewidth=0.8)
    bars.set_xticks(range(len(runs)), [f"{d}, {n}" for d, n in runs])
    bars.set(xlabel="d, N", title="estimated W1 / true W1, per seed")
    bars.legend(frameon=False, fontsize=8, ncols=2)
    lab.tidy(curves, bars)
    return figure_png(figure)


def as_pair(text: str) -> tuple[int, int]:
    """Parses '2,4' as (2, 4).

    Raises:
      UserError: something else.
    """
    parts = text.split(",")
    if len(parts) != 2 or not all(part.isdigit() and int(part) > 0 for part in parts):
        raise UserError(f"--pair={text} must be the dimension and the number of funnels, such as 2,4.")
    return int(parts[0]), int(parts[1])


def main() -> None:
    parser = lab.make_parser("critics", __doc__, quick="the first pair, 300 steps, one seed")
    parser.add_argument(
        "--full", action="store_true", help="the released numbers of steps and minibatch size; hours on a CPU"
    )
    parser.add_argument("--pair", nargs="+", help="dimension,funnels; default 2,4 2,64 8,4 8,64")
    parser.add_argument("--method", nargs="+", default=list(METHODS), help=f"any of {', '.join(METHODS)}; default: all")
    parser.add_argument(
        "--steps", type=int, help="maximum number of steps; no method is trained longer than in the released code"
    )
    parser.add_argument("--batch_size", type=int)
    parser.add_argument("--seeds", type=int)
    full_steps, full_batch = (max(RELEASED.values()), 1024) if "--full" in sys.argv else (5000, 256)
    flags = lab.parse(parser, steps=(full_steps, 300), batch_size=(full_batch, 64), seeds=(3, 1))
    pairs = [as_pair(text) for text in flags.pair] if flags.pair else list(DEFAULT_PAIRS[: 1 if flags.quick else None])
    names, steps, batch_size, seeds = flags.method, flags.steps, flags.batch_size, flags.seeds
    lab.check_choices("--method", names, METHODS)
    if steps < NUM_EVALS or batch_size < 1 or seeds < 1:
        raise UserError(
            f"--steps={steps} must be {NUM_EVALS} or more, --batch_size={batch_size} and --seeds={seeds} 1 or more."
        )

    started_at = time.perf_counter()
    runs: Runs = {pair: {} for pair in pairs}
    for pair in pairs:
        for name in names:
            count = min(steps, RELEASED[name])
            setting = {"steps": count, "batch_size": batch_size, "seeds": seeds}
            compute = partial(train, name, pair, **setting)
            results = lab.cached(flags.out, {"method": name, "pair": pair} | setting, compute)
            runs[pair][name] = {score: np.asarray(numbers) for score, numbers in results.items()}
            print(f"{pair[0]}, {pair[1]} {name}: {time.perf_counter() - started_at:.0f} s", file=sys.stderr, flush=True)
    shorter = [name for name in names if steps < RELEASED[name]]
    limits = f"{', '.join(shorter)} trained for {steps:,} steps, fewer than in the released code" if shorter else ""
    rows = table(runs)
    seconds = time.perf_counter() - started_at
    scored = {f"{d}, {n}": {name: {k: a for k, a in results.items() if k not in ("critic", "u")}
                          for name, results in methods.items()} for (d, n), methods in runs.items()}  # fmt: skip
    result = {"table": rows, "runs": scored, "steps": steps, "batch_size": batch_size, "seeds": seeds}
    lab.finish(flags.out, result | {"seconds": seconds}, {"critics": picture(runs)}, verdicts(runs, limits))


if __name__ == "__main__":
    lab.run(main)
