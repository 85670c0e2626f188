"""A command goes on where what it prints cannot be printed."""

import os
import subprocess
import sys
from contextlib import contextmanager

import pytest

import jaxgan
from jaxgan.output import forgiving_output
from jaxgan.train import train


@contextmanager
def broken(kind):
    """A text stream, buffered as one to a file is, that nobody reads or whose disk is full."""
    if kind == "full":
        file = os.open("/dev/full", os.O_WRONLY)
    else:
        reader, file = os.pipe()
        os.close(reader)
    with open(file, "w") as stream:
        yield stream


@pytest.mark.parametrize("kind", ["pipe", "full"])
def test_a_run_whose_output_is_lost_is_trained_and_saved(tiny_config, tmp_path, monkeypatch, capsys, kind):
    with broken(kind) as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert train(tiny_config(**{"evaluate.metrics": ()}), tmp_path / "work") == 0
        assert sys.stdout is stream
    assert jaxgan.load(tmp_path / "work").step == 20
    why = {"pipe": "Broken pipe", "full": "No space left on device"}[kind]
    assert capsys.readouterr().err == f"warning: nothing more is printed ({why}); the command continues\n"


@pytest.mark.parametrize("kind", ["pipe", "full"])
def test_a_command_ends_well_without_stdout_and_stderr(kind):
    """Also where it fails only as the process ends, when Python flushes."""
    code = "import sys; from jaxgan import errors; sys.exit(errors.run_cli(lambda: print('x', file=sys.ARG) or 3))"
    for name in ("stdout", "stderr"):
        with broken(kind) as stream:
            result = subprocess.run([sys.executable, "-c", code.replace("ARG", name)], **{name: stream}, timeout=60)
        assert result.returncode == 3


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_what_an_encoding_cannot_write_is_escaped(tmp_path, monkeypatch, encoding):
    with open(tmp_path / "out", "w", encoding=encoding) as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        with forgiving_output(), forgiving_output():
            print("run/\u2713 \udcff \u00fc")
    said = (tmp_path / "out").read_bytes().decode(encoding)
    assert said.startswith("run/") and "\\udcff" in said
    assert ("\u00fc" in said) == (encoding != "ascii") and ("\\u2713" in said) == (encoding != "utf-8")
