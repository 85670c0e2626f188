"""The output of a run: its description, progress (live on a terminal, plain lines otherwise), scores and summary."""

from __future__ import annotations

import math
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.text import Text

from jaxgan import data
from jaxgan.data import Dataset
from jaxgan.evaluation.evaluator import SELECTION
from jaxgan.game.state import GanState
from jaxgan.metrics import DISPLAYS
from jaxgan.run.report import REPORT
from jaxgan.run.writers import read_metrics

# The training metrics shown: the first of these groups that the run has.
GAME = (
    {"value": "V", "d_real": "D(x)", "d_fake": "D(G(z))"},
    {"d_loss": "D loss", "g_loss": "G loss", "real_logit": "logit(x)", "fake_logit": "logit(G(z))"},
)


class Progress:
    """Progress display: live on a terminal, otherwise plain lines at most every 5 seconds, and the last one.

    Args:
      total: steps of the whole run.
      batch_size: examples per step.
    """

    QUIET = 5.0  # seconds between plain lines

    def __init__(self, total: int, batch_size: int) -> None:
        self._total = total
        self._batch_size = batch_size
        console = Console()
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._line = ""  # the last one, if not printed yet
        self._shown = -math.inf

    def __enter__(self) -> Progress:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()
        elif self._line:
            self.log(self._line)

    def update(self, step: int, metrics: dict[str, float], steps_per_second: float) -> None:
        """Shows the step, the speed, and the metrics of `GAME`: V and D's probabilities, or losses and logits."""
        remaining = timedelta(seconds=round((self._total - step) / steps_per_second))
        images = steps_per_second * self._batch_size
        speed = f"step {step}/{self._total}  {steps_per_second:.1f} steps/s  {images:.0f} images/s  {remaining} left"
        labels = next((labels for labels in GAME if labels.keys() & metrics.keys()), {})
        game = "  ".join(f"{label} {metrics[name]:.3f}" for name, label in labels.items() if name in metrics)
        now = time.monotonic()
        due = now - self._shown > (0.1 if self._live else self.QUIET)
        if due:
            self._shown = now
        if self._live:
            display = Group(Text(speed), Text(game), ProgressBar(self._total, step))
            self._live.update(display, refresh=due)
        elif due or step == self._total:
            self.log(f"{speed}  {game}".rstrip())
            self._line = ""
        else:
            self._line = f"{speed}  {game}".rstrip()

    def log(self, message: str) -> None:
        """Prints a line, above the live display if any."""
        print(message, flush=True)


def opening(config: ConfigDict, dataset: Dataset, state: GanState, workdir: Path, memory: str) -> str:
    """Describes a run before its first step, one line per topic.

    Args:
      state: the players' state, or its shapes.
      memory: what the run needs of it.
    """

    def player(name: str, params: Any) -> str:
        return f"{config[name].name}, {sum(x.size for x in jax.tree.leaves(params)):,} parameters"

    t, n = config.train, jax.device_count()
    g_params, d_params = state.generator.params, state.discriminator.params
    classes = f", conditioned on {dataset.classes} classes" if config.conditional == "label" else ""
    shape = "x".join(map(str, dataset.shape))
    lines = {
        "data": data.describe(dataset),
        "G": f"{player('generator', g_params)}: z of dimension {config.prior.size} to {shape}{classes}",
        "D": f"{player('discriminator', d_params)}",
        "loss": f"{config.objective.loss}, {t['update']} updates, {t.d_steps} of D per step",
        "train": f"{t.steps:,} steps of {t.batch_size} examples on {n} {jax.default_backend().upper()} "
        f"device{'s' * (n != 1)} ({jax.devices()[0].device_kind})",
        "memory": memory,
        "workdir": f"{workdir}",
    }
    return _table(lines)


def scores_line(scores: dict[str, float | None]) -> str:
    """Formats scores as "FID: 12.31; precision: 0.713"; "" for none.

    Omits scores without a preferred direction. A score that could not be computed is "nan".
    """
    parts = []
    for name, score in scores.items():
        if name in DISPLAYS and DISPLAYS[name].direction:
            parts.append(f"{DISPLAYS[name].label}: {math.nan if score is None else score:.{DISPLAYS[name].digits}f}")
    return "; ".join(parts)


def closing(workdir: Path, step: int, seconds: float) -> str:
    """The summary of a finished run: its last scores, the step of the best ones, and the report."""
    lines = {"time": f"{timedelta(seconds=round(seconds))}"}
    scored = [record for record in read_metrics(workdir) if scores_line(record)]
    if scored:
        ranked = [record for record in scored if record.get(SELECTION) is not None]
        best = max(ranked, key=lambda record: record[SELECTION])["step"] if ranked else scored[-1]["step"]
        best_text = "" if best == scored[-1]["step"] else f" (best on validation: step {best})"
        lines["scores"] = f"{scores_line(scored[-1])}, at step {scored[-1]['step']}{best_text}"
    lines["report"] = f"{workdir / REPORT}"
    return f"finished {step} steps; everything is in {workdir}\n{_table(lines)}"


def _table(lines: dict[str, str]) -> str:
    return "\n".join(f"{name:8s} {text}" for name, text in lines.items())
