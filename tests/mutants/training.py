"""Wrong changes to optimizers, schedules, averages of G and penalties."""

from . import Mutant

OPTIMIZERS, SCHEDULES = "jaxgan/optimizers.py", "jaxgan/schedules.py"
EMA, PENALTIES = "jaxgan/ema.py", "jaxgan/objectives/penalties.py"
PAPERS = "tests/optimizers/test_optimizers.py::test_the_papers_sgd"
RATE = "tests/optimizers/test_schedules.py::test_the_learning_rate_follows_its_schedule"
B2 = "tests/optimizers/test_schedules.py::test_b2_follows_its_schedule"

MUTANTS = [
    # Optimizers.
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
        "optax.adam(learning_rate, self.b1, self.b2, self.eps)",
        "optax.adam(learning_rate, self.b1, self.b2, self.eps, nesterov=True)",
        "tests/optimizers/test_optimizers.py::test_adam_with_traced_numbers",
        "Adam is Nadam",
    ),
    Mutant(
        OPTIMIZERS,
        "optax.rmsprop(learning_rate, self.decay, self.eps)",
        "optax.rmsprop(learning_rate, self.decay, self.eps, eps_in_sqrt=False)",
        "tests/optimizers/test_optimizers.py::test_rmsprop",
        "RMSProp adds epsilon outside of the root",
    ),
    Mutant(
        OPTIMIZERS,
        "jnp.where(norm > limit, w * (limit / jnp.maximum(norm, limit)) - p, u)",
        "w * (limit / jnp.maximum(norm, 1e-9)) - p",
        "tests/optimizers/test_optimizers.py::test_column_norms_stay_below_the_limit",
        "columns below the limit are stretched to it",
    ),
    Mutant(
        OPTIMIZERS,
        "        return make_at(count).update(gradients, state, params)",
        "        return make_at(0 * count).update(gradients, state, params)",
        B2,
        "b2 stays at its start",
    ),
    # Schedules.
    # Averages of G.
    Mutant(
        EMA,
        'interpolate("cosine", 0.0, half_life, progress=m * t / warmup)',
        'interpolate("linear", 0.0, half_life, progress=m * t / warmup)',
        "tests/optimizers/test_ema.py::test_a_half_life_rises_along_half_a_cosine",
        "the half-life rises in a straight line",
    ),
    # Penalties.
    Mutant(
        PENALTIES,
        "    return 0.5 * squared_grad_norm(D, _points(fake))\n",
        "    return 0.5 * squared_grad_norm(D, jnp.asarray(fake))\n",
        "tests/objectives/test_penalties.py -k points_are_constants",
        "R2 has a gradient into G",
    ),
    Mutant(
        PENALTIES,
        "axis=tuple(range(1, points.ndim)))",
        "axis=-1).reshape(len(points), -1).mean(1)",
        "tests/objectives/test_penalties.py -k slope_is_over_all_axes",
        "slopes are averaged over pixels",
    ),
    Mutant(
        PENALTIES,
        "    return jnp.sqrt(squared + EPSILON) / jnp.asarray(target, squared.dtype) - 1\n",
        "    return jnp.sqrt(squared) / jnp.asarray(target, squared.dtype) - 1\n",
        "tests/objectives/test_penalties.py -k finite_where_the_slope_is_zero",
        "the norm's gradient at 0 is not finite",
    ),
]
