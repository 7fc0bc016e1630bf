"""Is it this P? The paper's statements, asked again of other pre-trainings. (our addition)"""

from pathlib import Path
from types import ModuleType

from tlbook.question import Question


def _study() -> ModuleType:
    import tlbook.questions.another_p.study as study  # with it torch

    return study


QUESTION = Question(
    name="another_p",
    number="1d",
    title="Another P",
    notebook="01b_controls",
    folder=Path(__file__).parent,
    study=_study,
)
