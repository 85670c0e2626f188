"""What is printed never ends a run: not a pipe or a terminal that is gone, a full disk, or a narrow encoding."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any


class _Forgiving:
    """A text stream in which nothing that is written raises an error."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            self._stream.write(text)
        except UnicodeEncodeError:
            encoding = self._stream.encoding
            self.write(text.encode(encoding, "backslashreplace").decode(encoding))
        except OSError as error:
            self._give_up(error)
        return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        """Sends to nowhere what the stream still holds, which it would try to write until the process ends."""
        with suppress(OSError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
        if sys.stdout is self:
            print(f"warning: nothing more is printed ({error.strerror}); the command continues", file=sys.stderr)


@contextmanager
def forgiving_output() -> Iterator[None]:
    """Prints what can be printed in the block, and goes on where something cannot; of all threads."""
    before = sys.stdout, sys.stderr
    mine = tuple(
        stream if stream is None or isinstance(stream, _Forgiving) else _Forgiving(stream) for stream in before
    )
    sys.stdout, sys.stderr = mine
    try:
        yield
    finally:
        for stream in mine:
            if stream is not None:
                stream.flush()  # here, where an error is no error
        if sys.stdout is mine[0]:  # else the program has set one of its own since
            sys.stdout = before[0]
        if sys.stderr is mine[1]:
            sys.stderr = before[1]
