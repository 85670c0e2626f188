"""The default folder of compiled programs, and the flags of deterministic kernels."""

import os
import stat
import subprocess
import sys

import jax
import pytest

from jaxgan.run import compilation_cache

PROGRAM = """
import sys
from jaxgan import parallel
from jaxgan.run import compilation_cache
compilation_cache.MIN_SECONDS = 0
compilation_cache.use()
parallel.use_deterministic_kernels()  # XLA ends a process whose flags it does not know
import jax, jax.numpy as jnp
from jax import monitoring
events = []
monitoring.register_event_listener(lambda name, **_: events.append(name))
assert jax.jit(lambda x: jnp.sin(x) @ x)(jnp.ones((3, 3)))[0, 0] > 0
print(sum("cache_hits" in name for name in events), sum("cache_misses" in name for name in events))
"""


@pytest.mark.slow
def test_the_second_process_compiles_nothing_and_the_folder_is_private(tmp_path):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_COMP", "JAX_PERS"))}
    environment["XDG_CACHE_HOME"] = str(tmp_path)
    run = lambda: subprocess.run(  # noqa: E731
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True, timeout=120
    )
    first, second = (tuple(map(int, run().stdout.split())) for _ in range(2))
    assert first[0] == 0 and first[1] > 0
    assert second == (first[1], 0)
    (folder,) = (tmp_path / "jaxgan" / "xla").iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert folder.name.startswith(jax.lib.__version__)


def test_a_choice_of_the_user_stays_and_no_home_is_no_error(monkeypatch, tmp_path):
    changed = []
    monkeypatch.setattr(jax.config, "update", lambda *args: changed.append(args))
    monkeypatch.setenv(compilation_cache.VARIABLE, "")
    compilation_cache.use()
    assert changed == []
    monkeypatch.delenv(compilation_cache.VARIABLE)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    compilation_cache.use()
    assert changed == []
