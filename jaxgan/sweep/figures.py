"""Figures of a sweep as PNG bytes: scores against the varied fields, training curves with bands, samples."""

from __future__ import annotations

import io
import itertools
import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from jaxgan.config.files import from_json
from jaxgan.data.mixture import MIXTURES
from jaxgan.metrics import DISPLAYS
from jaxgan.objectives.penalties import PENALTIES
from jaxgan.run import grids, plots
from jaxgan.run.curves import TRAINING, display_for
from jaxgan.run.workdir import CONFIG
from jaxgan.sweep.settings import Setting, SweptField, format_value, label, not_diverged
from jaxgan.sweep.statistics import MIN_SEEDS, mean_interval

COLUMNS = 3  # panels of curves side by side
TICK = 30  # maximum characters of a tick label
LABEL = 30  # maximum characters per line of a y-axis label
MEMBER_LINES = 60  # with more runs than this, curves show means and bands only

# The lines of a member's metrics.jsonl.
History = list[dict[str, Any]]


def colors(n: int) -> list:
    """One colour for each of n settings, from the colour-blind-safe palette if it suffices."""
    from matplotlib import colormaps

    if n <= len(plots.LINES):
        return list(plots.LINES[:n])
    return [colormaps["viridis"](i / (n - 1)) for i in range(n)]


# --- Scores against the varied fields ---------------------------------------------------------------------------------


class Axis(NamedTuple):
    """Positions of a field's values on an x axis."""

    values: list[Any]
    positions: list[float]
    numeric: bool

    @property
    def width(self) -> float:
        return max(self.positions) - min(self.positions) or 1


def _axis_of(field: SweptField, settings: Sequence[Setting]) -> Axis:
    values: list[Any] = []
    for setting in settings:
        if field.value(setting.setting) not in values:
            values.append(field.value(setting.setting))
    if not all(type(value) in (int, float) for value in values):
        return Axis(values, list(range(len(values))), False)
    if min(values) > 0 and max(values) >= 8 * min(values):  # evenly spaced on a logarithmic axis
        return Axis(values, [math.log10(value) for value in values], True)
    return Axis(values, values, True)


def scores(fields: Sequence[SweptField], settings: Sequence[Setting], metrics: Sequence[str]) -> bytes:
    """Plots the last value of each metric against each varied field, one colour per combination of the other fields.

    The panels of a field are grouped above a common legend.
    """
    columns = min(COLUMNS, len(metrics))
    rows = -(-len(metrics) // columns)
    figure = plots.new_figure(max(4.2 * columns, 5.0), (3.4 * rows + 0.4) * len(fields))
    for part, field in zip(np.atleast_1d(figure.subfigures(len(fields), 1)), fields, strict=True):
        axes = part.subplots(rows, columns, squeeze=False).reshape(-1)
        handles: dict[str, Any] = {}
        for axis, metric in zip(axes, metrics, strict=False):
            handles |= _scores_panel(axis, field, metric, [other for other in fields if other != field], settings)
        for axis in axes[len(metrics) :]:
            axis.axis("off")
        if len(fields) > 1:
            _legend_below(part, list(handles.values()), width=45 * columns)
    return plots.figure_png(figure)


def _legend_below(figure, handles: Sequence[Any], *, width: int) -> None:
    """Adds a legend below all panels, in as many columns as fit into `width` characters."""
    longest = max((len(handle.get_label()) for handle in handles), default=0)
    columns = max(1, min(len(handles), width // (longest + 6)))
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False)


def _scores_panel(
    axis, field: SweptField, metric: str, others: Sequence[SweptField], settings: Sequence[Setting]
) -> dict[str, Any]:
    """Draws one metric against one field; returns the legend handles by the values of the other fields."""
    handles: dict[str, Any] = {}
    lines: dict[str, list[Setting]] = {}
    for setting in settings:
        lines.setdefault(label(others, setting.setting), []).append(setting)
    x_axis = _axis_of(field, settings)
    for number, (color, (text, line)) in enumerate(zip(colors(len(lines)), lines.items(), strict=True)):
        shift = x_axis.width * 0.015 * (number - (len(lines) - 1) / 2)
        x = [x_axis.positions[x_axis.values.index(field.value(setting.setting))] + shift for setting in line]
        points = sorted(zip(x, line, strict=True), key=lambda point: point[0])
        handle = _scores_line(
            axis, points, metric, color=color, label=plots.plain(text), joined=x_axis.numeric, number=number
        )
        handles |= {plots.plain(text): handle} if handle else {}
    axis.set(ylabel=textwrap.fill(f"{DISPLAYS[metric].label}, last", LABEL), xlabel=field.label)
    axis.set_xticks(x_axis.positions, [plots.plain(format_value(value), TICK) for value in x_axis.values])
    if not x_axis.numeric:
        axis.set_xlim(-0.5, len(x_axis.values) - 0.5)
    axis.grid(alpha=0.3)
    return handles


def _scores_line(
    axis, points: list[tuple[float, Setting]], name: str, *, color, label: str, joined: bool, number: int
) -> Any | None:
    """Draws the runs as dots, their means and intervals, and at the edge the number of diverged runs.

    Args:
      number: index of this line among those of the panel.

    Returns:
      The legend handle, or None if all runs diverged.
    """
    step = 0.03 + 0.06 * (number % 8)
    worst = 1 - step if DISPLAYS[name].direction < 0 else step
    means = []
    for x, setting in points:
        values = setting.scores("final", name)
        alive = not_diverged(values)
        axis.plot([x] * len(alive), alive, "o", color=color, alpha=0.35, markersize=4)
        if len(alive) < len(values):
            edge = axis.get_xaxis_transform()
            axis.plot([x], [worst], "x", color=color, markersize=7, transform=edge, clip_on=False)
            axis.annotate(
                f" {len(values) - len(alive)}", (x, worst), xycoords=edge, color=color, fontsize=8, va="center"
            )
        if alive:
            means.append((x, mean_interval(alive)))
    if not means:
        return None
    # Intervals of fewer than 3 runs are so wide that they would hide everything else.
    half = [m.high - m.mean if m.n >= MIN_SEEDS else 0.0 for _, m in means]
    return axis.errorbar(
        [x for x, _ in means], [m.mean for _, m in means], half, color=color, marker="s", markersize=6, capsize=4,
        linestyle="-" if joined else "", label=label,
    )  # fmt: skip


# --- Curves -----------------------------------------------------------------------------------------------------------


def curves(settings: Sequence[Setting], histories: dict[str, History]) -> bytes:
    """Plots all labelled metrics over training: one thin line per run, mean and confidence band per setting.

    After a run diverged, marked by a cross, the mean of the others is dotted. Returns b"" if there are no metrics.
    """
    names = {name for history in histories.values() for line in history for name, x in line.items() if x is not None}
    displays = {name: display_for(name) for name in (*DISPLAYS, *TRAINING, *PENALTIES) if name in names}
    labels = {name: display.label for name, display in displays.items() if display}
    if not labels:
        return b""
    rows = -(-len(labels) // COLUMNS)
    figure = plots.new_figure(4.2 * COLUMNS, 3.2 * rows + 0.4)
    axes = figure.subplots(rows, COLUMNS, squeeze=False).reshape(-1)
    for (name, text), axis in zip(labels.items(), axes, strict=False):
        plotted: list[float] = []
        handles = []
        for color, setting in zip(colors(len(settings)), settings, strict=True):
            members = [histories[member] for member in setting.names]
            handle, values = _curve(axis, members, name, color=color, thin=len(histories) <= MEMBER_LINES)
            diverged = f" ({setting.diverged} of {len(members)} diverged)" if setting.diverged else ""
            handle.set_label(plots.plain(setting.label) + diverged)
            handles.append(handle)
            plotted += values
        _set_range(axis, plotted)
        axis.set(ylabel=textwrap.fill(text, LABEL), xlabel="step")
        axis.grid(alpha=0.3)
    for axis in axes[len(labels) :]:
        axis.axis("off")
    _legend_below(figure, handles, width=130)
    return plots.figure_png(figure)


def _curve(axis, members: list[History], name: str, *, color, thin: bool) -> tuple[Any, list[float]]:
    """Draws one metric of one setting; returns the line of its mean, and the values that must be in range."""
    steps, band = mean_curve(members, name)
    complete = np.where(band[:, 3] == len(members), band[:, 0], np.nan)
    style = {"color": color, "linewidth": 1.6}
    marker = "o" if len(steps) < 2 else None  # a line through a single point is invisible
    axis.plot(steps, band[:, 0], ":", **style)
    (handle,) = axis.plot(steps, complete, "-", marker=marker, **style)
    axis.fill_between(steps, band[:, 1], band[:, 2], color=color, alpha=0.15, linewidth=0)
    plotted = list(band[:, 0])
    for history in members:
        points = [(line["step"], line[name]) for line in history if line.get(name) is not None]
        if not points:
            continue
        x, y = zip(*points, strict=True)
        if thin and len(members) > 1:
            axis.plot(x, y, "-", color=color, alpha=0.3, linewidth=0.6)
            plotted += y
        if x[-1] < max(line["step"] for line in history if name in line):
            axis.plot([x[-1]], [y[-1]], "x", color=color, markersize=6)
            plotted.append(y[-1])
    return handle, plotted


def mean_curve(members: list[History], name: str) -> tuple[np.ndarray, np.ndarray]:
    """The mean of a metric over the runs that have it, at each step where any has.

    Returns:
      Steps [n], and [n, 4]: mean, low and high end of its interval (the mean itself below 3 runs), number of runs.
    """
    values: dict[int, list[float]] = {}
    for line in itertools.chain.from_iterable(members):
        if line.get(name) is not None:
            values.setdefault(line["step"], []).append(line[name])
    steps = sorted(values)
    means = [mean_interval(values[step]) for step in steps]
    rows = [[m.mean, m.low, m.high, m.n] if m.n >= MIN_SEEDS else [m.mean, m.mean, m.mean, m.n] for m in means]
    return np.array(steps), np.array(rows, float).reshape(-1, 4)


def _set_range(axis, values: list[float]) -> None:
    """Sets the y range to show all values; wider bands are clipped."""
    if plots.spans_orders(values):
        axis.set_yscale("log")
        axis.set_ylim(min(values) / 1.3, max(values) * 1.3)
    elif values:
        margin = 0.06 * (max(values) - min(values)) or 0.06 * abs(values[0]) or 0.06
        axis.set_ylim(min(values) - margin, max(values) + margin)


# --- Samples ----------------------------------------------------------------------------------------------------------


def samples(workdir: Path, settings: Sequence[Setting], metric: str | None) -> bytes:
    """Samples of one run per setting, the one with the median score; diverged runs rank lowest.

    Preceded by real examples if they are the same for all settings.
    """
    runs = [_median(setting, metric) for setting in settings]
    members = [workdir / "members" / setting.names[i] for setting, i in zip(settings, runs, strict=True)]
    pictures = {path.read_bytes() if path.is_file() else b"" for path in (m / "samples" / grids.REAL for m in members)}
    real = pictures.pop() if len(pictures) == 1 else b""
    count = len(settings) + bool(real)
    columns = min(count, 4)
    rows = -(-count // columns)
    lines = 2 + max(setting.label.count(", ") for setting in settings)  # of a title
    figure = plots.new_figure(3.2 * columns, (3.2 + 0.2 * lines) * rows)
    axes = list(figure.subplots(rows, columns, squeeze=False).reshape(-1))
    for axis in axes[count:]:
        axis.axis("off")
    if real:
        first = axes.pop(0)
        _show_image(first, io.BytesIO(real))
        first.set_title("real data", fontsize=9)
        first.set(xticks=[], yticks=[])
    for axis, setting, i, member in zip(axes, settings, runs, members, strict=False):
        result = setting.results[i]
        _draw_samples(axis, member, result["steps"])
        state = ", diverged" if result["diverged"] else ""
        axis.set_title(f"{plots.plain(setting.label)}\n(seed {result['seed']}{state})".replace(", ", "\n"), fontsize=9)
        axis.set(xticks=[], yticks=[], xlabel="", ylabel="")
    return plots.figure_png(figure)


def _median(setting: Setting, metric: str | None) -> int:
    """The index of the median run; the better of the two middle ones."""
    sign = DISPLAYS[metric].direction if metric else 1

    def rank(i: int) -> float:
        result = setting.results[i]
        score = result["final"].get(metric)
        return -math.inf if result["diverged"] or score is None else sign * score

    ranked = sorted(range(len(setting.results)), key=rank)
    return ranked[len(ranked) // 2]


def _draw_samples(axis, member: Path, step: int) -> None:
    """Draws a run's points over their density or its image grid, if any."""
    arrays, picture = (member / "samples" / f"{step:09d}{kind}" for kind in (".npz", ".png"))
    config = from_json((member / CONFIG).read_text()) if arrays.is_file() else None
    if config and config.data.name.startswith("mixture:"):
        with np.load(arrays) as file:
            samples = np.nan_to_num(file["samples"])
        plots.draw_points(axis, samples, MIXTURES[config.data.name.removeprefix("mixture:")])
    elif picture.is_file():
        _show_image(axis, picture)
    else:
        axis.text(0.5, 0.5, "no samples", ha="center", transform=axis.transAxes)


def _show_image(axis, picture: Path | io.BytesIO) -> None:
    with Image.open(picture) as file:
        axis.imshow(file, cmap="gray")
