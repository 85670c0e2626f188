"""What pytest says where the marker 'slow' leaves nothing to run."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def test_a_run_that_selects_nothing_fails_with_a_reason():
    command = [sys.executable, "-m", "pytest", "-n", "0", "-m", "not slow", __file__]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, timeout=120)
    assert done.returncode == pytest.ExitCode.NO_TESTS_COLLECTED
    assert "No test was selected by -m 'not slow': add -m '' to run slow tests too." in done.stdout
