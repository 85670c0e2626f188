"""Generative adversarial nets in JAX: Goodfellow et al. 2014 (arXiv:1406.2661), and later methods.

Where each part of the paper is implemented:

    eq. (1), V(D, G)                     objectives/value.py
    section 3, both losses of G          objectives/losses.py, with every later loss
    Algorithm 1                          algorithm1.py; the steps of D and G: game/step.py
    Proposition 1, D*; Theorem 1, C(G)   objectives/theory.py
    section 5, G and D                   networks/mlp.py, networks/maxout_conv.py; later networks are in the same folder
    section 5, SGD with momentum         optimizers.py, schedules.py
    Table 1, Parzen log-likelihood       metrics/parzen.py; later metrics are in the same folder
    p_data                               data/

Later methods: objectives/penalties.py (R1, DRAGAN, ...), objectives/terms/ (LeCam, auxiliary classifier, ...),
game/updates.py (extragradient, lookahead), objectives/adjustments.py (consensus optimization, symplectic adjustment),
augment/, ema.py. Infrastructure: config/ (the configuration), run/ (one run and its directory), sweep/ (many runs),
parallel.py (devices), distributed.py (hosts).

`load(workdir)` returns a trained GAN; `python -m jaxgan.main --config=configs/digits.py` trains one.
"""

__version__ = "0.2.0"


def load(workdir, step=None, width=None):
    """Loads the GAN trained in `workdir`; see `jaxgan.run.trained.load`."""
    from jaxgan.run import trained  # imports jax, which a program may want to configure first

    return trained.load(workdir, step, width)
