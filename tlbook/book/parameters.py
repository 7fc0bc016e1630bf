"""What a notebook or a command may be given, validated before anything is trained.

A notebook declares some of these names in its ``parameters`` cell, as ``targets: list = []  # ...``, and
begins with ``given = parameters.read(globals())``. '', [] and 0 mean "as the scale says". Papermill's ``-p``
passes text, so lists may also come as JSON ('["real", "xray"]') or as words with commas (real,xray). Of
``checkpoints`` an empty list is refused, and only '' leaves them to the scale. Every refusal is one sentence.
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
import functools
import json
from collections.abc import Callable, Mapping
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


@dataclass(frozen=True)
class Parameters:
    """Validated parameters. ``targets`` and ``seeds`` are filled in (own images: the first
    three seeds); ``apply`` gives the scale to study."""

    scale: str = "smoke"
    results: str = "run"  # or "records"
    data: str = ""  # '': TLBOOK_DATA; the folder that holds the data sets; or folder:/path for one target
    pretrained: str = ""  # '': as the scale says; "train"; or a path of .safetensors or official .pth.tar
    targets: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    block_sizes: tuple[str | int, ...] = ()  # pixels, each dividing the side; '*' shuffles single values
    points: int | None = None  # on the line between two models, both ends included
    epochs: int | None = None  # of every target run, shuffled ones included
    rates: tuple[float, ...] = ()  # two raw learning rates, low and high
    images: int | None = None  # cap on the training images of every target
    test_images: int | None = None  # cap on the test images of every set, the source too
    source_images: int | None = None  # cap on the training images of the source
    source_epochs: int | None = None  # of pre-training
    workers: int | None = None  # processes that train side by side
    checkpoints: tuple[int | str, ...] = ()  # epochs of P's pre-training, or paths of .safetensors files
    records: str = ""  # '': the book's own; a folder that `tlbook reproduce --record` has written

    def __post_init__(self) -> None:
        for name, valid in VALID.items():
            object.__setattr__(self, name, valid(name, getattr(self, name)))
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


NAMES = tuple(field.name for field in dataclasses.fields(Parameters))


def read(scope: Mapping[str, Any]) -> Parameters:
    """Validate the parameters in ``scope``: a notebook's ``globals()``, or a mapping of names to values.

    Of a notebook, the names of this schema are taken, and what Papermill injected must be declared by the
    notebook. In a mapping every name counts. TlbookError says in one sentence what is wrong.
    """
    if "In" in scope and "get_ipython" in scope:
        _refuse_undeclared([str(cell) for cell in scope["In"]])
        scope = {name: scope[name] for name in NAMES if name in scope}
    _refuse_unknown(scope, NAMES)
    return Parameters(**scope)


def _refuse_undeclared(cells: list[str]) -> None:
    """Refuse a name that Papermill injected (after the parameters cell) and that no cell before it declares.

    Papermill itself only warns, and the notebook would run without what it was asked for.
    """
    injected = [number for number, cell in enumerate(cells) if cell.startswith("# Parameters\n")]
    if injected:
        _refuse_code(cells[injected[0]])
        before = {name for cell in cells[: injected[0]] for name in assigned(cell)}
        _refuse_unknown(assigned(cells[injected[0]]), [name for name in NAMES if name in before])


def _refuse_code(cell: str) -> None:
    """Refuse an injected cell with more in it than values: Papermill writes a name as it stands."""
    try:
        for line in ast.parse(cell).body:
            if not (isinstance(line, ast.Assign) and [type(t) for t in line.targets] == [ast.Name]):
                raise ValueError("no assignment to a name")
            if not _is_float(line.value):
                ast.literal_eval(line.value)
    except (ValueError, SyntaxError):
        raise TlbookError(
            "The name of an injected parameter is code, not a name; papermill -p takes a name of the page's "
            "parameters cell and a value."
        ) from None


def _is_float(node: ast.expr) -> bool:
    """Whether a value is as Papermill writes what has no literal: float('nan')."""
    return isinstance(node, ast.Call) and ast.unparse(node.func) == "float"


def _refuse_unknown(names, known) -> None:
    unknown = [name for name in names if name not in known]
    if unknown:
        near = difflib.get_close_matches(unknown[0], known, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        there_are = f"there are {_words(known)}" if known else "there are none"
        raise TlbookError(f"There is no parameter {unknown[0]!r} here; {there_are}.{hint}")


def assigned(source: str) -> list[str]:
    """Names that a cell assigns at its top level, [] where it is not plain Python."""
    try:
        statements = ast.parse(source).body
    except SyntaxError:
        return []
    targets = [t for s in statements if isinstance(s, ast.Assign) for t in s.targets]
    targets += [s.target for s in statements if isinstance(s, ast.AnnAssign)]
    return [target.id for target in targets if isinstance(target, ast.Name)]


# One value of each parameter, in the forms that it comes in


def _scale(name: str, value: Any) -> str:
    return scales.get(_text(name, value)).name


def _results(name: str, value: Any) -> str:
    if value not in MODES:
        raise TlbookError(f"{name} is {value!r}; choose 'run' (train what is missing) or 'records'.")
    return value


def _data(name: str, value: Any) -> str:
    text = _text(name, value)
    if not text:
        return ""
    own = text.startswith(FOLDER)
    path = _path(text.removeprefix(FOLDER))
    if not path.is_dir():
        raise TlbookError(
            f"{name}: there is no folder {path}; give the folder that holds the data sets, "
            f"or {FOLDER}/path with one sub-folder of images per class."
        )
    if own and sum(p.is_dir() for p in path.iterdir()) < 2:
        raise TlbookError(f"{name}: {path} needs at least two sub-folders of images, one for each class.")
    return f"{FOLDER if own else ''}{path}"


def _records(name: str, value: Any) -> str:
    text = _text(name, value)
    if text and not any(_path(text).glob("*/*/provenance.json")):
        raise TlbookError(
            f"{name}: {_path(text)} holds none; give a folder that `tlbook reproduce --record` has written."
        )
    return str(_path(text)) if text else ""


def _pretrained(name: str, value: Any) -> str:
    text = _text(name, value)
    if text in ("", "train", "shipped"):
        return text
    path = _path(text)
    if not path.name.endswith(WEIGHTS) or not path.is_file():
        raise TlbookError(
            f"{name}: {path} is no .safetensors file, nor a .pth.tar of the official code; give one, "
            "'train', or '' for the scale's."
        )
    return str(path)


def _text(name: str, value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str | Path):
        raise TlbookError(f"{name}: {value!r} is not text.")
    return str(value).strip()


def _path(text: str) -> Path:
    return settings.absolute(text)


def _count(name: str, value: Any, least: int = 1) -> int | None:
    """A whole number of at least ``least``; None leaves it to the scale."""
    if not isinstance(value, bool) and value in UNSET:
        return None
    return _integer(name, value, least)


def _integer(name: str, value: Any, least: int = 0) -> int:
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


def _number(name: str, value: Any) -> float:
    """A finite number, also as text (YAML reads 1e-3 as text)."""
    try:
        number = float("nan") if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not -float("inf") < number < float("inf"):
        raise TlbookError(f"{name}: {value!r} is not a number.")
    return number


def _rates(name: str, value: Any) -> tuple[float, ...]:
    rates = tuple(_number(name, item) for item in _items(name, value))
    if rates and not (len(rates) == 2 and 0 < rates[0] < rates[1]):
        raise TlbookError(f"{name}: {list(rates)} must be two positive numbers, the low rate first.")
    return rates


def _block_size(name: str, value: Any) -> str | int:
    return value if value == PIXELS else _integer(name, value, 1)


def _checkpoint(name: str, value: Any) -> int | str:
    """An epoch, also as text, or the absolute path of a .safetensors file that is there."""
    if isinstance(value, str | Path) and not str(value).strip().lstrip("+-").isdigit():
        path = _path(str(value))
        if path.suffix != ".safetensors" or not path.is_file():
            raise TlbookError(f"{name}: {value} is neither an epoch nor a .safetensors file.")
        return str(path)
    return _integer(name, value)


def _checkpoints(name: str, value: Any) -> tuple[int | str, ...]:
    if value is None or value == "" or value == ():
        return ()
    if not _items(name, value):
        raise TlbookError(
            f"{name}: the list is empty; name epochs of pre-training or .safetensors files, "
            "or leave it '' for the scale's."
        )
    return _several(_checkpoint)(name, value)


def _several(one: Callable[[str, Any], Any]) -> Callable[[str, Any], tuple]:
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


VALID: dict[str, Callable[[str, Any], Any]] = {
    "scale": _scale,
    "results": _results,
    "data": _data,
    "pretrained": _pretrained,
    "targets": _several(_text),
    "seeds": _several(_integer),
    "block_sizes": _several(_block_size),
    "points": functools.partial(_count, least=3),
    "rates": _rates,
    **dict.fromkeys(("epochs", "images", "test_images", "source_images", "source_epochs", "workers"), _count),
    "checkpoints": _checkpoints,
    "records": _records,
}


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
