"""Configurations in files: Python files with `get_config()`, command lines, and config.json."""

from __future__ import annotations

import ast
import json
import os
import runpy
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from jaxgan.config import SECTIONS, default, unknown_field, update
from jaxgan.errors import UserError
from jaxgan.fields import flatten, get, nearby

# The format of config.json. A field that it lacks takes its default, so a new field needs no new format; one that a
# later version gives another meaning does.
FORMAT = 1

CHECKOUT = Path(__file__).resolve().parents[2]  # what holds the package and, in a checkout, configs/


def to_json(config: ConfigDict) -> str:
    """The whole configuration and the number of its format."""
    return json.dumps({"format": FORMAT} | json.loads(config.to_json()), indent=2) + "\n"


def from_json(text: str) -> ConfigDict:
    """The configuration that `to_json` wrote, of this or an earlier version; a field that it lacks takes its default.

    Raises:
      UserError: not JSON, of a newer format, or with fields that this version does not know.
    """
    try:
        flat = flatten(ConfigDict(json.loads(text)))
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"this is not a configuration in JSON ({error}); restore it from a backup.") from None
    number = flat.pop("format", None)
    if number is None:
        raise UserError(
            "it has no format number: a jaxgan before 0.2 wrote it; use that version, or train again in a new "
            "--workdir."
        )
    if not isinstance(number, int) or number > FORMAT:
        raise UserError(
            f"its format is {number!r} and this version of jaxgan reads formats up to {FORMAT}; install a newer jaxgan."
        )
    known = flatten(default())
    off = [key for key, value in flat.items() if key.startswith("objective.penalties.") and not value]
    try:  # a penalty of another version that is off says nothing
        return update(default(), {key: value for key, value in flat.items() if key in known or key not in off})
    except UserError as error:
        raise UserError(f"{error} It may be of a newer jaxgan: install the version that wrote it.") from None


@contextmanager
def importable(path: Path) -> Iterator[None]:
    """Has a file find the packages that it is part of, such as `configs`, from whatever folder the command runs in.

    While the block runs, what holds its outermost package is the first place where modules are looked for. A file in
    no package finds what the command itself would and, after that, the `configs` of the checkout.
    """
    package = path.resolve().parent
    while (package.parent / "__init__.py").is_file():
        package = package.parent
    in_package = (package / "__init__.py").is_file()
    root = str(package.parent if in_package else CHECKOUT)
    sys.path.insert(0 if in_package else len(sys.path), root)
    try:
        yield
    finally:
        del sys.path[sys.path.index(root) if in_package else len(sys.path) - 1 - sys.path[::-1].index(root)]


def functions(path: str | os.PathLike[str], flag: str, like: str, *names: str) -> dict[str, Any]:
    """What a Python file that `flag` names defines, these functions among it.

    Raises:
      UserError: no such file, no Python, or a function is missing; `like` has them all.
    """
    if not Path(path).is_file():
        raise UserError(f"the {flag} file {path} cannot be read: No such file.")
    try:
        with importable(Path(path)):
            found = runpy.run_path(str(path))
    except UserError:
        raise
    except SyntaxError as error:
        raise UserError(f"the {flag} file {path} is not Python: {error.msg} in line {error.lineno}; fix it.") from None
    except Exception as error:
        raise UserError(f"the {flag} file {path} failed ({type(error).__name__}: {error}); fix it.") from error
    for name in names:
        if name not in found:
            raise UserError(f"the {flag} file {path} defines no {name}(); see {like}.")
    return found


def shipped() -> list[Path]:
    """The files of configs/, of the current folder and of the checkout, each name once."""
    folders = (CHECKOUT / "configs", Path("configs"))
    files = {path.stem: path for folder in folders for path in folder.glob("*.py") if path.stem != "__init__"}
    return [files[name] for name in sorted(files)]


def find(name: str | os.PathLike[str]) -> Path:
    """The file that --config names: a path, from here or from the checkout, or the name of a file in configs/.

    Raises:
      UserError: there is none.
    """
    path, known = Path(name), {path.stem: path for path in shipped()}
    if found := next((p for p in (path, CHECKOUT / path) if p.is_file()), None):
        return found
    if path.name == str(path) and path.stem in known:
        return known[path.stem]
    near = nearby(path.stem, known)
    hint = f"did you mean {near[0]}?" if near else "give the path of a file, or a name that --list=configs prints."
    raise UserError(f"the --config file {name} cannot be read: No such file; {hint}")


def read(name: str | os.PathLike[str]) -> ConfigDict:
    """What `get_config()` of a Python file returns, with defaults for what it leaves out.

    Args:
      name: as `find` takes it.

    Raises:
      UserError: no such file, no `get_config` in it, or what `returned` refuses.
    """
    path = find(name)
    return returned(functions(path, "--config", "configs/digits.py", "get_config"), path)


def call(found: dict[str, Any], name: str, path: str | os.PathLike[str]) -> Any:
    """What a function of a file returns; UserError where it fails."""
    try:
        return found[name]()
    except UserError:
        raise
    except Exception as error:
        # ml_collections quotes its sentence, and lists all other fields behind it.
        message = str(*error.args[:1]).partition(". Other fields")[0]
        message = message.removeprefix("'") if message.count("'") % 2 else message
        raise UserError(f"{name}() of {path} failed ({type(error).__name__}: {message}); fix it.") from error


def returned(found: dict[str, Any], path: str | os.PathLike[str]) -> ConfigDict:
    """A locked copy of what the `get_config()` of a file returns.

    Raises:
      UserError: it fails, or returns something other than a configuration, or unknown fields.
    """
    config = call(found, "get_config", path)
    if not isinstance(config, ConfigDict):
        raise UserError(f"get_config() of {path} returned {config!r}, not a ConfigDict; see configs/digits.py.")
    return update(default(), flatten(config))


def override(config: ConfigDict, arguments: list[str]) -> ConfigDict:
    """`config` with the changes of a command line, each '--config.KEY=VALUE' or '--config.KEY', 'VALUE'.

    Raises:
      UserError: an unknown field, a value of another type, or an argument that is not such a change.
    """
    texts, rest = {}, iter(arguments)
    for argument in rest:
        flag, equals, text = argument.partition("=")
        key = flag.removeprefix("--config.")
        if key == flag:
            raise UserError(f"unknown argument {argument!r}; see --help.")
        texts[key] = text if equals else next(rest, "")
    choices = ["conditional", *(f"{path}.{section.key}" for path, section in SECTIONS.items())]
    config = update(config, {key: texts[key] for key in choices if key in texts})
    known, changes = flatten(config), {}
    for key, text in texts.items():
        if key not in known:
            raise UserError(unknown_field(config, key))
        changes[key] = _parsed(text, known[key])
    return update(config, changes)


def _parsed(text: str, old: Any) -> Any:
    if isinstance(old, str):
        return text
    try:
        value = ast.literal_eval(text.capitalize() if isinstance(old, bool) else text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return [word.strip() for word in text.split(",")] if isinstance(old, list) and text else text
    return [value] if isinstance(old, list) and not isinstance(value, list | tuple) else value


def changed_from_default(config: ConfigDict) -> dict[str, tuple[Any, Any]]:
    """{field: (default, value)} where `config` differs from the defaults of the choices that it makes."""
    chosen = {f"{path}.{section.key}": get(config, path)[section.key] for path, section in SECTIONS.items()}
    usual = flatten(update(default(), chosen)) | {key: get(default(), key) for key in chosen}
    return {key: (usual[key], value) for key, value in flatten(config).items() if value != usual[key]}
