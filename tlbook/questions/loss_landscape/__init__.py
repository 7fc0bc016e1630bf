"""Question 3: do fine-tuned models share a basin? (paper, section 3.3, Figures 4 and 16)"""

from pathlib import Path
from types import ModuleType

from tlbook.question import Question
from tlbook.questions.loss_landscape.statements import CLAIMS


def _study() -> ModuleType:
    import tlbook.questions.loss_landscape.study as study  # with it torch

    return study


QUESTION = Question(
    name="loss_landscape",
    number="3",
    title="Loss landscape",
    notebook="03_loss_landscape",
    folder=Path(__file__).parent,
    study=_study,
    claims=CLAIMS,
)
