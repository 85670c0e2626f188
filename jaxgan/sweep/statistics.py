"""Statistics over seeds: intervals of means and rates, and which settings of a sweep are worse than the best.

Equal seeds share initial weights, data order and z, so settings are compared paired by seed. The best setting is
chosen from the data it is then compared with, and a test that ignores this declares differences among identical
settings. `compare` therefore eliminates settings step by step, as a model confidence set does (Hansen, Lunde and
Nason 2011, Econometrica 79(2), section 2). As long as more than two settings remain:

1. Permutation test that they are identical. If they are, the scores of one seed may change places among them
   without changing the distribution. Statistic: the range of the settings' means of aligned normal scores
   (Hodges and Lehmann 1962, Annals of Mathematical Statistics 33(2); normal scores: van der Waerden 1952): each
   score less the median of its seed, ranked among all, the rank r of N replaced by the normal quantile of
   r / (N + 1). Exact for every distribution, heavy tails, skewed scores, counts and diverged runs included.
2. The setting with the lowest such mean is compared with the best in a two-sided paired t-test. If both tests
   reject at 5%, it is worse and is removed; otherwise nothing further is declared worse.

With two settings the paired t-test decides alone. A p-value is the largest of all tests up to the removal.

A diverged run is worse than every finite score. In the permutation test it has the lowest rank, shared by all
diverged runs. In the t-test it counts as min - (max - min), over the finite scores of the two settings that are
compared, or min - 1 where these are all equal: as far below the worst score as that is below the best one. So a
setting whose runs all diverged is worse, from 5 seeds on, than one alone with it whose runs are all finite.

Measured by simulation (tests/sweep/test_statistics.py repeats all but the fourth with fewer sweeps):

- Any of k identical settings declared worse, in % of 20,000 sweeps a cell (normal scores; seeds correlated 0, .8;
  standard error .15):

      seeds       3         5         10
      k = 2   5.2, 4.9  5.4, 4.9  5.0, 5.3      (400,000 sweeps, correlation 0: 4.9, 5.0, 5.0)
      k = 5   2.2, 2.3  4.0, 4.1  4.6, 5.0
      k = 9   2.8, 3.0  4.4, 4.4  4.9, 5.0

  t(3), Cauchy and lognormal scores, 20% of runs collapsed to -1000: at most 4.5; counts (modes of 8 captured), 0/1
  scores, 20% or half of the runs diverged: at most 4.9, but for k = 2 at 10 seeds 5.5 (0/1) and 5.3 (half diverged).
- One setting worse than its k - 1 equals by one deviation, seeds correlated by .8, 4,000 sweeps: declared worse in

      seeds    3    5   10
      k = 2   33   75   99%
      k = 5   22   77  100%
      k = 9   29   82  100%

  Holm's correction of the paired t-tests of all pairs, which also accounts for the choice of the best, finds at 5
  seeds 38% for k = 5 and 15% for k = 9 (600 sweeps), hence the permutation test. One setting better than all others
  by one deviation: 74, 52 and 43% of the others are declared worse at 5 seeds.
- Not exact where settings have equal means but are not identical: standard deviations of 1 in some and .1 in the
  others gave at most 5.4% for k = 2, 4.5% for k = 5, and, for k = 9 with three or four noisy ones, 5.8, 8.1 and 9.1%
  at 3, 5 and 10 seeds (8,000 sweeps).
- t intervals of 3, 5 and 10 normal scores cover their mean in 94.8, 95.1 and 95.0% (20,000 times).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special, stats

LEVEL = 0.05  # of every test of `compare`
MIN_SEEDS = 3  # fewer seeds get no verdict
DRAWS = 4_999  # random permutations a test; with the observed arrangement 5,000
BLOCK = 2**22  # scores permuted at once, 32 MiB

BEST, SAME, WORSE, UNKNOWN = "best", "not distinguishable", "worse", ""


class Mean(NamedTuple):
    """A mean over the finite ones of several runs, and its t interval; NaN where there are too few."""

    mean: float
    low: float
    high: float
    n: int  # finite runs
    diverged: int  # runs that are in no mean

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
    n: int  # pairs with two finite scores, those of the mean and the interval
    diverged: int  # pairs with a diverged run, which count in the p-value alone
    p: float  # in [0, 1], two-sided; NaN under 2 pairs


class Rate(NamedTuple):
    """A share of successes and its exact interval, in [0, 1]; NaN without a trial."""

    rate: float
    low: float
    high: float
    successes: int
    n: int


class Verdict(NamedTuple):
    """What a sweep says about one setting."""

    label: str
    verdict: str  # 'best' (the highest mean), 'not distinguishable' from it, 'worse', or '' where nothing can be said
    mean: Mean  # over all finite runs of the setting
    # The best setting less this one, on the seeds compared; its interval and p-value know nothing of the other
    # settings and flatter the best. None for '' and for the best.
    difference: Difference | None
    p: float  # that the setting is as good as the best, corrected for all settings; NaN for '' and for the best
    seeds: int  # on which settings were compared: the seeds that all of them have


def mean_interval(values: Sequence[float | None] | np.ndarray, confidence: float = 0.95) -> Mean:
    """The mean of the finite values and its Student t interval: mean ± t(n - 1) s / sqrt(n).

    Args:
      values: [n] one a run; None, NaN and ±inf mean that it diverged. They are counted, not averaged.
      confidence: probability, in (0, 1), that the interval of normal values covers their mean.

    Returns:
      The interval is NaN under 2 finite values, the mean under 1.
    """
    scores = _scores(values)
    finite = scores[np.isfinite(scores)]
    n = len(finite)
    diverged = len(scores) - n
    mean = float(finite.mean()) if n else math.nan
    if n < 2:
        return Mean(mean, math.nan, math.nan, n, diverged)
    half = float(stats.t.ppf((1 + confidence) / 2, n - 1) * finite.std(ddof=1) / math.sqrt(n))
    return Mean(mean, mean - half, mean + half, n, diverged)


def paired_difference(
    a: Sequence[float | None] | np.ndarray, b: Sequence[float | None] | np.ndarray, confidence: float = 0.95
) -> Difference:
    """Compares two settings that were chosen before the scores were seen, paired by seed.

    Args:
      a: [n] scores, larger is better, of the same n seeds in the same order as `b`. None, NaN and ±inf mean that
        the run diverged.
      b: [n].
      confidence: of the interval, in (0, 1).

    Returns:
      Mean and interval of a - b over the pairs with two finite scores. The p-value is of all pairs, a diverged run
      counted as worse than any finite one (see the module's text). It is 0 where all differences are equal and
      not 0. For several comparisons correct the p-values with `holm`.

    Raises:
      ValueError: a and b differ in length.
    """
    first, second = _scores(a), _scores(b)
    if len(first) != len(second):
        raise ValueError(f"a has {len(first)} scores and b {len(second)}; give one of each per seed, in one order.")
    both = np.isfinite(first) & np.isfinite(second)
    mean = mean_interval(first[both] - second[both], confidence)
    p = float(_t_test(first, second)[1]) if len(first) > 1 else math.nan
    return Difference(mean.mean, mean.low, mean.high, mean.n, len(first) - mean.n, p)


def rate_interval(successes: int, n: int, confidence: float = 0.95) -> Rate:
    """The share of successes among n runs and its Clopper-Pearson interval, which covers at least as often as told.

    Raises:
      ValueError: not 0 <= successes <= n.
    """
    if n == 0 and successes == 0:
        return Rate(math.nan, math.nan, math.nan, 0, 0)
    found = stats.binomtest(successes, n).proportion_ci(confidence, method="exact")
    return Rate(successes / n, float(found.low), float(found.high), successes, n)


def paired_rates(a: Sequence[bool] | np.ndarray, b: Sequence[bool] | np.ndarray) -> float:
    """The p-value that two settings succeed equally often, paired by seed: McNemar's test, exact and two-sided.

    Only seeds that succeed under one of the two say anything: under equal rates each is as likely a success of a as
    of b. 1 where there is no such seed.

    Args:
      a, b: [n] successes of the same n seeds in the same order.

    Raises:
      ValueError: a and b differ in length.
    """
    first, second = np.asarray(a, bool), np.asarray(b, bool)
    if first.shape != second.shape:
        raise ValueError(f"a has {len(first)} successes and b {len(second)}; give one of each per seed, in one order.")
    only_a, differ = int(np.sum(first & ~second)), int(np.sum(first != second))
    return float(stats.binomtest(only_a, differ).pvalue) if differ else 1.0


def holm(p_values: ArrayLike) -> np.ndarray:
    """Holm's step-down correction (1979, Scandinavian Journal of Statistics 6(2)), for comparisons planned beforehand.

    Args:
      p_values: [k] in [0, 1].

    Returns:
      [k] float64 in [0, 1]: rejecting where it is at most a declares any true hypothesis false with probability a
      or less, however the tests depend on each other.
    """
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(stepped, 1)
    return corrected


def compare(scores: Mapping[str, Mapping[int, float | None]]) -> list[Verdict]:
    """Which settings of a sweep are worse than the best one, as the module's text says; the same every time.

    Args:
      scores: {label of a setting: {seed: score}}, larger is better; None, NaN and ±inf mean that the run diverged.
        A seed that is absent has no result yet: settings with under 3 seeds are left out, and the others compared
        on the seeds that they all have.

    Returns:
      One verdict a setting, in the order given. All are '' where fewer than two settings can be compared, where
      they have fewer than 3 seeds in common, and where all their runs diverged.
    """
    means = {label: mean_interval(list(of.values())) for label, of in scores.items()}
    judged = [label for label, of in scores.items() if len(of) >= MIN_SEEDS]
    compared = judged if len(judged) > 1 else list(scores)
    shared = sorted(set.intersection(*(set(scores[label]) for label in compared))) if compared else []
    columns = [_scores([scores[label][seed] for seed in shared]) for label in judged]
    silent = len(judged) < 2 or len(shared) < MIN_SEEDS or not np.isfinite(columns).any()
    if silent:
        return [Verdict(label, UNKNOWN, mean, None, math.nan, len(shared)) for label, mean in means.items()]
    best, p = p_values(np.stack(columns, axis=1)[None])
    reference = columns[best[0]]

    def verdict(label: str) -> Verdict:
        if label not in judged:
            return Verdict(label, UNKNOWN, means[label], None, math.nan, len(shared))
        i = judged.index(label)
        if i == best[0]:
            return Verdict(label, BEST, means[label], None, math.nan, len(shared))
        word = WORSE if p[0, i] <= LEVEL else SAME
        difference = paired_difference(reference, columns[i])
        return Verdict(label, word, means[label], difference, float(p[0, i]), len(shared))

    return [verdict(label) for label in scores]


def p_values(
    scores: np.ndarray, *, draws: int = DRAWS, seed: int = 0, stop: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """`compare` on arrays, for many sweeps of one shape at once.

    Args:
      scores: [sweeps, seeds, settings] float, at least 2 seeds and 2 settings; not finite: the run diverged.
      draws: random permutations a test.
      seed: of the permutations.
      stop: a sweep's elimination ends when its p-value is above; what is left gets that p-value.

    Returns:
      The index of the best setting, [sweeps], and corrected p-values, [sweeps, settings] in [0, 1], NaN for the
      best one.
    """
    scores = np.where(np.isfinite(scores), np.asarray(scores, np.float64), -np.inf)
    rng = np.random.default_rng(seed)
    best = np.argmax(_penalized(scores).mean(axis=1), axis=1)
    settings = np.broadcast_to(np.arange(scores.shape[2]), (len(scores), scores.shape[2]))
    # The settings that remain, [sweeps, m]: the best first, then the others in their order.
    left = np.take_along_axis(settings, np.argsort(settings != best[:, None], axis=1, kind="stable"), axis=1)
    p = np.full(settings.shape, np.nan)
    running = np.zeros(len(scores))  # the largest p-value so far
    active = np.arange(len(scores))
    while left.shape[1] > 1 and len(active):
        remaining = np.take_along_axis(scores[active], left[:, None, :], axis=2)
        identical, worst = _permutation_test(remaining, draws, rng)
        other = np.take_along_axis(remaining, worst[:, None, None], axis=2)[..., 0]
        t, unequal = _t_test(remaining[..., 0], other)
        unequal = np.where(t > 0, unequal, 1.0)
        running[active] = np.maximum(running[active], np.maximum(identical, unequal))
        # Also for those that remain: they are no more different from the best.
        p[active[:, None], left[:, 1:]] = running[active, None]
        keep = np.arange(left.shape[1]) != worst[:, None]
        left = left[keep].reshape(len(active), -1)
        going = running[active] <= stop
        active, left = active[going], left[going]
    return best, p


def _permutation_test(scores: np.ndarray, draws: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The p-value that all settings are identical, [sweeps], and the index of the lowest one but the first, [sweeps].

    Args:
      scores: [sweeps, seeds, settings], the best setting first; diverged runs -inf. With two settings the p-value
        is 0: the t-test decides.
    """
    normal = _normal_scores(scores)
    means = normal.mean(axis=1)
    worst = 1 + np.argmin(means[:, 1:], axis=1)
    sweeps, seeds, settings = scores.shape
    if settings == 2:
        return np.zeros(sweeps), worst
    observed = np.ptp(means, axis=1)
    as_large = np.ones(sweeps)  # the observed arrangement is one of them
    step = max(1, BLOCK // (draws * seeds * settings))
    for at in range(0, sweeps, step):
        block = slice(at, at + step)
        copies = np.repeat(normal[block, None], draws, axis=1)
        rng.permuted(copies, axis=-1, out=copies)
        ranges = np.ptp(copies.mean(axis=2), axis=-1)
        # Sums in another order are equal to rounding only.
        as_large[block] += np.sum(ranges >= observed[block, None] - 1e-9, axis=1)
    return as_large / (draws + 1), worst


def _normal_scores(scores: np.ndarray) -> np.ndarray:
    """Aligned normal scores [sweeps, seeds, settings]: less the seed's median, as quantiles of the normal law."""
    finite = np.isfinite(scores)
    some = finite.any(axis=2, keepdims=True)
    center = np.nanmedian(np.where(some, np.where(finite, scores, np.nan), 0.0), axis=2, keepdims=True)
    aligned = (scores - center).reshape(len(scores), -1)
    ranks = stats.rankdata(aligned, axis=1).reshape(scores.shape)
    return special.ndtri(ranks / (aligned.shape[1] + 1))


def _t_test(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """t and the two-sided p-value of the paired t-test of a and b, [..., n] each, a diverged run counted as worst."""
    a, b = np.moveaxis(_penalized(np.stack([a, b], axis=-1)), -1, 0)
    differences = a - b
    n = differences.shape[-1]
    mean, error = differences.mean(axis=-1), differences.std(axis=-1, ddof=1) / math.sqrt(n)
    certain = np.where(mean == 0, 0.0, np.copysign(np.inf, mean))
    t = np.divide(mean, error, out=certain, where=error > 1e-12 * np.abs(mean))
    return t, 2 * stats.t.sf(np.abs(t), n - 1)


def _penalized(scores: np.ndarray) -> np.ndarray:
    """[..., n, k] with the scores that are not finite replaced, in each [n, k], by min - (max - min) of the finite."""
    finite = np.isfinite(scores)
    low = np.min(scores, axis=(-2, -1), keepdims=True, initial=np.inf, where=finite)
    high = np.max(scores, axis=(-2, -1), keepdims=True, initial=-np.inf, where=finite)
    low, high = np.where(np.isfinite(low), low, 0.0), np.where(np.isfinite(high), high, 0.0)
    distance = np.where(high > low, high - low, 1.0)
    return np.where(finite, scores, low - distance)


def _scores(values: Sequence[float | None] | np.ndarray) -> np.ndarray:
    """[n] float64, None as NaN."""
    return np.array([math.nan if value is None else value for value in values], np.float64)
