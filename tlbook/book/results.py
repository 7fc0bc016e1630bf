"""A question's tables for a page: read from the records, or made by running the study."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import pandas as pd

from tlbook import code_state, scales, tables
from tlbook.book import records
from tlbook.errors import TlbookError
from tlbook.evidence import confirmation
from tlbook.question import Question
from tlbook.questions import feature_reuse
from tlbook.scales import Scale

BESIDE = feature_reuse.QUESTION  # whose tables claims of the others read too
READ_BESIDE = ("learning_curves", "domains")
LIBRARIES = ("torch", "numpy", "pandas", "scipy", "scikit-learn")  # noted with every result


@dataclass(frozen=True)
class Results:
    """Tables of one question, and how they were made (for the badge under a figure)."""

    question: Question
    scale: str
    judged: bool
    tables: dict[str, pd.DataFrame]
    provenance: dict
    recorded: bool = False
    beside: dict[str, pd.DataFrame] = field(default_factory=dict)  # of question 1, which its claims read too
    root: Path = records.FOLDER  # of the records that it was read from
    pilot: Results | None = None  # the pilot's, beside records of other seeds

    @property
    def roles(self) -> list[str]:
        """The targets that it covers, in the book's order."""
        return [role for role in scales.TARGETS if role in self.provenance["targets"]]

    @property
    def own_images(self) -> dict[str, str]:
        """Role -> folder, where a reader's own images stand for a target."""
        return self.provenance.get("own_images", {})

    def having(self, names: Iterable[str]) -> Results:
        """This result if it has these tables, or the pilot's if only that has them."""
        lacks = not set(names) <= set(self.tables)
        return self.pilot if lacks and self.pilot and set(names) <= set(self.pilot.tables) else self


def run(
    question: Question,
    scale: Scale,
    targets: Sequence[str] = (),
    seeds: Sequence[int] = (),
    commit: str = "",
    **how,
) -> Results:
    """Run a study, training what is missing; ``how`` goes to `executors.ensure_all` (workers, retrain, show).

    ``commit`` names the code where git cannot tell.
    """
    started = time.monotonic()
    targets, seeds = tuple(targets or scale.targets), tuple(seeds or scale.seeds)
    refuse_missing(scale, targets)
    module = question.study()
    code = code_state.current(commit, question.name)  # before hours of training, in which it may be edited
    measured = module.tables(scale, targets, seeds, **how)
    found = {name: tables.in_order(question.table(name), frame) for name, frame in measured.items()}
    specs = module.runs(scale, targets, seeds)
    if code_state.current(commit, question.name)["package_digest"] != code["package_digest"]:
        code["clean"] = False
    as_it_stands = scale == scales.SCALES.get(scale.name)
    made = {
        "scale": scale.name,
        "question": question.name,
        "targets": list(targets),
        "seeds": list(seeds),
        "as_it_stands": as_it_stands,
        **({"own_images": scale.own_images} if scale.own_images else {}),
        **code,
        **confirmation.commits(question.name, code["measuring_digest"]),
        **_made_by(scale, specs),
        "seconds_of_this_call": round(time.monotonic() - started, 1),
        "date": records.now(),
    }
    # The paper's claims are about its own setting: another number of epochs or images judges nothing.
    result = Results(question, scale.name, scale.judged and as_it_stands, found, made)
    return with_curves(result, scale)


def refuse_missing(scale: Scale, targets: Sequence[str]) -> None:
    """Raise TlbookError, before anything is planned, where images to train on are not here (of the targets,
    and of the source where P is trained); it says where they are, if the folder is one level too high."""
    from tlbook.data import MissingData, layouts

    for role in ((scales.SOURCE,) if scale.pretrained == "train" else ()) + tuple(targets):
        dataset = scale.datasets[role]
        try:
            if not dataset.startswith(scales.EMBEDDED):
                layouts.listing(dataset)
        except MissingData as error:
            instead = "without it, results=records shows on a page what was recorded"
            if folder := _one_level_down(dataset):
                instead = f"TLBOOK_DATA or data is one level too high, give {folder}"
            raise TlbookError(f"{str(error).rstrip('.')}; {instead}.") from None


def _one_level_down(dataset: str) -> Path | None:
    """The folder in the data root that would be the right root for a data set, if there is one."""
    from tlbook.data import MissingData, folders, layouts

    root = folders.data_root()
    try:
        for folder in sorted(root.iterdir()) if root and root.is_dir() else ():
            os.environ["TLBOOK_DATA"] = str(folder)
            with contextlib.suppress(MissingData):
                layouts.listing(dataset)
                return folder
    finally:
        if root:
            os.environ["TLBOOK_DATA"] = str(root)
    return None


def recorded(question: Question, scale: str) -> Results:
    """A question's records at a scale, with the pilot's beside them; refused in one sentence where there are
    none."""
    root = records.home(scale, question.name)
    own = _recorded(question, scale, root)
    both = root != records.PILOT and scale in records.recorded(question.name, root=records.PILOT)
    return dataclasses.replace(own, pilot=_recorded(question, scale, records.PILOT)) if both else own


def _recorded(question: Question, scale: str, root: Path) -> Results:
    found, made = (read(scale, question.name, root) for read in (records.load_all, records.provenance))
    return with_curves(Results(question, scale, scales.get(scale).judged, found, made, True, root=root))


def with_curves(result: Results, scale: Scale | None = None) -> Results:
    """The result with the tables of question 1 that its claims read ``beside`` its own, as far as they exist.

    Recorded results get recorded ones. A result of this build (``scale`` is what it ran at) gets the learning
    curves of the runs that are finished, and `domains`: nothing is trained for them.
    """
    if result.question == BESIDE:
        return result
    targets = result.provenance["targets"]
    if result.recorded:
        root = result.root
        records.refuse_mixture(result.scale, root)
        there = [name for name in READ_BESIDE if result.scale in records.recorded(BESIDE.name, name, root)]
        found = {name: records.load(result.scale, BESIDE.name, name, root) for name in there}
    else:
        from tlbook.questions import grid

        first = BESIDE.study()
        found = {
            "learning_curves": first.finished_curves(scale, targets, result.provenance["seeds"]),
            "domains": grid.domains(scale, targets),
        }
    return dataclasses.replace(result, beside={n: _of_roles(frame, targets) for n, frame in found.items()})


def only(result: Results, targets: Sequence[str]) -> Results:
    """A result cut to some roles (all that it has, if none are named); none of them recorded is refused."""
    if not targets:
        return result
    roles = [role for role in result.roles if role in targets]
    if not roles:
        there = f"only {', '.join(result.roles)} at scale {result.scale}"
        raise TlbookError(
            f"Question {result.question.name} is not recorded for {', '.join(targets)}, {there}."
        )
    tables, beside = (
        {name: _of_roles(frame, roles) for name, frame in found.items()}
        for found in (result.tables, result.beside)
    )
    made, pilot = result.provenance | {"targets": roles}, result.pilot
    pilot = only(pilot, roles) if pilot and {*roles} & {*pilot.roles} else None
    return dataclasses.replace(result, tables=tables, beside=beside, provenance=made, pilot=pilot)


def _of_roles(frame: pd.DataFrame, roles: Sequence[str]) -> pd.DataFrame:
    """The rows of these roles and of the source; all of a table without roles."""
    return frame[frame.role.isin([*roles, scales.SOURCE])] if "role" in frame else frame


def for_page(
    question: Question, mode: str, scale: Scale, targets: Sequence[str] = (), seeds: Sequence[int] = (), **how
) -> dict[str, Results]:
    """Label -> Results in the order of a page's tabs: recorded scales, the highest first, then this build.

    In mode "records" it is the scale's own records alone, or, where the question is not recorded at it, those
    that there are; refused where they are of none of the targets. In mode "run" such records are passed over,
    and all of them where the reader's own images stand for a target.
    """
    there = records.in_book(question.name)
    names = [scale.name] if mode == "records" and scale.name in there else there
    names = [] if scale.own_images else names
    there = {f"recorded at scale {name}": recorded(question, name) for name in names}
    covers = {n: r for n, r in there.items() if mode == "records" or not targets or {*targets} & {*r.roles}}
    found = {name: only(result, targets) for name, result in covers.items()}
    if mode == "run":
        whose = "your images" if scale.own_images else "this build"
        found[f"{whose}, scale {scale.name}"] = run(question, scale, targets, seeds, **how)
    return found


def _made_by(scale: Scale, specs: Sequence) -> dict:
    """Device, versions, wall time and specs of the runs behind a result, and the digest of P."""
    from tlbook import models
    from tlbook.questions import grid
    from tlbook.training import runs
    from tlbook.training.specs import PROTOCOL

    ends = {spec.id: runs.find(spec.id).complete for spec in specs}
    made = {
        spec.id: {
            "label": spec.label,
            "seconds": ends[spec.id]["seconds"],
            "passes": round(spec.passes),
            "code": ends[spec.id].get("code", "not noted"),
        }
        for spec in specs
    }
    p = grid.pretrained(scale)
    return {
        "protocol": PROTOCOL,
        "pretrained": str(p),
        "pretrained_sha256": models.sha256(runs.weights_path(p)),
        "versions": {name: version(name) for name in LIBRARIES},
        "device": sorted({f"{end['device']}, torch {end['torch']}" for end in ends.values()}),
        **records.totals(made),
        "images": {
            spec.role: {"training": spec.digest, "dev and test": spec.evaluated}
            for spec in sorted(specs, key=lambda spec: spec.examples)  # of several sets of a role the largest
        },
        "specs": made,
    }
