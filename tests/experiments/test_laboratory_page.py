"""The laboratory's page: every claim has what it needs, and the page nothing from outside itself."""

import base64
import importlib.util
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from experiments import bilinear, lab, laboratory, priors
from jaxgan.errors import UserError

ROOT = Path(__file__).parents[2]
CLAIMS = list(laboratory.read(laboratory.parser().parse(laboratory.SOURCE.read_text())))
LINKS = {("a", "href")}


def claim_of(heading="A", verdict="**holds**", run="`python -m experiments.dirac`, 3 s."):
    fields = {
        "Claim": "C [six](https://example.org).",
        "Verdict": verdict,
        "Measured": "1.",
        "How sure": "2.",
        "Run": run,
    }
    return f"### {heading}\n\n" + "".join(f"- {name}: {text}\n" for name, text in fields.items()) + "\n"


class Elements(HTMLParser):
    """All elements of a page, as (tag, attributes)."""

    def __init__(self, html: str):
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def test_verdicts_of_what_a_small_game_cannot_decide():
    assert laboratory.parse_verdict("**not reproduced** in this toy (25 Gaussians)") == "not reproduced"
    assert laboratory.parse_verdict("**undecided** at this size") == "undecided"
    assert laboratory.parse_verdict("**holds** for 3,000 steps, **undecided** for more") == "holds partly"
    classes = [css_class for css_class, _ in laboratory.VERDICTS.values()]
    assert len(set(classes)) == len(classes) and all(f".{name}" in laboratory.STYLE for name in classes)


def test_the_words_of_the_verdicts_are_those_that_experiments_print():
    printed = [*lab.VERDICTS.values(), lab.NOT_REPRODUCED]
    assert all(any(text.startswith(verdict) for verdict in laboratory.VERDICTS) for text in printed)


# The claims of the page by the experiment whose recorded numbers (docs/laboratory) decide them, each with the parts of
# that experiment's verdicts that it is made of.
RECORDED = {
    bilinear: {
        "On min max xy, extragradient and similar updates converge; simultaneous ones diverge": ["spectral radii"],
        "Discrete steps drift as their modified flow predicts": ["the error of"],
    },
    priors: {
        "With a two-mode prior, a generator need not be steep to generate two modes": ["less steep", "smaller TV"],
        "With a matching prior, training finds the exact solution: does not hold": ["TV below"],
    },
}


@pytest.mark.parametrize("experiment", RECORDED, ids=lambda experiment: experiment.__name__)
def test_verdicts_of_the_page_follow_from_the_recorded_numbers(experiment):
    name = experiment.__name__.split(".")[-1]
    numbers = json.loads((laboratory.SOURCE.parent / "laboratory" / f"{name}.json").read_text())
    held = experiment.verdicts(numbers if experiment is bilinear else numbers["runs"])
    for heading, parts in RECORDED[experiment].items():
        (claim,) = (claim for claim in CLAIMS if claim.heading == heading)
        found = {lab.VERDICTS[verdict] for part, verdict in held.items() if any(text in part for text in parts)}
        assert found == {claim.verdict}
    named = [text for parts in RECORDED[experiment].values() for text in parts]
    assert all(any(text in part for text in named) for part in held)  # each verdict is on the page


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.name)
def test_a_claim_has_a_verdict_a_number_a_cost_and_a_command_that_exists(claim):
    assert re.search(r"\d", claim.fields["Measured"]) and claim.fields["How sure"]
    assert claim.verdict in ("holds", "holds partly") or claim.heading.endswith(claim.verdict)
    (module,) = re.findall(r"`python -m ([\w.]+)", claim.fields["Run"])
    assert importlib.util.find_spec(module)
    assert re.search(r"CPU time|NVIDIA", claim.fields["Run"])


def test_every_claim_of_the_short_answers_is_on_the_page():
    answers = laboratory.SOURCE.read_text().split("\n## ")[1]
    linked = set(re.findall(r"\]\(#(.*?)\)", answers))
    assert linked <= {claim.name for claim in CLAIMS} and len(linked) > 10
    for paragraph in answers.split("\n\n")[1:]:
        assert paragraph.startswith("**") and "](#" in paragraph


def test_the_page_has_every_claim_and_nothing_from_outside():
    html, found = laboratory.render(laboratory.SOURCE)
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


def test_claims_are_rendered_and_verdicts_counted(tmp_path):
    source = tmp_path / "page.md"
    both = claim_of("Eight: `c`?", "**holds** here, **does not hold** there.")
    table = "| other | table |\n|---|---|\n| a | b |\n"
    source.write_text(f"# Title\n\n## Part\n\n{claim_of('Five & six')}{both}{table}")
    html, found = laboratory.render(source)
    assert [claim.verdict for claim in found] == ["holds", "holds partly"]
    assert [claim.name for claim in found] == ["five--six", "eight-c"]  # as on GitHub
    text = html.decode()
    assert "<title>Title</title>" in text
    assert "2 claims" in text and "<strong>1</strong> hold</label>" in text
    assert '<dd>C <a href="https://example.org">six</a>.</dd>' in text
    assert '<strong class="holds">holds</strong> here, <strong class="fails">does not hold</strong> there' in text
    assert text.count('<section class="claim') == 2 and 'id="eight-c" data-verdict="partly"' in text
    assert "<td>a</td>" in text


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (claim_of(verdict="maybe"), "the verdict 'maybe' must contain one of"),
        (
            claim_of().replace("- How sure: 2.\n", ""),
            "'A' must have Claim, Verdict, Measured, How sure, Run, not Claim,",
        ),
        ("### A\n\nText.\n", "the claim 'A' must have .* not nothing"),
        (claim_of() + claim_of(), "two claims have the heading 'A'"),
        (claim_of() + "![A](missing.png)\n", "missing.png cannot be read"),
    ],
)
def test_an_incomplete_claim_is_one_sentence(tmp_path, text, sentence):
    source = tmp_path / "page.md"
    source.write_text(f"# Title\n\n{text}")
    with pytest.raises(UserError, match=sentence):
        laboratory.render(source)
