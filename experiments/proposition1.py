"""Proposition 1: for a fixed G, the optimal discriminator is D*(x) = p_data(x) / (p_data(x) + p_g(x)).

    python -m experiments.proposition1 [--out=runs/proposition1]

Claim (arXiv:1406.2661, section 4.1). D is an MLP, trained alone by `game.step.discriminator_step`. It is given only
minibatches of x and of G(z), no densities, and still learns the ratio of the two densities wherever either has mass.
p_data is a mixture of two normal distributions; G(z) = 0.5 + 1.5 z for normal z, so p_g = N(0.5, 1.5^2) exactly. The
error is the mean of |D(x) - D*(x)| over x from (p_data + p_g) / 2, by quadrature; five seeds.

D has two hidden layers of 32 tanh units; minibatches of 512, momentum 0.9, learning rate decaying from 0.15 to 0.003.

Expected: an error below 0.01 for every seed.
Written to --out: proposition1.png (seed 0).
Measured: 0.0034 (0.0025 to 0.0040). 60 s on 2 CPU cores (AMD EPYC, busy with other work), 2026-11-23.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import ArrayLike
from ml_collections import ConfigDict

from experiments import lab
from jaxgan.config import default, update
from jaxgan.config.hparams import traced
from jaxgan.data import mixture
from jaxgan.data.mixture import Mixture, log_density
from jaxgan.game.batches import Batch, Frame, TrainingSet, local_indices, sample_data, sample_noise
from jaxgan.game.build import build
from jaxgan.game.gan import Gan
from jaxgan.game.hparams import HParams
from jaxgan.game.state import Player, run_stream
from jaxgan.game.step import discriminator_step
from jaxgan.networks.layers import DataSpec
from jaxgan.objectives.theory import generator_criterion, optimal_discriminator
from jaxgan.run.plots import BLUE, GREEN, ORANGE, figure_png, new_figure

SEEDS, STEPS = 5, 8000
LIMIT = 0.01
SHIFT, SCALE = 0.5, 1.5  # G(z) = SHIFT + SCALE z


def settings(steps: int) -> ConfigDict:
    """A game whose D learns a 1-D density ratio in `steps` steps; the learning rate decays by a factor of 50."""
    sgd = {"name": "sgd", "learning_rate": 0.15, "momentum": 0.9}
    sgd |= {"schedule.name": "exponential", "schedule.decay": 50 ** (1 / steps)}
    return update(
        default(),
        {
            "prior.size": 1,
            "generator.output": "linear",
            "discriminator.hidden": (32, 32),
            "discriminator.activation": "tanh",
            "discriminator.irange": 0.5,
            "train.batch_size": 512,
            "train.steps": steps,
        }
        | {f"optimizer.discriminator.{key}": value for key, value in sgd.items()},
    )


def affine(gan: Gan) -> Gan:
    """The game with G(z) = shift + scale z, so that p_g = N(shift, scale^2) for normal z."""

    def G(theta_g, stats, z, y=None, **_):
        return theta_g["shift"] + theta_g["scale"] * z, stats

    return gan._replace(G=G)


def affine_player(shift: ArrayLike, scale: ArrayLike) -> Player:
    """The parameters of a fixed affine G. shift, scale: scalars."""
    theta_g = {"shift": jnp.asarray(shift, jnp.float32), "scale": jnp.asarray(scale, jnp.float32)}
    return Player(theta_g, {}, optax.EmptyState())


def normal(shift: ArrayLike, scale: ArrayLike) -> Mixture:
    """p_g of `affine` as a mixture of one component. shift, scale: scalars."""
    shift, scale = jnp.asarray(shift, jnp.float32), jnp.asarray(scale, jnp.float32)
    return Mixture(jnp.ones(1), shift.reshape(1, 1), scale.reshape(1))


def train_discriminator(
    *, gan: Gan, hparams: HParams, G: Player, D: Player, data: jax.Array, start: jax.Array, steps: jax.Array
) -> Player:
    """D after `steps` ascent steps on V(D, G) with G held fixed: the inner loop of Algorithm 1.

    Args:
      data: [n, *shape], the training set.
      start: scalar uint32, the number of steps that D has already made; it selects the noise keys.
      steps: scalar uint32.
    """
    order, key = run_stream(hparams, "order"), run_stream(hparams, "train")
    indices = local_indices(gan.batch_size, None)

    def step(i: jax.Array, D: Player) -> Player:
        x, y = sample_data(gan, order, TrainingSet(data), first=i * jnp.uint32(gan.batch_size), indices=indices)
        noise = sample_noise(gan, hparams, jax.random.fold_in(key, i), indices)
        return discriminator_step(Frame(gan, hparams), G, D, Batch(x, y, noise))[0]

    return jax.lax.fori_loop(start, start + steps, step, D)


def outcome(steps: int, seeds: int) -> tuple[np.ndarray, ...]:
    """Trains a D for each seed.

    Returns:
      x [cells], dx, p_data(x), p_g(x), D(x) [seeds, cells]
    """
    density, train, *_ = mixture.load("bimodal")
    config = settings(steps)
    gan = affine(build(config, DataSpec((1,)), len(train)))
    hparams = traced(config)

    @jax.jit
    @partial(jax.vmap, in_axes=(0, None))
    def train_one(seed: jax.Array, data: jax.Array) -> jax.Array:
        seeded = hparams | {"seed": seed}
        D = train_discriminator(
            gan=gan,
            hparams=seeded,
            G=affine_player(SHIFT, SCALE),
            D=gan.init(seeded).discriminator,
            data=data,
            start=jnp.uint32(0),
            steps=jnp.uint32(steps),
        )
        return jax.nn.sigmoid(gan.D(D.params, D.stats, x)[0].logits)

    x, dx = mixture.grid(normal(SHIFT, SCALE), 2000)  # the wider of the two densities
    p_data, p_g = np.exp(log_density(density, x)), np.exp(log_density(normal(SHIFT, SCALE), x))
    D = train_one(np.arange(seeds, dtype=np.uint32), train)
    return np.asarray(x)[:, 0], np.asarray(dx), p_data, p_g, np.asarray(D)


def error(D: np.ndarray, *, p_data: np.ndarray, p_g: np.ndarray, dx: np.ndarray) -> float:
    """The mean of |D(x) - D*(x)| over x from (p_data + p_g) / 2. D, p_data, p_g: [cells]."""
    return float(np.sum(np.abs(D - optimal_discriminator(p_data, p_g)) * (p_data + p_g) / 2 * dx))


def picture(*, x: np.ndarray, p_data: np.ndarray, p_g: np.ndarray, D: np.ndarray) -> bytes:
    """Plots the densities and, below them, the trained D over D*."""
    figure = new_figure(6.4, 5)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(1, 1.4))
    above.plot(x, p_data, color="black", linestyle=":", linewidth=1.8, label=r"$p_\mathrm{data}$")
    above.plot(x, p_g, color=GREEN, linewidth=1.8, label="$p_g$")
    above.set_ylabel("density")
    best = optimal_discriminator(p_data, p_g)
    label = r"$D^* = p_\mathrm{data} / (p_\mathrm{data} + p_g)$"
    below.plot(x, best, color=ORANGE, linewidth=5, alpha=0.4, label=label)
    below.plot(x, D, color=BLUE, linestyle="--", linewidth=1.6, label="$D$, trained")
    below.set_ylabel("$D(x)$")
    below.set_xlabel("$x$")
    below.set_ylim(-0.03, 1.03)
    below.set_xlim(SHIFT - 3 * SCALE, SHIFT + 3 * SCALE)
    for axis in (above, below):
        lab.tidy(axis)
        axis.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False, borderaxespad=0.1)
    return figure_png(figure)


def verdicts(result: Mapping[str, Any]) -> dict[str, lab.Verdict]:
    """The verdict on each part of the claim, from the content of result.json."""
    return {f"mean |D - D*| is below {LIMIT}": lab.in_every_run(value < LIMIT for value in result["errors"])}


def main() -> None:
    parser = lab.make_parser("proposition1", __doc__)
    flags = parser.parse_args()

    started = time.perf_counter()
    x, dx, p_data, p_g, D = outcome(STEPS, SEEDS)
    seconds = time.perf_counter() - started
    errors = [error(D_x, p_data=p_data, p_g=p_g, dx=dx) for D_x in D]
    print("seed  mean |D - D*|")
    for seed, value in enumerate(errors):
        print(f"{seed:4d}  {value:13.5f}")
    print(f"mean  {np.mean(errors):13.5f}   ({STEPS} steps of D, {seconds:.0f} s)")
    print(f"C(G) = {generator_criterion(p_data, p_g, dx):.4f} nats")
    pictures = {"proposition1": picture(x=x, p_data=p_data, p_g=p_g, D=D[0])}
    result = {"errors": errors, "steps": STEPS, "seconds": seconds}
    held = verdicts(result)
    lab.finish(flags.out, result, pictures, held)
    lab.require(held)


if __name__ == "__main__":
    lab.run(main)
