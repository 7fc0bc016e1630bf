"""Records: what a scale's runs found, as sorted CSV tables with their provenance, read without torch.

``<folder>/<scale>/<question>/<table>.csv`` and ``provenance.json``; the default folder is the book's own. A
question is written aside, synced to disk and renamed into place under a lock; what was cut off in between is
put right before the next read or write, so that at every moment the old records or the new ones are there.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from filelock import FileLock

from tlbook import questions, scales, tables
from tlbook.code_state import REPOSITORY
from tlbook.errors import TlbookError
from tlbook.tables import Table

FOLDER = REPOSITORY / "book" / "records"
PILOT = FOLDER / "pilot"  # seeds 0 to 2, which judge nothing; a page shows of them what FOLDER lacks
AGREE = ("seeds", "as_it_stands", "measuring_digest", "protocol", "pretrained_sha256", "versions")
SAME = 1e-3  # relative and absolute: numbers of the same weights, measured on two machines
LISTS, TEXTS, NUMBERS = ("targets", "seeds", "device"), ("commit", "date"), ("runs", "training_seconds")


def folder(scale: str, question: str, root: Path = FOLDER) -> Path:
    """Where a question's records of a scale lie."""
    return Path(root) / scale / question


def recorded(question: str, table: str | None = None, root: Path = FOLDER) -> list[str]:
    """The scales that have records of a question (or of one table of it), the highest first."""
    wanted = f"{table}.csv" if table else "provenance.json"
    return [scale for scale in reversed(scales.SCALES) if (_whole(scale, question, root) / wanted).exists()]


def home(scale: str, question: str) -> Path:
    """Where the book's records of a question lie: in `FOLDER`, or in `PILOT` where only the pilot has any."""
    judged, before = (scale in recorded(question, root=root) for root in (FOLDER, PILOT))
    return PILOT if before and not judged else FOLDER


def in_book(question: str) -> list[str]:
    """The scales at which the book has records of a question, the pilot's included, the highest first."""
    return [s for s in reversed(scales.SCALES) if s in recorded(question, root=home(s, question))]


def load(scale: str, question: str, table: str, root: Path = FOLDER) -> pd.DataFrame:
    """One recorded table, checked against `tlbook.tables`. Raises TlbookError where it is not recorded."""
    known = questions.get(question).table(table)
    path = _whole(scale, question, root) / f"{table}.csv"
    if not path.exists():
        raise TlbookError(f"The table {table} of question {question} is not recorded at scale {scale} yet.")
    digests = _noted(path.parent).get("tables", {})
    if digests.get(table, _digest(path)) != _digest(path):
        raise TlbookError(f"The record {path} is not what was written: it was changed, or is not whole.")
    try:
        frame = pd.read_csv(path, dtype=known.dtypes, keep_default_na=False, na_values=["nan"])
    except ValueError as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise TlbookError(f"The record {path} is not the table {table} ({reason}).") from error
    return tables.check(known, frame)


def load_all(scale: str, question: str, root: Path = FOLDER) -> dict[str, pd.DataFrame]:
    """Every recorded table of a question at a scale, by name."""
    names = [
        n for n in questions.get(question).tables if (folder(scale, question, root) / f"{n}.csv").exists()
    ]
    if not names:
        raise TlbookError(f"Question {question} is not recorded at scale {scale} yet.")
    return {name: load(scale, question, name, root) for name in names}


def load_scale(scale: str, root: Path = FOLDER) -> dict[str, pd.DataFrame]:
    """Every recorded table of every question at a scale, by name; refused where there is none."""
    refuse_mixture(scale, root)
    found = {}
    for question in questions.every():
        if scale in recorded(question, root=root):
            found |= load_all(scale, question, root)
    if not found:
        how = f"tlbook reproduce --scale {scale} --record book"
        raise TlbookError(f"Scale {scale} has no records in {root}; `{how}` makes them.")
    return found


def refuse_mixture(scale: str, root: Path = FOLDER) -> None:
    """Raise TlbookError if the questions of a scale were recorded by different rules or from different P:
    claims of one question read tables of another."""
    for name in ("protocol", "pretrained_sha256"):
        found = {}
        for question in questions.every():
            if scale in recorded(question, root=root):
                found.setdefault(provenance(scale, question, root).get(name), []).append(question)
        found.pop(None, None)  # a record that does not say it
        if len(found) > 1:
            one, other = (", ".join(questions) for questions in list(found.values())[:2])
            raise TlbookError(
                f"The records of scale {scale} in {root} do not belong together: {one} and {other} differ in "
                f"their {name}, so record them again from one commit."
            )


def provenance(scale: str, question: str, root: Path = FOLDER) -> dict:
    """How a question's records were made: commit, device, runs, digests, wall time. Refused in one sentence
    where there is none, or where it is not what `write` wrote."""
    there = _whole(scale, question, root)
    if not (there / "provenance.json").exists():
        raise TlbookError(f"Question {question} is not recorded at scale {scale} yet.")
    return _noted(there)


def _noted(there: Path) -> dict:
    """The provenance in a folder of records, its kinds of values checked; empty where there is none."""
    path = there / "provenance.json"
    if not path.exists():
        return {}
    try:
        made = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        made = None
    kinds = dict.fromkeys(LISTS, list) | dict.fromkeys(TEXTS, str) | dict.fromkeys(NUMBERS, int | float)
    if not isinstance(made, dict) or any(
        name in made and (not isinstance(made[name], kind) or isinstance(made[name], bool))
        for name, kind in (kinds | {"tables": dict, "specs": dict}).items()
    ):
        raise TlbookError(f"The provenance {path} is damaged: it is not what was written with the records.")
    return made


def refuse_loss(scale: str, question: str, made: Mapping, root: Path = FOLDER) -> list[str]:
    """The recorded targets that ``made`` does not name, which `add` would keep.

    Raises TlbookError where they cannot stand beside it, being made by other code, seeds, P or libraries.
    ``made`` may be a provenance whose end is not known yet: what it does not name is not compared.
    """
    if scale not in recorded(question, root=root):
        return []
    before = provenance(scale, question, root)
    kept = [target for target in before.get("targets", []) if target not in made["targets"]]
    unlike = [name for name in AGREE if name in made and before.get(name) != made[name]]
    if kept and unlike:
        raise TlbookError(
            f"The records of {question} at scale {scale} hold {', '.join(kept)} too, with another "
            f"{', '.join(unlike)}: name these targets as well, or record into another folder than {root}."
        )
    return kept


def add(
    scale: str, question: str, found: Mapping[str, pd.DataFrame], made: Mapping, root: Path = FOLDER
) -> Path:
    """Record some targets of a question and keep the others that are recorded (see `refuse_loss`).

    Of several processes that add at once each waits for the one before, and none loses what another wrote.
    """
    with _lock(root):
        return _add(scale, question, found, made, root)


def _add(scale: str, question: str, found: Mapping[str, pd.DataFrame], made: Mapping, root: Path) -> Path:
    kept = refuse_loss(scale, question, made, root)
    if kept:
        before, known = load_all(scale, question, root), questions.get(question)
        found = {
            name: _joined(known.table(name), before.get(name), found.get(name), kept)
            for name in before | found
        }
        made = _made_by_both(provenance(scale, question, root), made)
    return _write(scale, question, found, made, root)


def _joined(
    table: Table, before: pd.DataFrame | None, new: pd.DataFrame | None, kept: list[str]
) -> pd.DataFrame:
    """The rows of kept targets and the new ones; what belongs to no target must be the same in both."""
    if before is None or new is None:
        return new if before is None else before[before.role.isin(kept)]
    ours, theirs = (tables.in_order(table, _of_no_target(frame)) for frame in (new, before))
    try:
        how = {"check_dtype": False, "check_names": False, "check_column_type": False}
        pd.testing.assert_frame_equal(ours, theirs, rtol=SAME, atol=SAME, **how)
    except AssertionError:
        raise TlbookError(
            f"The rows of table {table.name} that belong to no target are not the recorded ones, so "
            f"{', '.join(kept)} cannot stay beside them: name these targets as well, or record elsewhere."
        ) from None
    return pd.concat([before[before.role.isin(kept)], new]) if "role" in new else new


def _of_no_target(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame.role == scales.SOURCE] if "role" in frame else frame


def _made_by_both(before: Mapping, made: Mapping) -> dict:
    """One provenance of records that were made in two parts; commit and date are those of the last."""
    specs = before["specs"] | made["specs"]
    return {
        **made,
        "targets": [role for role in scales.TARGETS if role in {*before["targets"], *made["targets"]}],
        "clean": made["clean"] if before["clean"] else before["clean"],
        "device": sorted({*before["device"], *made["device"]}),
        "images": before["images"] | made["images"],
        "specs": specs,
        **totals(specs),
    }


def totals(specs: Mapping[str, Mapping]) -> dict:
    """Number of runs, by which code they were trained (its training digest), their training time and
    image-passes, of the specs that a provenance lists."""
    return {
        "runs": len(specs),
        "runs_by_code": dict(Counter(spec.get("code", "not noted") for spec in specs.values())),
        "training_seconds": round(sum(spec["seconds"] for spec in specs.values()), 1),
        "image_passes": sum(spec["passes"] for spec in specs.values()),
    }


def write(
    scale: str, question: str, found: Mapping[str, pd.DataFrame], made: Mapping, root: Path = FOLDER
) -> Path:
    """Write a question's tables and provenance, all or none; earlier records of it are replaced whole."""
    with _lock(root):
        return _write(scale, question, found, made, root)


def _write(scale: str, question: str, found: Mapping[str, pd.DataFrame], made: Mapping, root: Path) -> Path:
    known = questions.get(question).tables
    if foreign := sorted(set(found) - set(known)):
        raise TlbookError(f"Question {question} has no table {foreign[0]!r}; it has {', '.join(known)}.")
    final, new = folder(scale, question, root), _aside(scale, question, root, "new")
    _recover(scale, question, root)
    new.mkdir(parents=True)
    try:
        for name, frame in found.items():
            in_order = tables.in_order(known[name], tables.check(known[name], frame))
            in_order.to_csv(new / f"{name}.csv", index=False, float_format="%.6g", na_rep="nan")
        digests = {name: _digest(new / f"{name}.csv") for name in found}
        text = json.dumps({**made, "tables": digests}, indent=1) + "\n"
        (new / "provenance.json").write_text(text, encoding="utf-8")  # last: with it, the folder is whole
        _sync(*new.iterdir(), new)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    _recover(scale, question, root)
    return final


def _aside(scale: str, question: str, root: Path, name: str) -> Path:
    return folder(scale, question, root).with_name(f".{question}.{name}")


def _lock(root: Path) -> FileLock:
    Path(root).mkdir(parents=True, exist_ok=True)
    return FileLock(Path(root) / ".lock", is_singleton=True)  # who holds it may read, which asks for it too


def _whole(scale: str, question: str, root: Path) -> Path:
    """The folder of a question's records, after a `write` that was cut off has been put right."""
    if any(_aside(scale, question, root, name).exists() for name in ("new", "old")):
        try:
            with _lock(root):
                _recover(scale, question, root)
        except OSError:  # a folder that cannot be written is read as it is
            pass
    return folder(scale, question, root)


def _recover(scale: str, question: str, root: Path) -> None:
    """End a `_write` from wherever it stands: a whole new folder takes the place of the old one, which goes
    only then; half of one goes."""
    final = folder(scale, question, root)
    new, old = (_aside(scale, question, root, name) for name in ("new", "old"))
    if (new / "provenance.json").exists():
        if final.exists():
            shutil.rmtree(old, ignore_errors=True)
            final.rename(old)
        new.rename(final)
    elif not final.exists() and old.exists():
        old.rename(final)
    if new.exists() or old.exists():
        _sync(final.parent)
        shutil.rmtree(new, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _sync(*paths: Path) -> None:
    """Wait until files and folders are on the disk."""
    for path in paths:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _digest(path: Path) -> str:
    """SHA-256 of a text file, whichever way its lines end."""
    return hashlib.sha256(path.read_bytes().replace(b"\r\n", b"\n")).hexdigest()


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
