"""LeCam regularization (arXiv:2104.03310): D's logits stay near their moving averages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxgan.fields import TRACED, Weight, at_least, within
from jaxgan.objectives.terms.protocol import DTermInputs, Part


def lecam_part(term: LeCam, inputs: DTermInputs) -> Array:
    value = jnp.mean(lecam(inputs.real_logits, inputs.fake_logits, *inputs.stats["lecam"]))
    return (inputs.count.astype(jnp.float32) > term.start).astype(value.dtype) * value


@dataclass(frozen=True)
class LeCam:
    """D's logits stay near their moving averages (arXiv:2104.03310)."""

    weight: Weight = 0.0  # .3 in the authors' code
    decay: Annotated[float, TRACED, within(0, 1, "[)")] = 0.99  # of the moving averages
    start: Annotated[float, TRACED, at_least(0)] = 1000.0  # updates of D before the term counts

    D_PARTS: ClassVar = (Part("lecam", "LeCam, weighted", "weight", lecam_part, couples_examples=True),)
    G_PARTS: ClassVar = ()

    def init_state(self) -> LeCamAnchors:
        return initial_anchors()

    def update_state(self, anchors: LeCamAnchors, inputs: DTermInputs) -> LeCamAnchors:
        logits = inputs.real_logits, inputs.fake_logits
        return update_anchors(anchors, *logits, step=inputs.count, start=self.start, decay=self.decay)


class LeCamAnchors(NamedTuple):
    """Scalar float32: moving averages of D's logits on data and on fakes. State, to be checkpointed."""

    real: Array
    fake: Array


def initial_anchors() -> LeCamAnchors:
    return LeCamAnchors(jnp.zeros((), jnp.float32), jnp.zeros((), jnp.float32))


def update_anchors(
    anchors: LeCamAnchors,
    real_logits: Array,
    fake_logits: Array,
    *,
    step: ArrayLike,
    start: ArrayLike,
    decay: ArrayLike,
) -> LeCamAnchors:
    """Updates the anchors, before the step of D that uses them: decay * anchor + (1 - decay) * mean logit.

    Before `start` they are the means of the current minibatch, so their initial values do not matter.

    Args:
      anchors: before the step.
      real_logits, fake_logits: [n] float, of the GLOBAL minibatch, so that the anchors are equal on all devices.
      step: scalar integer, D steps before this one.
      start: averaging begins at this step; the term is part of the loss if step > start (1000 in public code).
      decay: in [0, 1); .9 in the authors' code, .99 in StudioGAN.

    Source: lecam-gan, third_party/utils.py.
    """
    decay = jnp.where(jnp.asarray(step, jnp.float32) < start, 0.0, jnp.asarray(decay, jnp.float32))

    def update(anchor: Array, logits: Array) -> Array:
        mean = jax.lax.stop_gradient(jnp.mean(logits)).astype(anchor.dtype)
        return anchor + (1 - decay).astype(anchor.dtype) * (mean - anchor)

    return LeCamAnchors(update(anchors.real, real_logits), update(anchors.fake, fake_logits))


def lecam(real_logits: Array, fake_logits: Array, real_anchor: Array, fake_anchor: Array) -> Array:
    """max(0, D(x) - fake anchor)^2 + max(0, real anchor - D(G(z)))^2, in D's loss.

    Keeps the logits of each side near the moving average of the other. The paper has plain squares; this follows the
    authors' code.

    Args:
      real_logits, fake_logits: [n] float.
      real_anchor, fake_anchor: scalar float; no gradient flows through them.

    Returns:
      [n] float. Public weights: .3 (CIFAR-10, hinge), .01 (AFHQ).
    """
    real_anchor, fake_anchor = (
        jax.lax.stop_gradient(jnp.asarray(anchor, jnp.result_type(real_logits)))
        for anchor in (real_anchor, fake_anchor)
    )
    return jnp.square(jax.nn.relu(real_logits - fake_anchor)) + jnp.square(jax.nn.relu(real_anchor - fake_logits))
