"""When are two runs tied? Share the first steps, then part. (our addition to question 3)"""

from pathlib import Path
from types import ModuleType

from tlbook.question import Question


def _study() -> ModuleType:
    import tlbook.questions.parting.study as study  # with it torch

    return study


QUESTION = Question(
    name="parting",
    number="3b",
    title="Runs that part",
    notebook="03_loss_landscape",
    folder=Path(__file__).parent,
    study=_study,
)
