"""Mode collapse on a ring of 8 and a grid of 25 Gaussians: the protocols of VEEGAN and PacGAN, and success rates of
losses.

    python -m experiments.modes [--quick] [--out=runs/modes] [--seeds=10] [--rate_seeds=200] [--packing 1 2 3 4]
        [--loss=non_saturating] [--losses ...] [--veegan_steps=3000] [--pacgan_steps=3000] [--rate_steps=500]
        [--width=.16] [--learning_rate=3e-4] [--published]

Claims. On the same grid, a plain GAN captures 3.3 of 25 modes with .5% of high-quality samples in VEEGAN's table 1
(arXiv:1705.07761), but 17.3 modes with 94.8% in PacGAN's (arXiv:1712.04086): the protocol matters more than the method.
A D that takes 2, 3 or 4 examples at once (PacGAN) covers more modes than the GAN of its own protocol. In addition, a
question: with which losses does what fraction of runs end with all 8 modes of a ring? Both papers use 2,500 samples of
G; a sample within 3 standard deviations of its nearest mode is of high quality, and a mode is captured if it is the
nearest mode of such a sample. PacGAN's reverse KL over modes is computed from the high-quality samples. Of the data
themselves, 1 - e^-4.5 = 98.9% are of high quality; a higher fraction, such as the 99.3% of the GAN on the ring in
VEEGAN's table, means that G is too narrow. The tables are read from the pictures in the authors' repositories
(akashgit/VEEGAN, tab.png; fjxmlzn/PacGAN, synthetic_data_experiments/results/Table1.png).

Ring: radius 1, standard deviation .01; grid: {-4, -2, 0, 2, 4}^2, standard deviation .05 (from PacGAN's config.py;
VEEGAN's from memory). `VEEGAN`, entirely from memory, since the notebook with its settings was not available: z of 254
dimensions, G 2 x 128 ReLU, D 1 x 128 ReLU, Adam 1e-3 with beta1 .5, minibatches of 500, 100,000 steps, both players
updated simultaneously. The initial weights have Glorot's range, also from memory; here all layers of a player share one
range, the mean over them. `PacGAN`, from config.py and pacgan_task.py in its repository: z of 2 dimensions, G 4 x 400
ReLU with batch normalization, D 3 x 200 maxout units of 5 pieces, weights N(0, .02^2), Adam 1e-4 with beta1 .8, 100
packs per minibatch, 100,000 points, 400 epochs of 1,000 steps. That both players are updated simultaneously is from
memory of the trainer, which is ALI's. Here the weights are uniform with the same standard deviation, and there are 2^18
points. `rates`: configs/ring8.py (radius 2, standard deviation .02) with each loss; NAME_gp has a gradient penalty of
.1, as in gan_toy.py of igul222/improved_wgan_training.

The defaults, 3,000 steps of both protocols and PacGAN with layers of .16 of the width and learning rate 3e-4, are
feasible on two cores; --published sets the papers' own numbers. Runs with the same seed are compared, with Holm's
correction.

Expected: with PacGAN's protocol the GAN has more modes and more high-quality samples; packing has more modes than 1.
Written to --out: modes.png, result.json, and the finished cells, which a repeated command reuses.
Measured: modes, means with 95% t intervals over 10 seeds; 1,298 s of CPU time on two cores of an AMD EPYC (Zen 3) that
were busy with other work, 2026-11-26 (14 of the 17 success rates on an NVIDIA H200 the same day):

                     ring, published    ring, here         grid, published      grid, here
    VEEGAN, GAN      1                  .6 [.2, 1.0]       3.3                  2.1 [1.4, 2.8]
    PacGAN, GAN      6.3 [5.2, 7.4]     7.8 [7.5, 8.1]     17.3 [15.5, 19.1]    8.9 [7.7, 10.1]
    PacGAN2          7.9 [7.7, 8.1]     6.4 [5.2, 7.6]     23.8 [22.2, 25.4]    12.8 [11.2, 14.4]
    PacGAN3          7.8 [7.6, 8.0]     3.7 [2.0, 5.4]     24.6 [23.7, 25.5]    12.0 [9.7, 14.3]
    PacGAN4          7.8 [7.6, 8.0]     3.3 [2.4, 4.2]     24.8 [24.3, 25.3]    10.9 [9.3, 12.5]

After 3,000 steps the protocols differ: +7.2 [6.8, 7.6] modes on the ring, +6.8 [5.5, 8.1] on the grid (published 5.3
and 14.0, after more steps). On the ring, packing 4 has fewer modes than 1 (paired by seed, -4.5 [-5.3, -3.7]); on the
grid, packing 2 has more (+3.9 [2.4, 5.4]). Training has only begun by then (3% of the grid's samples are near a mode,
published 95%), so this is no evidence about packing at 400,000 steps.

With VEEGAN's own 100,000 steps (--veegan_steps=100000, an NVIDIA H200), the same GAN captures 6.4 [4.3, 8.5] modes of
the ring, with .86 [.80, .92] of its samples near one. The interval overlaps that of PacGAN's protocol after 3,000
steps, so the difference between the protocols at their own lengths is undecided; and the single mode of the published
baseline is not reproduced, with settings that are from memory.

Fraction with 8 of 8 modes within 500 steps, 200 seeds: minimax .45, relativistic .44, relativistic average .38 to .43,
non-saturating, JS and Hellinger .37 and .38, hinge .32, least squares .30; none of these differs significantly from the
non-saturating loss (p > .99). Pearson .13, WGAN-GP .07, KL .03, reverse KL .01, Wasserstein, Neyman and total variation
0 are worse (p < .001).
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict
from scipy import stats

from configs import ring8
from experiments import lab
from experiments.dynamics import PLAYERS
from jaxgan.config import default, flatten, update, validate
from jaxgan.data.mixture import MIXTURES
from jaxgan.errors import UserError
from jaxgan.game.batches import stored_examples
from jaxgan.objectives.losses import LOSSES
from jaxgan.run.plots import BLUE, GREEN, LINES, ORANGE, figure_png, new_figure
from jaxgan.sweep import devices
from jaxgan.sweep.plan import Trial
from jaxgan.sweep.population import Member
from jaxgan.sweep.program import get_program, init_members
from jaxgan.sweep.statistics import holm, mean_interval, paired_difference, paired_rates, rate_interval

DATA = {"ring": "mixture:ring8_unit", "grid": "mixture:grid25"}
SAMPLES = 2500  # of each G, as in both papers
NUM_EVALS = 5  # evaluations of a protocol, evenly spaced; results are from the last one
SHOWN = 500  # samples of the first seed that are kept for the picture
CEILING = 1 - math.exp(-4.5)  # the fraction of the data that is of high quality, in two dimensions
SCORES = ("modes", "high_quality", "high_quality_kl")
LIMITS = "VEEGAN's settings are quoted from memory, and other numbers of steps or sizes may give another result"
PUBLISHED_STEPS = {"VEEGAN": 100_000, "PacGAN": 400_000}

# {protocol: {data: {method: {score: (mean, standard error)}}}}, NaN where none is given.
PUBLISHED = {
    protocol: {
        data: {name: dict(zip(SCORES, scores, strict=True)) for name, scores in methods.items()}
        for data, methods in tables.items()
    }
    for protocol, tables in {
        "VEEGAN": {
            "ring": {
                "GAN": ((1, math.nan), (0.993, math.nan), (math.nan, math.nan)),
                "ALI": ((2.8, math.nan), (0.0013, math.nan), (math.nan, math.nan)),
                "Unrolled GAN": ((7.6, math.nan), (0.356, math.nan), (math.nan, math.nan)),
                "VEEGAN": ((8, math.nan), (0.529, math.nan), (math.nan, math.nan)),
            },
            "grid": {
                "GAN": ((3.3, math.nan), (0.005, math.nan), (math.nan, math.nan)),
                "ALI": ((15.8, math.nan), (0.016, math.nan), (math.nan, math.nan)),
                "Unrolled GAN": ((23.6, math.nan), (0.16, math.nan), (math.nan, math.nan)),
                "VEEGAN": ((24.6, math.nan), (0.40, math.nan), (math.nan, math.nan)),
            },
        },
        "PacGAN": {
            "ring": {
                "GAN": ((6.3, 0.5), (0.982, 0.002), (0.45, 0.09)),
                "ALI": ((6.6, 0.3), (0.976, 0.004), (0.36, 0.04)),
                "PacGAN2": ((7.9, 0.1), (0.956, 0.020), (0.07, 0.03)),
                "PacGAN3": ((7.8, 0.1), (0.977, 0.003), (0.10, 0.02)),
                "PacGAN4": ((7.8, 0.1), (0.959, 0.014), (0.07, 0.02)),
            },
            "grid": {
                "GAN": ((17.3, 0.8), (0.948, 0.007), (0.70, 0.07)),
                "ALI": ((24.1, 0.4), (0.957, 0.006), (0.14, 0.03)),
                "PacGAN2": ((23.8, 0.7), (0.913, 0.008), (0.13, 0.04)),
                "PacGAN3": ((24.6, 0.4), (0.942, 0.004), (0.06, 0.02)),
                "PacGAN4": ((24.8, 0.2), (0.936, 0.006), (0.04, 0.01)),
            },
        },
    }.items()
}


class Cell(NamedTuple):
    """Runs that differ only in their seeds."""

    part: str  # VEEGAN | PacGAN | rates
    data: str  # ring | grid
    name: str  # GAN, PacGAN2, ..., or a loss
    config: ConfigDict
    seeds: range


# --- The protocols ----------------------------------------------------------------------------------------------------


def common(data: str, loss: str, *, learning_rate: float, b1: float, steps: int) -> dict[str, Any]:
    adam = {"name": "adam", "learning_rate": learning_rate, "b1": b1}
    return {f"optimizer.{player}.{field}": value for player in PLAYERS for field, value in adam.items()} | {
        "data.name": DATA[data],
        "objective.loss": loss,
        "generator.output": "linear",
        "train.update": "simultaneous",
        "train.steps": steps,
        "evaluate.samples": SAMPLES,
        "evaluate.metrics": ("modes", "high_quality_kl"),
    }


def veegan(data: str, *, loss: str, steps: int) -> ConfigDict:
    """The GAN of VEEGAN's protocol, from memory (see the top): none of it could be compared with the source."""
    return update(
        default(),
        common(data, loss, learning_rate=1e-3, b1=0.5, steps=steps)
        | {
            "prior.size": 254,
            "generator.hidden": (128, 128),
            "generator.activations": ("relu", "relu"),
            "generator.irange": 0.14,
            "generator.output_irange": 0.21,
            "discriminator.hidden": (128,),
            "discriminator.activation": "relu",
            "discriminator.irange": 0.21,
            "train.batch_size": 500,
        },
    )


def pacgan(data: str, packing: int, *, loss: str, width: float, learning_rate: float, steps: int) -> ConfigDict:
    """PacGAN's protocol, from its repository (see the top).

    Args:
      width: of the hidden layers, as a fraction of the published one. Narrower layers start with larger weights,
        .02 / sqrt(width), so that the inputs of their units have the same scale as the published ones.
      learning_rate: 1e-4 is published.
    """
    units, d_units = max(1, round(400 * width)), max(1, round(200 * width))
    irange = 0.02 * math.sqrt(3 / width)
    return update(
        default(),
        common(data, loss, learning_rate=learning_rate, b1=0.8, steps=steps)
        | {
            "prior.size": 2,
            "generator.hidden": (units,) * 4,
            "generator.activations": ("relu",) * 4,
            "generator.norm": "batch",
            "generator.irange": irange,
            "generator.output_irange": irange,
            "discriminator.hidden": (d_units,) * 3,
            "discriminator.activation": "maxout",
            "discriminator.pieces": 5,
            "discriminator.irange": irange,
            "discriminator.packing": packing,
            "train.batch_size": 100 * packing,
        },
    )


def rates(loss: str, *, steps: int) -> tuple[str, ConfigDict]:
    """configs/ring8.py with a loss, and its name; NAME_gp has a gradient penalty of .1, as in WGAN-GP's toys."""
    changes = {"train.steps": steps, "evaluate.samples": SAMPLES, "evaluate.metrics": ("modes", "high_quality_kl")}
    changes |= {"objective.loss": loss.removesuffix("_gp")}
    if loss.endswith("_gp"):
        changes |= {"objective.penalties.gradient_penalty": 0.1}
    return loss, update(ring8.get_config(), changes)


# --- Training ---------------------------------------------------------------------------------------------------------


def train(cell: Cell, num_evals: int) -> dict[str, Any]:
    """Trains the runs of a cell as members of one population, evaluated `num_evals` times.

    Returns:
      steps: [num_evals], of the evaluations.
      modes, high_quality, high_quality_kl, jsd: [num_evals, seeds], NaN for runs that diverged.
      samples: [SHOWN, 2] of the first seed, at the end.
    """
    configs = [update(cell.config, {"seed": seed}) for seed in cell.seeds]
    program, n = get_program(Trial(cell.name, {}, cell.config)), len(configs)
    hparams, group = init_members(program, configs)
    data = devices.replicate(stored_examples(program.gan, program.dataset))
    scores_by_name: dict[str, list] = {name: [] for name in (*SCORES, "jsd")}
    steps = [cell.config.train.steps * (i + 1) // num_evals for i in range(num_evals)]
    for before, after in zip([0, *steps], steps, strict=False):
        states, sums, kept, alive = ([getattr(member, name) for member in group] for name in Member._fields)
        advanced = program.run_steps(hparams, states, sums, alive, data, devices.replicate(np.uint32(after - before)))
        parts = program.end_log_interval(
            [state for state, _ in advanced], [total for _, total in advanced], kept, alive
        )
        group = [Member(*part) for part in parts]
        samples = devices.gather(program.sample_for_evaluation(hparams, [member.state for member in group]), n)
        finite = devices.gather([member.alive for member in group], n)
        scores = devices.map_host(program.measure, list(samples))
        for name, lines in scores_by_name.items():
            lines.append(
                [
                    member_scores[name] if finite_one else math.nan
                    for member_scores, finite_one in zip(scores, finite, strict=True)
                ]
            )
    return scores_by_name | {"steps": steps, "samples": np.round(samples[0][:SHOWN].astype(float), 4)}


def train_all(cells: Sequence[Cell], out: Path) -> list[dict[str, Any]]:
    """The results of `train` for each cell, cached in `out`."""
    results = []
    for number, cell in enumerate(cells, 1):
        num_evals = 1 if cell.part == "rates" else NUM_EVALS
        setting = flatten(cell.config) | {"seeds": [cell.seeds.start, cell.seeds.stop], "looks": num_evals}
        result = lab.cached(out, setting, partial(lab.timed, partial(train, cell, num_evals)))
        print(f"{number:3d} of {len(cells)}: {cell.part:7}{cell.data:5}{cell.name:38}{len(cell.seeds):4d} runs, "
              f"{np.nanmean(result['modes'][-1]):5.2f} modes, {result['cpu']:5.0f} s of CPU time",
              flush=True)  # fmt: skip
        results.append(result)
    return results


def last(result: dict[str, Any], score: str) -> np.ndarray:
    """A score at the end, [seeds], NaN for runs that diverged."""
    return np.asarray(result[score][-1], np.float64)


# --- Results ----------------------------------------------------------------------------------------------------------


def protocol_rows(cells: Sequence[Cell], results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each cell of a protocol: ours and the published mean, each with its 95% interval.

    Published intervals are mean +- t(9) standard errors, of 10 trials. `paired` is the mean over seeds of this row's
    score less the GAN's of the same protocol and data, with its interval.
    """
    rows, pairs = [], list(zip(cells, results, strict=True))
    gans = {(cell.part, cell.data): result for cell, result in pairs if cell.name == "GAN"}
    for cell, result in pairs:
        row: dict[str, Any] = {"protocol": cell.part, "data": cell.data, "method": cell.name}
        for score in SCORES:
            scores, gan = last(result, score), last(gans[cell.part, cell.data], score)
            mean, error = PUBLISHED[cell.part][cell.data][cell.name][score]
            half = stats.t.ppf(0.975, 9) * error
            sign = -1 if score == "high_quality_kl" else 1  # a diverged run is the worst, whatever is better
            less = paired_difference(sign * scores, sign * gan)
            paired = (sign * less.mean, *sorted((sign * less.low, sign * less.high)))
            row[score] = {"ours": mean_interval(scores)[:3], "published": (mean, mean - half, mean + half),
                          "paired": paired, "p": less.p, "scores": scores}  # fmt: skip
        rows.append(row)
    for score in SCORES:
        packed = [row[score] for row in rows if row["method"] != "GAN"]
        for cell_score, p in zip(packed, holm([cell_score["p"] for cell_score in packed]), strict=True):
            cell_score["p"] = float(p)
    return rows


def protocol_differences(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The GAN's score by PacGAN's protocol minus VEEGAN's: published, and ours with Welch's 95% interval."""
    rows_out = []
    gans = {(row["protocol"], row["data"]): row for row in rows if row["method"] == "GAN"}
    for data in DATA:
        if not {("VEEGAN", data), ("PacGAN", data)} <= gans.keys():
            continue
        for score in SCORES[:2]:
            a, b = (gans[protocol, data][score] for protocol in ("VEEGAN", "PacGAN"))
            a_scores, b_scores = (x["scores"][np.isfinite(x["scores"])] for x in (a, b))
            low, high = math.nan, math.nan
            if min(len(a_scores), len(b_scores)) > 1 and np.ptp(np.concatenate([a_scores, b_scores])) > 0:
                low, high = stats.ttest_ind(b_scores, a_scores, equal_var=False).confidence_interval(0.95)
            ours = float(b_scores.mean() - a_scores.mean()) if len(a_scores) and len(b_scores) else math.nan
            rows_out.append({"data": data, "score": score, "published": b["published"][0] - a["published"][0],
                          "ours": (ours, float(low), float(high))})  # fmt: skip
    return rows_out


def rate_rows(cells: Sequence[Cell], results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Runs with 8 of 8 modes at the end, per loss, and McNemar's exact test against non_saturating, Holm-corrected.

    Both on the same seeds; a run that has diverged has not succeeded.
    """
    K = len(MIXTURES["ring8"].weights)
    successes = {cell.name: last(result, "modes") == K for cell, result in zip(cells, results, strict=True)}
    reference = successes.get("non_saturating")
    rows = []
    for cell, result in zip(cells, results, strict=True):
        succeeded, modes = successes[cell.name], last(result, "modes")
        p = math.nan
        if reference is not None and cell.name != "non_saturating":
            p = paired_rates(succeeded, reference)
        rows.append({"loss": cell.name, "rate": rate_interval(int(succeeded.sum()), len(succeeded)), "p": p,
                     "modes": mean_interval(modes)[:3], "none": int(np.sum(modes == 0)),
                     "diverged": int(np.sum(~np.isfinite(modes))),
                     "high_quality": mean_interval(last(result, "high_quality"))[:3]})  # fmt: skip
    compared = [row for row in rows if math.isfinite(row["p"])]
    for row, p in zip(compared, holm([row["p"] for row in compared]), strict=True):
        row["p"] = float(p)
    return rows


def verdicts(rows: list[dict[str, Any]], differences: list[dict[str, Any]], limits: str = "") -> dict[str, lab.Verdict]:
    """The verdict on each part of the claim after these steps: True or False if the 95% interval, or the corrected
    p-value, shows which has more, otherwise None.

    Args:
      limits: what fewer steps than PacGAN's cannot decide about packing; "" = as many.
    """
    held: dict[str, lab.Verdict] = {
        f"GAN, {difference['data']}: more {difference['score']} by PacGAN's protocol": lab.is_positive(
            difference["ours"][1:]
        )
        for difference in differences
    }
    for row in rows:
        if row["method"] != "GAN":
            modes = row["modes"]
            name = f"{row['method']}, {row['data']}: more modes than the GAN"
            more = lab.is_positive_by_test(modes["paired"][0], modes["p"])
            held[name] = lab.reproduced(more, limits) if limits else more
        elif (row["protocol"], row["data"]) == ("VEEGAN", "ring"):
            low, high = row["modes"]["ours"][1:]
            published = row["modes"]["published"][0]
            held["GAN, ring: as many modes as in VEEGAN's paper"] = lab.reproduced(low <= published <= high, LIMITS)
    return held


def text(interval: Sequence[float], digits: int) -> str:
    """'1.20 [0.80, 1.60]', without NaNs."""
    mean, low, high = interval
    if not math.isfinite(mean):
        return "-"
    return f"{mean:.{digits}f}" + (f" [{low:.{digits}f}, {high:.{digits}f}]" if math.isfinite(low) else "")


def show(rows: list[dict[str, Any]], differences: list[dict[str, Any]], losses: list[dict[str, Any]]) -> None:
    """Prints the tables."""
    digits = dict(zip(SCORES, (1, 3, 2), strict=True))
    titles = dict(zip(SCORES, ("modes", "high quality", "reverse KL"), strict=True))
    for score in SCORES if rows else ():
        print(f"\n{titles[score]:34}{'published [95%]':24}{'here [95%]':24}{'minus the GAN, by seed':26}p")
        for row in rows:
            one, n = row[score], digits[score]
            packed = row["method"] != "GAN"
            paired = f"{text(one['paired'], n):26}{one['p']:.3f}" if packed else ""
            print(f"{row['protocol']:8}{row['data']:6}{row['method']:20}{text(one['published'], n):24}"
                  f"{text(one['ours'], n):24}{paired}".rstrip())  # fmt: skip
    if differences:
        print(f"\n{'the GAN, PacGAN minus VEEGAN':34}{'published':24}here [95%]")
    for one in differences:
        n = digits[one["score"]]
        print(f"{one['data']:14}{titles[one['score']]:20}{one['published']:<24.{n}f}{text(one['ours'], n)}")
    if losses:
        print(f"\n{'ring of 8':38}{'8 of 8 [95%]':24}{'p':8}{'modes [95%]':22}{'high quality':15}0 of 8  diverged")
    for one in losses:
        p = f"{one['p']:.3f}" if math.isfinite(one["p"]) else "-"
        print(f"{one['loss']:38}{text(one['rate'][:3], 3):24}{p:8}{text(one['modes'], 2):22}"
              f"{one['high_quality'][0]:<15.3f}{one['none']:6d}  {one['diverged']:8d}")  # fmt: skip


def points(axis, data: str, samples: Sequence[Sequence[float]]) -> None:
    """Plots samples over the modes, which are drawn as enlarged circles."""
    mixture, xy = MIXTURES[DATA[data].removeprefix("mixture:")], np.asarray(samples, np.float64)
    reach = 1.25 * np.abs(mixture.means).max()
    centres = np.transpose(mixture.means)
    axis.plot(*centres, "o", color="black", markerfacecolor="none", markersize=8, markeredgewidth=0.7)
    axis.plot(*xy.T, ".", color=ORANGE, markersize=2.5)
    axis.set(xlim=(-reach, reach), ylim=(-reach, reach), xticks=[], yticks=[], aspect="equal")


def course(axis, cells: Sequence[Cell], results: Sequence[dict[str, Any]]) -> None:
    """Plots the mean number of modes during training, and its 95% interval, for the cells of one mixture."""
    for cell, result, color in zip(cells, results, LINES, strict=False):
        fractions = np.asarray(result["steps"]) / cell.config.train.steps
        mean, low, high = np.array([mean_interval(scores)[:3] for scores in result["modes"]]).T
        label = f"{cell.name}, {cell.part}'s protocol"
        axis.plot(fractions, mean, "o-", color=color, markersize=3, linewidth=1.3, label=label)
        axis.fill_between(fractions, low, high, color=color, alpha=0.15, linewidth=0)
    axis.set(xlabel="fraction of the steps", ylabel="modes", ylim=(0, None))
    axis.legend(frameon=False, fontsize=7)


def picture(cells: Sequence[Cell], results: Sequence[dict[str, Any]], losses: list[dict[str, Any]]) -> bytes:
    """Plots modes during training, the GAN's samples by both protocols, and the success rates."""
    figure = new_figure(14, 7)
    axes = figure.subplot_mosaic(
        [["ring", "VEEGAN ring", "PacGAN ring", "rates"], ["grid", "VEEGAN grid", "PacGAN grid", "rates"]],
        width_ratios=(1.3, 1, 1, 1.2),
    )
    for data in DATA:
        of_data = [
            pair for pair in zip(cells, results, strict=True) if (pair[0].data == data and pair[0].part != "rates")
        ]
        if of_data:
            course(axes[data], *zip(*of_data, strict=True))
        for cell, result in of_data:
            if cell.name == "GAN":
                axis = axes[f"{cell.part} {data}"]
                points(axis, data, result["samples"])
                axis.set_title(f"GAN, {cell.part}'s protocol", fontsize=10)
    y = np.arange(len(losses))[::-1]
    rate, low, high = np.array([row["rate"][:3] for row in losses] or np.empty((0, 3))).T
    axes["rates"].errorbar(rate, y, xerr=[rate - low, high - rate], fmt="o", color=BLUE, markersize=4, capsize=2)
    axes["rates"].plot([row["modes"][0] / 8 for row in losses], y, "|", color=GREEN, markersize=9)
    axes["rates"].set_yticks(y, [row["loss"] for row in losses], fontsize=7)
    axes["rates"].set(xlim=(-0.03, 1.03), xlabel="fraction with 8 of 8 (bar: modes / 8)")
    lab.tidy(axes["ring"], axes["grid"], axes["rates"])
    return figure_png(figure)


# --- The command ------------------------------------------------------------------------------------------------------


def plan_cells(flags: argparse.Namespace) -> Iterator[Cell]:
    """The cells: the GAN by VEEGAN's protocol, packings by PacGAN's, and the losses."""
    seeds = range(flags.seeds)
    for data in DATA:
        yield Cell("VEEGAN", data, "GAN", veegan(data, loss=flags.loss, steps=flags.veegan_steps), seeds)
    for packing in flags.packing:
        for data in DATA:
            config = pacgan(data, packing, loss=flags.loss, width=flags.width, learning_rate=flags.learning_rate,
                            steps=flags.pacgan_steps)  # fmt: skip
            yield Cell("PacGAN", data, "GAN" if packing == 1 else f"PacGAN{packing}", config, seeds)
    for loss in flags.losses if flags.rate_seeds else ():
        yield Cell("rates", "ring", *rates(loss, steps=flags.rate_steps), range(flags.rate_seeds))


# For each flag: the default, and the default with --quick.
DEFAULTS = {
    "out": ("runs/modes", "runs/modes_quick"),
    "seeds": (10, 2),
    "rate_seeds": (200, 4),
    "packing": ([1, 2, 3, 4], [1, 2]),
    "losses": ([*LOSSES, "wasserstein_gp"], ["non_saturating", "hinge"]),
    "veegan_steps": (3000, 100),
    "pacgan_steps": (3000, 100),
    "rate_steps": (500, 100),
    "width": (0.16, 0.16),
    "learning_rate": (3e-4, 3e-4),
}
AS_PUBLISHED = {"veegan_steps": PUBLISHED_STEPS["VEEGAN"], "pacgan_steps": PUBLISHED_STEPS["PacGAN"], "width": 1.0,
                "learning_rate": 1e-4}  # fmt: skip


def read_flags() -> argparse.Namespace:
    """The flags with their defaults.

    Raises:
      UserError: a flag has a value it cannot have.
    """
    parser = lab.make_parser("modes", __doc__, quick="2 seeds, 4 for rates, packing 1 and 2, 100 steps")
    parser.add_argument("--seeds", type=int, help="seeds per protocol and packing; may be 0")
    parser.add_argument("--rate_seeds", type=int, help="seeds per loss; may be 0")
    parser.add_argument("--packing", type=int, nargs="+", help="from 1 to 4; 1 is always included")
    parser.add_argument("--loss", default="non_saturating", help="loss of both protocols")
    parser.add_argument("--losses", nargs="+", help="losses whose success rates are measured")
    parser.add_argument("--veegan_steps", type=int)
    parser.add_argument("--pacgan_steps", type=int)
    parser.add_argument("--rate_steps", type=int)
    parser.add_argument(
        "--width", type=float, help="width of PacGAN's hidden layers, as a fraction of the published one"
    )
    parser.add_argument("--learning_rate", type=float, help="learning rate of PacGAN's protocol")
    parser.add_argument("--published", action="store_true", help="both protocols' own steps, widths and learning rates")
    published = AS_PUBLISHED if "--published" in sys.argv else {}
    flags = lab.parse(parser, **DEFAULTS | {name: (value, value) for name, value in published.items()})
    flags.packing = sorted({1, *flags.packing})
    if flags.packing[0] < 1 or flags.packing[-1] > 4:
        raise UserError(f"--packing={flags.packing} must be from 1 to 4: PacGAN's table ends there.")
    if min(flags.seeds, flags.rate_seeds) < 0 or flags.seeds + flags.rate_seeds == 0:
        raise UserError(f"--seeds={flags.seeds} and --rate_seeds={flags.rate_seeds} must be 0 or more, not both 0.")
    if not 0 < flags.width <= 1:
        raise UserError(f"--width={flags.width} must be above 0 and at most 1.")
    lab.check_choices("--losses", flags.losses, DEFAULTS["losses"][0])
    if min(flags.veegan_steps, flags.pacgan_steps, flags.rate_steps) < NUM_EVALS:
        raise UserError(f"--veegan_steps, --pacgan_steps and --rate_steps must be {NUM_EVALS} or more.")
    return flags


def main() -> None:
    flags = read_flags()
    devices.use_threads(0)
    cells = [cell for cell in plan_cells(flags) if len(cell.seeds)]
    for cell in cells:
        validate(cell.config)
    results = train_all(cells, flags.out)
    ours = [pair for pair in zip(cells, results, strict=True) if pair[0].part != "rates"]
    rows = protocol_rows(*zip(*ours, strict=True)) if ours else []
    differences = protocol_differences(rows)
    rate_pairs = [pair for pair in zip(cells, results, strict=True) if pair[0].part == "rates"]
    losses = rate_rows(*zip(*rate_pairs, strict=True)) if rate_pairs else []
    all_steps = PUBLISHED_STEPS["PacGAN"]
    fewer = f"{flags.pacgan_steps:,} of PacGAN's {all_steps:,} steps show how training begins, not how it ends"
    claims = verdicts(rows, differences, "" if flags.pacgan_steps >= all_steps else fewer)
    show(rows, differences, losses)
    cpu = sum(result["cpu"] for result in results)
    settings = {name: value for name, value in vars(flags).items() if name not in ("quick", "published")}
    print(f"\nafter {flags.veegan_steps:,} steps by VEEGAN's protocol and {flags.pacgan_steps:,} by PacGAN's:")
    result = {"settings": settings, "rows": rows, "swings": differences, "losses": losses, "ceiling": CEILING,
              "cpu_seconds": cpu, "published": PUBLISHED}  # fmt: skip
    lab.finish(flags.out, result, {"modes": picture(cells, results, losses)}, claims)
    print(f"{cpu:.0f} s of CPU time for training")


if __name__ == "__main__":
    lab.run(main)
