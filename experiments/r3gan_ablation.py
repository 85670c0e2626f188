"""R3GAN's ablation: relativistic pairing covers modes, and two gradient penalties ensure convergence. Which cells fail?

    python -m experiments.r3gan_ablation [--part=gaussians|stacked] [--quick] [--out=runs/r3gan_ablation/PART]
        [--steps=1500] [--seeds=5] [--gamma=G]

Claims (arXiv:2501.05441). On Stacked MNIST with small residual networks, RpGAN with R1 + R2 converges (table 1: 1000
modes, KL .0781), the GAN with R1 + R2 converges and covers fewer modes (693, .9270), and with R1 alone both fail early:
D's gradient at the fakes explodes, for gamma from .1 to 100. Lazy penalties, in only every eighth update, fail on
Stacked MNIST and on toy problems such as 25 Gaussians. Neither the settings of the toy problems nor the networks of
table 1 are published.

Eight cells: RpGAN or GAN with R1 + R2, R1, none, or R1 + R2 in every eighth update with eight times their weight. The
slope of D, |d logit / dx| (root mean square), is recorded at data and fakes in all cells: a penalty that is off has
weight 1e-20, so that it is measured but has no effect. A run fails if it diverges, or if its KL over modes is .1 or
more at an evaluation in its second half. Adam .0, .99, constant learning rates.

`gaussians`: a five by five grid with spacing 2 and standard deviation .05; both players are MLPs of 3 x 64 leaky ReLU
units, z has 2 dimensions, minibatches of 128, learning rate 2e-3, gamma .3 (chosen from .01, .03, .1 and .3 for the
smallest KL on seed 1000 after 4,000 steps of RpGAN). `stacked`: Stacked MNIST, the networks of
configs/r3gan_stacked_mnist.py with width 16, minibatches of 64, gamma 1, 2,000 steps.

Expected from the paper: R1 + R2 fails in no cell; R1 alone, lazy penalties and no penalty fail.
Written to --out: r3gan_ablation.png, result.json, sweep/.
Measured, `gaussians`, 5 seeds of 1,500 steps, means with 95% t intervals:

                            modes              KL                 slope, data        slope, fakes       fails
    RpGAN, R1 + R2          21.2 [19.2, 23.2]  .034 [.019, .049]  .27 [.23, .30]     .30 [.26, .33]     0 of 5
    RpGAN, R1               19.6 [17.3, 21.9]  .033 [.016, .050]  .46 [.39, .52]     .51 [.45, .56]     0 of 5
    RpGAN, none             14.6 [ 9.7, 19.5]  .143 [.062, .225]  2.51 [1.22, 3.80]  1.54 [.74, 2.34]   5 of 5
    RpGAN, R1 + R2, lazy    20.2 [15.3, 25.1]  .036 [.017, .055]  .24 [.21, .27]     .26 [.23, .29]     0 of 5
    GAN, R1 + R2            21.0 [19.8, 22.2]  .033 [.024, .041]  .28 [.26, .30]     .31 [.29, .32]     0 of 5
    GAN, R1                 21.4 [19.1, 23.7]  .039 [.025, .052]  .45 [.40, .49]     .50 [.45, .56]     0 of 5
    GAN, none               17.2 [13.8, 20.6]  .180 [.167, .194]  3.23 [2.04, 4.42]  1.97 [1.17, 2.77]  5 of 5
    GAN, R1 + R2, lazy      19.8 [14.2, 25.4]  .049 [.029, .069]  .24 [.18, .29]     .27 [.21, .33]     0 of 5

What matters is having a penalty: without one D's slopes are five to ten times as large and both losses fail (worse by
KL, p = .020 and .013). R1 alone does not fail here, although it limits the slope at the fakes less (.5 against .3); nor
do lazy penalties; RpGAN and the GAN are not distinguishable. This is the beginning of training: 2 to 4% of the samples
are within 3 standard deviations of a mode, and the JSD is .66 of at most .69. The results are therefore about early
failure, as are the claims, and not about where training ends. The slopes of the lazy cells are 2% too high: a penalty
is measured in every eighth update and counted eight times, and 13 rather than 12.5 of the last log line's 100 updates
measure it. With 5 seeds, 0 of 5 means a failure rate of at most .52. 277 s of CPU time on two cores of an AMD EPYC that
were busy with other work, 2026-11-25. `stacked`: not run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from configs import r3gan_stacked_mnist
from experiments import lab, sweeps
from jaxgan.config import default, update
from jaxgan.errors import UserError
from jaxgan.run import plots
from jaxgan.sweep.settings import Setting
from jaxgan.sweep.statistics import compare, mean_interval, paired_difference, rate_interval

# A penalty of this weight is measured but has no effect: its contribution to the gradient is lost in float32.
WATCHED = 1e-20
LAZY = 8  # updates of D per update with penalties
LOSSES = {"RpGAN": "relativistic", "GAN": "non_saturating"}
PENALTIES = {"R1 + R2": ("r1", "r2"), "R1": ("r1",), "none": (), "R1 + R2, lazy": ("r1", "r2")}
# The paper's table 1, Stacked MNIST: modes and KL.
PUBLISHED = {
    "RpGAN, R1 + R2": "1000 / .0781",
    "GAN, R1 + R2": "693 / .9270",
    "RpGAN, R1": "fails",
    "GAN, R1": "fails",
}
PARTS = ("gaussians", "stacked")
TOLERANCE = 0.1  # nats, of the KL over modes


class Part(NamedTuple):
    """A base configuration, and the metrics that its runs are compared by."""

    base: ConfigDict
    modes: str
    kl: str
    gamma: float
    steps: int
    quick: dict[str, Any]


def gaussians() -> ConfigDict:
    """25 Gaussians, with the paper's optimizer and MLPs."""
    settings = {
        "data.name": "mixture:grid25",
        "prior.name": "normal",
        "prior.size": 2,
        "generator.hidden": (64, 64, 64),
        "generator.activations": ("leaky_relu",) * 3,
        "generator.output": "linear",
        "generator.irange": 0.2,
        "generator.output_irange": 0.2,
        "discriminator.hidden": (64, 64, 64),
        "discriminator.activation": "leaky_relu",
        "discriminator.irange": 0.2,
        "train.batch_size": 128,
        "log.every": 100,
        "sample.every": 0,
        "evaluate.every": 500,
        "evaluate.samples": 2500,
        "evaluate.metrics": ("modes",),
        "checkpoint.every": 2500,
    }
    for player in ("generator", "discriminator"):
        settings |= {f"optimizer.{player}.{k}": x for k, x in
                     {"name": "adam", "learning_rate": 2e-3, "b1": 0.0, "b2": 0.99}.items()}  # fmt: skip
    return update(default(), settings)


def cells(gamma: float) -> dict[str, dict[str, Any]]:
    """The settings by name: each loss with each set of penalties; penalties that are off are only measured."""
    by_name = {}
    for loss, name in LOSSES.items():
        for label, penalties in PENALTIES.items():
            weights = {f"objective.penalties.{p}": gamma if p in penalties else WATCHED for p in ("r1", "r2")}
            every = {"objective.penalty_every": LAZY if "lazy" in label else 1}
            by_name[f"{loss}, {label}"] = {"objective.loss": name} | weights | every
    return by_name


def stacked() -> ConfigDict:
    """Stacked MNIST, with R3GAN's networks at width 16 and a constant learning rate."""
    stages = {"widths": (16,) * 4, "blocks": (1,) * 4, "groups": (2,) * 4}
    settings: dict[str, Any] = {}
    for player in ("generator", "discriminator"):
        settings |= {f"{player}.{key}": numbers for key, numbers in stages.items()}
        settings |= {f"optimizer.{player}.schedule.name": "constant", f"optimizer.{player}.b2": 0.99}
    settings |= {
        "train.batch_size": 64,
        "generator.ema.half_life": (),
        "log.every": 5 * LAZY,  # so that each log line contains equally many lazy updates
        "sample.every": 0,
        "evaluate.every": 50 * LAZY,
        "evaluate.samples": 5000,
    }
    return update(r3gan_stacked_mnist.get_config(), settings)


def parts(name: str) -> Part:
    if name == "gaussians":
        few = {"train.steps": 40, "log.every": 10, "evaluate.every": 20, "evaluate.samples": 500}
        return Part(gaussians(), "modes", "mode_kl", 0.3, 1500, few)
    tiny: dict[str, Any] = {f"{player}.widths": (2,) * 4 for player in ("generator", "discriminator")}
    tiny |= {"train.steps": 4, "train.batch_size": 8, "log.every": 2, "evaluate.every": 2, "evaluate.samples": 100}
    return Part(stacked(), "class_modes", "class_kl", 1.0, 2000, tiny)


# --- Results ----------------------------------------------------------------------------------------------------------


def summary(workdir: Path, part: Part, settings: dict[str, Setting]) -> dict[str, dict[str, Any]]:
    """Per cell: the scores of each run, which runs fail, and D's gradient norms during training.

    A run fails if it diverges, or misses modes at an evaluation of its second half: KL of `TOLERANCE` or more.
    """
    rows: dict[str, dict[str, Any]] = {}
    for name, setting in settings.items():
        steps, kl = sweeps.curves(workdir, setting, part.kl)
        slopes = {penalty: sweeps.curves(workdir, setting, penalty) for penalty in ("r1", "r2")}
        fails = ~np.all(kl[:, steps > steps[-1] / 2] < TOLERANCE, axis=1)  # NaN counts as failure
        rows[name] = {
            "steps": steps,
            "kl": kl,
            "modes": list(setting.scores("final", part.modes).values()),
            "quality": list(setting.scores("final", "high_quality").values()),
            "slope_steps": slopes["r1"][0],
            "slope_real": np.sqrt(2 * slopes["r1"][1]),
            "slope_fake": np.sqrt(2 * slopes["r2"][1]),
            "diverged": setting.diverged,
            "fails": fails,
            "rate": rate_interval(int(fails.sum()), len(fails)),
            "published": PUBLISHED.get(name),
        }
    return rows


def table(rows: dict[str, dict[str, Any]]) -> str:
    """Final means over runs with 95% intervals; `quality`: the fraction of samples within 3 standard deviations."""
    widths = {"modes": 18, "quality": 21, "KL": 22, "slope, data": 19, "slope, fakes": 19, "fails": 21, "paper": 14}
    lines = [f"{'':22}" + "".join(f"{word:{width}}" for word, width in widths.items())]
    for name, row in rows.items():
        rate = row["rate"]
        cells = [
            mean_interval(row["modes"]).text(1),
            mean_interval(row["quality"]).text(3),
            *(mean_interval(row[key][:, -1]).text(digits) for key, digits in (("kl", 3), ("slope_real", 2))),
            mean_interval(row["slope_fake"][:, -1]).text(2),
            f"{rate.successes} of {rate.n} [{rate.low:.2f}, {rate.high:.2f}]",
            row["published"] or "",
        ]
        lines.append(f"{name:22}" + "".join(f"{cell:{w}}" for cell, w in zip(cells, widths.values(), strict=True)))
    return "\n".join(lines)


def verdicts(result: dict[str, Any]) -> dict[str, lab.Verdict]:
    """The verdict on each part of the claim, from the content of result.json.

    Failures are counted by cell: all runs of a cell have to fail, or none.
    """
    fails = {name: np.asarray(row["fails"], bool) for name, row in result["cells"].items()}
    slope = {name: np.asarray(row["slope_fake"], float)[:, -1] for name, row in result["cells"].items()}
    limits = (
        f"{result['steps']:,} steps on {result['part']} show that such a run need not fail, but nothing about images, "
        f"other networks or longer training"
    )
    modes = [np.asarray(result["cells"][f"{loss}, R1 + R2"]["modes"], float) for loss in LOSSES]
    more = paired_difference(*modes)
    held = {"RpGAN covers more modes than the GAN": lab.reproduced(lab.is_positive((more.low, more.high)), limits)}
    for loss in LOSSES:
        both, alone, none, lazy = (f"{loss}, {penalties}" for penalties in PENALTIES)
        held[f"{loss}: R1 + R2 does not fail"] = lab.reproduced(not fails[both].any(), limits)
        held[f"{loss}: R1 alone fails, its slope at the fakes explodes"] = lab.reproduced(
            bool(fails[alone].all() and np.all(slope[alone] > slope[none])), limits
        )
        held[f"{loss}: lazy penalties fail"] = lab.reproduced(bool(fails[lazy].all()), limits)
        held[f"{loss}: no penalty fails"] = lab.reproduced(bool(fails[none].all()), limits)
    return held


def comparison(rows: dict[str, dict[str, Any]]) -> str:
    """The sweep's statistical comparison by the final KL, smaller is better; a diverged run is the worst."""
    scores = {name: {i: -kl if np.isfinite(kl) else None for i, kl in enumerate(row["kl"][:, -1])}
              for name, row in rows.items()}  # fmt: skip
    verdicts = [f"{v.label}: {v.verdict}" + (f" (p = {v.p:.3f})" if v.difference else "") for v in compare(scores)]
    return "by KL at the end: " + "; ".join(verdicts)


def picture(rows: dict[str, dict[str, Any]]) -> bytes:
    """Plots KL and both gradient norms during training, a line per run; RpGAN above, GAN below."""
    figure = plots.new_figure(12, 6)
    axes = figure.subplots(len(LOSSES), 3, sharex=True, sharey="col")
    panels = (("steps", "kl", "KL over modes"), ("slope_steps", "slope_real", "gradient norm of D at data"),
              ("slope_steps", "slope_fake", "gradient norm of D at fakes"))  # fmt: skip
    for line, loss in zip(axes, LOSSES, strict=True):
        for axis, (steps, key, title) in zip(line, panels, strict=True):
            for color, penalties in zip(plots.LINES, PENALTIES, strict=False):
                row = rows[f"{loss}, {penalties}"]
                axis.plot(row[steps], row[key].T, color=color, linewidth=0.8, alpha=0.7)
                axis.plot([], [], color=color, label=penalties)
            axis.set(yscale="log", title=f"{title}, {loss}")
            axis.grid(alpha=0.3)
        line[0].legend(frameon=False, fontsize=8)
    for axis in axes[-1]:
        axis.set_xlabel("steps")
    return plots.figure_png(figure)


# --- The command ------------------------------------------------------------------------------------------------------


def main() -> None:
    parser = lab.make_parser("r3gan_ablation", __doc__, quick="a few steps at a tiny size")
    parser.add_argument("--part", default="gaussians", help="gaussians | stacked")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seeds", type=int, help="seeds per cell (default: 5; quick: 2)")
    parser.add_argument("--gamma", type=float, help="weight of R1 and of R2 (default: .3; stacked: 1)")
    name = parser.parse_known_args()[0].part
    default = Path("runs", "r3gan_ablation", name)
    flags = lab.parse(parser, seeds=(5, 2), out=(default, default.with_name(f"{name}_quick")))
    lab.check_choices("--part", [flags.part], PARTS)
    part = parts(flags.part)
    base = update(part.base, part.quick if flags.quick else {"train.steps": part.steps})
    base = update(base, {} if flags.steps is None else {"train.steps": flags.steps})
    seeds = flags.seeds
    gamma = part.gamma if flags.gamma is None else flags.gamma
    if seeds < 1 or not gamma > 0:
        raise UserError(f"--seeds={seeds} must be 1 or more, and --gamma={gamma:g} above 0.")
    settings_trained = sweeps.train(flags.out / "sweep", __doc__, base, cells(gamma), range(seeds))
    rows = summary(flags.out / "sweep", part, settings_trained)
    print(f"\n{table(rows)}\n{comparison(rows)}")
    settings = {"part": flags.part, "gamma": gamma, "steps": base.train.steps, "seeds": seeds}
    lab.finish(
        flags.out, settings | {"cells": rows}, {"r3gan_ablation": picture(rows)}, verdicts(settings | {"cells": rows})
    )


if __name__ == "__main__":
    lab.run(main)
