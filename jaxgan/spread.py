"""Pieces of work on the devices of this host in turn, where they have nothing to tell each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax


def in_turn(function: Callable[..., Any], shared: Any, pieces: Sequence[tuple[Any, ...]]) -> Iterator[Any]:
    """function(shared, *piece) of each piece, as NumPy arrays, in the order of the pieces.

    The first piece goes to the first device, the second to the second, and so on; a round of all devices is at work at
    a time. Every device runs the same program, so that the numbers do not depend on how many there are.

    Args:
      function: compiled.
      shared: a tree of arrays, which is put on each device once.
    """
    devices = jax.local_devices()[: len(pieces)]
    placed = [jax.device_put(shared, device) for device in devices]
    for first in range(0, len(pieces), max(len(devices), 1)):
        some = zip(devices, placed, pieces[first : first + len(devices)], strict=False)
        calls = [function(own, *jax.device_put(piece, device)) for device, own, piece in some]
        yield from jax.device_get(jax.block_until_ready(calls))  # where memory was too small, fetching alone hangs
