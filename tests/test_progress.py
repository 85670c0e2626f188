"""What the person who watches a run sees."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from jaxgan.run import progress as module
from jaxgan.run.progress import Progress

GAME = {"value": -1.38629, "d_real": 0.5, "d_fake": 0.25, "g_loss": 0.7}


def test_plain_progress_is_sparse_and_ends_with_the_last_line(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    with Progress(1000, 100) as progress:
        for step in range(10, 1001, 10):  # 1 s each
            now[0] += 1
            progress.update(step, GAME, 10.0)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 18  # one in six seconds, and the last
    assert lines[0] == ("step 10/1000  10.0 steps/s  1000 images/s  0:01:39 left  V -1.386  D(x) 0.500  D(G(z)) 0.250")
    assert lines[-1].startswith("step 1000/1000") and "0:00:00 left" in lines[-1]


def test_plain_progress_of_a_stopped_run_shows_how_far_it_came(capsys):
    with pytest.raises(KeyboardInterrupt), Progress(1000, 100) as progress:
        for step in (10, 20, 30):
            progress.update(step, {}, 10.0)
        raise KeyboardInterrupt
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()] == ["10/1000", "30/1000"]


def test_live_progress_and_lines_above_it():
    """On a terminal of 80 columns, as `script` would record it."""
    master, slave = os.openpty()
    code = (
        "import time\n"
        "from jaxgan.run.progress import Progress\n"
        "with Progress(50, 100) as progress:\n"
        "    progress.update(10, {'value': -1.0, 'd_real': 0.75}, 2.0)\n"
        "    progress.log('a line [/] of text')\n"
        "    for step in range(11, 51):\n"
        "        progress.update(step, {'value': -1.25, 'd_real': 0.5}, 2.0)\n"
        "        time.sleep(0.01)\n"
    )
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "80", "LINES": "24"}
    with subprocess.Popen([sys.executable, "-c", code], stdout=slave, env=environment) as process:
        os.close(slave)
        shown = b""
        while True:
            try:
                part = os.read(master, 4096)
            except OSError:  # Linux ends a terminal without writers so
                break
            if not part:
                break
            shown += part
    os.close(master)
    assert process.returncode == 0
    text = shown.decode()
    assert "━" in text and "a line [/] of text" in text
    assert "step 10/50" in text and "D(x) 0.750" in text
    assert text.rindex("step 50/50") > text.rindex("a line")
    assert 3 <= len({word for word in text.split() if word.endswith("/50")}) <= 20  # now and then
