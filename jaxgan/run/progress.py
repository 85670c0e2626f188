"""How a run goes, for the person who watches it."""

from __future__ import annotations

import math
import time
from datetime import timedelta

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.text import Text


class Progress:
    """How the run goes: live on a terminal; else a line at most every 5 seconds, and the last one.

    Args:
      total: steps of the whole run.
      batch_size: examples of a step.
    """

    QUIET = 5.0  # seconds between plain lines

    def __init__(self, total: int, batch_size: int) -> None:
        self._total = total
        self._batch_size = batch_size
        console = Console()
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._line = ""  # not shown yet
        self._shown = -math.inf

    def __enter__(self) -> Progress:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()
        elif self._line:
            self.log(self._line)

    def update(self, step: int, metrics: dict[str, float], steps_per_second: float) -> None:
        """Shows the newest metrics of the game: `value`, `d_real` and `d_fake`, where there are any."""
        left = timedelta(seconds=round((self._total - step) / steps_per_second))
        images = steps_per_second * self._batch_size
        speed = f"step {step}/{self._total}  {steps_per_second:.1f} steps/s  {images:.0f} images/s  {left} left"
        words = {"value": "V", "d_real": "D(x)", "d_fake": "D(G(z))"}
        game = "  ".join(f"{word} {metrics[name]:.3f}" for name, word in words.items() if name in metrics)
        now = time.monotonic()
        late = now - self._shown > (0.1 if self._live else self.QUIET)
        if late:
            self._shown = now
        if self._live:
            shown = Group(Text(speed), Text(game), ProgressBar(self._total, step))
            self._live.update(shown, refresh=late)
        elif late or step == self._total:
            self.log(f"{speed}  {game}".rstrip())
            self._line = ""
        else:
            self._line = f"{speed}  {game}".rstrip()

    def log(self, message: str) -> None:
        """Prints a line, above the live display if there is one."""
        print(message, flush=True)
