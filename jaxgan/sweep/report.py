"""The report of a sweep: means over seeds with 95% intervals, curves with bands, samples side by side.

Written from the files of the sweep's work directory alone: report.md beside plots/, and report.html, which
holds everything and needs no network.
"""

from __future__ import annotations

import base64
import html
import io
import itertools
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxgan import plots, results
from jaxgan.config import from_json
from jaxgan.data.decode import encode
from jaxgan.data.mixture import NAMED, box
from jaxgan.plan import varying
from jaxgan.scores import SCORE
from jaxgan.workdir import CONFIG, write_atomically
from jaxgan.writers import read

RESAMPLES = 10_000

# Of the table and of the plots against the swept values: {metric: (words, digits, 1 if larger is better)}.
SCORES = {
    "modes": ("modes captured", 2, 1),
    "high_quality": ("high-quality share", 3, 1),
    "jsd": ("JSD (nats)", 3, -1),
    "test_log_likelihood": ("Parzen test log-likelihood (nats)", 1, 1),
}
# Of the curves; logarithmic where only the order of magnitude tells.
CURVES = {
    "g_gradient_norm": "gradient norm of G",
    "d_gradient_norm": "gradient norm of D",
    "value": "V(D, G)",
    "d_fake": "mean D(G(z))",
    "modes": "modes captured",
    "jsd": "JSD (nats)",
    "validation_log_likelihood": "Parzen validation\nlog-likelihood (nats)",
}
LOGARITHMIC = ("g_gradient_norm", "d_gradient_norm", "jsd")


class Mean(NamedTuple):
    """A mean over seeds and its interval; NaN where there are too few."""

    mean: float
    low: float
    high: float
    n: int

    def text(self, digits: int) -> str:
        if self.n == 0:
            return "—"
        if self.n == 1:
            return f"{self.mean:.{digits}f}"
        return f"{self.mean:.{digits}f} [{self.low:.{digits}f}, {self.high:.{digits}f}]"


class Swept(NamedTuple):
    """A field that varies, or several that have the same value in every setting."""

    keys: list[str]
    label: str

    def value(self, setting: dict[str, Any]) -> Any:
        return setting.get(self.keys[0], "base")


class Setting(NamedTuple):
    label: str
    setting: dict[str, Any]
    names: list[str]  # of the members, a seed each
    results: list[dict[str, Any]]

    def values(self, which: str, metric: str) -> list[float]:
        """The metric ('final' or 'best') of each member that did not diverge."""
        return [r[which][metric] for r in self.results if not r["diverged"] and metric in r[which]]


def bootstrap(values: Sequence[float] | np.ndarray) -> Mean:
    """The mean and its 95% percentile bootstrap interval (Efron 1979), the same draws every time.

    Args:
      values: [n] numbers, one a seed. With few of them the interval is too narrow (`COVERAGE`).
    """
    values = np.asarray(values, np.float64)
    if len(values) < 2:
        mean = float(values[0]) if len(values) else math.nan
        return Mean(mean, math.nan, math.nan, len(values))
    draws = np.random.default_rng(0).integers(0, len(values), (RESAMPLES, len(values)))
    low, high = np.percentile(values[draws].mean(axis=1), [2.5, 97.5])
    return Mean(float(values.mean()), float(low), float(high), len(values))


def verdicts(scores: Sequence[Mean]) -> list[str]:
    """'best', 'not distinguishable' from it (the intervals overlap), 'worse', or '' for a setting with under 2 seeds.

    Args:
      scores: of each setting; larger is better.
    """
    known = [i for i, score in enumerate(scores) if score.n > 1]
    if not known:
        return [""] * len(scores)
    best = max(known, key=lambda i: scores[i].mean)

    def verdict(i: int) -> str:
        if i == best:
            return "best"
        if scores[i].n < 2:
            return ""
        return "not distinguishable" if scores[i].high >= scores[best].low else "worse"

    return [verdict(i) for i in range(len(scores))]


def swept_fields(sweep: Sequence[dict[str, Any]]) -> list[Swept]:
    """What the settings of a sweep, seeds aside, differ in."""
    alike: dict[str, list[str]] = {}
    for key in varying(list(sweep)):
        if key != "seed":
            alike.setdefault(json.dumps([setting.get(key, "base") for setting in sweep]), []).append(key)

    def last(key: str, parts: int) -> str:
        return ".".join(key.split(".")[-parts:])

    heads = [keys[0] for keys in alike.values()]
    parts = [
        next(n for n in range(1, 9) if sum(last(other, n) == last(key, n) for other in heads) == 1) for key in heads
    ]
    return [Swept(keys, last(keys[0], n)) for keys, n in zip(alike.values(), parts, strict=True)]


def settings(workdir: Path) -> tuple[dict[str, Any], list[Swept], list[Setting]]:
    """What a sweep's work directory holds: sweep.json, what varies, and the settings that have results."""
    sweep, lines = results.read_sweep(workdir), results.read(workdir)
    fields = swept_fields([member["setting"] for member in sweep["members"]])
    found: dict[str, Setting] = {}
    for member in sweep["members"]:
        line = lines.get(results.key(member["setting"], member["seed"]))
        if line is None:
            continue
        label = _label(fields, member["setting"]) or "base"
        same = json.dumps(member["setting"], sort_keys=True)
        setting = found.setdefault(same, Setting(label, member["setting"], [], []))
        setting.names.append(member["name"])
        setting.results.append(line)
    return sweep, fields, list(found.values())


def _label(fields: Sequence[Swept], setting: dict[str, Any]) -> str:
    return ", ".join(f"{field.label}={_word(field.value(setting))}" for field in fields)


def write(workdir: Path) -> None:
    """Writes report.md, report.html and plots/ from the results in `workdir`.

    Raises:
      UserError: a file cannot be written.
    """
    sweep, fields, found = settings(workdir)
    pictures = {
        "metrics": _metrics(fields, found),
        "curves": _curves(workdir, found),
        "samples": _samples(workdir, found),
    }
    for name, picture in pictures.items():
        write_atomically(workdir / "plots" / f"{name}.png", picture)
    title, _, text = sweep["about"].strip().partition("\n")
    title = title or sweep["name"]
    head, rows = _table(found)
    words = _words(found)
    captions = {
        "metrics": "Last score of each member (dots) against the swept value; mean and 95% interval.",
        "curves": "Over training: mean over seeds, and the 95% interval of that mean as a band.",
        "samples": "Samples of the member of each setting whose last score is the median.",
    }
    markdown = [
        f"# {title}",
        "",
        text.strip(),
        "",
        *(f"- {sentence}" for sentence in words),
        "",
        "| " + " | ".join(head) + " |",
        "|---" * len(head) + "|",
    ]
    markdown += ["| " + " | ".join(row) + " |" for row in rows]
    note = NOTE.format(coverage=_coverage(found))
    markdown += ["", note, ""]
    for name, caption in captions.items():
        markdown += [f"![{caption}](plots/{name}.png)", "", caption, ""]
    write_atomically(workdir / "report.md", "\n".join(markdown).encode())
    write_atomically(workdir / "report.html", _html(title, text, words, head, rows, note, pictures, captions).encode())


NOTE = (
    "Last: at the last step, as in the sentences above. Best: at the evaluation with the highest score, which "
    "flatters. "
    "The score (larger is better) is −JSD for a mixture and the Parzen log-likelihood of the validation set "
    "for images; verdicts compare last values, and two settings whose 95% bootstrap intervals overlap are not "
    "distinguishable. Members that diverged are counted and left out of the means.{coverage}"
)

# How often such an interval of n normal values covers their mean, of 100 times (simulated, 4,000 times each).
COVERAGE = {2: 50, 3: 73, 4: 80, 5: 83, 6: 86, 8: 89, 10: 90, 16: 92, 32: 94}


def _coverage(found: list[Setting]) -> str:
    """What the intervals are worth with the fewest seeds of any setting."""
    counts = [n for setting in found if (n := len(setting.values("final", SCORE))) > 1]
    if not counts:
        return " With one seed there is no interval: repeat with more seeds."
    known = [n for n in COVERAGE if n <= min(counts)]
    return (
        f" With {min(counts)} seeds such an interval covers about {COVERAGE[known[-1]]}% of the time, not 95%: repeat "
        f"with more seeds before believing a close call."
    )


def _table(found: list[Setting]) -> tuple[list[str], list[list[str]]]:
    shown = [name for name in SCORES if any(setting.values("final", name) for setting in found)]
    head = ["setting", "verdict", "seeds", "diverged"]
    head += [f"{SCORES[name][0]}, {when}" for name in shown for when in ("last", "best")]
    judged = verdicts([bootstrap(setting.values("final", SCORE)) for setting in found])
    rows = []
    for setting, verdict in zip(found, judged, strict=True):
        cells = [
            bootstrap(setting.values(which, name)).text(SCORES[name][1])
            for name in shown
            for which in ("final", "best")
        ]
        diverged = sum(result["diverged"] for result in setting.results)
        rows.append([setting.label, verdict, str(len(setting.results)), str(diverged), *cells])
    return head, rows


def _words(found: list[Setting]) -> list[str]:
    """The outcome, a sentence a score."""
    sentences = []
    for name, (words, digits, sign) in SCORES.items():
        means = [bootstrap(setting.values("final", name)) for setting in found]
        judged = verdicts([bootstrap(sign * np.array(setting.values("final", name))) for setting in found])
        if "best" not in judged:
            continue
        best = judged.index("best")
        parts = [f"{words[0].upper()}{words[1:]}: best with {found[best].label}, {means[best].text(digits)}"]
        for verdict in ("not distinguishable", "worse"):
            labels = [setting.label for setting, judgement in zip(found, judged, strict=True) if judgement == verdict]
            if labels:
                parts.append(f"{verdict}: {' | '.join(labels)}")
        sentences.append("; ".join(parts) + ".")
    diverged = sum(result["diverged"] for setting in found for result in setting.results)
    if diverged:
        sentences.append(f"{diverged} of {sum(len(setting.results) for setting in found)} members diverged.")
    return sentences or ["No member has a score."]


def _html(title, text, words, head, rows, note, pictures, captions) -> str:
    def escaped(cells: list[str], tag: str) -> str:
        return "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells)

    body = "".join(f'<tr class="{row[1].replace(" ", "-")}">{escaped(row, "td")}</tr>' for row in rows)
    figures = "".join(
        f'<figure><img alt="{html.escape(captions[name])}" '
        f'src="data:image/png;base64,{base64.b64encode(picture).decode()}">'
        f"<figcaption>{html.escape(captions[name])}</figcaption></figure>"
        for name, picture in pictures.items()
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>
<meta name="viewport" content="width=device-width"><style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #222 }}
p {{ max-width: 50rem }} pre {{ background: #f5f5f5; padding: .5rem 1rem; overflow-x: auto; max-width: 48rem }}
.words {{ font-size: 1.1rem; border-left: 4px solid #0072B2; padding: .2rem 2rem; max-width: 52rem }}
.table {{ overflow-x: auto }} table {{ border-collapse: collapse; font-size: .9rem }}
td {{ white-space: nowrap }}
th, td {{ text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #ddd; vertical-align: top }}
tr.best {{ background: #d6eaf6 }} tr.not-distinguishable {{ background: #f0f7fb }}
figure {{ margin: 2rem 0 }} img {{ max-width: 100% }} figcaption, .note {{ color: #555; font-size: .9rem }}
</style></head><body><h1>{html.escape(title)}</h1>{_paragraphs(text)}
<ul class="words">{escaped(words, "li")}</ul>
<div class="table"><table><thead><tr>{escaped(head, "th")}</tr></thead><tbody>{body}</tbody></table></div>
<p class="note">{html.escape(note)}</p>{figures}</body></html>
"""


def _paragraphs(text: str) -> str:
    """Plain text as HTML; what is indented is a command."""
    parts = [part for part in text.strip("\n").split("\n\n") if part.strip()]
    return "".join(
        f"<pre>{html.escape(part.strip())}</pre>" if part.startswith("    ") else f"<p>{html.escape(part)}</p>"
        for part in parts
    )


def _word(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _colors(n: int) -> list:
    from matplotlib import colormaps

    if n <= 8:  # the palette of Okabe and Ito, which the colour-blind tell apart
        return ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442"][:n]
    return [colormaps["viridis"](i / (n - 1)) for i in range(n)]


def _figure(width: float, height: float):
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=100, layout="constrained")


def _png(figure) -> bytes:
    data = io.BytesIO()
    figure.savefig(data, format="png")
    return data.getvalue()


def _metrics(fields: list[Swept], found: list[Setting]) -> bytes:
    """Each score against each swept field; a line for each combination of the other fields."""
    shown = [name for name in SCORES if any(setting.values("final", name) for setting in found)]
    figure = _figure(4.2 * max(len(shown), 1), 3.4 * max(len(fields), 1))
    axes = figure.subplots(max(len(fields), 1), max(len(shown), 1), squeeze=False)
    for field, row in zip(fields, axes, strict=False):
        lines: dict[str, list[Setting]] = {}
        for setting in found:
            others = [other for other in fields if other != field]
            lines.setdefault(_label(others, setting.setting), []).append(setting)
        values = []
        for setting in found:
            if field.value(setting.setting) not in values:
                values.append(field.value(setting.setting))
        numeric = all(type(value) in (int, float) for value in values)
        at = values if numeric else list(range(len(values)))
        spread = max(at) - min(at) or 1
        for name, axis in zip(shown, row, strict=False):
            for number, (color, (label, line)) in enumerate(zip(_colors(len(lines)), lines.items(), strict=True)):
                shift = spread * 0.015 * (number - (len(lines) - 1) / 2)
                points = sorted(
                    (at[values.index(field.value(setting.setting))] + shift, setting.values("final", name))
                    for setting in line
                    if setting.values("final", name)
                )
                for x, scores in points:
                    axis.plot([x] * len(scores), scores, "o", color=color, alpha=0.35, markersize=4)
                means = [bootstrap(scores) for _, scores in points]
                errors = [[m.mean - m.low for m in means], [m.high - m.mean for m in means]]
                axis.errorbar(
                    [x for x, _ in points], [m.mean for m in means], np.maximum(np.nan_to_num(errors), 0), color=color,
                    marker="s", markersize=6, capsize=4, linestyle="-" if numeric else "", label=label,
                )  # fmt: skip
            axis.set_ylabel(f"{SCORES[name][0]}, last")
            axis.set_xlabel(field.label)
            axis.set_xticks(at, [_word(value) for value in values])
            if not numeric:
                axis.set_xlim(-0.5, len(values) - 0.5)
            axis.grid(alpha=0.3)
        if len(lines) > 1 and shown:
            row[0].legend(frameon=False, fontsize=8)
    return _png(figure)


def _curves(workdir: Path, found: list[Setting]) -> bytes:
    """Each metric over training, a line a setting."""
    histories = [[read(workdir / "members" / name) for name in setting.names] for setting in found]
    lines = list(itertools.chain.from_iterable(itertools.chain.from_iterable(histories)))
    shown = [name for name in CURVES if any(line.get(name) is not None for line in lines)]
    columns = 3
    rows = -(-max(len(shown), 1) // columns)
    figure = _figure(4.2 * columns, 3.2 * rows)
    axes = figure.subplots(rows, columns, squeeze=False).reshape(-1)
    handles = []
    for name, axis in zip(shown, axes, strict=False):
        for color, setting, members in zip(_colors(len(found)), found, histories, strict=True):
            steps, mean, low, high = _band(members, name)
            marker = "o" if len(steps) < 2 else None  # a line through one point is none
            (handle,) = axis.plot(steps, mean, color=color, linewidth=1.4, marker=marker, label=setting.label)
            axis.fill_between(steps, low, high, color=color, alpha=0.2, linewidth=0)
            handles = [*handles, handle][: len(found)]
        if name in LOGARITHMIC:
            axis.set_yscale("log")
        axis.set_ylabel(CURVES[name])
        axis.set_xlabel("step")
        axis.grid(alpha=0.3)
    for axis in axes[len(shown) :]:
        axis.axis("off")
    if handles:
        longest = max(len(setting.label) for setting in found)
        columns = max(1, min(len(found), 150 // (longest + 6)))
        figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False)
    return _png(figure)


def _band(members: list[list[dict]], name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Steps, and at each the mean over the members that have a number there, with its interval."""
    at: dict[int, list[float]] = {}
    for line in itertools.chain.from_iterable(members):
        if line.get(name) is not None:
            at.setdefault(line["step"], []).append(line[name])
    steps = sorted(at)
    means = [bootstrap(at[step]) for step in steps]
    table = np.array([[m.mean, m.mean if m.n < 2 else m.low, m.mean if m.n < 2 else m.high] for m in means])
    return np.array(steps), *table.reshape(-1, 3).T


def _samples(workdir: Path, found: list[Setting]) -> bytes:
    """Samples of each setting's median member."""
    columns = min(len(found), 5) or 1
    rows = -(-max(len(found), 1) // columns)
    figure = _figure(3.0 * columns, 3.3 * rows)
    axes = figure.subplots(rows, columns, squeeze=False).reshape(-1)
    for axis, setting in zip(axes, found, strict=False):
        ranked = sorted(
            zip(setting.results, setting.names, strict=True),
            key=lambda pair: -math.inf if pair[0]["diverged"] else pair[0]["final"].get(SCORE, -math.inf),
        )
        result, name = ranked[len(ranked) // 2]
        place = workdir / "members" / name
        with np.load(place / "samples" / f"{result['steps']:09d}.npz") as file:
            _draw(axis, from_json((place / CONFIG).read_text()), file["samples"])
        axis.set_title(setting.label.replace(", ", "\n"), fontsize=9)
        axis.set_xticks([])
        axis.set_yticks([])
    for axis in axes[len(found) :]:
        axis.axis("off")
    return _png(figure)


def _draw(axis, config, samples: np.ndarray) -> None:
    """Images as a grid; points in the plane, p_g green and circles of 3 standard deviations of p_data."""
    if samples.ndim == 4:
        picture = plots.grid(encode(samples, config.data.contrast), rows=round(math.sqrt(len(samples))))
        axis.imshow(picture.squeeze(), cmap="gray")
        return
    density = NAMED[config.data.name.removeprefix("mixture:")]
    means, scales = np.asarray(density.means), np.asarray(density.scales)
    low, high = np.asarray(box(density))
    if means.shape[1] == 1:
        axis.hist(np.clip(samples[:, 0], low, high), bins=60, density=True, color=plots.GREEN)
        return
    axis.scatter(*samples[:, :2].T, s=4, color=plots.GREEN, alpha=0.5, linewidths=0)
    angles = np.linspace(0, 2 * math.pi, 40)[:, None]
    axis.plot(means[:, 0] + 3 * scales * np.cos(angles), means[:, 1] + 3 * scales * np.sin(angles), "k:", linewidth=1)
    axis.set_aspect("equal")
    margin = 0.1 * (high - low)  # samples beside the density show, too
    axis.set_xlim(low[0] - margin[0], high[0] + margin[0])
    axis.set_ylim(low[1] - margin[1], high[1] + margin[1])
