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

# The format of config.json. Missing fields take their defaults, so a new field needs no new format, but a field whose
# meaning changes does.
FORMAT = 1

CHECKOUT = Path(__file__).resolve().parents[2]  # the parent of the package and, in a checkout, of configs/


def to_json(config: ConfigDict) -> str:
    """The whole configuration and the number of its format."""
    return json.dumps({"format": FORMAT} | json.loads(config.to_json()), indent=2) + "\n"


def from_json(text: str) -> ConfigDict:
    """The configuration that `to_json` of this or an earlier version wrote; missing fields take their defaults.

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
    try:  # a penalty of another version can be ignored if it is off
        return update(default(), {key: value for key, value in flat.items() if key in known or key not in off})
    except UserError as error:
        raise UserError(f"{error} It may be of a newer jaxgan: install the version that wrote it.") from None


@contextmanager
def importable(path: Path) -> Iterator[None]:
    """Lets a file import the package that it is part of, such as `configs`, whatever the current folder.

    In the block, the parent folder of its outermost package comes first in `sys.path`. For a file that is not in a
    package, the checkout is appended to `sys.path`, so that it can import `configs`.
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


def load_functions(path: str | os.PathLike[str], flag: str, example: str, *names: str) -> dict[str, Any]:
    """Runs the Python file given by `flag`, and returns its global variables, which include the functions `names`.

    Args:
      example: a file that defines all of them, for the error message.

    Raises:
      UserError: no such file, invalid Python, or a missing function.
    """
    if not Path(path).is_file():
        raise UserError(f"the {flag} file {path} cannot be read: No such file.")
    try:
        with importable(Path(path)):
            definitions = runpy.run_path(str(path))
    except UserError:
        raise
    except SyntaxError as error:
        raise UserError(f"the {flag} file {path} is not Python: {error.msg} in line {error.lineno}; fix it.") from None
    except Exception as error:
        raise UserError(f"the {flag} file {path} failed ({type(error).__name__}: {error}); fix it.") from error
    for name in names:
        if name not in definitions:
            raise UserError(f"the {flag} file {path} defines no {name}(); see {example}.")
    return definitions


def shipped() -> list[Path]:
    """The files of configs/ in the current folder and in the checkout; a name in both is that of the current folder."""
    folders = (CHECKOUT / "configs", Path("configs"))
    files = {path.stem: path for folder in folders for path in folder.glob("*.py") if path.stem != "__init__"}
    return [files[name] for name in sorted(files)]


def find(name: str | os.PathLike[str]) -> Path:
    """The file given by --config: a path from the current folder or the checkout, or the name of a file in configs/.

    Raises:
      UserError: no such file.
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
    """The configuration that `get_config()` of a Python file returns, with defaults for missing fields.

    Args:
      name: see `find`.

    Raises:
      UserError: no such file, no `get_config` in it, or as in `checked_config`.
    """
    path = find(name)
    return checked_config(load_functions(path, "--config", "configs/digits.py", "get_config"), path)


def call_function(definitions: dict[str, Any], name: str, path: str | os.PathLike[str]) -> Any:
    """Calls a function of a file; its errors become a UserError."""
    try:
        return definitions[name]()
    except UserError:
        raise
    except Exception as error:
        # ml_collections quotes its sentence, and lists all other fields behind it.
        message = str(*error.args[:1]).partition(". Other fields")[0]
        message = message.removeprefix("'") if message.count("'") % 2 else message
        raise UserError(f"{name}() of {path} failed ({type(error).__name__}: {message}); fix it.") from error


def checked_config(definitions: dict[str, Any], path: str | os.PathLike[str]) -> ConfigDict:
    """A locked copy of what the `get_config()` of a file returns.

    Raises:
      UserError: it fails, or returns something other than a configuration, or unknown fields.
    """
    config = call_function(definitions, "get_config", path)
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
    """{field: (default, value)} for the fields that differ from the defaults of the configuration's choices."""
    choices = {f"{path}.{section.key}": get(config, path)[section.key] for path, section in SECTIONS.items()}
    defaults = flatten(update(default(), choices)) | {key: get(default(), key) for key in choices}
    return {key: (defaults[key], value) for key, value in flatten(config).items() if value != defaults[key]}
