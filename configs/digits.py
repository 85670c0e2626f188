"""A first run: scikit-learn's 1,797 digits of 8x8 pixels; no download, a minute or two on two CPU cores.

    python -m jaxgan.main --config=configs/digits.py

The defaults (multilayer perceptrons with two layers of 256 units, the non-saturating loss, Adam) with larger initial
weights and learning rates, leaky ReLU in G, minibatches of 128, R1 (arXiv:1801.04406) and samples from an EMA of G. It
learns from the first step on; by step 1,000 samples are digits, which then become sharper. 10.5 steps are one epoch.

The paper's own recipe on these data is `digits_2014.py`; `digits_conditional.py` generates digits of a chosen class.

Expected: no published score. Measured, seed 0, 2026-11-28, two cores of an AMD EPYC with AVX-512: 71 s of CPU time for
the whole command. Parzen log-likelihood of validation images: 20.9 nats at step 1,000, 28.4 at the end; of test images
17.9 +- 1.4. The 1,350 training images in place of samples score 31.1 and 19.2. The settings were chosen on seed 1 and
validation images.
"""

from jaxgan.config import default, update


def get_config():
    settings = {
        "generator.activations": ("leaky_relu", "leaky_relu"),
        "generator.irange": 0.15,  # standard deviation about .09, as in He initialization with 256 inputs
        "generator.output_irange": 0.15,
        "generator.ema.half_life": (100_000.0,),  # images
        "generator.ema.ramp": 0.05,
        "discriminator.irange": 0.15,
        "objective.penalties.r1": 0.1,
        "train.batch_size": 128,
        "train.steps": 10_000,
        "sample.every": 1_000,
        "evaluate.every": 1_000,
        "evaluate.samples": 1_350,  # the number of training examples, so that scores of real data are comparable
        "checkpoint.every": 2_500,
    }
    for player in ("generator", "discriminator"):
        settings |= {f"optimizer.{player}.learning_rate": 1e-3, f"optimizer.{player}.b1": 0.0}
    return update(default(), settings)
