"""Inference of z on digits: settings that fit together, and the verdicts."""

import numpy as np
import pytest

from configs import digits
from experiments import inference, lab
from jaxgan.config import update, validate


@pytest.mark.parametrize("method", ["along", "after", "pairs"])
def test_settings_fit_together(method, tmp_path):
    config = update(digits.get_config(), inference.settings(method, 100, 3, tmp_path))
    validate(config)
    assert config.prior.size == inference.SIZE and config.seed == 3 and config.encoder.name == "mlp"
    assert config.generator.frozen == (method == "after") and config.encoder.joint == (method == "pairs")
    assert config.generator.initialize_from == (str(tmp_path / "along_3") if method == "after" else "")


def rows(pairs, search, from_e, ks=(0.1, 0.12)):
    """Of three seeds with these errors; regression has .16, PCA .11."""
    noise = np.array([0.0, 0.001, -0.001])
    return [
        {
            "rmse": {"E, pairs": pairs + e, "E, along": 0.16, "E, after": 0.16 - e, "search, 8 starts": search + e,
                     "search, from E": from_e + e, "PCA": 0.11},
            "scores": {"pairs": {"z_ks": ks[0] + e}, "after": {"z_ks": ks[1]}, "along": {"z_ks": ks[1]}},
        }
        for e in noise
    ]  # fmt: skip


def test_verdicts():
    along, after = (
        f"the game of pairs has a smaller error than regression {when} training" for when in ("along", "after")
    )
    prior, pca = "its E(x) are distributed more like z", "search has a smaller error than PCA"
    near = "search from E comes within 5% of search from 8 starts"
    good = inference.verdicts(rows(0.1, 0.08, 0.081))
    assert good == {along: True, after: True, prior: True, pca: True, near: True}
    bad = inference.verdicts(rows(0.2, 0.13, 0.15, ks=(0.2, 0.12)))
    assert bad[along].startswith(lab.NOT_REPRODUCED) and bad[prior] is False and bad[pca] is False
    assert bad[near] is False
    unclear = inference.verdicts(rows(0.16, 0.11, 0.1155))
    assert unclear[along] is None and unclear[pca] is None and unclear[near] is None
    assert set(inference.verdicts(rows(0.1, 0.08, 0.081)[:2]).values()) == {None}
