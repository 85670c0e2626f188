"""Who may write in a directory: one process at a time, on one host or several."""

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

# The owner of a directory touches the lock this often; a lock that stays untouched for MISSED_HEARTBEATS
# of these intervals belongs to a dead process.
HEARTBEAT_SECONDS = 5.0
MISSED_HEARTBEATS = 4
SETTLING_SECONDS = 0.5  # after which a name written to a lock is everybody's to read


@contextmanager
def lock(path: Path) -> Iterator[Callable[[], None]]:
    """Holds `path`/.lock: `flock`, and a heartbeat for file systems where that ends at the host.

    The kernel drops a flock when its process dies, however it dies, so on one host (and on NFS, where
    Linux asks the server) a lock that can be taken is free, and no process id needs to be trusted. On a
    file system without it, or whose flock other hosts do not see, a live owner shows by the time stamp
    of the lock advancing. That is watched, not compared with a clock: hosts' clocks differ.

    Yields:
      A function to call before anything is written: it raises UserError where another process has taken the directory
      over, which it may once this one was suspended for longer than MISSED_HEARTBEATS.
    """
    me = {"host": socket.gethostname(), "pid": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
    try:
        file = os.open(path / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
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
            time.sleep(SETTLING_SECONDS)
            if _owner(path) != me:
                raise _in_use(path, _owner(path))
        stop = threading.Event()
        heart = threading.Thread(target=_beat, args=(file, stop), name="workdir-lock", daemon=True)
        heart.start()

        def check() -> None:
            if (owner := _owner(path)) not in (me, None):  # None: the file system is away for a moment
                raise UserError(
                    f"process {owner['pid']} on {owner['host']} has taken over {path} (since {owner['since']}), since "
                    f"this process had stood still; nothing was overwritten: leave the run to that process."
                )

        try:
            yield check
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
    while not stop.wait(HEARTBEAT_SECONDS):
        with suppress(OSError):  # a server that is away for a moment; the next beat tries again
            os.utime(file)


def _beats(path: Path, owner: dict) -> bool:
    """Whether the lock is touched while it is watched."""
    seconds = f"{HEARTBEAT_SECONDS * MISSED_HEARTBEATS:.0f} s"
    print(
        f"{path} was in use by process {owner['pid']} on {owner['host']}; watching for up to {seconds} "
        f"whether it still is",
        file=sys.stderr,
    )
    first = _stamp(path)
    for _ in range(MISSED_HEARTBEATS * 4):
        time.sleep(HEARTBEAT_SECONDS / 4)
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
