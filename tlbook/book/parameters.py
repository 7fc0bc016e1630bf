"""What a notebook or a command may be given, validated before anything is trained.

`Parameters` is the one list of them: notebooks declare some in their ``parameters`` cell, as
``targets: list = []  # ...``, the command line makes options of them (`tlbook.cli`), and the panel of a live
notebook widgets (`tlbook.book.panel`). '', [] and 0 mean "as the scale says". Papermill's ``-p`` passes text,
so lists may also come as JSON ('["real", "xray"]') or as words with commas (real,xray). Every refusal is one
sentence.
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tlbook import scales, settings
from tlbook.book import records
from tlbook.errors import TlbookError
from tlbook.scales import FOLDER, LARGEST_SEED, PIXELS, Scale

UNSET = ("", None, 0, [], ())  # False == 0, but a flag is refused where a number is expected
OWN_SEEDS = 3  # on a reader's own images, unless asked for more
MODES = ("run", "records")
EXAMPLE = '["real", "xray"] or [0, 1, 2]'
WEIGHTS = (".safetensors", ".pth.tar", ".pth", ".pt")  # ours, and `tlbook.models.weights.OFFICIAL`


# One value of each parameter, in the forms that it comes in


def _scale(name: str, value: Any) -> str:
    """A scale's name; of a notebook that has run before, ``scale`` is the scale itself."""
    return scales.get(value.name if isinstance(value, Scale) else as_text(name, value)).name


def as_results(name: str, value: Any) -> str:
    if value not in MODES:
        raise TlbookError(f"{name} is {value!r}; choose 'run' (train what is missing) or 'records'.")
    return value


def _data(name: str, value: Any) -> str:
    text = as_text(name, value)
    if not text:
        return ""
    own = text.startswith(FOLDER)
    path = settings.absolute(text.removeprefix(FOLDER))
    if not path.is_dir():
        raise TlbookError(
            f"{name}: there is no folder {path}; give the folder that holds the data sets, "
            f"or {FOLDER}/path with one sub-folder of images per class."
        )
    return f"{FOLDER if own else ''}{path}"


def _records(name: str, value: Any) -> str:
    text = as_text(name, value)
    if text and not any(settings.absolute(text).glob("*/*/provenance.json")):
        raise TlbookError(
            f"{name}: {settings.absolute(text)} holds none; give a folder that `tlbook reproduce --record` "
            "has written."
        )
    return str(settings.absolute(text)) if text else ""


def _pretrained(name: str, value: Any) -> str:
    text = as_text(name, value)
    return (
        text if text in ("", "train", "shipped") else as_file(name, text, WEIGHTS, "'train', or '' for ours")
    )


def as_file(name: str, text: str, endings: tuple[str, ...], instead: str) -> str:
    """The absolute path of a file of weights that is there."""
    path = settings.absolute(text)
    if not path.name.endswith(endings):
        raise TlbookError(
            f"{name}: {text} is no file of weights ({', '.join(endings)}); give one, or {instead}."
        )
    if not path.is_file():
        raise TlbookError(f"{name}: there is no file {path}; give one of weights, or {instead}.")
    return str(path)


def as_text(name: str, value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str | Path):
        raise TlbookError(f"{name}: {value!r} is not text.")
    return str(value).strip()


def as_count(name: str, value: Any, least: int = 1) -> int | None:
    """A whole number of at least ``least``; None leaves it to the scale."""
    unset = not isinstance(value, bool) and (value in UNSET or value == "0")
    return None if unset else as_integer(name, value, least)


def as_integer(name: str, value: Any, least: int = 0) -> int:
    """A whole number of at least ``least``, also as text; flags, fractions and huge ones are refused."""
    try:
        number = int(value) if isinstance(value, str) else value
    except ValueError:
        number = None
    if isinstance(number, bool) or not isinstance(number, int) or number < least:
        raise TlbookError(f"{name}: {value!r} is not a whole number of at least {least}.")
    if number > LARGEST_SEED:
        raise TlbookError(f"{name}: {number} is too large; at most {LARGEST_SEED}.")
    return number


def as_number(name: str, value: Any) -> float:
    """A finite number, also as text (YAML reads 1e-3 as text)."""
    try:
        number = float("nan") if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not -float("inf") < number < float("inf"):
        raise TlbookError(f"{name}: {value!r} is not a number.")
    return number


def _rates(name: str, value: Any) -> tuple[float, ...]:
    rates = tuple(as_number(name, item) for item in _items(name, value))
    if rates and not (len(rates) == 2 and 0 < rates[0] < rates[1]):
        raise TlbookError(f"{name}: {list(rates)} must be two positive numbers, the low rate first.")
    return rates


def _block_size(name: str, value: Any) -> str | int:
    return value if value == PIXELS else as_integer(name, value, 1)


def _checkpoint(name: str, value: Any) -> int | str:
    """An epoch, also as text, or the absolute path of a .safetensors file that is there."""
    if isinstance(value, str | Path) and not str(value).strip().lstrip("+-").isdigit():
        return as_file(name, str(value), WEIGHTS[:1], "an epoch of pre-training")
    return as_integer(name, value)


def several(one: Callable[[str, Any], Any]) -> Callable[[str, Any], tuple]:
    """Reads a list of different values, each of which ``one`` reads."""
    return lambda name, value: _distinct(name, tuple(one(name, item) for item in _items(name, value)))


def _items(name: str, value: Any) -> list:
    """A list from a list, a single value, JSON text, or words with commas."""
    if isinstance(value, str) and value.strip().startswith("["):
        try:
            value = json.loads(value)
        except json.JSONDecodeError:
            raise TlbookError(f"{name}: {value!r} is not a JSON list, such as {EXAMPLE}.") from None
    if isinstance(value, str):
        return [word.strip() for word in value.split(",") if word.strip()]
    if isinstance(value, list | tuple):
        return list(value)
    if value is None:
        return []
    if isinstance(value, dict | set | bool):
        raise TlbookError(f"{name} is {value!r}; give a list, such as {EXAMPLE}.")
    return [value]


# All parameters


def parameter(read: Callable[[str, Any], Any], about: str, default: Any = "", **more: Any) -> Any:
    """A field with how it is read and what it means; ``more`` may be its ``option`` on the command line,
    where that is not its name, and ``choices``, the values that it may have at a scale."""
    return dataclasses.field(default=default, metadata={"read": read, "about": about, **more})


def _whole(about: str, least: int = 1) -> Any:
    return parameter(functools.partial(as_count, least=least), about, None)


@dataclass(frozen=True)
class Parameters:
    """Validated parameters. ``targets`` and ``seeds`` are filled in (own images: the first
    three seeds); ``apply`` gives the scale to study."""

    scale: str = parameter(
        _scale, f"One of {', '.join(scales.SCALES)}.", "smoke", choices=lambda _: scales.SCALES
    )
    results: str = parameter(
        as_results, "Train what is missing, or show what was recorded.", "run", choices=lambda _: MODES
    )
    data: str = parameter(_data, "Folder of the real images, or folder:/path for one target.")
    pretrained: str = parameter(
        _pretrained, "'train', 'shipped', or a file: .safetensors, or the official code's .pth.tar."
    )
    targets: tuple[str, ...] = parameter(
        several(as_text), "A role.", (), option="target", choices=lambda scale: scale.targets
    )
    seeds: tuple[int, ...] = parameter(several(as_integer), "A seed.", (), option="seed")
    block_sizes: tuple[str | int, ...] = parameter(
        several(_block_size), "'*' or pixels that divide the side, which is always added.", (),
        option="block-size", choices=lambda scale: scales.valid_block_sizes(scale.side),
    )  # fmt: skip
    points: int | None = _whole("Places on the line between two models, both ends included.", least=3)
    epochs: int | None = _whole("Epochs of every run on a target, shuffled ones included.")
    rates: tuple[float, ...] = parameter(_rates, "Two raw learning rates, low and high.", (), option="rate")
    images: int | None = _whole("At most so many training images of a target.")
    test_images: int | None = _whole("At most so many test images of every set, the source too.")
    source_images: int | None = _whole("At most so many training images of the source.")
    source_epochs: int | None = _whole("Epochs of pre-training.")
    workers: int | None = _whole("Processes that train side by side; 0: one a core or GPU.")
    checkpoints: tuple[int | str, ...] = parameter(
        several(_checkpoint), "Epochs of pre-training, or .safetensors files.", (), option="checkpoint"
    )
    records: str = parameter(_records, "A folder that `tlbook reproduce --record` has written.")

    def __post_init__(self) -> None:
        for field in FIELDS.values():
            value = field.metadata["read"](field.name, getattr(self, field.name))
            object.__setattr__(self, field.name, value)
        named = scales.get(self.scale)
        for role in self.targets:
            if role not in named.targets:
                raise TlbookError(f"targets: there is no role {role!r}; choose from {_words(named.targets)}.")
        sizes = scales.valid_block_sizes(named.side)
        undivided = f"does not divide the side, {named.side} px at scale {self.scale!r}"
        for size in self.block_sizes:
            if size not in sizes:
                raise TlbookError(f"block_sizes: {size} {undivided}; choose from {_words(sizes)}.")
        if self.data.startswith(FOLDER) and len(self.targets) != 1:
            raise TlbookError(
                f"data={self.data!r} is one target's images: name in targets the one that it stands for."
            )
        if self.data.startswith(FOLDER):
            refuse_unlike_classes(Path(self.data.removeprefix(FOLDER)))
        if self.root:
            named.refuse_unread(self.data)
        _refuse_checkpoints(self.checkpoints, self.scale, self.source_epochs or named.source.epochs)
        if self.results == "records" and self.changes:
            raise TlbookError(
                f"results='records' shows what was recorded, so {_words(self.changes)} cannot be given with "
                f"it; leave it out, or set results='run'."
            )
        object.__setattr__(self, "targets", self.targets or named.targets)
        usual = named.seeds[:OWN_SEEDS] if self.data.startswith(FOLDER) else named.seeds
        object.__setattr__(self, "seeds", self.seeds or usual)

    @property
    def changes(self) -> tuple[str, ...]:
        """The given parameters that make another scale value, so that no record fits it."""
        alike = ("scale", "results", "data", "targets", "seeds", "workers", "records")
        names = tuple(name for name in NAMES if name not in alike and getattr(self, name))
        return (*(["data"] if self.data.startswith(FOLDER) else []), *names)

    @property
    def root(self) -> Path | None:
        """The folder that holds the data sets, where one was given; None leaves it to TLBOOK_DATA."""
        return Path(self.data) if self.data and not self.data.startswith(FOLDER) else None

    @property
    def records_folder(self) -> Path:
        """Where a page of all questions reads records."""
        return Path(self.records) if self.records else records.FOLDER

    def apply(self) -> Scale:
        """The named scale with what was given; the scale itself if nothing changes it."""
        named = scales.get(self.scale)
        changes: dict[str, Any] = {
            "pretrained": self.pretrained,
            "epochs": self.epochs,
            "rates": dict(zip(scales.RATES, self.rates, strict=False)),
            "every_target": _given(train=self.images, test=self.test_images),
            "source": _given(train=self.source_images, test=self.test_images, epochs=self.source_epochs),
        }
        if self.block_sizes:
            changes["shuffles"] = {"sizes": _ordered(self.block_sizes, named.side)}
        if self.points:
            changes["landscape"] = {"points": dict.fromkeys(named.targets, self.points)}
        if self.source_epochs:
            starts = {epoch for epoch in named.checkpoints.starts if epoch < self.source_epochs}
            constant = min(named.constant_epochs, self.source_epochs)
            changes["constant_epochs"] = constant
            changes["checkpoints"] = {
                "starts": tuple(sorted({*starts, self.source_epochs})),
                "constant_starts": tuple(e for e in named.checkpoints.constant_starts if e <= constant),
            }
        if self.checkpoints:
            ordered = tuple(sorted(self.checkpoints, key=scales.epoch_of))
            changes["checkpoints"] = {
                "starts": ordered,
                "constant_starts": (),
            }  # spares a second pre-training
            if isinstance(ordered[-1], str):
                changes["pretrained"] = self.pretrained or ordered[-1]  # the last file is P
        if self.data.startswith(FOLDER):
            changes["datasets"] = {self.targets[0]: self.data}
        changes = _given(**changes)
        return named.replace(**changes) if changes else named


def _given(**values: Any) -> dict[str, Any]:
    """What is not left to the scale."""
    return {name: value for name, value in values.items() if value}


FIELDS = {field.name: field for field in dataclasses.fields(Parameters)}
NAMES = tuple(FIELDS)


# Values that must fit together


def _refuse_checkpoints(checkpoints: tuple[int | str, ...], scale: str, last: int) -> None:
    """Refuse epochs that pre-training at a scale does not have, files without an epoch, and a mixture."""
    epochs = [entry for entry in checkpoints if isinstance(entry, int)]
    if epochs and max(epochs) > last:
        raise TlbookError(
            f"checkpoints: there is no epoch {max(epochs)} of pre-training at scale {scale!r}; "
            f"choose from 0 to {last}."
        )
    if any(epochs) and len(epochs) < len(checkpoints):
        raise TlbookError(
            "checkpoints: give epochs of P or files of your own, not both (0 may stand beside)."
        )
    _distinct("checkpoints", tuple(map(scales.epoch_of, checkpoints)))


def refuse_unlike_classes(path: Path) -> None:
    """Refuse a folder that is not laid out as class folders, before a network is built for it."""
    from tlbook.data import folders  # with it torch, which training needs and pages of records do not

    def refusal(folder: Path) -> TlbookError | None:
        try:
            folders.class_folders(folder, f"{FOLDER}{folder}", strict=True)
        except TlbookError as error:
            return error
        return None

    if error := refusal(path):
        below = [inner for inner in map(path.joinpath, folders.folders(path)) if not refusal(inner)]
        raise TlbookError(f"data: {path} is one level too high; give {below[0]}.") if below else error


def _distinct(name: str, items: tuple) -> tuple:
    for item in items:
        if items.count(item) > 1:
            raise TlbookError(f"{name}: {item} is given twice.")
    return items


def _ordered(sizes: tuple, side: int) -> tuple:
    """'*' first, then by size, and always the side itself: the unshuffled run that drops are relative to."""
    numbers = sorted({size for size in sizes if size != PIXELS} | {side})
    return (*([PIXELS] if PIXELS in sizes else []), *numbers)


def _words(items) -> str:
    return ", ".join(str(item) for item in items)


# What a notebook was given


def read(scope: Mapping[str, Any], kind: type = Parameters) -> Any:
    """Validate the parameters in ``scope``: a notebook's ``globals()``, or a mapping of names to values.

    ``kind`` is what they are validated as, a dataclass of fields that `parameter` makes.

    Of a notebook, the names are taken that its parameters cell declares, and what Papermill injected must be
    among them. In a mapping every name counts. TlbookError says in one sentence what is wrong.
    """
    known = [field.name for field in dataclasses.fields(kind)]
    if "In" in scope and "get_ipython" in scope:
        scope = {name: scope[name] for name in declared(map(str, scope["In"]), known) if name in scope}
    _refuse_unknown(scope, known)
    return kind(**scope)


def declared(cells: Sequence[str], known: Sequence[str] = NAMES) -> list[str]:
    """What a notebook's parameters cell declares, as it was run last, given the cells that were run.

    Refused: a name there that is no parameter, and what Papermill injected (a name as it stands, so that it
    may be code) and the cell does not declare: Papermill only warns, and the notebook would run without it.
    """
    names, injected = [], None
    for cell in cells:
        if cell.startswith("# Parameters\n"):
            injected = cell
        elif any(isinstance(line, ast.AnnAssign) and _target(line) in known for line in _lines(cell)):
            names = assigned(cell)
    _refuse_unknown(names, known)
    if injected is not None:
        _refuse_unknown([_target(line) or ast.unparse(line) for line in _lines(injected)], names)
    return names


def assigned(source: str) -> list[str]:
    """Names that a cell assigns at its top level, [] where it is not plain Python."""
    return [name for line in _lines(source) if (name := _target(line))]


def _lines(source: str) -> list[ast.stmt]:
    try:
        return ast.parse(source).body
    except SyntaxError:
        return []


def _target(line: ast.stmt) -> str:
    """The name that a statement assigns, '' if it does not assign just one."""
    target = line.target if isinstance(line, ast.AnnAssign) else None
    if isinstance(line, ast.Assign) and len(line.targets) == 1:
        target = line.targets[0]
    return target.id if isinstance(target, ast.Name) else ""


def _refuse_unknown(names, known) -> None:
    unknown = [name for name in names if name not in known]
    if unknown:
        near = difflib.get_close_matches(unknown[0], known, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        there_are = f"there are {_words(known)}" if known else "there are none"
        raise TlbookError(f"There is no parameter {unknown[0]!r} here; {there_are}.{hint}")
