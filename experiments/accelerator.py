"""What one accelerator does with jaxgan: ceilings, single layers, each recipe at each precision, populations.

    python -m experiments.accelerator [--minutes=10] [--out=runs/accelerator] [--data=DIR] [--quick]

The measurements are taken in order of value until the minutes are over. Each is one line of results.jsonl in --out,
written as soon as it is known; the same command again takes those that are missing. Training data are random bytes, as
no time depends on their values; with --data=DIR, a recipe trains on `train` in `DIR/NAME.npz` where there is one.

1. ceilings: products of matrices at each precision, a copy of memory, and loops of no work.
2. layers: 1x1 convolutions as convolutions and as matrix products, and grouped 3x3 convolutions with their gradients,
   at the shapes of R3GAN. Decides whether 1x1 convolutions should be lowered to products.
3. recipes: milliseconds per step, images per second, compile time and memory, and the FLOP/s by `flops`, also as a
   fraction of the ceiling at that precision.
4. populations: members of DCGAN in one program (`vmap`), compared with one.

`flops` counts the products and convolutions in a program's jaxpr, 2 per multiplication and addition: XLA's own count
leaves out convolutions that a library computes.

Expected on an H100 or H200: `high` at least 3 times as fast as `highest` and bfloat16 at least 1.3 times as fast as
`high` on sngan_cifar10; r3gan_cifar10 at least 500 images/s in bfloat16; dcgan_mnist at least 1,000 steps/s; 32 DCGANs
at most 6 times the time of one. Not measured yet; on a CPU with --quick it only shows that the command works.
"""

from __future__ import annotations

import json
import math
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from experiments import lab
from jaxgan import parallel
from jaxgan.algorithm1 import train_step
from jaxgan.config import files, get, update
from jaxgan.config.hparams import traced
from jaxgan.errors import UserError
from jaxgan.game.batches import TrainingSet
from jaxgan.game.build import build
from jaxgan.networks.convolution import conv
from jaxgan.networks.layers import DataSpec
from jaxgan.networks.mixed_precision import bfloat16_above

PRECISIONS = ("bfloat16", "high", "highest")
RECIPES = {  # name: shape of an example, in order of value
    "sngan_cifar10": (32, 32, 3),
    "dcgan_mnist": (32, 32, 1),
    "r3gan_cifar10": (32, 32, 3),
    "wgan_gp_mnist": (28, 28, 1),
    "r3gan_stacked_mnist": (32, 32, 3),
    "wgan_gp_cifar10": (32, 32, 3),
    "mnist": (784,),
}
# Parts of a minibatch whose activations fit into the memory of one card.
CHANGES: dict[str, dict[str, Any]] = {"r3gan_cifar10": {"train.accumulate": 4}}
MEMBERS = (1, 8, 32, 128, 256)
EXAMPLES = 2048


class Scale(NamedTuple):
    """How large the measurements are."""

    side: int = 8192  # of the square matrices
    batch: int = 256  # of the layers
    width: int = 768  # channels of the layers
    recipes: tuple[str, ...] = tuple(RECIPES)
    members: tuple[int, ...] = MEMBERS
    repeats: int = 5
    seconds: float = 1.0  # of a repetition


QUICK = Scale(64, 2, 16, ("mnist",), (1, 2), 2, 0.01)


def flops(function: Callable, *args: Any) -> float:
    """Floating-point operations of the products and convolutions that function(*args) takes; loops count every turn.

    Branches count as their longest, and loops of unknown length as one turn.
    """
    return _flops(jax.make_jaxpr(function)(*args).jaxpr)


def _flops(jaxpr) -> float:
    total = 0.0
    for equation in jaxpr.eqns:
        p, name = equation.params, equation.primitive.name
        if name == "dot_general":
            (contracted, _), _ = p["dimension_numbers"]
            a, out = equation.invars[0].aval, equation.outvars[0].aval
            total += 2.0 * out.size * math.prod(a.shape[i] for i in contracted)
        elif name in ("convolution", "convolution_images", "convolution_kernel"):
            kernel = equation.outvars[0] if name == "convolution_kernel" else equation.invars[1]
            n = equation.invars[0].aval.shape[0]
            total += 2.0 * n * math.prod(p["geometry"].points) * kernel.aval.size
        elif name == "cond":
            total += max(_flops(branch.jaxpr) for branch in p["branches"])
        else:
            turns = p.get("length", 1) if name == "scan" else 1
            for inner in jax.tree.leaves(p, is_leaf=lambda x: hasattr(x, "eqns") or hasattr(x, "jaxpr")):
                inner = getattr(inner, "jaxpr", inner)
                if hasattr(inner, "eqns"):
                    total += turns * _flops(inner)
    return total


def seconds_per_call(call: Callable[[], Any], scale: Scale) -> float:
    """The median over repetitions of as many calls as take `scale.seconds`, after a first call, which compiles."""
    jax.block_until_ready(call())
    start = time.perf_counter()
    jax.block_until_ready(call())
    calls = max(1, int(scale.seconds / max(time.perf_counter() - start, 1e-6)))

    def repetition() -> float:
        start = time.perf_counter()
        for _ in range(calls):
            out = call()
        jax.block_until_ready(out)
        return (time.perf_counter() - start) / calls

    return statistics.median(repetition() for _ in range(scale.repeats))


def operands(precision: str, *shapes: tuple[int, ...]) -> tuple[list[jax.Array], str | None]:
    """Random arrays in the dtype of a precision, and the name that JAX has for it."""
    keys = jax.random.split(jax.random.key(0), len(shapes))
    dtype = jnp.bfloat16 if precision == "bfloat16" else jnp.float32
    return [jax.random.normal(k, s, dtype) for k, s in zip(keys, shapes, strict=True)], (
        None if precision == "bfloat16" else precision
    )


def ceiling(precision: str, scale: Scale) -> dict[str, float]:
    (a, b), name = operands(precision, (scale.side,) * 2, (scale.side,) * 2)
    seconds = seconds_per_call(partial(jax.jit(partial(jnp.matmul, precision=name)), a, b), scale)
    return {"ms": 1e3 * seconds, "tflops": 2e-12 * scale.side**3 / seconds}


def copy(scale: Scale) -> dict[str, float]:
    x = jnp.ones((16 * scale.side**2,), jnp.float32)
    seconds = seconds_per_call(partial(jax.jit(lambda x: x + 1), x), scale)
    return {"ms": 1e3 * seconds, "gb_per_second": 2e-9 * x.nbytes / seconds}


def loop(fixed: bool, scale: Scale) -> dict[str, float]:
    """Microseconds per turn of an empty loop whose length is known when it is compiled, or is not."""
    n, body = 1000, lambda i, x: x * 0.5 + i
    if fixed:
        call = partial(jax.jit(lambda x: lax.fori_loop(0, n, body, x)), jnp.float32(0))
    else:
        call = partial(jax.jit(lambda n, x: lax.fori_loop(0, n, body, x)), n, jnp.float32(0))
    return {"us": 1e6 * seconds_per_call(call, scale) / n}


def layer(kind: str, precision: str, scale: Scale) -> dict[str, float]:
    """Milliseconds of a layer forward, and forward with both gradients."""
    size, groups = (3, max(1, 2 * scale.width // 16)) if kind == "grouped" else (1, 1)
    inputs = 2 * scale.width if kind == "grouped" else scale.width
    x_shape, kernel_shape = (scale.batch, 32, 32, inputs), (size, size, inputs // groups, 2 * scale.width)
    x, kernel = operands("highest", x_shape, kernel_shape)[0]

    def apply(x, kernel):
        grid = 4 if precision == "bfloat16" else math.inf
        with jax.default_matmul_precision("high" if grid == 4 else precision), bfloat16_above(grid):
            if kind != "product":
                return conv(x, kernel, strides=(1, 1), padding="SAME", feature_groups=groups)
            dtype = jnp.bfloat16 if grid == 4 else jnp.float32
            return jnp.matmul(x.astype(dtype), kernel[0, 0].astype(dtype)).astype(jnp.float32)

    gradient = jax.jit(jax.grad(lambda x, kernel: jnp.sum(jnp.square(apply(x, kernel))), (0, 1)))
    forward = seconds_per_call(partial(jax.jit(apply), x, kernel), scale)
    both = seconds_per_call(partial(gradient, x, kernel), scale)
    count = flops(apply, x, kernel)
    return {"forward_ms": 1e3 * forward, "gradient_ms": 1e3 * both, "tflops": 3e-12 * count / both}


def examples(name: str, shape: tuple[int, ...], folder: Path | None) -> np.ndarray:
    """Training examples of a recipe, uint8 [n, *shape]."""
    if folder is not None and (folder / f"{name}.npz").exists():
        x = np.load(folder / f"{name}.npz")["train"]
        if x.shape[1:] != shape or x.dtype != np.uint8:
            raise UserError(f"train in {folder / name}.npz is {x.dtype} {x.shape}; {name} takes uint8 [n, *{shape}].")
        return x
    return np.random.default_rng(0).integers(0, 256, (EXAMPLES, *shape), dtype=np.uint8)


class Trained(NamedTuple):
    """A recipe, ready to train."""

    config: Any
    gan: Any
    hparams: dict[str, Any]
    data: TrainingSet


def recipe(name: str, precision: str, folder: Path | None) -> Trained:
    config = update(files.read(name), {"train.precision": precision, **CHANGES.get(name, {})})
    x = examples(name, RECIPES[name], folder)
    bounds = None if get(config, "data.gcn") else (float(get(config, "data.low")), 1.0)
    spec = DataSpec(RECIPES[name], bounds=bounds, mean=np.full(RECIPES[name], sum(bounds or (0, 0)) / 2))
    return Trained(config, build(config, spec, len(x)), traced(config), TrainingSet(jnp.asarray(x)))


def time_recipe(name: str, precision: str, folder: Path | None, scale: Scale) -> dict[str, float]:
    config, gan, hparams, data = recipe(name, precision, folder)
    hparams, data = parallel.replicate((hparams, data))
    state = parallel.replicate(jax.jit(gan.init)(hparams))
    count = flops(lambda h, s, d: train_step(gan=gan, hparams=h, state=s, data=d), hparams, state, data)
    steps = parallel.make_train_steps(gan)
    start = time.perf_counter()
    state, sums = jax.block_until_ready(steps(hparams, state, data, 1))
    compiled = time.perf_counter() - start

    def call():
        nonlocal state, sums
        state, sums = steps(hparams, state, data, turns, sums)
        return sums

    turns = 1
    turns = max(1, int(scale.seconds / seconds_per_call(call, scale._replace(repeats=1, seconds=0))))
    seconds = seconds_per_call(call, scale._replace(seconds=0)) / turns
    memory = jax.local_devices()[0].memory_stats() or {}
    return {
        "ms_per_step": 1e3 * seconds,
        "steps_per_second": 1 / seconds,
        "images_per_second": config.train.batch_size / seconds,
        "compile_seconds": compiled,
        "gflop": 1e-9 * count,
        "tflops": 1e-12 * count / seconds,
        "peak_gb": 1e-9 * memory.get("peak_bytes_in_use", math.nan),
        "finite": float(all(bool(jnp.isfinite(x)) for x in sums.values())),
    }


def population(name: str, members: int, scale: Scale) -> dict[str, float]:
    """Milliseconds of a step of all members of a population in one program."""
    _, gan, hparams, data = recipe(name, "highest", None)
    each = {**hparams, "seed": jnp.arange(members, dtype=jnp.uint32)}
    axes = {key: 0 if key == "seed" else None for key in hparams}
    state = jax.jit(jax.vmap(gan.init, (axes,)))(each)
    train = lambda h, s: train_step(gan=gan, hparams=h, state=s, data=data)[0]  # noqa: E731
    step = jax.jit(jax.vmap(train, (axes, 0)), donate_argnums=1)

    def call():
        nonlocal state
        state = step(each, state)
        return state

    return {"ms_per_step": 1e3 * seconds_per_call(call, scale)}


def measurements(scale: Scale, folder: Path | None) -> Iterator[tuple[str, Callable[[], dict[str, float]]]]:
    """Names and measurements, in order of value."""
    for precision in PRECISIONS:
        yield f"ceiling {precision}", partial(ceiling, precision, scale)
    yield "copy", partial(copy, scale)
    for fixed in (True, False):
        yield f"loop of {'fixed' if fixed else 'traced'} length", partial(loop, fixed, scale)
    for kind in ("convolution", "product", "grouped"):
        for precision in PRECISIONS:
            yield f"layer {kind} {precision}", partial(layer, kind, precision, scale)
    for name in scale.recipes:
        for precision in PRECISIONS:
            yield f"recipe {name} {precision}", partial(time_recipe, name, precision, folder, scale)
    name = "dcgan_mnist" if "dcgan_mnist" in scale.recipes else scale.recipes[0]
    for members in scale.members:
        yield f"population {name} {members}", partial(population, name, members, scale)


def run(out: Path, minutes: float, scale: Scale, folder: Path | None = None) -> list[dict[str, Any]]:
    """Takes the measurements that `out` lacks, until the minutes are over; returns all that it has then."""
    out.mkdir(parents=True, exist_ok=True)
    path, end = out / "results.jsonl", time.monotonic() + 60 * minutes
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    rows = [json.loads(line) for line in lines if line.endswith("\n")]  # the last one may have been cut off
    device = jax.devices()[0].device_kind
    done = {row["name"] for row in rows if row["device"] == device}
    with path.open("w") as file:
        file.writelines(line for line in lines if line.endswith("\n"))
        for name, measure in measurements(scale, folder):
            if name in done:
                continue
            if time.monotonic() >= end:
                print(f"{minutes:g} minutes are over; the same command measures the rest, from {name} on", flush=True)
                break
            found: dict[str, Any]
            try:
                found = measure()
            except (jax.errors.JaxRuntimeError, UserError) as error:  # out of memory, most likely: go on with the next
                found = {"error": f"{error}".partition("\n")[0][:200]}
            if (
                top := next((r for r in rows if r["name"] == f"ceiling {name.split()[-1]}"), None)
            ) and "tflops" in found:
                found["of_ceiling"] = found["tflops"] / top["tflops"]
            rows.append({"name": name, "device": device, "jax": jax.__version__, **found})
            file.write(json.dumps(rows[-1]) + "\n")
            file.flush()
            print(
                name, *(f"{k}={v:.4g}" if isinstance(v, float) else f"{k}: {v}" for k, v in found.items()), flush=True
            )
    return rows


def main() -> None:
    parser = lab.make_parser("accelerator", __doc__, quick="tiny sizes, to try the command on a CPU")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--data", type=Path, help="folder of NAME.npz files with images `train` for the recipes")
    flags = parser.parse_args()
    run(flags.out, flags.minutes, QUICK if flags.quick else Scale(), flags.data)


if __name__ == "__main__":
    lab.run(main)
