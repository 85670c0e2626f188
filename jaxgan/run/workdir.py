"""The work directory of a run: what it says about the run, and which runs may be resumed in it."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

import jax
from ml_collections import ConfigDict

import jaxgan
from jaxgan.config import differences, flatten, validate
from jaxgan.config.files import from_json, to_json
from jaxgan.data import Dataset, digest
from jaxgan.errors import UserError
from jaxgan.files import is_temporary, write_atomically
from jaxgan.game.state import PRNG
from jaxgan.networks.layers import DataSpec
from jaxgan.run.lock import LOCK, lock

CONFIG = "config.json"  # the whole configuration
RUN = "run.json"  # see `facts_of`
PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


# What a directory may hold that is empty otherwise: what the shell or SLURM writes of the very command that is to make
# it a work directory, and what file browsers and file systems leave.
BYSTANDERS = (
    *("nohup.out", "log", "log.txt", "*.log", "stdout*", "stderr*", "slurm-*.out", "slurm-*.err"),
    *(".DS_Store", "._*", "Thumbs.db", "desktop.ini", ".directory", ".nfs*", "lost+found"),
)


def is_bystander(name: str) -> bool:
    """Whether an entry of a directory, by its name, makes it none of somebody else's: see `BYSTANDERS`."""
    return any(fnmatchcase(name, pattern) for pattern in BYSTANDERS)


class DataFacts(NamedTuple):
    """What run.json keeps of the training data."""

    name: str  # data.name
    sha256: str  # of the examples and their labels
    examples: int
    shape: tuple[int, ...]  # of one example
    bounds: tuple[float, float] | None  # of its values
    classes: int  # that the players are told; 0 = none
    label_classes: int  # of the data's labels
    stack: int  # stored images in an example
    class_names: tuple[str, ...] = ()  # one per class of the data's labels, or () if they have none

    @property
    def spec(self) -> DataSpec:
        return DataSpec(self.shape, self.classes, self.bounds)


def facts_of(config: ConfigDict, dataset: Dataset, spec: DataSpec) -> dict[str, Any]:
    """What run.json holds: the versions, devices and data that a run began with."""
    facts = DataFacts(
        name=config.data.name,
        sha256=digest(dataset),
        examples=len(dataset.train),
        shape=spec.shape,
        bounds=spec.bounds,
        classes=spec.classes,
        label_classes=dataset.classes,
        stack=dataset.stack,
        class_names=dataset.class_names,
    )
    return {
        "format": 1,
        "versions": versions(),
        "prng": PRNG,
        "backend": jax.default_backend(),
        "devices": [device.device_kind for device in jax.devices()],
        "git_commit": _git_commit(),
        "data": facts._asdict(),
    }


def versions() -> dict[str, str]:
    """Of Python and of the packages that numbers depend on, by name."""
    found = {"python": platform.python_version(), "jaxgan": jaxgan.__version__}
    for name in PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):  # a copy of the sources that was not installed
            found[name] = importlib.metadata.version(name)
    return found


def _git_commit() -> str | None:
    """The commit that the package is at, with '+' where it was changed since; None outside of a checkout."""
    here = Path(__file__).parent

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=here, capture_output=True, text=True, check=True, timeout=10).stdout

    try:
        if not git("ls-files", "--", Path(__file__).name):
            return None  # installed into somebody else's repository
        return git("rev-parse", "HEAD").strip() + ("+" if git("status", "--porcelain", "--", "..") else "")
    except (OSError, subprocess.SubprocessError):
        return None


@contextmanager
def claim(path: Path) -> Iterator[Callable[[], None]]:
    """Makes `path` the work directory of this process alone until the block ends.

    Creates the directory and locks it; writes nothing else. In a distributed run only process 0 claims.

    Args:
      path: a new or empty directory, but for bystanders, or a work directory.

    Yields:
      What `lock` yields.

    Raises:
      UserError: the directory cannot be written, is in use by another process, or holds something else.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        names = {entry.name for entry in path.iterdir()}
    except OSError as error:
        raise UserError(f"{path} cannot be the work directory ({error.strerror}); choose another --workdir.") from error
    foreign = [name for name in names - {LOCK, RUN} if not is_temporary(name, RUN) and not is_temporary(name, CONFIG)]
    if CONFIG not in names and not all(map(is_bystander, foreign)):
        raise UserError(
            f"{path} is not empty and has no {CONFIG}, so it is not a work directory; choose another --workdir."
        )
    with lock(path) as still_mine:
        yield still_mine


def check(path: Path, config: ConfigDict, facts: dict[str, Any]) -> None:
    """Checks that a run with this configuration on these data may begin or be resumed in `path`; writes nothing.

    Raises:
      UserError: `path` belongs to a run of another configuration, other data or another random number generator.
    """
    if not (path / CONFIG).exists():
        return
    earlier, before = read_config(path), _read_run(path)
    changed = differences(earlier, config)
    if changed:
        old, new = flatten(earlier), flatten(config)
        listed = "; ".join(f"{key} was {old.get(key)!r} and is now {new.get(key)!r}" for key in changed[:3])
        more = f"; and {len(changed) - 3} more" if len(changed) > 3 else ""
        raise UserError(f"{path} belongs to a run of another configuration ({listed}{more}); choose another --workdir.")
    check_data(path, facts_in(path, before), DataFacts(**facts["data"]))
    if before["prng"] != facts["prng"]:
        raise UserError(
            f"{path} belongs to a run with random numbers of {before['prng']!r}, and this version draws them with "
            f"{facts['prng']!r}; use the version that began it."
        )


def check_data(path: Path, before: DataFacts, now: DataFacts) -> None:
    """Raises UserError where the data of a run are not those that it began with."""
    for name in ("shape", "examples", "sha256"):
        old, new = getattr(before, name), getattr(now, name)
        if json.dumps(old) != json.dumps(new):
            raise UserError(
                f"{path} belongs to a run on other data ({name} was {old} and is now {new}); bring back the data "
                f"that data.name={before.name} was, or the jaxgan that read them if they are the same, or choose "
                f"another --workdir."
            )


def source_in(path: Path) -> dict[str, Any] | None:
    """The checkpoint that the run in `path` began with, as `warm_start.source_of` returned it; None for none."""
    return _read_run(path).get("initialized_from")


def digest_in(path: Path) -> str | None:
    """The digest of the data that the run in `path` began with; None if none has begun, or run.json is damaged."""
    if not (path / CONFIG).exists():
        return None
    with suppress(UserError):  # `check` says what is wrong with it
        return facts_in(path, _read_run(path)).sha256
    return None


def record(path: Path, config: ConfigDict, facts: dict[str, Any]) -> None:
    """Writes config.json and, at the beginning of a run, run.json; to be called once nothing refuses the run.

    Without a config.json a run has not begun, and a run.json is what a killed process left.
    """
    if not (path / CONFIG).exists():
        write_atomically(path / RUN, (json.dumps(facts, indent=2) + "\n").encode())
    text = to_json(config)
    if not (path / CONFIG).exists() or (path / CONFIG).read_text() != text:
        write_atomically(path / CONFIG, text.encode())  # last: a directory that has it has both


def read_run(path: Path) -> tuple[ConfigDict, DataFacts]:
    """What a work directory says about its run: the configuration, and its data.

    Raises:
      UserError: it is not a work directory, or one of the two files is damaged.
    """
    if not (path / CONFIG).is_file():
        raise UserError(f"{path} is not a work directory (it has no {CONFIG}); train first, or choose another one.")
    return read_config(path), facts_in(path, _read_run(path))


def read_config(path: Path) -> ConfigDict:
    """The configuration in a work directory.

    Raises:
      UserError: it is damaged, or of a version that this one cannot read.
    """
    try:
        config = from_json((path / CONFIG).read_text())
        validate(config)
        return config
    except (UserError, OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path / CONFIG} cannot be used: {error}") from error


def facts_in(path: Path, run: dict[str, Any]) -> DataFacts:
    """The data that run.json tells of, whatever later versions add to it."""
    try:
        facts = {name: run["data"][name] for name in DataFacts._fields if name not in DataFacts._field_defaults}
        class_names = tuple(run["data"].get("class_names", ()))  # which older runs have not
        if not all(isinstance(name, str) for name in class_names) or len(class_names) not in (
            0,
            facts["label_classes"],
        ):
            raise ValueError("it does not give a name for each class")
        if not all(type(n) is int and n > 0 for n in (*facts["shape"], facts["examples"], facts["stack"])):
            raise ValueError("it gives no shape and no number of examples")
        bounds = facts["bounds"]
        facts |= {"shape": tuple(facts["shape"]), "bounds": bounds and tuple(bounds), "class_names": class_names}
        return DataFacts(**facts)
    except (ValueError, TypeError, LookupError) as error:
        raise UserError(f"{path / RUN} cannot be used ({error}); restore it from a backup.") from error


def _read_run(path: Path) -> dict[str, Any]:
    try:
        run = json.loads((path / RUN).read_text())
        if run["format"] != 1:
            raise ValueError(f"its format is {run['format']!r} and this jaxgan reads 1: a newer one wrote it")
        run["prng"], run["data"]
        return run
    except (OSError, ValueError, TypeError, LookupError, RecursionError) as error:
        raise UserError(f"{path / RUN} cannot be used ({error}); restore it from a backup.") from error
