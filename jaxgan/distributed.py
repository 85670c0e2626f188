"""The hosts of a run: joining them, agreeing with them, and ending where one of them is lost."""

from __future__ import annotations

import atexit
import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import jax
import numpy as np
from jax.experimental import multihost_utils
from ml_collections import ConfigDict

from jaxgan.errors import UserError

# Seconds without a sign of life after which a process of a distributed run counts as dead.
HEARTBEAT_TIMEOUT = 30

LOST = "another process of the run ended or cannot be reached"
AGAIN = "find out why, then start all processes again to resume from the last checkpoint."
_LIBC = ctypes.CDLL(None)


def initialize(config: ConfigDict) -> None:
    """Joins the other hosts of a run (`distributed.enabled`); what is not given, JAX detects.

    Raises:
      UserError: the coordinator is not reached, or the values do not fit together.
    """
    d = config.distributed
    if not d.enabled:
        return check_devices()
    jax.config.update("jax_enable_preemption_service", False)  # it would take SIGTERM for itself
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    try:
        jax.distributed.initialize(
            coordinator_address=d.coordinator or None,
            num_processes=d.processes or None,
            process_id=d.process if d.process >= 0 else None,
            heartbeat_timeout_seconds=HEARTBEAT_TIMEOUT,
        )
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"cannot join the other processes ({reason}); set distributed.coordinator=HOST:PORT, "
            f"distributed.processes and distributed.process, or start under SLURM or on a TPU pod."
        ) from None
    _LIBC.signal(signal.SIGABRT, _aborted)
    check_devices()


def check_devices() -> None:
    """Raises UserError where JAX finds no device."""
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:  # an assertion, where the plugin of a known platform is missing
        wanted = jax.config.jax_platforms  # type: ignore[attr-defined]
        raise UserError(
            f"JAX finds no device for JAX_PLATFORMS={wanted} ({' '.join(str(error).split()) or 'not installed'}); "
            f"correct that variable or the installation of JAX."
        ) from error


@ctypes.CFUNCTYPE(None, ctypes.c_int)
def _aborted(_: int) -> None:
    """In C's place for SIGABRT: JAX's runtime aborts a process, from a thread of its own, where another is lost."""
    os.write(2, f"error: {LOST}; {AGAIN}\n".encode())
    os._exit(2)


@contextmanager
def exit_without_peers() -> Iterator[None]:
    """Where one process fails in the block, none waits for the others.

    Raises:
      UserError: another process of the run was lost.
    """
    try:
        yield
    except BaseException as error:
        if jax.process_count() > 1:  # at exit JAX would wait minutes for the others to end as well
            atexit.register(_leave, 130 if isinstance(error, KeyboardInterrupt) else 2)
        if jax.process_count() > 1 and isinstance(error, jax.errors.JaxRuntimeError):
            raise UserError(f"{LOST} ({str(error).splitlines()[0][:200]}); {AGAIN}") from error
        raise


def _leave(code: int) -> None:
    sys.stdout.flush()
    os._exit(code)


def is_primary_host() -> bool:
    """Whether this is the process that writes what only one may write."""
    return jax.process_index() == 0


def sync_hosts(stop: bool, n: int) -> tuple[bool, int]:
    """Whether any process of the run has to `stop`, and the smallest `n` of all; every process has to ask."""
    if jax.process_count() == 1:
        return stop, n
    found = multihost_utils.process_allgather(np.array([stop, n], np.int32))
    return bool(found[:, 0].any()), int(found[:, 1].min())


def log_once(line: str) -> None:
    """Prints a line once, however many processes run."""
    if is_primary_host():
        print(line, flush=True)
