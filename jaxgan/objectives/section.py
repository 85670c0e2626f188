"""The section `objective`: what the players descend."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from ml_collections import ConfigDict

from jaxgan.fields import INLINE, SWITCHED, TRACED, Choice, Traced, above, at_least, one_of, within
from jaxgan.objectives.gradient_normalization import GradientNormalization
from jaxgan.objectives.latent_optimization import LatentOptimization
from jaxgan.objectives.losses import LOSSES
from jaxgan.objectives.penalties import PENALTIES
from jaxgan.objectives.terms import TERMS
from jaxgan.schedules import ScheduleSection


@dataclass(frozen=True)
class ObjectiveSection:
    """What the players descend."""

    loss: Annotated[str, Choice(LOSSES)] = "non_saturating"  # of jaxgan/objectives/losses.py
    # D's loss is multiplied by this; 1/2 in the 2014 code, whose D loss is -V/2
    d_scale: Annotated[float, TRACED, above(0)] = 1.0
    # G's loss, without its terms, is multiplied by this; 0 leaves only the terms
    g_scale: Annotated[float, TRACED, at_least(0)] = 1.0
    # how D predicts classes, if a term trains it to. auxiliary: outputs of their own beside the logit | outputs: K
    # outputs whose logsumexp is the logit, so that D tells K classes of data from samples (arXiv:1606.03498)
    classes: Annotated[str, one_of("auxiliary", "outputs")] = "auxiliary"
    # weights, 0 = off; of jaxgan/objectives/penalties.py
    penalties: Annotated[Mapping[str, float], SWITCHED, at_least(0)] = field(
        default_factory=lambda: dict.fromkeys(PENALTIES, 0.0)
    )
    # updates of D from one with penalties to the next, their weights times this
    penalty_every: Annotated[int, above(0)] = 1
    penalty_schedule: ScheduleSection = ScheduleSection()  # of a factor of all these weights, which starts from 1
    # of jaxgan/objectives/terms
    terms: Annotated[Mapping[str, Any], INLINE] = field(
        default_factory=lambda: {name: term() for name, term in TERMS.items()}
    )
    latent_optimization: LatentOptimization = LatentOptimization()  # of the z of both players (LOGAN)
    gradient_normalization: GradientNormalization = GradientNormalization()  # of what G gets from D
    # weight of the term of train.update=consensus and the symplectic ones
    adjustment: Annotated[float, TRACED, at_least(0)] = 1.0
    # share of the minibatch, that with the largest logits, that G descends (arXiv:2002.06224)
    top_k: Annotated[float, Traced(switch=lambda share: share < 1), within(0, 1, "(]")] = 1.0


def couplings(objective: ConfigDict) -> Iterator[str]:
    """The parts of the objective whose value at an example depends on the others of the minibatch, as KEY=VALUE."""
    if LOSSES[objective.loss].couples_examples:
        yield f"objective.loss={objective.loss}"
    if objective.top_k < 1:
        yield "objective.top_k"
    if objective.gradient_normalization.target:
        yield "objective.gradient_normalization"
    yield from (
        f"objective.penalties.{name}"
        for name, p in PENALTIES.items()
        if p.couples_examples and objective.penalties[name]
    )
    for name, term in TERMS.items():
        if any(part.couples_examples and objective[name][part.weight] for part in term.D_PARTS + term.G_PARTS):
            yield f"objective.{name}"
