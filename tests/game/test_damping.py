"""The Dirac-GAN at its equilibrium: R1, latent optimization and unrolling are one damping, and rates alone are none."""

import numpy as np
import pytest

from experiments.dynamics import difference_jacobian, dirac, initial_state, jacobian, sgd, with_latent

STEP = "objective.latent_optimization."
UNROLLED = {"train.update": "unrolled", "objective.loss": "minimax"}


def eigenvalues(game, h: float, **options) -> np.ndarray:
    """Of the field that the step of size h follows, ordered by their imaginary parts."""
    found = (np.linalg.eigvals(difference_jacobian(game, game.hparams, **options)) - 1) / h
    return np.sort_complex(found)


@pytest.mark.parametrize(
    ("changes", "h", "damping"),
    [
        ({"objective.penalties.r1": 0.18}, 0.2, 0.18),
        ({STEP + "rate": 0.9, STEP + "damping": 5.0}, 0.2, 0.18),
        ({STEP + "rate": 0.9, STEP + "damping": 5.0, STEP + "differentiate": False}, 0.2, 0.09),
        ({STEP + "rate": 0.3, STEP + "damping": 0.1}, 0.2, 3.0),  # overdamped
        (UNROLLED | {"train.unrolled_steps": 1}, 0.2, 0.1),
        (UNROLLED | {"train.unrolled_steps": 5}, 0.2, 0.5),
        (UNROLLED | {"train.unrolled_steps": 5, "train.unrolled_gradient": False}, 0.2, 0.25),
    ],
)
def test_one_damping_by_three_names(changes, h, damping):
    """lambda^2 + damping lambda + 1/4 = 0, to the 1e-6 that float32 resolves."""
    game = with_latent(dirac(sgd(h) | {"train.update": "simultaneous"} | changes))
    expected = np.sort_complex(np.roots([1, damping, 0.25]).astype(complex))
    np.testing.assert_allclose(eigenvalues(game, h), expected, atol=1e-6)


def test_the_shares_of_examples_whose_z_moves():
    """The damping is that of the mean step: of a share s of the examples, s rate / damping."""
    half = {STEP + "rate": 1.0, STEP + "damping": 1.0, STEP + "share": 0.5}
    game = with_latent(dirac(sgd(0.2) | {"train.update": "simultaneous"} | half, batch_size=4000))
    (_, _), (_, b) = (difference_jacobian(game, game.hparams) - np.eye(2)) / 0.2
    assert b == pytest.approx(-0.5, abs=0.03) and b != pytest.approx(-0.5, abs=1e-4)


@pytest.mark.parametrize(("g", "d"), [(0.1, 0.4), (0.3, 0.3), (0.5, 0.02)])
def test_two_learning_rates_turn_at_their_geometric_mean_and_never_converge(g, d):
    """TTUR: the step is 1 +- i sqrt(h_G h_D) / 2, of modulus above 1 for every pair."""
    rates = {"optimizer.generator.learning_rate": g, "optimizer.discriminator.learning_rate": d}
    game = dirac(sgd(0.2) | rates | {"train.update": "simultaneous"})
    J = np.asarray(jacobian(game, game.hparams, at=initial_state(game, game.hparams, 0.0, 0.0)), np.float64)
    found = np.linalg.eigvals(J)
    turning = found[np.abs(found.imag) > 1e-9]
    np.testing.assert_allclose(np.sort_complex(turning), 1 + 0.5j * np.sqrt(g * d) * np.array([-1, 1]), atol=1e-6)
    assert np.abs(turning).min() > 1
