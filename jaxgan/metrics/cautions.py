"""Cautions: reasons to distrust a score, from the scores of an evaluation and its protocol."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jaxgan.metrics.alarms import MIN_DIVERSITY
from jaxgan.metrics.protocol import VALIDATION

MIN_ACCURACY = 0.9  # of the classifier, below which its features and classes are unreliable
MAX_SAMPLE_RATIO = 3.0  # samples per real example


def cautions(
    numbers: Mapping[str, float | None], protocol: Mapping[str, Any], *, dimensions: int, collapsed: bool = False
) -> list[str]:
    """One sentence per reason to distrust a score; [] if there is none.

    - FID of fewer examples than features: the covariances do not have full rank.
    - A classifier of features or of classes with an accuracy below 90% on held-out images.
    - Precision of nearly identical samples.
    - Recall of many more samples than real examples: it falls with the number of samples.
    - A Parzen window whose width is the smallest or the largest tried.

    Args:
      numbers: the scores by name; None if one could not be computed.
      protocol: that of evaluation.json.
      dimensions: the number of features, `features.space.dimensions`.
      collapsed: whether samples are nearly identical, if known without `diversity`.
    """
    sentences = []
    measured = {name.removeprefix(VALIDATION).rpartition("_")[2]: x for name, x in numbers.items() if x is not None}
    counts = {"samples": protocol.get("samples", 0), "validation examples": protocol.get("validation_examples", 0)}
    if real := protocol.get("real"):
        counts[f"{real['split']} examples"] = real["examples"]
    what, fewest = min(counts.items(), key=lambda item: item[1])
    if "fid" in measured and fewest < dimensions:
        sentences.append(
            f"FID is of {fewest:,} {what} and {dimensions:,} features: with fewer examples than features it depends on "
            f"their number more than on how good samples are; use KID, or more examples."
        )
    for use in ("features", "classes"):
        accuracy = (protocol.get(use) or {}).get("accuracy")
        if accuracy is not None and accuracy < MIN_ACCURACY:
            sentences.append(
                f"The classifier behind these scores is right in {accuracy:.1%} of held-out images: below "
                f"{MIN_ACCURACY:.0%} scores by its {use} mean little."
            )
    if "precision" in measured and (collapsed or measured.get("diversity", 1.0) < MIN_DIVERSITY):
        sentences.append("The samples hardly differ, which precision does not detect: a collapsed G can score 1.")
    if "recall" in measured and real and protocol.get("samples", 0) > MAX_SAMPLE_RATIO * real["examples"]:
        sentences.append(
            f"Recall falls, whatever G does, the more samples are compared with the same real examples, here "
            f"{protocol['samples']:,} with {real['examples']:,}: compare it among runs of equal numbers only."
        )
    if numbers.get("parzen_sigma_at_edge"):
        sentences.append(
            "The width of the Parzen window is at an end of the range that is tried: its scores are too low."
        )
    return sentences
