"""Statistics without shapes: what does a P of shuffled images give? (our addition to question 1)"""

from pathlib import Path
from types import ModuleType

from tlbook.question import Question


def _study() -> ModuleType:
    import tlbook.questions.shuffled_p.study as study  # with it torch

    return study


QUESTION = Question(
    name="shuffled_p",
    number="1c",
    title="A P of shuffled images",
    notebook="01b_controls",
    folder=Path(__file__).parent,
    study=_study,
)
