"""What did pre-training give your network? The parameters of a diagnosis, the study, and what it found."""

from __future__ import annotations

import base64
import io
import json
import math
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from tlbook import code_state, scales, settings
from tlbook.book import parameters
from tlbook.book.parameters import parameter
from tlbook.errors import TlbookError
from tlbook.questions.your_network import answers
from tlbook.scales import EMBEDDED, FOLDER

SHOWN = 6  # images of each set in the gallery
THUMB = 96  # pixels
SIDE = 64  # of images that networks of others are shown, unless asked
DRAWN = {"train": 160, "dev": 100, "test": 300}  # images of the generated family, as at scale smoke
ALL, TESTED = 10**9, 500  # images; to test on more takes time and tells little more


def _network(name: str, value: Any) -> str:
    return parameters.as_text(name, value) or "fixup:fixup_small8"


def _images(name: str, value: Any) -> str:
    """Where the images are, as a data set's name: one that is known, a folder, or '' for generated ones."""
    from tlbook.data import layouts

    text = parameters.as_text(name, value)
    if not text:
        return f"{EMBEDDED}clipart"
    if text in layouts.DATASETS or text.startswith(EMBEDDED):
        return text
    path = settings.absolute(text.removeprefix(FOLDER))
    if not path.is_dir():
        raise TlbookError(
            f"{name}: there is no folder {path}; give one that holds a sub-folder of images per class."
        )
    parameters.refuse_unlike_classes(path)
    return f"{FOLDER}{path}"


def _rates(name: str, value: Any) -> tuple[float, ...]:
    rates = parameters.several(parameters.as_number)(name, value)
    if any(rate <= 0 for rate in rates):
        raise TlbookError(f"{name}: {list(rates)} must be positive numbers.")
    return rates


def _minutes(name: str, value: Any) -> float:
    minutes = parameters.as_number(name, value)
    if minutes < 0:
        raise TlbookError(f"{name}: {value!r} is no number of minutes; 0 is as long as it takes.")
    return minutes


def _weights(name: str, value: Any) -> str:
    text = parameters.as_text(name, value)
    if text in ("", "default"):
        return text
    path = settings.absolute(text)
    if not path.is_file():
        raise TlbookError(f"{name}: there is no file {path}; give one of weights, or default.")
    return str(path)


def _count(about: str, least: int = 1) -> Any:
    return parameter(lambda name, value: parameters.as_count(name, value, least), about, None)


@dataclass(frozen=True)
class Diagnosis:
    """Validated parameters of a diagnosis; what is not given is chosen (see the study)."""

    network: str = parameter(
        _network, "torchvision:NAME, timm:NAME, fixup:NAME, or file.py:function.", "fixup:fixup_small8"
    )
    weights: str = parameter(
        _weights, "P: a file of weights, or default (the library's own). Empty: ours, of a fixup network."
    )
    data: str = parameter(_images, "A folder with one sub-folder of images per class.")
    side: int | None = _count("Pixels of an image's side as the network sees it.", 8)
    images: int | None = _count("At most so many training images.", 2)
    test_images: int | None = _count(f"At most so many test images; {TESTED} unless given.", 4)
    seeds: tuple[int, ...] = parameter(
        parameters.several(parameters.as_integer), "A seed.", (), option="seed"
    )
    epochs: int | None = _count("Epochs of every run.")
    rates: tuple[float, ...] = parameter(_rates, "Learning rates to choose from.", (), option="rate")
    minutes: float = parameter(_minutes, "What it may take on this machine; 0: as long as it takes.", 20.0)
    head: str = parameter(parameters.as_text, "The name of the last layer, where it cannot be told.")
    finetuned: tuple[str, ...] = parameter(
        parameters.several(_weights), "A file of a network fine-tuned from P already.", ()
    )
    scratch: tuple[str, ...] = parameter(
        parameters.several(_weights), "A file of a network trained from random weights already.", ()
    )

    results: str = parameter(
        parameters.as_results, "Study a network here, or show the recorded example.", "run"
    )

    def __post_init__(self) -> None:
        for one in fields(self):
            object.__setattr__(self, one.name, one.metadata["read"](one.name, getattr(self, one.name)))
        if self.scratch and not self.finetuned:
            raise TlbookError(
                "scratch: networks from scratch are compared with fine-tuned ones; give finetuned too."
            )

    @property
    def command(self) -> str:
        """The command that makes the page again."""
        words = ["tlbook", "diagnose"]
        for one in fields(self):
            value = getattr(self, one.name)
            option = one.metadata.get("option", one.name.replace("_", "-"))
            if value != one.default and not (one.name == "data" and value.startswith(EMBEDDED)):
                for item in value if isinstance(value, tuple) else [value]:
                    words += [f"--{option}", f"{item:g}" if isinstance(item, float) else str(item)]
        return shlex.join(words)


FIELDS = {one.name: one for one in fields(Diagnosis)}
NAMES = tuple(FIELDS)
OPTIONS = tuple(name for name in NAMES if name != "results")


@dataclass
class Report:
    """What a page is made of: the parameters in words, what to know, tables by name, pictures by set."""

    about: dict[str, str]
    notes: list[str]
    left_out: list[str]
    tables: dict[str, pd.DataFrame]
    made: dict[str, str]
    pictures: dict[str, list[tuple[str, str]]] = field(default_factory=dict)  # (data URL, caption)
    study: Any = None  # with the networks themselves, where they were studied here

    def save(self, folder: Path) -> None:
        """Write everything but the pictures: a CSV a table, and report.json."""
        from tlbook.data.decode import whole  # with it torch, which pages of records do without

        folder.mkdir(parents=True, exist_ok=True)
        for name, table in self.tables.items():
            with whole(folder / f"{name}.csv") as partial:
                table.to_csv(partial, index=False, float_format="%.6g")
        rest = {
            name: value for name, value in vars(self).items() if name not in ("tables", "pictures", "study")
        }
        with whole(folder / "report.json") as partial:
            partial.write_text(json.dumps(rest, indent=1, ensure_ascii=False) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Report:
        """What `save` wrote; refused where it is not there."""
        if not (folder / "report.json").is_file():
            raise TlbookError(f"No report is recorded in {folder}.")
        tables = {
            file.stem: pd.read_csv(file, dtype={"module": str}) for file in sorted(folder.glob("*.csv"))
        }
        return cls(**json.loads((folder / "report.json").read_text()), tables=tables)


def run(given: Diagnosis, show: bool = True, say: Callable[[str], None] = print) -> Report:
    """Study the network on the images; everything is checked before anything is trained."""
    from tlbook import data
    from tlbook.questions.your_network import study
    from tlbook.questions.your_network.study import networks, weights

    network = networks.register(given.network, given.head)
    request = _request(given, network)
    found = data.identify(request)
    notes = networks.try_out(network, len(found.classes), request.side)
    model = networks.drawn(network, len(found.classes))
    if given.weights or given.network.rpartition(":")[0] != "fixup":
        state, more = weights.read(given.weights, model, network)
        start = weights.keep(state)
    else:
        start, more = _ours(network), []
    asked = study.Asked(
        network, start, request, given.seeds, given.epochs or 0, given.rates, given.minutes or math.inf
    )
    if given.finetuned:
        models = _trained(given, model, network, start)
        result = study.of_models(asked, models, say)
    else:
        result = study.study(asked, show, say)
    return _report(given, result, found, notes + more)


def _request(given: Diagnosis, network: str):
    from tlbook import data
    from tlbook.questions.your_network.study.networks import Foreign

    side = given.side or (SIDE if network in Foreign.networks else 32)
    drawn = given.data.startswith(EMBEDDED)
    counts = DRAWN if drawn else {"train": ALL, "dev": 0, "test": TESTED}
    given_counts = {"train": given.images, "test": given.test_images}
    counts = counts | {name: count for name, count in given_counts.items() if count}
    return data.Request(given.data, side, side, **counts, chooses=True)


def _ours(network: str):
    """P of the book for one of its own networks: shipped, or smoke's, which is trained if it is not yet."""
    from tlbook.questions import grid
    from tlbook.training import executors

    for scale in scales.SCALES.values():
        if scale.network == network and (scale.pretrained == "shipped" or not scale.judged):
            executors.ensure_all(grid.pretraining(scale))
            return grid.pretrained(scale)
    raise TlbookError(f"weights: there are none of ours for {network}; give a file.")


def _trained(given: Diagnosis, model, network: str, start) -> list:
    """The networks of files that are trained already; those from P started from it."""
    from tlbook.questions.your_network.study import Model, weights
    from tlbook.training import runs

    before = runs.weights(start)
    models = []
    for name, files in {"P-T": given.finetuned, "RI-T": given.scratch}.items():
        for number, file in enumerate(files):
            state, _ = weights.read(file, model, network, whole=True)
            models.append(Model(name, number, state, _with_head(before, model) if name == "P-T" else None))
    return models


def _with_head(p: Mapping, model) -> dict:
    own = model.state_dict()
    return {name: p[name] if name in p and p[name].shape == own[name].shape else own[name] for name in own}


def _report(given: Diagnosis, result, found, notes: list[str]) -> Report:
    from tlbook.training import runs

    code = code_state.current()
    images = given.data.removeprefix(FOLDER)
    named = Path(images).name if given.data.startswith(FOLDER) else images
    about = {
        "network": given.network,
        "weights": given.weights or "ours",
        "images": f"{named}: {len(found.train)} to train, {len(found.dev)} to choose, {len(found.test)} to "
        f"test, {len(found.classes)} classes, {result.asked.images.side} px",
        "runs": f"{result.plan.words}; chosen: {_chosen(result.rates)}" if result.plan else "none: all given",
        "took": f"{result.seconds / 60:.1f}{f' of {given.minutes:g}' if given.minutes else ''} minutes",
    }
    made = {"command": given.command, "commit": str(code["commit"])[:10], "code": code["package_digest"][:10]}
    made |= {name: str(value) for name, value in runs.environment(runs.device()).items()}
    return Report(about, notes, result.left_out, result.tables, made, _gallery(result), result)


def _chosen(rates: Mapping[str, float]) -> str:
    return ", ".join(f"{rate:g} for {start}" for start, rate in rates.items())


# Pictures


def _gallery(result) -> dict[str, list[tuple[str, str]]]:
    """Test images that all networks of one start get right and all of the other wrong, and that all get
    wrong."""
    from tlbook import data

    domain = data.load(result.asked.images)
    labels = domain.test.labels.numpy()
    right = {start: [] for start in ("P-T", "RI-T")}
    for words, said in result.said.items():
        right[words.rpartition(" ")[0]].append(said == labels)
    if not all(right.values()):
        return {}
    p, ri = (np.mean(right[start], axis=0) for start in ("P-T", "RI-T"))
    sets = {
        "Only fine-tuned networks get these right": (p == 1) & (ri == 0),
        "Only networks from scratch get these right": (p == 0) & (ri == 1),
        "All get these wrong": (p == 0) & (ri == 0),
    }
    shown = {}
    for words, mask in sets.items():
        places = np.flatnonzero(mask)[:SHOWN]
        shown[f"{words} ({mask.sum()} of {len(mask)})"] = [
            (_url(domain.test.images[int(place) : int(place) + 1][0].numpy()), _said(result, domain, place))
            for place in places
        ]
    return shown


def _said(result, domain, place: int) -> str:
    answers_ = {words: domain.classes[said[place]] for words, said in result.said.items()}
    wrong = sorted({a for a in answers_.values() if a != domain.classes[int(domain.test.labels[place])]})
    label = domain.classes[int(domain.test.labels[place])]
    return f"{label}" + (f", taken for {', '.join(wrong[:3])}" if wrong else "")


def _url(image: np.ndarray) -> str:
    """An image (3, side, side) as a PNG data URL."""
    buffer = io.BytesIO()
    picture = Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0)))
    picture.resize((THUMB, THUMB), Image.Resampling.NEAREST).save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


# In words


def first_sentences(report: Report) -> list[str]:
    """The first sentence of every answer."""
    return [one.sentences[0] for one in answers.all_answers(report.tables)]


def in_short(report: Report) -> list[str]:
    """`first_sentences`, and what to do: what a terminal is told."""
    return [*first_sentences(report), *answers.advice(report.tables)]
