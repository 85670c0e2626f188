"""Classifying scikit-learn's digits from 10 labels per class: Salimans et al. 2016 (arXiv:1606.03498), section 5.

D has an output per class; the logsumexp of these is the logit that separates data from samples. G descends feature
matching alone. Noise in D's layers is the paper's; its weight normalization is left out.

    python -m jaxgan.main --config=configs/few_labels_digits.py

Measured (experiments/few_labels.py, 1,500 steps, 6 draws of labels, 2026-11-28): 12.4 +- 2.3% errors on the last 297
digits; the same D without a GAN 13.8 +- 2.2%, label spreading 7.7 +- 2.0%.
`evaluate.metrics=class_error` gives D's errors on validation and test examples.
"""

from jaxgan import config


def get_config():
    changes = {
        "data.labels": 100,
        "data.validation": 297,
        "prior.size": 50,
        "generator.hidden": (256, 256),
        "generator.activations": ("relu", "relu"),
        "generator.norm": "batch",
        "discriminator.hidden": (250, 250, 100),
        "discriminator.activation": "relu",
        "discriminator.irange": 0.1,
        "discriminator.input_noise": 0.3,
        "discriminator.hidden_noise": 0.5,
        "objective.classes": "outputs",
        "objective.d_scale": 0.5,
        "objective.labelled.weight": 1.0,
        "objective.g_scale": 0.0,
        "objective.matching.weight": 1.0,
        "optimizer.generator.learning_rate": 1e-3,
        "optimizer.generator.b1": 0.5,
        "optimizer.discriminator.learning_rate": 1e-3,
        "optimizer.discriminator.b1": 0.5,
        "train.batch_size": 100,
        "train.steps": 1500,
        "evaluate.metrics": ("class_error",),
        "evaluate.every": 500,
    }
    return config.update(config.default(), changes)
