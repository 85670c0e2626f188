"""The paper's Toronto Face Database experiment, first stage (section 5, Table 1, Figure 2b).

Hyperparameters of goodfeli/adversarial, tfd_pretrain/pretrain.yaml.

    python -m jaxgan.main --config=configs/tfd_pretrain.py --config.data.name=tfd:PATH/TO/TFD_48x48.mat

The data set is not public: PATH is your own copy. G is trained like any other; configs/tfd.py then adds two layers
below it. 49,000 steps are the 2014 code's 50 epochs of the 98,058 unlabeled grayscale images of 48x48 pixels.

Expected: no published score for this stage.
Measured: nothing on the faces themselves, which we do not have.
"""

from configs import mnist
from jaxgan.config import default, update


def get_config():
    config = update(
        default(),
        mnist.PAPER
        | {
            "data.name": "tfd:TFD_48x48.mat",
            "prior.name": "normal",
            "generator.hidden": (8000, 8000),
            "generator.activations": ("relu", "sigmoid"),
            "generator.sigmoid_bias": -2.0,
            "generator.output_sparse": 100,
            "discriminator.hidden": (1200, 1200),
            "discriminator.activation": "maxout",
            "train.steps": 49_000,
            "train.update": "simultaneous",  # as the released code does; Algorithm 1 alternates
            "train.batch_size": 100,
            "evaluate.every": 4_900,
            "checkpoint.every": 2_450,
            "sample.every": 2_450,
        },
    )
    for player in ("generator", "discriminator"):
        optimizer = {"learning_rate": 0.05, "max_column_norm": 1.9365}
        config = update(config, {f"optimizer.{player}.{field}": number for field, number in optimizer.items()})
    return config
