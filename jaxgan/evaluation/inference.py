"""Inputs of metrics of the encoder: what it infers from held-out examples and from samples of known z."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from jaxgan.data import Dataset
from jaxgan.evaluation.samples import examples_condition
from jaxgan.game.batches import stored_examples
from jaxgan.game.gan import Gan
from jaxgan.game.hparams import HParams
from jaxgan.game.sampling import sample_keys, sample_z, sampling_params
from jaxgan.game.state import GanState, run_stream
from jaxgan.metrics import METRICS
from jaxgan.metrics.protocol import ENCODER_INPUTS
from jaxgan.metrics.reconstruction import EXAMPLES

Inferences = dict[str, dict[str, np.ndarray]]  # input of a metric -> split -> array


def make_inferences(config: ConfigDict, gan: Gan, dataset: Dataset) -> Callable[..., Inferences]:
    """Builds the inputs `ENCODER_INPUTS` of metrics, of the first examples of both splits.

    Returns:
      A function (hparams, state, ema) -> Inferences; {} if no metric needs them.
    """
    if not any("inferred" in METRICS[name].needs for name in config.evaluate.metrics):
        return lambda *_: {}
    splits = dict.fromkeys(("validation", config.evaluate.split))

    @partial(jax.jit, static_argnames="ema")
    def infer(hparams: HParams, state: GanState, x: jax.Array, condition, *, ema: int | None) -> tuple[jax.Array, ...]:
        params, stats = sampling_params(gan, hparams, state, ema=ema)
        key, numbers = run_stream(hparams, "evaluate"), jnp.arange(len(x), dtype=jnp.uint32)
        keys, z = sample_keys(key, numbers), sample_z(gan, hparams, key, numbers)
        G = lambda z: gan.G(params, stats, z, condition)[0]  # noqa: E731
        E = lambda x: gan.E(hparams, params, x, condition, keys)  # noqa: E731
        inferred = E(x)
        return x, G(inferred), inferred, z, E(G(z))

    def inferences(hparams: HParams, state: GanState, ema: int | None) -> Inferences:
        found = {}
        for split in splits:
            examples = stored_examples(gan, dataset, split)
            n = min(EXAMPLES, len(examples.x))
            condition = examples_condition(gan, hparams, examples, np.arange(n))
            x = gan.decode(jnp.asarray(examples.x[:n]))
            found[split] = [np.asarray(a) for a in infer(hparams, state, x, condition, ema=ema)]
        return {name: {split: found[split][i] for split in splits} for i, name in enumerate(ENCODER_INPUTS)}

    return inferences
