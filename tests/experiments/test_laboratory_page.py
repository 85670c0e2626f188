"""The laboratory's page: every claim has what it needs, and the page nothing from outside itself."""

import base64
import importlib.util
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from experiments import laboratory
from jaxgan.errors import UserError

ROOT = Path(__file__).parents[2]
CLAIMS = laboratory.read(laboratory.parser().parse(laboratory.SOURCE.read_text()))
LINKS = {("a", "href")}
HEAD = "# Title\n\n| claim | here | number | seeds | cost, CPU | command |\n|---|---|---|---|---|---|\n"


class Elements(HTMLParser):
    """All elements of a page, as (tag, attributes)."""

    def __init__(self, html: str):
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def test_verdicts_of_what_a_small_game_cannot_decide():
    assert laboratory.verdict_of("**not reproduced** in this toy (25 Gaussians)") == "not reproduced"
    assert laboratory.verdict_of("**undecided** at this size") == "undecided"
    assert laboratory.verdict_of("**holds** for 3,000 steps, **undecided** for more") == "holds partly"
    marks = [mark for mark, _ in laboratory.VERDICTS.values()]
    assert len(set(marks)) == len(marks) and all(f".{mark}" in laboratory.STYLE for mark in marks)


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.name)
def test_a_claim_has_a_verdict_a_number_and_a_command_that_exists(claim):
    assert claim.verdict in laboratory.VERDICTS
    assert re.search(r"\d", claim.cells["number"])
    assert claim.cells["seeds"] and claim.cells["cost, CPU"]
    modules = re.findall(r"python -m ([\w.]+)", claim.cells["command"])
    files = re.findall(r"[\w/]+\.py", claim.cells["command"])
    assert modules or files
    assert all(importlib.util.find_spec(module) for module in modules)
    assert all((ROOT / file).is_file() for file in files)


def test_the_page_has_every_claim_and_nothing_from_outside():
    html, found = laboratory.rendered(laboratory.SOURCE)
    assert found == CLAIMS != []
    elements = Elements(html.decode()).found
    names = [attrs["id"] for tag, attrs in elements if "id" in attrs]
    assert names == [claim.name for claim in CLAIMS]
    assert len(set(names)) == len(names)
    outside = [
        (tag, attr) for tag, attrs in elements for attr, value in attrs.items() if re.match("https?:", value or "")
    ]
    assert set(outside) <= {("a", "href")}
    assert not re.search(r"url\(|@import|https?:|fetch\(", laboratory.STYLE + laboratory.SCRIPT)
    assert not {"link", "iframe", "object"} & {tag for tag, _ in elements}
    assert all(attrs["href"][1:] in names for tag, attrs in elements if tag == "a" and attrs["href"][0] == "#")
    pictures = [attrs["src"] for tag, attrs in elements if tag == "img"]
    named = re.findall(r"!\[.*?\]\((.*?)\)", laboratory.SOURCE.read_text())
    assert len(pictures) == len(named) > 0
    for source, name in zip(pictures, named, strict=True):
        kind, data = source.split(",")
        assert kind == "data:image/png;base64"
        assert base64.b64decode(data) == (laboratory.SOURCE.parent / name).read_bytes()


def test_what_rows_refer_to_is_written_out_and_verdicts_are_counted(tmp_path):
    rows = [
        "| Five & [six](https://example.org) | **holds** | 1 | 2 | 3 s | `python -m experiments.dirac` |",
        "| Seven | **does not hold** here | 1 | 2 | 4 s | `f` of `experiments/dirac.py` |",
        "| ... eight | **holds** here, **does not hold** there | 1 | 2 | in the above | same, `--quick` |",
        "| Five and six | not distinguishable here | 1 | 2 | in the above | same |",
    ]
    source = tmp_path / "page.md"
    source.write_text(HEAD + "\n".join(rows) + "\n\n| other | table |\n|---|---|\n| a | b |\n")
    html, found = laboratory.rendered(source)
    assert [claim.verdict for claim in found] == ["holds", "does not hold", "holds partly", "not distinguishable"]
    assert [claim.name for claim in found][1::2] == ["claim-seven", "claim-five-and-six"]
    assert [claim.parent for claim in found] == [None, None, found[1], None]
    assert found[2].cells["command"] == "`python -m experiments.dirac`, `--quick`"
    assert [claim.cells["cost, CPU"] for claim in found] == ["3 s", "4 s", "part of 3 s", "part of 3 s"]
    text = html.decode()
    assert "<title>Title</title>" in text
    assert "<strong>1</strong> hold</label>" in text
    assert 'Five &amp; <a href="https://example.org">six</a>' in text
    assert '<strong class="holds">holds</strong> here, <strong class="fails">does not hold</strong> there' in text
    assert '<strong class="open">not distinguishable</strong> here' in text
    assert '<span class="of">of <a href="#claim-seven">Seven</a></span>' in text
    assert text.count("<tr id=") == 4
    assert "<td>a</td>" in text


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("| A | maybe | 1 | 2 | 3 s | `python -m x` |", "the verdict 'maybe' must have the words"),
        ("| A | **holds** | | 2 | | `python -m x` |", "the claim 'A' must have number, cost, CPU"),
        ("| A | **holds** | 1 | 2 | 3 s | same |", "'same' of the claim 'A' must have a command above it"),
        ("| A | **holds** | 1 | 2 | 3 s | `python -m x` |\n\n![A](missing.png)", "missing.png cannot be read"),
    ],
)
def test_a_row_that_lacks_something_is_one_sentence(tmp_path, row, sentence):
    source = tmp_path / "page.md"
    source.write_text(HEAD + row + "\n")
    with pytest.raises(UserError, match=sentence):
        laboratory.rendered(source)


def test_a_table_of_claims_has_all_columns(tmp_path):
    source = tmp_path / "page.md"
    source.write_text("# Title\n\n| claim | number |\n|---|---|\n| A | 1 |\n")
    with pytest.raises(UserError, match=r"must have the columns claim, here, .* not claim, number"):
        laboratory.rendered(source)
