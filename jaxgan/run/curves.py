"""Training curves and scores over training."""

from __future__ import annotations

import math
import threading
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from jaxgan.fields import fields_of
from jaxgan.files import write_atomically
from jaxgan.metrics import DISPLAYS
from jaxgan.metrics.protocol import Display
from jaxgan.objectives.losses import LOSSES
from jaxgan.objectives.penalties import PENALTIES
from jaxgan.objectives.terms import TERMS
from jaxgan.run import plots
from jaxgan.run.plots import BLUE, LINES

# Metrics of a training step: terms of the losses, and all others except penalties (game/step.py).
TERM_METRICS = {part.name: Display(part.label, 3, 0) for term in TERMS.values() for part in term.D_PARTS + term.G_PARTS}
TRAINING = {
    "value": Display("V(D, G)", 3, 0),
    "d_real": Display("D(x)", 3, 0),
    "d_fake": Display("D(G(z))", 3, 0),
    "real_logit": Display("logit of D on data", 3, 0),
    "fake_logit": Display("logit of D on samples", 3, 0),
    "d_loss": Display("loss of D", 3, 0),
    "g_loss": Display("loss of G", 3, 0),
    **TERM_METRICS,
    "d_gradient_norm": Display("gradient norm of D", 3, 0),
    "g_gradient_norm": Display("gradient norm of G", 3, 0),
}


class Panel(NamedTuple):
    """One panel of the training curves."""

    label: str  # of its y axis
    lines: tuple[str, ...]  # names in metrics.jsonl


def panels(names: Collection[str]) -> list[Panel]:
    """The panels for these training metrics: the game, losses, penalties, terms and gradient norms."""
    losses = Panel("loss (nats)" if "value" in names else "loss", ("d_loss", "g_loss"))
    penalties = tuple(name for name in PENALTIES if name in names)
    terms = tuple(name for name in TERM_METRICS if name in names)
    logits = [Panel("mean logit", ("real_logit", "fake_logit"))]
    probabilities = [Panel("V(D, G)", ("value",)), Panel("mean D", ("d_real", "d_fake"))]
    norms = ("d_gradient_norm", "g_gradient_norm")
    optional = [Panel("penalty, unweighted", penalties), Panel("terms", terms), Panel("gradient norm", norms)]
    required = [*(logits if {"real_logit", "fake_logit"} & set(names) else probabilities), losses]
    return required + [panel for panel in optional if set(panel.lines) & set(names)]


def display_for(name: str) -> Display | None:
    """Label and format of a training metric, score or penalty in metrics.jsonl; None if unknown."""
    if name in PENALTIES:
        return Display(f"penalty {name}, unweighted", 3, 0)
    return TRAINING.get(name) or DISPLAYS.get(name)


def equilibrium(config: ConfigDict) -> dict[str, float]:
    """Metric values at Theorem 1's equilibrium, p_g = p_data and D = 1/2, by the names of metrics.jsonl.

    {} if D is not a probability, or if the loss's fields move its optimum (label smoothing).
    """
    loss = LOSSES[config.objective.loss]
    if not loss.probability or any(config.objective[name] != x for name, x in fields_of(loss).items()):
        return {}
    logit = jnp.zeros(1)
    return {
        "value": -math.log(4),
        "d_real": 0.5,
        "d_fake": 0.5,
        "d_loss": config.objective.d_scale * float(loss.discriminator(logit, logit)[0]),
        "g_loss": float(loss.generator(logit, logit)[0]),
    }


def save_curves(path: Path, records: list[dict[str, Any]], config: ConfigDict) -> None:
    """Plots training curves; dashed lines mark Theorem 1's equilibrium values if D is a probability.

    Args:
      path: of the PNG.
      records: the lines of metrics.jsonl. Missing and null values are left out.
      config: of the run.

    Raises:
      UserError: the picture cannot be written.
    """
    write_atomically(path, curves_png(records, config))


def curves_png(records: list[dict[str, Any]], config: ConfigDict) -> bytes:
    """The figure of `save_curves` as the bytes of a PNG file."""
    names = {name for record in records for name in record}
    parts, theory = tuple(panels(names)), equilibrium(config)
    with _figure_lock:
        figure = _empty_curves(parts, tuple(theory.items()))
        for axis, panel in zip(figure.axes, parts, strict=True):
            _update_panel(axis, panel, records, references=_reference_lines(panel, theory))
        return plots.figure_png(figure)


def scores_png(records: list[dict[str, Any]], names: Sequence[str], real: Mapping[str, float]) -> bytes:
    """Plots scores over training, one panel each; returns the bytes of a PNG file.

    Args:
      records: the lines of metrics.jsonl. Missing and null values are left out.
      names: of the scores.
      real: scores of real data by name, shown as dashed lines.
    """
    columns = min(2, len(names))
    rows = -(-len(names) // columns)
    figure = plots.new_figure(3.75 * columns if columns > 1 else 5, 2.3 * rows)
    axes = figure.subplots(rows, columns, squeeze=False).reshape(-1)
    for axis, name in zip(axes, names, strict=False):
        points = np.array([(r["step"], r[name]) for r in records if r.get(name) is not None]).reshape(-1, 2)
        axis.plot(*points.T, color=BLUE, marker="o" if len(points) < 30 else "", markersize=3, linewidth=1.4)
        if math.isfinite(real.get(name, math.nan)):
            axis.axhline(real[name], color="black", linestyle="--", linewidth=1, label="real data")
            axis.legend(frameon=False, fontsize=8)
        axis.set_title(DISPLAYS[name].label, fontsize=9)
        axis.locator_params(nbins=4)
        axis.grid(axis="y", alpha=0.3)
        axis.set_xlabel("step", fontsize=9)
    for axis in axes[len(names) :]:
        axis.axis("off")
    return plots.figure_png(figure)


_figure_lock = threading.Lock()  # guards the cached figure of `_empty_curves`


@lru_cache(maxsize=1)
def _empty_curves(parts: tuple[Panel, ...], theory: tuple[tuple[str, float], ...]):
    """The figure of `save_curves` without data. The last one is cached, for later steps and members of a sweep."""
    height = 2.5 * len(parts) + 0.4
    # Fixed margins: Matplotlib's layout engine takes as long as everything else.
    figure = plots.new_figure(7.5, height, layout="none")
    axes = figure.subplots(len(parts), 1, sharex=True, squeeze=False)[:, 0]
    figure.subplots_adjust(left=0.11, right=0.71, bottom=0.5 / height, top=1 - 0.15 / height, hspace=0.12)
    for axis, panel in zip(axes, parts, strict=True):
        for y in _reference_lines(panel, dict(theory)):
            axis.axhline(y, color="black", linestyle="--", linewidth=1, label=f"{_constant(y)} in theory")
        styles = zip(LINES, ("-", "-.", "--", ":") * 2, strict=False)
        for name, (color, style) in zip(panel.lines, styles, strict=False):
            known = display_for(name)
            label = name if name in PENALTIES or known is None else known.label
            axis.plot([], [], color=color, linestyle=style, markersize=3, linewidth=1.4, label=label)
        axis.set_ylabel(panel.label)
        axis.grid(axis="y", alpha=0.3)
        axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
        axis.xaxis.set_visible(axis is axes[-1])
    axes[-1].set_xlabel("step")
    return figure


def _reference_lines(panel: Panel, theory: dict[str, float]) -> list[float]:
    """Distinct equilibrium values of a panel's metrics, in descending order."""
    return sorted({theory[name] for name in panel.lines if name in theory}, reverse=True)


def _update_panel(axis, panel: Panel, records: list[dict[str, Any]], *, references: list[float]) -> None:
    """Sets the data of a panel of `_empty_curves`, replacing those of the previous run."""
    axis.set_yscale("linear")
    # Each tick is five Matplotlib objects, which dominate the cost of a figure.
    axis.locator_params(nbins=4)
    plotted: list[float] = []
    skip = len(references)
    pairs = zip(axis.get_lines()[skip:], axis.get_legend().legend_handles[skip:], strict=True)
    for name, (line, in_legend) in zip(panel.lines, pairs, strict=False):
        points = np.array([(r["step"], r[name]) for r in records if r.get(name) is not None]).reshape(-1, 2)
        line.set_data(*points.T)
        for artist in (line, in_legend):
            artist.set_marker("o" if len(points) < 30 else "")
        plotted += points[:, 1].tolist()
    axis.relim()
    axis.autoscale()
    if panel.lines == ("d_real", "d_fake"):
        axis.set_ylim(-0.03, 1.03)
    elif references:
        low, high = axis.get_ylim()
        axis.set_ylim(min(low, references[-1] - 0.1), max(high, references[0] + 0.1))  # a flat start looks flat
    elif plots.spans_orders(plotted):
        axis.set_yscale("log")


def _constant(x: float) -> str:
    known = {0.5: "1/2", math.log(2): "log 2", math.log(4): "log 4"}
    return next(
        (f"{'−' * (x < 0)}{text}" for y, text in known.items() if math.isclose(abs(x), y, rel_tol=1e-6)), f"{x:.3g}"
    )
