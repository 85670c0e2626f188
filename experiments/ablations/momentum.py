"""How much momentum does the game tolerate?

In the 2014 code, momentum rises from .5 to .7. Here both players have the same, constant momentum. Data: digits, with
the paper's recipe.

    python -m jaxgan.sweep --sweep=experiments/ablations/momentum.py

Expected: moderate momentum is faster than none; high momentum makes the players rotate around the equilibrium.
Measured (two cores of an AMD EPYC, 2026-11-25, 74 s of CPU time; means with 95% t intervals, verdicts paired by seed):
the log-likelihood of the test images at the end is -12.5 [-16.3, -8.6] without momentum, -8.1 [-12.3, -3.9] with .25,
-5.3 [-14.2, 3.7] with .5, -6.1 [-19.4, 7.1] with .7 and -58.6 [-72.4, -44.7] with .9. Only .9 is significantly worse (p
= .005).
"""

from experiments.ablations import SEEDS, small_digits
from jaxgan.sweep import over, product, zipped


def get_config():
    return small_digits()


def get_sweep():
    values = [0.0, 0.25, 0.5, 0.7, 0.9]
    players, fields = ("generator", "discriminator"), ("momentum", "final_momentum")
    equal = [over(f"optimizer.{player}.{field}", values) for player in players for field in fields]
    return product(zipped(*equal), over("seed", SEEDS))
