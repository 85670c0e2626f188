"""One G draws from all conditionals of a vector: against exact ones, and against scikit-learn's imputers of tables.

    python -m experiments.conditionals [--quick] [--out=runs/conditionals] [--steps=10000] [--seeds=3]

Claim ("one can approximately model all conditionals p(x_S | x_not S) ... by training a family of conditional models
that share parameters", arXiv:1406.2661, section 6). D and G are both given the observed entries and the mask; MLPs with
R1 and an average of G's weights; scores on examples and masks that training did not use, 39 draws for each.

1. Exact conditionals: a correlated pair (x2 given x1), ring8 (any subset of two entries) and an autoregressive process
   of 8 entries (each hidden with probability .2). The energy score, least for the exact conditional, is within 5% of
   the exact one's; 90% intervals cover .85 to .95.
2. A draw of a calibrated G has more error than the mean of its draws, by a factor near sqrt 2 (1.3 to 1.5): the root
   mean square error (RMSE), by which imputers are ranked, ranks the sampler last.
3. Tables (MCAR, .2 hidden): IterativeImputer (Bayesian ridge) has a smaller RMSE than the mean of G's draws, which has
   a smaller one than the columns' means. RMSE in units of the columns' ranges.
4. There, G's 90% intervals cover .8 or more, and its energy score is below that of IterativeImputer's points.

Differences are paired by seed (95% t intervals).

Written to --out: conditionals.png, result.json, and parts/, what a repeated command does not train again.
Measured, 3 seeds of 10,000 steps, means with 95% t intervals; 447 s of CPU time on two cores of an AMD EPYC, busy with
other work, 2026-11-28:

    task            energy score: G          exact / iterative / posterior    90% intervals of G cover
    pair            .342 [.335, .349]        .341 (exact)                     .879 [.846, .912]
    ring8           .938 [.907, .969]        .941 (exact)                     .931 [.895, .967]
    AR(1)           .491 [.481, .500]        .461 (exact)                     .828 [.778, .879]
    breast_cancer   .104 [.102, .106]        .109 / .064                      .128 [.087, .170]
    wine            .227 [.216, .239]        .246 / .163                      .016 [-.029, .061]
    iris            .059 [.048, .071]        .089 / .057                      .611 [.473, .749]
    diabetes        .193 [.173, .213]        .237 / .159                      .432 [.346, .518]

With enough data (pair, ring8) G is calibrated; with AR(1) its energy score is 6.5% above the exact one. On the tables,
of 100 to 450 training rows, its draws hardly vary: it predicts as well as IterativeImputer (RMSE of the mean .0515 and
.0558 on breast_cancer) but does not know how uncertain it is, which IterativeImputer's posterior draws do: their
coverage is .83 to .90, and their energy score the least on all tables.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from experiments import lab
from jaxgan.algorithm1 import accumulate_steps, zero_metrics
from jaxgan.config import default, update
from jaxgan.config.hparams import traced
from jaxgan.data import Dataset, load
from jaxgan.evaluation.samples import examples_condition, make_sampler
from jaxgan.game.batches import stored_examples
from jaxgan.game.build import build_for
from jaxgan.game.gan import Gan
from jaxgan.game.hparams import HParams
from jaxgan.game.state import GanState, run_stream
from jaxgan.metrics import conditional
from jaxgan.run.plots import figure_png, new_figure
from jaxgan.sweep.statistics import mean_interval, paired_difference

DRAWS = 39
RHO = 0.8
TABLES = {"breast_cancer": 113, "wine": 35, "iris": 30, "diabetes": 88}  # test rows, a fifth
EXACT = ("pair", "ring8", "AR(1)")
IMPUTERS = ("mean", "kNN", "iterative", "posterior")
SCORES = ("energy_score", "crps", "rmse_of_mean", "rmse_of_draw", "coverage_90", "dispersion")


# --- Games ------------------------------------------------------------------------------------------------------------


class Trained(NamedTuple):
    """A game after its training."""

    gan: Gan
    hparams: HParams
    state: GanState


def trained(config: ConfigDict, dataset: Dataset) -> Trained:
    """Trains the game of a configuration, in one program."""
    gan, hparams = build_for(config, dataset), traced(config)
    data = jax.tree.map(jnp.asarray, stored_examples(gan, dataset))

    @jax.jit
    def train(hparams: HParams, data: Any) -> GanState:
        state = gan.init(hparams)
        sums = zero_metrics(gan, hparams, state, data)
        n = jnp.uint32(config.train.steps)
        return accumulate_steps(gan=gan, hparams=hparams, state=state, sums=sums, data=data, n=n)[0]

    return Trained(gan, hparams, train(hparams, data))


def draws_of(game: Trained, dataset: Dataset, k: int, most: int = conditional.EXAMPLES) -> dict[str, np.ndarray]:
    """The draws [k, n, *shape], targets and scored entries of the first test examples, as metrics take them."""
    gan, hparams, state = game
    examples = stored_examples(gan, dataset, "test")
    n = min(most, len(examples.x))
    condition = examples_condition(gan, hparams, examples, np.arange(n))
    repeated = jax.tree.map(lambda leaf: np.repeat(np.asarray(leaf), k, axis=0), condition)
    drawn = make_sampler(gan)(hparams, state, run_stream(hparams, "evaluate"), n * k, condition=repeated)
    targets = np.asarray(gan.decode(jnp.asarray(examples.x[:n])))
    hidden = np.ones((), bool) if condition.mask is None else np.asarray(condition.mask) == 0
    draws = np.moveaxis(drawn.reshape(n, k, *drawn.shape[1:]), 1, 0)
    return {"draws": draws, "targets": targets, "scored": np.broadcast_to(hidden, targets.shape)}


def configuration(condition: dict[str, Any], seed: int, steps: int) -> ConfigDict:
    changes = condition | {
        "seed": seed,
        "prior.size": 8,
        "generator.hidden": (128, 128),
        "generator.activations": ("relu", "relu"),
        "generator.output": "linear",
        "generator.irange": 0.15,
        "generator.ema.gamma": (3.0,),
        "discriminator.hidden": (128, 128),
        "discriminator.irange": 0.15,
        "objective.penalties.r1": 0.5,
        "train.batch_size": 64,
        "train.steps": steps,
    }
    for player in ("generator", "discriminator"):
        optimizer = f"optimizer.{player}"
        changes |= {f"{optimizer}.learning_rate": 1e-3, f"{optimizer}.schedule.name": "cosine"}
        changes |= {f"{optimizer}.schedule.steps": float(steps)}
    return update(default(), changes)


# --- Exact conditionals -----------------------------------------------------------------------------------------------


def normal_data(covariance: np.ndarray, rows: int = 30_000, held_out: int = 2000) -> Dataset:
    x = np.random.default_rng(0).multivariate_normal(np.zeros(len(covariance)), covariance, rows + 2 * held_out)
    train, validation, test = np.split(x.astype(np.float32), [rows, rows + held_out])
    return Dataset("npz:normal", train, validation, test, None)


def ar1(d: int = 8) -> np.ndarray:
    """The covariance of an autoregressive process with correlation RHO."""
    place = np.arange(d)
    return RHO ** np.abs(place[:, None] - place)


def exact_task(name: str) -> tuple[Dataset, dict[str, Any]]:
    """The data, and the condition of both players."""
    if name == "pair":
        both = normal_data(ar1(2))
        first, second = ({part: getattr(both, part)[:, i : i + 1] for part in ("train", "validation", "test")}
                         for i in (0, 1))  # fmt: skip
        given = {f"{part}_condition": x for part, x in first.items()}
        return both._replace(**second, **given), {"condition.name": "pairs"}
    if name == "ring8":
        return load(update(default(), {"data.name": "mixture:ring8"}).data), {"condition.name": "subset_mask"}
    return normal_data(ar1()), {"condition.name": "bernoulli_mask", "condition.hidden": 0.2}


def normal_draws(x: np.ndarray, hidden: np.ndarray, covariance: np.ndarray, k: int) -> np.ndarray:
    """Exact draws [k, n, d] of the hidden entries given the others; x elsewhere."""
    rng, draws = np.random.default_rng(1), np.repeat(x[None].astype(np.float64), k, axis=0)
    for i, missing in enumerate(hidden):
        if not missing.any():
            continue
        gain = covariance[np.ix_(missing, ~missing)] @ np.linalg.inv(covariance[np.ix_(~missing, ~missing)])
        within = covariance[np.ix_(missing, missing)] - gain @ covariance[np.ix_(~missing, missing)]
        draws[:, i, missing] = rng.multivariate_normal(gain @ x[i, ~missing], within, k)
    return draws


def ring8_draws(dataset: Dataset, x: np.ndarray, hidden: np.ndarray, k: int) -> np.ndarray:
    """Exact draws of the hidden entries of ring8: a mode given what is observed, then each entry on its own."""
    mixture = dataset.mixture
    assert mixture is not None
    rng, means, deviation = np.random.default_rng(1), np.asarray(mixture.means, np.float64), float(mixture.scales[0])
    distances = np.where(hidden[:, None], 0, x[:, None] - means) ** 2  # [n, modes, 2]
    logits = -distances.sum(axis=2) / (2 * deviation**2)
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    modes = (rng.random((k, len(x), 1)) > np.cumsum(weights, axis=1)[None, :, :-1]).sum(axis=2)
    return np.where(hidden, means[modes] + deviation * rng.normal(size=(k, *x.shape)), x)


def exact_draws(name: str, dataset: Dataset, made: dict[str, np.ndarray]) -> np.ndarray:
    x, hidden = made["targets"].astype(np.float64), made["scored"]
    if name == "ring8":
        return ring8_draws(dataset, x, hidden, DRAWS)
    if name == "AR(1)":
        return normal_draws(x, hidden, ar1(), DRAWS)
    assert dataset.test_condition is not None
    both = np.concatenate([dataset.test_condition[: len(x)], x], axis=1)
    return normal_draws(both, np.broadcast_to([False, True], both.shape), ar1(2), DRAWS)[..., 1:]


def measure_exact(name: str, seed: int, steps: int) -> dict[str, Any]:
    """Scores of G's draws and of exact ones."""
    dataset, condition = exact_task(name)
    made = draws_of(trained(configuration(condition, seed, steps), dataset), dataset, DRAWS)
    exact = conditional.evaluate(**made | {"draws": exact_draws(name, dataset, made)})
    return {"G": conditional.evaluate(**made), "exact": exact}


# --- Tables -----------------------------------------------------------------------------------------------------------


def imputer_draws(name: str, train: np.ndarray, x: np.ndarray, hidden: np.ndarray, seed: int) -> np.ndarray:
    """Imputations [2 or DRAWS, n, d] of rows with hidden entries by an imputer that is fitted on `train`."""
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401
    from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer

    posterior = name == "posterior"
    imputer = {
        "mean": SimpleImputer,
        "kNN": partial(KNNImputer, n_neighbors=5),
    }.get(name, partial(IterativeImputer, max_iter=20, tol=0.01, sample_posterior=posterior, random_state=seed))()
    rng = np.random.default_rng(seed)
    holes = np.where(rng.random(train.shape) < 0.2, np.nan, train)  # trained as it is used
    imputer.fit(holes)
    rows = np.where(hidden, np.nan, x)
    return np.stack([imputer.transform(rows) for _ in range(DRAWS if posterior else 1)] * (1 if posterior else 2))


def measure_table(name: str, seed: int, steps: int) -> dict[str, Any]:
    """Scores of G and of the imputers on the test rows, in units of the columns' ranges."""
    dataset = load(update(default(), {"data.name": f"table:{name}", "data.validation": TABLES[name]}).data)
    condition = {"condition.name": "bernoulli_mask", "condition.hidden": 0.2}
    made = draws_of(trained(configuration(condition, seed, steps), dataset), dataset, DRAWS)
    train = dataset.train.astype(np.float64)
    rows = np.concatenate([train, dataset.validation, dataset.test])
    unit = np.ptp(rows, axis=0)
    targets, hidden = made["targets"].astype(np.float64), made["scored"]
    draws = {"G": made["draws"]}
    draws |= {imputer: imputer_draws(imputer, train, targets, hidden, seed) for imputer in IMPUTERS}
    scaled = {"targets": targets / unit, "scored": hidden}
    return {method: conditional.evaluate(draws=x / unit, **scaled) for method, x in draws.items()}


# --- Results ----------------------------------------------------------------------------------------------------------

Runs = dict[str, list[dict[str, Any]]]  # by task, in the order of seeds: scores by method


def of(runs: Runs, task: str, method: str, score: str) -> np.ndarray:
    return np.array([run[method][score] for run in runs[task]])


def verdicts(runs: Runs) -> dict[str, lab.Verdict]:
    found: dict[str, lab.Verdict] = {}
    for task in (name for name in EXACT if name in runs):
        ratio = of(runs, task, "G", "energy_score") / of(runs, task, "exact", "energy_score")
        coverage, error = of(runs, task, "G", "coverage_90"), of(runs, task, "G", "rmse_of_draw")
        found[f"{task}: energy score within 5% of the exact"] = lab.in_every_run(ratio < 1.05)
        found[f"{task}: coverage .85 to .95"] = lab.in_every_run((coverage > 0.85) & (coverage < 0.95))
        factor = error / of(runs, task, "G", "rmse_of_mean")
        found[f"{task}: a draw's RMSE is 1.3 to 1.5 times the mean's"] = lab.in_every_run(
            (factor > 1.3) & (factor < 1.5)
        )

    def below(task: str, score: str, less: str, more: str) -> bool | None:
        if len(runs[task]) < 3:
            return None
        difference = paired_difference(of(runs, task, more, score), of(runs, task, less, score))
        return lab.is_positive((difference.low, difference.high))

    for task in (name for name in TABLES if name in runs):
        found[f"{task}: RMSE of iterative < of G's mean"] = below(task, "rmse_of_mean", "iterative", "G")
        found[f"{task}: RMSE of G's mean < of means"] = below(task, "rmse_of_mean", "G", "mean")
        found[f"{task}: G covers .8 or more"] = lab.in_every_run(of(runs, task, "G", "coverage_90") >= 0.8)
        found[f"{task}: energy score of G < of iterative"] = below(task, "energy_score", "G", "iterative")
    return found


def table(runs: Runs) -> list[dict[str, Any]]:
    """Prints and returns the means over seeds, with 95% intervals."""
    print(f"\n{'':14}{'':11}" + "".join(f"{name:>24}" for name in SCORES))
    cells = []
    for task, found in runs.items():
        for method in found[0]:
            mean = {score: mean_interval(of(runs, task, method, score).tolist()) for score in SCORES}
            cells.append({"task": task, "method": method} | {score: v._asdict() for score, v in mean.items()})
            print(f"{task:14}{method:11}" + "".join(f"{mean[score].text(4):>24}" for score in SCORES))
    return cells


def picture(runs: Runs) -> bytes:
    """The energy score against the RMSE of the mean, for every method of every task."""
    figure = new_figure(2.6 * len(runs), 3.2)
    for axis, (task, found) in zip(np.atleast_1d(figure.subplots(1, len(runs))), runs.items(), strict=True):
        for method in found[0]:
            error, score = (of(runs, task, method, name).mean() for name in ("rmse_of_mean", "energy_score"))
            axis.plot(error, score, "o")
            axis.annotate(method, (error, score), fontsize=8, xytext=(3, 3), textcoords="offset points")
        axis.set(title=task, xlabel="RMSE of the mean")
        for limits, set_limits in ((axis.get_xlim(), axis.set_xlim), (axis.get_ylim(), axis.set_ylim)):
            middle = sum(limits) / 2  # a difference of a few percent is to look small
            set_limits(min(limits[0], 0.85 * middle), max(limits[1], 1.2 * middle))
        lab.tidy(axis)
    figure.axes[0].set_ylabel("energy score")
    return figure_png(figure)


def main() -> None:
    parser = lab.make_parser("conditionals", __doc__, quick="the pair and iris, 40 steps, one seed")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seeds", type=int)
    flags = lab.parse(parser, steps=(10_000, 40), seeds=(3, 1))
    lab.check_positive(steps=flags.steps, seeds=flags.seeds)
    started = time.process_time()
    tasks = {name: measure_exact for name in EXACT} | {name: measure_table for name in TABLES}
    runs: Runs = {}
    for name in ("pair", "iris") if flags.quick else tasks:
        runs[name] = [
            lab.cached(flags.out, {"task": name, "seed": seed, "steps": flags.steps},
                       partial(tasks[name], name, seed, flags.steps))
            for seed in range(flags.seeds)
        ]  # fmt: skip
    result = {"table": table(runs), "runs": runs, "seconds": time.process_time() - started}
    lab.finish(flags.out, result, {"conditionals": picture(runs)}, verdicts(runs))


if __name__ == "__main__":
    lab.run(main)
