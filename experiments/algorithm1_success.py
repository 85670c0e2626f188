"""Does Algorithm 1 as printed train with the hyperparameters released in 2014? How often, and what makes it succeed?

    python -m experiments.algorithm1_success [--quick] [--out=runs/algorithm1_success] [--epochs=20] [--seeds=10]
        [--cures momentum dropout bias r1 k batch]

configs/mnist.py has the hyperparameters that the authors of arXiv:1406.2661 released. Their code updates both players
simultaneously, whereas Algorithm 1 alternates. We found no public report on whether the two train equally well. Here
each update rule is trained with each seed, and then Algorithm 1 with one change at a time: no momentum, no dropout, an
output bias of 0 instead of the logit of the pixel means, R1 of .01, k = 2, minibatches of 200. All runs have the same
number of steps; 500 steps are one epoch with minibatches of 100.

A run counts as trained if D's loss, -V/2, averaged over the last 500 steps, is above 1e-3; otherwise D has won. The
loss is .69 where p_g = p_data. Success rates have Clopper-Pearson intervals; each is compared with that of Algorithm 1
by the exact McNemar test, paired by seed. Test log-likelihoods are Parzen estimates from 2,000 samples, which are lower
than with the paper's 10,000.

Once D has nearly won, training may never recover: on an H200, in `experiments.table1`, the simultaneous update with
seed 0 kept D's loss below 2e-4 from step 2,500 to the last of 75,000, where its log-likelihood was -276 nats; seeds 3
and 4 trained.

Why 20 epochs: of two earlier single runs of Algorithm 1, seed 0 had -252 nats and a loss of D of 1.6e-4 at epochs 10
and 20, whereas seed 1 had 3.4 nats at epoch 10, and 90.1 nats with a loss of D of .45 at epoch 20. Ten epochs do not
decide. A sweep can be extended: the same command with more --epochs, --seeds or --cures trains what is missing.

Expected: Algorithm 1 trains with some seeds, the simultaneous update with all. The question is which change reaches 10
of 10. The estimated cost (12 ms per step on one idle core, minibatches of 100) is 40 minutes of CPU time for the two
update rules, and 3.4 hours with all changes, or 100 minutes on two idle cores.
Written to --out: algorithm1_success.png, result.json, sweep/.
Not run: started on 2026-11-25 on two cores that were busy with other work, and stopped within the first epoch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from configs import mnist
from experiments import lab, sweeps
from experiments.ablations import small_digits
from jaxgan.config import update
from jaxgan.errors import UserError
from jaxgan.run import plots
from jaxgan.sweep.settings import Setting
from jaxgan.sweep.statistics import mean_interval, paired_rates, rate_interval

D_WON = 1e-3  # D has won if its loss, -V/2, averaged over the last epoch, is at most this
PRINTED = {"train.update": "alternating"}  # Algorithm 1
RELEASED = {"train.update": "simultaneous"}  # the code
EPOCH = 500  # steps, of batches of 100


def cures(quick: bool) -> dict[str, dict[str, Any]]:
    """Algorithm 1 with a single change each."""
    players = ("generator", "discriminator")
    no_momentum = {f"optimizer.{player}.{name}": 0.0 for player in players for name in ("momentum", "final_momentum")}
    m = 2 * base(quick).train.batch_size
    changes: dict[str, dict[str, Any]] = {
        "momentum": no_momentum,
        "dropout": {"discriminator.input_keep": 1.0, "discriminator.hidden_keep": 1.0},
        "bias": {"generator.output_bias": False},
        "r1": {"objective.penalties.r1": 0.01},
        "k": {"train.d_steps": 2},
        "batch": {"train.batch_size": m},
    }
    return {name: PRINTED | change for name, change in changes.items()}


LABELS = {
    "alternating": "Algorithm 1",
    "simultaneous": "simultaneous, as released",
    "momentum": "no momentum",
    "dropout": "no dropout",
    "bias": "output bias 0",
    "r1": "R1 of .01",
    "k": "k = 2",
    "batch": "minibatches twice as large",
}


def base(quick: bool) -> ConfigDict:
    """The recipe, logged often and evaluated at the end."""
    config = small_digits() if quick else mnist.get_config()
    return update(config, {"log.every": 50, "sample.every": 0, "evaluate.every": 0, "evaluate.samples": 2000})


def settings(names: list[str], quick: bool) -> dict[str, dict[str, Any]]:
    """Both updates and the requested cures, by name."""
    return {"alternating": PRINTED, "simultaneous": RELEASED} | {name: cures(quick)[name] for name in names}


# --- Results ----------------------------------------------------------------------------------------------------------


def late_losses(steps: np.ndarray, losses: np.ndarray, window: int) -> np.ndarray:
    """The mean loss of D over the last `window` steps of each run: [members], NaN for diverged runs.

    Args:
      steps: [n] of the log lines, each with the mean since the previous one.
      losses: [members, n].
    """
    return losses[:, steps > steps[-1] - window].mean(axis=1)


def summary(workdir: Path, settings: dict[str, Setting], window: int) -> dict[str, dict[str, Any]]:
    """Per setting: which seeds train, the success rate and its interval, the test against Algorithm 1, final scores."""
    rows: dict[str, dict[str, Any]] = {}
    for name, setting in settings.items():
        steps, losses = sweeps.curves(workdir, setting, "d_loss")
        late = late_losses(steps, losses, window)
        trained = late > D_WON
        scores = setting.scores("final", "test_log_likelihood")
        rows[name] = {
            "seeds": list(scores),
            "trained": trained,
            "rate": rate_interval(int(trained.sum()), len(trained)),
            "late_loss": late,
            "least_loss": losses.min(axis=1),
            "log_likelihood": list(scores.values()),
            "steps": steps,
            "losses": losses,
        }
    printed = rows["alternating"]["trained"]
    for name, row in rows.items():
        row["p"] = None if name == "alternating" else paired_rates(row["trained"], printed)
    return rows


def table(rows: dict[str, dict[str, Any]]) -> str:
    head = f"{'':28}{'trains':>9}  {'95% interval':14}{'p':>7}   {'D at its lowest':>15}   {'nats, if it trains':20}"
    lines = [head]
    for name, row in rows.items():
        rate, p = row["rate"], "" if row["p"] is None else f"{row['p']:.3f}"
        nats = [x for x, trained in zip(row["log_likelihood"], row["trained"], strict=True) if trained]
        least = f"{np.nanmin(row['least_loss']):.1e}"
        successes = f"{rate.successes} of {rate.n}"
        lines.append(f"{LABELS[name]:28}{successes:>9}  [{rate.low:.2f}, {rate.high:.2f}]  {p:>7}   {least:>15}   "
                     f"{mean_interval(nats).text(0):20}")  # fmt: skip
    return "\n".join(lines)


def picture(rows: dict[str, dict[str, Any]]) -> bytes:
    """D's loss over training under both updates, and the rates."""
    figure = plots.new_figure(12, 4)
    printed, released, rates = figure.subplots(1, 3)
    printed.sharey(released)
    for axis, name in ((printed, "alternating"), (released, "simultaneous")):
        row = rows[name]
        for losses, trained in zip(row["losses"], row["trained"], strict=True):
            axis.plot(row["steps"] / EPOCH, losses, color=plots.BLUE if trained else plots.ORANGE, linewidth=0.9)
        axis.axhline(D_WON, color="black", linestyle=":", linewidth=1)
        axis.set(yscale="log", xlabel="epochs", title=f"loss of D, {LABELS[name]}")
        for label, color in (("trains", plots.BLUE), ("D wins", plots.ORANGE)):
            axis.plot([], [], color=color, label=label)
        axis.legend(frameon=False, fontsize=8)
    for y, row in enumerate(rows.values()):
        rate = row["rate"]
        rates.plot([rate.low, rate.high], [-y, -y], color=plots.BLUE, linewidth=2)
        rates.plot(rate.rate, -y, "o", color=plots.BLUE)
    rates.set_yticks([-y for y in range(len(rows))], [LABELS[name] for name in rows], fontsize=8)
    rates.set(xlim=(-0.03, 1.03), xlabel="fraction of seeds that train, 95% interval")
    for axis in (printed, released, rates):
        axis.grid(alpha=0.3)
    return plots.figure_png(figure)


# --- The command ------------------------------------------------------------------------------------------------------


def main() -> None:
    parser = lab.make_parser("algorithm1_success", __doc__, quick="small networks on scikit-learn's digits")
    parser.add_argument("--epochs", type=float, help=f"number of epochs of {EPOCH} steps (default: 20; quick: .4)")
    parser.add_argument("--seeds", type=int, help="seeds per setting (default: 10; quick: 3)")
    parser.add_argument(
        "--cures", nargs="*", help="changes to Algorithm 1 to train with (default: all; quick: momentum)"
    )
    folders = ("runs/algorithm1_success", "runs/algorithm1_success_quick")
    defaults = (list(cures(False)), ["momentum"])
    flags = lab.parse(parser, out=folders, epochs=(20, 0.4), seeds=(10, 3), cures=defaults)
    names, epochs, seeds, out = flags.cures, flags.epochs, flags.seeds, flags.out
    lab.check_choices("--cures", names, cures(flags.quick))
    if epochs * EPOCH < 1 or seeds < 1:
        raise UserError(f"--epochs={epochs:g} must be 1 step or more, and --seeds={seeds} 1 or more.")

    config = update(base(flags.quick), {"train.steps": round(epochs * EPOCH)})
    finished = sweeps.train(out / "sweep", __doc__, config, settings(names, flags.quick), range(seeds))
    rows = summary(out / "sweep", finished, EPOCH)
    print(f"\n{table(rows)}\nafter {epochs:g} epochs; p: exact McNemar test against Algorithm 1, by seed")
    lab.finish(out, {"epochs": epochs, "lost": D_WON, "settings": rows}, {"algorithm1_success": picture(rows)})


if __name__ == "__main__":
    lab.run(main)
