"""The verdicts of `superresolution` and `conditionals`, and the exact conditionals of the latter."""

import numpy as np
import pytest

from experiments import conditionals, superresolution
from jaxgan.metrics import conditional


def scores(**more):
    return {"energy_score": 1.0, "coverage_90": 0.9, "rmse_of_draw": 1.4, "rmse_of_mean": 1.0} | more


def test_exact_conditionals_have_the_known_errors():
    """AR(1) of 8 entries, .2 hidden: RMSE of the mean .5457, of a draw .7718; the pair .6 and .8485; coverage .90."""
    for name, mean, draw in (("AR(1)", 0.5457, 0.7718), ("pair", 0.6, 0.8485)):
        dataset, _ = conditionals.exact_task(name)
        targets = dataset.test[:1000]
        hidden = np.random.default_rng(2).random(targets.shape) < (0.2 if name == "AR(1)" else 2)
        made = {"targets": targets, "scored": hidden}
        found = conditional.evaluate(conditionals.exact_draws(name, dataset, made), **made)
        assert found["rmse_of_mean"] == pytest.approx(mean * np.sqrt(1 + 1 / conditionals.DRAWS), rel=0.06)
        assert found["rmse_of_draw"] == pytest.approx(draw, rel=0.06)
        assert found["coverage_90"] == pytest.approx(0.9, abs=0.03)


def test_exact_draws_of_ring8_are_at_the_two_modes_that_fit():
    """x2 given x1 at sqrt 2: two modes at +-sqrt 2 in equal shares; given x1 = 2, x2 near 0."""
    dataset, _ = conditionals.exact_task("ring8")
    radius = float(np.abs(dataset.mixture.means).max())
    x = np.array([[radius / np.sqrt(2), 0], [radius, 0]])
    draws = conditionals.ring8_draws(dataset, x, np.array([[False, True]] * 2), 1000)
    assert np.mean(draws[:, 0, 1] > 0) == pytest.approx(0.5, abs=0.06)
    np.testing.assert_allclose(np.abs(draws[:, 0, 1]), radius / np.sqrt(2), atol=0.5)
    np.testing.assert_allclose(draws[:, 1, 1], 0, atol=0.5)
    np.testing.assert_array_equal(draws[:, :, 0], np.broadcast_to(x[:, 0], (1000, 2)))


def test_verdicts_of_conditionals():
    runs = {"pair": [{"G": scores(), "exact": scores()}] * 3}
    assert list(conditionals.verdicts(runs).values()) == [True, True, True]
    runs = {"pair": [{"G": scores(energy_score=1.1, coverage_90=0.8, rmse_of_draw=1.0), "exact": scores()}] * 3}
    assert list(conditionals.verdicts(runs).values()) == [False, False, False]
    rng = np.random.default_rng(0)

    def table(g, iterative, mean):
        return [
            {"G": scores(rmse_of_mean=g + e), "iterative": scores(rmse_of_mean=iterative + e, energy_score=1.2 + e),
             "mean": scores(rmse_of_mean=mean)} for e in rng.normal(0, 0.001, 4)
        ]  # fmt: skip

    assert list(conditionals.verdicts({"iris": table(0.2, 0.1, 0.3)}).values()) == [True, True, True, True]
    assert list(conditionals.verdicts({"iris": table(0.1, 0.2, 0.05)}).values())[:2] == [False, False]
    assert None in conditionals.verdicts({"iris": table(0.2, 0.1, 0.3)[:2]}).values()


def test_verdicts_of_superresolution():
    rng = np.random.default_rng(0)

    def runs(psnr, fid, dispersion):
        return [{"psnr": psnr + e, "fid": fid + e, "dispersion": dispersion + e / 10} for e in rng.normal(0, 0.01, 3)]

    rows = {"L1": runs(17, 40, 0.02), "both": runs(16, 20, 0.4), "GAN": runs(15, 10, 0.9)}
    assert set(superresolution.verdicts(rows).values()) == {True}
    rows = {"L1": runs(15, 10, 0.5), "both": runs(16, 20, 0.9), "GAN": runs(17, 40, 0.4)}
    assert set(superresolution.verdicts(rows).values()) == {False}
    assert superresolution.verdicts({name: found[:2] for name, found in rows.items()})["PSNR: L1 > both"] is None
