"""The work directory of a run: who may write in it, and what it says about the run."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ml_collections import ConfigDict

from jaxgan.config import differences, flatten, from_json, to_json, validate
from jaxgan.data import Dataset
from jaxgan.errors import UserError

CONFIG = "config.json"  # the whole configuration
DATASET = "dataset.json"  # {"shape": of an example, "examples": how many to train on}
LOCK = ".lock"

# The owner of a work directory touches the lock this often; a lock that stays untouched for PATIENCE
# beats belongs to a dead process.
BEAT = 5.0  # seconds
PATIENCE = 4  # beats
SETTLING = 0.5  # seconds after which a name written to a lock is everybody's to read


@contextmanager
def claim(path: Path, config: ConfigDict, dataset: Dataset) -> Iterator[None]:
    """Makes `path` the work directory of this process alone until the block ends.

    Creates the directory, locks it, and writes config.json and dataset.json. In a distributed run only
    process 0 claims.

    Args:
      path: a new or empty directory, or the work directory of an earlier run of the same `config`
        (fields that a resumed run may change aside) on the same data.
      config: the whole configuration.
      dataset: what the run trains on.

    Raises:
      UserError: the directory cannot be written, is in use by another process, holds something else, or
        belongs to a run of another configuration or other data.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        found = {entry.name for entry in path.iterdir()}
    except OSError as error:
        raise UserError(f"{path} cannot be the work directory ({error.strerror}); choose another --workdir.") from error
    unfinished = {LOCK, DATASET, draft(path / DATASET).name, draft(path / CONFIG).name}
    if CONFIG not in found and found - unfinished:
        raise UserError(
            f"{path} is not empty and has no {CONFIG}, so it is no work directory; choose another --workdir."
        )
    with lock(path):
        facts = {"shape": list(dataset.train.shape[1:]), "examples": len(dataset.train)}
        if (path / CONFIG).exists():  # now: another run may have begun and ended while the lock was waited for
            _check(path, config, facts)
        _keep(path / DATASET, json.dumps(facts) + "\n")
        _keep(path / CONFIG, to_json(config))  # last: a directory that has it has both
        yield


def opened(path: Path) -> tuple[ConfigDict, dict]:
    """What a work directory says about its run: the configuration, and the facts of dataset.json.

    Raises:
      UserError: it is no work directory, or one of the two files is damaged.
    """
    if not (path / CONFIG).is_file():
        raise UserError(f"{path} is no work directory (it has no {CONFIG}); train first, or choose another one.")
    return _config(path), _facts(path)


def write_atomically(path: Path, data: bytes) -> None:
    """Replaces the file `path` by `data`: whatever happens, it holds the old bytes or the new ones.

    Raises:
      UserError: it cannot be written; the old file is left as it was.
    """
    unfinished = draft(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(unfinished, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except OSError as error:
        with suppress(OSError):
            unfinished.unlink()
        raise UserError(
            f"{path} could not be written ({error.strerror}); make room or mend its directory, then repeat the command."
        ) from error


def draft(path: Path) -> Path:
    """Where `write_atomically` puts what it writes at first."""
    # One fixed name, so that runs killed while they write leave one file at most.
    return path.with_name(f".{path.name}.tmp")


def _keep(path: Path, text: str) -> None:
    if not path.exists() or path.read_text() != text:
        write_atomically(path, text.encode())


def _facts(path: Path) -> dict:
    try:
        facts = json.loads((path / DATASET).read_text())
        if not all(type(n) is int and n > 0 for n in (*facts["shape"], facts["examples"])):
            raise ValueError("it gives no shape and no number of examples")
        return facts
    except (OSError, ValueError, TypeError, LookupError) as error:
        raise UserError(f"{path / DATASET} cannot be used ({error}); restore it from a backup.") from error


def _config(path: Path) -> ConfigDict:
    try:
        config = from_json((path / CONFIG).read_text())
        validate(config)
        return config
    except (UserError, OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path / CONFIG} cannot be used: {error}") from error


def _check(path: Path, config: ConfigDict, facts: dict) -> None:
    """Raises UserError where `path` belongs to a run of another configuration or other data."""
    earlier = _config(path)
    changed = differences(earlier, config)
    if changed:
        before, now = flatten(earlier), flatten(config)
        listed = "; ".join(f"{key} was {before[key]!r} and is now {now[key]!r}" for key in changed[:3])
        more = f"; and {len(changed) - 3} more" if len(changed) > 3 else ""
        raise UserError(f"{path} belongs to a run of another configuration ({listed}{more}); choose another --workdir.")
    before = _facts(path)
    if before != facts:
        raise UserError(
            f"{path} belongs to a run on other data (it was {before} and is now {facts}); bring that data "
            f"back, or choose another --workdir."
        )


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Holds `path`/.lock: `flock`, and a heartbeat for file systems where that ends at the host.

    The kernel drops a flock when its process dies, however it dies, so on one host (and on NFS, where
    Linux asks the server) a lock that can be taken is free, and no process id needs to be trusted. On a
    file system without it, or whose flock other hosts do not see, a live owner shows by the time stamp
    of the lock advancing. That is watched, not compared with a clock: hosts' clocks differ.
    """
    me = {"host": socket.gethostname(), "pid": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
    try:
        file = os.open(path / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}); choose another --workdir.") from error
    try:
        flocked = _flock(file, path)
        owner = _owner(path)
        if owner and not (flocked and owner["host"] == me["host"]) and _beats(path, owner):
            raise _in_use(path, owner)
        try:
            os.ftruncate(file, 0)
            os.pwrite(file, json.dumps(me).encode(), 0)
        except OSError as error:
            raise UserError(
                f"{path / LOCK} could not be written ({error.strerror}); make room, then repeat the command."
            ) from error
        if not flocked:  # another process may have found the file free at the same moment: the last name counts
            time.sleep(SETTLING)
            if _owner(path) != me:
                raise _in_use(path, _owner(path))
        stop = threading.Event()
        heart = threading.Thread(target=_beat, args=(file, stop), name="workdir-lock", daemon=True)
        heart.start()
        try:
            yield
        finally:
            stop.set()
            heart.join()
            # Emptied, not removed: if the file could vanish between another process's open and its
            # flock, two processes could each lock a file of this name.
            with suppress(OSError):
                if _owner(path) == me:  # not if it was taken over from a process that had seemed dead
                    os.ftruncate(file, 0)
    finally:
        os.close(file)


def _flock(file: int, path: Path) -> bool:
    """Whether the file system has locks at all; raises if another process has this one."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        if not _owner(path):
            time.sleep(0.5)  # it is about to write its name
        raise _in_use(path, _owner(path)) from None
    except OSError:
        return False


def _beat(file: int, stop: threading.Event) -> None:
    while not stop.wait(BEAT):
        with suppress(OSError):  # a server that is away for a moment; the next beat tries again
            os.utime(file)


def _beats(path: Path, owner: dict) -> bool:
    """Whether the lock is touched while it is watched."""
    seconds = f"{BEAT * PATIENCE:.0f} s"
    print(
        f"{path} was in use by process {owner['pid']} on {owner['host']}; watching for up to {seconds} "
        f"whether it still is",
        file=sys.stderr,
    )
    first = _stamp(path)
    for _ in range(PATIENCE * 4):
        time.sleep(BEAT / 4)
        if _stamp(path) != first:
            return True
    return False


def _stamp(path: Path) -> int:
    # Opening makes NFS ask the server; a bare stat may answer from a cache as old as a minute.
    with open(path / LOCK, "rb") as file:
        return os.fstat(file.fileno()).st_mtime_ns


def _owner(path: Path) -> dict | None:
    """Who wrote the lock: {'host', 'pid', 'since'}, or None when nobody has (yet)."""
    try:
        owner = json.loads((path / LOCK).read_bytes())
        return {key: owner[key] for key in ("host", "pid", "since")}
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _in_use(path: Path, owner: dict | None) -> UserError:
    who = f"process {owner['pid']} on {owner['host']} (since {owner['since']})" if owner else "another process"
    return UserError(f"{path} is in use by {who}; wait until it ends or stop it, or choose another --workdir.")
