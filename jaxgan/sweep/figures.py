"""Pictures of a sweep: scores against what varies, curves with bands, samples side by side. Each is a PNG's bytes."""

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
from jaxgan.data.mixture import NAMED
from jaxgan.metrics import DISPLAYS
from jaxgan.objectives.penalties import PENALTIES
from jaxgan.run import plots
from jaxgan.run.workdir import CONFIG
from jaxgan.sweep.settings import Field, Setting, label, not_diverged, word
from jaxgan.sweep.statistics import MIN_SEEDS, mean_interval

COLUMNS = 3  # panels of curves side by side
TICK = 30  # characters of a value on an axis
LABEL = 30  # characters of a line beside a y axis
MEMBER_LINES = 60  # with more runs than this, curves show means and bands only

# The lines of a member's metrics.jsonl.
History = list[dict[str, Any]]


def colors(n: int) -> list:
    """One for each of n settings: of those that the colour-blind tell apart, as long as they last."""
    from matplotlib import colormaps

    if n <= len(plots.LINES):
        return list(plots.LINES[:n])
    return [colormaps["viridis"](i / (n - 1)) for i in range(n)]


# --- Scores against what varies ---------------------------------------------------------------------------------------


class Axis(NamedTuple):
    """Where the values of a field are on an x axis."""

    values: list[Any]
    at: list[float]
    numeric: bool

    @property
    def spread(self) -> float:
        return max(self.at) - min(self.at) or 1


def _axis_of(field: Field, settings: Sequence[Setting]) -> Axis:
    values: list[Any] = []
    for setting in settings:
        if field.value(setting.setting) not in values:
            values.append(field.value(setting.setting))
    if not all(type(value) in (int, float) for value in values):
        return Axis(values, list(range(len(values))), False)
    if min(values) > 0 and max(values) >= 8 * min(values):  # evenly spaced on a logarithmic axis
        return Axis(values, [math.log10(value) for value in values], True)
    return Axis(values, values, True)


def scores(fields: Sequence[Field], settings: Sequence[Setting], metrics: Sequence[str]) -> bytes:
    """Each metric, last, against each field that varies; a colour for each combination of the other fields.

    A field's panels stand together, above the legend of their colours.
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
    """Puts a legend of labelled artists below all panels, in as many columns as fit into `width` characters."""
    longest = max((len(handle.get_label()) for handle in handles), default=0)
    columns = max(1, min(len(handles), width // (longest + 6)))
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False)


def _scores_panel(
    axis, field: Field, metric: str, others: Sequence[Field], settings: Sequence[Setting]
) -> dict[str, Any]:
    """Draws one metric against one field; returns what has to be in a legend, by the values of the other fields."""
    handles: dict[str, Any] = {}
    lines: dict[str, list[Setting]] = {}
    for setting in settings:
        lines.setdefault(label(others, setting.setting), []).append(setting)
    place = _axis_of(field, settings)
    for number, (color, (words, line)) in enumerate(zip(colors(len(lines)), lines.items(), strict=True)):
        shift = place.spread * 0.015 * (number - (len(lines) - 1) / 2)
        at = [place.at[place.values.index(field.value(setting.setting))] + shift for setting in line]
        points = sorted(zip(at, line, strict=True), key=lambda point: point[0])
        handle = _scores_line(
            axis, points, metric, color=color, words=plots.plain(words), joined=place.numeric, number=number
        )
        handles |= {plots.plain(words): handle} if handle else {}
    axis.set(ylabel=textwrap.fill(f"{DISPLAYS[metric].label}, last", LABEL), xlabel=field.label)
    axis.set_xticks(place.at, [plots.plain(word(value), TICK) for value in place.values])
    if not place.numeric:
        axis.set_xlim(-0.5, len(place.values) - 0.5)
    axis.grid(alpha=0.3)
    return handles


def _scores_line(
    axis, points: list[tuple[float, Setting]], name: str, *, color, words: str, joined: bool, number: int
) -> Any | None:
    """The runs as dots, their means and intervals, and at the edge how many diverged; `number` of several lines.

    Returns the means for a legend, or None where all runs diverged.
    """
    step = 0.03 + 0.06 * (number % 8)
    worst = 1 - step if DISPLAYS[name].direction < 0 else step
    shown = []
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
            shown.append((x, mean_interval(alive)))
    if not shown:
        return None
    # Of under 3 runs an interval is so wide that nothing else could be seen.
    half = [m.high - m.mean if m.n >= MIN_SEEDS else 0.0 for _, m in shown]
    return axis.errorbar(
        [x for x, _ in shown], [m.mean for _, m in shown], half, color=color, marker="s", markersize=6, capsize=4,
        linestyle="-" if joined else "", label=words,
    )  # fmt: skip


# --- Curves -----------------------------------------------------------------------------------------------------------


def curves(settings: Sequence[Setting], histories: dict[str, History]) -> bytes:
    """Every number that has words over training: a thin line a run, their mean and its band a setting.

    Where a run has diverged, the mean of the others is dotted, and a cross is where it ended. No bytes where no run
    has a number.
    """
    told = {name for history in histories.values() for line in history for name, x in line.items() if x is not None}
    known = {name: plots.shown(name) for name in (*DISPLAYS, *plots.TRAINING, *PENALTIES) if name in told}
    shown = {name: how.label for name, how in known.items() if how}
    if not shown:
        return b""
    rows = -(-len(shown) // COLUMNS)
    figure = plots.new_figure(4.2 * COLUMNS, 3.2 * rows + 0.4)
    axes = figure.subplots(rows, COLUMNS, squeeze=False).reshape(-1)
    for (name, words), axis in zip(shown.items(), axes, strict=False):
        drawn: list[float] = []
        handles = []
        for color, setting in zip(colors(len(settings)), settings, strict=True):
            members = [histories[member] for member in setting.names]
            handle, numbers = _curve(axis, members, name, color=color, thin=len(histories) <= MEMBER_LINES)
            ended = f" ({setting.diverged} of {len(members)} diverged)" if setting.diverged else ""
            handle.set_label(plots.plain(setting.label) + ended)
            handles.append(handle)
            drawn += numbers
        _fit(axis, drawn)
        axis.set(ylabel=textwrap.fill(words, LABEL), xlabel="step")
        axis.grid(alpha=0.3)
    for axis in axes[len(shown) :]:
        axis.axis("off")
    _legend_below(figure, handles, width=130)
    return plots.figure_png(figure)


def _curve(axis, members: list[History], name: str, *, color, thin: bool) -> tuple[Any, list[float]]:
    """Draws one number of one setting; returns the line of its mean, and the numbers that have to be seen."""
    steps, band = mean_curve(members, name)
    whole = np.where(band[:, 3] == len(members), band[:, 0], np.nan)
    style = {"color": color, "linewidth": 1.6}
    marker = "o" if len(steps) < 2 else None  # a line through one point is none
    axis.plot(steps, band[:, 0], ":", **style)
    (handle,) = axis.plot(steps, whole, "-", marker=marker, **style)
    axis.fill_between(steps, band[:, 1], band[:, 2], color=color, alpha=0.15, linewidth=0)
    drawn = list(band[:, 0])
    for history in members:
        points = [(line["step"], line[name]) for line in history if line.get(name) is not None]
        if not points:
            continue
        x, y = zip(*points, strict=True)
        if thin and len(members) > 1:
            axis.plot(x, y, "-", color=color, alpha=0.3, linewidth=0.6)
            drawn += y
        if x[-1] < max(line["step"] for line in history if name in line):
            axis.plot([x[-1]], [y[-1]], "x", color=color, markersize=6)
            drawn.append(y[-1])
    return handle, drawn


def mean_curve(members: list[History], name: str) -> tuple[np.ndarray, np.ndarray]:
    """The mean over the runs that have a number, at each step where any has.

    Returns:
      Steps [n], and [n, 4]: the mean, the ends of its interval (the mean itself under 3 runs), and how many runs.
    """
    at: dict[int, list[float]] = {}
    for line in itertools.chain.from_iterable(members):
        if line.get(name) is not None:
            at.setdefault(line["step"], []).append(line[name])
    steps = sorted(at)
    means = [mean_interval(at[step]) for step in steps]
    rows = [[m.mean, m.low, m.high, m.n] if m.n >= MIN_SEEDS else [m.mean, m.mean, m.mean, m.n] for m in means]
    return np.array(steps), np.array(rows, float).reshape(-1, 4)


def _fit(axis, drawn: list[float]) -> None:
    """A range in which lines are seen, whatever bands need: they are cut off."""
    if plots.spans_orders(drawn):
        axis.set_yscale("log")
        axis.set_ylim(min(drawn) / 1.3, max(drawn) * 1.3)
    elif drawn:
        margin = 0.06 * (max(drawn) - min(drawn)) or 0.06 * abs(drawn[0]) or 0.06
        axis.set_ylim(min(drawn) - margin, max(drawn) + margin)


# --- Samples ----------------------------------------------------------------------------------------------------------


def samples(workdir: Path, settings: Sequence[Setting], metric: str | None) -> bytes:
    """Samples of one run of each setting: of that with the median score, a diverged run being the worst.

    Before them real examples, where all settings have the same.
    """
    runs = [_median(setting, metric) for setting in settings]
    members = [workdir / "members" / setting.names[i] for setting, i in zip(settings, runs, strict=True)]
    pictures = {path.read_bytes() if path.is_file() else b"" for path in (m / "samples" / plots.REAL for m in members)}
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
        _show(first, io.BytesIO(real))
        first.set_title("real data", fontsize=9)
        first.set(xticks=[], yticks=[])
    for axis, setting, i, member in zip(axes, settings, runs, members, strict=False):
        result = setting.results[i]
        _draw(axis, member, result["steps"])
        state = ", diverged" if result["diverged"] else ""
        axis.set_title(f"{plots.plain(setting.label)}\n(seed {result['seed']}{state})".replace(", ", "\n"), fontsize=9)
        axis.set(xticks=[], yticks=[], xlabel="", ylabel="")
    return plots.figure_png(figure)


def _median(setting: Setting, metric: str | None) -> int:
    """The place of the run in the middle, the better one of two."""
    sign = DISPLAYS[metric].direction if metric else 1

    def rank(i: int) -> float:
        result = setting.results[i]
        score = result["final"].get(metric)
        return -math.inf if result["diverged"] or score is None else sign * score

    ranked = sorted(range(len(setting.results)), key=rank)
    return ranked[len(ranked) // 2]


def _draw(axis, member: Path, step: int) -> None:
    """Draws points over their density, the picture of a run's images, or nothing."""
    arrays, picture = (member / "samples" / f"{step:09d}{kind}" for kind in (".npz", ".png"))
    config = from_json((member / CONFIG).read_text()) if arrays.is_file() else None
    if config and config.data.name.startswith("mixture:"):
        with np.load(arrays) as file:
            samples = np.nan_to_num(file["samples"])
        plots.draw_points(axis, samples, NAMED[config.data.name.removeprefix("mixture:")])
    elif picture.is_file():
        _show(axis, picture)
    else:
        axis.text(0.5, 0.5, "no samples", ha="center", transform=axis.transAxes)


def _show(axis, picture: Path | io.BytesIO) -> None:
    with Image.open(picture) as file:
        axis.imshow(file, cmap="gray")
