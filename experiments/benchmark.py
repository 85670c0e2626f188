"""How long one step of the MNIST recipe takes, and one Parzen estimate, beside the least they could take.

    pip install -e '.[bench]' && python -m experiments.benchmark [--part step|parzen]

step: alternating updates, batch 100, the paper's networks, dropout, SGD with momentum. Three contestants
take turns in one process, chunk by chunk, so that a machine whose speed drifts treats them alike:

- jaxgan: the pmapped step of `jaxgan.main`, every metric included;
- by hand: a scanned JAX step as one would write it in an afternoon, no metrics;
- PyTorch eager, with D's gradients switched off while G learns (skipped if torch is not installed).

parzen: `parzen.log_likelihoods` of 10,000 MNIST-sized examples under 10,000 samples, all ten sigmas of the
paper, in turns with one matrix product of the same 10,000 x 784 x 10,000.

Expected: jaxgan / by hand at most 1.0, jaxgan / PyTorch at most 0.75 on CPU; Parzen / product at most 1.5,
in less than 1 GB.
Measured on two cores of an AMD EPYC, 2026-11-24: jaxgan / by hand 0.95 (24.2 ms/step); PyTorch was not measured
beside them. Parzen / product 1.19, in 149 MB.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from configs import mnist
from jaxgan import errors, parallel
from jaxgan.algorithm1 import Data
from jaxgan.config import update
from jaxgan.gan import build, mean_example
from jaxgan.hparams import traced
from jaxgan.metrics import parzen
from jaxgan.networks.layers import DataSpec

M, Z, X, H, UNITS, PIECES = 100, 100, 784, 1200, 240, 5
LR, MOMENTUM = 0.1, 0.5


def jaxgan_chunk(data: np.ndarray) -> Callable[[int], None]:
    config = update(mnist.get_config(), {"train.update": "alternating", "train.precision": "default"})  # as the others
    gan = build(config, DataSpec(data.shape[1:], bounds=(0.0, 1.0), mean=mean_example(data, 0)), len(data))
    hparams = parallel.replicate(traced(config))
    state = parallel.replicate(jax.jit(gan.init)(hparams))
    examples = parallel.replicate(Data(data))
    steps = parallel.trainer(gan)

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


def torch_chunk(data: np.ndarray) -> Callable[[int], None]:
    import torch
    from torch import nn
    from torch.nn import functional as F

    device = "cuda" if torch.cuda.is_available() else "cpu"

    class Maxout(nn.Module):
        def __init__(self, inputs):
            super().__init__()
            self.linear = nn.Linear(inputs, UNITS * PIECES)

        def forward(self, x):
            return self.linear(x).view(-1, UNITS, PIECES).max(-1).values

    G = nn.Sequential(nn.Linear(Z, H), nn.ReLU(), nn.Linear(H, H), nn.ReLU(), nn.Linear(H, X), nn.Sigmoid())
    D = nn.Sequential(nn.Dropout(0.2), Maxout(X), nn.Dropout(0.5), Maxout(UNITS), nn.Dropout(0.5), nn.Linear(UNITS, 1))
    for net, r in ((G, 0.05), (D, 0.005)):
        for p in net.to(device).parameters():
            nn.init.uniform_(p, -r, r) if p.ndim > 1 else nn.init.zeros_(p)
    optimizers = [torch.optim.SGD(net.parameters(), LR, MOMENTUM) for net in (G, D)]
    examples = torch.from_numpy(data).view(len(data), X).to(device)

    def noise():
        return (torch.rand(M, Z, device=device) * 2 - 1) * 3**0.5

    def chunk(n: int) -> None:
        for _ in range(n):
            x = examples[torch.randint(len(data), (M,), device=device)].float() / 255
            with torch.no_grad():
                fake = G(noise())
            loss = (F.softplus(-D(x)).mean() + F.softplus(D(fake)).mean()) / 2
            optimizers[1].zero_grad()
            loss.backward()
            optimizers[1].step()
            D.requires_grad_(False)
            loss = F.softplus(-D(G(noise()))).mean()
            optimizers[0].zero_grad()
            loss.backward()
            optimizers[0].step()
            D.requires_grad_(True)
        if device == "cuda":
            torch.cuda.synchronize()

    return chunk


def in_turns(contestants: dict[str, Callable[[], None]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each turn of each contestant; the first, which compiles, is not counted."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(1 + rounds):
        for name, turn in contestants.items():
            start = time.perf_counter()
            turn()
            if number:
                times[name].append(time.perf_counter() - start)
    return times


def step(rounds: int, steps: int) -> None:
    data = np.random.default_rng(0).integers(0, 256, (50_000, 28, 28, 1)).astype(np.uint8)
    chunks = {"jaxgan": jaxgan_chunk(data), "by hand": hand_chunk(data)}
    try:
        chunks["PyTorch eager"] = torch_chunk(data)
    except ImportError:
        print("PyTorch is not installed: pip install -e '.[bench]'")
    times = in_turns({name: partial(chunk, steps) for name, chunk in chunks.items()}, rounds)
    print(f"{jax.devices()[0].device_kind}, {rounds} turns of {steps} steps each, medians")
    for name, seconds in times.items():
        ratio = statistics.median(a / b for a, b in zip(times["jaxgan"], seconds, strict=True))
        median = statistics.median(seconds) / steps
        print(f"{name:14s} {median * 1e3:7.2f} ms/step  {M / median:8.0f} images/s   jaxgan / this: {ratio:.2f}")


def parzen_window(rounds: int, n: int = 10_000) -> None:
    rng = np.random.default_rng(0)
    samples, x = (jnp.asarray(rng.random((n, X)), jnp.float32) for _ in range(2))
    product = jax.jit(partial(jnp.matmul, precision="highest"))
    estimate = jax.jit(parzen.log_likelihoods)
    turns = {
        "Parzen": lambda: jax.block_until_ready(estimate(samples, x, parzen.SIGMAS)),
        "product": lambda: jax.block_until_ready(product(x, samples.T)),
    }
    times = in_turns(turns, rounds)
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.error = errors.usage_error
    parser.add_argument("--part", choices=["step", "parzen"], help="only one part")
    parser.add_argument("--rounds", type=int, default=9, help="turns of each contestant")
    parser.add_argument("--steps", type=int, default=50, help="steps per turn")
    flags = parser.parse_args()
    if flags.part in (None, "step"):
        step(flags.rounds, flags.steps)
    if flags.part in (None, "parzen"):
        parzen_window(flags.rounds)


if __name__ == "__main__":
    errors.run_cli(main)
