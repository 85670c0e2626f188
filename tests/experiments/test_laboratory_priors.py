"""The prior's share in two modes: the map that fits exactly, the verdicts, and a small run."""

import numpy as np
import pytest

from experiments import lipschitz, priors


@pytest.mark.parametrize("m", [1.0, 2.0])
def test_a_linear_map_of_the_fitting_mixture_generates_the_data(m):
    deviation, steepness = priors.fitting_deviation(m), np.hypot(m, 0.5)
    z = priors.mixture_quantiles(deviation)
    assert np.mean(z) == pytest.approx(0, abs=1e-6) and np.mean(z**2) == pytest.approx(1, abs=1e-4)
    found = lipschitz.score(steepness * z, np.full_like(z, steepness), m)
    assert found["TV"] < lipschitz.ROUNDING and found["left"] == pytest.approx(0.5, abs=1e-4)
    assert found["slope"] == pytest.approx({1.0: 1.118, 2.0: 2.062}[m], abs=1e-3)
    wide = priors.mixture_quantiles(priors.WIDE)
    assert (lipschitz.score(steepness * wide, np.full_like(z, 1.0), m)["TV"] > 0.1) == (m == 2.0)


def rows(normal, fitting):
    """Of one game with modes at +-2: (slope, TV) of each run."""
    return [
        {"game": "R3GAN", "m": 2.0, "prior": prior, "seed": seed, "slope": slope, "TV": variation}
        for prior, runs in (("normal", normal), ("fitting mixture", fitting))
        for seed, (slope, variation) in enumerate(runs)
    ]


def test_verdicts():
    steep, tv = (f"R3GAN, m = 2: {what} than with a normal z" for what in ("a less steep G", "a smaller TV"))
    below = "TV below 0.05 with the fitting mixture"
    normal = [(70.0, 0.2), (72.0, 0.21), (75.0, 0.19)]
    found = priors.verdicts(rows(normal, [(2.5, 0.02), (2.4, 0.03), (2.6, 0.02)]))
    assert found == {steep: True, tv: True, below: True}
    found = priors.verdicts(rows(normal, [(2.5, 0.02), (2.4, 0.5), (2.6, 0.02)]))
    assert found == {steep: True, tv: None, below: False}
    assert priors.verdicts(rows([(2.0, 0.1)], [(3.0, 0.01)])) == {steep: None, tv: None, below: True}


def test_a_small_run():
    found = priors.train_runs("R3GAN", "fitting mixture", m=1.0, seeds=2, steps=40)
    assert [row["seed"] for row in found] == [100, 101] and found[0]["TV"] != found[1]["TV"]
    assert len(found[0]["z"]) == len(found[0]["G"]) == lipschitz.SHOWN
    assert np.all(np.diff(found[0]["z"]) > 0) and np.abs(np.median(found[0]["z"])) < 0.5
