"""Generative Adversarial Nets (Goodfellow et al. 2014, arXiv:1406.2661) in JAX.

Where the paper is:

    eq. (1), V(D, G)                     objectives/value.py
    section 3, -log D(G(z))              objectives/losses.py
    Algorithm 1                          algorithm1.py
    Proposition 1, D*; Theorem 1, C(G)   objectives/theory.py
    section 5, G and D                   networks/mlp.py
    section 5, SGD with momentum         optimizers.py
    Table 1, Parzen log-likelihood       metrics/parzen.py
    p_data                               data/

`load(workdir)` gives a trained GAN; `python -m jaxgan.main --config=configs/digits.py` trains one.
"""


def load(workdir, step=None):
    """The GAN trained in `workdir`: see `jaxgan.run.trained.load`."""
    from jaxgan.run import trained  # imports jax, which a program may want to configure first

    return trained.load(workdir, step)
