"""Up to which layer? Transfer of some modules only, and probes. (our addition to question 4)"""

from pathlib import Path
from types import ModuleType

from tlbook.question import Question


def _study() -> ModuleType:
    import tlbook.questions.partial_transfer.study as study  # with it torch

    return study


QUESTION = Question(
    name="partial_transfer",
    number="4b",
    title="Partial transfer",
    notebook="04_criticality",
    folder=Path(__file__).parent,
    study=_study,
)
