"""R1 by finite differences: the verdicts from made-up results, and the derived bias at a D with a known Hessian."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import finite_differences as experiment

NAMES = (
    "the derived bias",
    "a relative deviation of sqrt 2",
    "faster than R1",
    "less memory than R1",
    "deviation .01: slopes in float32",
    "deviation .01: slopes with a bfloat16 logit",
    "trains as R1 does",
)


def made(*, mean=1.0, variation=1.41, ms=(5.0, 5.1, 4.9), mb=50.0, bfloat16=1.5, jsd=(0.1, 0.11, 0.12)):
    """A result in which R1 takes 10 ms and 60 MB, and has a JSD of .1, .11 and .12 nats."""
    at = experiment.DEVIATIONS.index(0.01)
    ratios = [1.0] * at + [bfloat16] + [1.0] * (len(experiment.DEVIATIONS) - at - 1)
    same = {"high_quality": [0.9, 0.91, 0.92]}
    return {
        "bias": [{"mean": mean, "predicted": 1.001, "error": 0.001, "r1": 1.1, "deviation": 0.05}],
        "variation": variation,
        "cost": {
            "none": {"ms": [3.0] * 3, "MB": 40.0},
            "R1": {"ms": [10.0, 10.1, 9.9], "MB": 60.0},
            "finite differences": {"ms": list(ms), "MB": mb},
        },
        "rounding": {"float32": [1.0] * len(ratios), "bfloat16": ratios},
        "scores": {"R1": same | {"jsd": [0.1, 0.11, 0.12]}, "finite differences": same | {"jsd": list(jsd)}},
    }


def test_verdicts():
    assert experiment.verdicts(made()) == dict(zip(NAMES, [True, True, True, True, True, False, True], strict=True))


@pytest.mark.parametrize(
    ("changes", "name", "verdict"),
    [
        ({"mean": 1.01}, "the derived bias", False),
        ({"variation": 1.6}, "a relative deviation of sqrt 2", False),
        ({"ms": (12.0, 12.1, 11.9)}, "faster than R1", False),
        ({"ms": (9.0, 12.0, 10.0)}, "faster than R1", None),
        ({"mb": 90.0}, "less memory than R1", False),
        ({"mb": None}, "less memory than R1", None),
        ({"bfloat16": 1.05}, "deviation .01: slopes with a bfloat16 logit", True),
        ({"jsd": (0.2, 0.21, 0.22)}, "trains as R1 does", False),
        ({"jsd": (0.1, 0.2, 0.3)}, "trains as R1 does", None),
    ],
)
def test_one_verdict_changes_with_its_result(changes, name, verdict):
    assert experiment.verdicts(made(**changes)) == experiment.verdicts(made()) | {name: verdict}


def test_the_derived_bias_of_a_quadratic_is_exact():
    H = jnp.array([[1.0, 0.5], [0.5, -2.0]])
    x = jnp.array([[0.3, -0.2]])
    D = lambda x: 0.5 * jnp.einsum("ni,ij,nj->n", x, H, x)  # noqa: E731
    mean, predicted = experiment.mean_and_prediction(D, x[0], deviation=0.5, n=400_000, seed=0)
    g = np.array(H @ x[0])
    # (1 + 4) / 2 + 1 / 4 for H's entries, and (tr H)^2 / 4 = 1 / 4; a quadratic has no terms of higher order but 0.
    assert predicted == pytest.approx(g @ g / 2 + 0.5**2 / 2 * (0.25 + (1 + 4 + 0.5) / 2), rel=1e-5)
    assert mean == pytest.approx(predicted, rel=0.01)


def test_perturbations_differ_between_seeds_and_examples():
    D = lambda x: jnp.sum(x, axis=1)  # noqa: E731
    values = experiment.estimates(D, jnp.zeros((2, 3)), 0.1, 5, 0)
    assert values.shape == (5, 2) and len(np.unique(values)) == 10
    assert not np.any(values == experiment.estimates(D, jnp.zeros((2, 3)), 0.1, 5, 1))
    assert jax.numpy.all(values >= 0)
