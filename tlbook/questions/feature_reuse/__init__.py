"""Question 1: what is the role of feature reuse? (paper, section 3.1, Figures 2 and 3)"""

from pathlib import Path
from types import ModuleType

from tlbook.question import Question
from tlbook.questions.feature_reuse.statements import CLAIMS


def _study() -> ModuleType:
    import tlbook.questions.feature_reuse.study as study  # with it torch

    return study


QUESTION = Question(
    name="feature_reuse",
    number="1",
    title="Feature reuse",
    notebook="01_feature_reuse",
    folder=Path(__file__).parent,
    study=_study,
    claims=CLAIMS,
)
