"""Statistics over seeds: intervals of means and rates, and which settings of a sweep are worse than the best.

Equal seeds share initial weights, data order and z, so settings are compared paired by seed. The best setting is
selected on the same data as it is then tested on, and a test that ignores this finds differences between identical
settings. `compare` therefore eliminates settings one at a time, like a model confidence set (Hansen, Lunde and
Nason 2011, Econometrica 79(2), section 2). While more than two settings remain:

1. A permutation test of the hypothesis that they are identical. If so, the scores of a seed are exchangeable between
   settings. The statistic is the range of the settings' mean aligned normal scores (Hodges and Lehmann 1962, Annals
   of Mathematical Statistics 33(2); normal scores: van der Waerden 1952): the median over the settings is subtracted
   from each seed's scores, all of them are ranked, and rank r of N becomes the normal quantile of r / (N + 1). The test
   is exact for every distribution, including heavy tails, skewed scores, counts and diverged runs.
2. A two-sided paired t-test of the setting with the lowest such mean against the best one. If both tests reject at 5%,
   it is declared worse and removed; otherwise the procedure stops.

Two settings are compared by the paired t-test alone. A setting's p-value is the largest of all tests up to its removal.

A diverged run is worse than every finite score. In the permutation test all diverged runs share the lowest rank. In the
t-test a diverged run counts as min - (max - min) over the finite scores of the two settings compared, or as min - 1 if
these are all equal: as far below the worst score as that is below the best. So with 5 seeds or more, a setting whose
runs all diverged is worse than one whose runs are all finite, if there are only these two.

Measured by simulation (tests/sweep/test_statistics.py repeats all but the fourth on fewer sweeps):

- Any of k identical settings declared worse, in % of 20,000 sweeps per cell (normal scores; correlation between
  settings 0 and .8; standard error .15):

      seeds       3         5         10
      k = 2   5.2, 4.9  5.4, 4.9  5.0, 5.3      (400,000 sweeps, correlation 0: 4.9, 5.0, 5.0)
      k = 5   2.2, 2.3  4.0, 4.1  4.6, 5.0
      k = 9   2.8, 3.0  4.4, 4.4  4.9, 5.0

  t(3), Cauchy and lognormal scores, 20% of runs collapsed to -1000: at most 4.5; counts (modes of 8 captured), 0/1
  scores, 20% or half of the runs diverged: at most 4.9, except for k = 2 and 10 seeds: 5.5 (0/1), 5.3 (half diverged).
- One setting worse by one standard deviation than k - 1 equal ones, correlation .8, 4,000 sweeps; declared worse in

      seeds    3    5   10
      k = 2   33   75   99%
      k = 5   22   77  100%
      k = 9   29   82  100%

  Paired t-tests of all pairs with Holm's correction, which also accounts for the selection of the best, detect only
  38% for k = 5 and 15% for k = 9 with 5 seeds (600 sweeps); hence the permutation test. If one setting is better than
  all others by one standard deviation, 74, 52 and 43% of the others are declared worse with 5 seeds.
- Not exact for settings with equal means that are not identical: standard deviations of 1 for some and .1 for the
  others gave at most 5.4% for k = 2, 4.5% for k = 5, and, for k = 9 with three or four noisy ones, 5.8, 8.1 and 9.1%
  with 3, 5 and 10 seeds (8,000 sweeps).
- t intervals of 3, 5 and 10 normal scores cover the mean in 94.8, 95.1 and 95.0% of 20,000 samples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special, stats

LEVEL = 0.05  # significance level of the tests of `compare`
MIN_SEEDS = 3  # with fewer seeds there is no verdict
PERMUTATIONS = 4_999  # random permutations per test; 5,000 with the observed arrangement
BLOCK = 2**22  # scores permuted at once, 32 MiB

BEST, SAME, WORSE, UNKNOWN = "best", "not distinguishable", "worse", ""


class MeanInterval(NamedTuple):
    """The mean of the finite scores of several runs, and its t interval; NaN if there are too few."""

    mean: float
    low: float
    high: float
    n: int  # finite runs
    diverged: int  # runs excluded from the mean

    def text(self, digits: int) -> str:
        """'1.20 [0.80, 1.60]'; with diverged runs '1.20 [0.80, 1.60] (4 of 5 runs)'; '—' without a finite run."""
        runs = f" ({self.n} of {self.n + self.diverged} runs)" if self.diverged else ""
        if self.n == 0:
            return f"—{runs}"
        interval = f" [{self.low:.{digits}f}, {self.high:.{digits}f}]" if self.n > 1 else ""
        return f"{self.mean:.{digits}f}{interval}{runs}"


class Difference(NamedTuple):
    """The mean of paired differences a - b, its t interval, and the p-value of the paired t-test."""

    mean: float
    low: float
    high: float
    n: int  # pairs of finite scores, over which mean and interval are computed
    diverged: int  # pairs with a diverged run, which only the p-value takes into account
    p: float  # in [0, 1], two-sided; NaN for fewer than 2 pairs


class Rate(NamedTuple):
    """A success rate and its exact interval, in [0, 1]; NaN without trials."""

    rate: float
    low: float
    high: float
    successes: int
    n: int


class Verdict(NamedTuple):
    """The conclusion of a sweep about one setting."""

    label: str
    verdict: str  # 'best' (the highest mean), 'not distinguishable' from it, 'worse', or '' if undecidable
    mean: MeanInterval  # over all finite runs of the setting
    # The best setting minus this one, on the common seeds. Its interval and p-value are not corrected for the number of
    # settings, and favour the best. None for '' and for the best.
    difference: Difference | None
    p: float  # of the hypothesis that the setting is as good as the best, corrected; NaN for '' and for the best
    seeds: int  # number of seeds that all compared settings have in common


def mean_interval(values: Sequence[float | None] | np.ndarray, confidence: float = 0.95) -> MeanInterval:
    """The mean of the finite values and its Student t interval: mean ± t(n - 1) s / sqrt(n).

    Args:
      values: [n], one per run; None, NaN and ±inf mean that it diverged. They are counted but not averaged.
      confidence: coverage probability of the interval for normal values, in (0, 1).

    Returns:
      The interval is NaN for fewer than 2 finite values, the mean for none.
    """
    scores = _scores(values)
    finite = scores[np.isfinite(scores)]
    n = len(finite)
    diverged = len(scores) - n
    mean = float(finite.mean()) if n else math.nan
    if n < 2:
        return MeanInterval(mean, math.nan, math.nan, n, diverged)
    half = float(stats.t.ppf((1 + confidence) / 2, n - 1) * finite.std(ddof=1) / math.sqrt(n))
    return MeanInterval(mean, mean - half, mean + half, n, diverged)


def paired_difference(
    a: Sequence[float | None] | np.ndarray, b: Sequence[float | None] | np.ndarray, confidence: float = 0.95
) -> Difference:
    """Compares two settings that were chosen before seeing the scores, paired by seed.

    Args:
      a: [n] scores, larger is better, of the same n seeds in the same order as `b`. None, NaN and ±inf mean that
        the run diverged.
      b: [n].
      confidence: of the interval, in (0, 1).

    Returns:
      Mean and interval of a - b over the pairs of finite scores. The p-value is over all pairs; a diverged run counts
      as worse than any finite score (see the module docstring). It is 0 if all differences are equal and not 0. For
      several comparisons, correct the p-values with `holm`.

    Raises:
      ValueError: a and b differ in length.
    """
    first, second = _scores(a), _scores(b)
    if len(first) != len(second):
        raise ValueError(
            f"a has {len(first)} scores and b {len(second)}; pass one of each per seed, in the same order."
        )
    both = np.isfinite(first) & np.isfinite(second)
    mean = mean_interval(first[both] - second[both], confidence)
    p = float(_t_test(first, second)[1]) if len(first) > 1 else math.nan
    return Difference(mean.mean, mean.low, mean.high, mean.n, len(first) - mean.n, p)


def rate_interval(successes: int, n: int, confidence: float = 0.95) -> Rate:
    """The success rate of n runs and its Clopper-Pearson interval, which has at least the nominal coverage.

    Raises:
      ValueError: not 0 <= successes <= n.
    """
    if n == 0 and successes == 0:
        return Rate(math.nan, math.nan, math.nan, 0, 0)
    interval = stats.binomtest(successes, n).proportion_ci(confidence, method="exact")
    return Rate(successes / n, float(interval.low), float(interval.high), successes, n)


def paired_rates(a: Sequence[bool] | np.ndarray, b: Sequence[bool] | np.ndarray) -> float:
    """McNemar's exact two-sided test that two settings succeed equally often, paired by seed; returns the p-value.

    Only seeds that succeed under exactly one setting are informative: with equal rates, each is equally likely to be a
    success of a or of b. The p-value is 1 if there is no such seed.

    Args:
      a, b: [n] successes of the same n seeds in the same order.

    Raises:
      ValueError: a and b differ in length.
    """
    first, second = np.asarray(a, bool), np.asarray(b, bool)
    if first.shape != second.shape:
        raise ValueError(
            f"a has {len(first)} successes and b {len(second)}; pass one of each per seed, in the same order."
        )
    only_a, differ = int(np.sum(first & ~second)), int(np.sum(first != second))
    return float(stats.binomtest(only_a, differ).pvalue) if differ else 1.0


def holm(p_values: ArrayLike) -> np.ndarray:
    """Holm's step-down correction (1979, Scandinavian Journal of Statistics 6(2)), for comparisons planned beforehand.

    Args:
      p_values: [k] in [0, 1].

    Returns:
      [k] float64 in [0, 1]: rejecting those that are at most alpha keeps the family-wise error rate at alpha or less,
      whatever the dependence between the tests.
    """
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(stepped, 1)
    return corrected


def compare(scores: Mapping[str, Mapping[int, float | None]]) -> list[Verdict]:
    """Finds the settings of a sweep that are worse than the best one, as described above; deterministic.

    Args:
      scores: {label of a setting: {seed: score}}, larger is better; None, NaN and ±inf mean that the run diverged.
        A missing seed has no result yet: settings with fewer than 3 seeds are left out, and the others are compared on
        their common seeds.

    Returns:
      One verdict per setting, in the order of `scores`. All are '' if fewer than two settings can be compared, if these
      have fewer than 3 seeds in common, or if all their runs diverged.
    """
    means = {label: mean_interval(list(by_seed.values())) for label, by_seed in scores.items()}
    compared = [label for label, by_seed in scores.items() if len(by_seed) >= MIN_SEEDS]
    sharing = compared if len(compared) > 1 else list(scores)
    shared = sorted(set.intersection(*(set(scores[label]) for label in sharing))) if sharing else []
    columns = [_scores([scores[label][seed] for seed in shared]) for label in compared]
    if len(compared) < 2 or len(shared) < MIN_SEEDS or not np.isfinite(columns).any():
        return [Verdict(label, UNKNOWN, mean, None, math.nan, len(shared)) for label, mean in means.items()]
    best, p = p_values(np.stack(columns, axis=1)[None])
    reference = columns[best[0]]

    def verdict(label: str) -> Verdict:
        if label not in compared:
            return Verdict(label, UNKNOWN, means[label], None, math.nan, len(shared))
        i = compared.index(label)
        if i == best[0]:
            return Verdict(label, BEST, means[label], None, math.nan, len(shared))
        word = WORSE if p[0, i] <= LEVEL else SAME
        difference = paired_difference(reference, columns[i])
        return Verdict(label, word, means[label], difference, float(p[0, i]), len(shared))

    return [verdict(label) for label in scores]


def p_values(
    scores: np.ndarray, *, permutations: int = PERMUTATIONS, seed: int = 0, stop: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """`compare` on arrays, for many sweeps of the same shape at once.

    Args:
      scores: [sweeps, seeds, settings] float, at least 2 seeds and 2 settings; non-finite for runs that diverged.
      permutations: random permutations per test.
      seed: of the permutations.
      stop: a sweep's elimination stops once its p-value exceeds this; all remaining settings get that p-value.

    Returns:
      The index of the best setting, [sweeps], and the corrected p-values, [sweeps, settings] in [0, 1], NaN for the
      best one.
    """
    scores = np.where(np.isfinite(scores), np.asarray(scores, np.float64), -np.inf)
    rng = np.random.default_rng(seed)
    best = np.argmax(_penalized(scores).mean(axis=1), axis=1)
    settings = np.broadcast_to(np.arange(scores.shape[2]), (len(scores), scores.shape[2]))
    # The remaining settings, [sweeps, m]: the best first, then the others in order.
    left = np.take_along_axis(settings, np.argsort(settings != best[:, None], axis=1, kind="stable"), axis=1)
    p = np.full(settings.shape, np.nan)
    running = np.zeros(len(scores))  # the largest p-value so far
    active = np.arange(len(scores))
    while left.shape[1] > 1 and len(active):
        remaining = np.take_along_axis(scores[active], left[:, None, :], axis=2)
        identical, worst = _permutation_test(remaining, permutations, rng)
        candidate = np.take_along_axis(remaining, worst[:, None, None], axis=2)[..., 0]
        t, unequal = _t_test(remaining[..., 0], candidate)
        unequal = np.where(t > 0, unequal, 1.0)
        running[active] = np.maximum(running[active], np.maximum(identical, unequal))
        # Also for the remaining ones, whose evidence against equality with the best is no stronger.
        p[active[:, None], left[:, 1:]] = running[active, None]
        keep = np.arange(left.shape[1]) != worst[:, None]
        left = left[keep].reshape(len(active), -1)
        going = running[active] <= stop
        active, left = active[going], left[going]
    return best, p


def _permutation_test(scores: np.ndarray, permutations: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Tests that all settings are identical; returns p-values and the indices of the lowest setting except the first.

    Both are [sweeps]. With two settings the p-value is 0, which leaves the decision to the t-test.

    Args:
      scores: [sweeps, seeds, settings], the best setting first; -inf for diverged runs.
    """
    normal = _normal_scores(scores)
    means = normal.mean(axis=1)
    worst = 1 + np.argmin(means[:, 1:], axis=1)
    sweeps, seeds, settings = scores.shape
    if settings == 2:
        return np.zeros(sweeps), worst
    observed = np.ptp(means, axis=1)
    as_large = np.ones(sweeps)  # includes the observed arrangement
    step = max(1, BLOCK // (permutations * seeds * settings))
    for start in range(0, sweeps, step):
        block = slice(start, start + step)
        copies = np.repeat(normal[block, None], permutations, axis=1)
        rng.permuted(copies, axis=-1, out=copies)
        ranges = np.ptp(copies.mean(axis=2), axis=-1)
        # Sums in a different order are equal only up to rounding.
        as_large[block] += np.sum(ranges >= observed[block, None] - 1e-9, axis=1)
    return as_large / (permutations + 1), worst


def _normal_scores(scores: np.ndarray) -> np.ndarray:
    """Aligned normal scores [sweeps, seeds, settings]: see step 1 above."""
    finite = np.isfinite(scores)
    any_finite = finite.any(axis=2, keepdims=True)
    center = np.nanmedian(np.where(any_finite, np.where(finite, scores, np.nan), 0.0), axis=2, keepdims=True)
    aligned = (scores - center).reshape(len(scores), -1)
    ranks = stats.rankdata(aligned, axis=1).reshape(scores.shape)
    return special.ndtri(ranks / (aligned.shape[1] + 1))


def _t_test(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The paired t-test of a and b, [..., n] each, with diverged runs counted as worst: t and the two-sided p-value."""
    a, b = np.moveaxis(_penalized(np.stack([a, b], axis=-1)), -1, 0)
    differences = a - b
    n = differences.shape[-1]
    mean, error = differences.mean(axis=-1), differences.std(axis=-1, ddof=1) / math.sqrt(n)
    certain = np.where(mean == 0, 0.0, np.copysign(np.inf, mean))
    t = np.divide(mean, error, out=certain, where=error > 1e-12 * np.abs(mean))
    return t, 2 * stats.t.sf(np.abs(t), n - 1)


def _penalized(scores: np.ndarray) -> np.ndarray:
    """Replaces the non-finite scores of each [n, k] in [..., n, k] by min - (max - min) of the finite ones."""
    finite = np.isfinite(scores)
    low = np.min(scores, axis=(-2, -1), keepdims=True, initial=np.inf, where=finite)
    high = np.max(scores, axis=(-2, -1), keepdims=True, initial=-np.inf, where=finite)
    low, high = np.where(np.isfinite(low), low, 0.0), np.where(np.isfinite(high), high, 0.0)
    distance = np.where(high > low, high - low, 1.0)
    return np.where(finite, scores, low - distance)


def _scores(values: Sequence[float | None] | np.ndarray) -> np.ndarray:
    """Scores as [n] float64, with NaN for None."""
    return np.array([math.nan if value is None else value for value in values], np.float64)
