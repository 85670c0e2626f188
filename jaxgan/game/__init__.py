"""The game that Algorithm 1 plays: both players, their losses and steps, and what training changes.

gan.py       G and D as pure functions, with the static settings of the game
build.py     the game of a configuration
prior.py     p_z
state.py     parameters, statistics, optimizer states; PRNG keys
hparams.py   the numbers that are traced, so that a population can be mapped over them
batches.py   minibatches of data and noise
step.py      the loss, gradient and step of each player
accumulation.py  a minibatch in parts, whose gradients make one update
updates.py   alternatives to Algorithm 1's alternating update
sampling.py  samples of p_g
"""
