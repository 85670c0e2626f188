"""Symplectic adjustment and consensus optimization on a mixture of 16 Gaussians, compared with plain simultaneous
steps.

    python -m experiments.adjustment [--quick] [--out=runs/adjustment] [--method plain symplectic_aligned ...]
        [--steps=5000] [--seeds=10] [--width=64] [--layers=6] [--batch_size=64] [--learning_rate=6e-4] [--weight=1]

Claim (Balduzzi et al., arXiv:1802.05642, and its notebook, google-deepmind/symplectic-gradient-adjustment): the data
have 16 modes at {+-.5, +-1.5}^2 with standard deviation .02. Simultaneous RMSProp steps end with few modes and a D that
wins, with loss .580. With the aligned symplectic term of weight 1, G captures all modes, and the losses end at 2 log 2
= 1.386 (D) and log 2 (G). Both players have 6 layers of 384 ReLUs; z is normal in 64 dimensions; the loss is
non-saturating; minibatches of 256 contain 16 examples of each mode; RMSProp makes 10,000 steps at learning rate 1e-4;
one run each. The notebook prints these losses, every 2,000 steps:

    plain        D 1.386 1.137 .640 .525 .582 .580      G .693 .985 2.377 2.030 1.895 2.180
    symplectic   D 1.348 1.352 1.340 1.384 1.385 1.386  G .692 .715 .720 .695 .693 .693

Consensus optimization (arXiv:1705.10461) with the same weight is added for comparison; there are no published numbers
for it here.

Scaled down for two cores: 64 units instead of 384, and 6 times the learning rate, so that a step changes the outputs
equally much; minibatches of 64, with 4 examples of each mode; half as many steps. Flags restore the published setting.
The initial weights have the scale of the notebook's (Sonnet's default, 1 / sqrt(inputs), as we remember it) but a
uniform distribution; TF's RMSProp starts from a mean square of 1 (from memory), ours from 0. The settings were tuned on
seeds 0 and 1; the reported seeds are others.

Measured with `algorithm1.train_step` on a population of seeds that is the same for all methods: both losses (means over
a twentieth of the run) and, from 2,560 samples, the number of modes with a sample within 3 standard deviations, the
fraction of samples that close to a mode, and the KL divergence from the uniform distribution of the samples' nearest
modes. A run is `balanced` if at the end D's loss is within .05 of 2 log 2, and G's within .05 of log 2. Differences
from `plain` are paired by seed.

Expected: D's loss falls below 1 with plain steps; with the symplectic term most runs end balanced, with all modes.
Written to --out: adjustment.png, result.json, and parts/ (results that a repeated command reuses).
Measured at the end of training, 10 seeds, means with 95% t intervals, rates with Clopper-Pearson intervals; 497 s of
CPU time on two cores of an AMD EPYC (Zen 3) that were busy with other work, 2026-11-26:

                        plain                 symplectic_aligned    consensus
    D's loss            .562 [.506, .618]     1.282 [1.062, 1.502]  1.335 [1.322, 1.348]
    G's loss            2.253 [2.090, 2.416]  .818 [.544, 1.092]    .700 [.698, .702]
    balanced            0 of 10 [0, .31]      9 of 10 [.56, 1.00]   5 of 10 [.19, .81]
    all 16 modes        0 of 10 [0, .31]      6 of 10 [.26, .88]    4 of 10 [.12, .74]
    modes               6.1 [4.3, 7.9]        14.0 [10.7, 17.3]     14.3 [12.8, 15.8]
    KL over modes       1.32 [1.06, 1.59]     .18 [-.20, .56]       .12 [.03, .21]
    share near a mode   .26 [.17, .34]        .10 [.04, .16]        .05 [.03, .08]

At the published size (--width=384 --batch_size=256 --learning_rate=1e-4 --steps=10000) only plain steps were run, with
10 seeds on an NVIDIA H200: D .564 [.539, .590], G 2.192 [2.099, 2.285], 5.9 modes [4.3, 7.5].

With plain steps, D's loss agrees with the published .580. One symplectic run of ten ends like the plain ones, which the
single published run could not show. What the losses do not show is that few samples are near a mode, and with either
term fewer than with plain steps: G covers the whole square, and with consensus optimization it hardly produces separate
modes at all.
"""

from __future__ import annotations

import argparse
import math
import time
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments import lab
from experiments.dynamics import PLAYERS
from jaxgan.algorithm1 import accumulate_steps, zero_metrics
from jaxgan.config import default, update
from jaxgan.config.hparams import traced
from jaxgan.data.mixture import Mixture
from jaxgan.errors import UserError
from jaxgan.game.batches import TrainingSet
from jaxgan.game.build import build
from jaxgan.game.gan import Gan
from jaxgan.game.hparams import HParams
from jaxgan.game.sampling import sample
from jaxgan.game.state import GanState, Player, run_stream
from jaxgan.metrics.modes import coverage
from jaxgan.networks.layers import DataSpec
from jaxgan.run.plots import BLUE, GREEN, LINES, ORANGE, figure_png, new_figure
from jaxgan.sweep import devices
from jaxgan.sweep.statistics import mean_interval, paired_difference, rate_interval

METHODS = {  # train.update
    "plain": "simultaneous",
    "symplectic_aligned": "symplectic_aligned",
    "symplectic": "symplectic",
    "consensus": "consensus",
}
SHOWN = ("plain", "symplectic_aligned", "consensus")  # by default
PUBLISHED = {  # D's and G's loss after 0, 1/5 ... 5/5 of 10,000 steps, as the notebook prints them
    "plain": ((1.3859, 1.1366, 0.6400, 0.5251, 0.5816, 0.5796), (0.6931, 0.9848, 2.3771, 2.0296, 1.8950, 2.1798)),
    "symplectic_aligned": (
        (1.3478, 1.3518, 1.3396, 1.3835, 1.3852, 1.3857),
        (0.6922, 0.7154, 0.7204, 0.6949, 0.6934, 0.6932),
    ),
}
SIDE = (-1.5, -0.5, 0.5, 1.5)
MODES = np.array([[x, y] for x in SIDE for y in SIDE], np.float32)
DEVIATION = 0.02
MIXTURE = Mixture(np.full(16, 1 / 16, np.float32), MODES, np.full(16, DEVIATION, np.float32))
FIRST_SEED = 100  # the settings were tuned on smaller seeds
EXAMPLES = 2**18  # in the training set
SAMPLES = 2560
NUM_EVALS = 20
BALANCED = 0.05  # nats


# --- The game ---------------------------------------------------------------------------------------------------------


def game(
    method: str, *, width: int, layers: int, batch_size: int, learning_rate: float, weight: float
) -> tuple[Gan, HParams]:
    """The game with one method. Stored examples are offsets from a mode, which `decode` adds.

    Example i of a minibatch has mode i mod 16, so that each minibatch contains all modes equally often.
    """
    changes = {
        "prior.size": 64,
        "generator.hidden": (width,) * layers,
        "generator.activations": ("relu",) * layers,
        "generator.output": "linear",
        "generator.output_bias": False,
        "generator.irange": 1.0,
        "generator.output_irange": 1.0,
        "discriminator.hidden": (width,) * layers,
        "discriminator.activation": "relu",
        "discriminator.irange": 1.0,
        "train.batch_size": batch_size,
        "train.update": METHODS[method],
        "objective.adjustment": weight,
    }
    rmsprop = {"name": "rmsprop", "learning_rate": learning_rate, "decay": 0.9, "eps": 1e-10}
    changes |= {f"optimizer.{player}.{name}": value for player in PLAYERS for name, value in rmsprop.items()}
    config = update(default(), changes)
    gan = build(config, DataSpec((2,)), EXAMPLES)
    centres = np.tile(MODES, (batch_size // len(MODES), 1))
    return gan._replace(decode=lambda deviations: deviations + centres), traced(config)


def training_set() -> np.ndarray:
    """Fixed offsets from the modes: [EXAMPLES, 2] float32."""
    return np.random.default_rng(0).normal(0, DEVIATION, (EXAMPLES, 2)).astype(np.float32)


def fan_in_scaled(params: optax.Params) -> optax.Params:
    """Rescales kernels uniform on [-1, 1] to standard deviation .88 / sqrt(inputs), that of a truncated normal."""
    scale = lambda w: w if w.ndim < 2 else w * (0.88 * math.sqrt(3) / math.sqrt(w.shape[0]))  # noqa: E731
    return jax.tree.map(scale, params)


def begin(gan: Gan, hparams: HParams) -> GanState:
    """The initial state, with weights scaled as in the notebook."""
    state = gan.init(hparams)
    scaled = lambda player: player._replace(params=fan_in_scaled(player.params))  # noqa: E731
    return state._replace(generator=scaled(state.generator), discriminator=scaled(state.discriminator))


def draw(gan: Gan, hparams: HParams, G: Player) -> jax.Array:
    """Samples of G from fixed z: [SAMPLES, 2]."""
    numbers = jnp.arange(SAMPLES, dtype=jnp.uint32)
    return sample(gan, hparams, G.params, G.stats, key=run_stream(hparams, "evaluate"), numbers=numbers)


def train(gan: Gan, hparams: HParams, *, data: np.ndarray, steps: int, seeds: int) -> dict[str, np.ndarray]:
    """Trains a population of seeds.

    Returns:
      d_loss, g_loss [seeds, NUM_EVALS], means over the steps since the last evaluation; modes, high_quality, mode_kl
      [seeds, NUM_EVALS]; samples [seeds, SAMPLES, 2] of the last evaluation.
    """

    def advance(hparams: HParams, state: GanState, data: TrainingSet, n: jax.Array):
        sums = zero_metrics(gan, hparams, state, data)
        state, sums = accumulate_steps(gan=gan, hparams=hparams, state=state, sums=sums, data=data, n=n)
        losses = {name: sums[name] / n.astype(jnp.float32) for name in ("d_loss", "g_loss")}
        x = draw(gan, hparams, state.generator)
        return state, losses | {k: v for k, v in coverage(x, MIXTURE).items() if k != "mode_jsd"}, x

    population = {key: np.stack([value] * seeds) for key, value in hparams.items()}
    members = devices.shard(population | {"seed": FIRST_SEED + np.arange(seeds, dtype=np.uint32)}, seeds)
    examples, n = devices.replicate(TrainingSet(data)), devices.replicate(np.uint32(steps // NUM_EVALS))
    states = devices.MemberMap(lambda hparams: begin(gan, hparams), num_mapped=1)(members)
    walk = devices.MemberMap(advance, num_mapped=2, num_shared=2, donate=(1,))
    evaluations = []
    for _ in range(NUM_EVALS):
        out = walk(members, states, examples, n)
        states = [member[0] for member in out]
        evaluations.append(devices.gather([member[1] for member in out], seeds))
    samples = devices.gather([member[2] for member in out], seeds)
    courses = {name: np.stack([scores[name] for scores in evaluations], axis=1) for name in evaluations[0]}
    return courses | {"samples": samples}


# --- Results ----------------------------------------------------------------------------------------------------------


def balanced(run: dict[str, np.ndarray]) -> np.ndarray:
    """Whether both losses end at their values for D = 1/2: [seeds] bool."""
    errors = np.abs(run["d_loss"][:, -1] - 2 * math.log(2)), np.abs(run["g_loss"][:, -1] - math.log(2))
    return np.maximum(*errors) < BALANCED


def summary(run: dict[str, np.ndarray], plain: dict[str, np.ndarray]) -> dict[str, Any]:
    """Means with 95% intervals at the end of the run, and differences from plain steps, paired by seed."""
    names = [name for name in run if name != "samples"]
    return {
        "balanced": rate_interval(int(balanced(run).sum()), len(balanced(run)))._asdict(),
        "all modes": rate_interval(int((run["modes"][:, -1] == len(MODES)).sum()), len(run["modes"]))._asdict(),
        **{name: mean_interval(run[name][:, -1])._asdict() for name in names},
        "less plain": {name: paired_difference(run[name][:, -1], plain[name][:, -1])._asdict() for name in names},
    }


def picture(runs: dict[str, dict[str, np.ndarray]], steps: int) -> bytes:
    """Plots D's loss and the KL over modes during training, and samples of the first seed."""
    figure = new_figure(13, 7.6)
    above, below = figure.subfigures(2, 1)
    axes = above.subplots(1, 3)
    steps_logged = np.arange(1, NUM_EVALS + 1) * (steps // NUM_EVALS)
    titles = {"d_loss": "D's loss", "high_quality": "fraction of samples within 3 deviations of a mode",
              "mode_kl": "KL of the samples' modes from uniform (nats)"}  # fmt: skip
    for axis, (name, title) in zip(axes, titles.items(), strict=True):
        for (method, run), color in zip(runs.items(), (ORANGE, BLUE, GREEN, LINES[3]), strict=False):
            axis.plot(steps_logged, run[name].T, color=color, alpha=0.2, linewidth=0.8)
            axis.plot(
                steps_logged, run[name].mean(axis=0), color=color, linewidth=2, label=f"{method}, mean and each seed"
            )
            if name == "d_loss" and method in PUBLISHED:
                steps_published = np.linspace(0, steps, 6)
                axis.plot(
                    steps_published,
                    PUBLISHED[method][0],
                    "o",
                    color=color,
                    label=f"{method}, published (x 10,000 / steps)",
                )
        axis.set(xlabel="steps", title=title)
        lab.tidy(axis)
    axes[0].axhline(2 * math.log(2), color="black", linestyle=":", linewidth=1)
    axes[2].set_ylim(0, math.log(len(MODES)))
    above.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    panels = below.subplots(1, 1 + len(runs))
    points = MODES[np.arange(SAMPLES) % len(MODES)] + training_set()[:SAMPLES]
    for axis, (title, x) in zip(panels, {"data": points, **{m: f["samples"][0] for m, f in runs.items()}}.items(),
                                strict=True):  # fmt: skip
        axis.plot(*x.T, ".", markersize=1.5, color="#444444")
        axis.set(
            xlim=(-2, 2),
            ylim=(-2, 2),
            title=title if title == "data" else f"{title}, seed {FIRST_SEED}",
            aspect="equal",
        )
    return figure_png(figure)


# --- The command ------------------------------------------------------------------------------------------------------


def verdicts(result: dict[str, Any]) -> dict[str, lab.Verdict]:
    """The verdict on each part of the claim, from the content of result.json."""
    setting, rows = result["setting"], result["summary"]
    limits = (
        f"networks of {setting['width']} units and {setting['steps']:,} steps, where the notebook has 384 and 10,000, "
        f"which is no evidence about its samples"
    )
    held: dict[str, lab.Verdict] = {}
    for method in set(rows) - {"plain"}:
        less = rows[method]["less plain"]
        for name, score in (("more modes", "modes"), ("more samples near a mode", "high_quality")):
            verdict = lab.is_positive((less[score]["low"], less[score]["high"]))
            held[f"{method}: {name} than plain steps"] = lab.reproduced(verdict, limits)
    return dict(sorted(held.items()))


def read_flags() -> argparse.Namespace:
    parser = lab.make_parser("adjustment", __doc__, quick="3 seeds of 400 steps, width 32")
    parser.add_argument(
        "--method", nargs="+", default=list(SHOWN), help=f"any of {', '.join(METHODS)}; plain is always included"
    )
    parser.add_argument("--steps", type=int, help=f"number of steps, rounded down to a multiple of {NUM_EVALS}")
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--width", type=int)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--learning_rate", type=float, default=6e-4)
    parser.add_argument("--weight", type=float, default=1.0, help="weight of the symplectic and the consensus term")
    flags = lab.parse(parser, steps=(5000, 400), seeds=(10, 3), width=(64, 32))
    lab.check_choices("--method", flags.method, METHODS)
    if flags.batch_size % len(MODES) or not 0 < flags.batch_size <= EXAMPLES:
        raise UserError(f"--batch_size={flags.batch_size} must be a multiple of the {len(MODES)} modes.")
    if flags.steps < NUM_EVALS or min(flags.seeds, flags.width, flags.layers) < 1:
        raise UserError(
            f"--steps={flags.steps} must be {NUM_EVALS} or more, and --seeds={flags.seeds}, --width={flags.width} and "
            f"--layers={flags.layers} 1 or more."
        )
    if not (flags.learning_rate > 0 and flags.weight >= 0):
        raise UserError(f"--learning_rate={flags.learning_rate} must be above 0, --weight={flags.weight} 0 or more.")
    return flags


def table(runs: dict[str, dict[str, np.ndarray]], summaries: dict[str, dict[str, Any]]) -> None:
    """Prints both losses during training with the published ones, and the final scores."""
    logged = [0, *range(NUM_EVALS // 5 - 1, NUM_EVALS, NUM_EVALS // 5)]
    print(f"{'':20}{'':10}{'first':>9}" + "".join(f"{f'{k}/5':>9}" for k in range(1, 6)) + "   of the steps")
    for method, run in runs.items():
        for i, name in enumerate(("d_loss", "g_loss")):
            print(f"{method:20}{name:10}" + "".join(f"{x:9.3f}" for x in run[name].mean(axis=0)[logged]))
            if method in PUBLISHED:
                print(f"{'  published':20}{name:10}" + "".join(f"{x:9.3f}" for x in PUBLISHED[method][i]))
    print(f"\n{'at the end':20}{'':14}{'mean':>9}   95% interval        minus plain, 95% interval")
    for method, row in summaries.items():
        for name in ("balanced", "all modes"):
            rate = row[name]
            print(f"{method:20}{name:14}{rate['rate']:9.2f}   [{rate['low']:6.3f}, {rate['high']:6.3f}]")
        for name, less in row["less plain"].items():
            mean = row[name]
            print(f"{method:20}{name:14}{mean['mean']:9.3f}   [{mean['low']:6.3f}, {mean['high']:6.3f}]  "
                  f"{less['mean']:9.3f} [{less['low']:6.3f}, {less['high']:6.3f}]")  # fmt: skip


def main() -> None:
    flags = read_flags()
    devices.use_threads(0)  # a seed per core
    started = time.perf_counter()
    names = ["plain", *(name for name in flags.method if name != "plain")]
    setting = {name: getattr(flags, name) for name in ("width", "layers", "batch_size", "learning_rate", "weight")}
    length = {"steps": flags.steps, "seeds": flags.seeds}
    data, runs, seconds = training_set(), {}, {}
    for name in names:

        def compute(name: str = name) -> dict[str, np.ndarray]:
            return train(*game(name, **setting), data=data, **length)

        cached = lab.cached(flags.out, {"method": name} | setting | length, partial(lab.timed, compute))
        seconds[name] = cached.pop("cpu")
        runs[name] = {score: np.asarray(numbers) for score, numbers in cached.items()}
        print(f"{name}: {flags.seeds} seeds of {flags.steps} steps, {seconds[name]:.0f} s of CPU time", flush=True)
    summaries = {name: summary(run, runs["plain"]) for name, run in runs.items()}
    table(runs, summaries)
    elapsed = time.perf_counter() - started
    courses = {m: {k: v for k, v in f.items() if k != "samples"} for m, f in runs.items()}
    result = {"setting": setting | length, "summary": summaries, "courses": courses, "published": PUBLISHED,
              "cpu_seconds": seconds, "seconds": elapsed}  # fmt: skip
    lab.finish(flags.out, result, {"adjustment": picture(runs, flags.steps)}, verdicts(result))


if __name__ == "__main__":
    lab.run(main)
