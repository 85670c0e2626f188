"""The type of arguments that may be JAX or NumPy arrays."""

from typing import TypeAlias

import jax
import numpy as np

AnyArray: TypeAlias = jax.Array | np.ndarray
