"""Iterations of a game of two small networks, written out from the papers: what `train_step` is compared with.

Of jaxgan it takes the initial state, the configuration, the keys of the streams of randomness and the order of the
data; networks, losses, terms, optimizers, averages and the updates of both players are written again here, one plain
statement after the other, and differentiated with jax.grad. Example i of a minibatch has random numbers of its own:
fold_in(fold_in(key of the minibatch, i), use), where use 0 is z and use 6 the terms of the losses.

The networks: z, one row of 0 and 1 for the class -> tanh units -> x, linear; x, likewise -> tanh units -> logits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from jaxgan.config import flatten
from jaxgan.data import order
from jaxgan.game.state import GanState, stream

SHAPE, CLASSES, N = (8, 8, 1), 3, 10
X = np.random.default_rng(0).integers(0, 256, (N, *SHAPE)).astype(np.uint8)
Y = (np.arange(N) % CLASSES).astype(np.int32)
Fields = Mapping[str, Any]  # {configuration field: value}


class Memory(NamedTuple):
    """Of an optimizer."""

    count: int
    velocity: Any  # SGD's, or Adam's mean of gradients
    squares: Any  # Adam's mean of squared gradients
    last: Any  # the update before, for optimism


class Player(NamedTuple):
    theta: Any
    memory: Memory
    u: Any = ()  # D's spectral vectors
    anchors: tuple = (0.0, 0.0)  # LeCam's, of data and of fakes


class Batch(NamedTuple):
    x: jax.Array
    y: jax.Array | None
    z: jax.Array
    keys: jax.Array  # of the terms, one per example


class Snapshot(NamedTuple):
    """What is compared after an iteration."""

    theta_g: Any
    theta_d: Any
    u: Any
    anchors: Any
    averages: list
    slow: Any
    metrics: dict


def snapshot(state: GanState, metrics: dict) -> Snapshot:
    """The same of the package's state."""
    G, D = state.generator, state.discriminator
    anchors = tuple(D.stats["lecam"]) if "lecam" in D.stats else (0.0, 0.0)
    u = D.stats.get("spectral", ())
    return Snapshot(G.params, D.params, u, anchors, list(state.averages), state.slow, metrics)


# --- Networks ---------------------------------------------------------------------------------------------------------


def row(y: jax.Array | None) -> list[jax.Array]:
    return [] if y is None else [jnp.eye(CLASSES, dtype=jnp.float32)[y]]


def unit(v):
    return v / jnp.linalg.norm(v)


def kernel_over_its_norm(W, u, moves: bool):
    """W / sigma, where one power iteration from u estimates sigma, and u after it; v and u are constants."""
    if u is None:
        return W, None
    fixed = jax.lax.stop_gradient(W)
    v = unit(fixed @ u)
    u = unit(fixed.T @ v) if moves else u
    return W / (v @ W @ u), u


def draw(theta, z, y):
    """G(z), [m, *SHAPE]."""
    h = jnp.concatenate([z, *row(y)], axis=1)
    h = jnp.tanh(h @ theta["Dense_0"]["kernel"] + theta["Dense_0"]["bias"][None])
    return (h @ theta["output"]["kernel"] + theta["output"]["bias"][None]).reshape(-1, *SHAPE)


def judge(f: Fields, theta, u, x, y, *, moves: bool = False):
    """D's logits [m], those of its classifier [m, classes] or [m, 0], and its spectral vectors after this pass."""
    p = f["discriminator.packing"]  # examples that D classifies jointly, concatenated as channels
    x = jnp.concatenate([x[i::p] for i in range(p)], axis=-1)
    h, after = jnp.concatenate([x.reshape(len(x), -1), *row(y)], axis=1), {}
    for layer in ("Dense_0", "output"):
        W, moved = kernel_over_its_norm(theta[layer]["kernel"], u[layer]["u"] if u else None, moves)
        h = h @ W + theta[layer]["bias"][None]
        h = jnp.tanh(h) if layer == "Dense_0" else h
        after[layer] = {"u": moved}
    return h[:, 0], h[:, 1:], after if u else ()


# --- Losses -----------------------------------------------------------------------------------------------------------


def minus_log_sigmoid(x):
    return jnp.logaddexp(jnp.zeros_like(x), -x)


def loss_d(f: Fields, real, fake):
    if f["objective.loss"] == "relativistic":
        return minus_log_sigmoid(real - fake)
    return minus_log_sigmoid(real) + minus_log_sigmoid(-fake)


def loss_g(f: Fields, real, fake):
    if f["objective.loss"] == "minimax":
        return -minus_log_sigmoid(-fake)
    return minus_log_sigmoid(fake - real if f["objective.loss"] == "relativistic" else fake)


def cross_entropy(logits, y):
    return -jnp.mean(jax.nn.log_softmax(logits)[jnp.arange(len(y)), y])


def flipped_and_shifted(x, keys):
    """Mirrored with probability 1/2, then shifted by -1, 0 or 1 (an eighth of 8) with reflected borders."""

    def change(image, key):
        flip, *ways = jax.random.split(jax.random.fold_in(key, 0), 3)
        image = jnp.where(jax.random.bernoulli(flip), image[:, ::-1], image)
        padded = jnp.pad(image, ((1, 1), (1, 1), (0, 0)), mode="reflect")
        down, right = (jax.random.randint(way, (), 0, 3) for way in ways)
        return padded[down + jnp.arange(8)][:, right + jnp.arange(8)]

    return jax.vmap(change)(x, keys)


def nearby(f: Fields, batch: Batch):
    """z + radius N(0, I)."""
    change = jax.vmap(lambda key: jax.random.normal(jax.random.fold_in(key, 1), batch.z.shape[1:]))(batch.keys)
    return batch.z + f["objective.latent.radius"] * change


def squared_slopes(D, points):
    return jnp.sum(jnp.square(jax.grad(lambda x: jnp.sum(D(x)))(points)), axis=(1, 2, 3))


def scheduled(f: Fields, path: str, base: float, t: int) -> float:
    """A number after t updates: constant, or in a straight line to `final` at `steps`."""
    if f[f"{path}.name"] == "constant":
        return base
    start, final = f[f"{path}.start"], f[f"{path}.final"]
    return base + (final - base) * min(max((t - start) / (f[f"{path}.steps"] - start), 0), 1)


def penalties(f: Fields, theta_d, u, batch: Batch, fake, t: int) -> tuple[jax.Array, dict]:
    """R1 on data and R2 on fakes in update t of D: in every k-th alone, and then k times as large."""
    total, means, every, y = jnp.zeros(()), {}, f["objective.penalty_every"], d_classes(f, batch.y)
    factor = scheduled(f, "objective.penalty_schedule", 1.0, t)
    for name, points in (("r1", batch.x), ("r2", jax.lax.stop_gradient(fake))):
        weight = f[f"objective.penalties.{name}"]
        if not weight:
            continue
        slopes = squared_slopes(lambda x: judge(f, theta_d, u, x, y)[0], points)
        slopes = f["discriminator.packing"] * slopes  # of a pack, the sum of its examples'
        means[name] = every * jnp.mean(slopes) / 2 if t % every == 0 else jnp.zeros(())
        total += weight * factor * means[name]
    return total, means


def terms_d(f: Fields, theta_d, D: Player, u, G: Player, batch: Batch, fake, t: int, judged) -> tuple:
    """LeCam, consistency, zCR and the auxiliary classifier, each weighted, and the anchors after them."""
    real_logits, fake_logits, real_classes, fake_classes = judged
    means, anchors, y = {}, D.anchors, d_classes(f, batch.y)
    logit = lambda x: judge(f, theta_d, u, x, y)[0]  # noqa: E731
    if weight := f["objective.lecam.weight"]:
        stay = f["objective.lecam.decay"] if t >= f["objective.lecam.start"] else 0.0
        now = [jax.lax.stop_gradient(jnp.mean(logits)) for logits in (real_logits, fake_logits)]
        anchors = tuple(stay * old + (1 - stay) * new for old, new in zip(anchors, now, strict=True))
        excess = jnp.maximum(real_logits - anchors[1], 0) ** 2 + jnp.maximum(anchors[0] - fake_logits, 0) ** 2
        means["lecam"] = weight * jnp.mean(excess) if t > f["objective.lecam.start"] else jnp.zeros(())
    for where, points in (("real", batch.x), ("fake", fake)):
        if weight := f[f"objective.consistency.{where}"]:
            change = logit(points) - logit(flipped_and_shifted(points, batch.keys))
            means[f"consistency_{where}"] = weight * jnp.mean(change**2)
    if weight := f["objective.latent.discriminator"]:
        change = logit(fake) - logit(draw(G.theta, nearby(f, batch), batch.y))
        means["latent_consistency"] = weight * jnp.mean(change**2)
    for where, logits in (("real", real_classes), ("fake", fake_classes)):
        if weight := f[f"objective.auxiliary.{where}"]:
            means[f"class_error_{where}"] = weight * cross_entropy(logits, batch.y)
    return means, anchors


def d_classes(f: Fields, y):
    """The classes that D is conditioned on: those of the examples, unless it predicts them."""
    return None if any(f[f"objective.auxiliary.{part}"] for part in ("real", "fake", "generator")) else y


def moved(f: Fields, theta_g, theta_d, u, batch: Batch):
    """z after the step of LOGAN, kept in the cube of a uniform prior."""
    rate, damping = f["objective.latent_optimization.rate"], f["objective.latent_optimization.damping"]
    if not rate:
        return batch.z

    def logit(z, y):
        return judge(f, theta_d, u, draw(theta_g, z[None], y), d_classes(f, y))[0][0]

    def each(z, y, key):
        slope = jax.grad(lambda z: logit(z, None if batch.y is None else y[None]))(z)
        share = f["objective.latent_optimization.share"]
        moves = jax.random.bernoulli(jax.random.fold_in(key, 3), share)
        step = jnp.where(moves, rate * slope / (damping + slope @ slope), 0.0)
        return z + (step if f["objective.latent_optimization.differentiate"] else jax.lax.stop_gradient(step))

    z = jax.vmap(each)(batch.z, jnp.zeros(len(batch.z), jnp.int32) if batch.y is None else batch.y, batch.keys)
    edge = np.sqrt(3) * f["prior.scale"] if f["prior.name"] == "uniform" else np.inf
    return jnp.where(z > edge, edge, jnp.where(z < -edge, -edge, z))


def gradient_d(f: Fields, G: Player, D: Player, batch: Batch, t: int, theta_d=None):
    """The gradient of D's total loss in its update t, D with updated statistics, and the metrics."""
    y = d_classes(f, batch.y)

    def total(theta_d):
        fake = draw(G.theta, moved(f, G.theta, theta_d, D.u, batch), batch.y)
        both = jnp.concatenate([batch.x, fake])
        logits, classes, u = judge(f, theta_d, D.u, both, None if y is None else jnp.concatenate([y, y]), moves=True)
        m = len(fake) // f["discriminator.packing"]
        judged = (logits[:m], logits[m:], classes[:m], classes[m:])
        d_loss = f["objective.d_scale"] * jnp.mean(loss_d(f, *judged[:2]))
        penalty, means = penalties(f, theta_d, u, batch, fake, t)
        terms, anchors = terms_d(f, theta_d, D, u, G, batch, fake, t, judged)
        return d_loss + penalty + sum(terms.values()), (u, anchors, {"d_loss": d_loss} | means | terms)

    gradient, (u, anchors, metrics) = jax.grad(total, has_aux=True)(D.theta if theta_d is None else theta_d)
    return gradient, D._replace(u=u, anchors=anchors), metrics


def gradient_g(f: Fields, G: Player, D: Player | Callable, batch: Batch, theta_g=None):
    """The gradient of what G descends, and the metrics; D may be a function of theta_g."""
    y, given = d_classes(f, batch.y), D

    def total(theta_g):
        D = given(theta_g) if callable(given) else given
        z = moved(f, theta_g, D.theta, D.u, batch)
        fake_logits, classes, _ = judge(f, D.theta, D.u, draw(theta_g, z, batch.y), y)
        each = loss_g(f, judge(f, D.theta, D.u, batch.x, y)[0], fake_logits)
        if f["objective.top_k"] < 1:  # those that D holds for the most real
            best = jnp.argsort(-jax.lax.stop_gradient(fake_logits))
            each = each[best[: int(f["objective.top_k"] * len(best))]]
        metrics = {"g_loss": jnp.mean(each)}
        if weight := f["objective.latent.generator"]:
            change = draw(theta_g, batch.z, batch.y) - draw(theta_g, nearby(f, batch), batch.y)
            metrics["latent_diversity"] = -weight * jnp.mean(change**2)
        if weight := f["objective.auxiliary.generator"]:
            metrics["class_error_generator"] = weight * cross_entropy(classes, batch.y)
        return sum(metrics.values()), metrics

    return jax.grad(total, has_aux=True)(G.theta if theta_g is None else theta_g)


# --- Optimizers -------------------------------------------------------------------------------------------------------


def new_player(theta, u=()) -> Player:
    zeros = jax.tree.map(jnp.zeros_like, theta)
    return Player(theta, Memory(0, zeros, zeros, zeros), u)


def step(f: Fields, player: str, who: Player, gradient, start=None) -> Player:
    """One step of SGD with momentum or of Adam from `start` (who.theta), with the optimizer's memory that `who` has."""
    path = f"optimizer.{player}"
    count, mean, squares, last = who.memory
    rate = scheduled(f, f"{path}.schedule", f[f"{path}.learning_rate"], count)
    if f[f"{path}.name"] == "sgd":
        mean = jax.tree.map(lambda v, g: f[f"{path}.momentum"] * v - rate * g, mean, gradient)
        update = mean
    else:
        b1, b2 = f[f"{path}.b1"], scheduled(f, f"{path}.b2_schedule", f[f"{path}.b2"], count)
        mean = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, mean, gradient)
        squares = jax.tree.map(lambda s, g: b2 * s + (1 - b2) * g**2, squares, gradient)
        of_both = [1 - b ** (count + 1) for b in (b1, b2)]
        update = jax.tree.map(
            lambda m, s: -rate * (m / of_both[0]) / (jnp.sqrt(s / of_both[1]) + f[f"{path}.eps"]), mean, squares
        )
    taken = update
    if f[f"{path}.optimistic"] and count:
        taken = jax.tree.map(lambda now, before: 2 * now - before, update, last)
    theta = jax.tree.map(jnp.add, who.theta if start is None else start, taken)
    if limit := f[f"{path}.clip"]:
        theta = jax.tree.map(lambda w: jnp.clip(w, -limit, limit), theta)
    return who._replace(theta=theta, memory=Memory(count + 1, mean, squares, update))


# --- The updates of both players --------------------------------------------------------------------------------------


def batch_of(f: Fields, stream_name: str, first: int, key, m: int, restores: int) -> Batch:
    """Examples number first, ..., first + m - 1 of an order of the data, and noise."""
    of_order = stream(f["seed"], stream_name, restores)
    rows = jax.vmap(lambda i: order.example(of_order, i, N))(jnp.arange(first, first + m, dtype=jnp.uint32))
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(m))
    use = lambda number: jax.vmap(lambda key: jax.random.fold_in(key, number))(keys)  # noqa: E731
    size, edge = (f["prior.size"],), np.sqrt(3)
    uniform = f["prior.name"] == "uniform"
    z = jax.vmap(
        lambda key: (
            jax.random.uniform(key, size, minval=-edge, maxval=edge) if uniform else jax.random.normal(key, size)
        )
    )(use(0))
    y = jnp.asarray(Y)[rows] if f["conditional"] == "label" else None
    return Batch(jnp.asarray(X / np.float32(255))[rows], y, f["prior.scale"] * z, use(6))


def iteration(f: Fields, G: Player, D: Player, s: int, restores: int = 0) -> tuple[Player, Player, dict]:
    """Both players after iteration s, counted from 0, and the metrics."""
    key = jax.random.fold_in(stream(f["seed"], "train", restores), s)
    fold = jax.random.fold_in
    m, k = f["train.batch_size"], f["train.d_steps"]
    g_m = f["train.g_batch_size"] or m
    for_d = lambda number, key: batch_of(f, "order", number * m, key, m, restores)  # noqa: E731
    for_g = lambda number, key: batch_of(f, "fresh", number * g_m, key, g_m, restores)  # noqa: E731
    match f["train.update"]:
        case "alternating":
            lazy: dict[str, list] = {"r1": [], "r2": []}
            for j in range(k):
                number = s * k + j
                gradient, D, metrics = gradient_d(f, G, D, for_d(number, fold(key, j)), number)
                D = step(f, "discriminator", D, gradient)
                for name in lazy:
                    lazy[name].append(metrics.get(name, 0.0))
            if f["objective.penalty_every"] > 1:
                metrics |= {name: sum(found) / k for name, found in lazy.items() if name in metrics}
            gradient, of_g = gradient_g(f, G, D, for_g(s, fold(key, k)))
            return step(f, "generator", G, gradient), D, metrics | of_g
        case "simultaneous":
            batch = for_d(s, fold(key, 0))
            d_gradient, looked, metrics = gradient_d(f, G, D, batch, s)
            g_gradient, of_g = gradient_g(f, G, D, batch)
            D = step(f, "discriminator", looked, d_gradient)
            return step(f, "generator", G, g_gradient), D, metrics | of_g
        case "extragradient":
            ahead_g, ahead_d, found = G, D, []
            for half in range(2):  # from where the iteration began, along the gradient at the players ahead
                number, half_key = 2 * s + half, fold(key, half)
                d_gradient, looked, metrics = gradient_d(f, ahead_g, ahead_d, for_d(number, fold(half_key, 0)), number)
                g_gradient, of_g = gradient_g(f, ahead_g, ahead_d, for_g(number, fold(half_key, 1)))
                ahead_d = step(f, "discriminator", looked, d_gradient, start=D.theta)
                ahead_g = step(f, "generator", ahead_g, g_gradient, start=G.theta)
                found.append(metrics | of_g)
            return ahead_g, ahead_d, found[0]
        case "unrolled":
            batch = for_d(s, fold(key, 0))

            def later(theta_g):
                at = G._replace(theta=theta_g if f["train.unrolled_gradient"] else jax.lax.stop_gradient(theta_g))
                there = D
                for j in range(f["train.unrolled_steps"]):
                    gradient, there, _ = gradient_d(f, at, there, batch, s + j)
                    there = step(f, "discriminator", there, gradient)
                return there

            d_gradient, looked, metrics = gradient_d(f, G, D, batch, s)
            g_gradient, of_g = gradient_g(f, G, later, batch)
            D = step(f, "discriminator", looked, d_gradient)
            return step(f, "generator", G, g_gradient), D, metrics | of_g
    return adjusted(f, G, D, s, for_d(s, fold(key, 0)))


def adjusted(f: Fields, G: Player, D: Player, s: int, batch: Batch) -> tuple[Player, Player, dict]:
    """xi + weight J^T xi, the gradient of |xi|^2 / 2, or A^T xi where A = (J - J^T) / 2 and J is the Jacobian of xi."""
    theta, unravel = ravel_pytree((G.theta, D.theta))

    def field(theta):
        theta_g, theta_d = unravel(theta)
        now_g, now_d = G._replace(theta=theta_g), D._replace(theta=theta_d)
        g_gradient, of_g = gradient_g(f, now_g, now_d, batch)
        d_gradient, looked, metrics = gradient_d(f, now_g, now_d, batch, s)
        return ravel_pytree((g_gradient, d_gradient))[0], (looked.u, looked.anchors, metrics | of_g)

    xi, (u, anchors, metrics) = field(theta)
    term = jax.grad(lambda theta: jnp.sum(field(theta)[0] ** 2) / 2)(theta)
    if f["train.update"] == "symplectic":
        term = (term - jax.jvp(lambda theta: field(theta)[0], (theta,), (xi,))[1]) / 2
    g_gradient, d_gradient = unravel(xi + f["objective.adjustment"] * term)
    D = step(f, "discriminator", D._replace(u=u, anchors=anchors), d_gradient)
    return step(f, "generator", G, g_gradient), D, metrics


def mixed(a, b, share: float):
    """`share` of a and the rest of b."""
    return jax.tree.map(lambda a, b: share * a + (1 - share) * b, a, b)


def play(config, state: GanState, steps: int, restores: int = 0) -> list[Snapshot]:
    """What `steps` iterations lead to, one after the other."""
    f = flatten(config)
    G = new_player(state.generator.params)
    D = new_player(state.discriminator.params, state.discriminator.stats.get("spectral", ()))
    rules = [("gamma", g) for g in f["generator.ema.gamma"]] + [("half", h) for h in f["generator.ema.half_life"]]
    averages, slow, found = [G.theta for _ in rules], (G.theta, D.theta), []
    m, every = f["train.g_batch_size"] or f["train.batch_size"], f["train.lookahead"]
    for s in range(steps):
        G, D, metrics = iteration(f, G, D, s, restores)
        done = s + 1
        if every and done % every == 0:  # back part of the way to where they were `every` iterations ago
            slow = mixed((G.theta, D.theta), slow, f["train.lookahead_rate"])
            G, D = G._replace(theta=slow[0]), D._replace(theta=slow[1])
        shares = [(1 - 1 / done) ** (n + 1) if kind == "gamma" else 2 ** (-m / n) for kind, n in rules]
        averages = [mixed(old, G.theta, share) for old, share in zip(averages, shares, strict=True)]
        found.append(Snapshot(G.theta, D.theta, D.u, D.anchors, averages, slow if every else (), metrics))
    return found
