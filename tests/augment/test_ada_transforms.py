"""All of StyleGAN2-ADA: the pipe against one written out in NumPy, the law of each part, and what must not change."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage, stats

from jaxgan.augment import geometry
from jaxgan.augment.ada import SETS, Ada, AdaSchedule, AdaState
from jaxgan.augment.geometry import (
    SYM6,
    Affine,
    affine_inverse,
    compose,
    moves_inverse,
    resample,
    sample_affine,
)
from jaxgan.augment.transforms import Moves, band_gains, blit, cutout, filter_bank, filter_image, noise, sample_moves
from jaxgan.errors import UserError
from jaxgan.networks.layers import DataSpec

pytestmark = pytest.mark.slow

RGB = DataSpec((8, 8, 3), 0, (-1.0, 1.0))
ONE = jnp.float32(1.0)
RNG = np.random.default_rng(0)
STILL = Affine(ONE, jnp.float32(0.0), ONE, jnp.float32(0.0), jnp.zeros(2))
UNMOVED = Moves(jnp.bool_(False), jnp.int32(0), jnp.zeros(2, jnp.int32))


def at(p: float) -> AdaState:
    return AdaState(jnp.float32(p), jnp.zeros(()), jnp.uint32(0))


def smooth(height: int, width: int, channels: int = 3, sigma: float = 1.5) -> np.ndarray:
    image = ndimage.gaussian_filter(RNG.normal(size=(height, width, channels)), (sigma, sigma, 0), mode="reflect")
    return (image / image.std()).astype(np.float32)


def inverse_by_hand(moves: Moves, affine: Affine) -> np.ndarray:
    """The product of the authors' inverse factors, in their order."""
    rotate = lambda a: np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])  # noqa: E731
    move = lambda x, y: np.array([[1, 0, x], [0, 1, y], [0, 0, 1.0]])  # noqa: E731
    down, right = np.asarray(moves.shift, float)
    scale, before, stretch, after = (float(number) for number in affine[:4])
    return (
        np.diag([1 - 2.0 * bool(moves.mirrored), 1, 1]) @ rotate(np.pi / 2 * int(moves.turns)) @ move(-right, -down)
        @ np.diag([1 / scale, 1 / scale, 1]) @ rotate(before) @ np.diag([1 / stretch, stretch, 1]) @ rotate(after)
        @ move(*-np.asarray(affine.shift, float))
    )  # fmt: skip


def pipe(image: np.ndarray, inverse: np.ndarray) -> np.ndarray:
    """The authors' resampling, step by step: pad, insert zeros, filter, sample, filter, drop every second sample."""
    height, width, channels = image.shape
    taps = np.array(SYM6) / np.sum(SYM6)
    x = np.pad(image.astype(np.float64), ((height - 1,) * 2, (width - 1,) * 2, (0, 0)), mode="reflect")
    for axis in (0, 1):
        zeros = np.zeros(np.array(x.shape) * [2 if i == axis else 1 for i in range(3)])
        zeros[(slice(None),) * axis + (slice(None, None, 2),)] = x
        full = np.apply_along_axis(np.convolve, axis, zeros, 2 * taps)  # padded by 11 on both sides
        x = np.take(full, np.arange(5, 5 + zeros.shape[axis]), axis)  # the authors pad by 6 and 5
    doubled = np.array(x.shape[:2])
    to_pixels = lambda a, b: np.array([[a, 0, b], [0, a, b], [0, 0, 1.0]])  # noqa: E731
    # The matrix at twice the resolution, about the centres of pixels.
    inverse = to_pixels(1, -0.5) @ to_pixels(2, 0) @ inverse @ to_pixels(0.5, 0) @ to_pixels(1, 0.5)
    rows, columns = (np.arange(2 * (side + 6)) + 0.5 - (side + 6) for side in (height, width))
    at = np.stack([*np.meshgrid(columns, rows), np.ones((len(rows), len(columns)))])
    to_x, to_y, _ = np.einsum("ab,bij->aij", inverse, at)
    places = [to_y + doubled[0] / 2 - 0.5, to_x + doubled[1] / 2 - 0.5]
    # One more row and column of zeros: scipy's constant mode does not interpolate towards them.
    x = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    sample = lambda c: ndimage.map_coordinates(x[..., c], [p + 1 for p in places], order=1, mode="constant")  # noqa: E731
    x = np.stack([sample(c) for c in range(channels)], axis=-1)[1:-1, 1:-1]  # the authors drop one, then filter
    for axis in (0, 1):
        x = np.apply_along_axis(lambda a: np.correlate(a, taps, "valid")[::2], axis, x)
    return x


@pytest.mark.parametrize("shape", [(32, 32, 3), (24, 32, 1)])
def test_the_geometric_part_is_the_authors_pipe(shape):
    """With every transform at certainty, and at the median of each draw: uniform .5, normal 0."""
    images = RNG.normal(size=(4, *shape)).astype(np.float32)
    keys = jax.random.split(jax.random.key(5), 3)
    draws = [(sample_moves(key, ONE, shape), sample_affine(key, ONE, shape)) for key in keys]
    draws.append((UNMOVED._replace(mirrored=jnp.bool_(True), turns=jnp.int32(2)), STILL))
    inverses = [inverse_by_hand(*draw) for draw in draws]
    for draw, inverse in zip(draws, inverses, strict=True):
        np.testing.assert_allclose(compose(moves_inverse(draw[0]), affine_inverse(draw[1])), inverse, atol=2e-6)
    result = jax.jit(resample)(images, jnp.asarray(np.stack(inverses), jnp.float32))
    for image, inverse, found in zip(images, inverses, result, strict=True):
        np.testing.assert_allclose(found, pipe(image, np.float32(inverse)), atol=2e-4)
        assert np.corrcoef(np.ravel(found), np.ravel(image))[0, 1] < 0.9


def test_the_identity_and_shifts_by_whole_pixels_are_exact():
    image = RNG.normal(size=(1, 16, 16, 2)).astype(np.float32)
    moves = UNMOVED._replace(shift=jnp.array([3, -2]))
    found = resample(jnp.repeat(image, 2, 0), jnp.stack([jnp.eye(3), moves_inverse(moves)]))
    np.testing.assert_allclose(found[0], image[0], atol=2e-6)
    padded = np.pad(image[0], ((3, 3), (3, 3), (0, 0)), mode="reflect")
    np.testing.assert_allclose(found[1], padded[0:16, 5:21], atol=2e-6)


def test_blits_through_the_pipe_are_those_of_pixels_but_for_the_filter():
    """Same direction, same order; SYM6 is not symmetric, so that a mirror image is off by a few percent."""
    image = smooth(32, 32)
    keys = jax.random.split(jax.random.key(2), 40)
    exact = np.stack([np.asarray(blit(jnp.asarray(image), key, ONE)) for key in keys])
    inverses = jax.vmap(lambda key: moves_inverse(sample_moves(key, ONE, image.shape)))(keys)
    found = resample(jnp.broadcast_to(image, (40, *image.shape)), inverses)
    errors = np.sqrt(np.mean(np.square(found - exact), axis=(1, 2, 3)))
    assert errors.max() < 0.1
    assert (errors < 1e-4).any() and (errors > 1e-3).any()


def test_the_geometric_part_is_linear_and_its_gradient_the_adjoint():
    """<A x, y> = <x, A^T y> in float64, and R1 of D(x) = <w, A x> is |A^T w|^2 / 2."""
    keys = jax.random.split(jax.random.key(1), 20)
    inverses = np.stack([inverse_by_hand(UNMOVED, sample_affine(key, ONE, (9, 12, 2))) for key in keys])
    with jax.enable_x64(True):
        x, y = (jnp.asarray(RNG.normal(size=(20, 9, 12, 2))) for _ in range(2))
        A = jax.jit(lambda x: resample(x, jnp.asarray(inverses)))
        image, adjoint = jax.vjp(A, x)
        back = adjoint(y)[0]
        np.testing.assert_allclose(jnp.vdot(image, y), jnp.vdot(x, back), rtol=1e-12)
        np.testing.assert_allclose(A(2 * x - 3 * y), 2 * A(x) - 3 * A(y), atol=1e-12)
        slope = jax.jit(lambda w: jnp.sum(jnp.square(jax.grad(lambda x: jnp.vdot(A(x), w))(x))) / 2)
        np.testing.assert_allclose(slope(y), jnp.sum(jnp.square(back)) / 2, rtol=1e-12)
        # d R1 / d w = A A^T w: the second derivative, through which a penalty trains D.
        np.testing.assert_allclose(jax.grad(slope)(y), A(back), atol=1e-12)


def test_interpolation_is_that_of_jax():
    """Linear in between, and towards zeros outside of the image."""
    image = np.pad(RNG.normal(size=(9, 7, 2)), ((1, 1), (1, 1), (0, 0))).astype(np.float32)
    rows, columns = np.meshgrid(np.arange(9) * 0.7 + 0.3, np.arange(7) * 0.7 - 0.6, indexing="ij")
    found = geometry._interpolate(jnp.asarray(image), jnp.asarray(rows, jnp.float32), jnp.asarray(columns, jnp.float32))
    scale, translation = jnp.array([1 / 0.7, 1 / 0.7]), jnp.array([-0.45 / 0.7, 0.45 / 0.7])
    expected = jax.image.scale_and_translate(
        image[1:-1, 1:-1], (9, 7, 2), (0, 1), scale, translation, "linear", antialias=False
    )
    inside = (rows >= 0) & (rows <= 8) & (columns >= 0) & (columns <= 6)
    np.testing.assert_allclose(found[inside], expected[inside], atol=1e-5)
    edge = geometry._interpolate(jnp.asarray(image), jnp.array([[2.0, -0.25, 8.5]]), jnp.array([[-0.75, 3.0, 2.0]]))
    np.testing.assert_allclose(edge[0], [0.25 * image[3, 1], 0.75 * image[1, 4], 0.5 * image[9, 3]], atol=1e-6)


# --- Laws -------------------------------------------------------------------------------------------------------------

N = 4000
KEYS = jax.random.split(jax.random.key(7), N)


def affines(p: float, shape=(32, 16, 3)) -> Affine:
    draws = jax.jit(jax.vmap(lambda key: sample_affine(key, jnp.float32(p), shape)))(KEYS)
    return Affine(*(np.asarray(a, np.float64) for a in draws))


def follows(numbers: np.ndarray, law) -> bool:
    return stats.kstest(numbers, law.cdf).pvalue > 1e-3


def test_laws_of_the_affine_maps():
    found = affines(1.0)
    assert follows(np.log2(found.scale), stats.norm(0, 0.2))
    assert follows(np.log2(found.stretch), stats.norm(0, 0.2))
    for angle in (found.rotation_before, found.rotation_after):
        assert follows(angle, stats.uniform(-math.pi, 2 * math.pi))
    assert follows(found.shift[:, 0], stats.norm(0, 0.125 * 16))  # the width
    assert follows(found.shift[:, 1], stats.norm(0, 0.125 * 32))
    numbers = np.column_stack([*found[:4], found.shift])
    assert stats.spearmanr(numbers).pvalue[np.triu_indices(6, 1)].min() > 1e-3
    assert np.mean(found.scale) == pytest.approx(1.009655, abs=4 * 0.14 / math.sqrt(N))


def test_affine_maps_come_with_their_probability():
    """p each; a rotation before or after with p in all, each with 1 - sqrt(1 - p) = .16334 at p = .3."""
    found = affines(0.3)
    happens = {
        "scale": (found.scale != 1, 0.3), "stretch": (found.stretch != 1, 0.3),
        "shift": (found.shift.any(axis=1), 0.3), "both coordinates": (found.shift.all(axis=1), 0.3),
        "before": (found.rotation_before != 0, 0.16334), "after": (found.rotation_after != 0, 0.16334),
        "either": ((found.rotation_before != 0) | (found.rotation_after != 0), 0.3),
    }  # fmt: skip
    for name, (seen, probability) in happens.items():
        assert stats.binomtest(int(seen.sum()), N, probability).pvalue > 1e-3, name
    assert all(np.all(a == b) for a, b in zip(affines(0.0), (1, 0, 1, 0, 0), strict=True))
    more = affines(0.6)  # the same draws, more of which count
    assert np.all(more.scale[found.scale != 1] == found.scale[found.scale != 1])


def test_cutout_covers_half_of_each_side_around_a_uniform_centre():
    """.4375 of each axis on average, .1914 of the area, with probability p."""
    seen = jax.vmap(lambda key: cutout(jnp.ones((32, 16, 1)), key, ONE))(KEYS)
    holes = 1 - np.asarray(seen, np.float64)[..., 0]
    rows, columns = holes.any(axis=2), holes.any(axis=1)
    assert np.array_equal(holes, rows[:, :, None] & columns[:, None])
    for axis in (rows, columns):
        share = axis.mean(axis=1)
        assert share.mean() == pytest.approx(0.4375, abs=4 * share.std() / math.sqrt(N))
        assert share.max() == pytest.approx(0.5, abs=1e-6) and share.min() >= 0.25 - 1 / 16
    areas = holes.mean(axis=(1, 2))
    assert areas.mean() == pytest.approx(0.1914, abs=4 * areas.std() / math.sqrt(N))
    some = np.asarray(jax.vmap(lambda key: cutout(jnp.ones((8, 8, 1)), key, jnp.float32(0.3)))(KEYS))
    assert stats.binomtest(int((some == 0).any(axis=(1, 2, 3)).sum()), N, 0.3).pvalue > 1e-3


def test_noise_has_a_half_normal_deviation():
    zeros = jnp.zeros((16, 16, 3))
    found = np.asarray(jax.vmap(lambda key: noise(zeros, key, ONE))(KEYS[:1000]), np.float64).reshape(1000, -1)
    ratios = found.std(axis=1) / 0.1  # of 768 numbers: 2.6% off, which a test of 1,000 does not see
    assert follows(ratios, stats.halfnorm())
    assert stats.kstest((found / found.std(axis=1, keepdims=True))[::10].ravel(), "norm").pvalue > 1e-3
    some = np.asarray(jax.vmap(lambda key: noise(zeros[:2, :2], key, jnp.float32(0.3)))(KEYS))
    assert stats.binomtest(int(some.any(axis=(1, 2, 3)).sum()), N, 0.3).pvalue > 1e-3


def test_the_filter_bank_sums_to_the_identity():
    bank = filter_bank()
    assert bank.shape == (4, 43)
    np.testing.assert_allclose(bank.sum(axis=0), np.eye(43)[21], atol=1e-12)
    np.testing.assert_allclose(bank.sum(axis=1), [1, 0, 0, 0], atol=1e-12)  # a constant is in the lowest band
    np.testing.assert_allclose(bank, bank[:, ::-1], atol=1e-12)
    # The highest band passes what alternates from pixel to pixel, and no other does.
    np.testing.assert_allclose(bank @ (-1.0) ** np.arange(-21, 22), [0, 0, 0, 1], atol=1e-12)


def test_gains_of_bands_by_hand():
    """Each band alone has the power 10/13, 1/13, 1/13, 1/13 normalized; all doubled is 2 / sqrt(43/13 (16/13)^3)."""
    np.testing.assert_allclose(band_gains(jnp.ones(4)), np.ones(4), rtol=1e-6)
    np.testing.assert_allclose(
        band_gains(jnp.full(4, 2.0)), np.full(4, 2 / math.sqrt(43 / 13 * (16 / 13) ** 3)), rtol=1e-6
    )
    low = math.sqrt(13 / (10 * 9 + 3))
    np.testing.assert_allclose(band_gains(jnp.array([3.0, 1, 1, 1])), [3 * low, low, low, low], rtol=1e-6)


def test_the_filter_amplifies_bands_of_both_axes():
    """White noise has in each pair of bands the power of the product of their gains; borders are reflected."""
    image = RNG.normal(size=(48, 40, 1)).astype(np.float32)
    key = jax.random.key(11)
    normals = jax.random.split(jax.random.split(key)[1], 4)
    amplification = jnp.exp2(jnp.stack([jax.random.normal(k) for k in normals]))
    taps = np.asarray(band_gains(amplification), np.float64) @ filter_bank()
    padded = np.pad(image[..., 0].astype(np.float64), 21, mode="reflect")
    for axis in (0, 1):
        padded = np.apply_along_axis(np.convolve, axis, padded, taps, "valid")
    np.testing.assert_allclose(filter_image(jnp.asarray(image), key, ONE)[..., 0], padded, atol=1e-4)
    small = jnp.asarray(image[:8, :6])  # smaller than the filter: reflected again and again
    assert np.all(np.isfinite(filter_image(small, key, ONE)))
    np.testing.assert_allclose(filter_image(small, key, jnp.float32(0.0)), small, atol=1e-5)


def test_the_filter_comes_with_its_probability_in_each_band():
    impulse = jnp.zeros((44, 44, 1)).at[22, 22].set(1.0)
    found = np.asarray(jax.jit(jax.vmap(lambda key: filter_image(impulse, key, jnp.float32(0.3))[..., 0]))(KEYS[:1000]))
    untouched = np.abs(found - np.asarray(impulse)[..., 0]).max(axis=(1, 2)) < 1e-4
    assert stats.binomtest(int(untouched.sum()), 1000, 0.7**4).pvalue > 1e-3


# --- All of it --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sets", [("geometry",), ("cutout", "noise"), SETS])
@pytest.mark.parametrize("bounds", [(0.0, 1.0), (-1.0, 1.0)])
def test_p_0_is_the_identity_bit_for_bit(sets, bounds):
    data = RGB._replace(bounds=bounds)
    x, keys = jax.random.uniform(KEYS[0], (20, 8, 8, 3)), KEYS[:20]
    for augment, state in ((Ada(data, sets), at(0.0)), (AdaSchedule(data, sets, start=0.0), jnp.uint32(0))):
        assert np.asarray(jax.jit(augment)(x, keys, state)).tobytes() == np.asarray(x).tobytes()
    assert not np.allclose(jax.jit(Ada(data, sets))(x, keys, at(1.0)), x, atol=0.1)


@pytest.mark.parametrize("name", SETS)
def test_each_set_has_a_factor_of_p(name):
    """At 0 it is off; at 1/2 it does at p = .8 what it does at p = .4."""
    x, keys = jax.random.normal(KEYS[0], (60, 8, 8, 3)), KEYS[:60]
    augment = jax.jit(lambda factor, p: Ada(RGB, (name,), **{name: factor})(x, keys, at(p)))
    np.testing.assert_allclose(augment(0.0, 1.0), x, atol=1e-5)
    np.testing.assert_array_equal(augment(0.5, 0.8), augment(1.0, 0.4))
    assert not np.allclose(augment(0.5, 0.8), augment(1.0, 0.8), atol=0.1)
    others = {other: 0.0 for other in SETS if other != name}
    np.testing.assert_allclose(Ada(RGB, (name,), **others)(x, keys, at(0.7)), augment(1.0, 0.7), atol=2e-5)


def test_sets_do_not_change_each_others_random_numbers():
    """Each has its own key: an additional set does not change the random numbers of the others; no key is used
    twice."""
    keys = {name: jax.random.key_data(jax.random.fold_in(KEYS[0], SETS.index(name))).tobytes() for name in SETS}
    assert len(set(keys.values())) == len(SETS)
    assert SETS[:2] == ("blit", "color")  # of recorded runs, which drew them with `split`
    for i, name in enumerate(("blit", "color")):
        assert jax.random.key_data(jax.random.split(KEYS[0])[i]).tobytes() == keys[name]
    x = jax.random.normal(KEYS[0], (10, 8, 8, 3))
    less, more = (jax.jit(Ada(RGB, sets))(x, KEYS[:10], at(1.0)) for sets in (("color",), ("color", "cutout")))
    kept = np.asarray(more) != 0
    np.testing.assert_allclose(np.asarray(more)[kept], np.asarray(less)[kept], atol=1e-6)
    assert not kept.all()


def test_an_image_does_not_depend_on_its_minibatch():
    """Nor on how a minibatch is taken in parts, by `resample` or over devices: the margin is that of every image."""
    data = DataSpec((64, 64, 3), 0, (-1.0, 1.0))  # four images at once
    x, keys = jax.random.normal(KEYS[0], (9, 64, 64, 3)), KEYS[:9]
    augment = jax.jit(Ada(data, SETS))
    whole = augment(x, keys, at(0.8))
    np.testing.assert_allclose(whole[7:8], augment(x[7:8], keys[7:8], at(0.8)), atol=2e-5)
    parts = jax.vmap(lambda x, keys: Ada(data, SETS)(x, keys, at(0.8)))(
        x[:8].reshape(2, 4, 64, 64, 3), keys[:8].reshape(2, 4)
    )
    np.testing.assert_allclose(parts.reshape(8, 64, 64, 3), whole[:8], atol=2e-5)


@pytest.mark.parametrize(
    ("augment", "data", "words"),
    [
        (Ada(sets=("blit", "geometry")), RGB._replace(shape=(8, 6, 3)), "turns square images, not 8x6"),
        (AdaSchedule(sets=("geometry", "color")), RGB._replace(shape=(8, 8, 2)), "1 or 3 channels, not 2"),
        (Ada(sets=("geometry",)), DataSpec((2,)), r"is for images, but the data are of shape \(2,\)"),
        (Ada(sets=("geometry",)), RGB._replace(bounds=None), "known range"),
        (Ada(sets=("rotation",)), RGB, "must be one of blit, color, geometry"),
    ],
)
def test_what_is_refused(augment, data, words):
    with pytest.raises(UserError, match=words):
        dataclasses.replace(augment, data=data).check()


def test_images_that_are_not_square_are_resampled():
    """Rotations do not need square images: a quarter turn moves a pixel above the centre to its side."""
    image = jnp.zeros((1, 24, 32, 1)).at[0, 6:9, 15:17].set(1.0)
    turned = resample(image, affine_inverse(STILL._replace(rotation_before=jnp.float32(math.pi / 2)))[None])[0, :, :, 0]
    row, column = np.unravel_index(int(jnp.argmax(turned)), turned.shape)
    assert row in (11, 12) and column in (10, 11)
