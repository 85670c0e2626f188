"""The metric interface: declared inputs, outputs and display, so that no other module refers to a metric by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

FEATURE_INPUTS = ("real_features", "fake_features", "fake_logits")
# Inputs from D's evaluation on examples and from both players' parameters: `evaluation.players.player_inputs`.
PLAYER_INPUTS = ("train_logits", "validation_logits", "sample_logits", "train_slopes", "sample_slopes", "kernels")
DRAW_INPUTS = ("draws", "targets", "scored")  # of conditional samples: `evaluation.draws`
ENCODER_INPUTS = ("examples", "reconstructions", "inferred", "z", "recovered")  # `evaluation.inference`
CLASS_INPUTS = ("class_logits", "labels", "probes", "probe_labels")  # of D as a classifier: `evaluation.classification`
VALIDATION = "validation_"  # prefix of metrics computed against the validation set


class Display(NamedTuple):
    """How an output of a metric is displayed."""

    label: str  # such as 'modes captured', with a unit in parentheses
    digits: int  # decimal places
    direction: int  # 1: larger is better, -1: smaller is better, 0: neither


class Metric(NamedTuple):
    """A metric: one file in `metrics/`, one line in `METRICS`.

    `evaluate` takes the inputs that it `needs` as keyword arguments, and returns its outputs by name:

      samples: [n, *shape] float32, of G; images in [0, 1] (unless data.gcn is set) whatever G's own range is.
      validation, test: [n, *shape] float32, of the same range; not empty.
      mixture: the density p_data of `mixture:NAME`.
      real_features, fake_features: [n, d] and [m, d] float32, in the space of `evaluate.features`. The metric is
        evaluated twice: against the split `evaluate.split`, and, for selection, against the validation set.
      train_features: [t, d] float32, of the training set.
      fake_logits: [m, classes] float32, of the network of `evaluate.features`.
      fake_classes: [m] integers, the classes of the samples predicted by the classifier of the data's labels.
      fake_labels: [m] integers, the classes that G was conditioned on, equally many of each.
      classes: int, the number of classes.
      k: int, `evaluate.k`.
      train_logits, validation_logits, sample_logits: [n] float32, D's logits, without dropout, on the first 1,000
        training and validation examples and samples.
      train_slopes, sample_slopes: [n] float32, the norm |d logit / dx| of D's input gradient there.
      draws: [K, n, *shape] float32, samples given the condition of each of the first n examples of a split, images
        rounded to 8 bits as the data are; targets: [n, *shape], these examples; scored: [n, *shape] bool, what the
        condition's mask hides, or all. Evaluated twice, as with real_features.
      examples, reconstructions, inferred: [n, *shape], [n, *shape] and [n, d] float32, x, G(E(x)) and E(x) of the first
        n examples of a split, with E the encoder; z, recovered: [n, d], samples of p_z and E(G(z)). Also twice.
      class_logits, labels: [n, K] float32 and [n] int32, D's class logits and the classes of the examples of a split;
        probes: {name: ([t, d], [n, d])} float32, representations of labelled training examples, whose classes are
        probe_labels [t] int32, and of these examples. Also twice.
      kernels: {'generator.LAYER': [inputs, units] float32}, of both players, as their layers use them.

    If a metric of features, classes or players raises a UserError (all samples are equal, say), its outputs are NaN.
    """

    needs: tuple[str, ...]
    evaluate: Callable[..., dict[str, Any]]
    outputs: dict[str, Display]  # of each output, or of those to be displayed; of metrics of features: of all
    best: str  # the output that selects the best checkpoint, never one of the test set; '' if none does
    min_examples: int = 1  # the least number of real examples, and of samples, on which it can be computed
    conventions: dict[str, Any] = {}  # those on which implementations differ; plain JSON, recorded  # noqa: RUF012
    # (real examples, samples) -> how many of them it uses, if not all; the real examples are of the validation set
    # unless it `compares_to_real`. Plain JSON, recorded too.
    used: Callable[[int, int], dict[str, int]] = lambda real, fake: {}

    @property
    def compares_to_real(self) -> bool:
        """Whether it is evaluated against two sets of real examples."""
        return any(need in ("real_features", "targets", "reconstructions", "labels") for need in self.needs)

    @property
    def uses_features(self) -> bool:
        """Whether it depends on the feature space, so that its outputs carry the space's name."""
        return any(need in FEATURE_INPUTS for need in self.needs)

    @property
    def uses_players(self) -> bool:
        """Whether it needs D's evaluation, or parameters of the players."""
        return any(need in PLAYER_INPUTS for need in self.needs)

    @property
    def can_be_undefined(self) -> bool:
        """Whether it is undefined on some samples or players."""
        return self.uses_features or self.uses_players or "fake_classes" in self.needs

    def full_name(self, name: str, space: str, *, validation: bool) -> str:
        """The name of an output in a feature space, against the validation set or not.

        In Inception's space 'fid' keeps its name; in others it is 'pixels_fid' and 'classifier_fid'.
        """
        name = f"{space}_{name}" if self.uses_features and space != "inception" else name
        return f"{VALIDATION}{name}" if self.compares_to_real and validation else name

    def displays(self, space: str) -> dict[str, Display]:
        """The display of each output in a feature space, by full name."""
        displays = {}
        for validation in (False, True) if self.compares_to_real else (False,):
            for name, display in self.outputs.items():
                label = display.label
                label = f"{label}, {space} features" if self.uses_features and space != "inception" else label
                label = f"{label}, validation" if validation else label
                displays[self.full_name(name, space, validation=validation)] = display._replace(label=label)
        return displays

    def protocol(self, real: int, validation: int, fake: int) -> dict[str, Any]:
        """What is recorded with its outputs: `conventions`, and how many examples are `used`.

        Args:
          real, validation, fake: number of examples of `evaluate.split`, of validation examples, and of samples.
        """
        if not self.compares_to_real:
            return self.conventions | self.used(validation, fake)
        of_validation = {f"{VALIDATION}{name}": count for name, count in self.used(validation, fake).items()}
        return self.conventions | self.used(real, fake) | of_validation

    def selection_metrics(self, space: str) -> dict[str, int]:
        """The outputs that may select a checkpoint, by full name, none of the test set; with their directions."""
        return {
            name: display.direction
            for name, display in self.displays(space).items()
            if display.direction
            and (name.startswith(VALIDATION) or not self.compares_to_real)
            and not name.startswith("test_")
        }
