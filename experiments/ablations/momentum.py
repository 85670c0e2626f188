"""How much momentum does the game bear?

The 2014 code starts with .5 and rises to .7. Here both players have the same, constant momentum. Digits,
the paper's recipe.

    python -m jaxgan.sweep --sweep=experiments/ablations/momentum.py

Expected: moderate momentum is faster than none; much of it sets the players circling each other.
Measured (two cores of an AMD EPYC, 2026-11-23, 105 s of CPU time): log-likelihood at the end -12.4 [-14.8, -10.1]
without, -5.3 [-11.8, -1.4] with .5, -6.2 [-15.5, .6] with .7, and -58.6 [-64.5, -48.4] with .9, which alone is
distinguishably worse.
"""

from experiments.ablations import SEEDS, small_digits
from jaxgan.sweep import over, product, zipped


def get_config():
    return small_digits()


def get_sweep():
    values = [0.0, 0.25, 0.5, 0.7, 0.9]
    players, fields = ("generator", "discriminator"), ("momentum", "final_momentum")
    alike = [over(f"optimizer.{player}.{field}", values) for player in players for field in fields]
    return product(zipped(*alike), over("seed", SEEDS))
