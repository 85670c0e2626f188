"""Runs independent work items round-robin over the local devices."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax


def round_robin(function: Callable[..., Any], shared: Any, items: Sequence[tuple[Any, ...]]) -> Iterator[Any]:
    """Yields function(shared, *item) of each item, as NumPy arrays, in order.

    Items are dispatched one per device per round. Every device runs the same program, so the numbers do not depend on
    the number of devices.

    Args:
      function: compiled.
      shared: a tree of arrays, copied to each device once.
    """
    devices = jax.local_devices()[: len(items)]
    copies = [jax.device_put(shared, device) for device in devices]
    for start in range(0, len(items), max(len(devices), 1)):
        round_items = zip(devices, copies, items[start : start + len(devices)], strict=False)
        outputs = [function(copy, *jax.device_put(item, device)) for device, copy, item in round_items]
        yield from jax.device_get(jax.block_until_ready(outputs))  # after running out of memory, fetching alone hangs
