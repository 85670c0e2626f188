"""Times a training step of the MNIST recipes and a Parzen estimate, compared with lower bounds and PyTorch.

    pip install -e '.[bench]' && python -m experiments.benchmark [--part mlp|dcgan|dcgan_r1|wgan_gp|parzen ...]

The contestants take turns in one process, so that slow changes of the machine's speed affect all of them equally:

- jaxgan: the pmapped step of `jaxgan.main` with the recipe's configuration, including all metrics;
- by hand (mlp): a scanned JAX step as one would write it in an afternoon, without metrics;
- matrix products (dcgan): the 10.4 GFLOP of a step as products of 1024 x 1024 matrices;
- PyTorch eager (`torch_games.py`), with D's gradients turned off during G's step (skipped if torch is not installed).

mlp: `mnist.py`, alternating, minibatches of 100, dropout, SGD with momentum. dcgan: `dcgan_mnist.py`, minibatches of
64, batch normalization. dcgan_r1: the same with R1 of weight .1 and without batch normalization (in D, because it
couples examples; nor in G). wgan_gp: `wgan_gp_mnist.py`, five steps of D with the gradient penalty per step of G.

parzen: `parzen.log_likelihoods` of 10,000 MNIST-sized examples under 10,000 samples, for all ten sigmas of the paper,
alternating with one matrix product of the same size, 10,000 x 784 x 10,000.

Expected on CPU: jaxgan / by hand at most 1.0; jaxgan / PyTorch at most .63 (mlp), .85 (dcgan), .8 (dcgan_r1), .85
(wgan_gp); matrix products / jaxgan at least .75; Parzen / product at most 1.5, in less than 1 GB.
Measured on two otherwise idle cores of an AMD EPYC (Zen 3, no AVX-512), PyTorch 2.13, 2026-11-25: mlp / by hand .93, /
PyTorch .64 (44.4 ms; misses .63); dcgan / PyTorch .70 (109 ms), matrix products / dcgan .70 (misses .75); dcgan_r1 /
PyTorch .77 (148 ms); wgan_gp / PyTorch .72 (578 ms). On Zen 5 with AVX-512, busy, 2026-11-25: dcgan / PyTorch .79,
products / dcgan .68. Parzen / product 1.19, in 149 MB (2026-11-24).
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from configs import dcgan_mnist, mnist, wgan_gp_mnist
from experiments import lab
from jaxgan import parallel
from jaxgan.config import update
from jaxgan.config.hparams import traced
from jaxgan.game.batches import TrainingSet
from jaxgan.game.build import build, mean_example
from jaxgan.metrics import parzen
from jaxgan.networks.layers import DataSpec

M, Z, X, H, UNITS, PIECES = 100, 100, 784, 1200, 240, 5
LR, MOMENTUM = 0.1, 0.5
DCGAN_GFLOP = 10.4  # of one step of dcgan_mnist.py

# By part: the config, changes to it, the contestant of `torch_games.py` with its arguments, and steps per turn.
GAMES = {
    "mlp": (mnist, {"train.update": "alternating"}, "mlp", {}, 50),
    "dcgan": (dcgan_mnist, {}, "convolutional", {}, 5),
    "dcgan_r1": (
        dcgan_mnist,
        {
            "discriminator.norm": "none",
            "generator.norm": "none",
            "generator.bias": True,
            "objective.penalties.r1": 0.1,
        },
        "convolutional",
        {"norm": False, "r1": 0.1},
        5,
    ),
    "wgan_gp": (wgan_gp_mnist, {}, "convolutional", {"norm": False, "wasserstein": True, "penalty": 10.0, "k": 5}, 2),
}


def jaxgan_chunk(config: ConfigDict, data: np.ndarray) -> Callable[[int], None]:
    config = update(config, {"train.precision": "default"})  # the same as for the other contestants
    low = config.data.low
    gan = build(config, DataSpec(data.shape[1:], bounds=(low, 1.0), mean=mean_example(data, 0, low)), len(data))
    hparams = parallel.replicate(traced(config))
    state = parallel.replicate(jax.jit(gan.init)(hparams))
    examples = parallel.replicate(TrainingSet(data))
    steps = parallel.make_train_steps(gan)

    def chunk(n: int) -> None:
        nonlocal state
        state, metrics = steps(hparams, state, examples, n)
        jax.block_until_ready((state, metrics))

    return chunk


def hand_chunk(data: np.ndarray) -> Callable[[int], None]:
    def uniform(key, shape, r):
        return jax.random.uniform(key, shape, minval=-r, maxval=r)

    def layers(key, sizes, r):
        return [
            (uniform(k, (a, b), r), jnp.zeros(b))
            for k, (a, b) in zip(jax.random.split(key, len(sizes)), sizes, strict=True)
        ]

    def G(p, z):
        h = jax.nn.relu(z @ p[0][0] + p[0][1])
        h = jax.nn.relu(h @ p[1][0] + p[1][1])
        return jax.nn.sigmoid(h @ p[2][0] + p[2][1])

    def drop(key, x, keep):
        return jnp.where(jax.random.bernoulli(key, keep, x.shape), x / keep, 0)

    def D(p, x, key):
        k = jax.random.split(key, 3)
        h = (drop(k[0], x, 0.8) @ p[0][0] + p[0][1]).reshape(-1, UNITS, PIECES).max(-1)
        h = (drop(k[1], h, 0.5) @ p[1][0] + p[1][1]).reshape(-1, UNITS, PIECES).max(-1)
        return (drop(k[2], h, 0.5) @ p[2][0] + p[2][1])[:, 0]

    def sgd(p, v, g):
        v = jax.tree.map(lambda v, g: MOMENTUM * v - LR * g, v, g)
        return jax.tree.map(jnp.add, p, v), v

    def step(data, carry, key):
        pg, pd, vg, vd = carry
        kx, kz, kr, kf, kz2, kf2 = jax.random.split(key, 6)
        x = data[jax.random.randint(kx, (M,), 0, len(data))].reshape(M, X).astype(jnp.float32) / 255
        fake = G(pg, uniform(kz, (M, Z), 3**0.5))

        def d_loss(pd):
            return (jax.nn.softplus(-D(pd, x, kr)).mean() + jax.nn.softplus(D(pd, fake, kf)).mean()) / 2

        pd, vd = sgd(pd, vd, jax.grad(d_loss)(pd))
        z = uniform(kz2, (M, Z), 3**0.5)
        pg, vg = sgd(pg, vg, jax.grad(lambda pg: jax.nn.softplus(-D(pd, G(pg, z), kf2)).mean())(pg))
        return (pg, pd, vg, vd), None

    @partial(jax.jit, donate_argnums=0, static_argnums=3)
    def scan(carry, data, key, n):
        return jax.lax.scan(partial(step, data), carry, jax.random.split(key, n))[0]

    kg, kd, key = jax.random.split(jax.random.key(0), 3)
    pg = layers(kg, [(Z, H), (H, H), (H, X)], 0.05)
    pd = layers(kd, [(X, UNITS * PIECES), (UNITS, UNITS * PIECES), (UNITS, 1)], 0.005)
    carry = (pg, pd, *jax.tree.map(jnp.zeros_like, (pg, pd)))
    examples = jnp.asarray(data)

    def chunk(n: int) -> None:
        nonlocal carry
        carry = jax.block_until_ready(scan(carry, examples, key, n))

    return chunk


def time_in_turns(contestants: dict[str, Callable[[], None]], rounds: int) -> dict[str, list[float]]:
    """Seconds per turn of each contestant; the first turn, which compiles, is not counted."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(1 + rounds):
        for name, turn in contestants.items():
            start = time.perf_counter()
            turn()
            if number:
                times[name].append(time.perf_counter() - start)
    return times


def product_chunk(gflop: float) -> Callable[[int], None]:
    """The same amount of arithmetic per step, as products of square matrices."""
    side = 1024
    a = jnp.full((side, side), 1 / side)
    turns = round(gflop * 1e9 / (2 * side**3))
    loop = jax.jit(lambda a, n: jax.lax.fori_loop(0, n * turns, lambda _, y: a @ y, a))
    return lambda n: jax.block_until_ready(loop(a, n))


def step(part: str, rounds: int, steps: int | None) -> None:
    """Times a step of a game for all contestants."""
    config, changes, name, arguments, default_steps = GAMES[part]
    config, steps = update(config.get_config(), changes), steps or default_steps
    data = np.random.default_rng(0).integers(0, 256, (50_000, 28, 28, 1)).astype(np.uint8)
    chunks = {"jaxgan": jaxgan_chunk(config, data)}
    if part == "mlp":
        chunks["by hand"] = hand_chunk(data)
    if part == "dcgan":
        chunks["matrix products"] = product_chunk(DCGAN_GFLOP)
    try:
        from experiments import torch_games

        chunks["PyTorch eager"] = getattr(torch_games, name)(data, **arguments)
    except ImportError:
        print("PyTorch is not installed: pip install -e '.[bench]'")
    times = time_in_turns({name: partial(chunk, steps) for name, chunk in chunks.items()}, rounds)
    print(f"{part} on {jax.devices()[0].device_kind}, {rounds} turns of {steps} steps each, medians")
    for name, seconds in times.items():
        ratio = statistics.median(a / b for a, b in zip(times["jaxgan"], seconds, strict=True))
        median = statistics.median(seconds) / steps
        rate = config.train.batch_size / median
        print(f"{name:15s} {median * 1e3:7.2f} ms/step  {rate:8.0f} images/s   jaxgan / this: {ratio:.2f}", flush=True)


def parzen_window(rounds: int, n: int = 10_000) -> None:
    rng = np.random.default_rng(0)
    samples, x = (jnp.asarray(rng.random((n, X)), jnp.float32) for _ in range(2))
    product = jax.jit(partial(jnp.matmul, precision="highest"))
    estimate = jax.jit(parzen.log_likelihoods)
    turns = {
        "Parzen": lambda: jax.block_until_ready(estimate(samples, x, parzen.SIGMAS)),
        "product": lambda: jax.block_until_ready(product(x, samples.T)),
    }
    times = time_in_turns(turns, rounds)
    ratio = statistics.median(a / b for a, b in zip(*times.values(), strict=True))
    memory = estimate.lower(samples, x, parzen.SIGMAS).compile().memory_analysis()
    megabytes = (memory.temp_size_in_bytes + memory.argument_size_in_bytes + memory.output_size_in_bytes) / 1e6
    medians = {name: statistics.median(seconds) for name, seconds in times.items()}
    print(f"{jax.devices()[0].device_kind}, {n} samples and {n} examples of {X} numbers, {rounds} turns, medians")
    print(
        f"Parzen, {len(parzen.SIGMAS)} sigmas {medians['Parzen']:.2f} s, one matrix product {medians['product']:.2f} s"
    )
    print(f"Parzen / product: {ratio:.2f}, in {megabytes:.0f} MB")


def main() -> None:
    parser = lab.make_parser("benchmark", __doc__, out=False)
    parser.add_argument("--part", nargs="+", choices=[*GAMES, "parzen"], default=[*GAMES, "parzen"])
    parser.add_argument("--rounds", type=int, default=9, help="turns of each contestant")
    parser.add_argument("--steps", type=int, help="steps per turn")
    flags = parser.parse_args()
    for part in flags.part:
        if part == "parzen":
            parzen_window(flags.rounds)
        else:
            step(part, flags.rounds, flags.steps)


if __name__ == "__main__":
    lab.run(main)
