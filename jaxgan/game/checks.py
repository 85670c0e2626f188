"""What parts of a game exclude each other, found out before training."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from jaxgan.augment import InstanceNoise, NoAugment
from jaxgan.conditions import Condition
from jaxgan.errors import UserError
from jaxgan.game.accumulation import coupled_examples_error
from jaxgan.game.gan import Gan
from jaxgan.networks.norms import STATISTICS


def check_condition(config: ConfigDict, condition: Condition, augment: NoAugment) -> None:
    """Raises UserError for parts of the game that would change an example but not its condition."""
    if condition.image is None and condition.mask is None:
        return
    name = f"condition.name={config.condition.name}"
    if config.data.gcn:
        raise UserError(f"data.gcn normalizes an image by its own mean, which {name} does not know; set data.gcn=0.")
    changed = [] if isinstance(augment, InstanceNoise) or type(augment) is NoAugment else ["augment.name=none"]
    changed += ["objective.consistency off"] if any(config.objective.consistency.values()) else []
    if changed:
        raise UserError(f"{name} shows D an image that an augmentation of x would not change; set {changed[0]}.")


def check_outputs(config: ConfigDict, discriminator: nn.Module) -> None:
    """Raises UserError if D is to predict classes or a code, or to judge patches, and has no outputs for them."""
    data, patches = discriminator.data, config.discriminator.judged == "patch"
    if not (data.num_aux_classes or data.num_latents or patches):
        return
    x = jax.ShapeDtypeStruct((getattr(discriminator, "minibatch_deviation", 0) or 1, *data.shape), jnp.float32)
    output, _ = jax.eval_shape(discriminator.init_with_output, jax.random.key(0), x)
    if patches and output.patches is None:
        raise UserError(
            f"discriminator.name={config.discriminator.name} has one logit per example; set discriminator.judged="
            f"example, or take discriminator.name=patch."
        )
    if data.num_latents and output.latents is None:
        raise UserError(
            f"discriminator.name={config.discriminator.name} has no outputs for a code; choose another family or set "
            f"objective.code.weight to 0."
        )
    if data.num_aux_classes and (output.classes is None or output.classes.shape[1:] != (data.num_aux_classes,)):
        raise UserError(
            f"discriminator.name={config.discriminator.name} has no auxiliary classifier; choose another family or set "
            f"objective.auxiliary to 0."
        )


def check_statistics(config: ConfigDict, gan: Gan) -> None:
    """Raises UserError for networks that couple examples, where penalties or the minibatch do not allow it."""
    m = min(gan.batch_size, gan.g_batch_size)
    smallest = {"generator": m, "discriminator": m // config.discriminator.packing}
    conditioned = gan.conditional and not gan.num_classes
    optimized = gan.objective.optimize_z is not None
    matched = gan.objective.features
    # These need networks that take each example alone.
    alone = gan.objective.penalties or conditioned or optimized or matched
    if gan.accumulate == 1 and min(smallest.values()) > 1 and not alone:
        return
    # The state tells, whatever a family calls its field.
    shapes = jax.eval_shape(gan.init, {"seed": np.uint32(0)})
    if conditioned and STATISTICS in shapes.generator.stats:
        raise UserError(
            f"the batch normalization of generator.name={config.generator.name} needs statistics over z alone, and G "
            f"is also given condition.name={config.condition.name}; take a G without it (generator.norm=none)."
        )
    coupled = STATISTICS in shapes.discriminator.stats or config.discriminator.get("minibatch_deviation", 0)
    if optimized and (coupled or STATISTICS in shapes.generator.stats):
        raise UserError(
            "objective.latent_optimization moves each z alone, and G or D couples its examples by batch normalization "
            "or minibatch_deviation; take networks without them, such as those with norm=none or layer."
        )
    if matched and STATISTICS in shapes.discriminator.stats:
        raise UserError(
            f"objective.matching compares D's features of data and samples, which the batch normalization of "
            f"discriminator.name={config.discriminator.name} makes alike; take a D without it, such as one with "
            f"discriminator.norm=none, layer or spectral."
        )
    if gan.objective.penalties and coupled:
        raise UserError(
            f"objective.penalties are per example, and discriminator.name={config.discriminator.name} couples its "
            f"examples by batch normalization or minibatch_deviation; take a D without them, such as one with "
            f"discriminator.norm=none, layer or spectral."
        )
    for name, examples in smallest.items():
        if STATISTICS not in getattr(shapes, name).stats:
            continue
        what = f"the batch normalization of {name}.name={config[name].name}"
        if gan.accumulate > 1:
            raise coupled_examples_error(gan.accumulate, what)
        if examples < 2:
            key = "g_batch_size" if gan.g_batch_size < gan.batch_size else "batch_size"
            packs = f" in packs of {config.discriminator.packing}" if config.discriminator.packing > 1 else ""
            raise UserError(
                f"{what} has statistics over a minibatch, which is {examples} at train.{key}="
                f"{config.train[key]}{packs}; make it larger, or take networks without batch normalization."
            )
