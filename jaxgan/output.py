"""Printing that never ends a run: tolerates closed pipes and terminals, full disks and narrow encodings."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any


class _Forgiving:
    """A text stream whose `write` and `flush` never raise an OSError or UnicodeEncodeError."""

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
        """Redirects the stream to the null device, so that its buffer is not written again and again."""
        with suppress(OSError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._stream.fileno())
            os.close(null)
        if sys.stdout is self:
            print(f"warning: nothing more is printed ({error.strerror}); the command continues", file=sys.stderr)


@contextmanager
def forgiving_output() -> Iterator[None]:
    """Makes failed writes to stdout and stderr harmless in the block, for all threads."""
    originals = sys.stdout, sys.stderr
    wrapped = tuple(
        stream if stream is None or isinstance(stream, _Forgiving) else _Forgiving(stream) for stream in originals
    )
    sys.stdout, sys.stderr = wrapped
    try:
        yield
    finally:
        for stream in wrapped:
            if stream is not None:
                stream.flush()  # while errors are still ignored
        if sys.stdout is wrapped[0]:  # unless the program has replaced it since
            sys.stdout = originals[0]
        if sys.stderr is wrapped[1]:
            sys.stderr = originals[1]
