"""Wrong changes to optimizers, schedules, averages of G and penalties."""

from . import Mutant

OPTIMIZERS, SCHEDULES = "jaxgan/optimizers.py", "jaxgan/schedules.py"
EMA, PENALTIES = "jaxgan/ema.py", "jaxgan/objectives/penalties.py"
PAPERS = "tests/test_optimizers.py::test_the_papers_sgd"
RATE = "tests/test_schedules.py::test_the_learning_rate_follows_its_schedule"
B2 = "tests/test_schedules.py::test_b2_follows_its_schedule"

MUTANTS = [
    # Optimizers.
    Mutant(
        OPTIMIZERS,
        "/ jnp.maximum(self.momentum_epochs - 1.0, 1.0)",
        "/ jnp.maximum(self.momentum_epochs, 1.0)",
        PAPERS,
        "the momentum arrives an epoch late",
    ),
    Mutant(OPTIMIZERS, "jnp.minimum(ramp, 1.0))", "ramp)", PAPERS, "the momentum goes on rising"),
    Mutant(
        OPTIMIZERS,
        "m, lr = momentum(state.count), learning_rate(state.count)",
        "m, lr = momentum(state.count + 1), learning_rate(state.count + 1)",
        PAPERS,
        "the schedules are an update ahead",
    ),
    Mutant(
        OPTIMIZERS,
        "lambda v, g: m * v - lr * g",
        "lambda v, g: m * v - (1 - m) * lr * g",
        "tests/test_optimizers.py::test_sgd_with_momentum",
        "momentum averages gradients",
    ),
    Mutant(
        OPTIMIZERS,
        "optax.adam(learning_rate, self.b1, self.b2, self.eps)",
        "optax.adam(learning_rate, self.b1, self.b2, self.eps, nesterov=True)",
        "tests/test_optimizers.py::test_adam_with_traced_numbers",
        "Adam is Nadam",
    ),
    Mutant(
        OPTIMIZERS,
        "optax.rmsprop(learning_rate, self.decay, self.eps)",
        "optax.rmsprop(learning_rate, self.decay, self.eps, eps_in_sqrt=False)",
        "tests/test_optimizers.py::test_rmsprop",
        "RMSProp adds epsilon outside of the root",
    ),
    Mutant(
        OPTIMIZERS,
        "jnp.where(norm > limit, w * (limit / jnp.maximum(norm, limit)) - p, u)",
        "w * (limit / jnp.maximum(norm, 1e-9)) - p",
        "tests/test_optimizers.py::test_column_norms_stay_below_the_limit",
        "columns below the limit are stretched to it",
    ),
    Mutant(
        OPTIMIZERS,
        'units = p.ndim - (2 if path[-1].key == "transposed_kernel" else 1)',
        "units = p.ndim - 1",
        "tests/test_optimizers.py::test_transposed_kernels_have_their_units_on_the_last_axis_but_one",
        "columns of transposed kernels are rows",
    ),
    Mutant(
        OPTIMIZERS,
        "        return at(count).update(gradients, state, params)",
        "        return at(0 * count).update(gradients, state, params)",
        B2,
        "b2 stays at its start",
    ),
    # Schedules.
    Mutant(
        SCHEDULES,
        "t.astype(jnp.float32)), self.minimum)",
        "t.astype(jnp.float32)), 0 * self.minimum)",
        RATE,
        "the exponential has no floor",
    ),
    Mutant(SCHEDULES, "t.astype(jnp.float32) - self.start)", "t.astype(jnp.float32))", RATE, "linear starts at once"),
    Mutant(SCHEDULES, "(1 - jnp.cos(jnp.pi * done)) / 2", "(1 - jnp.cos(jnp.pi * done / 2))", RATE, "a quarter cosine"),
    Mutant(SCHEDULES, "    done = jnp.clip(done, 0.0, 1.0)\n", "", RATE, "schedules go on after their end"),
    # Averages of G.
    Mutant(
        EMA,
        "** (average.number + 1.0)",
        "** average.number",
        "tests/test_ema.py::test_power_function_weights",
        "the profile has an exponent less",
    ),
    Mutant(
        EMA,
        "return jnp.exp2(-m / jnp.maximum(half_life, 1e-8))",
        "return jnp.exp(-m / jnp.maximum(half_life, 1e-8))",
        "tests/test_ema.py::test_a_half_life_is_in_images",
        "a half-life is a time constant",
    ),
    Mutant(
        EMA,
        "jnp.minimum(half_life, ramp * m * t)",
        "jnp.minimum(half_life, ramp * t)",
        "tests/test_ema.py::test_a_ramp_shortens_the_half_life_early_on",
        "the ramp counts updates, not images",
    ),
    Mutant(
        EMA,
        'between("cosine", 0.0, half_life, done=m * t / rise)',
        'between("linear", 0.0, half_life, done=m * t / rise)',
        "tests/test_ema.py::test_a_half_life_rises_along_half_a_cosine",
        "the half-life rises in a straight line",
    ),
    # Penalties.
    Mutant(
        PENALTIES,
        "    return 0.5 * squared_slope(D, _points(x))\n",
        "    return squared_slope(D, _points(x))\n",
        "tests/test_penalties.py -k r1_and_r2",
        "R1 without its half",
    ),
    Mutant(
        PENALTIES,
        "    return 0.5 * squared_slope(D, _points(fake))\n",
        "    return 0.5 * squared_slope(D, jnp.asarray(fake))\n",
        "tests/test_penalties.py -k points_are_constants",
        "R2 has a gradient into G",
    ),
    Mutant(
        PENALTIES,
        "axis=tuple(range(1, points.ndim)))",
        "axis=-1).reshape(len(points), -1).mean(1)",
        "tests/test_penalties.py -k slope_is_over_all_axes",
        "slopes are averaged over pixels",
    ),
    Mutant(
        PENALTIES,
        "    return jnp.square(jax.nn.relu(excess(squared_slope(D, interpolates(x, fake, key)), target)))\n",
        "    return jnp.square(excess(squared_slope(D, interpolates(x, fake, key)), target))\n",
        "tests/test_penalties.py -k one_sided_forgives",
        "the one-sided penalty has two sides",
    ),
    Mutant(
        PENALTIES,
        "    return jnp.sqrt(squared + EPSILON) / jnp.asarray(target, squared.dtype) - 1\n",
        "    return jnp.sqrt(squared) / jnp.asarray(target, squared.dtype) - 1\n",
        "tests/test_penalties.py -k finite_where_the_slope_is_zero",
        "the norm's gradient at 0 is not finite",
    ),
    Mutant(
        PENALTIES,
        "    return x + a * scale * u\n",
        "    return x + scale * u\n",
        "tests/test_penalties.py -k perturbed_data_follow",
        "DRAGAN's points are not between the data and its perturbation",
    ),
    Mutant(
        PENALTIES,
        "    return squared * steepest * total / count\n",
        "    return squared * steepest / count\n",
        "tests/test_penalties.py -k steepest_example",
        "the mean of the largest slope is an n-th of it",
    ),
]
