"""What a notebook may be given, validated before anything is trained.

A notebook declares some of these names in its ``parameters`` cell, as ``targets: list = []  # ...``, and
begins with ``given = parameters.read(globals())``. '', [] and 0 mean "as the scale says". Papermill's ``-p``
passes text, so lists may also come as JSON ('["real", "xray"]') or as words with commas (real,xray). Of
``checkpoints`` an empty list is refused, and only '' leaves them to the scale. Every refusal is one sentence.
"""

from __future__ import annotations

import ast
import difflib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator, model_validator

from tlbook import scales
from tlbook.book import records
from tlbook.errors import TlbookError
from tlbook.scales import FOLDER, PIXELS, Scale

UNSET = ("", None, 0, [], ())  # False == 0, but a flag is refused where a number is expected


class Parameters(BaseModel):
    """Validated parameters. ``targets`` and ``seeds`` are filled in; ``apply`` gives the scale to study."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scale: str = "smoke"
    results: Literal["run", "records"] = "run"
    data: str = ""  # '': TLBOOK_DATA; the folder that holds the data sets; or folder:/path for one target
    pretrained: str = ""  # '': as the scale says; "train"; or a path of .safetensors or official .pth.tar
    targets: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    block_sizes: tuple[str | int, ...] = ()  # pixels, each dividing the side; '*' shuffles single values
    points: int | None = None  # on the line between two models, both ends included
    epochs: int | None = None  # of every target run, shuffled ones included
    rates: tuple[float, ...] = ()  # two raw learning rates, low and high
    images: int | None = None  # cap on the training images of every target
    workers: int | None = None  # processes that train side by side
    checkpoints: tuple[int | str, ...] = ()  # epochs of P's pre-training, or paths of .safetensors files
    records: str = ""  # '': the book's own; a folder that `tlbook reproduce --record` has written

    @field_validator("scale", mode="before")
    @classmethod
    def _scale(cls, value: Any) -> str:
        return scales.get(_text("scale", value)).name

    @field_validator("results", mode="before")
    @classmethod
    def _results(cls, value: Any) -> str:
        if value not in ("run", "records"):
            raise ValueError(f"results is {value!r}; choose 'run' (train what is missing) or 'records'.")
        return value

    @field_validator("data", mode="before")
    @classmethod
    def _data(cls, value: Any) -> str:
        text = _text("data", value)
        if not text:
            return ""
        own = text.startswith(FOLDER)
        path = Path(text.removeprefix(FOLDER)).expanduser().absolute()
        if not path.is_dir():
            raise ValueError(
                f"data: there is no folder {path}; give the folder that holds the data sets, "
                f"or {FOLDER}/path with one sub-folder of images per class."
            )
        if own and sum(p.is_dir() for p in path.iterdir()) < 2:
            raise ValueError(f"data: {path} needs at least two sub-folders of images, one for each class.")
        return f"{FOLDER if own else ''}{path}"

    @field_validator("records", mode="before")
    @classmethod
    def _records(cls, value: Any) -> str:
        text = _text("records", value)
        if not text:
            return ""
        path = Path(text).expanduser().absolute()
        if not any(path.glob("*/*/provenance.json")):
            raise ValueError(
                f"records: {path} holds none; give a folder that `tlbook reproduce --record` has written."
            )
        return str(path)

    @field_validator("pretrained", mode="before")
    @classmethod
    def _pretrained(cls, value: Any) -> str:
        text = _text("pretrained", value)
        if text in ("", "train", "shipped"):
            return text
        path = Path(text).expanduser().absolute()
        if not path.name.endswith((".safetensors", ".pth.tar", ".pth", ".pt")) or not path.is_file():
            raise ValueError(
                f"pretrained: {path} is no .safetensors file, nor a .pth.tar of the official code; give one, "
                "'train', or '' for the scale's."
            )
        return str(path)

    @field_validator("targets", mode="before")
    @classmethod
    def _targets(cls, value: Any) -> tuple[str, ...]:
        targets = tuple(_text("targets", item) for item in _items("targets", value))
        unknown = [target for target in targets if target not in scales.TARGETS]
        if unknown:
            raise ValueError(
                f"targets: there is no role {unknown[0]!r}; choose from {_words(scales.TARGETS)}."
            )
        return _distinct("targets", targets)

    @field_validator("seeds", mode="before")
    @classmethod
    def _seeds(cls, value: Any) -> tuple[int, ...]:
        return _distinct("seeds", tuple(_integer("seeds", item, 0) for item in _items("seeds", value)))

    @field_validator("block_sizes", mode="before")
    @classmethod
    def _block_sizes(cls, value: Any) -> tuple[str | int, ...]:
        sizes = [s if s == PIXELS else _integer("block_sizes", s, 1) for s in _items("block_sizes", value)]
        return _distinct("block_sizes", tuple(sizes))

    @field_validator("rates", mode="before")
    @classmethod
    def _rates(cls, value: Any) -> tuple[float, ...]:
        rates = tuple(_number("rates", item) for item in _items("rates", value))
        if rates and not (len(rates) == 2 and 0 < rates[0] < rates[1]):
            raise ValueError(f"rates: {list(rates)} must be two positive numbers, the low rate first.")
        return rates

    @field_validator("points", mode="before")
    @classmethod
    def _points(cls, value: Any) -> int | None:
        if not isinstance(value, bool) and value in UNSET:
            return None
        return _integer("points", value, 3)

    @field_validator("epochs", "images", "workers", mode="before")
    @classmethod
    def _count(cls, value: Any, info) -> int | None:
        if not isinstance(value, bool) and value in UNSET:
            return None
        return _integer(info.field_name, value, 1)

    @field_validator("checkpoints", mode="before")
    @classmethod
    def _checkpoints(cls, value: Any) -> tuple[int | str, ...]:
        if value is None or value == "":
            return ()
        items = _items("checkpoints", value)
        if not items:
            raise ValueError(
                "checkpoints: the list is empty; name epochs of pre-training or .safetensors files, "
                "or leave it '' for the scale's."
            )
        return _distinct("checkpoints", tuple(_checkpoint(item) for item in items))

    @model_validator(mode="after")
    def _together(self) -> Parameters:
        named = scales.get(self.scale)
        valid = scales.valid_block_sizes(named.side)
        wrong = [size for size in self.block_sizes if size not in valid]
        if wrong:
            raise ValueError(
                f"block_sizes: {wrong[0]} does not divide the side, {named.side} px at scale {self.scale!r}; "
                f"choose from {_words(valid)}."
            )
        if self.data.startswith(FOLDER) and len(self.targets) != 1:
            raise ValueError(
                f"data={self.data!r} is one target's images: name in targets the one that it stands for."
            )
        if self.root:
            named.refuse_unread(self.data)
        _refuse_checkpoints(self.checkpoints, named)
        if self.results == "records" and self.changes:
            raise ValueError(
                f"results='records' shows what was recorded, so {_words(self.changes)} cannot be given with "
                f"it; leave it out, or set results='run'."
            )
        # A frozen model is filled in here, once, before anybody sees it.
        object.__setattr__(self, "targets", self.targets or scales.TARGETS)
        object.__setattr__(self, "seeds", self.seeds or named.seeds)
        return self

    @property
    def changes(self) -> tuple[str, ...]:
        """The given parameters that make another scale value, so that no record fits it."""
        given = ("pretrained", "block_sizes", "points", "epochs", "rates", "images", "checkpoints")
        names = tuple(name for name in given if getattr(self, name))
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
        """The named scale with the overrides; the very same value as ``scales.get(scale)`` without any."""
        named = scales.get(self.scale)
        changes: dict[str, Any] = {}
        if self.pretrained:
            changes["pretrained"] = self.pretrained
        if self.block_sizes:
            changes["shuffles"] = {"sizes": _ordered(self.block_sizes, named.side)}
        if self.points:
            changes["landscape"] = {"points": dict.fromkeys(scales.TARGETS, self.points)}
        if self.epochs:
            changes["epochs"] = self.epochs
        if self.rates:
            changes["rates"] = dict(zip(scales.RATES, self.rates, strict=True))
        if self.images:
            changes["every_target"] = {"train": self.images}
        if self.checkpoints:
            ordered = tuple(sorted(self.checkpoints, key=scales.epoch_of))
            changes["checkpoints"] = {
                "starts": ordered,
                "constant_starts": (),
            }  # spares a second pre-training
            if isinstance(ordered[-1], str):
                changes.setdefault("pretrained", ordered[-1])  # the last file is P
        if self.data.startswith(FOLDER):
            changes["datasets"] = {self.targets[0]: self.data}
        return named.replace(**changes) if changes else named


NAMES = tuple(Parameters.model_fields)


def read(scope: Mapping[str, Any]) -> Parameters:
    """Validate the parameters in ``scope``: a notebook's ``globals()``, or a mapping of names to values.

    Of a notebook, the names of this schema are taken, and what Papermill injected must be declared by the
    notebook. In a mapping every name counts. TlbookError says in one sentence what is wrong.
    """
    if "In" in scope and "get_ipython" in scope:
        _refuse_undeclared([str(cell) for cell in scope["In"]])
        scope = {name: scope[name] for name in NAMES if name in scope}
    _refuse_unknown(scope, NAMES)
    try:
        return Parameters(**scope)
    except ValidationError as error:
        message = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise TlbookError(message) from None


def _refuse_undeclared(cells: list[str]) -> None:
    """Refuse a name that Papermill injected (after the parameters cell) and that no cell before it declares.

    Papermill itself only warns, and the notebook would run without what it was asked for.
    """
    injected = [number for number, cell in enumerate(cells) if cell.startswith("# Parameters\n")]
    if injected:
        before = {name for cell in cells[: injected[0]] for name in assigned(cell)}
        _refuse_unknown(assigned(cells[injected[0]]), [name for name in NAMES if name in before])


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


def _items(name: str, value: Any) -> list:
    """A list from a list, a single value, JSON text, or words with commas."""
    if isinstance(value, str) and value.strip().startswith("["):
        try:
            value = json.loads(value)
        except json.JSONDecodeError:
            raise ValueError(f"{name}: {value!r} is not a JSON list, such as {_example(name)}.") from None
    if isinstance(value, str):
        return [word.strip() for word in value.split(",") if word.strip()]
    if isinstance(value, list | tuple):
        return list(value)
    if value is None:
        return []
    if isinstance(value, dict | set | bool):
        raise ValueError(f"{name} is {value!r}; give a list, such as {_example(name)}.")
    return [value]


def _example(name: str) -> str:
    examples = {
        "targets": '["real", "xray"]',
        "block_sizes": '["*", 1, 8]',
        "rates": "[0.02, 0.1]",
        "checkpoints": "[0, 5, 10]",
    }
    return examples.get(name, "[0, 1, 2]")


def _text(name: str, value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str | Path):
        raise ValueError(f"{name}: {value!r} is not text.")
    return str(value).strip()


def _integer(name: str, value: Any, least: int) -> int:
    """A whole number of at least ``least``, also as text; flags and fractions are refused."""
    try:
        number = int(value) if isinstance(value, str) else value
    except ValueError:
        number = None
    if isinstance(number, bool) or not isinstance(number, int) or number < least:
        raise ValueError(f"{name}: {value!r} is not a whole number of at least {least}.")
    return number


def _checkpoint(value: Any) -> int | str:
    """An epoch, also as text, or the absolute path of a .safetensors file that is there."""
    if isinstance(value, str | Path) and not str(value).strip().lstrip("+-").isdigit():
        path = Path(value).expanduser().absolute()
        if path.suffix != ".safetensors" or not path.is_file():
            raise ValueError(f"checkpoints: {value} is neither an epoch nor a .safetensors file.")
        return str(path)
    return _integer("checkpoints", value, 0)


def _refuse_checkpoints(checkpoints: tuple[int | str, ...], named: Scale) -> None:
    """Refuse epochs that pre-training at a scale does not have, files without an epoch, and a mixture."""
    epochs = [entry for entry in checkpoints if isinstance(entry, int)]
    last = named.source.epochs
    if epochs and max(epochs) > last:
        raise ValueError(
            f"checkpoints: there is no epoch {max(epochs)} of pre-training at scale {named.name!r}; "
            f"choose from 0 to {last}."
        )
    if any(epochs) and len(epochs) < len(checkpoints):
        raise ValueError("checkpoints: give epochs of P or files of your own, not both (0 may stand beside).")
    try:
        _distinct("checkpoints", tuple(map(scales.epoch_of, checkpoints)))
    except TlbookError as error:
        raise ValueError(f"checkpoints: {error}") from None


def _number(name: str, value: Any) -> float:
    """A finite number, also as text (YAML reads 1e-3 as text)."""
    try:
        number = float("nan") if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not -float("inf") < number < float("inf"):
        raise ValueError(f"{name}: {value!r} is not a number.")
    return number


def _distinct(name: str, items: tuple) -> tuple:
    twice = [item for item in items if items.count(item) > 1]
    if twice:
        raise ValueError(f"{name}: {twice[0]} is given twice.")
    return items


def _ordered(sizes: tuple, side: int) -> tuple:
    """'*' first, then by size, and always the side itself: the unshuffled run that drops are relative to."""
    numbers = sorted({size for size in sizes if size != PIXELS} | {side})
    return (*([PIXELS] if PIXELS in sizes else []), *numbers)


def _words(items) -> str:
    return ", ".join(str(item) for item in items)
