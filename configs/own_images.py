"""A starting point for your own images: a folder with a few hundred to many thousand images of any size.

    python -m jaxgan.main --config=configs/own_images.py --config.data.name=folder:PATH

Every image is cropped to a square, resized to 32x32, and trained on. Multilayer perceptrons, the non-saturating loss
with R1 (arXiv:1801.04406), ADA (arXiv:2006.06676), Adam, and samples from an EMA of G. ADA augments the inputs of D
more often the more D overfits, so that training on few images can go on for longer.

What to change first, in this order:
- `train.batch_size`: with fewer than 64 images a smaller one, such as half of them;
- `augment.sets=color` if mirror images are not plausible (text, digits, maps), `augment.sets=blit,color` for steps that
take a third of the time on a CPU;
- `data.size`, in pixels: 16 for a quick test, 64 for more detail; each doubling costs four times as much;
- `train.steps`, if samples still improve at the end (see samples/ and curves.png); the same command with a larger
number resumes;
- `objective.penalties.r1`: larger if D(x) approaches 1, D(G(z)) approaches 0 and samples stay poor, or if a few hundred
images are memorized; smaller if both stay at 1/2 and samples are blurred;
- `generator.hidden` and `discriminator.hidden`: (1024, 1024) for thousands of images;
- `conditional=label`, if the images are in one sub-folder per class;
- for scores, held-out images: `data.validation=100 evaluate.metrics=parzen` (and the same number for a test set).

Expected: diverse samples from the first few hundred steps on; multilayer perceptrons give colours, layout and blurred
shapes.
Measured on 500 random images of CIFAR-10 (JPEG copies), seed 0, two busy CPU cores, 2026-11-25: the standard deviation
of a pixel over 200 samples is .36, .65 and .85 of that over the images after 300, 900 and 1,800 steps (with flips
instead of ADA, whose p is at most .23 by then).
"""

from jaxgan.config import default, update


def get_config():
    settings = {
        "data.name": "folder:images",
        "data.size": 32,
        "data.validation": 0,  # every image is trained on
        "generator.hidden": (512, 512),
        "generator.activations": ("leaky_relu", "leaky_relu"),
        "generator.ema.half_life": (2_000.0,),
        "generator.ema.ramp": 0.05,
        "discriminator.hidden": (512, 512),
        "objective.penalties.r1": 0.3,
        "augment.name": "ada",
        "augment.sets": ("blit", "geometry", "color"),
        "train.steps": 20_000,
        "evaluate.metrics": (),
    }
    for player in ("generator", "discriminator"):
        settings[f"optimizer.{player}.learning_rate"] = 1e-3
    return update(default(), settings)
