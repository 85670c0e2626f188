"""The Dirac-GAN: which GANs converge locally, according to the eigenvalues of the actual training step.

    python -m experiments.dirac [--quick] [--out=runs/dirac]
        [--method r1 ...] [--update alternating ...] [--learning_rate=0.2] [--weight=0.3] [--d_steps=1]

Claim (Mescheder, Geiger and Nowozin, arXiv:1801.04406, sections 2 to 4): p_data is a point mass at 0, G(z) = theta and
D(x) = psi x, so the equilibrium is (0, 0). Training does not converge to it without a penalty, nor with WGAN, clipped
WGAN or WGAN-GP. It converges linearly with R1, R2, instance noise or consensus optimization; with R1, convergence is
fastest at a critical weight.

Method: for each method and update rule, two quantities of `algorithm1.train_step` are measured. `spectral_radius` is
the spectral radius of its Jacobian at (0, 0) with respect to theta, psi and the optimizers' state, by automatic
differentiation. `rate` is the contraction per step when the step is iterated near (0, 0) (`dynamics.growth`). Both are
compared with the closed form, at the requested setting and at random learning rates and weights. The closed form has
three coefficients: D's loss contributes -c_d theta to dpsi/dt, G's loss contributes c_g psi to dtheta/dt, and a penalty
contributes -rho psi to dpsi/dt. The flow of w = (theta, psi) is therefore dw/dt = A w with

    A = [[0, c_g], [-c_d, -rho]]

Consensus optimization (arXiv:1705.10461) adds -gamma A^T A to A, and symplectic adjustment (arXiv:1802.05642) adds
-gamma (A^T - A) A / 2. The eigenvalues mu of the resulting matrix are those in the paper. With learning rate h, one
training step is

    simultaneous    1 + h A
    alternating     (1 + h A_theta) (1 + h A_psi)^k      (A_theta, A_psi: A with the other row set to 0; k: d_steps)
    extragradient   1 + h A + (h A)^2

Conventions: D's loss is the sum of its real and fake parts, and each player descends its own loss, so that the paper's
f'(0) = 1/2 corresponds to c_d = c_g = 1/2. `weight` is the paper's gamma (R1 is gamma / 2 times the squared gradient
norm); for instance noise it is the standard deviation. Instance noise is taken in expectation: its samples are replaced
by normal quantiles with mean 0 and variance 1, which makes the Jacobian exact. The penalties of WGAN-GP and DRAGAN are
not differentiable at psi = 0, so there are no eigenvalues; instead, the distance from (0, 0) is reported. Least squares
has c_g c_d = 0, since this D has no bias: 1 is a double eigenvalue, and every (theta, 0) is an equilibrium. Consensus
and symplectic updates are simultaneous in this package; they are made alternating by setting the learning rate of the
inactive player to 0.

Three further results. The paper's released code (LMescheder/GAN_stability, notebooks/diracgan/gans.py) contains only
half of the second-order part of the gradient of consensus optimization: the eigenvalues are the same, but the
trajectories differ. From (1, 1) with weight 1 and 5 steps of D per step of G, the full gradient leads away from
(0, 0), and the released one converges to it. R3GAN (arXiv:2501.05441) prints eq. 12 as -gamma/2 +- sqrt(gamma^2/4 -
f'(0)), without a square on f'(0); the Jacobian has the square. NS-GAN, which is neutral to first order, ends on a
cycle of radius sqrt(2 h) under simultaneous steps (we know of no paper that states this; it follows from d(r^2)/dt =
-2u tanh(u/2), u = theta psi).

Expected: |measured - closed form| < 1e-3 for every method and update rule; the cycle's radius within 5% of sqrt(2 h).
Written to --out: dirac.png (nine panels), eigenvalues.png (R1's eigenvalues as gamma varies, and the radius of the
cycle), result.json.
Measured for 31 methods with 3 update rules each (2 for consensus and symplectic) at 9 settings, in one run, since
nothing but the settings is random: the largest difference of a spectral radius or rate from its closed form is 3.1e-6,
except for least squares, whose rate approaches the double eigenvalue 1 as 1/n in the number n of steps (3.4e-4).
WGAN-GP and DRAGAN stay at distances of 1.05 to 1.85. Radius of the cycle: .3162 .4471 .6318 .7728 .8906 at h = .05 .1
.2 .3 .4 (sqrt(2 h): .3162 .4472 .6325 .7746 .8944). Consensus optimization with five steps of D ends at distance 10.9
from (0, 0), both with the package's step and with the full gradient derived by hand, and at 3e-33 with the released
code's gradient. It took 129 s (200 s of CPU time) on two idle cores of an AMD EPYC (Zen 3), 2026-11-26.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments import dynamics, lab
from experiments.dynamics import Game, sgd
from jaxgan.errors import UserError
from jaxgan.game.hparams import HParams
from jaxgan.objectives.penalties import PENALTIES
from jaxgan.run.plots import BLUE, GREEN, ORANGE, figure_png, new_figure

LIMIT = 1e-3
UPDATES = ("simultaneous", "alternating", "extragradient")
QUANTILES = 64
GRID = 10  # arrows along each side of a panel


class Method(NamedTuple):
    """A game on two parameters and its linearization at (0, 0)."""

    changes: dict[str, Any]  # to the default configuration
    c_d: float  # D's loss contributes -c_d theta to dpsi/dt
    c_g: float  # G's loss contributes c_g psi to dtheta/dt
    damping: float = 0.0  # rho = damping * weight^power
    power: int = 1
    weight: float = 0.0  # default of --weight; 0 = the method has no weight
    smooth: bool = True  # the step has a Jacobian at (0, 0)
    noise: bool = False
    adjustment: str = ""  # value of train.update, if the method adds a second-order term (times the weight)


def loss(name: str, c_d: float, c_g: float) -> Method:
    return Method({"objective.loss": name}, c_d, c_g)


def with_penalty(name: str, loss: str, damping: float, *, weight: float = 0.3, smooth: bool = True) -> Method:
    c = 1.0 if loss == "wasserstein" else 0.5
    return Method({"objective.loss": loss, f"objective.penalties.{name}": 1.0}, c, c, damping, 1, weight, smooth)


METHODS = {
    "gan": loss("minimax", 0.5, 0.5),
    "non_saturating": loss("non_saturating", 0.5, 0.5),
    "relativistic": loss("relativistic", 0.5, 0.5),
    "wasserstein": loss("wasserstein", 1, 1),
    "wasserstein_clip": Method({"objective.loss": "wasserstein", "optimizer.discriminator.clip": 1.0}, 1, 1),
    "gradient_penalty": with_penalty("gradient_penalty", "wasserstein", np.nan, weight=0.7, smooth=False),
    "instance_noise": Method({"objective.loss": "minimax"}, 0.5, 0.5, 0.5, 2, 0.7, noise=True),
    "r1": with_penalty("r1", "minimax", 1),
    "r2": with_penalty("r2", "minimax", 1),
    "non_saturating_r1": with_penalty("r1", "non_saturating", 1),
    "wasserstein_r1": with_penalty("r1", "wasserstein", 1),
    "zero_centered": with_penalty("zero_centered", "minimax", 2),
    "max_gradient": with_penalty("max_gradient", "minimax", 2),
    "gradient_penalty_one_sided": with_penalty("gradient_penalty_one_sided", "wasserstein", 0),  # 0 while |psi| < 1
    "dragan": with_penalty("dragan", "minimax", np.nan, smooth=False),
    "hinge": loss("hinge", 1, 1),
    "least_squares": loss("least_squares", 0, 1),
    "relativistic_average": loss("relativistic_average", 1, 1),
    "relativistic_average_least_squares": loss("relativistic_average_least_squares", 4, 4),
    "relativistic_average_hinge": loss("relativistic_average_hinge", 2, 2),
    "f_kl": loss("f_kl", np.exp(-1), 1),
    "f_reverse_kl": loss("f_reverse_kl", 1, 1),
    "f_pearson": loss("f_pearson", 1, 1),
    "f_neyman": loss("f_neyman", 1, 1),
    "f_hellinger": loss("f_hellinger", 1, 1),
    "f_js": loss("f_js", 0.5, 0.5),
    "f_total_variation": loss("f_total_variation", 0.5, 0.5),
}
METHODS["r3gan"] = Method(METHODS["relativistic"].changes | {f"objective.penalties.{r}": 1.0 for r in ("r1", "r2")},
                          0.5, 0.5, 2, 1, 0.3)  # fmt: skip
METHODS |= {
    name: Method({"objective.loss": "minimax"}, 0.5, 0.5, weight=1.0, adjustment=name)
    for name in ("consensus", "symplectic", "symplectic_aligned")
}
CORE = ("gan", "non_saturating", "relativistic", "wasserstein", "wasserstein_clip", "gradient_penalty",
        "instance_noise", "r1", "r2", "r3gan", "consensus")  # fmt: skip

# The panels of dirac.png: title, method, weight (None = the method's default).
PANELS = (
    ("GAN (minimax)", "gan", None),
    ("non-saturating", "non_saturating", None),
    ("WGAN", "wasserstein", None),
    ("WGAN, clipped at 1", "wasserstein_clip", None),
    ("WGAN-GP, weight .7", "gradient_penalty", 0.7),
    ("instance noise, deviation .7", "instance_noise", 0.7),
    ("GAN + R1, .3", "r1", 0.3),
    ("GAN + R1, 1 (critical)", "r1", 1.0),
    ("GAN + consensus, 1", "consensus", 1.0),
)


LABELS = ("simultaneous", "alternating, 1 D step", "alternating, 5 D steps")


# --- Closed forms -----------------------------------------------------------------------------------------------------


def flow(method: Method, weight: float) -> np.ndarray:
    """A of the flow dw/dt = A w near (0, 0), w = (theta, psi): [2, 2]."""
    rho = method.damping * weight**method.power
    return dynamics.corrected_flow(np.array([[0, method.c_g], [-method.c_d, -rho]]), method.adjustment, weight)


def flow_eigenvalues(method: Method, weight: float) -> np.ndarray:
    """The eigenvalues mu of the flow at (0, 0): [2] complex, as in the paper's table."""
    return np.linalg.eigvals(flow(method, weight)).astype(complex)


def closed_form(method: Method, update: str, *, learning_rate: float, weight: float, d_steps: int = 1) -> float:
    """The spectral radius of one training step at (0, 0)."""
    A = learning_rate * flow(method, weight)
    theta, psi = np.diag([1.0, 0.0]), np.diag([0.0, 1.0])
    step = {
        "simultaneous": np.eye(2) + A,
        "alternating": (np.eye(2) + theta @ A) @ np.linalg.matrix_power(np.eye(2) + psi @ A, d_steps),
        "extragradient": np.eye(2) + A + A @ A,
    }[update]
    return float(np.abs(np.linalg.eigvals(step)).max())


def consensus_increments(theta: float, psi: float, *, weight: float, factor: float) -> tuple[float, float]:
    """-(xi + weight grad |xi|^2 / 2) of the minimax Dirac-GAN, derived by hand: the increments of theta and of psi.

    xi = (-psi s, theta s) with s = sigmoid(t), t = theta psi, so that |xi|^2 / 2 = (theta^2 + psi^2) s^2 / 2.

    Args:
      factor: of the part that contains s': 1, or 1/2 as in the paper's released code.
    """
    s = 1 / (1 + np.exp(-theta * psi))
    derivative_term = factor * (theta**2 + psi**2) * s * s * (1 - s)
    return (
        psi * s - weight * (theta * s * s + psi * derivative_term),
        -theta * s - weight * (psi * s * s + theta * derivative_term),
    )


# --- Measurements -----------------------------------------------------------------------------------------------------


def updates_of(method: Method) -> tuple[str, ...]:
    """The UPDATES that the method supports: all, or all but extragradient if it has a second-order term."""
    return UPDATES[:2] if method.adjustment else UPDATES


def make_game(method: Method, update: str, d_steps: int = 1) -> Game:
    changes = {"train.update": update, "train.d_steps": d_steps, **sgd(0.1), **method.changes}
    if method.adjustment:
        changes |= {"train.update": method.adjustment, "train.d_steps": 1}
    game = dynamics.dirac(changes, noise=method.noise, batch_size=QUANTILES if method.noise else 1)
    if method.adjustment and update == "alternating":
        return game._replace(turns=(("discriminator",),) * d_steps + (("generator",),))
    return game


def hparams_at(game: Game, learning_rate: jax.Array | float, weight: jax.Array | float) -> HParams:
    """The hyperparameters with this learning rate for both players and this weight for all active terms."""
    active = [f"objective.penalties.{name}" for name in PENALTIES if game.hparams[f"objective.penalties.{name}"] > 0]
    rates = {f"optimizer.{player}.learning_rate": learning_rate for player in dynamics.PLAYERS}
    return game.hparams | rates | dict.fromkeys([*active, "noise", "objective.adjustment"], weight)


def measure(
    method: Method, update: str, *, learning_rates: Sequence[float], weights: Sequence[float], d_steps: int, steps: int
) -> dict[str, np.ndarray]:
    """Measures the step of one method at several settings, which are arguments of one compiled program.

    Returns:
      `spectral_radius` [n] and `rate` [n]; if the method is not smooth, `distance` [n, 250] from (0, 0), after
      251 to 500 steps from (1, 1).
    """
    game = make_game(method, update, d_steps)

    def measure_one(learning_rate: jax.Array, weight: jax.Array):
        hparams = hparams_at(game, learning_rate, weight)
        start = lambda value: dynamics.initial_state(game, hparams, value, value)  # noqa: E731
        if not method.smooth:
            return dynamics.trajectory(game, hparams, start=start(1.0), steps=500)
        return (
            dynamics.jacobian(game, hparams, at=start(0.0)),
            dynamics.growth(game, hparams, start=start(1.0), steps=steps),
        )

    results = jax.jit(jax.vmap(measure_one))(np.array(learning_rates, np.float32), np.array(weights, np.float32))
    if not method.smooth:
        return {"distance": np.linalg.norm(np.asarray(results, np.float64)[:, 251:], axis=-1)}
    return {"spectral_radius": dynamics.moduli(results[0]), "rate": dynamics.rate(np.asarray(results[1]))}


def settings(method: Method, *, learning_rate: float, weight: float | None, cases: int, seed: int):
    """The requested setting and `cases` random ones: learning rates [n], weights [n]."""
    rng = np.random.default_rng(seed)
    rates = [learning_rate, *rng.uniform(0.05, 0.5, cases)]
    requested = method.weight if weight is None or not method.weight else weight
    return rates, [requested, *(rng.uniform(0.1, 1.5, cases) if method.weight else np.zeros(cases))]


def report(name: str, update: str, *, learning_rate: float, weight: float | None, d_steps: int, cases: int, steps: int):
    """The results of one method and update, for the table and result.json."""
    method = METHODS[name]
    seed = list(METHODS).index(name) * 10 + UPDATES.index(update)
    rates, weights = settings(method, learning_rate=learning_rate, weight=weight, cases=cases, seed=seed)
    measured = measure(method, update, learning_rates=rates, weights=weights, d_steps=d_steps, steps=steps)
    row = {"learning_rate": rates[0], "weight": weights[0], "d_steps": d_steps}
    if not method.smooth:
        distances = [float(measured["distance"][0].min()), float(measured["distance"][0].max())]
        missing = dict.fromkeys(("spectral_radius", "rate", "closed_form"))
        return row | missing | {"verdict": "not differentiable", "distance_in_steps_251_to_500": distances}
    exact = [
        closed_form(method, update, learning_rate=h, weight=w, d_steps=d_steps)
        for h, w in zip(rates, weights, strict=True)
    ]
    errors = {key: np.abs(measured[key] - exact) for key in ("spectral_radius", "rate")}
    neutral = abs(exact[0] - 1) < 1e-9
    return row | {
        "spectral_radius": float(measured["spectral_radius"][0]),
        "rate": float(measured["rate"][0]),
        "closed_form": exact[0],
        "largest_error": {key: float(error.max()) for key, error in errors.items()},
        "flow_eigenvalues": [[mu.real, mu.imag] for mu in flow_eigenvalues(method, weights[0])],
        "verdict": "neutral" if neutral else "converges" if exact[0] < 1 else "diverges",
        "random": [
            {"learning_rate": h, "weight": w, "closed_form": e, "spectral_radius": float(r), "rate": float(q)}
            for h, w, e, r, q in zip(rates, weights, exact, measured["spectral_radius"], measured["rate"], strict=True)
        ][1:],
    }


def cycle_radius(learning_rates: Sequence[float], steps: int) -> np.ndarray:
    """The final radius of simultaneous NS-GAN from (1, 1): RMS distance over the last 500 steps, [n]."""
    game = make_game(METHODS["non_saturating"], "simultaneous")

    def run(learning_rate: jax.Array) -> jax.Array:
        hparams = hparams_at(game, learning_rate, 0.0)
        start = dynamics.initial_state(game, hparams, 1.0, 1.0)
        return dynamics.trajectory(game, hparams, start=start, steps=steps)[-500:]

    late = np.asarray(jax.jit(jax.vmap(run))(np.array(learning_rates, np.float32)), np.float64)
    return np.sqrt(np.mean(np.sum(late**2, axis=-1), axis=-1))


def five_d_steps(steps: int, weight: float = 1.0, learning_rate: float = 0.2) -> dict[str, float]:
    """The final distance from (0, 0) of consensus optimization with 5 steps of D, after `steps` steps from (1, 1).

    `step` uses the package's training step, `exact` the full gradient derived by hand, and `released` the gradient of
    the paper's released code (see `consensus_increments`).
    """
    game = make_game(METHODS["consensus"], "alternating", 5)
    hparams = hparams_at(game, np.float32(learning_rate), np.float32(weight))
    run = jax.jit(lambda start: dynamics.trajectory(game, hparams, start=start, steps=steps)[-1])
    distances = {"step": float(np.linalg.norm(run(dynamics.initial_state(game, hparams, 1.0, 1.0))))}
    for name, factor in (("exact", 1.0), ("released", 0.5)):
        theta = psi = 1.0
        for _ in range(steps):
            for _ in range(5):
                psi += learning_rate * consensus_increments(theta, psi, weight=weight, factor=factor)[1]
            theta += learning_rate * consensus_increments(theta, psi, weight=weight, factor=factor)[0]
        distances[name] = float(np.hypot(theta, psi))
    return distances


def locus(gammas: np.ndarray, learning_rate: float = 0.2) -> np.ndarray:
    """The eigenvalues of the vector field with R1, from the Jacobian of a simultaneous step: [n, 2] complex."""
    game = make_game(METHODS["r1"], "simultaneous")

    def step_jacobian(gamma: jax.Array) -> jax.Array:
        hparams = hparams_at(game, learning_rate, gamma)
        return dynamics.jacobian(game, hparams, at=dynamics.initial_state(game, hparams, 0.0, 0.0))

    jacobians = np.asarray(jax.jit(jax.vmap(step_jacobian))(np.asarray(gammas, np.float32)), np.float64)
    # Two of the four eigenvalues belong to the velocities, which plain SGD does not use; they are 0.
    step = np.linalg.eigvals(jacobians)
    order = np.argsort(-np.abs(step), axis=1)[:, :2]
    return (np.take_along_axis(step, order, axis=1) - 1) / learning_rate


# --- Pictures ---------------------------------------------------------------------------------------------------------


def paths(name: str, weight: float | None) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Trajectories per update at h = .2 from (1, 1), and the vector field: points [n, 2] and steps [n, 2]."""
    method = METHODS[name]
    weight = method.weight if weight is None else weight
    points = np.stack(np.meshgrid(*[np.linspace(-2, 2, GRID, dtype=np.float32)] * 2), axis=-1).reshape(-1, 2)
    starts = np.concatenate([np.ones((1, 2), np.float32), points])
    trajectories, updates = {}, (("simultaneous", 1), ("alternating", 1), ("alternating", 5))
    for label, (update, k) in zip(LABELS, updates, strict=True):
        game = make_game(method, update, k)
        hparams = hparams_at(game, np.float32(0.2), np.float32(weight))

        def path_from(point: jax.Array, game: Game = game, hparams: HParams = hparams) -> jax.Array:
            start = dynamics.initial_state(game, hparams, point[0], point[1])
            return dynamics.trajectory(game, hparams, start=start, steps=500)

        run = jax.jit(jax.vmap(path_from))
        all_paths = np.asarray(run(starts if update == "simultaneous" else starts[:1]))
        trajectories[label] = all_paths[0]
        if update == "simultaneous":
            field = all_paths[1:, 1] - all_paths[1:, 0]
    return trajectories, points, field


def nine_panels() -> bytes:
    figure = new_figure(11, 11.4)
    panels = lab.parallel_map(lambda panel: paths(panel[1], panel[2]), PANELS)
    for axis, (title, name, _), (trajectories, points, field) in zip(
        figure.subplots(3, 3).ravel(), PANELS, panels, strict=True
    ):
        lengths = np.maximum(np.linalg.norm(field, axis=1, keepdims=True), 1e-9)
        axis.quiver(*points.T, *(field / lengths).T, color="#cccccc", width=0.004, scale=28)
        for (label, path), color in zip(trajectories.items(), (ORANGE, BLUE, GREEN), strict=True):
            axis.plot(*path.T, "^", markersize=3.5, markerfacecolor="none", markeredgewidth=0.6, color=color,
                      label=label)  # fmt: skip
        if name == "wasserstein_clip":
            axis.axhspan(1, 2, color="#dddddd")
            axis.axhspan(-2, -1, color="#dddddd")
        axis.plot(1, 1, "o", color="red", markersize=6, zorder=5)
        axis.set(xlim=(-2, 2), ylim=(-2, 2), title=title, xlabel=r"$\theta$", ylabel=r"$\psi$", aspect="equal")
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, markerscale=2)
    return figure_png(figure)


def eigenvalue_picture(gammas: np.ndarray, eigenvalues: np.ndarray, cycles: dict[str, Any]) -> bytes:
    """Plots R1's eigenvalues as gamma varies, and the radius of NS-GAN's cycle against the learning rate."""
    figure = new_figure(10, 4.2)
    plane, cycle = figure.subplots(1, 2)
    fine = np.linspace(gammas[0], gammas[-1], 2001)
    exact = np.array([flow_eigenvalues(METHODS["r1"], gamma) for gamma in fine])
    plane.plot(exact.real, exact.imag, ",", color="black")
    printed = np.array([np.roots([1, gamma, 0.5]).astype(complex) for gamma in fine])
    plane.plot(printed.real, printed.imag, ",", color=ORANGE)
    points = plane.scatter(np.real(eigenvalues), np.imag(eigenvalues), c=np.repeat(gammas[:, None], 2, axis=1), s=22)
    plane.plot([], [], color="black", label=r"$-\gamma/2 \pm \sqrt{\gamma^2/4 - f'(0)^2}$")
    plane.plot([], [], color=ORANGE, label="the same without the square (R3GAN, eq. 12)")
    figure.colorbar(points, ax=plane, label=r"$\gamma$ of R1")
    plane.set(xlabel="real part", ylabel="imaginary part", title="eigenvalues of the vector field, from the step")
    plane.set_ylim(-0.95, 0.95)
    h = np.array(cycles["learning_rate"])
    cycle.plot(h, np.sqrt(2 * h), color="black", label=r"$\sqrt{2h}$")
    cycle.plot(h, cycles["radius"], "o", color=BLUE, label="measured")
    cycle.set(xlabel="learning rate $h$", ylabel="radius", title="the cycle of simultaneous NS-GAN")
    for axis in (plane, cycle):
        lab.tidy(axis)
        axis.legend(frameon=False, fontsize=9, loc="upper left")
    return figure_png(figure)


# --- The command ------------------------------------------------------------------------------------------------------


def read_flags() -> argparse.Namespace:
    parser = lab.make_parser("dirac", __doc__, quick="only the best-known methods, each at two random settings")
    parser.add_argument("--method", nargs="+", help=f"any of {', '.join(METHODS)}; default: all")
    parser.add_argument("--update", nargs="+", default=list(UPDATES), help=f"any of {', '.join(UPDATES)}; default: all")
    parser.add_argument("--learning_rate", type=float, default=0.2)
    parser.add_argument(
        "--weight", type=float, help="weight of the penalty, or standard deviation of the noise; default: the method's"
    )
    parser.add_argument("--d_steps", type=int, default=1, help="steps of D per alternating step")
    flags = lab.parse(parser, method=(list(METHODS), list(CORE)))
    lab.check_choices("--method", flags.method, METHODS)
    lab.check_choices("--update", flags.update, UPDATES)
    if not flags.learning_rate > 0 or flags.d_steps < 1 or (flags.weight is not None and not flags.weight > 0):
        raise UserError(
            f"--learning_rate={flags.learning_rate} and --weight={flags.weight} must be above 0, and "
            f"--d_steps={flags.d_steps} must be 1 or more."
        )
    return flags


def table(flags: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Measures all methods and prints the table: {method: {update: results}}."""
    print(f"{'method':36}{'update':15}{'weight':>7}{'closed form':>13}{'radius':>11}{'rate':>11}{'error':>10}")
    rows: dict[str, dict[str, Any]] = {name: {} for name in flags.method}
    cases = [(name, update) for name in rows for update in flags.update if update in updates_of(METHODS[name])]

    def measure_case(case: tuple[str, str]) -> dict[str, Any]:
        k = flags.d_steps if case[1] == "alternating" else 1
        return report(*case, learning_rate=flags.learning_rate, weight=flags.weight, d_steps=k,
                      cases=2 if flags.quick else 8, steps=4000)  # fmt: skip

    for (name, update), row in zip(cases, lab.parallel_map(measure_case, cases), strict=True):
        rows[name][update] = row
        start = f"{name:36}{update:15}{row['weight']:7.2f}"
        if row["closed_form"] is None:
            low, high = row["distance_in_steps_251_to_500"]
            print(
                f"{start}   not differentiable at 0; distance {low:.3f} to {high:.3f} in steps 251 to 500 from (1, 1)"
            )
            continue
        error = max(row["largest_error"].values())
        print(
            f"{start}{row['closed_form']:13.6f}{row['spectral_radius']:11.6f}{row['rate']:11.6f}{error:10.1e}  "
            f"{row['verdict']}"
        )
    return rows


def verdicts(result: Mapping[str, Any]) -> dict[str, lab.Verdict]:
    """The verdict on each part of the claim, from the content of result.json."""
    cycle = result["cycle"]
    ratio = np.array(cycle["radius"]) / np.array(cycle["predicted"])
    return {
        f"the step agrees with the closed forms within {LIMIT}": lab.in_every_run([result["largest_error"] < LIMIT]),
        "the radius of NS-GAN's cycle is within 5% of sqrt(2 h)": lab.in_every_run(np.abs(ratio - 1) <= 0.05),
    }


def main() -> None:
    flags = read_flags()
    started = time.perf_counter()
    rows = table(flags)
    cycles: dict[str, Any] = {"learning_rate": [0.05, 0.1, 0.2, 0.3, 0.4]}
    cycles["radius"] = cycle_radius(cycles["learning_rate"], 20_000)
    cycles["predicted"] = np.sqrt(2 * np.array(cycles["learning_rate"]))
    print("\nNS-GAN, simultaneous: radius of the cycle, and sqrt(2 h)")
    for h, radius, predicted in zip(*cycles.values(), strict=True):
        print(f"  h = {h:4.2f}  {radius:.4f}  {predicted:.4f}")
    gammas = np.linspace(0, 1.5, 61)
    eigenvalues = locus(gammas)
    measured_at_2 = np.sort(np.real(locus(np.array([2.0]))[0]))
    worst = max((max(row["largest_error"].values()) for updates in rows.values() for row in updates.values()
                 if row["closed_form"] is not None), default=0.0)  # fmt: skip
    consensus_distances = five_d_steps(500)
    seconds = time.perf_counter() - started
    result = {"methods": rows, "largest_error": worst, "cycle": cycles, "r1_gamma_2": measured_at_2,
              "consensus_5_d_steps": consensus_distances, "seconds": seconds}  # fmt: skip
    print(f"\neigenvalues of R1 at gamma 2: {measured_at_2}; by the formula with f'(0)^2: -1.866, -.134; without the "
          "square: -1.707, -.293")  # fmt: skip
    print("consensus, 5 D steps, 500 steps from (1, 1): distance "
          + ", ".join(f"{name} {distance:.3g}" for name, distance in consensus_distances.items()))  # fmt: skip
    print(f"largest |measured - closed form|: {worst:.1e}")
    held = verdicts(result)
    pictures = {"dirac": nine_panels(), "eigenvalues": eigenvalue_picture(gammas, eigenvalues, cycles)}
    lab.finish(flags.out, result, pictures, held)
    lab.require(held)


if __name__ == "__main__":
    lab.run(main)
