"""R1, latent optimization and unrolling are one damping near an equilibrium; are they also one on a ring of modes?

    python -m experiments.damping [--quick] [--out=runs/damping] [--steps=1200] [--seeds=30]

1. Closed form (derived here). On the Dirac-GAN, whose data are 0, with G(z) = theta + z at z = 0 and D(x) = psi x, the
   flow of the step has the eigenvalues of lambda^2 + g lambda + 1/4 = 0, and g is gamma for R1 of weight gamma,
   alpha / beta for latent optimization (LOGAN, arXiv:1912.00953), and k h / 2 for a G that looks k steps of D of rate h
   ahead (unrolled GAN, arXiv:1611.02163). With the step in z, or the steps of D, taken for constants by the gradients,
   g is half of that. Two learning rates alone give +-i sqrt(h_G h_D) / 2: they never converge (TTUR).
2. Claim of arXiv:1611.02163: unrolling covers the modes of a ring that a GAN loses. Here at an equal number of gradient
   evaluations: k unrolled steps cost k + 1 times as much as none, so they get 1 / (k + 1) of the iterations.
3. Question: do latent optimization and R1 of the same damping end alike on the ring?

The ring is that of configs/ring8.py, its games with `objective.d_scale` 1, so that the dampings of both players' losses
are those of 1. In 2, both players descend the minimax loss simultaneously, as in the paper; in 3, the non-saturating
one alternately. A damping is that of the flow: Adam, which trains here, rescales it.

Expected: 1 to 1e-6, and in 2 more modes with unrolling.
Written to --out: damping.png, result.json, and parts/ (what a repeated command does not train again).
Measured, 30 seeds, 216 s of CPU time on two cores of an AMD EPYC that were busy with other work, 2026-11-28. 1: the
largest error of an eigenvalue is 2.1e-7. 2 and 3, share of runs with 8 of 8 modes, and mean modes with 95% t intervals:

    unrolled, k    0     .60    7.1 [6.6, 7.6]        damping       R1                      latent optimization
                   1     .20    6.2 [5.7, 6.7]        0             .70  7.5 [7.1, 7.9]
                   5     .07    6.3 [5.9, 6.6]        .1            .93  7.9 [7.8, 8.0]     .67  7.6 [7.4, 7.8]
                   10    0      5.2 [4.6, 5.7]        .5            .93  7.9 [7.8, 8.1]     .77  7.7 [7.5, 7.9]
                                                      1             .90  7.9 [7.8, 8.0]     .37  7.1 [6.8, 7.4]

At equal gradient evaluations unrolling has fewer runs with all modes (paired by seed, p = .012, .0008, 2e-5 after
Holm's correction). Latent optimization ends within one mode of R1 at dampings .1 and .5, and is not shown to at 1; yet
R1 captures all modes more often at .1 and at 1 (p = .016, .0004) and has more samples of high quality at every damping:
the same linear damping is not the same training.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from configs import ring8
from experiments import lab
from experiments.dynamics import difference_jacobian, dirac, sgd, with_latent
from experiments.modes import Cell, last, train_all
from jaxgan.config import update
from jaxgan.data.mixture import MIXTURES
from jaxgan.errors import UserError
from jaxgan.run.plots import LINES, figure_png, new_figure
from jaxgan.sweep.statistics import holm, mean_interval, paired_rates, rate_interval

LIMIT = 1e-6  # of the eigenvalues, which float32 resolves to about 1e-7
STEP = "objective.latent_optimization."
UNROLLED = (1, 5, 10)  # steps of D
DAMPINGS = (0.1, 0.5, 1.0)
BETA = 5.0
MARGIN = 1.0  # modes, of the equivalence of two methods
LIMITS = "one ring, one network and Adam's rates of configs/ring8.py, and far fewer iterations than in the paper"


# --- On the Dirac-GAN -------------------------------------------------------------------------------------------------


def settings(h: float) -> list[tuple[str, dict[str, Any], float]]:
    """Methods, what they change in the configuration, and their damping at learning rate h."""
    found: list[tuple[str, dict[str, Any], float]] = []
    for g in (0.05, 0.18, 0.5, 0.9, 2.0):
        found.append(("R1", {"objective.penalties.r1": g}, g))
        latent = {STEP + "rate": g * BETA, STEP + "damping": BETA}
        found.append(("latent optimization", latent, g))
        found.append(("latent optimization, step constant", latent | {STEP + "differentiate": False}, g / 2))
    for k in (1, 2, 5, 8):
        unrolled = {"train.update": "unrolled", "train.unrolled_steps": k, "objective.loss": "minimax"}
        found.append(("unrolling", unrolled, k * h / 2))
        found.append(("unrolling, steps constant", unrolled | {"train.unrolled_gradient": False}, k * h / 4))
    return found


def closed_form(damping: float) -> np.ndarray:
    """The roots of lambda^2 + damping lambda + 1/4, [2] complex, ordered."""
    return np.sort_complex(np.roots([1, damping, 0.25]).astype(complex))


def eigenvalues(changes: Mapping[str, Any], h: float) -> np.ndarray:
    """Of the flow that the step follows at the equilibrium, [2] complex, ordered."""
    game = with_latent(dirac(sgd(h) | {"train.update": "simultaneous"} | dict(changes)))
    return np.sort_complex((np.linalg.eigvals(difference_jacobian(game, game.hparams)) - 1) / h)


def dirac_rows(h: float) -> list[dict[str, Any]]:
    """A row per method and strength: its damping, its eigenvalues, and how far these are from the closed form."""
    rows = []
    for method, changes, damping in settings(h):
        found = eigenvalues(changes, h)
        rows.append({"method": method, "damping": damping, "real": found.real, "imaginary": found.imag,
                     "error": float(np.abs(found - closed_form(damping)).max())})  # fmt: skip
    return rows


# --- On the ring ------------------------------------------------------------------------------------------------------


def ring(steps: int, changes: Mapping[str, Any]) -> ConfigDict:
    fixed = {"train.steps": steps, "objective.d_scale": 1.0, "evaluate.samples": 2500}
    metrics = {"evaluate.metrics": ("modes", "high_quality_kl")}
    return update(ring8.get_config(), fixed | metrics | dict(changes))


def cells(steps: int, seeds: int) -> list[Cell]:
    """The trainings: unrolling at equal gradient evaluations, and two methods of the same damping."""
    minimax = {"objective.loss": "minimax"}
    found = [("unrolled 0", ring(steps, minimax | {"train.update": "simultaneous"}))]
    for k in UNROLLED:
        changes = minimax | {"train.update": "unrolled", "train.unrolled_steps": k}
        found.append((f"unrolled {k}", ring(max(steps // (k + 1), 1), changes)))
    found.append(("none", ring(steps, {})))
    for g in DAMPINGS:
        found.append((f"R1 {g:g}", ring(steps, {"objective.penalties.r1": g})))
        found.append((f"latent {g:g}", ring(steps, {STEP + "rate": g * BETA, STEP + "damping": BETA})))
    return [Cell("rates", "ring", name, config, range(seeds)) for name, config in found]


def table(trained: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Prints and returns, by name of a cell, how often all modes were captured, and mean scores with 95% intervals."""
    modes_there = len(MIXTURES["ring8"].weights)
    print(f"\n{'':14}{'8 of 8 modes':24}{'modes':22}{'high quality':24}{'CPU s':>6}")
    rows = []
    for name, result in trained.items():
        modes, quality = last(result, "modes"), last(result, "high_quality")
        rate = rate_interval(int(np.sum(modes == modes_there)), len(modes))
        rows.append({"name": name, "rate": rate._asdict(), "modes": mean_interval(modes)._asdict(),
                     "high_quality": mean_interval(quality)._asdict(), "cpu": result["cpu"]})  # fmt: skip
        print(f"{name:14}{f'{rate.rate:.2f} [{rate.low:.2f}, {rate.high:.2f}]':24}{mean_interval(modes).text(2):22}"
              f"{mean_interval(quality).text(3):24}{result['cpu']:6.0f}")  # fmt: skip
    return rows


def verdicts(rows: list[dict[str, Any]], trained: Mapping[str, Mapping[str, Any]]) -> dict[str, lab.Verdict]:
    """By the rows of `dirac_rows` and by what was trained, by its name."""
    found: dict[str, lab.Verdict] = {
        f"eigenvalues of all three methods within {LIMIT:g}": lab.in_every_run(row["error"] < LIMIT for row in rows)
    }
    modes = {name: last(result, "modes") for name, result in trained.items()}
    whole = {name: captured == len(MIXTURES["ring8"].weights) for name, captured in modes.items()}
    names = [f"unrolled {k}" for k in UNROLLED]
    p = holm([paired_rates(whole[name], whole["unrolled 0"]) for name in names])
    for name, p_value in zip(names, p, strict=True):
        difference = float(whole[name].mean() - whole["unrolled 0"].mean())
        more = lab.is_positive_by_test(difference, float(p_value))
        found[f"{name}: all modes more often, at equal gradient evaluations"] = lab.reproduced(more, LIMITS)
    for g in DAMPINGS:
        low, high = lab.equivalence_interval(modes[f"R1 {g:g}"], modes[f"latent {g:g}"])
        found[f"damping {g:g}: latent optimization ends within {MARGIN:g} mode of R1"] = lab.decide(
            shown=lab.is_equivalent([(low, high)], MARGIN), refuted=low > MARGIN or high < -MARGIN
        )
    return found


# --- The picture and the command --------------------------------------------------------------------------------------


def picture(rows: list[dict[str, Any]], trained: Mapping[str, Mapping[str, Any]]) -> bytes:
    """The eigenvalues against the damping with their closed form, and the modes of every run."""
    figure = new_figure(11, 4)
    plane, ring_axis = figure.subplots(1, 2, width_ratios=(1, 1.4))
    fine = np.linspace(0, 2, 400)
    curve = np.array([closed_form(g) for g in fine])
    plane.plot(fine, curve.real, color="black", linewidth=1, label="closed form")
    names = dict.fromkeys(row["method"] for row in rows)
    for name, color, marker in zip(names, LINES, "osv^Dx", strict=False):
        mine = [row for row in rows if row["method"] == name]
        plane.plot(np.repeat([row["damping"] for row in mine], 2), np.concatenate([row["real"] for row in mine]),
                   marker, color=color, markersize=4, label=name)  # fmt: skip
    plane.set(xlabel="damping $g$", ylabel="real part", title="eigenvalues of the training step, Dirac-GAN")
    handles, labels = plane.get_legend_handles_labels()
    plane.legend(handles[1:], labels[1:], frameon=False, fontsize=8)
    rng = np.random.default_rng(0)
    for i, result in enumerate(trained.values()):
        captured = last(result, "modes")
        jitter = rng.uniform(-0.2, 0.2, (2, len(captured)))
        ring_axis.plot(i + jitter[0], captured + jitter[1] / 2, ".", color=LINES[0], markersize=3, alpha=0.5)
        ring_axis.plot([i - 0.3, i + 0.3], [np.nanmean(captured)] * 2, color="black")
    ring_axis.set_xticks(range(len(trained)), list(trained), rotation=45, ha="right", fontsize=8)
    ring_axis.set(ylabel="modes", title="ring of 8, every run and the mean")
    lab.tidy(plane, ring_axis)
    return figure_png(figure)


def main() -> None:
    parser = lab.make_parser("damping", __doc__, quick="the closed forms, and 3 seeds of 20 steps")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--learning_rate", type=float, default=0.2, help="on the Dirac-GAN; default: %(default)s")
    flags = lab.parse(parser, steps=(1200, 20), seeds=(30, 3))
    if flags.steps < 1 or flags.seeds < 1 or not flags.learning_rate > 0:
        raise UserError(
            f"--steps={flags.steps} and --seeds={flags.seeds} must be 1 or more, and --learning_rate="
            f"{flags.learning_rate} above 0."
        )
    started = time.process_time()
    rows = dirac_rows(flags.learning_rate)
    print(f"{'method':36}{'damping':>9}{'error':>10}")
    for row in rows:
        print(f"{row['method']:36}{row['damping']:9.3f}{row['error']:10.1e}")
    planned = cells(flags.steps, flags.seeds)
    trained = dict(zip((cell.name for cell in planned), train_all(planned, flags.out), strict=True))
    decided = verdicts(rows, trained)
    result = {"dirac": rows, "ring": table(trained), "seconds": time.process_time() - started}
    lab.finish(flags.out, result, {"damping": picture(rows, trained)}, decided)
    lab.require({claim: verdict for claim, verdict in decided.items() if claim.startswith("eigenvalues")})


if __name__ == "__main__":
    lab.run(main)
