"""Terms of the players' losses that are not gradient penalties: a file per term, a line per term in `TERMS`.

Each is a section `objective.NAME` of the configuration. Its parts are added, weighted, to the undivided losses.
"""

from typing import Any

from jaxgan.objectives.terms.auxiliary import AuxiliaryClassifier
from jaxgan.objectives.terms.centering import Centering
from jaxgan.objectives.terms.code import Code
from jaxgan.objectives.terms.consistency import Consistency
from jaxgan.objectives.terms.labelled import Labelled
from jaxgan.objectives.terms.latent import LatentConsistency
from jaxgan.objectives.terms.lecam import LeCam
from jaxgan.objectives.terms.matching import FeatureMatching
from jaxgan.objectives.terms.paired import Paired
from jaxgan.objectives.terms.protocol import DTermInputs, GTermInputs, Part, Term
from jaxgan.objectives.terms.regression import LatentRegression
from jaxgan.objectives.terms.transport import Transport

__all__ = ["TERMS", "DTermInputs", "GTermInputs", "Part", "Term"]

# The order is that in which parts are added up, and so part of every recorded run: append only.
TERMS: dict[str, type[Any]] = {  # of the form of `Term`
    "lecam": LeCam,
    "consistency": Consistency,
    "latent": LatentConsistency,
    "auxiliary": AuxiliaryClassifier,
    "paired": Paired,
    "regression": LatentRegression,
    "code": Code,
    "centering": Centering,
    "transport": Transport,
    "labelled": Labelled,
    "matching": FeatureMatching,
}
