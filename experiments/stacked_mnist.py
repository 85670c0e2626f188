"""PacGAN's Table 3: how many of Stacked MNIST's 1000 modes are captured, by packing, with a D a quarter the size of G.

    python -m experiments.stacked_mnist [--quick] [--out=runs/stacked_mnist] [--steps=20000] [--seeds=5]
        [--packing 1 2 3 4]

Claim (arXiv:1712.04086, table 3; with the networks of arXiv:1611.02163's appendix): the more samples D takes at once,
the more modes G covers. 25,600 samples, 50 trials of 500,000 steps, mean +- standard error:

    packing    modes           KL to uniform (nats)
    1          78.5 +- 17.6    5.21 +- .19
    2          484.5 +- 33     2.61 +- .22
    3          601.3 +- 32.2   2.00 +- .17
    4          667.4 +- 29     1.81 +- .15

The configuration is configs/stacked_mnist_small.py, whose docstring lists how its networks differ from theirs. As in
their code, a minibatch is 128 packs, so that packing m costs m times as much, and images are in [-1, 1]. The modes are
counted by the package's classifier of MNIST. A perfect G scores about .024 nats (.0195 by chance, .0043 because the
digits of MNIST are not equally frequent), and all 1000 modes.

Expected: the order 4 > 3 > 2 > 1, even after the default of 20,000 steps instead of their 500,000.
Written to --out: stacked_mnist.png, result.json, sweep/.
Not run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from configs import stacked_mnist_small
from experiments import lab, sweeps
from jaxgan.config import update
from jaxgan.errors import UserError
from jaxgan.run import plots
from jaxgan.sweep.settings import Setting
from jaxgan.sweep.statistics import mean_interval, paired_difference

PACKS = 128  # per minibatch
PUBLISHED = {1: ("78.5 ± 17.6", "5.21 ± .19"), 2: ("484.5 ± 33", "2.61 ± .22"), 3: ("601.3 ± 32.2", "2.00 ± .17"),
             4: ("667.4 ± 29", "1.81 ± .15")}  # fmt: skip


def base(quick: bool) -> ConfigDict:
    """The recipe, evaluated halfway and at the end; with --quick on digits of 8x8 pixels."""
    changes: dict[str, Any] = {"log.every": 100, "sample.every": 0, "checkpoint.every": 1000}
    if quick:
        changes |= {
            "data.name": "stacked:digits",
            "data.validation": 150,
            "generator.widths": (16, 8),
            "discriminator.widths": (2, 4),
            "evaluate.samples": 1000,
            "log.every": 5,
        }
    return update(stacked_mnist_small.get_config(), changes)


def settings(packing: list[int], packs: int) -> dict[int, dict[str, Any]]:
    """The settings by packing, each with `packs` packs per minibatch."""
    return {m: {"discriminator.packing": m, "train.batch_size": m * packs} for m in packing}


def summary(settings: dict[int, Setting]) -> dict[int, dict[str, Any]]:
    """By packing: modes and KL of each run at the end, and the difference from the previous packing, paired by seed."""
    rows: dict[int, dict[str, Any]] = {}
    before = None
    for m, setting in settings.items():
        rows[m] = {name: list(setting.scores("final", f"class_{name}").values()) for name in ("modes", "kl")}
        rows[m]["more_modes"] = None if before is None else paired_difference(rows[m]["modes"], rows[before]["modes"])
        before = m
    return rows


def increases(rows: dict[int, dict[str, Any]]) -> bool:
    """Whether the mean number of modes increases with the packing."""
    means = [mean_interval(row["modes"]).mean for row in rows.values()]
    return bool(np.all(np.diff(means) > 0))


def table(rows: dict[int, dict[str, Any]]) -> str:
    head = f"{'packing':8}{'modes':26}{'paper':>14}  {'KL':22}{'paper':>12}  more modes than the row above"
    lines = [head]
    for m, row in rows.items():
        more = row["more_modes"]
        difference = "" if more is None else f"{more.mean:.1f} [{more.low:.1f}, {more.high:.1f}], p = {more.p:.3f}"
        (modes, kl), digits = PUBLISHED.get(m, ("", "")), {"modes": 1, "kl": 2}
        ours = {name: mean_interval(row[name]).text(digits[name]) for name in digits}
        lines.append(f"{m:<8}{ours['modes']:26}{modes:>14}  {ours['kl']:22}{kl:>12}  {difference}")
    return "\n".join(lines)


def picture(workdir: Path, settings: dict[int, Setting], rows: dict[int, dict[str, Any]]) -> bytes:
    """Plots modes and KL during training, and the final modes with the paper's for comparison."""
    figure = plots.new_figure(12, 4)
    modes, kl, last = figure.subplots(1, 3)
    for color, (m, setting) in zip(plots.LINES, settings.items(), strict=False):
        for axis, name in ((modes, "class_modes"), (kl, "class_kl")):
            steps, numbers = sweeps.curves(workdir, setting, name)
            axis.plot(steps, numbers.T, color=color, linewidth=0.8, alpha=0.5)
            axis.plot(steps, numbers.mean(axis=0), "o-", color=color, markersize=3, label=f"packing {m}")
        last.plot([m] * len(rows[m]["modes"]), rows[m]["modes"], "o", color=color, alpha=0.6)
        if m in PUBLISHED:
            mean, error = (float(x) for x in PUBLISHED[m][0].split(" ± "))
            last.errorbar(m + 0.15, mean, yerror_95(error), color="black", marker="s", markersize=4, capsize=3)
    modes.set(title="modes", xlabel="steps", ylim=(0, 1000))
    kl.set(title="KL to uniform, nats", xlabel="steps")
    last.plot([], [], "ks", label="paper, 500,000 steps, 95%")
    last.set(title="modes at the end", xlabel="packing", ylim=(0, 1000))
    for axis in (modes, kl, last):
        axis.grid(alpha=0.3)
        axis.legend(frameon=False, fontsize=8)
    return plots.figure_png(figure)


def yerror_95(standard_error: float) -> float:
    """Half the width of the 95% t interval of the paper's 50 trials."""
    return 2.01 * standard_error


def main() -> None:
    quick = "a few steps on scikit-learn's digits, whose classifier is trained once"
    parser = lab.make_parser("stacked_mnist", __doc__, quick=quick)
    parser.add_argument("--steps", type=int, help="default: 20,000; quick: 20")
    parser.add_argument("--seeds", type=int, help="seeds per packing (default: 5; quick: 2)")
    parser.add_argument("--packing", type=int, nargs="+", help="default: 1 2 3 4; quick: 1 2")
    flags = lab.parse(parser, out=("runs/stacked_mnist", "runs/stacked_mnist_quick"), steps=(20_000, 20), seeds=(5, 2),
                      packing=([1, 2, 3, 4], [1, 2]))  # fmt: skip
    steps, seeds, packing, out = flags.steps, flags.seeds, flags.packing, flags.out
    if steps < 1 or seeds < 1 or min(packing) < 1 or packing != sorted(set(packing)):
        raise UserError(
            f"--steps={steps} and --seeds={seeds} must be 1 or more, and --packing={packing} must increase, from 1 or "
            f"more."
        )

    config = update(base(flags.quick), {"train.steps": steps, "evaluate.every": max(1, steps // 2)})
    trained = sweeps.train(out / "sweep", __doc__, config, settings(packing, 8 if flags.quick else PACKS), range(seeds))
    rows = summary(trained)
    print(
        f"\n{table(rows)}\nthe mean number of modes {'rises' if increases(rows) else 'does not rise'} with the packing"
    )
    result = {"steps": steps, "seeds": seeds, "packing": rows, "ordered": increases(rows)}
    lab.finish(out, result, {"stacked_mnist": picture(out / "sweep", trained, rows)})


if __name__ == "__main__":
    lab.run(main)
