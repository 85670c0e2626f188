"""RpGAN versus GAN: bad basins, and the value of the relativistic game.

    python -m experiments.basins [--quick] [--out=runs/basins] [--steps=20000] [--seeds=16]

Claims (Sun, Fang and Schwing, arXiv:2011.04926). Consider n distinct data points, a G that places n points freely and a
D that can be any function. The GAN has n^n - n! strict local minima that are not global, one for each assignment of G's
points to the data that is not a permutation; RpGAN has none. On two clusters in 1-D, a GAN gets stuck where all of G is
on one cluster and D's loss is on a plateau; RpGAN does not get stuck.

1. Enumeration. Each of G's n points is on one of the data points or on none, which gives (n + 1)^n patterns. For each
   of them phi = minus D's minimal loss is computed exactly (`closed_forms`), and by gradient descent on D's losses of
   `LOSSES`. An assignment is bad if no sequence of moves of single points onto the data or off it, along which phi
   never increases, leads to a permutation. Bad assignments are counted for the GAN, for RpGAN with pair i fixed, as in
   the theorem (1/n sum over i), and for RpGAN with all n^2 pairs, which is the expected loss of the random pairs in a
   minibatch that is used in practice, here and elsewhere.
2. The counterpart of Proposition 1 for RpGAN. For p_data = p and p_g = q, log 2 - min_D E softplus(D(y) - D(x)) is the
   Jensen-Shannon divergence of p x q from q x p, and D* = log p/q + constant (derived for this project). D is a table
   over a finite space, trained by `game.step.discriminator_step` on minibatches that contain each pair in proportion to
   its probability. For q close to p, the value is 2 JSD(p || q).
3. Two clusters, trained by `algorithm1.train_step`: 100 points, uniform on [0, .3] and [4, 4.3]; z uniform on [-5, 5];
   G is 1-5-5-1 with tanh, D 1-10-10-1 with sigmoids, SGD with learning rate 1e-2 and momentum .9. The authors alternate
   10 steps of D and 10 of G, 5,000 times; here single steps alternate. The initial weights, which the paper does not
   state, are uniform on +-.5.

Expected: 21 of 27 assignments are bad for the GAN, none for RpGAN with fixed pairs; values within 1e-4 nats.
Written to --out: basins.png, result.json.
Measured: the numbers of bad assignments for n = 2, 3, 4 points are 2, 21, 232 for the GAN (n^n - n!), 0, 0, 0 for RpGAN
with fixed pairs, and 2, 21, 232 for RpGAN with all pairs. So the theorem holds for its fixed pairs, but not for the
random pairs used in training. phi by descent agrees with the closed form within 2e-8, the relativistic value within
2.7e-7 nats, and D within 5.4e-7; value / JSD is 1.9719, 1.9989, 2.0000 as q approaches p. Two clusters, 16 seeds: with
either loss, 15 of 16 runs (95% interval .72 to .99) generate both clusters at the end; the median run does so from step
6,000 on with RpGAN, and from 7,000 on with the GAN. The one failed run of each ends where the enumeration predicts: all
of G on one cluster, with a loss of D of .347 = log(2) / 2 (RpGAN) and .955 (GAN; half of it, .477, is the plateau). It
took 82 s (122 s of CPU time) on two idle cores of an AMD EPYC (Zen 3), 2026-11-26.
"""

from __future__ import annotations

import itertools
import math
import time
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments import lab
from jaxgan.algorithm1 import accumulate_steps, zero_metrics
from jaxgan.conditions import UNCONDITIONAL
from jaxgan.config import default, update
from jaxgan.config.hparams import traced
from jaxgan.errors import UserError
from jaxgan.game.batches import Batch, Frame, TrainingSet, local_indices, sample_noise
from jaxgan.game.build import build
from jaxgan.game.sampling import sample
from jaxgan.game.state import Player, run_stream
from jaxgan.game.step import discriminator_step
from jaxgan.networks.layers import DataSpec
from jaxgan.objectives.losses import LOSSES
from jaxgan.run.plots import BLUE, GREEN, ORANGE, figure_png, new_figure
from jaxgan.sweep.statistics import rate_interval

EXACT = 1e-4  # nats
GAMES = ("gan", "rpgan, fixed pairs", "rpgan, all pairs")
Pattern = tuple[int, ...]  # where G's points are: on data point 0 .. n - 1, or n = on none


# --- Enumeration ------------------------------------------------------------------------------------------------------


def patterns(n: int) -> list[Pattern]:
    return list(itertools.product(range(n + 1), repeat=n))


def masses(pattern: Pattern) -> tuple[np.ndarray, np.ndarray]:
    """p and q over the n data points and the n positions of generated points off the data: [2n] float64."""
    n = len(pattern)
    p, q = np.zeros(2 * n), np.zeros(2 * n)
    p[:n] = 1 / n
    for i, target in enumerate(pattern):
        q[n + i if target == n else target] += 1 / n
    return p, q


def jensen_shannon(p: np.ndarray, q: np.ndarray) -> float:
    """JSD(p || q) in nats, for probability masses p and q."""
    kl = lambda a, m: float(np.sum(a[a > 0] * np.log(a[a > 0] / m[a > 0])))  # noqa: E731
    return (kl(p, (p + q) / 2) + kl(q, (p + q) / 2)) / 2


def relativistic_value(p: np.ndarray, q: np.ndarray) -> float:
    """JSD(p x q || q x p) in nats, for probability masses p and q [K]."""
    return jensen_shannon(np.outer(p, q), np.outer(q, p))


def periodic_points(pattern: Pattern) -> int:
    """The number of i on a cycle of the map i -> pattern[i]."""
    n, count = len(pattern), 0
    for start in range(n):
        i = start
        for _ in range(n):
            i = pattern[i]
            if i in (n, start):
                break
        count += i == start
    return count


def closed_forms(pattern: Pattern) -> dict[str, float]:
    """phi of each game: minus D's minimal loss, which G minimizes (its minimum is at the permutations).

    With fixed pairs D wants D(x_i) above D(y_i) for all i at once. Around a cycle of i -> y_i the differences sum to 0,
    so its pairs cost log 2 each; all others cost nothing.
    """
    p, q = masses(pattern)
    return {
        "gan": 2 * jensen_shannon(p, q) - 2 * math.log(2),
        "rpgan, fixed pairs": -math.log(2) * periodic_points(pattern) / len(pattern),
        "rpgan, all pairs": relativistic_value(p, q) - math.log(2),
    }


def descent_values(n: int, steps: int = 3000) -> dict[str, np.ndarray]:
    """phi of every pattern, by gradient descent on the package's losses in D's logits: [(n + 1)^n] each."""
    targets = np.array(
        [[n + i if target == n else target for i, target in enumerate(pattern)] for pattern in patterns(n)]
    )
    optimizer = optax.adam(optax.cosine_decay_schedule(0.1, steps), b1=0.5, b2=0.9)

    def losses(logits: jax.Array, fakes: jax.Array) -> dict[str, jax.Array]:
        x, y = logits[:n], logits[fakes]
        relativistic = LOSSES["relativistic"].discriminator
        return {
            "gan": jnp.mean(LOSSES["minimax"].discriminator(x, y)),
            "rpgan, fixed pairs": jnp.mean(relativistic(x, y)),
            "rpgan, all pairs": jnp.mean(relativistic(jnp.repeat(x, n), jnp.tile(y, n))),
        }

    def least(fakes: jax.Array, game: str) -> jax.Array:
        def body(_, carry):
            logits, state = carry
            gradient = jax.grad(lambda logits: losses(logits, fakes)[game])(logits)
            with jax.numpy_dtype_promotion("standard"):
                updates, state = optimizer.update(gradient, state)
            return optax.apply_updates(logits, updates), state

        logits = jnp.zeros(2 * n)
        logits, _ = jax.lax.fori_loop(0, steps, body, (logits, optimizer.init(logits)))
        return losses(logits, fakes)[game]

    return {game: -np.asarray(jax.jit(jax.vmap(partial(least, game=game)))(targets)) for game in GAMES}


def bad_assignments(n: int, game: str) -> tuple[int, int]:
    """Counts bad assignments among the n^n: strict local minima that are not permutations, and those without an escape.

    At a strict local minimum, moving any subset of the points off the data increases phi. An escape moves one point at
    a time, off the data or onto it, never increases phi, and ends at a permutation.
    """
    phi = {pattern: closed_forms(pattern)[game] for pattern in patterns(n)}
    solved = {pattern for pattern in phi if sorted(pattern) == list(range(n))}

    def neighbours(pattern: Pattern):
        for i, target in itertools.product(range(n), range(n + 1)):
            if (target == n) != (pattern[i] == n):  # between two data points, it moves off the data
                yield (*pattern[:i], target, *pattern[i + 1 :])

    reached, frontier = set(solved), list(solved)
    while frontier:  # backwards from the permutations, along moves that do not increase phi
        pattern = frontier.pop()
        for neighbour in neighbours(pattern):
            if neighbour not in reached and phi[neighbour] >= phi[pattern] - 1e-12:
                reached.add(neighbour)
                frontier.append(neighbour)
    assignments = [pattern for pattern in phi if n not in pattern and pattern not in solved]
    strict = 0
    for pattern in assignments:
        subsets = itertools.product((False, True), repeat=n)
        moved = [tuple(n if off else p for off, p in zip(s, pattern, strict=True)) for s in subsets if any(s)]
        strict += all(phi[other] > phi[pattern] + 1e-12 for other in moved)
    return strict, sum(pattern not in reached for pattern in assignments)


# --- The value of the relativistic game -------------------------------------------------------------------------------


def trained_values(p: np.ndarray, q: np.ndarray, *, count: int, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """log 2 - D's loss, and D, for a tabular D trained against a fixed q.

    Args:
      p, q: [games, K] whole numbers that sum to `count` in each row: the masses times `count`.

    Returns:
      values [games] in nats, D [games, K].
    """
    K = p.shape[1]
    rows = lambda counts: np.stack([np.repeat(np.eye(K, dtype=np.float32), c, axis=0) for c in counts])  # noqa: E731
    real, fake = np.repeat(rows(p), count, axis=1), np.tile(rows(q), (1, count, 1))  # each of the count^2 pairs once
    config = update(
        default(),
        {
            "generator.name": "toy",
            "discriminator.name": "toy",
            "objective.loss": "relativistic",
            "prior.size": K,
            "train.batch_size": count**2,
            "optimizer.discriminator.name": "sgd",
            "optimizer.discriminator.learning_rate": 4.0,
            "optimizer.discriminator.momentum": 0.9,
        },
    )
    gan, hparams = build(config, DataSpec((K,)), count**2), traced(config)
    gan = gan._replace(G=lambda theta_g, stats, z, y=None, **_: (z, stats))  # G is the identity

    @jax.jit
    @jax.vmap
    def train(real: jax.Array, fake: jax.Array) -> tuple[jax.Array, jax.Array]:
        start = gan.init(hparams)
        keys = sample_noise(gan, hparams, run_stream(hparams, "train"), local_indices(gan.batch_size, None))
        noise, G = keys._replace(z=fake), Player({}, {}, optax.EmptyState())
        batch = Batch(real, UNCONDITIONAL, noise)
        step = lambda D, i: discriminator_step(Frame(gan, hparams), G, D, batch._replace(count=jnp.uint32(i)))  # noqa: E731
        D = jax.lax.fori_loop(0, steps, lambda i, D: step(D, i)[0], start.discriminator)
        return math.log(2) - step(D, steps)[1]["d_loss"], D.params["psi"]

    values, D = train(real, fake)
    return np.asarray(values, np.float64), np.asarray(D, np.float64)


def value_of_the_game(games: int, steps: int) -> dict[str, Any]:
    """Trained and exact values for random p and q on six points, and the value near p = q."""
    rng, count, K = np.random.default_rng(0), 12, 6
    counts = lambda: 1 + rng.multinomial(count - K, np.ones(K) / K, size=games)  # noqa: E731
    p, q = counts(), counts()
    values, D = trained_values(p, q, count=count, steps=steps)
    exact = np.array([relativistic_value(a / count, b / count) for a, b in zip(p, q, strict=True)])
    best = np.log(p / q)
    error = (D - D.mean(axis=1, keepdims=True)) - (best - best.mean(axis=1, keepdims=True))
    base, tilt = np.full(K, 1 / K), np.array([1.0, -1, 0.5, -0.5, 0.2, -0.2]) / K
    near = {
        e: relativistic_value(base, base + e * tilt) / jensen_shannon(base, base + e * tilt) for e in (0.5, 0.1, 0.01)
    }
    return {"trained": values, "exact": exact, "D": D, "log p/q": best, "error": float(np.abs(values - exact).max()),
            "D error": float(np.abs(error).max()), "value / JSD near p": near}  # fmt: skip


# --- Two clusters -----------------------------------------------------------------------------------------------------


def clusters(loss: str, *, steps: int, seeds: int, num_evals: int = 20) -> dict[str, np.ndarray]:
    """D's loss and the fractions of G's samples near the `low` and the `high` cluster: [seeds, num_evals] each."""
    changes = {
        "prior.name": "uniform",
        "prior.size": 1,
        "prior.scale": 5 / math.sqrt(3),
        "generator.hidden": (5, 5),
        "generator.activations": ("tanh", "tanh"),
        "generator.output": "linear",
        "generator.output_bias": False,
        "generator.irange": 0.5,
        "generator.output_irange": 0.5,
        "discriminator.hidden": (10, 10),
        "discriminator.activation": "sigmoid",
        "discriminator.irange": 0.5,
        "objective.loss": loss,
        "train.batch_size": 100,
    }
    for player in ("generator", "discriminator"):
        changes |= {f"optimizer.{player}.{k}": v for k, v in
                    {"name": "sgd", "learning_rate": 0.01, "momentum": 0.9}.items()}  # fmt: skip
    config = update(default(), changes)
    gan, hparams = build(config, DataSpec((1,)), 100), traced(config)
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.uniform(0, 0.3, 50), rng.uniform(4, 4.3, 50)]).astype(np.float32)[:, None]
    data, n = TrainingSet(jnp.asarray(points)), steps // num_evals

    @jax.jit
    @partial(jax.vmap, in_axes=(0, None))
    def run(seed: jax.Array, data: TrainingSet):
        seeded = hparams | {"seed": seed}

        def train_and_sample(state, _):
            sums = zero_metrics(gan, seeded, state, data)
            state, sums = accumulate_steps(gan=gan, hparams=seeded, state=state, sums=sums, data=data, n=jnp.uint32(n))
            G = state.generator
            numbers = jnp.arange(1000, dtype=jnp.uint32)
            x = sample(gan, seeded, G.params, G.stats, key=run_stream(seeded, "evaluate"), numbers=numbers)[:, 0]
            low, high = jnp.abs(x - 0.15) < 0.65, jnp.abs(x - 4.15) < 0.65
            return state, (sums["d_loss"] / n, jnp.mean(low.astype(jnp.float32)), jnp.mean(high.astype(jnp.float32)))

        return jax.lax.scan(train_and_sample, gan.init(seeded), length=num_evals)[1]

    d_loss, low, high = (np.asarray(a, np.float64) for a in run(np.arange(seeds, dtype=np.uint32), data))
    return {"d_loss": d_loss, "low": low, "high": high, "steps": n * np.arange(1, num_evals + 1)}


def both_clusters(run: dict[str, np.ndarray]) -> np.ndarray:
    """Whether at least a quarter of the samples are within .5 of each cluster: [seeds, num_evals] bool."""
    return (run["low"] >= 0.25) & (run["high"] >= 0.25)


def verdicts(result: dict[str, Any]) -> dict[str, lab.Verdict]:
    """The verdict on each part of the claim, from the content of result.json."""
    stuck = {game: [row for row in result["enumeration"]["rows"] if row["game"] == game] for game in GAMES}
    both = {loss: np.asarray(found["covered"])[:, -1] for loss, found in result["clusters"].items()}
    rates = {loss: rate_interval(int(ends.sum()), len(ends)) for loss, ends in both.items()}
    limits = (
        f"with these networks the GAN reaches both clusters in {rates['non_saturating'].successes} of "
        f"{rates['non_saturating'].n} runs and RpGAN in {rates['relativistic'].successes}, so no trap is "
        f"observed, which is no evidence about larger problems"
    )
    return {
        "the GAN has n^n - n! bad assignments": lab.in_every_run(r["stuck"] == r["claimed"] for r in stuck["gan"]),
        "RpGAN with fixed pairs has none": lab.in_every_run(r["stuck"] == 0 for r in stuck["rpgan, fixed pairs"]),
        "RpGAN over all pairs has none": lab.in_every_run(r["stuck"] == 0 for r in stuck["rpgan, all pairs"]),
        "RpGAN succeeds where a GAN is trapped": lab.reproduced(
            rates["relativistic"].low > rates["non_saturating"].high, limits
        ),
    }


# --- The command ------------------------------------------------------------------------------------------------------


def picture(game: dict[str, Any], runs: dict[str, dict[str, np.ndarray]]) -> bytes:
    figure = new_figure(13, 4.2)
    ratio, loss, cover = figure.subplots(1, 3)
    for log_ratio, D in zip(game["log p/q"], game["D"], strict=True):
        ratio.plot(log_ratio - log_ratio.mean(), D - D.mean(), ".", color=BLUE, markersize=5)
    ends = [np.min(game["log p/q"]), np.max(game["log p/q"])]
    ratio.plot(ends, ends, color=ORANGE, alpha=0.5, linewidth=3)
    ratio.set(xlabel="log p/q minus its mean", ylabel="trained D minus its mean", title="optimal D of RpGAN")
    for (name, run), color in zip(runs.items(), (ORANGE, GREEN), strict=True):
        level = 2 * math.log(2) if name == "non_saturating" else math.log(2)
        loss.plot(run["steps"], run["d_loss"].T / level, color=color, alpha=0.35, linewidth=0.9)
        loss.plot([], [], color=color, label=f"{name}, per seed")
        cover.plot(run["steps"], both_clusters(run).mean(axis=0), "o-", color=color, label=name, markersize=4)
    loss.set(xlabel="steps", title="D's loss / its value at p = q", ylim=(0, 1.2))
    cover.set(xlabel="steps", title="fraction of runs with both clusters", ylim=(-0.03, 1.03))
    for axis in (loss, cover):
        axis.locator_params(axis="x", nbins=5)
    lab.tidy(ratio, loss, cover)
    loss.legend(frameon=False)
    cover.legend(frameon=False)
    return figure_png(figure)


def enumeration(sizes: tuple[int, ...]) -> dict[str, Any]:
    """Counts and prints, for each n and game: strict local minima that are not global, assignments with no way out."""
    rows = []
    print(f"{'n':>2}  {'game':20}{'assignments':>12}{'n^n - n!':>10}{'strict minima':>15}{'no way out':>12}")
    for n in sizes:
        for game in GAMES:
            strict, stuck = bad_assignments(n, game)
            claimed = n**n - math.factorial(n)
            rows.append({"n": n, "game": game, "claimed": claimed, "strict": strict, "stuck": stuck})
            print(f"{n:2d}  {game:20}{n**n:12d}{claimed:10d}{strict:15d}{stuck:12d}")
    by_descent, exact = descent_values(3), [closed_forms(pattern) for pattern in patterns(3)]
    error = max(float(np.abs(by_descent[game] - [row[game] for row in exact]).max()) for game in GAMES)
    print(
        f"phi of the 64 patterns of n = 3, by descent on the losses and in closed form: differ by at most {error:.1e}"
    )
    return {"rows": rows, "error": error}


def main() -> None:
    parser = lab.make_parser("basins", __doc__, quick="4 seeds of 4,000 steps")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seeds", type=int)
    flags = lab.parse(parser, steps=(20_000, 4000), seeds=(16, 4))
    steps, seeds = flags.steps, flags.seeds
    if steps < 20 or seeds < 1:
        raise UserError(f"--steps={steps} must be 20 or more, and --seeds={seeds} 1 or more.")

    started = time.perf_counter()
    enumerated = enumeration((2, 3) if flags.quick else (2, 3, 4))
    game = value_of_the_game(games=4 if flags.quick else 16, steps=3000)
    print(f"\nrelativistic value, trained and JSD(p x q || q x p): differ by at most {game['error']:.1e} nats; "
          f"D and log p/q by {game['D error']:.1e}; value / JSD(p || q) near p: "
          + ", ".join(f"{r:.4f} at {e}" for e, r in game["value / JSD near p"].items()))  # fmt: skip
    runs = {loss: clusters(loss, steps=steps, seeds=seeds) for loss in ("non_saturating", "relativistic")}
    print(f"\ntwo clusters, {seeds} seeds: runs with both clusters")
    for name, run in runs.items():
        both = both_clusters(run)
        firsts = [run["steps"][row.argmax()] for row in both if row.any()]
        print(
            f"  {name:16}{both[:, -1].sum():3d} at the end, {len(firsts):3d} ever, median first step "
            f"{np.median(firsts) if firsts else math.nan:.0f}; D's loss at the end {run['d_loss'][:, -1].mean():.3f}"
        )
    seconds = time.perf_counter() - started
    result = {"enumeration": enumerated, "value": {k: v for k, v in game.items() if k != "value / JSD near p"},
              "value / JSD near p": {str(e): r for e, r in game["value / JSD near p"].items()},
              "clusters": {name: run | {"covered": both_clusters(run)} for name, run in runs.items()},
              "seconds": seconds}  # fmt: skip
    held = verdicts(result)
    lab.finish(flags.out, result, {"basins": picture(game, runs)}, held)
    exact = {claim: held[claim] for claim in list(held)[:2]}
    exact[f"all values are within {EXACT}"] = lab.in_every_run([enumerated["error"] < EXACT, game["error"] < EXACT])
    lab.require(exact)


if __name__ == "__main__":
    lab.run(main)
