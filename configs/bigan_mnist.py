"""BiGAN (arXiv:1605.09782) on MNIST, permutation-invariant, small enough for two CPU cores.

    python -m jaxgan.main --config=configs/bigan_mnist.py

D distinguishes (x, E(x)) from (G(z), z), and G and E descend its loss with the arguments exchanged. As in the authors'
code (jeffdonahue/bigan): z of 50 uniform dimensions, an E whose values stay in their range, Adam 2e-4 with b1 .5,
batches of 128, and simultaneous updates. It differs in width (512 units instead of 1,024) and length (25 of 400
epochs), and has batch normalization in G only (theirs is in all three), z concatenated to x at D's input (theirs enters
D's second layer), no weight decay and no decay of the rate; scores are of 1,000 images.

Published (the authors' log): at 25 epochs EGr 7.29 and its baseline 9.51, so a ratio of .77; .62 at 400. EGr is
`reconstruction_error` here.
"""

from jaxgan.config import default, update


def get_config():
    settings = {
        "data.name": "tfds:mnist",
        "data.validation": 10_000,
        "prior.name": "uniform",
        "prior.size": 50,
        "generator.hidden": (512, 512),
        "generator.activations": ("relu", "relu"),
        "generator.norm": "batch",
        "discriminator.hidden": (512, 512),
        "encoder.name": "mlp",
        "encoder.hidden": (512, 512),
        "encoder.joint": True,
        "train.update": "simultaneous",
        "train.batch_size": 128,
        "train.steps": 9_750,  # 25 epochs of the 50,000
        "sample.every": 1_950,
        "evaluate.every": 1_950,
        "evaluate.samples": 1_000,
        "evaluate.metrics": ("reconstruction",),
        "checkpoint.every": 1_950,
    }
    for player in ("generator", "discriminator"):
        settings |= {f"optimizer.{player}.learning_rate": 2e-4, f"optimizer.{player}.b1": 0.5}
    return update(default(), settings)
