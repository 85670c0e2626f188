"""Shapes and dtypes in signatures are checked while tests run (helpers/shapes.py)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import TypeCheckError

from jaxgan.errors import UserError
from jaxgan.objectives import theory
from jaxgan.objectives.value import value


@pytest.mark.parametrize("logits", [jnp.zeros((3, 1)), jnp.zeros(3, jnp.int32), 0.0])
def test_a_wrong_shape_or_dtype_is_caught(logits):
    with pytest.raises(TypeCheckError, match="fake_logits"):
        value(jnp.zeros(3), logits)


@pytest.mark.parametrize("logits", [np.zeros(4, np.float32), jnp.zeros(4), jnp.zeros(1)])
def test_numpy_and_jax_arrays_of_any_size_fit(logits):
    value(jnp.zeros(3), logits)


def test_traced_and_mapped_arrays_are_checked_inside_the_function():
    assert jax.jit(jax.vmap(value))(jnp.zeros((2, 3)), jnp.zeros((2, 5))).shape == (2,)
    with pytest.raises(TypeCheckError):
        jax.jit(value)(jnp.zeros((2, 3)), jnp.zeros((2, 5)))


def test_what_a_function_refuses_itself_stays_its_sentence():
    with pytest.raises(UserError, match="use one grid for both"):
        theory.js_divergence(jnp.ones(3), jnp.ones(4), 1.0)
