"""Statistics over seeds: by hand and against scipy; verdicts that identical settings do not fool."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from jaxgan.sweep.statistics import (
    MeanInterval,
    compare,
    holm,
    mean_interval,
    p_values,
    paired_difference,
    paired_rates,
    rate_interval,
)

SWEEPS = 2_000  # a simulated cell; the standard error of a rate of 5% is .5%
MARGIN = 3 * math.sqrt(0.05 * 0.95 / SWEEPS)


def simulate(rng, sweeps, seeds, settings, correlation):
    """Standard normal scores [sweeps, seeds, settings]; equal seeds have the given correlation."""
    shared, own = rng.standard_normal((sweeps, seeds, 1)), rng.standard_normal((sweeps, seeds, settings))
    return math.sqrt(correlation) * shared + math.sqrt(1 - correlation) * own


def worse(scores, permutations=99):
    """[sweeps, settings] bool."""
    return p_values(scores, permutations=permutations, stop=0.05)[1] <= 0.05


def test_the_interval_of_a_mean_is_students():
    found = mean_interval([1.0, 2.0, 4.0, 8.0])
    # s^2 = (2.75^2 + 1.75^2 + .25^2 + 4.25^2) / 3 = 28.75 / 3; t(3) = 3.1824.
    half = 3.1824 * math.sqrt(28.75 / 3 / 4)
    assert found.mean == 3.75 and found.n == 4 and found.diverged == 0
    assert (found.low, found.high) == pytest.approx((3.75 - half, 3.75 + half), abs=1e-3)
    wanted = stats.ttest_1samp([1.0, 2.0, 4.0, 8.0], 0).confidence_interval(0.9)
    assert mean_interval([1.0, 2.0, 4.0, 8.0], 0.9)[1:3] == pytest.approx((wanted.low, wanted.high))


def test_diverged_runs_are_counted_but_not_averaged():
    assert mean_interval([1.0, None, 3.0, math.nan, -math.inf])[:1] + mean_interval([1.0, None, 3.0])[3:] == (2, 2, 1)
    assert mean_interval([1.0, None, 1.0]).text(1) == "1.0 [1.0, 1.0] (2 of 3 runs)"
    assert mean_interval([3.0]).text(2) == "3.00" and math.isnan(mean_interval([3.0]).low)
    assert mean_interval([]).text(2) == "—"
    assert mean_interval([None, None]).text(2) == "— (0 of 2 runs)"
    assert MeanInterval(0.5, 0.4, 0.6, 5, 0).text(2) == "0.50 [0.40, 0.60]"


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_intervals_cover_as_often_as_they_say(seeds):
    rng = np.random.default_rng(seeds)
    intervals = [mean_interval(values) for values in rng.normal(2, 3, (SWEEPS, seeds))]
    assert np.mean([i.low <= 2 <= i.high for i in intervals]) == pytest.approx(0.95, abs=MARGIN)


def test_paired_difference_is_the_paired_t_test():
    a, b = [3.0, 5.0, 4.0, 7.0, 6.0], [2.0, 4.5, 4.0, 5.0, 5.5]
    found, wanted = paired_difference(a, b), stats.ttest_rel(a, b)
    interval = wanted.confidence_interval()
    assert found.mean == pytest.approx(0.8) and found.n == 5 and found.diverged == 0
    assert found.p == pytest.approx(wanted.pvalue)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert paired_difference(b, a).mean == -found.mean
    assert paired_difference([2.0, 3.0, 4.0], [1.0, 2.0, 3.0]).p == 0
    assert paired_difference([2.0, 3.0], [2.0, 3.0]).p == 1
    assert math.isnan(paired_difference([1.0], [2.0]).p)
    with pytest.raises(ValueError, match="2 scores and b 1"):
        paired_difference([1.0, 2.0], [1.0])


def test_a_diverged_run_is_worse_than_the_worst_score():
    a, b = [3.0, 5.0, 4.0, 7.0], [2.0, None, 1.0, 6.0]
    found = paired_difference(a, b)
    # The finite scores go from 1 to 7: the diverged run counts as 1 - 6 in the test, in the mean not at all.
    assert found.p == pytest.approx(stats.ttest_rel(a, [2.0, -5.0, 1.0, 6.0]).pvalue)
    assert found.n == 3 and found.diverged == 1 and found.mean == pytest.approx(5 / 3)


def test_rates():
    found = rate_interval(8, 10)
    assert (found.rate, found.successes, found.n) == (0.8, 8, 10)
    # Clopper-Pearson: quantiles of beta distributions.
    wanted = stats.beta.ppf(0.025, 8, 3), stats.beta.ppf(0.975, 9, 2)
    assert (found.low, found.high) == pytest.approx(wanted)
    assert rate_interval(0, 10).low == 0 and rate_interval(0, 10).high == pytest.approx(1 - 0.025 ** (1 / 10))
    assert math.isnan(rate_interval(0, 0).rate)


def test_paired_rates_count_the_seeds_that_differ():
    both, only_a, only_b, neither = (True, True), (True, False), (False, True), (False, False)
    a, b = zip(*[both] * 4 + [only_a] * 5 + [neither] * 2, strict=True)
    assert paired_rates(a, b) == paired_rates(b, a) == pytest.approx(2 / 2**5)
    a, b = zip(*[only_a] * 5 + [only_b] * 1, strict=True)
    assert paired_rates(a, b) == pytest.approx(2 * (1 + 6) / 2**6)  # as the sign test
    assert paired_rates([True, False], [True, False]) == 1
    with pytest.raises(ValueError, match="2 successes and b 1"):
        paired_rates([True, False], [True])


def test_holm():
    assert holm([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.09, 0.09, 0.5])
    assert holm([0.6, 0.7]) == pytest.approx([1, 1])  # .7 would be below .6's 1.2
    assert holm([]).shape == (0,)
    rng = np.random.default_rng(0)
    p = rng.random(20)
    corrected = holm(p)
    assert np.all(corrected >= p) and np.all(np.diff(corrected[np.argsort(p)]) >= 0) and corrected.max() <= 1


def test_the_permutation_test_by_enumeration():
    # 3 settings, 3 seeds: all 6^3 arrangements, weighed alike, in place of random ones.
    scores = np.array([[5.0, 2.5, 1.0], [9.0, 7.0, 6.5], [4.0, 2.8, 2.1]])
    aligned = scores - np.median(scores, axis=1, keepdims=True)
    ranks = stats.rankdata(aligned).reshape(3, 3)
    normal = stats.norm.ppf(ranks / 10)
    everywhere = [np.mean(rows, axis=0) for rows in itertools.product(*(itertools.permutations(row) for row in normal))]
    wanted = np.mean(np.ptp(everywhere, axis=1) >= np.ptp(normal.mean(axis=0)) - 1e-9)
    assert wanted == 6 / 216  # the only order that keeps the range, under 6 names
    best, p = p_values(scores[None], permutations=20_000)
    pair = stats.ttest_rel(scores[:, 0], scores[:, 2]).pvalue
    assert best.tolist() == [0] and np.isnan(p[0, 0])
    assert p[0, 2] == pytest.approx(max(wanted, pair), abs=0.004)
    assert p[0, 1] >= p[0, 2]  # removed later


@pytest.mark.parametrize("correlation", [0, 0.8])
@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("settings", [2, 5, 9])
def test_identical_settings_are_not_distinguishable(settings, seeds, correlation):
    rng = np.random.default_rng([settings, seeds, round(10 * correlation)])
    scores = simulate(rng, SWEEPS, seeds, settings, correlation)
    assert worse(scores).any(axis=1).mean() <= 0.05 + MARGIN


@pytest.mark.parametrize("law", ["cauchy", "skewed", "counts", "diverging"])
@pytest.mark.parametrize("settings", [2, 5])
def test_nor_are_identical_settings_of_other_distributions(settings, law):
    rng = np.random.default_rng([settings, len(law)])
    shape = (SWEEPS, 5, settings)
    normal = rng.standard_normal(shape)
    scores = {
        "cauchy": rng.standard_cauchy(shape),
        "skewed": -np.exp(2 * normal),
        "counts": rng.binomial(8, 0.9, shape).astype(float),
        "diverging": np.where(rng.random(shape) < 0.5, np.nan, normal),
    }[law]
    assert worse(scores).any(axis=1).mean() <= 0.05 + MARGIN


def test_equally_good_settings_next_to_a_bad_one_are_not_distinguishable():
    scores = simulate(np.random.default_rng(0), SWEEPS, 5, 5, 0.8)
    scores[..., 4] -= 5
    found = worse(scores)
    assert found[:, 4].mean() > 0.95
    assert found[:, :4].any(axis=1).mean() <= 0.05 + MARGIN


@pytest.mark.parametrize("settings", [2, 5, 9])
def test_power_at_five_seeds(settings):
    # One setting of several is worse by a deviation, seeds correlate by .8.
    scores = simulate(np.random.default_rng(settings), SWEEPS, 5, settings, 0.8)
    scores[..., -1] -= 1
    assert worse(scores, permutations=199)[:, -1].mean() > 0.7


def test_one_lost_run_does_not_hide_what_the_others_show():
    scores = simulate(np.random.default_rng(0), 500, 5, 5, 0.8)
    scores[..., 4] -= 1.5
    for lost in (np.nan, -1e6):
        scores[:, 0, 1] = lost
        assert worse(scores, permutations=199)[:, 4].mean() > 0.5


def test_verdicts_of_a_sweep():
    rng = np.random.default_rng(0)
    start = rng.normal(size=6)

    def setting(effect, seeds=range(6)):
        return {seed: float(start[seed] + effect + 0.2 * rng.normal()) for seed in seeds}

    scores = {
        "lower": setting(-3),
        "good": setting(0.3),
        "alike": setting(0),
        "diverged": dict.fromkeys(range(6)),
        "new": setting(9, seeds=range(2)),
    }
    found = {verdict.label: verdict for verdict in compare(scores)}
    assert list(found) == list(scores)
    words = {label: verdict.verdict for label, verdict in found.items()}
    assert words == {
        "lower": "worse",
        "good": "best",
        "alike": "not distinguishable",
        "diverged": "worse",
        "new": "",
    }
    assert {verdict.seeds for verdict in found.values()} == {6}
    assert found["good"].difference is None and found["new"].difference is None
    assert found["diverged"].mean[3:] == (0, 6) and found["diverged"].difference.n == 0
    difference = np.array(list(scores["good"].values())) - np.array(list(scores["lower"].values()))
    assert found["lower"].difference.mean == pytest.approx(difference.mean())
    assert found["lower"].p >= found["lower"].difference.p
    backwards = compare(dict(reversed(scores.items())))
    assert {verdict.label: verdict.verdict for verdict in backwards} == words


def test_settings_are_compared_on_the_seeds_that_all_have():
    full = {0: 1.0, 1: 2.0, 2: 3.0, 3: -50.0}
    found = compare({"a": full, "b": {2: 2.9, 1: 1.8, 0: 0.9}})
    assert [v.verdict for v in found] == ["best", "not distinguishable"]
    assert found[1].seeds == 3 and found[1].difference.mean == pytest.approx((0.1 + 0.2 + 0.1) / 3)
    assert found[0].mean.n == 4  # the table shows all
    assert found[1].p == pytest.approx(stats.ttest_rel([1, 2, 3], [0.9, 1.8, 2.9]).pvalue)


@pytest.mark.parametrize(
    ("scores", "shared"),
    [
        ({}, 0),
        ({"a": {0: 1.0, 1: 2.0, 2: 3.0}}, 3),
        ({"a": {0: 1.0, 1: 2.0}, "b": {0: 11.0, 1: 12.0}}, 2),
        ({"a": {0: 1.0, 1: 2.0, 2: 3.0}, "b": {2: 11.0}}, 1),
        ({"a": {0: 1.0, 1: 2.0, 2: 3.0}, "b": {3: 1.0, 4: 2.0, 5: 3.0}}, 0),
        ({"a": dict.fromkeys(range(5)), "b": dict.fromkeys(range(5))}, 5),
    ],
    ids=["nothing", "one setting", "two seeds", "too few of one setting", "no seed in common", "all diverged"],
)
def test_no_verdict(scores, shared):
    """Only the number of common seeds."""
    assert [(v.verdict, v.seeds) for v in compare(scores)] == [("", shared)] * len(scores)


def test_equal_scores_are_not_distinguishable():
    same = {0: 1.0, 1: 1.0, 2: 1.0}
    assert [v.verdict for v in compare({"a": same, "b": same, "c": same})] == ["best"] + ["not distinguishable"] * 2


@pytest.mark.parametrize("fine", [[9.0, 1.0, 1.0, 1.0, 1.0], [1.0, 9.0, 9.0, 1.0, 5.0], [1.0] * 5])
def test_a_setting_that_always_diverges_is_worse(fine):
    lost, good = dict.fromkeys(range(5)), dict(enumerate(fine))
    assert [v.verdict for v in compare({"lost": lost, "good": good})] == ["worse", "best"]
    # A single divergence in five makes no verdict, but the best setting is the one without.
    once = good | {0: None}
    assert [v.verdict for v in compare({"once": once, "good": good})] == ["not distinguishable", "best"]


def test_no_setting_is_worse_than_one_that_it_beats():
    """The best of three may owe that to how much a third setting makes a diverged run weigh.

    Between 5 and 10 alone a diverged run counts as 0; beside scores of -100 it counts as -210.
    """
    steady, better_but_once = dict.fromkeys(range(20), 5.0), dict.fromkeys(range(20), 10.0) | {0: None}
    poor = dict.fromkeys(range(20), -100.0)
    assert (
        paired_difference(list(steady.values()), list(better_but_once.values())).p < 1e-6
    )  # told apart, the other way
    found = compare({"steady": steady, "better but once": better_but_once, "poor": poor})
    assert [v.verdict for v in found] == ["best", "not distinguishable", "worse"]


def test_the_permutation_test_alone_decides_where_differences_are_equal():
    """Three settings in one order under three seeds: 6 of 6^3 arrangements have as large a range, and t is infinite."""
    scores = np.array([[3.0, 2.0, 1.0], [4.0, 3.0, 2.0], [9.0, 8.0, 7.0]])
    best, p = p_values(scores[None], permutations=20_000)
    assert best.tolist() == [0] and p[0, 2] == pytest.approx(6 / 216, abs=0.004)


def test_the_best_setting_is_never_removed():
    """It may owe its mean to one score and have the lowest ranks: others are removed by their tests against it."""
    scores = np.array([[100.0, 1.0, 2.0], [0.0, 1.1, 2.1], [0.1, 0.9, 2.3], [0.2, 1.2, 1.9], [0.1, 1.0, 2.2]])
    best, p = p_values(scores[None])
    assert best.tolist() == [0] and np.nanmax(p) < 0.5  # .37, that of the t-test; with itself it would be 1
