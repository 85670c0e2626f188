"""report.html: summary, training curves, samples, scores and reproduction instructions of a finished run."""

from __future__ import annotations

import io
import json
import math
import shlex
import statistics
import warnings
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict
from PIL import Image

from jaxgan.conditions import UNCONDITIONAL
from jaxgan.config.files import changed_from_default
from jaxgan.data import Dataset
from jaxgan.data.decode import decode, encode
from jaxgan.errors import describe
from jaxgan.evaluation.evaluator import SELECTION, selection
from jaxgan.features.space import dimensions
from jaxgan.files import exclusive, write_atomically
from jaxgan.game.gan import Gan
from jaxgan.game.hparams import HParams
from jaxgan.game.sampling import standing_statistics
from jaxgan.game.state import GanState, run_stream
from jaxgan.metrics import DETAILS, DISPLAYS, label
from jaxgan.metrics.alarms import alarms, data_class_kl
from jaxgan.metrics.cautions import cautions
from jaxgan.run import page, plots
from jaxgan.run.checkpoints import saved_steps
from jaxgan.run.scores import EVALUATION, real_scores
from jaxgan.run.workdir import RUN, read_config
from jaxgan.run.writers import read_metrics

REPORT = "report.html"
FRAMES, FRAMES_BYTES = 24, 2_500_000  # maximum number of pictures in the samples slider, and their total size
PICTURE_BYTES = 400_000  # maximum size of any other picture
PANELS = 6  # maximum number of scores plotted over training
NEIGHBOURS = 24  # maximum number of samples shown with their nearest training example, in two rows
PATHS, INTERPOLATION_STEPS = 6, 10  # paths between two z, and z per path
CHUNK = 2000  # training examples per block of distances


def write(workdir: Path, *, gan: Gan, hparams: HParams, state: GanState, dataset: Dataset, samples: np.ndarray) -> bool:
    """Writes report.html, unless the run has a later checkpoint, to which the report then belongs.

    Any failure is only a warning on stderr: the run itself is finished.

    Args:
      hparams, state: on the devices of this process.
      dataset: the run's training data.
      samples: [n, *shape] float32, at the run's fixed z.

    Returns:
      Whether it was written.
    """
    try:
        with exclusive(workdir / REPORT):  # also while rendering, so that a later report has later scores
            if max(saved_steps(workdir / "checkpoints"), default=-1) > int(state.step):
                return False
            content = render(workdir, gan=gan, hparams=hparams, state=state, dataset=dataset, samples=samples)
            write_atomically(workdir / REPORT, content)
            return True
    except Exception as error:
        warnings.warn(f"{workdir / REPORT} was not written: {describe(error)}", stacklevel=2)
        return False


def render(
    workdir: Path, *, gan: Gan, hparams: HParams, state: GanState, dataset: Dataset, samples: np.ndarray
) -> bytes:
    """The report of the run in `workdir`; arguments as in `write`.

    Raises:
      UserError: config.json is damaged.
    """
    config, records = read_config(workdir), read_metrics(workdir)
    run = _json(workdir / RUN)
    numbers, protocol = _evaluation(workdir)
    real, collapsed = real_scores(config, dataset) if numbers else (0, {}), _nearly_identical(config, dataset, samples)
    features = dimensions(config.evaluate.features, dataset)
    data_kl = data_class_kl(dataset, protocol.get("samples", config.evaluate.samples))
    findings = _findings(config, records, numbers, state, collapsed=collapsed, real=real, data_kl=data_kl)
    findings += cautions(numbers, protocol, dimensions=features, collapsed=collapsed)
    sections = {
        "": page.paragraphs(_description(config, state, dataset)) + _bullets(findings),
        "Samples": page.side(
            _samples(workdir), _real(config, gan, dataset), _interpolation(config, gan, hparams, state, dataset)
        ),
        "Nearest training examples": _neighbours(config, dataset, samples),
        "Training": page.figure(_curves(workdir, config, records), _curves_caption(config)),
        "Scores": _scores(config, records, numbers, protocol, real),
        "Configuration": _changes(config),
        "Versions and data": page.table(
            ["", ""], [[_words(name), _format_value(x)] for name, x in run.items() if name != "format"]
        ),
        "Reproducing this run": _recipe(config, run, workdir.resolve().name),
    }
    title = workdir.resolve().name
    body = [f"<h1>{page.escape(title)}</h1>"]
    body += [f"<h2>{name}</h2>{part}" if name else part for name, part in sections.items() if part]
    return page.page(f"{title}: {config.data.name}", body, script=page.SLIDER)


def _bullets(findings: list[str]) -> str:
    return f'<ul class="findings">{"".join(f"<li>{page.escape(sentence)}</li>" for sentence in findings)}</ul>'


# --- Summary and findings ---------------------------------------------------------------------------------------------


def _description(config: ConfigDict, state: GanState, dataset: Dataset) -> str:
    def player(name: str, params: Any) -> str:
        return f"{config[name].name} with {sum(x.size for x in jax.tree.leaves(params)):,} parameters"

    shape = "x".join(map(str, dataset.shape))
    classes = f", conditioned on {dataset.classes} classes" if config.conditional == "label" else ""
    return (
        f"A GAN on {config.data.name} ({len(dataset.train):,} training examples of {shape}){classes}: "
        f"G is {player('generator', state.generator.params)}, D is "
        f"{player('discriminator', state.discriminator.params)}; loss {config.objective.loss}; "
        f"{int(state.step):,} steps with batch size {config.train.batch_size}."
    )


def _findings(
    config: ConfigDict,
    records: list[dict[str, Any]],
    numbers: dict[str, Any],
    state: GanState,
    *,
    collapsed: bool,
    real: tuple[int, dict[str, float]],
    data_kl: float,
) -> list[str]:
    """The outcome in a few sentences; scores are the last ones, from evaluation.json (`numbers`)."""
    found = []
    chosen, best = selection(config), _best(records)
    measured = {name: x for name, x in numbers.items() if x is not None}
    last = measured if chosen and chosen[0] in measured else _last(records)
    if chosen and last and best:
        words = DISPLAYS[chosen[0]].label
        a, b = (_number(chosen[0], record.get(chosen[0])) for record in (last, best))
        score = f"{words[0].upper()}{words[1:]}: {a} at step {last['step']:,}; best: {b} at step {best['step']:,}"
        if chosen[0] in real[1]:
            score += f"; {real[0]:,} training examples instead of samples: {_number(chosen[0], real[1][chosen[0]])}"
        found.append(f"{score}.")
    final = {name: x for name, x in (records[-1] if records else {}).items() if name != SELECTION}
    known = {**(last or {}), **final, **measured}
    found += alarms({name: x for name, x in known.items() if name != SELECTION}, best, chosen, data_kl)
    if collapsed:
        found.append("The samples are nearly identical: G has collapsed, or has not begun to learn.")
    ends = plots.equilibrium(config)
    game = [name for name in ("value", "d_real", "d_fake", "real_logit", "fake_logit") if final.get(name) is not None]
    if game:
        parts = [f"{plots.TRAINING[name].label} = {final[name]:.3f}" for name in game]
        theory = (
            " At p_g = p_data they are −log 4 = −1.386, 1/2 and 1/2: necessary but not sufficient, since a weak D "
            "gives the same values."
            if ends and "value" in game
            else ""
        )
        found.append(f"At the end {', '.join(parts)}.{theory}")
    speeds = [record["images_per_second"] for record in records if record.get("images_per_second")]
    if speeds:
        found.append(f"{statistics.median(speeds):,.0f} images per second (median).")
    if int(state.restores):
        found.append(f"It diverged and was rolled back to a checkpoint {int(state.restores)} times.")
    return found


def _nearly_identical(config: ConfigDict, dataset: Dataset, samples: np.ndarray) -> bool:
    """Whether the mean standard deviation of the samples is less than a tenth of that of training examples."""
    train = dataset.train[: len(samples)]
    examples = np.asarray(decode(jnp.asarray(train), config.data.gcn, config.data.low))
    return len(samples) > 1 and float(np.mean(np.std(samples, 0))) < 0.1 * float(np.mean(np.std(examples, 0)))


def _curves(workdir: Path, config: ConfigDict, records: list[dict[str, Any]]) -> bytes:
    path = workdir / "curves.png"  # written with the last samples
    return path.read_bytes() if path.is_file() else plots.curves_png(records, config)


def _curves_caption(config: ConfigDict) -> str:
    if plots.equilibrium(config):
        return (
            "Each point is the mean since the previous one. Dashed: the values at Theorem 1's equilibrium, p_g = "
            "p_data. They are necessary but not sufficient: a D too weak to separate data from samples gives them too."
        )
    return (
        f"Each point is the mean since the previous one. With the loss {config.objective.loss} as configured, D's "
        f"output is not the probability of Theorem 1, which does not apply to these values."
    )


def _last(records: list[dict[str, Any]]) -> dict[str, Any] | None:
    return next((record for record in reversed(records) if record.get(SELECTION) is not None), None)


def _best(records: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The evaluation with the best selection score, whose checkpoint is kept; the newest in case of ties."""
    scored = [record for record in records if record.get(SELECTION) is not None]
    return max(scored, key=lambda record: (record[SELECTION], record["step"]), default=None)


# --- Samples ----------------------------------------------------------------------------------------------------------


def _samples(workdir: Path) -> str:
    paths = sorted(path for path in (workdir / "samples").glob("*.png") if path.stem.isdecimal())
    if not paths:
        return ""
    chosen = sorted({round(i) for i in np.linspace(0, len(paths) - 1, FRAMES)})
    limit = FRAMES_BYTES // len(chosen)
    frames = [(f"step {int(paths[i].stem):,}", shrink(paths[i].read_bytes(), limit)) for i in chosen]
    return page.slider(frames, "Samples of G over training, at fixed z.")


def _real(config: ConfigDict, gan: Gan, dataset: Dataset) -> str:
    """Training examples, tiled like the samples."""
    if dataset.mixture is not None:
        return ""
    picture = plots.png(plots.real_grid(config, dataset, gan.num_classes))
    return page.figure(shrink(picture, PICTURE_BYTES), "Real data: training examples, for comparison.")


def shrink(picture: bytes, limit: int) -> bytes:
    """The picture, re-encoded as JPEG at decreasing size and quality until it has at most `limit` bytes."""
    width, quality = 720, 85
    encoded = picture
    while len(encoded) > limit and width > 100:
        with Image.open(io.BytesIO(picture)) as file:
            image = file.convert("RGB")
        image.thumbnail((width, 4 * width))
        data = io.BytesIO()
        image.save(data, "JPEG", quality=quality)
        encoded = data.getvalue()
        width, quality = round(0.8 * width), max(40, quality - 10)
    return encoded


def _neighbours(config: ConfigDict, dataset: Dataset, samples: np.ndarray) -> str:
    """Samples, each above its nearest training example."""
    if dataset.mixture is not None or (dataset.stack > 1 and config.data.gcn):
        return ""
    samples = samples[:NEIGHBOURS]
    held_out = np.asarray(decode(jnp.asarray(dataset.validation[:200]), config.data.gcn, config.data.low))
    both = np.concatenate([samples, held_out])
    nearest, distances = nearest_examples(both, dataset, config.data.gcn, config.data.low)
    n = len(samples)
    images, half = encode(samples, config.data.gcn, config.data.low), max(1, n // 2)
    pairs = (images, nearest[:n])
    blocks = [plots.grid(np.concatenate([x[i : i + half] for x in pairs]), rows=2) for i in (0, n - half)]
    gap = np.full((blocks[0].shape[0] // 10, *blocks[0].shape[1:]), 255, np.uint8)
    picture = plots.png(np.concatenate([blocks[0], gap, blocks[1]]))
    caption = (
        f"Samples (rows 1 and 3), and below each the training example with the smallest Euclidean distance"
        f"{' (per channel)' if dataset.stack > 1 else ''}. Median distance {np.median(distances[:n]):.2f}"
    )
    if len(held_out):
        caption += (
            f"; for {len(held_out)} validation examples {np.median(distances[n:]):.2f}. Copies would be far closer"
        )
    return page.figure(shrink(picture, PICTURE_BYTES), f"{caption}.", pixels=True)


def nearest_examples(x: np.ndarray, dataset: Dataset, gcn: float, low: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """The training example with the smallest Euclidean distance to each of `x`.

    A stacked example can combine any images, so its nearest example has the nearest image in each channel.

    Args:
      x: [n, H, W, C] float32, in the range of G.
      gcn, low: see `decode`; gcn is 0 for stacks.

    Returns:
      The examples, [n, H, W, C] uint8, and the distances, [n] float64.
    """
    n, height, width, _ = x.shape
    stack = dataset.stack
    parts = np.moveaxis(x, -1, 1).reshape(-1, height, width, 1) if stack > 1 else x
    flat = parts.reshape(len(parts), -1)
    best, index = np.full(len(flat), np.inf), np.zeros(len(flat), int)
    for start in range(0, len(dataset.train), CHUNK):
        chunk = jnp.asarray(dataset.train[start : start + CHUNK])
        train = np.asarray(decode(chunk, gcn, low)).reshape(-1, flat.shape[1])
        relative = np.sum(train**2, axis=1)[None] - 2 * flat @ train.T  # squared distance less |x|^2
        closest = np.argmin(relative, axis=1)
        value = relative[np.arange(len(flat)), closest]
        index = np.where(value < best, start + closest, index)
        best = np.minimum(value, best)
    examples = dataset.train[index]
    differences = flat - np.asarray(decode(jnp.asarray(examples), gcn, low)).reshape(flat.shape)
    squares = np.sum(differences.astype(np.float64) ** 2, axis=1)
    if stack > 1:
        examples = np.moveaxis(examples.reshape(n, stack, height, width), 1, -1)
        squares = squares.reshape(n, stack).sum(axis=1)
    return examples, np.sqrt(squares)


def interpolate(a: jax.Array, b: jax.Array, steps: int, prior: str) -> jax.Array:
    """Interpolates z from a to b [n, d]: [n, steps, d] float32, both ends included.

    Linear for the uniform prior, within whose cube it stays; otherwise spherical (slerp, arXiv:1609.04468), since
    normal z are rarely as short as the midpoint of a line.
    """
    t = jnp.linspace(0.0, 1.0, steps)[None, :, None]
    a, b = a[:, None], b[:, None]
    if prior == "uniform":
        return (1 - t) * a + t * b
    lengths = jnp.linalg.norm(a, axis=-1, keepdims=True) * jnp.linalg.norm(b, axis=-1, keepdims=True)
    angle = jnp.arccos(jnp.clip(jnp.sum(a * b, axis=-1, keepdims=True) / lengths, -1, 1))
    angle = jnp.clip(angle, 1e-3, math.pi - 1e-3)  # z of one dimension are parallel
    return (jnp.sin((1 - t) * angle) * a + jnp.sin(t * angle) * b) / jnp.sin(angle)


def _interpolation(config: ConfigDict, gan: Gan, hparams: HParams, state: GanState, dataset: Dataset) -> str:
    """G(z) interpolated between two z: a row of images per pair, or a line in the plane."""
    if dataset.shape == (1,):
        return ""
    steps = INTERPOLATION_STEPS if dataset.mixture is None else 200
    classes = [row % gan.num_classes for row in range(PATHS)] if gan.num_classes else []

    @jax.jit
    def generate(hparams: HParams, state: GanState) -> jax.Array:
        key = run_stream(hparams, "sample")
        sample_z = lambda i: gan.sample_z(hparams, jax.random.fold_in(jax.random.fold_in(key, i), 0))  # noqa: E731
        ends = jax.vmap(sample_z)(jnp.arange(2 * PATHS, dtype=jnp.uint32))
        z = interpolate(ends[:PATHS], ends[PATHS:], steps, config.prior.name)
        told = plots.picture_condition(gan, hparams, dataset, PATHS, rows=PATHS)
        condition = jax.tree.map(lambda leaf: jnp.repeat(jnp.asarray(leaf), steps, axis=0), told or UNCONDITIONAL)
        params = state.averages[0] if state.averages else state.generator.params
        stats = standing_statistics(gan, hparams, params, state.generator.stats)
        return gan.G(params, stats, z.reshape(PATHS * steps, -1), condition)[0]

    x = np.asarray(generate(hparams, state))
    curve = "a line" if config.prior.name == "uniform" else "a great circle"
    if dataset.mixture is None:
        labels = [plots.class_label(y, dataset.class_names) for y in classes]
        picture = plots.png(plots.grid(encode(x, config.data.gcn, config.data.low), PATHS, labels))
        return page.figure(
            shrink(picture, PICTURE_BYTES), f"Each row: G(z) along {curve} from one z to another.", pixels=True
        )
    figure = plots.new_figure(6, 6)
    axis = figure.subplots()
    plots.draw_density(axis, dataset.mixture)
    for color, path in zip(plots.LINES, x.reshape(PATHS, steps, -1), strict=False):
        axis.plot(*path[:, :2].T, ".-", color=color, markersize=3, linewidth=0.6)
    return page.figure(plots.figure_png(figure), f"G(z) along {curve} from one z to another; p_data dotted.")


# --- Scores, configuration and reproduction ---------------------------------------------------------------------------


def _evaluation(workdir: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The scores of evaluation.json and their protocol; {} if missing."""
    scores = _json(workdir / EVALUATION)
    protocol = scores.pop("protocol", {})
    return scores, protocol


def _scores(
    config: ConfigDict,
    records: list[dict[str, Any]],
    numbers: dict[str, Any],
    protocol: dict[str, Any],
    real: tuple[int, dict[str, float]],
) -> str:
    """The last, best and real-data scores, the scores over training, and the evaluation protocol."""
    best = _best(records)
    if not numbers:
        return page.paragraphs("Nothing was evaluated (evaluate.metrics).")
    order = [*DISPLAYS, *DETAILS]
    names = [name for name in numbers if name not in ("step", SELECTION, "parzen_sigma_at_edge")]  # see the cautions
    names.sort(key=lambda name: order.index(name) if name in order else len(order))
    head, columns = ["", f"last (step {numbers['step']:,})"], [numbers]
    if best:
        head.append(f"best (step {best['step']:,})")
        columns.append(best)
    if real[1]:
        head.append(f"real data ({real[0]:,} training examples)")
        columns.append(real[1])
    rows = [[label(name), *(_number(name, column.get(name)) for column in columns)] for name in names]
    chosen = selection(config)
    note = ""
    if chosen and best:
        note = (
            f"Best: the evaluation with the {'highest' if chosen[1] > 0 else 'lowest'} {DISPLAYS[chosen[0]].label}, of "
            f"{sum(record.get(SELECTION) is not None for record in records)}; the best of several evaluations is "
            f"optimistically biased."
        )
        if protocol.get("samples", config.evaluate.samples) != config.evaluate.samples:
            note += f" The best was measured on {config.evaluate.samples:,} samples, the last as below."
    if real[1]:
        note += " Real data: training examples instead of samples."
        if real[0] < protocol.get("samples", 0):
            note += f" There are fewer of them than samples ({protocol['samples']:,}), which alone changes some scores."
    protocol = protocol or {"metrics": list(config.evaluate.metrics), "samples": config.evaluate.samples}
    settings = [[_words(name), _format_value(x)] for name, x in protocol.items() if name != "versions"]
    return (
        page.table(head, rows)
        + page.paragraphs(note)
        + _score_curves(records, numbers, real[1])
        + page.table(["evaluation", ""], settings)
    )


def _score_curves(records: list[dict[str, Any]], numbers: dict[str, Any], real: dict[str, float]) -> str:
    """The scores over training, of those measured more than once."""
    times = {name: sum(record.get(name) is not None for record in records) for name in numbers}
    names = [name for name, how in DISPLAYS.items() if how.direction and times.get(name, 0) > 1][:PANELS]
    if not names:
        return ""
    return page.figure(plots.scores_png(records, names, real), "The scores over training.")


def _changes(config: ConfigDict) -> str:
    changes = changed_from_default(config).items()
    rows = [[field, _format_value(value), _format_value(usual)] for field, (usual, value) in changes]
    if not rows:
        return page.paragraphs("All fields have their default values.")
    return page.table(["field", "value", "default"], rows) + page.paragraphs("All others have their default values.")


def config_file(config: ConfigDict) -> str:
    """A Python file whose get_config() returns `config`."""
    changes = "".join(f"        {field!r}: {value!r},\n" for field, (_, value) in changed_from_default(config).items())
    return (
        "from jaxgan.config import default, update\n\n\ndef get_config():\n"
        f"    changes = {{\n{changes}    }}\n    return update(default(), changes)\n"
    )


def _recipe(config: ConfigDict, run: dict[str, Any], name: str) -> str:
    commit = run.get("git_commit")
    if commit is None:
        code = f"jaxgan {run.get('versions', {}).get('jaxgan', '')}"
    else:
        code = f"commit {commit.rstrip('+')}" + (" with uncommitted changes" if commit.endswith("+") else "")
    file = f"repeat_{name}.py"
    command = f"python -m jaxgan.main --config={shlex.quote(file)} --workdir={shlex.quote(f'runs/{name}_again')}"
    return (
        page.paragraphs(f"With {code} and the versions and data above, save this as {file}:")
        + f"<pre>{page.escape(config_file(config))}</pre>"
        + f"<pre>{page.escape(command)}</pre>"
    )


def _number(name: str, x: Any) -> str:
    if not isinstance(x, int | float):
        return "—"
    known = DISPLAYS.get(name) or DETAILS.get(name)
    return f"{x:.{known.digits}f}" if known else f"{x:.4g}"


def _format_value(x: Any) -> str:
    """A config or JSON value as readable text."""
    if isinstance(x, dict):
        return ", ".join(f"{_words(name)} {_format_value(value)}" for name, value in x.items())
    if isinstance(x, list | tuple):
        return "(" + ", ".join(map(_format_value, x)) + ")" if x else "()"
    if isinstance(x, float):
        return f"{x:g}"
    return "none" if x is None else str(x) if x != "" else "''"


def _words(name: str) -> str:
    return name.replace("_", " ")


def _json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; {} if it is missing or damaged."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
