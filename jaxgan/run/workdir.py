"""The work directory of a run: its configuration and metadata, and checks that a run may be resumed in it."""

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
from jaxgan.config import differences, files, flatten, validate
from jaxgan.config.files import from_json, to_json
from jaxgan.data import Dataset, digest
from jaxgan.errors import UserError
from jaxgan.files import is_temporary, write_atomically
from jaxgan.game.state import PRNG
from jaxgan.networks.layers import DataSpec
from jaxgan.run.lock import LOCK, lock

CONFIG = "config.json"  # the whole configuration
RUN = "run.json"  # see `run_metadata`
PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


# Files that a new work directory may contain: logs that the shell or SLURM writes for the very command that creates
# it, and files of file browsers and file systems.
BYSTANDERS = (
    *("nohup.out", "log", "log.txt", "*.log", "stdout*", "stderr*", "slurm-*.out", "slurm-*.err"),
    *(".DS_Store", "._*", "Thumbs.db", "desktop.ini", ".directory", ".nfs*", "lost+found"),
)


def is_bystander(name: str) -> bool:
    """Whether a file of this name may be in a new work directory: see `BYSTANDERS`."""
    return any(fnmatchcase(name, pattern) for pattern in BYSTANDERS)


class DataInfo(NamedTuple):
    """Description of the training data in run.json."""

    name: str  # data.name
    sha256: str  # of the examples and their labels
    examples: int
    shape: tuple[int, ...]  # of one example
    bounds: tuple[float, float] | None  # of its values
    classes: int  # that the players are conditioned on; 0 = none
    label_classes: int  # of the data's labels
    stack: int  # images per stacked example
    class_names: tuple[str, ...] = ()  # one per class of the data's labels, or () if they have none
    paired: tuple[int, ...] = ()  # shape of the condition stored with each example; () if none is
    scaling: list[list[float]] | None = None  # of vectors: means, and standard deviations
    condition_scaling: list[list[float]] | None = None  # of vectors stored as conditions

    @property
    def spec(self) -> DataSpec:
        return DataSpec(self.shape, self.classes, self.bounds, paired=self.paired)


def run_metadata(config: ConfigDict, dataset: Dataset, spec: DataSpec) -> dict[str, Any]:
    """The content of run.json: the versions, devices and data that a run began with."""
    info = DataInfo(
        name=config.data.name,
        sha256=digest(dataset),
        examples=len(dataset.train),
        shape=spec.shape,
        bounds=spec.bounds,
        classes=spec.classes,
        label_classes=dataset.classes,
        stack=dataset.stack,
        class_names=dataset.class_names,
        paired=spec.paired,
        scaling=None if dataset.scaling is None else dataset.scaling.tolist(),
        condition_scaling=None if dataset.condition_scaling is None else dataset.condition_scaling.tolist(),
    )
    return {
        "format": 1,
        "versions": versions(),
        "prng": PRNG,
        "backend": jax.default_backend(),
        "devices": [device.device_kind for device in jax.devices()],
        "git_commit": _git_commit(),
        "data": info._asdict(),
    }


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that the numbers depend on, by name."""
    by_name = {"python": platform.python_version(), "jaxgan": jaxgan.__version__}
    for name in PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):  # a source tree that was not installed
            by_name[name] = importlib.metadata.version(name)
    return by_name


def _git_commit() -> str | None:
    """The package's commit, with '+' appended if there are uncommitted changes; None outside a checkout."""
    package = Path(__file__).parent

    def git(*args: str) -> str:
        return subprocess.run(
            ["git", *args], cwd=package, capture_output=True, text=True, check=True, timeout=10
        ).stdout

    try:
        if not git("ls-files", "--", Path(__file__).name):
            return None  # installed inside another repository
        return git("rev-parse", "HEAD").strip() + ("+" if git("status", "--porcelain", "--", "..") else "")
    except (OSError, subprocess.SubprocessError):
        return None


@contextmanager
def claim(path: Path) -> Iterator[Callable[[], None]]:
    """Creates and locks the work directory `path`; writes nothing else. In a distributed run only process 0 does.

    Args:
      path: a work directory, or one that is new or empty except for `BYSTANDERS`.

    Yields:
      What `lock` yields.

    Raises:
      UserError: the directory cannot be written, is in use by another process, or has other content.
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
    with lock(path) as check_lock:
        yield check_lock


def check(path: Path, config: ConfigDict, metadata: dict[str, Any]) -> None:
    """Checks that a run with this configuration and data may be started or resumed in `path`; writes nothing.

    Raises:
      UserError: `path` belongs to a run of another configuration, other data or another random number generator.
    """
    if not (path / CONFIG).exists():
        return
    old_config, old_metadata = read_config(path), _read_run(path)
    changed = differences(old_config, config)
    if changed:
        old, new = flatten(old_config), flatten(config)
        listed = "; ".join(f"{key} was {old.get(key)!r} and is now {new.get(key)!r}" for key in changed[:3])
        more = f"; and {len(changed) - 3} more" if len(changed) > 3 else ""
        raise UserError(f"{path} belongs to a run of another configuration ({listed}{more}); choose another --workdir.")
    check_data(path, read_data_info(path, old_metadata), DataInfo(**metadata["data"]))
    if old_metadata["prng"] != metadata["prng"]:
        raise UserError(
            f"{path} belongs to a run with the random number generator {old_metadata['prng']!r}, and this version uses "
            f"{metadata['prng']!r}; use the version that began it."
        )


def check_data(path: Path, recorded: DataInfo, current: DataInfo) -> None:
    """Raises UserError if the data differ from those that a run began with."""
    for name in ("shape", "examples", "sha256"):
        old, new = getattr(recorded, name), getattr(current, name)
        if json.dumps(old) != json.dumps(new):
            raise UserError(
                f"{path} belongs to a run on other data ({name} was {old} and is now {new}); restore the original "
                f"data of data.name={recorded.name}, or use the jaxgan version that read them if they are the same, or "
                f"choose another --workdir."
            )


def read_warm_start(path: Path) -> dict[str, Any] | None:
    """The result of `warm_start.source_checkpoint` when the run in `path` began."""
    return _read_run(path).get("initialized_from")


def read_digest(path: Path) -> str | None:
    """The digest of the data of the run in `path`; None if there is no run, or run.json is damaged."""
    if not (path / CONFIG).exists():
        return None
    with suppress(UserError):  # `check` reports the damage
        return read_data_info(path, _read_run(path)).sha256
    return None


def record(path: Path, config: ConfigDict, metadata: dict[str, Any]) -> None:
    """Writes config.json and, for a new run, run.json; call it after all checks.

    A directory without config.json has no run; a run.json in it was left by a killed process.
    """
    if not (path / CONFIG).exists():
        write_atomically(path / RUN, (json.dumps(metadata, indent=2) + "\n").encode())
    text = to_json(config)
    if not (path / CONFIG).exists() or (path / CONFIG).read_text() != text:
        write_atomically(path / CONFIG, text.encode())  # last, so that its existence implies that of run.json


def read_run(path: Path) -> tuple[ConfigDict, DataInfo]:
    """Reads the configuration and the description of the data from a work directory.

    Raises:
      UserError: it is not a work directory, or one of the two files is damaged.
    """
    if not (path / CONFIG).is_file():
        raise UserError(f"{path} is not a work directory (it has no {CONFIG}); train first, or choose another one.")
    return read_config(path), read_data_info(path, _read_run(path))


def read_config(path: Path) -> ConfigDict:
    """Reads the configuration from a work directory.

    Raises:
      UserError: it is damaged, or written by an unsupported version.
    """
    try:
        config = from_json((path / CONFIG).read_text())
        validate(config)
        return config
    except (UserError, OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path / CONFIG} cannot be used: {error}") from error


def read_data_info(path: Path, run: dict[str, Any]) -> DataInfo:
    """The description of the data in run.json; ignores fields added by later versions."""
    try:
        info = {name: run["data"][name] for name in DataInfo._fields if name not in DataInfo._field_defaults}
        class_names = tuple(run["data"].get("class_names", ()))  # missing in older runs
        if not all(isinstance(name, str) for name in class_names) or len(class_names) not in (
            0,
            info["label_classes"],
        ):
            raise ValueError("it does not name every class")
        if not all(type(n) is int and n > 0 for n in (*info["shape"], info["examples"], info["stack"])):
            raise ValueError("its shape or number of examples is invalid")
        bounds = info["bounds"]
        info |= {"shape": tuple(info["shape"]), "bounds": bounds and tuple(bounds), "class_names": class_names}
        info["paired"] = tuple(run["data"].get("paired", ()))  # these too are missing in older runs
        return DataInfo(**info, **{name: run["data"].get(name) for name in ("scaling", "condition_scaling")})
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


def resolve(name: str | None, workdir: Path, changes: list[str]) -> ConfigDict:
    """The validated configuration of the file `name`, or else of the run in `workdir`, with --config.KEY=VALUE changes.

    Raises:
      UserError: no such file or run, or a field or value that is not allowed.
    """
    config = files.override(files.read(name) if name else read_run(workdir)[0], changes)
    validate(config)
    return config
