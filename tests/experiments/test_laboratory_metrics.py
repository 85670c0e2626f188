"""Small forms of the laboratory of metrics: closed forms of FID's bias, and the checks of precision and recall."""

import math

import numpy as np
import pytest

from experiments import fid_bias, metric_checks
from experiments.metric_checks import CHECKS, both, near
from jaxgan.metrics import fid

pytestmark = pytest.mark.slow

# --- fid_bias ---------------------------------------------------------------------------------------------------------


def test_moments_of_rectified_normal_numbers():
    for mean, first, variance in ((0.0, 0.39894, 0.34085), (1.0, 1.08332, 0.75109)):
        m, c = fid_bias.rectified_moments(mean, np.eye(3))
        assert m == pytest.approx(first, abs=1e-5)
        np.testing.assert_allclose(c, variance * np.eye(3), atol=1e-5)


def test_covariance_of_rectified_normal_numbers():
    """E[ReLU(x) ReLU(y)] is (sqrt(1 - r^2) + r (pi - arccos r)) / (2 pi) at mean 0 (the arc-cosine kernel)."""
    for r in (-0.3, 0.1, 0.3):
        _, c = fid_bias.rectified_moments(0.0, np.array([[4.0, 2 * r], [2 * r, 1.0]]))
        product = (math.sqrt(1 - r * r) + r * (math.pi - math.acos(r))) / (2 * math.pi)
        assert c[0, 1] == pytest.approx(2 * (product - 1 / (2 * math.pi)), abs=1e-5)
    covariance = np.array([[2.0, 0.5], [0.5, 0.7]])
    x = np.maximum(np.random.default_rng(0).multivariate_normal([1.0, 1.0], covariance, 400_000), 0)
    m, c = fid_bias.rectified_moments(1.0, covariance)
    np.testing.assert_allclose(m, x.mean(axis=0), atol=0.01)
    np.testing.assert_allclose(c, np.cov(x.T), atol=0.01)


def test_the_expected_bias_has_its_published_values():
    """1133.7 at 50,000 samples is the paper's; the others follow from the same formula."""
    found = [fid_bias.first_order_fid(2048, n) for n in fid_bias.SIZES]
    assert found == pytest.approx([1229.37, 1176.20, 1144.31, 1133.67, 1128.36], abs=0.01)


def test_samples_have_the_moments_of_their_model():
    models, real = fid_bias.models(16, seed=1)
    for name, model in models.items():
        exact = fid.from_moments(*real, *model.moments)
        found = fid_bias.trial(model, real, (5_000, 40_000), [0, 1])
        assert found[1] == pytest.approx(exact, rel=0.02), name  # its deviation is a quarter of this
    lines = fid_bias.infinities(models, real, sizes=(20_000, 30_000, 50_000), seed=2)
    for name, line in lines.items():
        assert line["intercept"] == line["upper intercept"]
        assert line["intercept"] == pytest.approx(fid.from_moments(*real, *models[name].moments), rel=0.02)


def test_verdicts_of_the_reversal():
    sizes = (50_000, 100_000)
    runs = {"P1": np.array([[1133.6, 1128.4]]), "P2": np.array([[1136.0, 1125.0]])}
    lines = {name: {"intercept": x, "upper intercept": x} for name, x in (("P1", 1123.0), ("P2", 1114.0))}
    exact = {"P1": 1123.0447, "P2": 1113.8}
    assert all(fid_bias.verdicts(exact, runs, lines, sizes).values())
    swapped = {"P1": runs["P2"], "P2": runs["P1"]}
    held = fid_bias.verdicts(exact, swapped, lines, sizes)
    assert not (held["P1 at 50,000 is 1133.7"] or held["reversed at 50,000"] or held["right at 100,000"])


# --- metric_checks ----------------------------------------------------------------------------------------------------


def test_criteria_by_hand():
    a = lambda *y: np.array(y)  # noqa: E731
    assert near(0, 1)(a(0.95, 0)) and not near(0, 1)(a(0.94, 0)) and near(-1, 0)(a(0.95, 0.05))
    wide = metric_checks.wide(0)
    assert (wide(a(1.0)), wide(a(0.0)), wide(a(0.5))) == ("high", "low", False)
    bell = metric_checks.bell
    assert bell(a(0, 0.5, 1, 0.5, 0)) and bell(a(0.1, 1.05, 1, 0.5, 0.7)) and not bell(a(0, 0.5, 1, 0.5, 0.9))
    assert not bell(a(0, 1.2, 1, 0.5, 0))
    assert metric_checks.falls(a(0.9, 1, 0.1, 0.2)) and not metric_checks.falls(a(0.8, 1, 0.1, 0.2))
    assert metric_checks.rises(a(0.2, 0.1, 1, 0.9)) and not metric_checks.rises(a(1, 0))
    assert metric_checks.falls_by(1)(a(1, 0.85, 0)) and not metric_checks.falls_by(1)(a(1, 0.95, 0))
    assert metric_checks.flat(a(0.5, 0.545)) and not metric_checks.flat(a(0.5, 0.56))
    assert metric_checks.settles(a(9, 5, 0.5, 0.52)) and not metric_checks.settles(a(0.5, 0.5, 0.5, 0.6))


def test_a_cell_is_what_its_verdicts_are_together():
    cells = {"TTT": "T", "TFT": "F", "T-T": "T", "TTH": "H", "LT-": "L", "HL": "F", "HFH": "F"}
    assert {letters: metric_checks.combine(letters) for letters in cells} == cells


def test_criteria_apply_to_kinds_of_metrics():
    part = metric_checks.Part("wide", near(0, 0), metric_checks.wide(0))
    y = np.array([1.0])
    assert [metric_checks.verdict(part, metric, y) for metric in metric_checks.METRICS] == ["F", "H", "F", "H"]
    assert metric_checks.verdict(part._replace(fidelity=None), "density", y) == "-"


# Precision, recall, density, coverage in tables 3 and 4 of arXiv:2505.22450, two rows a check.
TABLE = {
    "mean_shift": "FFTT TTTT", "outlier": "FFFT FFTT", "deviation": "FFFF THTF", "simultaneous": "FFTT TFFT",
    "sequential": "FFTT TTTT", "invention": "TTTF TTTF", "sphere": "FFFF FFFF", "hypercubes": "FFFF FFFF",
    "hypercubes_fake": "TFTF FFFF", "torus": "TTTF TFTF", "modes": "FFTT TFTF", "scale": "FTTT FFTT",
    "heavy_tail": "FTTT TTTT", "disjoint": "FFFF FFFF", "discrete": "FFFF FFFF",
}  # fmt: skip


@pytest.mark.parametrize("name", CHECKS)
def test_the_published_verdicts_by_dimension_make_the_published_table(name):
    check = CHECKS[name]
    words = metric_checks.published(check)
    assert all(len(of_group) == len(check.parts(group)) for group, of_group in words.items())
    assert " ".join(metric_checks.rows(check, words).values()) == TABLE[name]


def test_distributions():
    rng = np.random.default_rng(0)
    x, y, z = metric_checks.torus(rng, 1000).T
    assert np.all((np.hypot(x, y) - 1) ** 2 + z**2 <= 0.1**2)
    radius = np.linalg.norm(metric_checks.ball(rng, 4000, 3, 0.8), axis=1)
    assert radius.max() <= 0.8 and np.mean((radius / 0.8) ** 3) == pytest.approx(0.5, abs=0.02)
    for d, start in ((1, 0.8), (8, 1 - 0.2**0.125)):
        of_d = [point for point in metric_checks.hypercubes(rng, real_too=False) if point[0] == f"d = {d}"]
        assert of_d[-1][3].min() >= start and of_d[-1][3].max() <= 1 + start
        assert [len(fake) for _, _, _, fake in of_d] == [n for _, n, _, _ in of_d]
        assert np.mean(np.all(of_d[-1][3] < 1, axis=1)) == pytest.approx(0.2, abs=0.02)  # in the data's cube


def test_one_real_outlier_makes_far_fakes_precise():
    """The documented failure, and the two metrics that see through it: eight dimensions, fakes about the outlier."""
    points = [point for point in metric_checks.outlier(np.random.default_rng(0)) if point[0] == "real outlier, d = 8"]
    _, mean, real, fake = points[-1]
    assert mean == 3
    radii = metric_checks.prdc.radii(real, (3, 5))
    precision, recall, density, coverage = metric_checks.scores(real, radii, fake, 5)
    assert precision > 0.9 and density > 0.1 and recall < 0.05 and coverage < 0.05


def test_modes_dropped_and_invented():
    """The verdicts of this check that no chance decides: precision falls with invented modes, coverage is below 1."""
    check = CHECKS["invention"]
    found = metric_checks.curves(check, repeats=2, seed=[0])
    words = metric_checks.group_verdicts(check, found)
    assert [word[0] for word in words["d = 2"]][1:] == list("T-T") and words["d = 2"][2][3] == "F"
    y = found["d = 2"].mean
    assert y[4, 2] == pytest.approx(1, abs=0.05) and y[9, 0] == pytest.approx(0.5, abs=0.05)
    assert y[0, 3] == pytest.approx(0.2, abs=0.03)  # one mode of five
    same = {"d = 2": ["TTTT", "T-T-", "-T-T", words["d = 2"][3]]}
    changed = check._replace(published={"d = 2": " ".join(same["d = 2"])})
    (one,) = [d for d in metric_checks.differences(changed, found, words) if "most invented" in d["where"]]
    assert one["here"] == "F" and one["published"] == "T" and one["share"] == 0


def test_chance_is_the_share_of_resamples_with_the_letter():
    part = both("end", near(0, 0))
    y = np.array([[0.0], [0.0], [0.2], [0.2]])  # near 0 where at most one of four draws is .2
    assert metric_checks.chance(part, "recall", y, "T") == pytest.approx(5 / 16, abs=0.05)
