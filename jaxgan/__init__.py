"""Generative adversarial nets in JAX: Goodfellow et al. 2014 (arXiv:1406.2661), and what followed.

Where the paper is:

    eq. (1), V(D, G)                     objectives/value.py
    section 3, both losses of G          objectives/losses.py, with every later loss
    Algorithm 1                          algorithm1.py; the steps of D and G: game/step.py
    Proposition 1, D*; Theorem 1, C(G)   objectives/theory.py
    section 5, G and D                   networks/mlp.py, networks/maxout_conv.py; later families beside them
    section 5, SGD with momentum         optimizers.py, schedules.py
    Table 1, Parzen log-likelihood       metrics/parzen.py; later metrics beside it
    p_data                               data/

Later: objectives/penalties.py (R1 to DRAGAN), objectives/terms/ (LeCam to the auxiliary classifier), game/updates.py
(extragradient, lookahead) with objectives/adjustments.py (consensus optimization, symplectic adjustment), augment/,
ema.py. Around the game: config/ (the fields), run/ (one run's directory), sweep/ (many runs), parallel.py (devices),
distributed.py (hosts).

`load(workdir)` gives a trained GAN; `python -m jaxgan.main --config=configs/digits.py` trains one.
"""

__version__ = "0.2.0"


def load(workdir, step=None, width=None):
    """The GAN trained in `workdir`: see `jaxgan.run.trained.load`."""
    from jaxgan.run import trained  # imports jax, which a program may want to configure first

    return trained.load(workdir, step, width)
