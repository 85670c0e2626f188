"""Locks a directory for one process at a time, across hosts."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from jaxgan.errors import UserError

LOCK = ".lock"

# The owner of a directory touches the lock this often; a lock that is not touched for MISSED_HEARTBEATS intervals
# belongs to a dead process.
HEARTBEAT_SECONDS = 5.0
MISSED_HEARTBEATS = 4
SETTLING_SECONDS = 0.5  # time for a lock write to become visible on other hosts


@contextmanager
def lock(path: Path) -> Iterator[Callable[[], None]]:
    """Holds `path`/.lock: `flock`, and a heartbeat for file systems where flock is local to a host.

    The kernel releases a flock when its process dies, so on one host (and on NFS, where Linux asks the server) a lock
    that can be acquired is free, and no process id needs to be trusted. On a file system without flock, or where other
    hosts do not see it, a live owner is recognized by the lock's advancing modification time. It is watched, not
    compared with a clock, because hosts' clocks differ.

    Yields:
      A function to call before each write: it raises UserError if another process has taken over the directory, which
      can happen after this one was suspended for longer than MISSED_HEARTBEATS intervals.
    """
    record = {"host": socket.gethostname(), "pid": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
    try:
        file = os.open(path / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}); choose another --workdir.") from error
    try:
        flocked = _flock(file, path)
        owner = _owner(path)
        if owner and not (flocked and owner["host"] == record["host"]) and _owner_alive(path, owner):
            raise _in_use(path, owner)
        try:
            os.ftruncate(file, 0)
            os.pwrite(file, json.dumps(record).encode(), 0)
        except OSError as error:
            raise UserError(
                f"{path / LOCK} could not be written ({error.strerror}); free some space, then repeat the command."
            ) from error
        if not flocked:  # another process may have found the file free at the same time: the last writer wins
            time.sleep(SETTLING_SECONDS)
            if _owner(path) != record:
                raise _in_use(path, _owner(path))
        stop = threading.Event()
        heartbeat = threading.Thread(target=_heartbeat, args=(file, stop), name="workdir-lock", daemon=True)
        heartbeat.start()

        def check() -> None:
            if (owner := _owner(path)) not in (record, None):  # None: the file system is temporarily unavailable
                raise UserError(
                    f"process {owner['pid']} on {owner['host']} has taken over {path} (at {owner['since']}) while "
                    f"this process was suspended; nothing was overwritten: leave the run to that process."
                )

        try:
            yield check
        finally:
            stop.set()
            heartbeat.join()
            # Emptied, not removed: if the file could vanish between another process's open and its
            # flock, two processes could each lock a file of this name.
            with suppress(OSError):
                if _owner(path) == record:  # not if another process took over
                    os.ftruncate(file, 0)
    finally:
        os.close(file)


def _flock(file: int, path: Path) -> bool:
    """Acquires the flock; False if the file system has none. Raises UserError if another process holds it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        if not _owner(path):
            time.sleep(0.5)  # it is about to write its name
        raise _in_use(path, _owner(path)) from None
    except OSError:
        return False


def _heartbeat(file: int, stop: threading.Event) -> None:
    while not stop.wait(HEARTBEAT_SECONDS):
        with suppress(OSError):  # a server that is temporarily unavailable; the next beat tries again
            os.utime(file)


def _owner_alive(path: Path, owner: dict) -> bool:
    """Watches the lock; returns whether it is touched within MISSED_HEARTBEATS intervals."""
    seconds = f"{HEARTBEAT_SECONDS * MISSED_HEARTBEATS:.0f} s"
    print(
        f"{path} was in use by process {owner['pid']} on {owner['host']}; waiting up to {seconds} to see "
        f"whether it still is",
        file=sys.stderr,
    )
    first = _mtime(path)
    for _ in range(MISSED_HEARTBEATS * 4):
        time.sleep(HEARTBEAT_SECONDS / 4)
        if _mtime(path) != first:
            return True
    return False


def _mtime(path: Path) -> int:
    # Opening makes NFS ask the server; a bare stat may answer from a cache up to a minute old.
    with open(path / LOCK, "rb") as file:
        return os.fstat(file.fileno()).st_mtime_ns


def _owner(path: Path) -> dict | None:
    """The process that wrote the lock: {'host', 'pid', 'since'}, or None if there is none (yet)."""
    try:
        owner = json.loads((path / LOCK).read_bytes())
        return {key: owner[key] for key in ("host", "pid", "since")}
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _in_use(path: Path, owner: dict | None) -> UserError:
    who = f"process {owner['pid']} on {owner['host']} (since {owner['since']})" if owner else "another process"
    return UserError(f"{path} is in use by {who}; wait until it ends or stop it, or choose another --workdir.")
