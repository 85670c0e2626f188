"""Evaluates metrics on samples of G: shared by training, `--mode=evaluate`, sweeps and the Python interface.

evaluator.py  the metrics of a configuration as one function, the selection metric, the protocol of the scores
inputs.py     the inputs that metrics may need, in the table INPUTS
players.py    inputs computed by D on examples, and from the parameters of both players
samples.py    samples of G for evaluation, in batches
checks.py     checks of `config.evaluate` against the data
"""
