"""The documentation: links lead to files and headings that exist, and the notebooks' code compiles and imports."""

import ast
import importlib
import json
import re
import warnings
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "docs").glob("*.ipynb"))
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *NOTEBOOKS])


def cells(notebook: Path, kind: str) -> list[str]:
    """The sources of the cells of one kind, "code" or "markdown"."""
    return ["".join(c["source"]) for c in json.loads(notebook.read_text())["cells"] if c["cell_type"] == kind]


def prose(page: Path) -> str:
    """The Markdown of a page or notebook, without code blocks and inline code."""
    text = "\n\n".join(cells(page, "markdown")) if page.suffix == ".ipynb" else page.read_text()
    return re.sub(r"`[^`\n]*`", "`code`", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))


def links(page: Path) -> list[str]:
    """The targets of all links and images that lead to no other site."""
    text = prose(page)
    targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|href)="([^"]+)"', text)
    return [target for target in targets if not re.match(r"(https?|mailto):", target)]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and MkDocs make them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def dead_links(page: Path) -> list[str]:
    """The links of a page to files or headings that do not exist."""
    dead = []
    for target in links(page):
        path, _, anchor = target.partition("#")
        file = page if not path else page.parent / unquote(path)
        if not file.exists() or (anchor and anchor not in anchors(file)):
            dead.append(target)
    return dead


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page):
    assert dead_links(page) == []


def test_dead_links_are_noticed(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# A title: of `two`\n[a](#a-title-of-two) [b](#b) [c](c.md) ![d](d.png) [e](https://e.org) `[f](f)`\n"
    )
    assert dead_links(page) == ["#b", "c.md", "d.png"]
    assert any(links(page) for page in PAGES if page.suffix == ".ipynb")


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda page: page.name)
def test_the_code_of_a_notebook_compiles_and_what_it_imports_exists(notebook):
    sources = cells(notebook, "code")
    assert sources
    for source in sources:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            tree = ast.parse(source)
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] in ("jaxgan", "configs"):
                module = importlib.import_module(node.module)
                for alias in node.names:
                    if not hasattr(module, alias.name):
                        importlib.import_module(f"{node.module}.{alias.name}")


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda page: page.name)
def test_a_notebook_is_stored_with_the_outputs_of_a_run_without_errors(notebook):
    code = [cell for cell in json.loads(notebook.read_text())["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell["outputs"]]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert not [output for output in outputs if output["output_type"] == "error" or output.get("name") == "stderr"]
