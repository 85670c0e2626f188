"""Streamed training: the host reads the examples of each step ahead, and the numbers are those of resident data."""

import jax
import numpy as np
import pytest

from jaxgan.algorithm1 import UPDATES, train_step
from jaxgan.game import batches

OTHERS = {"simultaneous": {"objective__loss": "relativistic"}, "alternating": {"train__d_steps": 3}}


@pytest.mark.parametrize("conditional", ["none", "label"])
@pytest.mark.parametrize("update", UPDATES)
def test_a_step_reads_what_its_update_declares(update, conditional, game, monkeypatch, eagerly):
    """For every update rule: the minibatches that `Update.draws` lists, and no others, in that order."""
    changes = OTHERS.get(update, {}) | ({"train__g_batch_size": 4} if not UPDATES[update].shared_minibatch else {})
    one = game(train__update=update, conditional=conditional, **changes)
    read, drawn_data = [], batches.drawn_data

    def record(gan, source, draw, indices):
        read.append(draw)
        return drawn_data(gan, source, draw, indices)

    monkeypatch.setattr(batches, "drawn_data", record)

    @jax.jit  # which leaves out all but the numbers
    def numbers(state):
        train_step(one.gan, one.hparams, state, one.data)
        return [draw.number for draw in read]

    found = numbers(one.state._replace(step=np.uint32(7)))
    expected = UPDATES[update].draws(one.gan, 7)
    assert [int(number) for number in found] == [int(draw.number) for draw in expected]
    assert [(draw.stream, draw.size) for draw in read] == [(draw.stream, draw.size) for draw in expected]
