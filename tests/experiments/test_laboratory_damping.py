"""The experiment on damping: its closed form, and what decides its verdicts."""

import numpy as np
import pytest

from experiments import damping, lab


@pytest.mark.parametrize(
    ("g", "expected"),
    [
        (0.1, -0.05 + 0.497494j),  # 1 unrolled step of rate .2
        (0.5, -0.25 + 0.433013j),  # 5
        (0.18, -0.09 + 0.491833j),  # alpha .9, beta 5
        (9.0, -0.027864),  # alpha .9, beta .1: overdamped
    ],
)
def test_the_closed_form(g, expected):
    assert damping.closed_form(g)[1] == pytest.approx(expected, abs=1e-6)


def test_the_eigenvalues_of_a_step_are_the_closed_form():
    changes = {damping.STEP + "rate": 0.9, damping.STEP + "damping": 5.0}
    np.testing.assert_allclose(damping.eigenvalues(changes, 0.2), damping.closed_form(0.18), atol=damping.LIMIT)


def runs(modes: dict[str, list[float]]) -> dict[str, dict]:
    """Results of all cells: 8 modes in each of 12 runs but for what `modes` says."""
    names = [cell.name for cell in damping.cells(10, 1)]
    return {name: {"modes": [modes.get(name, [8.0] * 12)]} for name in names}


def test_verdicts():
    good, bad = [{"error": 1e-7}, {"error": 2e-7}], [{"error": 1e-7}, {"error": 1e-5}]
    rng = np.random.default_rng(0)
    far, near, wide = 8 - rng.uniform(2, 3, 12), 8 - rng.uniform(0, 0.2, 12), 8 - rng.uniform(0, 2, 12)
    first, *unrolled, a, b, c = damping.verdicts(
        good, runs({"unrolled 0": [4.0] * 12, "unrolled 5": [4.0] * 12, "latent 0.1": near, "latent 0.5": far,
                    "latent 1": wide})
    ).values()  # fmt: skip
    assert first is True and [u is True for u in unrolled] == [True, False, True]
    assert (a, b, c) == (True, False, None)
    worse = damping.verdicts(bad, runs({"unrolled 1": [4.0] * 12}))
    assert list(worse.values())[:2] == [False, lab.reproduced(False, damping.LIMITS)]


def test_unrolled_runs_get_their_share_of_the_steps():
    steps = {cell.name: cell.config.train.steps for cell in damping.cells(1200, 3)}
    assert [steps[f"unrolled {k}"] for k in (0, 1, 5, 10)] == [1200, 600, 200, 109]
