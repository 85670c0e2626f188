"""Alternating updates, as in the paper, or simultaneous ones, as in its code?

Algorithm 1 updates D, then G against the updated D with new noise. The 2014 code computes both gradients at the same
parameters, from the same samples. Data: digits, with the paper's recipe.

    python -m jaxgan.sweep --sweep=experiments/ablations/update.py

Expected: alternating updates are ahead after equally many steps, as they are on MNIST.
Measured (two cores of an AMD EPYC, 2026-11-25, 58 s of CPU time; means with 95% t intervals, verdicts paired by seed):
the log-likelihood of the test images at the end is -2.5 [-5.7, .8] with alternating and -5.7 [-8.4, -3.0] with
simultaneous updates; with 10 seeds the two are not distinguishable (p = .24).
"""

from experiments.ablations import small_digits
from jaxgan.sweep import over, product


def get_config():
    return small_digits()


def get_sweep():
    return product(over("train.update", ["alternating", "simultaneous"]), over("seed", range(10)))
