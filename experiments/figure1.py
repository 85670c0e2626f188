"""Figure 1: the game in one dimension, from a pair near convergence to p_g = p_data.

    python -m experiments.figure1 [--out=runs/figure1]

Claim (arXiv:1406.2661, Figure 1 and section 4): Algorithm 1 drives p_g to p_data, where D is 1/2 everywhere. Both are
tested with five seeds, trained in parallel by `vmap` over the seed of `algorithm1.accumulate_steps`: JSD(p_data || p_g)
is below 0.01 nats and the mean of D(G(z)) within 0.02 of 1/2, for each seed and on average.

The players. p_data is the standard normal distribution. z is uniform on (-1, 1), as in the paper's figure, and G is an
MLP applied to 2 artanh(z). A continuous G of z itself would have bounded support and could not reach p_g = p_data (it
stalls at a JSD of 0.01, all of it in the tails). 2 artanh(z) has a logistic distribution, so what remains to be learned
is the location, the width and the tails. tanh units, 32 in G, 32 and 32 in D.

Training. As in the paper, the pair starts close to p_data; then (a) D is partially accurate, (b) the inner loop has
brought D to D* = p_data / (p_data + p_g), (c) G has followed the gradient of D, (d) both have converged. Before (b)
only D is trained (G's learning rate is 0); after it, the updates are Algorithm 1 with k = 1. Minibatches of 512, Adam
without momentum, D's learning rate 2.5 times G's. Both learning rates are reduced by a factor of 25: otherwise the game
circles its equilibrium at a distance set by the learning rate (JSD 0.0001 to 0.012).

p_g is not estimated from samples: the exact probabilities of 4096 intervals of z are distributed over the intervals of
x that G maps them to, which is valid for any G and smooths only within such an interval. The mean of D(G(z)) is
computed likewise.

Expected: 5 of 5 seeds converge, to a JSD below 0.002 and a mean D(G(z)) within 0.005 of 1/2.
Written to --out: figure1.png (four panels of the first seed whose G is increasing, since otherwise the arrows cross)
and figure1.gif.
Measured: JSD 0.0003 (0.0001 to 0.0009), mean D(G(z)) 0.4995 (0.498 to 0.501); all of 15 seeds converge (JSD 0.0013 at
most). 40 to 70 s on 2 CPU cores (AMD EPYC, busy with other work), 2026-11-23.
"""

from __future__ import annotations

import io
import time
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from ml_collections import ConfigDict
from PIL import Image

from experiments import lab
from jaxgan.algorithm1 import accumulate_steps, zero_metrics
from jaxgan.config import default, update
from jaxgan.config.hparams import traced
from jaxgan.data import mixture
from jaxgan.files import write_atomically
from jaxgan.game.batches import TrainingSet
from jaxgan.game.build import build
from jaxgan.game.gan import Gan
from jaxgan.game.hparams import HParams
from jaxgan.game.state import GanState
from jaxgan.networks.layers import DataSpec
from jaxgan.objectives.theory import js_divergence
from jaxgan.run.plots import BLUE, GREEN, figure_png, new_figure

SEEDS = 5
START = 1.0  # the initial mean of p_g; that of p_data is 0
PARTLY, INNER = 20, 1500  # steps of D alone up to (a), and up to (b)
MOVED, GAME = 40, 4000  # steps of both players from (b) to (c), and from (b) to (d)
DECAY = 0.04  # total factor of both learning rates
LIMIT_JSD, LIMIT_D = 0.01, 0.02

EDGES = np.linspace(-8, 8, 801)  # of the cells of x that densities are averaged over
X = ((EDGES[1:] + EDGES[:-1]) / 2).astype(np.float32)
DX = EDGES[1] - EDGES[0]
# The borders of the intervals of z, evenly spaced in 2 artanh(z), so that they are dense where its slope is steep.
Z = np.tanh(np.linspace(-14, 14, 4097) / 2)
MASS = np.diff(Z) / 2  # of p_z


def settings() -> ConfigDict:
    adam = {"name": "adam", "b1": 0.0, "b2": 0.99}
    return update(
        default(),
        {
            "data.name": "mixture:gaussian",
            "prior.name": "uniform",
            "prior.size": 1,
            "prior.scale": (1 - 1e-6) / 3**0.5,  # z in (-1, 1), and artanh(z) is finite
            "generator.hidden": (32,),
            "generator.activations": ("tanh",),
            "generator.output": "linear",
            "generator.irange": 0.5,
            "generator.output_irange": 0.4,
            "discriminator.hidden": (32, 32),
            "discriminator.activation": "tanh",
            "discriminator.irange": 0.6,
            "objective.d_scale": 0.5,  # as in the paper's recipes
            "optimizer.generator.learning_rate": 2e-3,
            "optimizer.discriminator.learning_rate": 5e-3,
            "train.batch_size": 512,
        }
        | {f"optimizer.{name}.{k}": v for name in ("generator", "discriminator") for k, v in adam.items()},
    )


class Moment(NamedTuple):
    """A time at which the game is recorded."""

    label: str  # '(a)', ... for a panel, else ''
    alone: int  # steps of D alone
    both: int  # steps of both players after them


class Frame(NamedTuple):
    """G and D of every seed at one moment."""

    moment: Moment
    p_g: np.ndarray  # [seeds, len(X)]
    D: np.ndarray  # [seeds, len(X)], D(x)
    mean_D: np.ndarray  # [seeds], the mean of D(G(z))
    G: np.ndarray  # [seeds, len(Z)], G(z)
    jsd: np.ndarray  # [seeds]


def pushforward(x: jax.Array) -> jax.Array:
    """The density of G(z), averaged over the cells of x.

    Args:
      x: [len(Z)] float32, G at the borders of the intervals of z; between them G counts as linear.

    Returns:
      [len(X)] float32.
    """
    low, high = jnp.minimum(x[:-1], x[1:]), jnp.maximum(x[:-1], x[1:])
    length = jnp.maximum(high - low, 1e-6)
    mass = jnp.asarray(MASS, jnp.float32)
    below = jax.vmap(lambda edge: jnp.sum(mass * jnp.clip((edge - low) / length, 0, 1)))
    return jnp.diff(below(jnp.asarray(EDGES, jnp.float32))) / jnp.float32(DX)


def course() -> list[Moment]:
    """The moments of the animation, including the four panels."""
    both = sorted({round(n) for n in np.geomspace(8, GAME, 36)})
    moved = min(both, key=lambda n: abs(n - MOVED))
    alone = {0: "", 5: "", 10: "", PARTLY: "(a)", 40: "", 80: "", 160: "", 320: "", 640: "", INNER: "(b)"}
    return [Moment(label, n, 0) for n, label in alone.items()] + [
        Moment({moved: "(c)", GAME: "(d)"}.get(n, ""), INNER, n) for n in both
    ]


def game(config: ConfigDict) -> tuple[Gan, np.ndarray, np.ndarray]:
    """The players, the training set, and p_data at X."""
    density, train, *_ = mixture.load(config.data.name.removeprefix("mixture:"))
    gan = build(config, DataSpec((1,), mean=np.array([START])), len(train))
    p_data = np.exp(mixture.log_density(density, X[:, None]))

    def G(theta_g, stats, z, *y, **kwargs):
        return gan.G(theta_g, stats, 2 * jnp.arctanh(z), *y, **kwargs)

    return gan._replace(G=G), train, p_data


def train(gan: Gan, *, hparams: HParams, state: GanState, data: jax.Array, n: jax.Array) -> GanState:
    """The state after n iterations of Algorithm 1 on data [examples, 1]."""
    examples = TrainingSet(data)
    sums = zero_metrics(gan, hparams, state, examples)
    return accumulate_steps(gan=gan, hparams=hparams, state=state, sums=sums, data=examples, n=n)[0]


def play(config: ConfigDict, seeds: int, moments: list[Moment]) -> tuple[list[Frame], np.ndarray]:
    """Trains all seeds in parallel; returns the frames at the `moments`, and p_data at X."""
    gan, examples, p_data = game(config)
    hparams = traced(config) | {"seed": np.arange(seeds, dtype=np.uint32)}
    axes = {key: 0 if key == "seed" else None for key in hparams}
    state = jax.jit(jax.vmap(gan.init, in_axes=(axes,)))(hparams)

    @partial(jax.jit, donate_argnums=1)
    @partial(jax.vmap, in_axes=(axes, 0, None, None))
    def steps(hparams, state, data, n):
        return train(gan, hparams=hparams, state=state, data=data, n=n)

    record_all = jax.jit(jax.vmap(partial(record, gan), in_axes=(0, None)))

    frames, before = [], Moment("", 0, 0)
    for moment in moments:
        rates = learning_rates(hparams, generator=0.0, discriminator=1.0)
        state = steps(hparams | rates, state, examples, np.uint32(moment.alone - before.alone))
        decay = DECAY ** (before.both / GAME)
        rates = learning_rates(hparams, generator=decay, discriminator=decay)
        state = steps(hparams | rates, state, examples, np.uint32(moment.both - before.both))
        frames.append(Frame(moment, *jax.tree.map(np.asarray, record_all(state, p_data))))
        before = moment
    return frames, p_data


def learning_rates(hparams: HParams, generator: float, discriminator: float) -> HParams:
    """The two learning rates, each multiplied by a factor."""
    factors = {"generator": generator, "discriminator": discriminator}
    return {
        (key := f"optimizer.{player}.learning_rate"): hparams[key] * np.float32(factor)
        for player, factor in factors.items()
    }


def record(gan: Gan, state: GanState, p_data: jax.Array) -> tuple[jax.Array, ...]:
    """One seed's p_g, D(x), mean of D(G(z)), G(z) and JSD: see `Frame`."""
    G, D = state.generator, state.discriminator
    x = gan.G(G.params, G.stats, jnp.asarray(Z, jnp.float32)[:, None])[0][:, 0]
    p_g = pushforward(x)

    def probability(x: jax.Array) -> jax.Array:
        return jax.nn.sigmoid(gan.D(D.params, D.stats, x[:, None])[0].logits)

    mean_D = jnp.sum(jnp.asarray(MASS, jnp.float32) * probability((x[1:] + x[:-1]) / 2))
    return p_g, probability(jnp.asarray(X)), mean_D, x, js_divergence(p_data, p_g, DX)


def draw(axis: Axes, frame: Frame, *, seed: int, p_data: np.ndarray, arrows: int) -> None:
    """One panel: the densities and D over the x axis, below it the z axis with arrows z -> x = G(z)."""
    half = 4.2
    visible = np.abs(X) <= half
    axis.plot(X[visible], p_data[visible], color="black", linestyle=":", linewidth=1.6, label=r"$p_\mathrm{data}$")
    axis.plot(X[visible], frame.p_g[seed, visible], color=GREEN, linewidth=1.8, label="$p_g$")
    axis.plot(X[visible], frame.D[seed, visible], color=BLUE, linestyle="--", linewidth=1.6, label="$D$")
    x_line, z_line, width = -0.13, -0.42, 3.2  # heights of the two axes; where z = 1 is drawn
    axis.plot([-half, half], [x_line, x_line], color="black", linewidth=1)
    axis.plot([-width, width], [z_line, z_line], color="black", linewidth=1)
    for z in (np.arange(arrows) + 0.5) / arrows * 2 - 1:
        x = np.interp(z, Z, frame.G[seed])
        axis.annotate(
            "", (x, x_line), (width * z, z_line),
            arrowprops={"arrowstyle": "-|>", "linewidth": 0.6, "mutation_scale": 6, "shrinkA": 0, "shrinkB": 0},
        )  # fmt: skip
    axis.text(half + 0.1, x_line, "x", va="center", style="italic")
    axis.text(half + 0.1, z_line, "z", va="center", style="italic")
    axis.set_xlim(-half - 0.1, half + 0.5)
    axis.set_ylim(z_line - 0.05, 1.05)
    axis.set_yticks([0, 0.5, 1], ["0", "½", "1"])
    axis.spines["left"].set_bounds(0, 1)
    axis.spines[["top", "right", "bottom"]].set_visible(False)
    axis.set_xticks([])


def caption(frame: Frame, seed: int) -> str:
    _, alone, both = frame.moment
    when = f"both, step {both}" if both else f"D alone, step {alone}"
    return f"{when}\nJSD {frame.jsd[seed]:.4f}   mean D(G(z)) {frame.mean_D[seed]:.3f}"


def picture(frames: list[Frame], seed: int, p_data: np.ndarray) -> bytes:
    """The four panels, as a PNG."""
    panels = [frame for frame in frames if frame.moment.label]
    figure = new_figure(11, 3.5)
    row = figure.subplots(1, len(panels), sharey=True)
    for axis, frame in zip(row, panels, strict=True):
        draw(axis, frame, seed=seed, p_data=p_data, arrows=16)
        axis.set_title(f"{frame.moment.label} {caption(frame, seed)}", fontsize="medium")
    figure.legend(*row[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    return figure_png(figure)


def animation(frames: list[Frame], seed: int, p_data: np.ndarray) -> bytes:
    """All frames as a GIF that pauses at the four panels."""
    pictures = []
    for frame in frames:
        figure = new_figure(5, 4)
        axis = figure.subplots()
        draw(axis, frame, seed=seed, p_data=p_data, arrows=24)
        axis.set_title(caption(frame, seed), fontsize="medium")
        figure.legend(loc="outside lower center", ncols=3, frameon=False)
        frame_png = Image.open(io.BytesIO(figure_png(figure)))
        pictures.append(frame_png.convert("RGB").quantize(32, dither=Image.Dither.NONE))
    data = io.BytesIO()
    durations = [1500 if frame.moment.label else 150 for frame in frames]
    pictures[0].save(data, "GIF", save_all=True, append_images=pictures[1:], duration=durations, loop=0, optimize=True)
    return data.getvalue()


def verdicts(result: Mapping[str, Any]) -> dict[str, lab.Verdict]:
    """The verdict on each part of the claim, from the content of result.json."""
    close = [abs(mean - 0.5) < LIMIT_D for mean in result["mean_D"]]
    return {
        f"JSD ends below {LIMIT_JSD}": lab.in_every_run(jsd < LIMIT_JSD for jsd in result["jsd"]),
        f"mean D(G(z)) ends within {LIMIT_D} of 1/2": lab.in_every_run(close),
    }


def main() -> None:
    parser = lab.make_parser("figure1", __doc__)
    flags = parser.parse_args()

    started = time.perf_counter()
    frames, p_data = play(settings(), SEEDS, course())
    seconds = time.perf_counter() - started
    last = frames[-1]
    print(f"{'seed':>6} {'initial JSD':>13} {'final':>9} {'mean D(G(z))':>13}")
    rows = zip(frames[0].jsd, last.jsd, last.mean_D, strict=True)
    for seed, (first, jsd, mean_D) in enumerate(rows):
        print(f"{seed:6d} {first:13.5f} {jsd:9.5f} {mean_D:13.4f}")
    print(f"{'mean':>6} {frames[0].jsd.mean():13.5f} {last.jsd.mean():9.5f} {last.mean_D.mean():13.4f}")
    print(f"{SEEDS} seeds, {INNER} steps of D alone, {GAME} of both, in {seconds:.0f} s")

    rising = [seed for seed in range(SEEDS) if all(frame.G[seed, -1] > frame.G[seed, 0] for frame in frames)]
    seed = rising[0] if rising else 0
    write_atomically(flags.out / "figure1.gif", animation(frames, seed, p_data))
    result = {"jsd": last.jsd, "mean_D": last.mean_D, "seed shown": seed, "seconds": seconds}
    held = verdicts(result)
    lab.finish(flags.out, result, {"figure1": picture(frames, seed, p_data)}, held)
    lab.require(held)


if __name__ == "__main__":
    lab.run(main)
