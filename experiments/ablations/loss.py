"""Does minimax saturate where the non-saturating loss learns?

Section 3 of the paper: early on, when G is poor, D rejects its samples with high confidence and
log(1 - D(G(z))) saturates; G should rather maximize log D(G(z)), which "provides much stronger gradients
early in learning". Digits, the paper's SGD, no dropout, so that D can win.

    python -m jaxgan.sweep --sweep=experiments/ablations/loss.py

Expected: with minimax V rises to 0, D(G(z)) falls to 0 and G's gradient with it, by orders of magnitude;
with the other loss the gradient stays and the log-likelihood of the test set ends higher.
Measured (two cores of an AMD EPYC, 2026-11-24, 30 s, 45 s of CPU time): yes. By step
1,200 G's gradient is 4e-3 with minimax and 2 with -log D(G(z)); V is 0 and D(G(z)) under .01 until step 1,500.
Log-likelihood at the end: -10.8 [-12.9, -8.6] and 1.8 [-2.3, 4.6] nats, 5 seeds each.
"""

from experiments.ablations import SEEDS, small_digits
from jaxgan.config import update
from jaxgan.sweep import over, product


def get_config():
    return update(small_digits(), {"discriminator.input_keep": 1.0, "discriminator.hidden_keep": 1.0})


def get_sweep():
    return product(over("objective.loss", ["minimax", "non_saturating"]), over("seed", SEEDS))
