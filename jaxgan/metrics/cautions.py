"""Reasons why a score means little, from the scores of an evaluation and how they were measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jaxgan.metrics.alarms import ALIKE
from jaxgan.metrics.protocol import VALIDATION

ACCURACY = 0.9  # of the classifier, below which its features and classes mean little
UNEQUAL = 3.0  # times as many samples as real examples


def cautions(
    numbers: Mapping[str, float | None], protocol: Mapping[str, Any], *, dimensions: int, collapsed: bool = False
) -> list[str]:
    """Sentences, one per reason; [] without any.

    - FID of fewer examples than features: the covariances do not have full rank.
    - A classifier of features or of classes that is right in less than 90% of held-out images.
    - Precision of samples that hardly differ from each other.
    - Recall of many more samples than real examples: it falls with the number of samples.
    - A Parzen window whose width is the smallest or the largest that was tried.

    Args:
      numbers: the scores by name; None is a number that could not be computed.
      protocol: that of evaluation.json.
      dimensions: the number of features, `features.space.dimensions`.
      collapsed: whether samples hardly differ, as far as is known without `diversity`.
    """
    found = []
    measured = {name.removeprefix(VALIDATION).rpartition("_")[2]: x for name, x in numbers.items() if x is not None}
    counts = {"samples": protocol.get("samples", 0), "validation examples": protocol.get("validation_examples", 0)}
    if real := protocol.get("real"):
        counts[f"{real['split']} examples"] = real["examples"]
    what, fewest = min(counts.items(), key=lambda item: item[1])
    if "fid" in measured and fewest < dimensions:
        found.append(
            f"FID is of {fewest:,} {what} and {dimensions:,} features: with fewer examples than features it depends on "
            f"their number more than on how good samples are; use KID, or more examples."
        )
    for use in ("features", "classes"):
        accuracy = (protocol.get(use) or {}).get("accuracy")
        if accuracy is not None and accuracy < ACCURACY:
            found.append(
                f"The classifier behind these scores is right in {accuracy:.1%} of held-out images: below "
                f"{ACCURACY:.0%} scores by its {use} mean little."
            )
    if "precision" in measured and (collapsed or measured.get("diversity", 1.0) < ALIKE):
        found.append("The samples hardly differ, and precision says nothing against that: a collapsed G can have 1.")
    if "recall" in measured and real and protocol.get("samples", 0) > UNEQUAL * real["examples"]:
        found.append(
            f"Recall falls, whatever G does, the more samples are compared with the same real examples, here "
            f"{protocol['samples']:,} with {real['examples']:,}: compare it among runs of equal numbers only."
        )
    if numbers.get("parzen_sigma_at_edge"):
        found.append("The width of the Parzen window is at an end of the range that is tried: its scores are too low.")
    return found
