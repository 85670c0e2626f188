"""Self-contained HTML pages that open without a network. Text is escaped here, and only here."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
h1 { margin-bottom: .2rem } h2 { margin-top: 2.5rem; border-bottom: 1px solid #ddd; font-size: 1.25rem }
p, li { overflow-wrap: anywhere } p { max-width: 52rem } .lead { font-size: 1.1rem; margin-top: 0 }
pre { background: #f5f5f5; padding: .5rem 1rem; overflow-x: auto; font-size: .85rem }
.findings { font-size: 1.05rem; border-left: 4px solid #0072B2; padding: .2rem 2rem; max-width: 56rem }
.findings li:first-child { font-weight: 600 }
.table { overflow-x: auto } table { border-collapse: collapse; font-size: .9rem }
th, td { text-align: left; padding: .3rem 1.2rem .3rem 0; border-bottom: 1px solid #ddd; vertical-align: top }
td { white-space: nowrap } td.long { white-space: normal; overflow-wrap: anywhere; max-width: 40rem }
tr.best { background: #d6eaf6 } tr.not-distinguishable { background: #f0f7fb }
td:first-child, th:first-child { padding-left: .5rem }
figure { margin: 1.2rem 0 } img { max-width: 100%; height: auto } .pixels img { image-rendering: pixelated }
figcaption, .note { color: #555; font-size: .9rem; max-width: 56rem }
.side { display: flex; flex-wrap: wrap; gap: 2rem; align-items: flex-start } .side > div { flex: 0 1 33rem }
.slider input { width: 70%; vertical-align: middle }
.slider img { display: block; max-width: 36rem; width: 100% }
[hidden], .slider img[hidden] { display: none }
summary { cursor: pointer; color: #0072B2 }
"""

# For pages with a `slider`. Without JavaScript only the last picture is shown.
SLIDER = """
for (const part of document.querySelectorAll(".slider")) {
  const images = part.querySelectorAll("img"), bar = part.querySelector("input"), words = part.querySelector("output");
  const show = () => {
    images.forEach((image, i) => image.hidden = i != bar.value);
    words.textContent = images[bar.value].alt;
  };
  bar.max = images.length - 1; bar.value = bar.max; bar.addEventListener("input", show);
  part.querySelector("p").hidden = images.length < 2;
  show();
}
"""


def escape(text: object) -> str:
    """Text as HTML."""
    return html.escape(str(text))


def page(title: str, body: Iterable[str], *, style: str = STYLE, script: str = "") -> bytes:
    """The complete HTML file.

    Args:
      title: plain text.
      body: HTML.
      style: CSS.
      script: JavaScript that runs after the body, such as `SLIDER`.
    """
    end = f"<script>{script}</script>" if script else ""
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>
<meta name="viewport" content="width=device-width"><style>{style}</style></head>
<body>{"".join(body)}{end}</body></html>
""".encode()


def paragraphs(text: str) -> str:
    """Plain text as paragraphs; those indented by four spaces are preformatted."""
    parts = [part for part in text.strip("\n").split("\n\n") if part.strip()]
    return "".join(
        f"<pre>{escape(part.strip())}</pre>" if part.startswith("    ") else f"<p>{escape(part)}</p>" for part in parts
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, classes: Sequence[str] = ()) -> str:
    """A table of plain text; `classes` are the CSS classes of its rows. Long cells are wrapped."""

    def cell(text: str) -> str:
        return f'<td class="long">{escape(text)}</td>' if len(text) > 60 else f"<td>{escape(text)}</td>"

    rows = list(rows)
    names = classes or [""] * len(rows)
    body = "".join(
        f'<tr class="{escape(name)}">{"".join(map(cell, row))}</tr>' for name, row in zip(names, rows, strict=True)
    )
    titles = "".join(f"<th>{escape(title)}</th>" for title in head)
    return f'<div class="table"><table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table></div>'


def image(picture: bytes, alt: str) -> str:
    """An embedded PNG or JPEG."""
    kind = "png" if picture.startswith(b"\x89PNG") else "jpeg"
    return f'<img alt="{escape(alt)}" src="data:image/{kind};base64,{base64.b64encode(picture).decode()}">'


def figure(picture: bytes, caption: str, *, pixels: bool = False) -> str:
    """A picture with its caption; with `pixels` it is scaled without smoothing."""
    css_class = ' class="pixels"' if pixels else ""
    return f"<figure{css_class}>{image(picture, caption)}<figcaption>{escape(caption)}</figcaption></figure>"


def side(*parts: str) -> str:
    """Parts side by side if there is room; empty ones are left out."""
    content = "".join(f"<div>{part}</div>" for part in parts if part)
    return f'<div class="side">{content}</div>' if content else ""


def slider(pictures: Sequence[tuple[str, bytes]], caption: str) -> str:
    """Labelled pictures of which a slider shows one, initially the last."""
    hidden = [image(picture, label).replace("<img", "<img hidden") for label, picture in pictures[:-1]]
    last_label, last = pictures[-1]
    bar = '<p hidden><input type="range" min="0" aria-label="picture"> <output></output></p>'
    content = f"{''.join(hidden)}{image(last, last_label)}<figcaption>{escape(caption)}</figcaption>"
    return f'<figure class="slider">{content}{bar}</figure>'
