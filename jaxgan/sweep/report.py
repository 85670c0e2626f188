"""The report of a sweep, written from the files in its work directory alone, at any time.

report.md refers to plots/; report.html is self-contained. Verdicts are those of `statistics.compare`; the table shows
those by the selection metric.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from jaxgan.files import exclusive, write_atomically
from jaxgan.metrics import DISPLAYS
from jaxgan.run import page
from jaxgan.run.writers import read_metrics
from jaxgan.sweep import figures
from jaxgan.sweep.cautions import cautions
from jaxgan.sweep.settings import Setting, SweepSummary, read_settings
from jaxgan.sweep.statistics import BEST, MIN_SEEDS, SAME, UNKNOWN, WORSE, Verdict, compare, mean_interval

CAPTIONS = {
    "scores": "Last scores against the varied fields: runs (dots), their mean and 95% interval. A cross at the edge "
    "gives the number of diverged runs, which the mean excludes.",
    "curves": "Training curves: each run (thin), the mean over runs and its 95% interval (band). A cross marks where a "
    "run diverged; from there on the mean of the others is dotted.",
    "samples": "Samples of one run per setting, the one with the median last score; diverged runs rank lowest.",
}

NOTE = (
    "Last: at the last step. Best: at the evaluation with the best value of {selection}, which is optimistically "
    "biased. [Brackets]: 95% Student t interval of the mean over runs. Equal seeds share initial weights, data order "
    "and z, so settings are compared paired by seed; p tests that a setting is as good as the best one, corrected for "
    "choosing the best among all settings, and worse means p ≤ 0.05: among identical settings at most 5% of sweeps "
    "declare any worse. A diverged run counts as worse than every other; means exclude it, as (4 of 5 runs) indicates. "
    "Behind: the mean difference from the best over their common seeds, as if the two had been chosen beforehand."
)

LISTED = 3  # maximum number of settings named in a sentence; the table lists all


class Table(NamedTuple):
    """A table of plain text."""

    head: list[str]
    rows: list[list[str]]
    marks: list[str]  # the verdict of each row


class Parts(NamedTuple):
    """The content of both files, except the figures."""

    findings: list[str]
    scores: Table
    note: str  # explains the table of scores
    others: Table  # scores by the other metrics
    runs: Table


def write(workdir: Path) -> None:
    """Writes report.md, report.html and plots/ from the results in `workdir`.

    Concurrent calls for the same sweep are serialized, so that the last report has the latest results.

    Raises:
      UserError: a file is damaged, or cannot be written.
    """
    with exclusive(workdir / "report.html"):
        _write(workdir)


def _write(workdir: Path) -> None:
    swept = read_settings(workdir)
    verdicts = {name: compare_settings(swept, name) for name in swept.metrics}
    sentences, table, runs = findings(swept, verdicts), score_table(swept, verdicts), run_table(swept)
    other_metrics = metric_table(swept)
    note = NOTE.format(selection=DISPLAYS[swept.selection].label if swept.selection else "the setting's own metric")
    pictures = make_figures(workdir, swept)
    for name, picture in pictures.items():
        write_atomically(workdir / "plots" / f"{name}.png", picture)
    page_parts = Parts(sentences, table, note, other_metrics, runs)
    write_atomically(workdir / "report.md", markdown(swept, page_parts, list(pictures)).encode())
    write_atomically(workdir / "report.html", webpage(swept, page_parts, pictures))


def make_figures(workdir: Path, swept: SweepSummary) -> dict[str, bytes]:
    """The figures by name, as PNG bytes; empty ones are left out."""
    pictures = {}
    if swept.metrics and swept.fields:
        pictures["scores"] = figures.scores(swept.fields, swept.settings, swept.metrics)
    if swept.settings:
        names = [name for setting in swept.settings for name in setting.names]
        histories = {name: read_metrics(workdir / "members" / name) for name in names}
        if curves := figures.curves(swept.settings, histories):
            pictures["curves"] = curves
        pictures["samples"] = figures.samples(workdir, swept.settings, swept.selection)
    return pictures


# --- Verdicts ---------------------------------------------------------------------------------------------------------


def compare_settings(swept: SweepSummary, metric: str) -> list[Verdict]:
    """One verdict per setting by the final value of a metric; empty ones if the metric has no preferred direction.

    Means and differences are those of the metric times its sign: larger is better.
    """
    sign = DISPLAYS[metric].direction
    last = [setting.scores("final", metric) if sign else {} for setting in swept.settings]
    signed = [{seed: None if x is None else sign * x for seed, x in scores.items()} for scores in last]
    return compare({str(i): scores for i, scores in enumerate(signed)})


def findings(swept: SweepSummary, verdicts: dict[str, list[Verdict]]) -> list[str]:
    """The outcome in sentences, one per metric, the selection metric first."""
    sentences = []
    if swept.finished < swept.planned:
        sentences.append(
            f"{swept.finished} of {swept.planned} runs are finished so far; the following is based on them."
        )
    compared = [name for name in verdicts if any(v.verdict == BEST for v in verdicts[name])]
    sentences += [_sentence(swept, name, verdicts[name]) for name in compared]
    if swept.metrics and not compared:
        sentences.append(_why_no_verdict(swept, verdicts))
    if not swept.metrics and swept.settings:
        sentences.append("No run has a score at its end.")
    sentences += cautions(swept)
    if swept.diverged:
        counts = [
            f"{setting.diverged} of {len(setting.results)} with {setting.label}"
            for setting in swept.settings
            if setting.diverged
        ]
        sentences.append(f"{swept.diverged} of {swept.finished} runs diverged: {'; '.join(counts)}.")
    return sentences


def _sentence(swept: SweepSummary, metric: str, verdicts: list[Verdict]) -> str:
    name, digits, _ = DISPLAYS[metric]
    pairs = list(zip(swept.settings, verdicts, strict=True))
    best = next(setting for setting, verdict in pairs if verdict.verdict == BEST)
    mean = mean_interval(list(best.scores("final", metric).values())).text(digits)
    by = f"By {name}{' (the selection metric)' if metric == swept.selection else ''}"
    same = [setting.label for setting, verdict in pairs if verdict.verdict == SAME]
    if same and not any(verdict.verdict == WORSE for _, verdict in pairs):
        p = min(verdict.p for _, verdict in pairs if verdict.verdict == SAME)
        return (
            f"{by}: no difference found between the {len(same) + 1} settings (p ≥ {p:.3f}); the best mean is that of "
            f"{best.label}, {mean}."
        )
    parts = [f"{by}: best is {best.label}, {mean}"]
    if same:
        more = f" and {len(same) - LISTED} more" if len(same) > LISTED else ""
        parts.append(f"not distinguishable from it: {' | '.join(same[:LISTED])}{more}")
    worse = [(setting, verdict) for setting, verdict in pairs if verdict.verdict == WORSE]
    if 0 < len(worse) <= LISTED:
        listed = [f"{setting.label} (by {_behind(v, digits)}, {_p(v.p)})" for setting, v in worse]
        parts.append(f"worse: {' | '.join(listed)}")
    elif worse:
        means = [v.difference.mean for _, v in worse if v.difference and v.difference.n]
        span = f", by {min(means):.{digits}f} to {max(means):.{digits}f}" if means else ""
        parts.append(f"worse: {len(worse)} settings{span} ({_p(max(v.p for _, v in worse), at_most=True)})")
    return "; ".join(parts) + "."


def _why_no_verdict(swept: SweepSummary, verdicts: dict[str, list[Verdict]]) -> str:
    if len(swept.settings) == 1:
        return "There is one setting, so there is nothing to compare."
    shared = max((verdict.seeds for by_setting in verdicts.values() for verdict in by_setting), default=0)
    return f"No verdict: the settings have {shared} seeds in common, and a comparison needs {MIN_SEEDS}; add seeds."


def _behind(verdict: Verdict, digits: int) -> str:
    """The difference of a setting from the best one, with its interval."""
    difference = verdict.difference
    if difference is None or difference.n == 0:
        return "—"
    interval = f" [{difference.low:.{digits}f}, {difference.high:.{digits}f}]" if difference.n > 1 else ""
    return f"{difference.mean:.{digits}f}{interval}"


def _p(p: float, *, at_most: bool = False) -> str:
    return "p < 0.001" if p < 0.001 else f"p {'≤' if at_most else '='} {p:.3f}"


# --- Tables -----------------------------------------------------------------------------------------------------------


def score_table(swept: SweepSummary, verdicts: dict[str, list[Verdict]]) -> Table:
    """One row per setting, with the first metric only, to fit a page; it is the selection metric, if any."""
    by = swept.selection if swept.selection in verdicts else None
    head = ["setting", *([f"verdict by {DISPLAYS[by].label}, last", "behind the best by"] if by else [])]
    head += ["runs", "diverged"]
    head += [f"{DISPLAYS[name].label}, {when}" for name in swept.metrics[:1] for when in ("last", "best")]
    rows, marks = [], []
    for i, setting in enumerate(swept.settings):
        verdict = verdicts[by][i] if by else None
        row = [setting.label]
        if by and verdict:
            p = f" ({_p(verdict.p)})" if verdict.verdict in (SAME, WORSE) else ""
            row += [(verdict.verdict or "—") + p, _behind(verdict, DISPLAYS[by].digits)]
        row += [str(len(setting.results)), str(setting.diverged)]
        row += [_interval(setting, name, when) for name in swept.metrics[:1] for when in ("final", "best")]
        rows.append(row)
        marks.append(verdict.verdict if verdict else UNKNOWN)
    return Table(head, rows, marks)


def metric_table(swept: SweepSummary) -> Table:
    """One row per metric and setting, for the metrics that `score_table` omits."""
    rows = [
        [DISPLAYS[name].label, setting.label, _interval(setting, name, "final"), _interval(setting, name, "best")]
        for name in swept.metrics[1:]
        for setting in swept.settings
    ]
    return Table(["metric", "setting", "last", "best"], rows, [""] * len(rows))


def _interval(setting: Setting, metric: str, when: str) -> str:
    """The mean over a setting's runs and its interval."""
    return mean_interval(list(setting.scores(when, metric).values())).text(DISPLAYS[metric].digits)


def run_table(swept: SweepSummary) -> Table:
    """One row per run."""
    head = ["run", "seed", "steps", "", *(f"{DISPLAYS[name].label}, last" for name in swept.metrics)]
    rows = []
    for setting in swept.settings:
        for name, result in zip(setting.names, setting.results, strict=True):
            numbers = [result["final"].get(metric) for metric in swept.metrics]
            cells = [
                "—" if x is None else f"{x:.{DISPLAYS[metric].digits}f}"
                for metric, x in zip(swept.metrics, numbers, strict=True)
            ]
            state = "diverged (scores from before)" if result["diverged"] else ""
            rows.append([name, str(result["seed"]), str(result["steps"]), state, *cells])
    return Table(head, rows, [""] * len(rows))


# --- Files ------------------------------------------------------------------------------------------------------------


def markdown(swept: SweepSummary, parts: Parts, pictures: Sequence[str]) -> str:
    """report.md."""
    blocks = [f"# {_inline(swept.title)}", swept.docstring, "\n".join(f"- {_inline(line)}" for line in parts.findings)]
    if parts.scores.rows:
        blocks += [_markdown_table(parts.scores), parts.note]
    if parts.others.rows:
        blocks += ["## Other metrics", _markdown_table(parts.others)]
    blocks += [f"![{name}](plots/{name}.png)\n\n{CAPTIONS[name]}" for name in pictures]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _inline(text: str) -> str:
    """Text on one line of Markdown, with HTML and formulas escaped."""
    return re.sub(r"<(?=[A-Za-z/!?])", "&lt;", " ".join(text.split())).replace("$", r"\$")


def _markdown_table(table: Table) -> str:
    cells = [table.head, *table.rows]
    lines = ["| " + " | ".join(_inline(cell).replace("|", "\\|") for cell in row) + " |" for row in cells]
    lines.insert(1, "|---" * len(table.head) + "|")
    return "\n".join(lines)


def webpage(swept: SweepSummary, parts: Parts, pictures: dict[str, bytes]) -> bytes:
    """report.html."""
    body = [
        f"<h1>{page.escape(swept.title)}</h1>",
        f'<ul class="findings">{"".join(f"<li>{page.escape(sentence)}</li>" for sentence in parts.findings)}</ul>',
    ]
    if (table := parts.scores).rows:
        marks = [mark.replace(" ", "-") for mark in table.marks]
        body += [page.table(table.head, table.rows, classes=marks), f'<p class="note">{page.escape(parts.note)}</p>']
    if parts.others.rows:
        others = page.table(parts.others.head, parts.others.rows)
        body.append(f"<details><summary>Other metrics</summary>{others}</details>")
    titles = {"scores": "Scores", "curves": "Curves", "samples": "Samples"}
    body += [f"<h2>{titles[name]}</h2>{page.figure(picture, CAPTIONS[name])}" for name, picture in pictures.items()]
    if parts.runs.rows:
        runs = page.table(parts.runs.head, parts.runs.rows)
        body.append(f"<details><summary>All runs ({swept.finished} of {swept.planned})</summary>{runs}</details>")
    if swept.docstring:
        body.append(f"<h2>The question</h2>{page.paragraphs(swept.docstring)}")
    return page.page(swept.title, body)
