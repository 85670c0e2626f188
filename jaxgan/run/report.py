"""report.html: summary, training curves, samples, scores and reproduction instructions of a finished run."""

from __future__ import annotations

import json
import shlex
import statistics
import warnings
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from jaxgan.config.files import changed_from_default
from jaxgan.data import Dataset
from jaxgan.data.decode import decode
from jaxgan.errors import describe
from jaxgan.evaluation.evaluator import SELECTION, selection
from jaxgan.features.space import space_type
from jaxgan.files import exclusive, write_atomically
from jaxgan.game.gan import Gan
from jaxgan.game.hparams import HParams
from jaxgan.game.state import GanState
from jaxgan.metrics import DETAILS, DISPLAYS, label
from jaxgan.metrics.alarms import alarms, data_class_kl
from jaxgan.metrics.cautions import cautions
from jaxgan.run import curves, page
from jaxgan.run import report_pictures as pictures
from jaxgan.run.checkpoints import saved_steps
from jaxgan.run.scores import EVALUATION, real_scores
from jaxgan.run.workdir import RUN, read_config
from jaxgan.run.writers import read_metrics

REPORT = "report.html"
PANELS = 6  # maximum number of scores plotted over training


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
    features = space_type(config.evaluate.features).dimensions(dataset)
    data_kl = data_class_kl(dataset, protocol.get("samples", config.evaluate.samples))
    findings = _findings(config, records, numbers, state, collapsed=collapsed, real=real, data_kl=data_kl)
    findings += cautions(numbers, protocol, dimensions=features, collapsed=collapsed)
    sections = {
        "": page.paragraphs(_description(config, state, dataset)) + _bullets(findings),
        "Samples": page.side(
            pictures.progression(workdir),
            pictures.real_examples(config, gan, dataset),
            pictures.interpolation(config, gan, hparams, state, dataset),
        ),
        "Nearest training examples": pictures.neighbours(config, dataset, samples),
        "Training": page.figure(_curves(workdir, config, records), _curves_caption(config)),
        "Scores": _scores(config, records, numbers, protocol, real),
        "Configuration": _changes(config),
        "Versions and data": page.table(
            ["", ""], [[_spaced(name), _format_value(x)] for name, x in run.items() if name != "format"]
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
    sentences = []
    chosen, best = selection(config), _best(records)
    measured = {name: x for name, x in numbers.items() if x is not None}
    last = measured if chosen and chosen[0] in measured else _last(records)
    if chosen and last and best:
        name = DISPLAYS[chosen[0]].label
        a, b = (_number(chosen[0], record.get(chosen[0])) for record in (last, best))
        score = f"{name[0].upper()}{name[1:]}: {a} at step {last['step']:,}; best: {b} at step {best['step']:,}"
        if chosen[0] in real[1]:
            score += f"; {real[0]:,} training examples instead of samples: {_number(chosen[0], real[1][chosen[0]])}"
        sentences.append(f"{score}.")
    final = {name: x for name, x in (records[-1] if records else {}).items() if name != SELECTION}
    known = {**(last or {}), **final, **measured}
    sentences += alarms({name: x for name, x in known.items() if name != SELECTION}, best, chosen, data_kl)
    if collapsed:
        sentences.append("The samples are nearly identical: G has collapsed, or has not begun to learn.")
    ends = curves.equilibrium(config)
    game = [name for name in ("value", "d_real", "d_fake", "real_logit", "fake_logit") if final.get(name) is not None]
    if game:
        parts = [f"{curves.TRAINING[name].label} = {final[name]:.3f}" for name in game]
        theory = (
            " At p_g = p_data they are −log 4 = −1.386, 1/2 and 1/2: necessary but not sufficient, since a weak D "
            "gives the same values."
            if ends and "value" in game
            else ""
        )
        sentences.append(f"At the end {', '.join(parts)}.{theory}")
    speeds = [record["images_per_second"] for record in records if record.get("images_per_second")]
    if speeds:
        sentences.append(f"{statistics.median(speeds):,.0f} images per second (median).")
    if int(state.restores):
        sentences.append(f"It diverged and was rolled back to a checkpoint {int(state.restores)} times.")
    return sentences


def _nearly_identical(config: ConfigDict, dataset: Dataset, samples: np.ndarray) -> bool:
    """Whether the mean standard deviation of the samples is less than a tenth of that of training examples."""
    train = np.asarray(dataset.train[: len(samples)])
    examples = np.asarray(decode(jnp.asarray(train), config.data.gcn, config.data.low))
    return len(samples) > 1 and float(np.mean(np.std(samples, 0))) < 0.1 * float(np.mean(np.std(examples, 0)))


def _curves(workdir: Path, config: ConfigDict, records: list[dict[str, Any]]) -> bytes:
    path = workdir / "curves.png"  # written with the last samples
    return path.read_bytes() if path.is_file() else curves.curves_png(records, config)


def _curves_caption(config: ConfigDict) -> str:
    if curves.equilibrium(config):
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
    settings = [[_spaced(name), _format_value(x)] for name, x in protocol.items() if name != "versions"]
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
    return page.figure(curves.scores_png(records, names, real), "The scores over training.")


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
        return ", ".join(f"{_spaced(name)} {_format_value(value)}" for name, value in x.items())
    if isinstance(x, list | tuple):
        return "(" + ", ".join(map(_format_value, x)) + ")" if x else "()"
    if isinstance(x, float):
        return f"{x:g}"
    return "none" if x is None else str(x) if x != "" else "''"


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def _json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; {} if it is missing or damaged."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
