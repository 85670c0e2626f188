"""The texts of `--mode=config` and `--list`, which are comments and docstrings of the source code."""

from __future__ import annotations

import ast
import inspect
import io
import tokenize
from collections.abc import Callable
from functools import cache
from typing import Any

from ml_collections import ConfigDict

from jaxgan import data
from jaxgan.augment import AUGMENTS
from jaxgan.conditions import CONDITIONS
from jaxgan.config import CHOICES, SECTIONS, files
from jaxgan.config.fields import invalid_choice_error
from jaxgan.config.sections import Root
from jaxgan.data import stacked
from jaxgan.features.space import forms
from jaxgan.fields import fields_of, flatten, get, sections, tree
from jaxgan.game.prior import PRIORS
from jaxgan.metrics import METRICS
from jaxgan.networks import FAMILIES
from jaxgan.objectives import losses
from jaxgan.objectives.losses import LOSSES
from jaxgan.objectives.penalties import PENALTIES
from jaxgan.objectives.terms import TERMS
from jaxgan.optimizers import OPTIMIZERS


def describe(config: ConfigDict) -> str:
    """Every field of `config`, one per line: 'KEY=VALUE  # meaning', in the syntax of --config.KEY=VALUE.

    A section's meaning is printed above its fields; a choice has its description and the alternatives.
    """
    changed, meaning, lines, section = files.changed_from_default(config), meanings(), [], ""
    flat = flatten(config)
    for key in sorted(flat, key=lambda key: _place(key, config)):
        value = flat[key]
        parents = [key[:i] for i, c in enumerate(key) if c == "."]
        lines += [f"# {parent}: {meaning[parent]}" for parent in parents if parent in meaning and parent not in section]
        section = key
        notes = [text for text in (_meaning(config, key), *_choices(key, value)) if text]
        notes += [f"default: {_typed(changed[key][0])}"] if key in changed else []
        lines.append(f"{key}={_typed(value)}" + (f"  # {'; '.join(notes)}" if notes else ""))
    return "\n".join(lines)


def members(name: str) -> str:
    """The members of a list for --list, one per line: the name and the first sentence of its description.

    Raises:
      UserError: there is no such list.
    """
    if name not in LISTS:
        raise invalid_choice_error("--list", name, LISTS)
    lines = LISTS[name]()
    width = max(map(len, lines))
    return "\n".join(f"{member:{width}s}  {text}".rstrip() for member, text in lines.items())


@cache
def meanings() -> dict[str, str]:
    """The meanings of sections and of their own fields, in order: {'train.steps': ...}.

    The meaning of a field is the comment next to it; that of a loss term, and of the weight of a penalty, is the first
    sentence of the docstring of the term or penalty.
    """
    texts = {f"objective.penalties.{name}": text for name, text in LISTS["penalties"]().items()}
    for path, section in [("", Root()), *sections(Root())]:
        texts |= {f"{path}.{name}".removeprefix("."): text for name, text in attributes(type(section)).items()}
    texts |= {f"objective.{name}": _about(term) for name, term in TERMS.items()}
    by_key: dict[str, str] = {}
    for key, _ in tree(Root()):
        parents = [key[:i] for i, c in enumerate(key) if c == "."]
        by_key |= {parent: texts[parent] for parent in parents if parent in texts} | {key: texts[key]}
    return by_key


def comments(source: str) -> dict[int, str]:
    """{line: its comment, or else the comment lines directly above it} of Python source."""
    inline: dict[int, str] = {}
    standalone: dict[int, str] = {}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            whole = token.line.strip().startswith("#")
            (standalone if whole else inline)[token.start[0]] = token.string.lstrip("# ")
    above: dict[int, str] = {}
    for line, text in sorted(standalone.items()):
        above[line + 1] = f"{above.pop(line, '')} {text}".strip()
    return above | inline


@cache
def attributes(choice: Any) -> dict[str, str]:
    """The meanings of a choice's fields, if documented: by a comment, or by a line of Args in a docstring."""
    texts_by_name: dict[str, str] = {}
    if isinstance(choice, type):
        for owner in reversed([c for c in choice.__mro__ if c.__module__.startswith("jaxgan.")]):
            source = inspect.getsource(owner)
            texts = comments(source)
            texts_by_name |= {
                ast.unparse(node.target): texts[node.lineno]
                for node in ast.walk(ast.parse(source))
                if isinstance(node, ast.AnnAssign) and node.lineno in texts
            }
        return texts_by_name
    for function in filter(callable, choice if isinstance(choice, tuple) else [choice]):
        _, _, arguments = (inspect.getdoc(function) or "").partition("\nArgs:\n")
        for line in arguments.partition("\n\n")[0].replace("\n    ", " ").splitlines():
            names, _, text = line.strip().partition(": ")
            texts_by_name |= dict.fromkeys(names.split(", "), text.removesuffix("."))
    return texts_by_name


def _meaning(config: ConfigDict, key: str) -> str:
    meaning = meanings()
    if key in meaning:
        return meaning[key]
    for path, section in SECTIONS.items():
        field = key.removeprefix(f"{path}.")
        choice = section.choices[get(config, path)[section.key]]
        if field in fields_of(choice):
            return attributes(choice).get(field, "")
    return ""


def _choices(key: str, value: Any) -> list[str]:
    """The chosen value and the alternatives, unless the field's meaning lists them."""
    for path, section in SECTIONS.items():
        if key == f"{path}.{section.key}":
            return [f"{value}: {_about(section.choices[value])}", f"one of {', '.join(section.choices)}"]
    listed = all(choice in meanings()[key] for choice in CHOICES.get(key, ()))
    return [] if listed else [f"one of {', '.join(CHOICES[key])}"]


def _place(key: str, config: ConfigDict) -> tuple[int, bool, int, int]:
    """Sort key of a field: the order of `default`, then the order within its choice; unknown fields are last."""
    declared = [*meanings(), ""]
    owner = key
    while owner not in declared:
        owner = owner.rpartition(".")[0]
        owner = next((f"{path}.{section.key}" for path, section in SECTIONS.items() if path == owner), owner)
    top = next((i for i, name in enumerate(declared) if name.partition(".")[0] == key.partition(".")[0]), len(declared))
    choice_fields = [f"{path}.{name}" for path, section in SECTIONS.items()
           for name in fields_of(section.choices[get(config, path)[section.key]])]  # fmt: skip
    position = 0 if key == owner else 1 + (choice_fields.index(key) if key in choice_fields else len(choice_fields))
    return top, key.startswith("optimizer.discriminator."), declared.index(owner), position


def _typed(value: Any) -> str:
    """A value in the syntax of the command line."""
    if isinstance(value, list):
        return ",".join(map(str, value)) if value else "()"
    return str(value)


def _about(thing: Any) -> str:
    """The first sentence of the docstring of a function, class or module; for a loss, that of each player's function.

    For another tuple of functions, such as a penalty or a prior, that of the first function.
    """
    if isinstance(thing, losses.Loss):
        parts = {"D": _about(thing.discriminator), "G": _about(thing.generator)}
        described = [f"{player}: {text}" for player, text in parts.items() if text]
        return "; ".join([*described, f"logit of an optimal D: {thing.output}"])
    thing = next(part for part in thing if callable(part)) if isinstance(thing, tuple) else thing
    return (inspect.getdoc(thing) or "").partition("\n")[0].removesuffix(".")


def _losses() -> dict[str, str]:
    """The losses; those made by `f_gan`, whose functions have no docstrings, have the comment above their line."""
    source = inspect.getsource(losses)
    texts = comments(source)
    keys = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant) and node.value in LOSSES]
    above = {
        node.value: f"f-GAN, {texts[node.lineno]}; " for node in keys if texts.get(node.lineno, "").startswith("f(u)")
    }
    return {name: above.get(name, "") + _about(loss) for name, loss in LOSSES.items()}


def _configs() -> dict[str, str]:
    docs = {path.stem: ast.get_docstring(ast.parse(path.read_text())) or "" for path in files.shipped()}
    return {name: text.strip().partition("\n")[0] for name, text in docs.items()}


def _terms() -> dict[str, str]:
    """The terms, and the fields of `objective` for second-order corrections and top-k training."""
    return {name: meanings()[f"objective.{name}"] for name in (*TERMS, "adjustment", "top_k")}


LISTS: dict[str, Callable[[], dict[str, str]]] = {
    "configs": _configs,
    "losses": _losses,
    "penalties": lambda: {name: _about(penalty) for name, penalty in PENALTIES.items()},
    "terms": _terms,
    "networks": lambda: {name: _about(family) for name, family in FAMILIES.items()},
    "priors": lambda: {name: _about(choice) for name, choice in PRIORS.items()},
    "optimizers": lambda: {name: _about(choice) for name, choice in OPTIMIZERS.items()},
    "augments": lambda: {name: _about(choice) for name, choice in AUGMENTS.items()},
    "metrics": lambda: {
        name: "; ".join(display.label for display in metric.outputs.values()) for name, metric in METRICS.items()
    },
    "features": lambda: {form: _about(inspect.getmodule(space.load)) for form, space in forms().items()},
    "conditions": lambda: {name: _about(choice) for name, choice in CONDITIONS.items()},
    "data": lambda: {form: _about(read) for form, read in (data.forms() | {"stacked:NAME": stacked}).items()},
}
