"""Do the kind and the size of the prior matter?

The paper's G uses uniform noise on MNIST and normal noise elsewhere, in 100 dimensions, without comparing alternatives.
Data: the ring of eight Gaussians, for which 2 dimensions would suffice.

    python -m jaxgan.sweep --sweep=experiments/ablations/prior.py

Expected: little difference between kinds; a prior with more dimensions than the data makes the game easier.
Measured (two cores of an AMD EPYC, 2026-11-25, 84 s of CPU time; means with 95% t intervals, verdicts paired by seed):
JSD from .33 [.25, .41] (uniform, 32 dimensions) to .51 [.47, .54] (sphere, 2 dimensions); none is distinguishable from
the best. The circle is closest to being significantly worse (p = .07), with 6.6 [4.9, 8.3] modes where nearly all
others have 8. (It had been called worse when verdicts were based on whether intervals overlap.)
"""

from configs import ring8
from experiments.ablations import SEEDS
from jaxgan.sweep import over, product


def get_config():
    return ring8.get_config()


def get_sweep():
    kinds, sizes = ["uniform", "normal", "sphere"], [2, 8, 32]
    return product(over("prior.name", kinds), over("prior.size", sizes), over("seed", SEEDS))
