"""DiffAugment, ADA and instance noise: exact maps, published ranges, the controller's arithmetic."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.augment.ada import Ada, AdaSchedule, AdaState
from jaxgan.augment.diffaugment import DiffAugment
from jaxgan.augment.instance_noise import InstanceNoise
from jaxgan.augment.transforms import blit, color
from jaxgan.errors import UserError
from jaxgan.networks.layers import DataSpec

pytestmark = pytest.mark.slow

RGB = DataSpec((8, 8, 3), 0, (-1.0, 1.0))
KEYS = jax.random.split(jax.random.key(0), 400)
X = jax.random.uniform(jax.random.key(1), (400, 8, 8, 3), minval=-1.0, maxval=1.0)


def augmented(policy: str, x=X) -> np.ndarray:
    return np.asarray(DiffAugment(RGB, (policy,))(x, KEYS, ()))


def test_translation_moves_the_image_by_up_to_an_eighth_and_fills_with_zeros():
    marks = jnp.zeros((400, 8, 8, 3)).at[:, 4, 4].set(1.0)
    moved = augmented("translation", marks)[..., 0]
    places = {tuple(np.argwhere(image)[0]) for image in moved}
    assert places == {(row, column) for row in (3, 4, 5) for column in (3, 4, 5)}
    ones = augmented("translation", jnp.ones((400, 8, 8, 3)))
    assert set(np.unique(ones)) == {0.0, 1.0}


def test_cutout_is_half_of_each_side_or_less_at_the_border():
    holes = (augmented("cutout", jnp.ones((400, 8, 8, 3)))[..., 0] == 0).sum((1, 2))
    assert holes.max() == 16
    assert holes.min() == 4  # its centre in a corner
    assert (holes == 16).mean() == pytest.approx((5 / 9) ** 2, abs=0.08)


def test_color_has_the_published_ranges():
    grey = augmented("color", jnp.zeros((400, 8, 8, 3)))
    assert np.abs(grey - grey[:, :1, :1, :1]).max() < 1e-6
    assert -0.5 <= grey.min() < -0.45 and 0.45 < grey.max() <= 0.5  # brightness alone
    changed = augmented("color") - augmented("color").mean((1, 2, 3), keepdims=True)
    ratio = changed.mean(3).std((1, 2)) / np.asarray(X).mean(3).std((1, 2))  # contrast alone
    assert 0.5 <= ratio.min() < 0.53 and 1.47 < ratio.max() <= 1.5001


def test_ada_at_0_is_the_identity_and_at_1_a_permutation_of_pixels():
    still = Ada(RGB)(X, KEYS, Ada(RGB).init())
    np.testing.assert_allclose(still, X, atol=1e-6)
    image = jnp.arange(64.0).reshape(8, 8, 1)
    seen = np.stack([np.asarray(blit(image, key, jnp.asarray(1.0))) for key in KEYS[:60]])
    assert set(np.unique(seen)) <= set(range(64))
    inner = seen[:, 2:6, 2:6, 0]  # what no reflected border reaches
    steps = np.abs(np.diff(inner, axis=2)).reshape(60, -1)
    assert all(set(np.unique(row)) <= {1.0} or set(np.unique(row)) <= {8.0} for row in steps)
    assert {1.0, 8.0} == set(np.unique(steps))  # quarter turns happen


def test_ada_colors_keep_grey_grey_and_luma_flips_negate():
    grey = jnp.linspace(-1, 1, 64).reshape(8, 8, 1)
    changed = np.stack([np.asarray(color(jnp.repeat(grey, 3, 2), key, jnp.asarray(1.0))) for key in KEYS[:50]])
    assert np.ptp(changed, axis=3).max() < 1e-5
    slopes = changed[:, -1, -1, 0] - changed[:, 0, 0, 0]
    assert (slopes < 0).any() and (slopes > 0).any()
    single = np.stack([np.asarray(color(grey, key, jnp.asarray(1.0))) for key in KEYS[:50]])
    np.testing.assert_allclose(single[..., 0], changed[..., 0], atol=1e-5)  # the averaged rows of the matrix


def test_the_controller_moves_p_every_interval_by_the_published_step():
    ada, state = Ada(RGB, interval=4, images=1000.0), Ada(RGB).init()
    for sign in (1.0, 1.0, 1.0, 1.0):
        assert float(state.p) == 0
        state = ada.update(state, jnp.full((50,), sign))
    assert float(state.p) == pytest.approx(4 * 50 / 1000)
    for _ in range(4):  # mean sign 0 is below .6
        state = ada.update(state, jnp.array([1.0, -1.0] * 25))
    assert float(state.p) == pytest.approx(0, abs=1e-7)
    state = AdaState(jnp.asarray(0.5), jnp.zeros(()), jnp.uint32(0))
    for _ in range(4):  # a mean sign of .3 is below .6, though four of them add up to more
        state = ada.update(state, jnp.array([1.0] * 13 + [-1.0] * 7))
    assert float(state.p) == pytest.approx(0.5 - 4 * 20 / 1000)
    assert float(ada.update(AdaState(jnp.zeros(()), jnp.asarray(-3.0), jnp.uint32(3)), jnp.full((50,), -1.0)).p) == 0


def test_schedules_of_noise_and_of_p():
    noise = InstanceNoise(RGB, deviation=0.3, steps=10.0)
    spread = [float(jnp.std(noise(X, KEYS, jnp.uint32(t)) - X)) for t in (0, 5, 10, 20)]
    np.testing.assert_allclose(spread, [0.3, 0.15, 0, 0], atol=5e-3)
    ada = AdaSchedule(RGB, start=0.0, final=1.0, steps=10.0)
    same = [float(jnp.mean(jnp.all(ada(X, KEYS, jnp.uint32(t)) == X, axis=(1, 2, 3)))) for t in (0, 5, 10)]
    assert same[0] > 0.9 > same[1] > same[2]


@pytest.mark.parametrize(
    ("augment", "data", "words"),
    [
        (DiffAugment(policy=("colour",)), RGB, "did you mean|must be one of"),
        (DiffAugment(), RGB._replace(bounds=None), "known range"),
        (Ada(), RGB._replace(shape=(8, 6, 3)), "square"),
        (Ada(), RGB._replace(shape=(8, 8, 2)), "1 or 3 channels"),
        (Ada(), DataSpec((2,)), "images"),
    ],
)
def test_what_is_refused(augment, data, words):
    import dataclasses

    with pytest.raises(UserError, match=words):
        dataclasses.replace(augment, data=data).check()
