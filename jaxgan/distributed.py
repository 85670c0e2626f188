"""Multi-host setup: initialization, agreement on stopping, and exit when a peer is lost."""

from __future__ import annotations

import atexit
import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import jax
import numpy as np
from jax.experimental import multihost_utils
from ml_collections import ConfigDict

from jaxgan.errors import UserError

# Seconds without a heartbeat after which a process of a distributed run counts as dead.
HEARTBEAT_TIMEOUT = 30

PEER_LOST = "another process of the run ended or cannot be reached"
RESTART_HINT = "find out why, then start all processes again to resume from the last checkpoint."
_LIBC = ctypes.CDLL(None)


@dataclass(frozen=True)
class DistributedSection:
    """The hosts of a run."""

    enabled: bool = False  # call jax.distributed.initialize (all that TPU pods and SLURM need)
    coordinator: str = ""  # HOST:PORT of process 0; '' = found by JAX
    processes: int = 0  # how many; 0 = found by JAX
    process: int = -1  # which one this is; -1 = found by JAX


def initialize(config: ConfigDict) -> None:
    """Joins the other hosts of a run if `distributed.enabled`; JAX detects what is not configured.

    Raises:
      UserError: the coordinator cannot be reached, or the values are inconsistent.
    """
    d = config.distributed
    if not d.enabled:
        return check_devices()
    jax.config.update("jax_enable_preemption_service", False)  # it would handle SIGTERM itself
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
    """Raises UserError if JAX finds no device."""
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:  # an assertion if the plugin of a known platform is missing
        platforms = jax.config.jax_platforms  # type: ignore[attr-defined]
        raise UserError(
            f"JAX finds no device for JAX_PLATFORMS={platforms} ({' '.join(str(error).split()) or 'not installed'}); "
            f"correct that variable or the installation of JAX."
        ) from error


@ctypes.CFUNCTYPE(None, ctypes.c_int)
def _aborted(_: int) -> None:
    """Handler for SIGABRT at the C level: JAX's runtime aborts from one of its own threads when a peer is lost."""
    os.write(2, f"error: {PEER_LOST}; {RESTART_HINT}\n".encode())
    os._exit(2)


@contextmanager
def exit_without_peers() -> Iterator[None]:
    """Makes a process that fails in the block exit without waiting for the others.

    Raises:
      UserError: another process of the run was lost.
    """
    try:
        yield
    except BaseException as error:
        if jax.process_count() > 1:  # at exit JAX would wait minutes for the others
            atexit.register(_exit_now, 130 if isinstance(error, KeyboardInterrupt) else 2)
        if jax.process_count() > 1 and isinstance(error, jax.errors.JaxRuntimeError):
            raise UserError(f"{PEER_LOST} ({str(error).splitlines()[0][:200]}); {RESTART_HINT}") from error
        raise


def _exit_now(code: int) -> None:
    sys.stdout.flush()
    os._exit(code)


def is_primary_host() -> bool:
    """Whether this is the one process that writes files and prints."""
    return jax.process_index() == 0


def sync_hosts(stop: bool, n: int) -> tuple[bool, int]:
    """Reduces over the processes of the run: any(`stop`) and min(`n`). A collective: every process must call it."""
    if jax.process_count() == 1:
        return stop, n
    values = multihost_utils.process_allgather(np.array([stop, n], np.int32))
    return bool(values[:, 0].any()), int(values[:, 1].min())


def log_once(line: str) -> None:
    """Prints a line in the primary process only."""
    if is_primary_host():
        print(line, flush=True)
