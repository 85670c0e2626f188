"""Suppresses Orbax's redundant log output while it runs."""

from __future__ import annotations

import gc
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LOCK = threading.Lock()
_users = 0  # open `quiet` blocks, over all threads


def _not_orbax(record: logging.LogRecord) -> bool:
    return "orbax" not in Path(record.pathname).parts


def _not_tensorstore(record: logging.LogRecord) -> bool:
    return "OCDBT" not in record.getMessage()


_FILTERS = (("absl", _not_orbax), ("asyncio", _not_tensorstore))


@contextmanager
def quiet() -> Iterator[None]:
    """Silences Orbax in the block, then restores the program's hooks and loggers.

    Orbax logs the tracebacks of its exceptions; when one array fails, it closes the event loop that the others use,
    whose errors and results then appear in asyncio's log and as "Event loop is closed".
    """
    global _users
    with _LOCK:
        _users += 1
        if _users == 1:
            _install()
    try:
        yield
    finally:
        with _LOCK:
            _users -= 1
            if _users == 0:
                _remove()


@contextmanager
def collect_garbage() -> Iterator[None]:
    """Collects garbage at the end of the block, where warnings about un-awaited coroutines are ignored; inside `quiet`.

    When Orbax does not know an array's type, it drops the coroutines created for the others.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"coroutine '.*' was never awaited", RuntimeWarning)
        yield
        gc.collect()


def _install() -> None:
    global _report
    for name, keep in _FILTERS:
        logging.getLogger(name).addFilter(keep)
    _report, sys.unraisablehook = sys.unraisablehook, _hook


def _remove() -> None:
    for name, keep in _FILTERS:
        logging.getLogger(name).removeFilter(keep)
    if sys.unraisablehook is _hook:  # unless the program has replaced it since
        sys.unraisablehook = _report


_report = sys.unraisablehook


def _hook(unraisable) -> None:
    if str(unraisable.exc_value) != "Event loop is closed":
        _report(unraisable)
