"""The same config gives the same trajectory on any number of devices and hosts.

Virtual CPU devices need their flag before JAX starts, so every case is a process of its own.
"""

import os
import socket
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxgan.errors import UserError
from jaxgan.parallel import check_batch, use_deterministic_kernels

ROOT = Path(__file__).parents[1]

# Twenty steps of a GAN with dropout, R1, k = 2 and an average of G, and three of one with batch normalization (whose
# statistics are those of the global minibatch); saves all of both states and their metrics.
PROGRAM = """
import sys
import jax, numpy as np
from tests.helpers import normalized
from jaxgan import distributed, parallel
from jaxgan.algorithm1 import accumulate_steps, zero_metrics
from jaxgan.game.batches import TrainingSet
from jaxgan.config import default, update
from jaxgan.game.build import build
from jaxgan.config.hparams import traced
from jaxgan.networks.layers import DataSpec

common = {
    "train.d_steps": 2, "train.batch_size": 24, "distributed.enabled": len(sys.argv) > 3,
    **({"distributed.coordinator": sys.argv[2], "distributed.processes": 2, "distributed.process": int(sys.argv[3])}
       if len(sys.argv) > 3 else {}),
}
plain = {
    "generator.hidden": (32, 32), "generator.irange": 0.2, "generator.ema.gamma": (1.0,),
    "discriminator.hidden": (16, 16), "discriminator.irange": 0.1, "discriminator.activation": "maxout",
    "discriminator.hidden_keep": 0.5, "objective.penalties.r1": 0.1,
}
for player in ("generator", "discriminator"):
    plain |= {f"optimizer.{player}.name": "paper_sgd", f"optimizer.{player}.momentum_epochs": 3.0}

def shard_map_train_steps(gan):
    # parallel.make_train_steps in the terms of shard_map, of which pmap is made since JAX 0.8.
    mesh, everywhere = jax.sharding.Mesh(np.array(jax.devices()), parallel.AXIS), jax.sharding.PartitionSpec()
    axis_name = parallel.AXIS if jax.device_count() > 1 else None

    def accumulate(hparams, state, sums, data, n):
        return accumulate_steps(gan=gan, hparams=hparams, state=state, sums=sums, data=data, n=n, axis_name=axis_name)

    mapped = jax.shard_map(accumulate, mesh=mesh, in_specs=everywhere, out_specs=everywhere, check_vma=False)
    steps = jax.jit(mapped, donate_argnums=1)
    return lambda hparams, state, data, n: steps(
        hparams, state, parallel.replicate(zero_metrics(gan, hparams, state, data)), data, np.uint32(n)
    )

make_train_steps = shard_map_train_steps if sys.argv[2:] == ["shard_map"] else parallel.make_train_steps
distributed.initialize(update(default(), common))
normalized.register()
images = np.random.default_rng(0).integers(0, 256, (100, 6, 6, 1)).astype(np.uint8)
data, leaves = parallel.replicate(TrainingSet(images)), []
for changes, steps in ((plain, 20), (normalized.NAMES, 3)):
    config = update(default(), common | changes)
    parallel.check_batch(config)
    gan = build(config, DataSpec((6, 6, 1), bounds=(0.0, 1.0), mean=images.mean(axis=0) / 255), len(images))
    hparams = parallel.replicate(traced(config))
    state = parallel.replicate(jax.jit(gan.init)(hparams))
    state, sums = make_train_steps(gan)(hparams, state, data, steps)
    leaves += jax.tree.leaves((state, sums))
if jax.process_index() == 0:
    np.savez(sys.argv[1], devices=jax.device_count(), *[np.asarray(x) for x in leaves])
"""


def start(path, devices, *arguments):
    environment = os.environ | {
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        "JAX_PLATFORMS": "cpu",
    }
    command = [sys.executable, "-c", PROGRAM, str(path), *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)


def finish(*processes):
    """Waits; a hang ends all of them with SIGKILL (JAX catches SIGTERM in a distributed run)."""
    try:
        for process in processes:
            _, errors = process.communicate(timeout=300)
            assert process.returncode == 0, errors[-2000:]
    finally:
        for process in processes:
            process.kill()


@pytest.fixture(scope="module")
def one_device(tmp_path_factory):
    path = tmp_path_factory.mktemp("one") / "state.npz"
    finish(start(path, 1))
    return np.load(path)


def assert_close(path, reference, devices):
    found = np.load(path)
    assert found["devices"] == devices
    names = [name for name in reference.files if name != "devices"]
    assert len(names) > 10
    for name in names:
        np.testing.assert_allclose(found[name], reference[name], atol=1e-5, rtol=1e-5, err_msg=name)


@pytest.mark.parametrize("devices", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_devices_do_not_change_the_trajectory(one_device, tmp_path, devices):
    finish(start(tmp_path / "state.npz", devices))
    assert_close(tmp_path / "state.npz", one_device, devices)


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, 2])
def test_shard_map_gives_the_bits_of_pmap(one_device, tmp_path, devices):
    """So that leaving pmap is a change of parallel.py alone, and of no number."""
    pmap, twin = tmp_path / "pmap.npz", tmp_path / "shard_map.npz"
    if devices > 1:
        finish(start(pmap, devices))
    finish(start(twin, devices, "shard_map"))
    reference, found = one_device if devices == 1 else np.load(pmap), np.load(twin)
    assert reference.files == found.files and found["devices"] == devices
    for name in reference.files:
        np.testing.assert_array_equal(found[name], reference[name], err_msg=name)


@pytest.mark.slow
def test_two_processes_of_two_devices_equal_one(one_device, tmp_path):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{s.getsockname()[1]}"
    finish(*(start(tmp_path / f"{i}.npz", 2, address, i) for i in range(2)))
    assert_close(tmp_path / "0.npz", one_device, 4)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "train.batch_size=8 does not divide over 3 devices; make it a multiple of 3, such as 9"),
        ({"train.batch_size": 9, "train.g_batch_size": 8}, "train.g_batch_size=8 does not divide over 3 devices"),
        ({"train.batch_size": 12, "discriminator.packing": 4, "train.g_batch_size": 24}, None),
        (
            {"train.batch_size": 18, "discriminator.packing": 9},
            "train.batch_size=18 does not divide over 3 devices, in groups of 9; make it a multiple of 27, such as 27",
        ),
    ],
)
def test_a_batch_that_does_not_divide_names_both_numbers(monkeypatch, tiny_config, changes, words):
    monkeypatch.setattr(jax, "device_count", lambda: 3)
    with pytest.raises(UserError, match=words) if words else nullcontext():
        check_batch(tiny_config(**changes))


def test_flags_of_the_user_come_after_those_of_the_deterministic_mode(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_gpu_autotune_level=4")
    use_deterministic_kernels()
    flags = os.environ["XLA_FLAGS"].split()
    assert "--xla_gpu_exclude_nondeterministic_ops=true" in flags and flags[-1] == "--xla_gpu_autotune_level=4"
