"""`--mode=export`: a folder with everything needed to run, study or assess G without this package.

g.stablehlo     G as a program: see jaxgan/run/export.py
g.safetensors   its parameters and statistics, by name, with the configuration as metadata
config.json     the configuration
README.md       a model card: data, training, scores, how to run it, limits
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
from safetensors.numpy import save

from jaxgan.config.files import to_json
from jaxgan.errors import UserError
from jaxgan.evaluation.evaluator import SELECTION
from jaxgan.files import write_atomically
from jaxgan.game.prior import PRIORS
from jaxgan.run.scores import EVALUATION
from jaxgan.run.trained import TrainedGan, load
from jaxgan.run.workdir import CONFIG, versions

PROGRAM, WEIGHTS, CARD = "g.stablehlo", "g.safetensors", "README.md"

TEMPLATE = """# {title}

The generator of a GAN, trained with jaxgan {version}.

| | |
|---|---|
{facts}

`{config}` holds every setting.

## Run it

`pip install jax flatbuffers` is all it needs (`jax[cuda12]` or `jax[tpu]` on an accelerator).

```python
{snippet}
```

{inputs}

`{weights}` holds the parameters (`params.*`) and batch or spectral statistics, if any, as arrays by name, and the
configuration as metadata: `safetensors.numpy.load_file("{weights}")`.

## Scores

{scores}

## Intended use and limits

For research on generative models and for teaching. The samples imitate the training data: they share its gaps and
biases, and may be near copies of training examples. The scores are those of one run, on these data, with this protocol;
they do not transfer to other data. Not for decisions about people, and not for passing samples off as real data.

## Licence

The code that trained the model is under Apache-2.0. Whether and how the weights may be distributed depends on the
licence of the training data ({data}): if you publish this folder, state it here.
"""


def release(workdir: Path, folder: Path | None) -> int:
    """Writes the newest checkpoint's G, with the average used for sampling by default, to `folder`.

    Args:
      folder: `workdir`/export if None; existing files of these names are replaced.

    Raises:
      UserError: no checkpoint, or a file cannot be written.
    """
    gan = load(workdir)
    folder = workdir / "export" if folder is None else folder
    card = model_card(gan, workdir.resolve().name, read_scores(workdir))
    gan.export(folder / PROGRAM)
    write_atomically(
        folder / WEIGHTS, save(weights(gan), metadata={"config": to_json(gan.config), "step": str(gan.step)})
    )
    write_atomically(folder / CONFIG, to_json(gan.config).encode())
    write_atomically(folder / CARD, card.encode())
    print(f"G of step {gan.step}: {folder / PROGRAM}, {WEIGHTS}, {CONFIG} and {CARD}, which explains how to run it")
    return 0


def weights(gan: TrainedGan) -> dict[str, np.ndarray]:
    """The parameters and statistics used for sampling: float arrays by name, such as 'params.Dense_0.kernel'."""
    params, stats = gan.generator_variables()
    leaves = jax.tree_util.tree_flatten_with_path({"params": params, **stats})[0]
    return {".".join(str(key.key) for key in path): np.ascontiguousarray(leaf) for path, leaf in leaves}


def read_scores(workdir: Path) -> dict[str, Any]:
    """evaluation.json; {} if the run was not evaluated.

    Raises:
      UserError: it is damaged.
    """
    path = workdir / EVALUATION
    try:
        return json.loads(path.read_text()) if path.exists() else {}
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}); write it again with --mode=evaluate.") from error


def model_card(gan: TrainedGan, title: str, scores: dict[str, Any]) -> str:
    """README.md of the exported folder, in Markdown."""
    config, info, classes = gan.config, gan.data_info, gan.gan.num_classes
    parameters = sum(x.size for x in jax.tree.leaves(gan.state.generator.params))
    values = "[{:g}, {:g}]".format(*info.bounds) if info.bounds else "the units of the training data"
    average = f"{gan.averages[0]}, an average of G's parameters over training" if gan.averages else "of the last step"
    rows = {
        "data": f"{info.name}, {info.examples:,} training examples of shape {'x'.join(map(str, info.shape))} "
        f"in {values}, SHA-256 {info.sha256}",
        "classes": f"{classes}, the input `y`" if classes else "none",
        "G": f"{config.generator.name}, {parameters:,} parameters; z: {config.prior.size} numbers, {config.prior.name}",
        "trained against": f"{config.discriminator.name}, loss {config.objective.loss}",
        "weights": average,
        "training": f"{gan.step:,} of {config.train.steps:,} steps with {config.train.batch_size} examples each, "
        f"seed {config.seed}",
        "checkpoint": f"SHA-256 {gan.sha256}",
        "software": ", ".join(f"{name} {number}" for name, number in versions().items()),
    }
    return TEMPLATE.format(
        title=title,
        version=versions()["jaxgan"],
        facts="\n".join(f"| {name} | {text} |" for name, text in rows.items()),
        config=CONFIG,
        weights=WEIGHTS,
        snippet=snippet(gan, values),
        inputs=f"`y` holds classes from 0 to {classes - 1}; any other number gives NaN." if classes else
        "G takes no classes." if config.conditional == "none" else
        f"G also takes a condition ({config.condition.name}), in the units of the data.",
        scores=score_table(scores),
        data=info.name,
    )  # fmt: skip


def snippet(gan: TrainedGan, values: str) -> str:
    """Python code that runs the exported program with jax and numpy."""
    prior, classes = gan.config.prior, gan.gan.num_classes
    z = PRIORS[prior.name].code.format(**prior)
    z = z if prior.scale == 1 else f"({prior.scale!r} * {z})"
    if categories := gan.config.objective.code.categories:
        z = f"np.hstack([np.eye({categories})[rng.integers({categories}, size=n)], {z}[:, {categories}:]])"
    shape = ", ".join(map(str, ("n", *gan.data_info.shape)))
    conditions = [] if classes else list(gan.condition_shapes.items())
    arguments = ["z", *(["y"] if classes else []), *(name for name, _ in conditions)]
    lines = [
        "import jax",
        "import numpy as np",
        "",
        f'G = jax.export.deserialize(open("{PROGRAM}", "rb").read())',
        "n, rng = 16, np.random.default_rng(0)",
        f"z = {z}.astype(np.float32)",
        *([f"y = np.arange(n, dtype=np.int32) % {classes}"] if classes else []),
        *(
            f"{name} = np.zeros({('n', *size)}, np.float32)  # the condition".replace("'n'", "n")
            for name, size in conditions
        ),
        f"x = np.asarray(G.call({', '.join(arguments)}))  # [{shape}] float32, in {values}",
    ]
    return "\n".join(lines)


def score_table(scores: dict[str, Any]) -> str:
    """The scores in evaluation.json and the protocol that measured them, in Markdown."""
    if not scores:
        return "Not evaluated."
    numbers = {name: x for name, x in scores.items() if name not in ("step", "protocol", SELECTION)}
    protocol = {name: x for name, x in scores["protocol"].items() if name != "versions"}
    return "\n".join([
        f"At step {scores['step']:,}:",
        "",
        "| score | value |",
        "|---|---|",
        *(f"| {name} | {'not a finite number' if x is None else format(x, '.4g')} |" for name, x in numbers.items()),
        "",
        "Protocol: " + "; ".join(f"{name} {x}" for name, x in protocol.items()) + ".",
    ])  # fmt: skip
