"""Verdicts follow from result.json: rules of experiments without a test file of their own, on made-up results."""

import json
import math

import numpy as np
import pytest

from experiments import adjustment, bilinear, dirac, f_gan, figure1, lipschitz, proposition1, theorem1


def stored(result):
    """What is read back from result.json."""
    return json.loads(json.dumps(result))


CYCLE = {"radius": [0.45, 0.62], "predicted": [0.447, 0.632]}
FITS = {"extragradient": {"extragradient": {"order": 3.02}, "simultaneous": {"order": 1.97}}}
OWN = "the error of extragradient steps is O(h^3) for their own flow, O(h^2) for others"
THEOREM = {"largest difference": 2e-7, "minimum": -math.log(4), "shift": 0.0, "scale": 1.0, "gap": [[0.5, 1e-4]]}


@pytest.mark.parametrize(
    ("experiment", "result", "changes"),
    [
        # The results that the claim holds for, and by changed entry the index of the verdict that turns.
        (dirac, {"largest_error": 1e-9, "cycle": CYCLE}, [
            ({"largest_error": 1.0}, 0), ({"cycle": CYCLE | {"radius": [0.45, 0.5]}}, 1),
        ]),
        (bilinear, {"radii": [{"error": 1e-9}], "drift": FITS}, [
            ({"radii": [{"error": 1e-9}, {"error": 1.0}]}, 0),
            ({"drift": {"extragradient": FITS["extragradient"] | {"simultaneous": {"order": 3.0}}}}, 1),
        ]),
        (lipschitz, {"runs": [{"TV": 0.3, "least TV": 0.1}]}, [({"runs": [{"TV": 0.05, "least TV": 0.1}]}, 0)]),
        (proposition1, {"errors": [0.003, 0.004]}, [({"errors": [0.003, 0.5]}, 0)]),
        (theorem1, THEOREM, [
            ({"largest difference": 1e-3}, 0), ({"minimum": -1.3}, 1), ({"scale": 1.1}, 2), ({"shift": 0.1}, 2),
            ({"gap": [[-0.1, 1e-4]]}, 3), ({"gap": [[0.5, 0.4]]}, 3),
        ]),
        (figure1, {"jsd": [0.0003, 0.0004], "mean_D": [0.4995, 0.501]}, [
            ({"jsd": [0.0003, 0.1]}, 0), ({"mean_D": [0.4995, 0.7]}, 1),
        ]),
    ],
    ids=lambda case: getattr(case, "__name__", ""),
)  # fmt: skip
def test_one_counterexample_turns_the_verdict_it_is_about(experiment, result, changes):
    held = list(experiment.verdicts(stored(result)).values())
    assert held and all(verdict is True for verdict in held)
    for change, turned in changes:
        found = list(experiment.verdicts(stored(result | change)).values())
        assert found == [verdict if i != turned else False for i, verdict in enumerate(held)]
    assert experiment is not bilinear or OWN in bilinear.verdicts(result)


def test_verdicts_of_f_gan():
    """Runs near their fixed points, which lie apart: only the alternative loss misses the least divergence."""
    names = ["f_reverse_kl", "f_kl"]
    runs = {"f_reverse_kl": 2.0, "f_kl": 1.0}
    rows = {
        name: {
            **{"mu*": mu, "sigma*": 1.0, "trick fixed point": [mu + 1, 1.0]},
            "saddle": [{"F": 0.1, "D_f": 0.11, "mu": mu, "sigma": 1.0}],
            "trick": [{"F": 0.1, "D_f": 0.11, "mu": mu + 1, "sigma": 1.0}],
        }
        for name, mu in runs.items()
    }
    result = {"rows": rows, "matrix": [[0.1, 0.3], [0.2, 0.1]], "names": names}
    held = f_gan.verdicts(stored(result))
    assert [claim for claim, verdict in held.items() if not verdict] == ["trick near the least D_f"]
    swapped = f_gan.verdicts(stored(result | {"matrix": [[0.3, 0.1], [0.1, 0.2]]}))
    assert swapped["diagonal, all"] is False
    rows["f_kl"]["saddle"][0] |= {"F": 0.2, "mu": 3.0}
    worse = f_gan.verdicts(stored(result))
    failed = {"F <= D_f", "saddle near the least D_f", "trick near the least D_f", "order of mu"}
    assert {claim for claim, verdict in worse.items() if not verdict} == failed


def test_verdicts_of_the_adjustment_refute_no_published_claim():
    interval = lambda low, high: {"low": low, "high": high}  # noqa: E731
    less = {"modes": interval(2.0, 9.0), "high_quality": interval(-0.3, -0.1)}
    result = {"setting": {"width": 128, "steps": 4000}, "summary": {"plain": {}, "symplectic": {"less plain": less}}}
    modes, samples = adjustment.verdicts(stored(result)).values()
    assert modes is True and samples.startswith("not reproduced in this toy: networks of 128 units and 4,000 steps")
    less["modes"] = interval(-1.0, 9.0)
    assert next(iter(adjustment.verdicts(stored(result)).values())) is None


def test_json_numbers_are_those_of_the_arrays():
    """The rules do not depend on whether they see the arrays or what result.json holds of them."""
    result = {"jsd": np.float32([0.0003]), "mean_D": np.float32([0.4995])}
    lists = {name: values.tolist() for name, values in result.items()}
    assert figure1.verdicts(result) == figure1.verdicts(lists)
