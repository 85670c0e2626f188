"""Inference of z: the encoder E, whose parameters are part of theta_g, and games on pairs (x, z) (ALI, BiGAN).

theta_g is then {"decoder": G's parameters, "encoder": E's}, so that both are one player with one optimizer.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from jaxgan.conditions import Condition, conditioned_discriminator, join_channels
from jaxgan.errors import UserError
from jaxgan.fields import build_choice
from jaxgan.game.hparams import HParams, section_hparams
from jaxgan.game.prior import squash_onto_prior
from jaxgan.networks import ENCODERS
from jaxgan.networks.forward import forward, split_variables
from jaxgan.networks.layers import DataSpec, DOutput
from jaxgan.networks.mixed_precision import Precision
from jaxgan.objectives.losses import Loss


def build_encoder(config: ConfigDict, data: DataSpec, condition: Condition) -> nn.Module | None:
    """Builds the encoder, a network whose inputs are x, the condition and noise; None if the game has no encoder.

    Args:
      condition: the shapes of one example's condition, [1, ...].

    Raises:
      UserError: a family that has no outputs for z, or that normalizes over a minibatch.
    """
    if config.encoder.name == "none":
        return None
    x, noise = (jax.ShapeDtypeStruct((1, *shape), jnp.float32) for shape in (data.shape, (config.encoder.noise,)))
    noise = noise if config.encoder.noise else None
    shape = jax.eval_shape(
        lambda *inputs: join_channels(_with_noise(*inputs[:2]), inputs[2]), x, noise, condition
    ).shape
    outputs = {"num_latents": config.prior.size - 1}  # and the logit: together, one output per dimension of z
    encoder = build_choice(ENCODERS, config.encoder, data=data._replace(shape=shape[1:], **outputs))
    if hasattr(encoder, "check"):
        encoder.check()
    output, variables = jax.eval_shape(lambda key: init_encoder(encoder, key), jax.random.key(0))
    if output.shape != (1, config.prior.size):
        raise UserError(f"encoder.name={config.encoder.name} has no outputs for z; choose another family, such as mlp.")
    if split_variables(variables)[1]:
        raise UserError(
            f"encoder.name={config.encoder.name} has statistics of batch or spectral normalization, which an "
            f"encoder does not keep; set encoder.norm=none or layer."
        )
    return encoder


def init_encoder(encoder: nn.Module, key: jax.Array) -> tuple[jax.Array, Any]:
    """One output of an encoder [1, d], and its initial variables."""
    x = jnp.zeros((1, *encoder.data.shape))
    y = jnp.zeros((1,), jnp.int32) if encoder.data.classes else None
    output, variables = encoder.init_with_output(key, x, y)
    return _rows(output), variables


def make_encode(config: ConfigDict, encoder: nn.Module | None, precision: Precision) -> Callable[..., jax.Array]:
    """Makes the field `E` of a `Gan`."""
    if encoder is None:
        return _no_encoder
    E, size = conditioned_discriminator(forward(encoder, precision)), config.encoder.noise

    def encode(hparams: HParams, theta_g: Any, x: jax.Array, condition: Condition, keys: jax.Array) -> jax.Array:
        noise = jax.vmap(lambda key: jax.random.normal(key, (size,)))(keys) if size else None
        raw = E(theta_g["encoder"], {}, _with_noise(x, noise), condition)[0]
        return squash_onto_prior({**config.prior, **section_hparams(hparams, "prior")}, _rows(raw))

    return encode


def _no_encoder(*_: Any) -> jax.Array:
    raise UserError("this GAN has no encoder; train one with encoder.name=mlp and objective.regression.weight=1.")


def _with_noise(x: jax.Array, noise: jax.Array | None) -> jax.Array:
    return join_channels(x, Condition(vector=noise))


def _rows(output: DOutput) -> jax.Array:
    """Concatenates all outputs of a discriminator network, [n, d]."""
    logits = output.logits[:, None]
    return logits if output.latents is None else jnp.concatenate([logits, output.latents], axis=1)


def decoder_of(G: Callable) -> Callable:
    """G as a function of the whole theta_g, of which it uses its own parameters."""
    return lambda theta_g, *args, **kwargs: G(theta_g["decoder"], *args, **kwargs)


def exchanged(loss: Loss) -> Loss:
    """The loss for games on pairs (x, z): G and E minimize D's loss with its arguments exchanged, for every loss.

    With `non_saturating`, this is ALI: D minimizes softplus(-D(x, E(x))) + softplus(D(G(z), z)), G and E softplus(D(x,
    E(x))) + softplus(-D(G(z), z)).
    """

    @functools.wraps(loss.discriminator)
    def generator(real_logits: jax.Array, fake_logits: jax.Array, **fields: Any) -> jax.Array:
        return loss.discriminator(fake_logits, real_logits, **fields)

    return loss._replace(generator=generator, needs_real=True)


def make_conditions(config: ConfigDict, E: Callable[..., jax.Array]) -> tuple[Callable, Callable]:
    """Makes the fields `real_condition` and `fake_condition` of a `Gan`."""
    if not config.encoder.joint:
        return lambda hparams, theta_g, x, condition, keys: condition, lambda condition, z: condition
    return (
        lambda hparams, theta_g, x, condition, keys: condition._replace(z=E(hparams, theta_g, x, condition, keys)),
        lambda condition, z: condition._replace(z=z),
    )


def frozen_decoder() -> optax.GradientTransformation:
    """Sets the updates of G's own parameters to 0, so that only the encoder is trained."""
    return optax.stateless(lambda updates, _: {**updates, "decoder": jax.tree.map(jnp.zeros_like, updates["decoder"])})


def check(config: ConfigDict) -> None:
    """Raises UserError for an encoder that nothing trains, or settings that are incompatible with an encoder."""
    encoder, objective = config.encoder, config.objective
    if encoder.name == "none" and (encoder.joint or encoder.noise):
        raise UserError("encoder.joint and encoder.noise need an encoder; set encoder.name, such as encoder.name=mlp.")
    if encoder.name != "none" and not (encoder.joint or any(objective.regression.values())):
        raise UserError(
            f"nothing trains encoder.name={encoder.name}; set objective.regression.weight=1, or encoder.joint=true."
        )
    if config.generator.frozen and not (encoder.name != "none" and config.generator.initialize_from):
        raise UserError(
            "generator.frozen trains an encoder of a trained G; set encoder.name and generator.initialize_from, the "
            "work directory of that G."
        )
    if not encoder.joint:
        return
    terms = {
        "objective.consistency": any(objective.consistency.values()),
        "objective.latent.discriminator": objective.latent.discriminator,
        "objective.top_k": objective.top_k < 1,
        "objective.labelled": objective.labelled.weight,
    }
    for name, on in terms.items():
        if on:
            raise UserError(
                f"{name} is for a D of x alone, and with encoder.joint=true D takes pairs (x, z); turn off one of them."
            )
