"""Question 1's controls: is it the features, or only the size of the weights? (our addition)"""

from pathlib import Path
from types import ModuleType

from tlbook.question import Question


def _study() -> ModuleType:
    import tlbook.questions.controls.study as study  # with it torch

    return study


QUESTION = Question(
    name="controls",
    number="1b",
    title="Controls",
    notebook="01b_controls",
    folder=Path(__file__).parent,
    study=_study,
)
