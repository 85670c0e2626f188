"""The synthetic densities: log p against SciPy, draws against the density, grids that hold all mass."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from jaxgan.data import mixture as mixtures
from jaxgan.data.mixture import HELD_OUT, MIXTURES, TRAIN, Mixture, grid, load, log_density, sample, sample_with_labels
from jaxgan.errors import UserError

UNEVEN = Mixture(
    np.array([0.2, 0.5, 0.3], np.float32),
    np.array([[0.0, 1.0, 2.0], [3.0, -1.0, 0.5], [-2.0, 0.0, 0.0]], np.float32),
    np.array([0.5, 1.0, 0.1], np.float32),
)


def mass_on_grid(mixture: Mixture, cells: int):
    x, dx = grid(mixture, cells)
    return x, dx, jnp.sum(jnp.exp(log_density(mixture, x))) * dx


@pytest.mark.parametrize("mixture", [*MIXTURES.values(), UNEVEN], ids=[*MIXTURES, "uneven"])
def test_log_density_against_scipy(mixture: Mixture):
    x = np.random.default_rng(0).normal(0, 2, (200, mixture.means.shape[1])).astype(np.float32)
    x = np.concatenate([x, mixture.means, mixture.means + mixture.scales[:, None]])
    parts = [
        np.log(np.float64(w)) + multivariate_normal(m, np.float64(s) ** 2).logpdf(x)
        for w, m, s in zip(*mixture, strict=True)
    ]
    np.testing.assert_allclose(log_density(mixture, x), logsumexp(parts, axis=0), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name, cells", [("gaussian", 200), ("bimodal", 200), ("ring8", 256), ("grid25", 200)])
def test_a_grid_holds_all_mass(name: str, cells: int):
    mixture = MIXTURES[name]
    x, dx, mass = jax.jit(mass_on_grid, static_argnums=1)(mixture, cells)
    d = mixture.means.shape[1]
    assert x.shape == (cells,) * d + (d,)
    reach = 6 * mixture.scales[:, None]
    flat = np.asarray(x).reshape(-1, d)
    half = np.ptp(flat, axis=0) / (cells - 1) / 2
    assert np.all(flat.min(0) - half <= (mixture.means - reach).min(0) + 1e-5)
    assert np.all(flat.max(0) + half >= (mixture.means + reach).max(0) - 1e-5)
    assert float(dx) == pytest.approx(np.prod(2 * half), rel=1e-4)
    assert float(mass) == pytest.approx(1, abs=1e-5)


def test_grid_by_hand():
    mixture = Mixture(np.ones(1, np.float32), np.array([[1.0, 10.0]], np.float32), np.array([0.5], np.float32))
    x, dx = grid(mixture, 3)  # [-2, 4] x [7, 13]
    assert float(dx) == pytest.approx(4)
    np.testing.assert_allclose(x[:, 0, 0], [-1, 1, 3])
    np.testing.assert_allclose(x[0, :, 1], [8, 10, 12])


def test_samples_have_the_mixtures_weights_means_and_scales():
    n = 60_000
    x = np.asarray(sample(UNEVEN, jax.random.key(1), n))
    assert x.shape == (n, 3) and x.dtype == np.float32
    belongs = np.argmin(np.linalg.norm((x[:, None] - UNEVEN.means) / UNEVEN.scales[:, None], axis=-1), axis=1)
    for k, (weight, mean, scale) in enumerate(zip(*UNEVEN, strict=True)):
        own = x[belongs == k]
        assert len(own) / n == pytest.approx(weight, abs=0.01)
        np.testing.assert_allclose(own.mean(0), mean, atol=0.02)
        np.testing.assert_allclose(own.std(0), scale, rtol=0.02)


def test_points_are_labeled_with_their_component():
    """By moments, as the components of UNEVEN overlap."""
    x, k = (np.asarray(a) for a in sample_with_labels(UNEVEN, jax.random.key(1), 60_000))
    assert k.shape == (60_000,) and k.dtype == np.int32
    for component, (weight, mean, scale) in enumerate(zip(*UNEVEN, strict=True)):
        own = x[k == component]
        assert len(own) / len(x) == pytest.approx(weight, abs=0.01)
        np.testing.assert_allclose(own.mean(0), mean, atol=0.03)
        np.testing.assert_allclose(own.std(0), scale, rtol=0.02)


def test_sample_depends_on_the_key_alone():
    key = jax.random.key(0)
    np.testing.assert_array_equal(sample(UNEVEN, key, 10), sample(UNEVEN, key, 10))
    assert not np.array_equal(sample(UNEVEN, key, 10), sample(UNEVEN, jax.random.key(1), 10))


def test_named_mixtures():
    assert {name: m.means.shape for name, m in MIXTURES.items()} == {
        "gaussian": (1, 1),
        "bimodal": (2, 1),
        "ring8": (8, 2),
        "ring8_unit": (8, 2),
        "grid25": (25, 2),
    }
    for m in MIXTURES.values():
        assert m.weights.sum() == pytest.approx(1)
    np.testing.assert_allclose(np.linalg.norm(MIXTURES["ring8"].means, axis=1), 2, rtol=1e-6)
    for part in ("means", "scales"):
        np.testing.assert_array_equal(2 * getattr(MIXTURES["ring8_unit"], part), getattr(MIXTURES["ring8"], part))
    assert len(np.unique(MIXTURES["grid25"].means, axis=0)) == 25


def test_load():
    mixture, train, validation, test, labels = load("ring8")
    assert mixture is MIXTURES["ring8"]
    assert train.shape == (TRAIN, 2) and validation.shape == test.shape == (HELD_OUT, 2)
    for x, y in zip((train, validation, test), labels, strict=True):
        assert type(x) is np.ndarray and x.dtype == np.float32
        near = np.argmin(np.linalg.norm(x[:, None] - mixture.means, axis=-1), axis=1)
        assert type(y) is np.ndarray and y.dtype == np.int32
        np.testing.assert_array_equal(y, near)  # the modes are 76 deviations apart
        np.testing.assert_allclose(np.bincount(near) / len(x), 1 / 8, atol=0.015)
    assert len(np.unique(np.concatenate([train, validation, test]), axis=0)) > TRAIN + 2 * HELD_OUT - 10
    for a, b in zip(load("ring8")[1:4], (train, validation, test), strict=True):
        np.testing.assert_array_equal(a, b)


def test_load_does_not_depend_on_the_number_of_devices():
    digest = hashlib.sha256(load("bimodal")[1].tobytes()).hexdigest()
    code = (
        "import hashlib, jax; from jaxgan.data.mixture import load; print(jax.device_count(), "
        "hashlib.sha256(load('bimodal')[1].tobytes()).hexdigest())"
    )
    count = 1 if jax.device_count() > 1 else 3
    env = dict(os.environ, XLA_FLAGS=f"--xla_force_host_platform_device_count={count}")
    root = os.path.dirname(os.path.dirname(os.path.dirname(mixtures.__file__)))
    out = subprocess.run(
        [sys.executable, "-c", code],
        env=env,
        cwd=root,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert out.stdout.split() == [str(count), digest]


def test_bad_input_is_one_sentence():
    with pytest.raises(UserError, match=r"'ring9'.*nearest.*'ring8'"):
        load("ring9")
    with pytest.raises(UserError, match="1 dimensions, the mixture 2"):
        log_density(MIXTURES["ring8"], np.zeros((4, 1), np.float32))
    with pytest.raises(UserError, match="1 or 2 dimensions, not 3"):
        grid(UNEVEN, 10)
    with pytest.raises(UserError, match="not 0"):
        grid(MIXTURES["ring8"], 0)
