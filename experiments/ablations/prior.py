"""Do the kind and the size of the prior matter?

The paper's G takes uniform noise on MNIST and normal noise elsewhere, of 100 dimensions, and says nothing
of others. Ring of eight Gaussians: 2 dimensions would do.

    python -m jaxgan.sweep --sweep=experiments/ablations/prior.py

Expected: little difference between kinds; more dimensions than the data have make the game easier.
Measured (two cores of an AMD EPYC, 2026-11-23, 195 s of CPU time): JSD .34 [.25, .44] (uniform, 32 dimensions) to
.43 [.39, .47] (normal, 8), none distinguishable, but for the circle (sphere, 2 dimensions): .52 [.45, .56], and
6.4 [5.6, 7.0] modes where nearly all others have 8.
"""

from configs import ring8
from experiments.ablations import SEEDS
from jaxgan.sweep import over, product


def get_config():
    return ring8.get_config()


def get_sweep():
    kinds, sizes = ["uniform", "normal", "sphere"], [2, 8, 32]
    return product(over("prior.name", kinds), over("prior.size", sizes), over("seed", SEEDS))
