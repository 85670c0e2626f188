"""The report of one run."""

from __future__ import annotations

from pathlib import Path


def write(workdir: Path) -> None:
    """Writes report.html."""
