"""Renders docs/laboratory.md with its pictures as one HTML file that can be viewed offline.

    python -m experiments.laboratory [--out=docs/laboratory.html]

A claim is a third-level heading followed by a list of `FIELDS`. The page counts the verdicts, filters claims by verdict
or by a text search, and gives each claim the same anchor as GitHub does. To change the text, edit the Markdown file.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from experiments import lab
from jaxgan.errors import UserError
from jaxgan.files import write_atomically
from jaxgan.run import page

SOURCE = Path(__file__).parents[1] / "docs" / "laboratory.md"
FIELDS = ("Claim", "Verdict", "Measured", "How sure", "Run")

# Verdicts: the CSS class, and the label of the count.
VERDICTS = {
    "holds": ("holds", "hold"),
    "holds partly": ("partly", "hold partly"),
    "does not hold": ("fails", "do not hold"),
    "not reproduced": ("unreproduced", "not reproduced"),
    "undecided": ("undecided", "undecided"),
    "not distinguishable": ("open", "not distinguishable"),
}

STYLE = """
:root { color-scheme: light dark; --back: #fff; --text: #222; --faint: #666; --line: #ddd; --code: #f3f3f3;
  --holds: #00694c; --partly: #8a5a00; --fails: #b03a00; --open: #555; --link: #0063a0; --target: #fff6d5 }
@media (prefers-color-scheme: dark) { :root { --back: #16181b; --text: #ddd; --faint: #999; --line: #3a3d42;
  --code: #24272b; --holds: #3fc79a; --partly: #e6b03c; --fails: #ff8a54; --open: #aaa; --link: #6cb8ee;
  --target: #3a3415 } }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 56rem; margin: 2rem auto; padding: 0 1rem;
  background: var(--back); color: var(--text) }
a { color: var(--link) } img { max-width: 100%; height: auto; background: #fff }
h2 { margin-top: 3rem; border-bottom: 1px solid var(--line); font-size: 1.35rem }
h3 { margin: 0 0 .4rem; font-size: 1.1rem }
code { background: var(--code); padding: .1rem .25rem; border-radius: .2rem; font-size: .9em; overflow-wrap: anywhere }
.claim { margin: 1.2rem 0; padding: .8rem 1rem; border-left: .3rem solid; background: var(--code) }
.claim h3, .claim dd, .claim a { color: var(--text) } .claim dd a, .claim dd code a { color: var(--link) }
.claim code { background: none; padding: 0 } .claim:target { background: var(--target) }
dl { display: grid; grid-template-columns: 6rem 1fr; gap: .25rem .8rem; margin: 0 }
dt { color: var(--faint) } dd { margin: 0; min-width: 0; overflow-wrap: break-word }
.holds { color: var(--holds) } .partly { color: var(--partly) }
.fails { color: var(--fails) } .open, .unreproduced, .undecided { color: var(--open) }
.filter { font-size: 1.05rem } .filter label { margin-right: 1rem; white-space: nowrap }
.filter input[type=search] { font: inherit; min-width: 14rem }
.address { text-decoration: none; color: var(--faint); visibility: hidden }
.claim:hover .address { visibility: visible }
[hidden] { display: none !important }
@media (max-width: 40rem) { dl { grid-template-columns: 1fr } dt { margin-top: .3rem } }
"""

# Filters the claims; without JavaScript, all of them are shown.
SCRIPT = """
const claims = [...document.querySelectorAll(".claim")];
const boxes = [...document.querySelectorAll(".filter [type=checkbox]")];
const search = document.querySelector(".filter [type=search]"), shown = document.querySelector(".filter output");
const show = () => {
  const wanted = boxes.filter(box => box.checked).map(box => box.value);
  const words = search.value.toLowerCase().split(/\\s+/);
  for (const claim of claims) {
    const text = claim.textContent.toLowerCase();
    claim.hidden = !wanted.includes(claim.dataset.verdict) || !words.every(word => text.includes(word));
  }
  shown.textContent = `${claims.filter(claim => !claim.hidden).length} shown`;
};
for (const part of [...boxes, search]) { part.hidden = false; part.addEventListener("input", show); }
show();
"""


class Claim(NamedTuple):
    """A claim of the page, in Markdown."""

    name: str  # anchor
    heading: str
    verdict: str  # of `VERDICTS`
    fields: dict[str, str]  # by `FIELDS`
    tokens: slice  # of the page, from the heading to the end of the list


# --- Reading ----------------------------------------------------------------------------------------------------------


def parser():
    """A parser of Markdown that treats HTML as text.

    Raises:
      UserError: markdown-it-py is not installed.
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
        raise UserError(f"{path} cannot be read ({error.strerror}); correct the path or the permissions.") from error


def parse_verdict(text: str) -> str:
    """The verdict of a Markdown text, one of `VERDICTS`; different ones for different cases give "holds partly".

    Raises:
      UserError: there is none.
    """
    verdicts = {verdict for verdict in re.findall(r"\*\*(.+?)\*\*", text) if verdict in VERDICTS}
    if not verdicts:
        raise UserError(
            f"the verdict {text!r} must contain one of {', '.join(f'**{verdict}**' for verdict in VERDICTS)}."
        )
    return verdicts.pop() if len(verdicts) == 1 else "holds partly"


def anchor(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def read(tokens: Sequence) -> Iterator[Claim]:
    """The claims among the tokens of a page, in order.

    Raises:
      UserError: a claim has other fields than `FIELDS`, no verdict, or the heading of another claim.
    """
    names = set()
    for i, token in enumerate(tokens):
        if token.type != "heading_open" or token.tag != "h3":
            continue
        heading = tokens[i + 1].content
        end = next((j for j in range(i, len(tokens)) if tokens[j].type == "bullet_list_close"), i)
        parts = (" ".join(part.content.split()) for part in tokens[i + 3 : end] if part.type == "inline")
        fields = dict(part.split(": ", 1) for part in parts if ": " in part)
        if tuple(fields) != FIELDS:
            raise UserError(
                f"the claim {heading!r} must have {', '.join(FIELDS)}, not {', '.join(fields) or 'nothing'}."
            )
        if (name := anchor(heading)) in names:
            raise UserError(f"two claims have the heading {heading!r}; change one.")
        names.add(name)
        yield Claim(name, heading, parse_verdict(fields["Verdict"]), fields, slice(i, end + 1))


# --- The page ---------------------------------------------------------------------------------------------------------


def claim_html(claim: Claim, inline: Callable[[str], str]) -> str:
    """A claim as HTML; `inline` renders Markdown."""
    html = {name: inline(text) for name, text in claim.fields.items()}
    for verdict, (css_class, _) in VERDICTS.items():
        marked = f'<strong class="{css_class}">{verdict}</strong>'
        html["Verdict"] = html["Verdict"].replace(f"<strong>{verdict}</strong>", marked)
    rows = "".join(f"<dt>{page.escape(name)}</dt><dd>{text}</dd>\n" for name, text in html.items())
    css_class = VERDICTS[claim.verdict][0]
    address = f'<a class="address" href="#{claim.name}" title="link to this claim">#</a>'
    return (
        f'<section class="claim {css_class}" id="{claim.name}" data-verdict="{css_class}">'
        f"<h3>{inline(claim.heading)} {address}</h3>\n<dl>{rows}</dl></section>\n"
    )


def summary(claims: Sequence[Claim]) -> str:
    """The number of claims per verdict, with checkboxes that filter by verdict and a search field."""
    counts = Counter(claim.verdict for claim in claims)
    boxes = "".join(
        f'<label class="{css_class}"><input type="checkbox" value="{css_class}" checked hidden> '
        f"<strong>{counts[verdict]}</strong> {label}</label>\n"
        for verdict, (css_class, label) in VERDICTS.items()
    )
    search = '<input type="search" placeholder="search" aria-label="search" hidden>'
    return f'<p class="filter">{len(claims)} claims: {boxes}{search} <output></output></p>\n'


def render(source: Path) -> tuple[bytes, list[Claim]]:
    """The HTML page of a Markdown file, and its claims.

    Raises:
      UserError: the file or a picture cannot be read, or a claim is incomplete.
    """
    markdown = parser()

    def picture(self, tokens, i, options, env) -> str:
        return page.image(contents(source.parent / tokens[i].attrs["src"]), tokens[i].content)

    markdown.add_render_rule("image", picture)
    tokens = markdown.parse(contents(source).decode())
    title = next(tokens[i + 1].content for i, token in enumerate(tokens) if token.type == "heading_open")
    claims = list(read(tokens))
    first = claims[0].tokens.start if claims else len(tokens)
    sections = [i for i in range(first) if tokens[i].type == "heading_open" and tokens[i].tag == "h2"]
    done = sections[-1] if sections else first
    body = markdown.renderer.render(tokens[:done], markdown.options, {}) + summary(claims)
    for claim in claims:
        body += markdown.renderer.render(tokens[done : claim.tokens.start], markdown.options, {})
        body += claim_html(claim, markdown.renderInline)
        done = claim.tokens.stop
    body += markdown.renderer.render(tokens[done:], markdown.options, {})
    return page.page(title, [body], style=STYLE, script=SCRIPT), claims


def main() -> None:
    parser = lab.make_parser("laboratory", __doc__, out=False)
    parser.add_argument("--out", type=Path, default=Path("docs/laboratory.html"), help="default: docs/laboratory.html")
    flags = parser.parse_args()
    html, claims = render(SOURCE)
    write_atomically(flags.out, html)
    counts = Counter(claim.verdict for claim in claims)
    print(f"{flags.out}: " + ", ".join(f"{counts[verdict]} {words}" for verdict, (_, words) in VERDICTS.items()))


if __name__ == "__main__":
    lab.run(main)
