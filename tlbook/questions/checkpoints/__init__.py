"""Question 5: which checkpoint is good enough? (paper, section 3.5, Figure 7)"""

from pathlib import Path
from types import ModuleType

from tlbook.question import Question
from tlbook.questions.checkpoints.statements import CLAIMS


def _study() -> ModuleType:
    import tlbook.questions.checkpoints.study as study  # with it torch

    return study


QUESTION = Question(
    name="checkpoints",
    number="5",
    title="Checkpoints",
    notebook="05_checkpoints",
    folder=Path(__file__).parent,
    study=_study,
    claims=CLAIMS,
)
