"""Question 4: which modules are critical? (paper, section 3.4, Figures 5 and 6)"""

from pathlib import Path
from types import ModuleType

from tlbook.question import Question
from tlbook.questions.criticality.statements import CLAIMS


def _study() -> ModuleType:
    import tlbook.questions.criticality.study as study  # with it torch

    return study


QUESTION = Question(
    name="criticality",
    number="4",
    title="Criticality",
    notebook="04_criticality",
    folder=Path(__file__).parent,
    study=_study,
    claims=CLAIMS,
)
