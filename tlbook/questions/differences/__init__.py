"""Question 2: how do P-T and RI-T differ? (paper, section 3.2, Tables 1 and 2)"""

from pathlib import Path
from types import ModuleType

from tlbook.question import Question
from tlbook.questions.differences.statements import CLAIMS


def _study() -> ModuleType:
    import tlbook.questions.differences.study as study  # with it torch

    return study


QUESTION = Question(
    name="differences",
    number="2",
    title="Differences",
    notebook="02_differences",
    folder=Path(__file__).parent,
    study=_study,
    claims=CLAIMS,
)
