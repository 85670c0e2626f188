"""The laboratory as one page: docs/laboratory.md with its pictures in one HTML file that opens without a network.

    python -m experiments.laboratory [--out=docs/laboratory.html]

Claims are the rows of the tables whose first column is "claim". The page counts their verdicts, shows those of a
verdict or with certain words, and has an address for each (#claim-...). A claim that begins with "..." goes on from the
last one that does not, to which it is linked. As the row above may be hidden, "same" and "in the above" are replaced by
what they stand for: the command and the cost of the last row whose command is `python -m ...`. All words are those of
the Markdown file, which is the one to edit.
"""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice, pairwise
from pathlib import Path
from typing import NamedTuple

from experiments import lab
from jaxgan.errors import UserError
from jaxgan.files import write_atomically
from jaxgan.run import page

SOURCE = Path(__file__).parents[1] / "docs" / "laboratory.md"
COLUMNS = ("claim", "here", "number", "seeds", "cost, CPU", "command")
OPEN = "not distinguishable"

# The verdicts by their words in the table: the class of the page's style, and the words of its count.
VERDICTS = {
    "holds": ("holds", "hold"),
    "holds partly": ("partly", "hold partly"),
    "does not hold": ("fails", "do not hold"),
    "not reproduced": ("unreproduced", "not reproduced"),
    "undecided": ("undecided", "undecided"),
    OPEN: ("open", "not distinguishable"),
}

STYLE = """
:root { color-scheme: light dark; --back: #fff; --text: #222; --faint: #666; --line: #ddd; --code: #f3f3f3;
  --holds: #00694c; --partly: #8a5a00; --fails: #b03a00; --open: #555; --link: #0063a0; --target: #fff6d5 }
@media (prefers-color-scheme: dark) { :root { --back: #16181b; --text: #ddd; --faint: #999; --line: #3a3d42;
  --code: #24272b; --holds: #3fc79a; --partly: #e6b03c; --fails: #ff8a54; --open: #aaa; --link: #6cb8ee;
  --target: #3a3415 } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 92rem; margin: 2rem auto; padding: 0 1rem;
  background: var(--back); color: var(--text) }
a { color: var(--link) } p { max-width: 52rem } p:has(img) { max-width: none }
img { max-width: 100%; height: auto; background: #fff }
h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line); font-size: 1.25rem }
code { background: var(--code); padding: .1rem .25rem; border-radius: .2rem; font-size: .9em; overflow-wrap: anywhere }
table { border-collapse: collapse; font-size: .9rem }
th { position: sticky; top: 0; background: var(--back); box-shadow: 0 1px var(--line) }
th, td { text-align: left; vertical-align: top; padding: .5rem .8rem .5rem 0 }
td { border-bottom: 1px solid var(--line); overflow-wrap: break-word }
td:nth-child(1) { width: 27% } td:nth-child(2) { width: 13% } td:nth-child(3) { width: 30% }
td:nth-child(5) { min-width: 6rem } td:nth-child(6) { width: 17% }
tr:target { background: var(--target) }
.of { display: block; color: var(--faint); font-size: .85em }
.holds { color: var(--holds) } .partly { color: var(--partly) }
.fails { color: var(--fails) } .open, .unreproduced, .undecided { color: var(--open) }
.filter { max-width: none; font-size: 1.05rem } .filter label { margin-right: 1rem; white-space: nowrap }
.filter input[type=search] { font: inherit; min-width: 14rem }
.address { text-decoration: none; color: var(--faint); visibility: hidden } tr:hover .address { visibility: visible }
[hidden] { display: none !important }
@media (max-width: 60rem) { thead { display: none } tr { display: block; border-bottom: 2px solid var(--line) }
  td { display: block; width: auto !important; border: 0; padding: .15rem 0 }
  td::before { content: attr(data-label) ": "; color: var(--faint) } }
"""

# Without it all claims are shown, under their counts.
SCRIPT = """
const rows = [...document.querySelectorAll("tr[data-verdict]")];
const boxes = [...document.querySelectorAll(".filter [type=checkbox]")];
const search = document.querySelector(".filter [type=search]"), shown = document.querySelector(".filter output");
const show = () => {
  const wanted = boxes.filter(box => box.checked).map(box => box.value);
  const words = search.value.toLowerCase().split(/\\s+/);
  for (const row of rows) {
    const text = row.textContent.toLowerCase();
    row.hidden = !wanted.includes(row.dataset.verdict) || !words.every(word => text.includes(word));
  }
  shown.textContent = `${rows.filter(row => !row.hidden).length} shown`;
};
for (const part of [...boxes, search]) { part.hidden = false; part.addEventListener("input", show); }
show();
"""


class Claim(NamedTuple):
    """A row of a table of claims: its cells in Markdown, with what "same" and "in the above" stand for."""

    name: str  # its address in the page
    verdict: str  # of `VERDICTS`
    parent: Claim | None  # that it goes on from
    cells: dict[str, str]  # by `COLUMNS`


# --- Reading ----------------------------------------------------------------------------------------------------------


def parser():
    """Of Markdown with tables; HTML in it is text.

    Raises:
      UserError: it is not installed.
    """
    try:
        from markdown_it import MarkdownIt
    except ImportError:
        raise UserError("the page of the laboratory needs markdown-it-py: pip install -e '.[dev]'.") from None
    return MarkdownIt("js-default")


def contents(path: Path) -> bytes:
    """A file's bytes.

    Raises:
      UserError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): it or the path to it must be mended.") from error


def verdict_of(cell: str) -> str:
    """The verdict that a cell of Markdown gives, of `VERDICTS`. Several, of one case and another, make 'holds partly'.

    Raises:
      UserError: it gives none.
    """
    found = {words for words in re.findall(r"\*\*(.+?)\*\*", cell) if words in VERDICTS}
    found |= {words for words in VERDICTS if words == OPEN and cell.startswith(words)}
    if not found:
        known = ", ".join(f"**{words}**" for words in VERDICTS if words != OPEN)
        raise UserError(f"the verdict {cell!r} must have the words {known}, or begin with {OPEN!r}.")
    return found.pop() if len(found) == 1 else "holds partly"


def claims(rows: Iterable[Sequence[str]]) -> Iterator[Claim]:
    """The claims of rows of Markdown, each a cell for each of `COLUMNS`.

    Raises:
      UserError: a row has no verdict, an empty cell, or refers to a row above where there is none.
    """
    whole: dict[str, str] = {}  # the last row with a command of its own
    parent, taken = None, Counter[str]()
    for row in rows:
        cells = dict(zip(COLUMNS, row, strict=True))
        own = cells["command"].startswith("`python -m ")
        for column, (words, instead) in {"command": ("same", ""), "cost, CPU": ("in the above", "part of ")}.items():
            if re.match(rf"{words}($|\W)", cells[column]):
                if not whole:
                    raise UserError(f"{words!r} of the claim {row[0]!r} must have a command above it.")
                cells[column] = instead + whole[column] + cells[column].removeprefix(words)
        if "" in cells.values():
            raise UserError(f"the claim {row[0]!r} must have {', '.join(c for c, cell in cells.items() if not cell)}.")
        whole = cells if own else whole
        name = "claim-" + "-".join(re.findall(r"[a-z0-9]+", unlinked(row[0]).lower())[:6])
        taken[name] += 1
        name += f"-{taken[name]}" if taken[name] > 1 else ""
        claim = Claim(name, verdict_of(cells["here"]), parent if row[0].startswith("...") else None, cells)
        parent = claim.parent or claim
        yield claim


def unlinked(markdown: str) -> str:
    """Markdown with the words of its links in place of the links."""
    return re.sub(r"\[(.*?)\]\(.*?\)", r"\1", markdown)


def read(tokens: Sequence) -> list[Claim]:
    """All claims of a page's tokens, in their order."""
    return list(claims(row for table in tables(tokens) for row in rows_of(tokens[table])))


def tables(tokens: Sequence) -> list[slice]:
    """Where the tables of claims are among the tokens of a page: those whose first column is "claim".

    Raises:
      UserError: one has other columns than `COLUMNS`.
    """
    starts = [i for i, token in enumerate(tokens) if token.type == "table_open"]
    ends = [i + 1 for i, token in enumerate(tokens) if token.type == "table_close"]
    found = []
    for table in (slice(start, end) for start, end in zip(starts, ends, strict=True)):
        (head,) = rows_of(tokens[table], head=True)
        if head[0] == COLUMNS[0]:
            found.append(table)
            if tuple(head) != COLUMNS:
                raise UserError(f"a table of claims must have the columns {', '.join(COLUMNS)}, not {', '.join(head)}.")
    return found


def rows_of(tokens: Sequence, head: bool = False) -> list[list[str]]:
    """The rows of a table's body, or head, as cells of Markdown."""
    cell = "th_open" if head else "td_open"
    rows: list[list[str]] = []
    for before, token in pairwise(tokens):
        if before.type == "tr_open" and token.type == cell:
            rows.append([])
        if before.type == cell:
            rows[-1].append(token.content)
    return rows


# --- The page ---------------------------------------------------------------------------------------------------------


def table_of(found: Sequence[Claim], inline: Callable[[str], str]) -> str:
    """The table of claims; `inline` makes HTML of Markdown."""
    head = "".join(f"<th>{page.escape(column)}</th>" for column in COLUMNS)
    rows = []
    for claim in found:
        html = {column: inline(cell) for column, cell in claim.cells.items()}
        for verdict, (mark, _) in VERDICTS.items():
            old = verdict if verdict == OPEN else f"<strong>{verdict}</strong>"
            html["here"] = html["here"].replace(old, f'<strong class="{mark}">{verdict}</strong>')
        html["claim"] += f' <a class="address" href="#{claim.name}" title="address of this claim">#</a>'
        if claim.parent:
            start = textwrap.shorten(unlinked(claim.parent.cells["claim"]), 90, placeholder=" ...")
            html["claim"] += f'<span class="of">of <a href="#{claim.parent.name}">{page.escape(start)}</a></span>'
        row = "".join(f'<td data-label="{page.escape(column)}">{cell}</td>' for column, cell in html.items())
        rows.append(f'<tr id="{claim.name}" data-verdict="{VERDICTS[claim.verdict][0]}">{row}</tr>\n')
    return f"<table><thead><tr>{head}</tr></thead><tbody>\n{''.join(rows)}</tbody></table>\n"


def summary(found: Sequence[Claim]) -> str:
    """How many claims have which verdict, each count with the box that shows or hides them."""
    counts = Counter(claim.verdict for claim in found)
    boxes = "".join(
        f'<label class="{mark}"><input type="checkbox" value="{mark}" checked hidden> '
        f"<strong>{counts[verdict]}</strong> {words}</label>\n"
        for verdict, (mark, words) in VERDICTS.items()
    )
    search = '<input type="search" placeholder="with the words" aria-label="with the words" hidden>'
    return f'<p class="filter">{len(found)} claims: {boxes}{search} <output></output></p>\n'


def rendered(source: Path) -> tuple[bytes, list[Claim]]:
    """The page of a Markdown file, whole, and its claims.

    Raises:
      UserError: the file or a picture cannot be read, or a row is not a claim.
    """
    markdown = parser()

    def picture(self, tokens, place, options, env) -> str:
        return page.image(contents(source.parent / tokens[place].attrs["src"]), tokens[place].content)

    markdown.add_render_rule("image", picture)
    tokens = markdown.parse(contents(source).decode())
    title = next(tokens[i + 1].content for i, token in enumerate(tokens) if token.type == "heading_open")
    found = read(tokens)
    body, done, rest = "", 0, iter(found)
    for table in tables(tokens):
        body += markdown.renderer.render(tokens[done : table.start], markdown.options, {})
        here = list(islice(rest, len(rows_of(tokens[table]))))
        body += (summary(found) if done == 0 else "") + table_of(here, markdown.renderInline)
        done = table.stop
    body += markdown.renderer.render(tokens[done:], markdown.options, {})
    return page.page(title, [body], style=STYLE, script=SCRIPT), found


def main() -> None:
    parser = lab.make_parser("laboratory", __doc__, out=False)
    parser.add_argument("--out", type=Path, default=Path("docs/laboratory.html"), help="default: docs/laboratory.html")
    flags = parser.parse_args()
    html, found = rendered(SOURCE)
    write_atomically(flags.out, html)
    counts = Counter(claim.verdict for claim in found)
    print(f"{flags.out}: " + ", ".join(f"{counts[verdict]} {words}" for verdict, (_, words) in VERDICTS.items()))


if __name__ == "__main__":
    lab.run(main)
