"""The law of each random part of DiffAugment and of ADA: measured on many images, against the published distribution.

What happened to an image is read off it: its greys and its colours (what is left of a pixel less the mean of its
channels) are changed by different numbers. Draws are fixed; each test would fail once in a thousand choices of them.
"""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxgan.augment.ada import Ada, AdaState
from jaxgan.augment.diffaugment import DiffAugment
from jaxgan.networks.layers import DataSpec

N = 2000
RGB = DataSpec((8, 8, 3), 0, (-1.0, 1.0))
KEYS = jax.random.split(jax.random.key(7), N)
IMAGE = np.random.default_rng(1).uniform(-1, 1, (8, 8, 3)).astype(np.float32)


def changed(augment, image: np.ndarray, state=()) -> np.ndarray:
    """[N, H, W, C] float64: the image N times, changed independently."""
    many = jnp.broadcast_to(image, (N, *image.shape))
    return np.asarray(jax.jit(augment)(many, KEYS, state), np.float64)


def ada(image: np.ndarray, p: float, kind: str) -> np.ndarray:
    data = RGB._replace(shape=image.shape)
    return changed(Ada(data, (kind,)), image, AdaState(jnp.float32(p), jnp.zeros(()), jnp.uint32(0)))


def parts(images: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean [n], greys less the mean [n, 64], and colours as complex numbers in the plane across grey [n, 64]."""
    pixels = images.reshape(len(images), -1, 3)
    mean = pixels.mean((1, 2))
    greys = pixels.mean(2) - mean[:, None]
    # Two orthonormal directions across (1, 1, 1): a turn about the grey axis is a turn of the complex numbers.
    across = pixels @ (np.array([2, -1, -1]) / np.sqrt(6)) + 1j * (pixels @ (np.array([0, 1, -1]) / np.sqrt(2)))
    return mean, greys, across


def ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The factors [n] with which b [1, 64] becomes a [n, 64]; that it does is asserted."""
    factor = (a @ b[0].conj()) / (b[0] @ b[0].conj())
    np.testing.assert_allclose(a, factor[:, None] * b, atol=2e-5)
    return factor


def follows(numbers: np.ndarray, law) -> bool:
    """Whether a Kolmogorov-Smirnov test passes."""
    return stats.kstest(numbers, law.cdf).pvalue > 1e-3


def independent(*numbers: np.ndarray) -> bool:
    """Whether ranks are uncorrelated."""
    return stats.spearmanr(np.stack(numbers, axis=1)).pvalue[np.triu_indices(len(numbers), 1)].min() > 1e-3


def evenly(found: np.ndarray, expected: dict[bytes, float]) -> bool:
    """Whether images [n, ...] come as often as they should: chi-squared, {image: probability}."""
    counts = dict.fromkeys(expected, 0)
    for image in found:
        counts[image.tobytes()] += 1  # a KeyError: an image that should not come at all
    frequencies = np.array(list(expected.values())) * len(found)
    return stats.chisquare(list(counts.values()), frequencies).pvalue > 1e-3


def test_diffaugments_colors():
    """Brightness U(-.5, .5), saturation U(0, 2) of the colours alone, contrast U(.5, 1.5) of all (2006.10738)."""
    (mean,), *before = parts(IMAGE[None].astype(np.float64))
    after_mean, *after = parts(changed(DiffAugment(RGB, ("color",)), IMAGE))
    contrast, colours = (ratio(a, b) for a, b in zip(after, before, strict=True))
    assert np.abs(colours.imag).max() < 1e-5  # the hue stays
    brightness, saturation = after_mean - mean, colours.real / contrast
    assert follows(brightness, stats.uniform(-0.5, 1))
    assert follows(contrast, stats.uniform(0.5, 1))
    assert follows(saturation, stats.uniform(0, 2))
    assert independent(brightness, saturation, contrast)


def test_diffaugments_shifts():
    """By -1, 0 or 1 of 8 pixels in each direction, all nine equally likely, zeros where nothing comes in."""
    padded = np.pad(IMAGE, ((1, 1), (1, 1), (0, 0)))
    expected = {padded[i : i + 8, j : j + 8].astype(np.float64).tobytes(): 1 / 9 for i, j in np.ndindex(3, 3)}
    found = changed(DiffAugment(RGB, ("translation",)), IMAGE)
    assert evenly(found, expected)


def test_diffaugments_cutouts():
    """4x4 of 8x8 pixels, what of them lies inside, from row and column -2, ..., 6, all equally likely."""
    found = changed(DiffAugment(RGB, ("cutout",)), np.ones((8, 8, 3), np.float32))
    expected = {}
    for row, column in product(range(-2, 7), repeat=2):
        image = np.ones((8, 8, 3))
        image[max(row, 0) : row + 4, max(column, 0) : column + 4] = 0
        expected[image.tobytes()] = 1 / 81
    assert len(expected) == 81
    assert evenly(found, expected)


def test_adas_colors():
    """Brightness N(0, .2), contrast 2^N(0, .5), a luma flip in half, hue U(-pi, pi), saturation 2^N(0, 1) (2006.06676).

    Greys are contrast (times -1 where luma is flipped) times themselves; colours are turned, and contrast times
    saturation as large.
    """
    (mean,), *before = parts(IMAGE[None].astype(np.float64))
    after_mean, *after = parts(ada(IMAGE, 1.0, "color"))
    greys, colours = (ratio(a, b) for a, b in zip(after, before, strict=True))
    contrast = np.abs(greys)
    numbers = {
        "brightness": (after_mean / greys - mean, stats.norm(0, 0.2)),
        "contrast": (np.log2(contrast), stats.norm(0, 0.5)),
        "saturation": (np.log2(np.abs(colours) / contrast), stats.norm(0, 1)),
        "hue": (np.angle(colours), stats.uniform(-np.pi, 2 * np.pi)),
    }
    for name, (found, law) in numbers.items():
        assert follows(found, law), name
    assert stats.binomtest(int(np.sum(greys < 0)), N).pvalue > 1e-3
    assert independent(*(found for found, _ in numbers.values()), greys < 0)


@pytest.mark.parametrize("channels", [1, 3])
def test_adas_colors_come_with_their_probability(channels):
    """Each apart from the others with probability p; a luma flip, which is a coin besides, with p / 2."""
    p, image = 0.3, np.ascontiguousarray(IMAGE[:, :, :channels])
    found = ada(image, p, "color")
    if channels == 1:
        inputs, outputs = image.reshape(-1).astype(np.float64), found.reshape(N, -1)
        greys = (outputs - outputs.mean(1, keepdims=True)) @ (inputs - inputs.mean()) / np.var(inputs) / 64
        brightness, colours = outputs.mean(1) / greys - inputs.mean(), None
    else:
        (mean,), *before = parts(image[None].astype(np.float64))
        after_mean, *after = parts(found)
        greys, colours = (ratio(a, b) for a, b in zip(after, before, strict=True))
        brightness = after_mean / greys - mean
    happens = {
        "brightness": (np.abs(brightness) > 1e-5, p),
        "contrast": (np.abs(np.abs(greys) - 1) > 1e-5, p),
        "luma flip": (greys < 0, p / 2),
    }
    if colours is not None:
        happens["hue"] = (np.abs(np.angle(colours)) > 1e-5, p)
        happens["saturation"] = (np.abs(np.abs(colours) / np.abs(greys) - 1) > 1e-5, p)
    for name, (seen, probability) in happens.items():
        assert stats.binomtest(int(seen.sum()), N, probability).pvalue > 1e-3, name
    assert independent(*(seen for seen, _ in happens.values()))


@pytest.mark.parametrize("p", [0.4, 1.0])
def test_adas_blits(p):
    """A mirror image with p / 2, one of four quarter turns with p, a shift of both axes by round(U(-1, 1)) with p."""
    image, expected = IMAGE[:, :, :1], {}
    for mirrored, turns, down, right in product(range(2), range(4), (-1, 0, 1), (-1, 0, 1)):
        moved = np.rot90(image[:, ::-1] if mirrored else image, turns)
        padded = np.pad(moved, ((1, 1), (1, 1), (0, 0)), mode="reflect")
        moved = padded[1 - down : 9 - down, 1 - right : 9 - right]
        shift = p * np.prod([0.5 if step == 0 else 0.25 for step in (down, right)]) + (1 - p) * (down == right == 0)
        chance = (p / 2 if mirrored else 1 - p / 2) * (p / 4 + (1 - p) * (turns == 0)) * shift
        expected[np.ascontiguousarray(moved, np.float64).tobytes()] = chance
    assert len(expected) == 72
    assert evenly(ada(image, p, "blit"), expected)
