"""The whole tree of a configuration. Most sections are declared by the modules that use them, those of a whole run
here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import numpy as np

from jaxgan.algorithm1 import UPDATES
from jaxgan.augment.section import AugmentSection
from jaxgan.conditions import CONDITIONS, ConditionSection
from jaxgan.data import DataSection
from jaxgan.distributed import DistributedSection
from jaxgan.ema import EmaSection
from jaxgan.evaluation.checks import EvaluateSection
from jaxgan.fields import Choice, OneOf, Traced, above, at_least, below, one_of, within
from jaxgan.game.prior import PriorSection
from jaxgan.networks import DISCRIMINATORS, ENCODERS, GENERATORS
from jaxgan.objectives.section import ObjectiveSection
from jaxgan.optimizers import OptimizersSection


@dataclass(frozen=True)
class GeneratorSection:
    """G, whatever its family."""

    name: Annotated[str, Choice(GENERATORS)] = "mlp"  # a family of jaxgan/networks
    initialize_from: str = ""  # a work directory whose G initializes the last layers of this G
    frozen: bool = False  # keep G fixed, and train only its encoder (inference after training)
    ema: EmaSection = EmaSection()  # averages of theta_g over the steps; samples and scores use the first one


@dataclass(frozen=True)
class EncoderSection:
    """The encoder E, which infers z from x; it is trained with G, by objective.regression or by the game itself."""

    name: Annotated[str, Choice(ENCODERS)] = "none"  # none | a family of jaxgan/networks
    # D distinguishes pairs (x, E(x)) from (G(z), z), and G and E descend D's loss with its arguments exchanged (ALI and
    # BiGAN, arXiv:1606.00704, arXiv:1605.09782)
    joint: bool = False
    noise: Annotated[int, at_least(0)] = 0  # standard normal inputs of E in addition to x, if x does not determine z


@dataclass(frozen=True)
class DiscriminatorSection:
    """D, whatever its family."""

    name: Annotated[str, Choice(DISCRIMINATORS)] = "mlp"  # a family of jaxgan/networks
    # what the losses are means over: examples | the patches of examples, of a family that has them (patch)
    judged: Annotated[str, one_of("example", "patch")] = "example"
    packing: Annotated[int, above(0)] = 1  # examples that D classifies jointly (PacGAN, arXiv:1712.04086)


@dataclass(frozen=True)
class TrainSection:
    """The length of training, the minibatches and the update rule."""

    steps: Annotated[int, above(0)] = 20_000  # iterations of Algorithm 1's outer loop
    batch_size: Annotated[int, above(0)] = 64  # m, over all devices and hosts
    d_steps: Annotated[int, above(0)] = 1  # k, ascent steps on D for each descent step on G
    g_batch_size: Annotated[int, at_least(0)] = 0  # minibatch of G's step; 0 = batch_size
    # microbatches per minibatch, processed one at a time to save memory; their mean gradient makes one update
    accumulate: Annotated[int, above(0)] = 1
    # alternating: Algorithm 1 | simultaneous: the 2014 code | extragradient (arXiv:1802.10551) | unrolled:
    # simultaneous, with G's loss at an unrolled D (arXiv:1611.02163) | simultaneous with a second-order term
    # (objectives/adjustments.py): consensus, symplectic, symplectic_aligned; all but the first require d_steps=1.
    update: Annotated[str, OneOf(UPDATES)] = "alternating"
    # unrolled steps of D with update=unrolled, each as expensive as one of D's own
    unrolled_steps: Annotated[int, above(0)] = 5
    unrolled_gradient: bool = True  # whether G's gradient passes through these steps
    # steps between synchronizations of both players with slow weights (Lookahead, arXiv:2006.14567); 0 = never
    lookahead: Annotated[int, at_least(0)] = 0
    lookahead_rate: Annotated[float, within(0, 1)] = 0.5  # interpolation from slow (0) to fast weights (1)
    # of matrix products, in JAX's terms: highest | high | default | bfloat16: operands of large ones in bfloat16, the
    # other products high, and everything else in float32
    precision: Annotated[str, one_of("highest", "high", "default", "bfloat16")] = "highest"
    # with precision=bfloat16, convolutions of grids with a side of at most this many pixels stay float32
    float32_grid: Annotated[int, at_least(0)] = 4
    # on GPUs, the same bits in every process, by kernels that are a few percent slower; CPUs always have them
    deterministic: bool = False
    # stop | restore: back to the last checkpoint, with different random numbers ...
    on_divergence: Annotated[str, one_of("stop", "restore")] = "stop"
    max_restores: Annotated[int, at_least(0)] = 3  # ... at most this many times


@dataclass(frozen=True)
class LogSection:
    every: Annotated[int, above(0)] = 100  # steps between lines of metrics.jsonl, each the mean since the line before


@dataclass(frozen=True)
class SampleSection:
    every: Annotated[int, at_least(0)] = 1000  # steps between sample grids; 0 = only at the end
    rows: Annotated[int, above(0)] = 10  # the grid is rows x rows images


@dataclass(frozen=True)
class CheckpointSection:
    every: Annotated[int, above(0)] = 1000  # steps between checkpoints
    keep: Annotated[int, above(0)] = 2  # newest checkpoints to keep, in addition to the best one


@dataclass(frozen=True)
class Root:
    """A whole configuration."""

    # determines initial parameters, data order, noise and dropout
    seed: Annotated[int, Traced(np.uint32), at_least(0), below(2**32)] = 0
    conditional: Annotated[str, OneOf(CONDITIONS)] = "none"  # short for condition.name
    condition: ConditionSection = ConditionSection()
    data: DataSection = DataSection()
    prior: PriorSection = PriorSection()
    generator: GeneratorSection = GeneratorSection()
    discriminator: DiscriminatorSection = DiscriminatorSection()
    encoder: EncoderSection = EncoderSection()
    objective: ObjectiveSection = field(default_factory=ObjectiveSection)
    augment: AugmentSection = AugmentSection()
    optimizer: OptimizersSection = OptimizersSection()
    train: TrainSection = TrainSection()
    log: LogSection = LogSection()
    sample: SampleSection = SampleSection()
    evaluate: EvaluateSection = EvaluateSection()
    checkpoint: CheckpointSection = CheckpointSection()
    distributed: DistributedSection = DistributedSection()
