"""The values of a configuration that enter the training step as traced arrays, as their fields declare."""

from __future__ import annotations

from typing import Any

import numpy as np
from ml_collections import ConfigDict

from jaxgan.config import fields
from jaxgan.fields import Traced, flatten
from jaxgan.game.hparams import HParams


def traced(config: ConfigDict) -> HParams:
    """The traced numbers of `config`, as scalar NumPy arrays (some in a form that float32 can resolve)."""
    notes, flat = _notes(config), flatten(config)
    return {key: np.asarray(note.form(flat[key])) for key, note in notes.items()}


def static(config: ConfigDict) -> dict[str, Any]:
    """What a compiled program depends on: all fields but the traced ones, and of those which are off."""
    notes, flat = _notes(config), flatten(config)
    switches = {key: note.switch(flat[key]) for key, note in notes.items() if note.switch}
    return {key: value for key, value in flat.items() if key not in notes} | switches


def _notes(config: ConfigDict) -> dict[str, Traced]:
    """What the traced fields say of how they are traced."""
    notes = {key: field.note(Traced) for key, field in fields(config).items()}  # type: ignore[operator]  # no module
    return {key: note for key, note in notes.items() if note is not None}
