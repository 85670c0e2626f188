"""What a metric says of itself, so that evaluation, reports and checkpoints need to know no metric by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

SPACES = ("inception", "pixels", "classifier")  # in which features lie: the first word of evaluate.features
OF_FEATURES = ("real_features", "fake_features", "fake_logits")
# What D says of examples, and what both players are made of: `evaluate.judge`.
OF_PLAYERS = ("train_logits", "validation_logits", "sample_logits", "train_slopes", "sample_slopes", "kernels")
VALIDATION = "validation_"  # how numbers of the validation set begin


class Shown(NamedTuple):
    """How a number is shown to people."""

    words: str  # such as 'modes captured', with a unit in brackets
    digits: int  # behind the point
    better: int  # 1: larger is better, -1: smaller is better, 0: neither


class Metric(NamedTuple):
    """One file of `metrics/`, one line in `METRICS`.

    `evaluate` takes what it `needs` by name and returns numbers by name:

      samples: [n, *shape] float32, of G; images in [0, 1] (unless data.gcn is set) whatever G's own range is.
      validation, test: [n, *shape] float32, of the same range; not empty.
      mixture: the density p_data of `mixture:NAME`.
      real_features, fake_features: [n, d] and [m, d] float32, of `evaluate.features`. The metric is computed twice:
        against the set that `evaluate.split` names, and, for choices, against the validation set.
      train_features: [t, d] float32, of the training set.
      fake_logits: [m, classes] float32, of `evaluate.features`.
      fake_classes: [m] integers, to which the classifier of the data's labels assigns the samples.
      fake_labels: [m] integers, the classes that G was asked for, equally many of each.
      classes: int, how many there are.
      k: int, `evaluate.k`.
      train_logits, validation_logits, sample_logits: [n] float32, D's, dropout off, of the first 1,000 training and
        validation examples and samples.
      train_slopes, sample_slopes: [n] float32, |d logit / dx| of D there.
      kernels: {'generator.LAYER': [inputs, units] float32}, of both players, as their layers use them.

    A UserError of a metric of features, classes or players (a generator whose samples are all equal) makes its numbers
    NaN.
    """

    needs: tuple[str, ...]
    evaluate: Callable[..., dict[str, Any]]
    shown: dict[str, Shown]  # of each number, or of those that people should see; of metrics of features: of all
    best: str  # the number that may name the best checkpoint: never one of the test set
    least: int = 1  # real examples, and samples, without which it cannot be computed
    conventions: dict[str, Any] = {}  # on which implementations differ; plain JSON, recorded with the numbers  # noqa: RUF012
    # How many examples it uses where that is not all, of so many real ones (of the validation set unless it `compares`)
    # and so many samples; plain JSON, recorded too.
    used: Callable[[int, int], dict[str, int]] = lambda real, fake: {}

    @property
    def compares(self) -> bool:
        """Whether it is computed against two sets of real features."""
        return "real_features" in self.needs

    @property
    def of_features(self) -> bool:
        """Whether its numbers carry the name of the features."""
        return any(need in OF_FEATURES for need in self.needs)

    @property
    def of_players(self) -> bool:
        """Whether it looks at the players themselves."""
        return any(need in OF_PLAYERS for need in self.needs)

    @property
    def may_fail(self) -> bool:
        """Whether there are samples, or players, of which it cannot be computed."""
        return self.of_features or self.of_players or "fake_classes" in self.needs

    def full_name(self, name: str, space: str, *, validation: bool) -> str:
        """What a number is called that was computed in a space of features, against the validation set or not.

        'fid' is of Inception's features alone; of others it is 'pixels_fid' and 'classifier_fid'.
        """
        name = f"{space}_{name}" if self.of_features and space != "inception" else name
        return f"{VALIDATION}{name}" if self.compares and validation else name

    def shown_in(self, space: str) -> dict[str, Shown]:
        """`shown`, by full name, in a space of features."""
        found = {}
        for validation in (False, True) if self.compares else (False,):
            for name, shown in self.shown.items():
                words = f"{shown.words}, {space} features" if self.of_features and space != "inception" else shown.words
                words = f"{words}, validation" if validation else words
                found[self.full_name(name, space, validation=validation)] = shown._replace(words=words)
        return found

    def done(self, real: int, validation: int, fake: int) -> dict[str, Any]:
        """What the protocol of its numbers says of it: `conventions`, and what is `used` of so many examples.

        Args:
          real, validation, fake: examples of the set of `evaluate.split`, of the validation set, and samples.
        """
        if not self.compares:
            return self.conventions | self.used(validation, fake)
        of_validation = {f"{VALIDATION}{name}": count for name, count in self.used(validation, fake).items()}
        return self.conventions | self.used(real, fake) | of_validation

    def choosing(self, space: str) -> dict[str, int]:
        """The numbers by which a checkpoint may be chosen, none of the test set, and which way each is better."""
        shown = self.shown_in(space)
        fair = [name for name in shown if name.startswith(VALIDATION) or not self.compares]
        return {name: shown[name].better for name in fair if shown[name].better and not name.startswith("test_")}
