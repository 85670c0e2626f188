"""How large a Lipschitz constant G needs to generate two modes, and how large it is in trained generators.

    python -m experiments.lipschitz [--quick] [--out=runs/lipschitz] [--distance 1 1.5 2] [--scale 2 5 20]
                                    [--steps=3000] [--seeds=5]

Claims (Salmona, de Bortoli, Delon and Desolneux, arXiv:2206.14476). If z is normal and p_g = w N(m_1, s^2) + (1 - w)
N(m_2, s^2), the Lipschitz constant of G is at least s exp(d^2 / (8 s^2) - Phi^-1(w)^2 / 2), d = m_2 - m_1 (quoted from
memory); and the total variation distance of p_g from p is bounded from below in terms of the distance of the modes and
the Lipschitz constant of G.

1. By quadrature. The smallest Lipschitz constant is max over x of phi(Phi^-1(F(x))) / p(x), by the Gaussian
   isoperimetric inequality, and is attained by G = F^-1(Phi(z)) in one dimension (derived here). For w = 1/2 and modes
   at +-m it equals the bound, s exp(m^2 / 2 s^2). For other w the bound is not tight; divided by 2 sqrt(w (1 - w)) it
   is nearly so. `least_total_variation` is the smallest TV that a Lipschitz constant allows (derived here; w = 1/2).
2. By training. Modes at +-1, 1.5, 2 with standard deviation .5; G and D have 2 x 64 ReLU units, z is normal and
   one-dimensional, Adam with learning rate 1e-3 (0, .99) and cosine decay to 0, minibatches of 128,
   `algorithm1.train_step`: NS-GAN without a penalty; WGAN-GP with weight .1 (as in its authors' toy experiments; with 1
   the modes come out too narrow, with 10 G collapses to a point) and five steps of D; R3GAN, i.e. the relativistic loss
   with R1 and R2 of .1. In addition, R3GAN with a spectrally normalized G applied to L z, which cannot have a slope
   above L.

Expected: no run is below the smallest TV for its slope, none is steeper than its limit L; at m = 1 slopes are near the
required 3.69, at m = 2 far below the required 1490.
Written to --out: lipschitz.png, result.json, and parts/ (results that a repeated command reuses).
Measured, 5 seeds of 3,000 steps, means with 95% t intervals; 341 s of CPU time on two cores of an AMD EPYC (Zen 3) that
were busy with other work, 2026-11-26:

    m (needs)    NS-GAN slope, TV            R3GAN slope, TV             R3GAN, L = 2: TV, least
    1    (3.7)   3.5 [3.2, 3.9]     .07      3.6 [3.2, 3.9]     .06      .092 [.079, .105], .046
    1.5   (45)   30.2 [28.4, 32.1]  .11      27.0 [22.8, 31.1]  .09      .247 [.242, .251], .218
    2   (1490)   72 [57, 87]        .18      66 [57, 75]        .17      .405 [.404, .406], .345

None of the 90 runs is below the smallest TV for its slope or steeper than its limit. At m = 2 the slopes are a
twentieth of what is required, yet they would allow a TV of .005: the error there is in the weights of the modes, not
due to the slope. With L = 2, the TV is within a fifth of the smallest one at m = 1.5 and 2: there the slope is what
limits G.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import ndtr, ndtri

from experiments import lab
from jaxgan.algorithm1 import accumulate_steps, zero_metrics
from jaxgan.config import default, update
from jaxgan.config.hparams import traced
from jaxgan.errors import UserError
from jaxgan.game.batches import TrainingSet
from jaxgan.game.build import build
from jaxgan.game.gan import Gan
from jaxgan.game.hparams import HParams
from jaxgan.networks.layers import DataSpec
from jaxgan.run.plots import LINES, figure_png, new_figure
from jaxgan.sweep.statistics import mean_interval

DEVIATION = 0.5  # of each mode
CELL = 0.05  # of the histograms
EXAMPLES = 2**16
QUANTILES = 2**17  # of z, at which G is measured
NORMAL = ndtri((np.arange(QUANTILES) + 0.5) / QUANTILES)
SHOWN = 512  # number of them in the picture
ROUNDING = 2e-3  # error of a TV over cells, due to the number of quantiles
MOST = 6.0  # largest m; beyond, the required slope overflows float32

METHODS: dict[str, dict[str, Any]] = {
    "NS-GAN": {"objective.loss": "non_saturating"},
    "WGAN-GP": {"objective.loss": "wasserstein", "objective.penalties.gradient_penalty": 0.1, "train.d_steps": 5},
    "R3GAN": {"objective.loss": "relativistic", "objective.penalties.r1": 0.1, "objective.penalties.r2": 0.1},
}
NORMALIZED = "R3GAN"  # the method that is also trained with a spectrally normalized G


# --- By quadrature ----------------------------------------------------------------------------------------------------
# p = w N(-m, s^2) + (1 - w) N(m, s^2) with distribution function F; z is normal, Phi its distribution function.
# {G <= x} has probability F_g(x). For G to increase from x to x + e, an L-Lipschitz G needs a distance of at least e/L
# in z, so Phi^-1(F_g(x + e)) >= Phi^-1(F_g(x)) + e/L: the Gaussian isoperimetric inequality, for z of any dimension. In
# one dimension, G = F^-1(Phi(z)) makes it an equality.


def density(x: np.ndarray, m: float, s: float = DEVIATION, w: float = 0.5) -> np.ndarray:
    low, high = (np.exp(-(((x - mean) / s) ** 2) / 2) / (s * math.sqrt(2 * math.pi)) for mean in (-m, m))
    return w * low + (1 - w) * high


def tails(x: np.ndarray, m: float, s: float = DEVIATION, w: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """P(X < x) and P(X > x), both without cancellation."""
    low, high = (x + m) / s, (x - m) / s
    return w * ndtr(low) + (1 - w) * ndtr(high), w * ndtr(-low) + (1 - w) * ndtr(-high)


def smallest_slope(m: float, s: float = DEVIATION, w: float = 0.5) -> float:
    """The smallest Lipschitz constant of a G with p_g = p: max over x of phi(Phi^-1(F(x))) / p(x), phi = Phi'."""
    x = np.linspace(-m - 8 * s, m + 8 * s, 200_001)
    below, above = tails(x, m, s, w)
    z = np.where(below < above, ndtri(below), -ndtri(above))
    return float(np.max(np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) / density(x, m, s, w)))


def published_bound(m: float, s: float = DEVIATION, w: float = 0.5) -> float:
    """s exp(d^2 / (8 s^2) - Phi^-1(w)^2 / 2), d = 2 m (arXiv:2206.14476, from memory)."""
    return s * math.exp(m**2 / (2 * s**2) - float(ndtri(w)) ** 2 / 2)


def least_total_variation(slope: float, m: float, s: float = DEVIATION) -> float:
    """A lower bound of the total variation distance of p_g from p (w = 1/2) for every G of this Lipschitz constant.

    Consider three cells: below -c, between, above c. Then Phi^-1(q(X < c)) - Phi^-1(q(X < -c)) >= 2c / slope. The bound
    is the distance of p's three masses from the nearest ones that satisfy this, for the best c among the multiples of
    CELL.
    """
    starts, best = np.linspace(-8, 8, 16_001), 0.0
    for c in CELL * np.arange(1, math.ceil(m / CELL) + 1):
        side = float(tails(np.array(-c), m, s)[0])
        if -2 * ndtri(side) >= 2 * c / slope:
            continue  # p's own masses satisfy it
        below, above = ndtr(starts), ndtr(-(starts + 2 * c / slope))
        distance = (np.abs(below - side) + np.abs(above - side) + np.abs(below + above - 2 * side)) / 2
        best = max(best, float(distance.min()))
    return best


# --- By training ------------------------------------------------------------------------------------------------------


def game(method: str, *, spectral: bool, steps: int, prior: Mapping[str, Any]) -> tuple[Gan, HParams]:
    changes = {
        "prior.size": 1,
        "generator.hidden": (64, 64),
        "generator.activations": ("relu", "relu"),
        "generator.output": "linear",
        "generator.output_bias": False,
        "generator.irange": 0.2,
        "generator.output_irange": 0.2,
        "generator.norm": "spectral" if spectral else "none",
        "discriminator.hidden": (64, 64),
        "discriminator.irange": 0.2,
        "train.batch_size": 128,
    }
    updates = {"generator": steps, "discriminator": steps * METHODS[method].get("train.d_steps", 1)}
    for player, count in updates.items():
        adam = {"learning_rate": 1e-3, "b1": 0.0, "b2": 0.99, "schedule.name": "cosine", "schedule.steps": float(count)}
        changes |= {f"optimizer.{player}.{name}": value for name, value in adam.items()}
    config = update(default(), {**changes, **METHODS[method], **prior})
    return build(config, DataSpec((1,)), EXAMPLES), traced(config)


def two_modes(m: jax.Array) -> jax.Array:
    """Fixed samples of p with w = 1/2, from the same random numbers for every m: [EXAMPLES, 1] float32."""
    key = jax.random.key(0, impl="threefry2x32")
    sign = jnp.where(jnp.arange(EXAMPLES) % 2 == 0, 1.0, -1.0)[:, None]
    return m * sign + DEVIATION * jax.random.normal(key, (EXAMPLES, 1))


class Members(NamedTuple):
    """The runs of one game: arrays [members]."""

    distances: np.ndarray  # m: modes at +-m
    scales: np.ndarray  # factors of z
    seeds: np.ndarray


def train_members(
    method: str,
    members: Members,
    *,
    steps: int,
    spectral: bool = False,
    prior: Mapping[str, Any] = MappingProxyType({}),
    z: np.ndarray = NORMAL,
):
    """Trains the members and returns G at the quantiles of z, and its slope there: 2 x [members, n].

    Args:
      prior: fields of the configuration.
      z: [n], its quantiles.
    """
    gan, hparams = game(method, spectral=spectral, steps=steps, prior=prior)
    z = z.astype(np.float32)

    def run(member: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
        m, scale, seed = member
        seeded, data = hparams | {"seed": seed, "prior.scale": scale}, TrainingSet(two_modes(m))
        state = gan.init(seeded)
        sums = zero_metrics(gan, seeded, state, data)
        state, _ = accumulate_steps(gan=gan, hparams=seeded, state=state, sums=sums, data=data, n=jnp.uint32(steps))
        G = state.generator
        generate = lambda z: gan.G(G.params, G.stats, scale * z[:, None])[0][:, 0]  # noqa: E731
        return jax.jvp(generate, (z,), (jnp.ones_like(z),))

    # Sequential, because on a CPU vmap's batched products of this size take 50% longer.
    results = jax.jit(lambda *members: jax.lax.map(run, members))(*members)
    return tuple(np.asarray(a, np.float64) for a in results)


def score(x: np.ndarray, slope: np.ndarray, m: float) -> dict[str, float]:
    """Scores of G, from its values and slopes at the quantiles of z.

    Returns:
      `slope`, the largest one; `TV`, the total variation distance TV(p_g, p) over cells; `between` and `left`, the
      probabilities of |x| < m/2 and of x < 0 under p_g.
    """
    reach = math.ceil((m + 6 * DEVIATION) / CELL)
    edges = CELL * np.arange(-reach, reach + 1)
    q = np.histogram(x, np.concatenate([[-np.inf], edges, [np.inf]]))[0] / len(x)
    below = np.concatenate([[0], tails(edges, m)[0], [1]])
    return {
        "slope": float(np.abs(slope).max()),
        "TV": float(np.abs(q - np.diff(below)).sum() / 2),
        "between": float(np.mean(np.abs(x) < m / 2)),
        "left": float(np.mean(x < 0)),
    }


def population(
    name: str, *, scale: float | None, distances: list[float], seeds: int, steps: int
) -> list[dict[str, Any]]:
    """The scores of each run of a method, and G at SHOWN quantiles.

    Args:
      scale: factor of z, with a spectrally normalized G; None means without normalization.
    """
    members = [(m, seed) for m in distances for seed in range(seeds)]
    x, slope = train_members(
        name,
        Members(
            distances=np.array([m for m, _ in members], np.float32),
            scales=np.full(len(members), 1.0 if scale is None else scale, np.float32),
            seeds=np.array([seed for _, seed in members], np.uint32),
        ),
        steps=steps,
        spectral=scale is not None,
    )
    label = name if scale is None else f"{name}, SN, L = {scale:g}"
    rows = []
    for (m, seed), x_, slope_ in zip(members, x, slope, strict=True):
        scores = score(x_, slope_, m)
        rows.append({"method": label, "m": m, "seed": seed, **scores, "limit": scale,
                     "least TV": least_total_variation(scores["slope"], m),
                     "G": x_[:: QUANTILES // SHOWN]})  # fmt: skip
    return rows


# --- The command ------------------------------------------------------------------------------------------------------


def table(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Prints and returns the means over seeds, with 95% intervals."""
    print(f"\n{'':22}{'m':>5}{'needs':>8}  {'largest slope':24}{'TV':21}{'least TV at it':>15}{'between':>9}{'p':>7}")
    cells = []
    for method in dict.fromkeys(row["method"] for row in rows):
        for m in dict.fromkeys(row["m"] for row in rows):
            group = [row for row in rows if row["method"] == method and row["m"] == m]
            mean = {key: mean_interval([row[key] for row in group]) for key in ("slope", "TV", "least TV", "between")}
            of_p = 1 - 2 * float(tails(np.array(m / 2), m)[1])
            cells.append({"method": method, "m": m, **{key: value._asdict() for key, value in mean.items()}})
            print(f"{method:22}{m:5g}{smallest_slope(m):8.1f}  {mean['slope'].text(2):24}{mean['TV'].text(3):21}"
                  f"{mean['least TV'].mean:15.4f}{mean['between'].mean:9.3f}{of_p:7.3f}")  # fmt: skip
    return cells


def picture(rows: list[dict[str, Any]], distances: list[float]) -> bytes:
    """Plots required and learned slopes, TV over the slope with its bound, and G of one seed."""
    figure = new_figure(13.5, 4.6)
    slopes, variation, maps = figure.subplots(1, 3)
    methods = list(dict.fromkeys(row["method"] for row in rows))
    colors = dict(zip(methods, LINES, strict=False))
    grid = np.linspace(0.5, max(distances) + 0.1, 80)
    slopes.semilogy(grid, [smallest_slope(m) for m in grid], color="black", linewidth=1, label="needed for $p_g = p$")
    grid = np.geomspace(1, 100, 60)
    for m, style in zip(distances, ("-", "--", ":", "-."), strict=False):
        variation.loglog(grid, [least_total_variation(L, m) or np.nan for L in grid], style, color="black", linewidth=1,
                         label=f"least TV, m = {m:g}")  # fmt: skip
    for method in methods:
        group = [row for row in rows if row["method"] == method]
        jitter = 0.02 * (methods.index(method) - len(methods) / 2)
        slopes.plot([row["m"] + jitter for row in group], [row["slope"] for row in group], ".", color=colors[method],
                    label=method)  # fmt: skip
        for m, marker in zip(distances, "os^D", strict=False):
            same_m = [row for row in group if row["m"] == m]
            variation.plot([row["slope"] for row in same_m], [row["TV"] for row in same_m], marker,
                           color=colors[method], markersize=4)  # fmt: skip
        last = next(row for row in group if row["m"] == distances[-1])
        maps.plot(NORMAL[:: QUANTILES // SHOWN], last["G"], color=colors[method], linewidth=1.2, label=method)
    x = np.linspace(-distances[-1] - 2, distances[-1] + 2, 2001)
    maps.plot(ndtri(tails(x, distances[-1])[0]), x, ":", color="black", label="map with the smallest slope")
    slopes.set(xlabel="m (modes at $\\pm$ m, std .5)", title="largest slope of G")
    variation.set(xlabel="largest slope of G", ylabel="TV($p_g, p$)", title="runs, and the bound for their slope",
                  ylim=(1e-3, 1))  # fmt: skip
    maps.set(xlabel="z", ylabel="G(z)", xlim=(-3, 3), title=f"G, m = {distances[-1]:g}, seed 0")
    variation.legend(frameon=False, fontsize=8)
    slopes.legend(frameon=False, fontsize=8)
    lab.tidy(slopes, variation, maps)
    return figure_png(figure)


def quadrature() -> list[dict[str, float]]:
    """Prints and returns the required slope and the published bound, for several weights of the modes."""
    print(f"{'m':>5}{'weight':>7}{'needed':>11}{'bound':>11}{'bound / 2 sqrt(w (1 - w))':>27}")
    rows = []
    for m in (1.0, 1.5, 2.0):
        for w in (0.5, 0.3, 0.1):
            row = {"m": m, "w": w, "needed": smallest_slope(m, w=w), "bound": published_bound(m, w=w)}
            row["sharper"] = row["bound"] / (2 * math.sqrt(w * (1 - w)))
            rows.append(row)
            print(f"{m:5g}{w:7g}{row['needed']:11.3f}{row['bound']:11.3f}{row['sharper']:27.3f}")
    return rows


def is_below_bound(run: Mapping[str, Any]) -> bool:
    """Whether a run's TV is less than any generator of its slope can have."""
    return run["TV"] < run["least TV"] - ROUNDING


def verdicts(result: Mapping[str, Any]) -> dict[str, lab.Verdict]:
    """The verdict on each part of the claim, from the content of result.json."""
    runs = result["runs"]
    return {"no run has a TV below the bound for its slope": lab.in_every_run(not is_below_bound(run) for run in runs)}


def main() -> None:
    parser = lab.make_parser("lipschitz", __doc__, quick="modes at +-1, R3GAN with and without a limit, one seed")
    parser.add_argument("--distance", nargs="+", type=float, help="values of m, for modes at +-m; default 1 1.5 2")
    parser.add_argument(
        "--scale", nargs="+", type=float, help="slope limits L of a spectrally normalized G; default 2 5 20"
    )
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seeds", type=int)
    flags = lab.parse(parser, distance=([1.0, 1.5, 2.0], [1.0]), scale=([2.0, 5.0, 20.0], [2.0]), steps=(3000, 300),
                      seeds=(5, 1))  # fmt: skip
    distances, scales, steps, seeds = flags.distance, flags.scale, flags.steps, flags.seeds
    lab.check_positive(steps=steps, seeds=seeds)
    if not (min(distances) > 0 and max(distances) <= MOST and min(scales) > 0):
        raise UserError(f"--distance={distances} must be above 0 and at most {MOST:g}, --scale={scales} above 0.")

    started = time.perf_counter()
    exact = quadrature()
    rows: list[dict[str, Any]] = []
    settings = [(NORMALIZED, None)] if flags.quick else [(name, None) for name in METHODS]
    for name, scale in settings + [(NORMALIZED, scale) for scale in scales]:
        setting = {"scale": scale, "distances": distances, "seeds": seeds, "steps": steps}
        rows += lab.cached(flags.out, {"method": name} | setting, partial(population, name, **setting))
    cells = table(rows)
    below = sum(is_below_bound(row) for row in rows)
    over = sum(row["limit"] is not None and row["slope"] > 1.01 * row["limit"] for row in rows)
    seconds = time.perf_counter() - started
    print(f"\nruns with a TV below the least one: {below} of {len(rows)}; steeper than their limit by 1%: {over}")
    result = {"quadrature": exact, "table": cells, "runs": rows, "below the bound": below, "steeper": over,
              "steps": steps, "seeds": seeds, "seconds": seconds}  # fmt: skip
    held = verdicts(result)
    lab.finish(flags.out, result, {"lipschitz": picture(rows, distances)}, held)
    lab.require(held)


if __name__ == "__main__":
    lab.run(main)
