"""Rejection sampling by D (arXiv:1810.06758): a candidate G(z) is accepted with a probability that D's logit gives.

If the logit is log p/q, as it is for an optimal D and a loss whose output is a probability, the accepted samples
follow p, whatever q is.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan.conditions import Condition
from jaxgan.errors import UserError
from jaxgan.game.gan import Gan
from jaxgan.game.hparams import HParams
from jaxgan.game.sampling import sample_inputs, sampling_params
from jaxgan.game.state import GanState

BATCH = 1000  # candidates at a time
BURN_IN = 10_000  # candidates whose logits determine the level
BURN_IN_ATTEMPT = np.uint32(2**32 - 1)  # number of their attempt, which no sample reaches
MOST_ATTEMPTS = 1000  # candidates per sample, on average
ACCEPT = 2  # of a candidate's key; `sample_inputs` uses those below it


def make_rejection_sampler(gan: Gan) -> Callable[..., tuple[np.ndarray, float]]:
    """Compiles rejection sampling.

    Returns:
      A function (hparams, state, key, n, quantile, *, ema=0, condition=None) -> n samples [n, *shape] float32, and the
      fraction of candidates accepted. A candidate with logit d is accepted with probability min(1, exp(d - l)),
      where l is the quantile of the logits of `BURN_IN` candidates: 1 for their maximum, less to accept more, from a
      distribution between q and p. Sample i is the first accepted of its own candidates, whatever n is.
    """
    prepare = jax.jit(partial(sampling_params, gan), static_argnames="ema")

    @jax.jit
    def candidates(shared: Any, numbers: jax.Array, attempts: jax.Array, condition: Condition | None):
        """Candidates [BATCH, *shape], their logits, and the logarithms of uniform numbers."""
        hparams, key, params, stats, D = shared
        fold = jax.vmap(jax.random.fold_in)
        keys = fold(jax.vmap(partial(jax.random.fold_in, key))(attempts), numbers)
        z, sampled = sample_inputs(gan, hparams, keys)
        c = sampled if condition is None else condition
        x = gan.G(params, stats, z, c)[0]
        logits = gan.D(D.params, D.stats, x, gan.fake_condition(c, z))[0].logits
        uniform = jax.vmap(lambda key: jax.random.uniform(jax.random.fold_in(key, ACCEPT)))(keys)
        return x, logits, jnp.log(uniform)

    def sampler(
        hparams: HParams,
        state: GanState,
        key: jax.Array,
        n: int,
        quantile: float,
        *,
        ema: int | None = 0,
        condition: Condition | None = None,
    ) -> tuple[np.ndarray, float]:
        shared = hparams, key, *prepare(hparams, state, ema=ema), state.discriminator

        def draw(numbers: np.ndarray, attempts: np.ndarray) -> tuple[np.ndarray, ...]:
            """`candidates` for up to BATCH numbers and attempts."""
            padding = (0, BATCH - len(numbers))
            padded, tries = (np.pad(a, padding).astype(np.uint32) for a in (numbers, attempts))
            c = jax.tree.map(lambda leaf: jnp.asarray(leaf)[padded % n], condition)
            return tuple(np.asarray(a)[: len(numbers)] for a in candidates(shared, padded, tries, c))

        starts = np.arange(0, BURN_IN, BATCH)
        burn_in = [draw(np.arange(start, start + BATCH), np.full(BATCH, BURN_IN_ATTEMPT))[1] for start in starts]
        return accept(draw, n, level=float(np.quantile(np.concatenate(burn_in), quantile)))

    return sampler


def accept(draw: Callable[..., tuple[np.ndarray, ...]], n: int, *, level: float) -> tuple[np.ndarray, float]:
    """The first accepted candidate of each of n samples, and the fraction of candidates that were accepted.

    Args:
      draw: (numbers of samples, numbers of their attempts), up to BATCH -> candidates, logits, log of uniform numbers.
      level: the logit from which on every candidate is accepted.

    Raises:
      UserError: too few candidates are accepted.
    """
    found: dict[int, np.ndarray] = {}
    attempts, pending = np.zeros(n, np.int64), np.arange(n)
    while len(pending):
        if attempts.sum() > MOST_ATTEMPTS * n:
            raise UserError(
                f"D accepts fewer than one in {MOST_ATTEMPTS} samples; use a lower quantile of its logits, such as .8."
            )
        chosen = pending[:BATCH]
        each = BATCH // len(chosen)  # attempts at once
        numbers, tries = np.repeat(chosen, each), np.tile(np.arange(each), len(chosen))
        x, logits, log_uniform = draw(numbers, attempts[numbers] + tries)
        accepted = (log_uniform < logits - level).reshape(len(chosen), each)
        first = np.where(accepted.any(axis=1), accepted.argmax(axis=1), each)
        for row in np.flatnonzero(first < each):
            found[int(chosen[row])] = x[row * each + first[row]]
        attempts[chosen] += np.minimum(first + 1, each)
        pending = np.concatenate([chosen[first == each], pending[BATCH:]])
    return np.stack([found[i] for i in range(n)]), n / int(attempts.sum())
