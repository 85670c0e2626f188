"""What can be set, for `--mode=config` and `--list`: every text is a comment or a docstring of the source."""

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
    """Every field of `config`, a line each: 'KEY=VALUE  # meaning', as --config.KEY=VALUE takes it.

    A section's meaning stands above its fields, and the choice that a section makes with what it is and all others.
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
    """A line for each member of a list that --list prints: its name, and the first sentence about it.

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
    """What the sources say of sections and of their own fields, in order: {'train.steps': ...}.

    That is the comment beside a field; of a term of the losses the first sentence of its docstring, of a penalty's
    weight that of the penalty's.
    """
    texts = {f"objective.penalties.{name}": text for name, text in LISTS["penalties"]().items()}
    for path, section in [("", Root()), *sections(Root())]:
        texts |= {f"{path}.{name}".removeprefix("."): text for name, text in attributes(type(section)).items()}
    texts |= {f"objective.{name}": _about(term) for name, term in TERMS.items()}
    found: dict[str, str] = {}
    for key, _ in tree(Root()):
        parents = [key[:i] for i, c in enumerate(key) if c == "."]
        found |= {parent: texts[parent] for parent in parents if parent in texts} | {key: texts[key]}
    return found


def comments(source: str) -> dict[int, str]:
    """{line: its comment, or else the comment lines directly above it} of Python source."""
    own: dict[int, str] = {}
    alone: dict[int, str] = {}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            whole = token.line.strip().startswith("#")
            (alone if whole else own)[token.start[0]] = token.string.lstrip("# ")
    above: dict[int, str] = {}
    for line, text in sorted(alone.items()):
        above[line + 1] = f"{above.pop(line, '')} {text}".strip()
    return above | own


@cache
def attributes(choice: Any) -> dict[str, str]:
    """The meaning of a choice's fields, where its source says one: a comment, or a line of Args in a docstring."""
    found: dict[str, str] = {}
    if isinstance(choice, type):
        for owner in reversed([c for c in choice.__mro__ if c.__module__.startswith("jaxgan.")]):
            source = inspect.getsource(owner)
            texts = comments(source)
            found |= {
                ast.unparse(node.target): texts[node.lineno]
                for node in ast.walk(ast.parse(source))
                if isinstance(node, ast.AnnAssign) and node.lineno in texts
            }
        return found
    for function in filter(callable, choice if isinstance(choice, tuple) else [choice]):
        _, _, arguments = (inspect.getdoc(function) or "").partition("\nArgs:\n")
        for line in arguments.partition("\n\n")[0].replace("\n    ", " ").splitlines():
            names, _, text = line.strip().partition(": ")
            found |= dict.fromkeys(names.split(", "), text.removesuffix("."))
    return found


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
    """What is chosen, and what else could be, where the meaning does not list that."""
    for path, section in SECTIONS.items():
        if key == f"{path}.{section.key}":
            return [f"{value}: {_about(section.choices[value])}", f"one of {', '.join(section.choices)}"]
    listed = all(choice in meanings()[key] for choice in CHOICES.get(key, ()))
    return [] if listed else [f"one of {', '.join(CHOICES[key])}"]


def _place(key: str, config: ConfigDict) -> tuple[int, bool, int, int]:
    """Sort key of a field: the order of `default`, then that of the choice that brings it; unknown ones last."""
    declared = [*meanings(), ""]
    found = key
    while found not in declared:
        found = found.rpartition(".")[0]
        found = next((f"{path}.{section.key}" for path, section in SECTIONS.items() if path == found), found)
    top = next((i for i, name in enumerate(declared) if name.partition(".")[0] == key.partition(".")[0]), len(declared))
    own = [f"{path}.{name}" for path, section in SECTIONS.items()
           for name in fields_of(section.choices[get(config, path)[section.key]])]  # fmt: skip
    place = 0 if key == found else 1 + (own.index(key) if key in own else len(own))
    return top, key.startswith("optimizer.discriminator."), declared.index(found), place


def _typed(value: Any) -> str:
    """A value as the command line takes it."""
    if isinstance(value, list):
        return ",".join(map(str, value)) if value else "()"
    return str(value)


def _about(thing: Any) -> str:
    """The first sentence of the docstring of a function, class or module; of a loss, that of each player's part.

    Of another tuple of functions, such as a penalty or a prior, that of the first.
    """
    if isinstance(thing, losses.Loss):
        parts = {"D": _about(thing.discriminator), "G": _about(thing.generator)}
        words = [f"{player}: {text}" for player, text in parts.items() if text]
        return "; ".join([*words, f"logit of an optimal D: {thing.output}"])
    thing = next(part for part in thing if callable(part)) if isinstance(thing, tuple) else thing
    return (inspect.getdoc(thing) or "").partition("\n")[0].removesuffix(".")


def _losses() -> dict[str, str]:
    """Each loss; one made by `f_gan`, whose parts have no docstrings, by the comment above its line."""
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
    """The terms, and the fields of `objective` that correct a gradient or choose what a loss is a mean of."""
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
