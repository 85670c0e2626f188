"""Keeps compiled programs from one command to the next, in a folder of the user's own."""

from __future__ import annotations

import hashlib
import os
import platform
from contextlib import suppress
from pathlib import Path

import jax
import jaxlib

VARIABLE = "JAX_COMPILATION_CACHE_DIR"  # the user's own choice; empty for no cache
MIN_SECONDS = 0.2  # of compilation, for a program to be kept


def use() -> None:
    """Has JAX keep compiled programs in `folder`, unless the environment names another place."""
    if VARIABLE in os.environ:
        return
    with suppress(OSError, RuntimeError):  # no home, or one that cannot be written to: compile every time
        path = folder()
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.chmod(0o700)  # whoever can write there can have this user run anything
        jax.config.update("jax_compilation_cache_dir", str(path))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", MIN_SECONDS)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def folder() -> Path:
    """The folder of this version of XLA on this kind of processor: programs of another one may crash."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    processor = hashlib.sha256(_processor().encode()).hexdigest()[:12]
    return base / "jaxgan" / "xla" / f"{jaxlib.__version__}-{processor}"


def _processor() -> str:
    """The model and the instruction sets of the processor."""
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
        return "\n".join(line for line in lines if line.startswith(("model name", "flags", "Features", "CPU part")))
    return platform.processor() or platform.machine()
