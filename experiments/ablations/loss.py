"""Does the minimax loss saturate where the non-saturating loss learns?

Section 3 of the paper: early in training, when G is poor, D rejects its samples with high confidence and log(1 -
D(G(z))) saturates; G should rather maximize log D(G(z)), which "provides much stronger gradients early in learning".
Data: digits, with the paper's SGD but without dropout, so that D can win.

    python -m jaxgan.sweep --sweep=experiments/ablations/loss.py

Expected: with minimax, V rises to 0, D(G(z)) falls to 0 and G's gradient vanishes with it, by orders of magnitude; with
the other loss the gradient does not vanish, and the log-likelihood of the test set ends higher.
Measured (two cores of an AMD EPYC, 2026-11-25, 30 s of CPU time; means with 95% t intervals, verdicts paired by seed):
yes. At the end the log-likelihood of the test images is -10.7 [-14.1, -7.4] nats with minimax and 1.9 [-3.9, 7.8] with
the other loss; that of the validation images is 15.1 [5.8, 24.4] lower with minimax, paired by seed (p = .011). At step
1,200 of the run of 2026-11-24, the norm of G's gradient was 4e-3 with minimax and 2 with -log D(G(z)).
"""

from experiments.ablations import SEEDS, small_digits
from jaxgan.config import update
from jaxgan.sweep import over, product


def get_config():
    return update(small_digits(), {"discriminator.input_keep": 1.0, "discriminator.hidden_keep": 1.0})


def get_sweep():
    return product(over("objective.loss", ["minimax", "non_saturating"]), over("seed", SEEDS))
