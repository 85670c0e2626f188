"""How long one step of a small DCGAN takes with the project's convolutions, with XLA's own, and in PyTorch.

    pip install -e '.[bench]' && python -m experiments.conv_benchmark [--r1=0.1] [--native]

G: z of 100, dense to 7x7x128, batch norm, ReLU, 4x4 stride-2 transposed convolution to 64, batch norm, ReLU, another
to one 28x28 image, tanh. D: 4x4 stride-2 convolutions to 64 and 128 features, batch norm in the second, leaky ReLU,
dense to a logit. Batch 64, alternating Adam, non-saturating loss, R1 of D on real examples with --r1. The JAX steps
run inside `fori_loop`; PyTorch is eager, D's weight gradients off in G's step. Contestants take turns.

Times are CPU time, least and median of the turns, as wall time means little on a shared machine. CPU time counts
PyTorch's waiting threads, so on a busy machine keep everything on one core: taskset -c 0 python -m ...

Expected: at most .85 of PyTorch's time, .8 with R1; 10.4 GFLOP (without R1) at no less than .75 of the speed of
square matrix products of 1024.
Measured on one core of an AMD EPYC (Zen 5) that some 15 other processes shared, 2026-11-25, ranges over four calls:
74 to 81 ms, .78 to .86 of PyTorch 2.13 (last call .79), .68 of the products' speed, 1/28 of the time of XLA's own;
with R1 of .1 99 to 119 ms, .79 to .86 of PyTorch (last call .81). Wall time on two idle cores was not measured.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from jaxgan.networks.convolution import conv, conv_transpose

BATCH, Z, EXAMPLES = 64, 100, 2_000
OPTIONS = {"strides": (2, 2), "padding": ((1, 1), (1, 1))}
GFLOP = 10.4


def native_conv(x, kernel, *, strides, padding):
    return lax.conv_general_dilated(x, kernel, strides, padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def native_transpose(x, kernel, *, strides, padding):
    pads = [(side - 1 - lo, side - 1 - hi) for side, (lo, hi) in zip(kernel.shape[:2], padding, strict=True)]
    dimensions = ("NHWC", "HWIO", "NHWC")
    return lax.conv_transpose(x, kernel, strides, pads, dimension_numbers=dimensions, transpose_kernel=True)


def batch_norm(p, x):
    centered = x - x.mean((0, 1, 2))
    return centered * (lax.rsqrt((centered**2).mean((0, 1, 2)) + 1e-5) * p["scale"]) + p["bias"]


def jax_chunk(convolve: Callable, transpose: Callable, weight: float) -> Callable[[int], None]:
    def G(p, z):
        h = jax.nn.relu(batch_norm(p["bn0"], (z @ p["dense"]).reshape(-1, 7, 7, 128)))
        h = jax.nn.relu(batch_norm(p["bn1"], transpose(h, p["k1"], **OPTIONS)))
        return jnp.tanh(transpose(h, p["k2"], **OPTIONS) + p["bias"])

    def D(p, x):
        h = jax.nn.leaky_relu(convolve(x, p["k1"], **OPTIONS) + p["bias"], 0.2)
        h = jax.nn.leaky_relu(batch_norm(p["bn"], convolve(h, p["k2"], **OPTIONS)), 0.2)
        return (h.reshape(len(h), -1) @ p["dense"])[:, 0] + p["b"]

    def d_loss(pd, x, fake):
        loss = jax.nn.softplus(-D(pd, x)).mean() + jax.nn.softplus(D(pd, fake)).mean()
        if weight:
            gradient = jax.grad(lambda x: D(pd, x).sum())(x)
            loss += weight / 2 * (gradient**2).sum((1, 2, 3)).mean()
        return loss

    rng = np.random.default_rng(0)
    normal = lambda *shape: jnp.asarray(0.02 * rng.standard_normal(shape), jnp.float32)  # noqa: E731
    norm = lambda n: {"scale": jnp.ones(n), "bias": jnp.zeros(n)}  # noqa: E731
    pg = {"dense": normal(Z, 6272), "bn0": norm(128), "k1": normal(4, 4, 64, 128), "bn1": norm(64)}
    pg |= {"k2": normal(4, 4, 1, 64), "bias": jnp.zeros(1)}
    pd = {"k1": normal(4, 4, 1, 64), "bias": jnp.zeros(64), "k2": normal(4, 4, 64, 128), "bn": norm(128)}
    pd |= {"dense": normal(6272, 1), "b": jnp.zeros(())}
    adam = optax.adam(2e-4, b1=0.5)
    data = jnp.asarray(rng.integers(0, 256, (EXAMPLES, 28, 28, 1)), jnp.uint8)

    def step(i, carry):
        pg, pd, og, od = carry
        key_x, key_z, key_z2 = jax.random.split(jax.random.fold_in(jax.random.key(1), i), 3)
        x = data[jax.random.randint(key_x, (BATCH,), 0, EXAMPLES)].astype(jnp.float32) / 127.5 - 1
        updates, od = adam.update(jax.grad(d_loss)(pd, x, G(pg, jax.random.normal(key_z, (BATCH, Z)))), od, pd)
        pd = optax.apply_updates(pd, updates)
        z = jax.random.normal(key_z2, (BATCH, Z))
        gradient = jax.grad(lambda pg: jax.nn.softplus(-D(pd, G(pg, z))).mean())(pg)
        updates, og = adam.update(gradient, og, pg)
        return optax.apply_updates(pg, updates), pd, og, od

    loop = jax.jit(lambda carry, n: lax.fori_loop(0, n, step, carry))
    carry = (pg, pd, adam.init(pg), adam.init(pd))

    def chunk(n: int) -> None:
        nonlocal carry
        carry = jax.block_until_ready(loop(carry, n))

    return chunk


def torch_chunk(weight: float) -> Callable[[int], None]:
    import torch
    from torch import nn
    from torch.nn.functional import softplus

    G = nn.Sequential(
        nn.Linear(Z, 6272, bias=False), nn.Unflatten(1, (128, 7, 7)), nn.BatchNorm2d(128), nn.ReLU(),
        nn.ConvTranspose2d(128, 64, 4, 2, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU(),
        nn.ConvTranspose2d(64, 1, 4, 2, 1), nn.Tanh(),
    )  # fmt: skip
    D = nn.Sequential(
        nn.Conv2d(1, 64, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(64, 128, 4, 2, 1, bias=False), nn.BatchNorm2d(128),
        nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(6272, 1),
    )  # fmt: skip
    adam_g, adam_d = (torch.optim.Adam(net.parameters(), 2e-4, (0.5, 0.999)) for net in (G, D))
    data = torch.randint(0, 256, (EXAMPLES, 1, 28, 28), dtype=torch.uint8)

    def chunk(n: int) -> None:
        for _ in range(n):
            x = data[torch.randint(EXAMPLES, (BATCH,))].float() / 127.5 - 1
            with torch.no_grad():
                fake = G(torch.randn(BATCH, Z))
            x.requires_grad_(weight > 0)
            real = D(x)
            loss = softplus(-real).mean() + softplus(D(fake)).mean()
            if weight:
                (gradient,) = torch.autograd.grad(real.sum(), x, create_graph=True)
                loss = loss + weight / 2 * gradient.square().sum((1, 2, 3)).mean()
            adam_d.zero_grad()
            loss.backward()
            adam_d.step()
            D.requires_grad_(False)
            loss = softplus(-D(G(torch.randn(BATCH, Z)))).mean()
            adam_g.zero_grad()
            loss.backward()
            adam_g.step()
            D.requires_grad_(True)

    return chunk


def product_chunk() -> Callable[[int], object]:
    """The step's arithmetic as products of square matrices."""
    side = 1024
    a = jnp.full((side, side), 1 / side)
    turns = round(GFLOP * 1e9 / (2 * side**3))
    loop = jax.jit(lambda a, n: lax.fori_loop(0, n * turns, lambda _, y: a @ y, a))
    return lambda n: jax.block_until_ready(loop(a, n))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--r1", type=float, default=0.0, help="weight of R1 on real examples")
    parser.add_argument("--native", action="store_true", help="XLA's own convolutions too, slow on CPU")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each contestant")
    parser.add_argument("--steps", type=int, default=5, help="steps per turn")
    flags = parser.parse_args()
    chunks = {"jaxgan": jax_chunk(conv, conv_transpose, flags.r1), "PyTorch": torch_chunk(flags.r1)}
    chunks["matrix products"] = product_chunk()
    if flags.native:
        chunks["XLA's own"] = jax_chunk(native_conv, native_transpose, flags.r1)
    times: dict[str, list[float]] = {name: [] for name in chunks}
    for chunk in chunks.values():
        chunk(2)
    for _ in range(flags.rounds):
        for name, chunk in chunks.items():
            start = time.process_time()
            chunk(flags.steps)
            times[name].append((time.process_time() - start) / flags.steps * 1e3)
    ours = times["jaxgan"]
    for name, each in times.items():
        ratio = statistics.median(a / b for a, b in zip(ours, each, strict=True))
        print(
            f"{name:16s} {min(each):7.1f} ms of CPU time at least, {statistics.median(each):7.1f} in the median; "
            f"jaxgan / this {min(ours) / min(each):.2f} and {ratio:.2f}"
        )


if __name__ == "__main__":
    main()
