"""Post-hoc EMA: reconstructs an average of G from the snapshots in all checkpoints of a run (`jaxgan.ema`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from jaxgan import ema
from jaxgan.errors import UserError
from jaxgan.game.gan import Gan
from jaxgan.game.state import GanState
from jaxgan.run.checkpoints import Checkpoints

MAX_WIDTH_ERROR = 0.25  # relative error of the fitted weights of a post-hoc EMA: 0 exact, 1 unrelated


def checkpoint_states(checkpoints: Checkpoints, target: GanState, last: int) -> Iterator[tuple[int, GanState]]:
    """Steps and states of all checkpoints up to `last`; skips those that a training process deletes meanwhile."""
    for n in checkpoints.steps():
        if n <= last:
            try:
                restored = checkpoints.restore(target, step=n)
            except UserError:
                if n in checkpoints.steps():
                    raise
                continue
            assert restored is not None
            yield n, restored[1]


def with_width(
    gan: Gan, state: GanState, states: Iterable[tuple[int, GanState]], *, step: int, width: float
) -> tuple[Gan, GanState]:
    """Prepends the post-hoc EMA of a relative width at `step` to the averages.

    Args:
      states: the steps and states of checkpoints.
    """
    target = ema.Snapshot(ema.gamma_from_sigma_rel(width), step)
    indices = [i for i, average in enumerate(gan.averages.rules) if average.kind == "gamma"]
    if not indices:
        raise UserError("width needs a run with power-function averages; train with generator.ema.gamma=(...).")
    stored = [(ema.Snapshot(gan.averages.rules[i].number, n), old.averages[i]) for n, old in states for i in indices]
    weights, error = ema.posthoc_weights([snapshot for snapshot, _ in stored], target)
    if error > MAX_WIDTH_ERROR:
        raise UserError(
            f"the averages of {len(stored) // len(indices)} checkpoints cannot represent width {width:g}: the weights "
            f"would be off by {error:.0%}; raise checkpoint.keep, or keep two averages (generator.ema.gamma)."
        )
    average = ema.Average(f"width={width:g}", "gamma", target.gamma)
    params = ema.reconstruct((params for _, params in stored), weights)
    averages = gan.averages._replace(rules=(average, *gan.averages.rules))
    return gan._replace(averages=averages), state._replace(averages=(params, *state.averages))
