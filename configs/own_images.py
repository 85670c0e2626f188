"""A starting point for your own images: a folder of a few hundred to many thousand, of any size.

    python -m jaxgan.main --config=configs/own_images.py --config.data.name=folder:PATH

Every image is cropped to a square, resized to 32x32, and trained on. Multilayer perceptrons, the non-saturating loss
under R1 (arXiv:1801.04406), ADA (arXiv:2006.06676), Adam, and samples from an EMA of G. ADA changes the images that D
sees, more often the better D knows those of the folder: few images last longer.

What to change first, in this order:
- `train.batch_size`: with fewer than 64 images a smaller one, such as half of them;
- `augment.sets=color` where a mirror image is no image of the kind (text, digits, maps), `augment.sets=blit,color` for
  steps that take a third of the time on a CPU;
- `data.size`, in pixels: 16 for a first look, 64 for more detail, at four times the cost for each doubling;
- `train.steps`, if samples still get better at the end: samples/ and curves.png show it, and the same command with a
  larger number resumes;
- `objective.penalties.r1`: larger where D(x) nears 1 and D(G(z)) nears 0 and samples stay poor, or where a few hundred
  images are learned by heart; smaller where both stay at 1/2 and samples are soft;
- `generator.hidden` and `discriminator.hidden`: (1024, 1024) for thousands of images;
- `conditional=label`, if the images lie in a sub-folder for each class;
- for scores, a part that is not trained on: `data.validation=100 evaluate.metrics=parzen` (and as many for a test set).

Expected: variety from the first few hundred steps on; with multilayer perceptrons colours, layout and blurred shapes.
Measured on 500 random images of CIFAR-10 (JPEG copies), seed 0, two busy CPU cores, 2026-11-25: the standard deviation
of a pixel over 200 samples is .36, .65 and .85 of that over the images after 300, 900 and 1,800 steps (with mirror
images in place of ADA, whose p is at most .23 by then).
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
