"""What did pre-training give your network? Parameters, study and one page with the answers in words first."""

from __future__ import annotations

import base64
import html
import io
import json
import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from tlbook import code_state, scales, settings
from tlbook.book import explorer, pages, parameters, records
from tlbook.book.parameters import parameter
from tlbook.errors import TlbookError
from tlbook.questions.your_network import answers, figures
from tlbook.scales import EMBEDDED, FOLDER

SHOWN = 6  # images of each set in the gallery
THUMB = 96  # pixels
SIDE = 64  # of images that networks of others are shown, unless asked
DRAWN = {"train": 160, "dev": 100, "test": 300}  # images of the generated family, as at scale smoke
ALL, TESTED = 10**9, 500  # images; to test on more takes time and tells little more
CAPTIONS = {
    "end": "The two starts while they train. Lines are means over seeds, bands span them.",
    "features": "What is left of the lead without P's features, and without whole pictures. Bars are 95 % "
    "intervals over seeds.",
    "mistakes": "How consistent mistakes are, by kind of pair. Bars are 95 % intervals over seeds.",
    "similarity": "Linear CKA of features on test images, module by module: means over pairs.",
    "moved": "How far each module moved while it trained, in units of its length in P: means over seeds. The "
    "scale is logarithmic.",
    "basin": "Test accuracy on the straight line between two networks, a line a pair; stars are averages of "
    "all networks of a start.",
    "rewind": "What is lost when a module of a trained network is set back to where it started, alone or "
    "with all before it. Bars are 95 % intervals over seeds.",
    "probe": "A linear classifier on each module's features, nothing else trained, beside networks trained "
    "whole.",
}


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
    if minutes <= 0:
        raise TlbookError(f"{name}: {value!r} is not a positive number of minutes.")
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
    minutes: float = parameter(_minutes, "What it may take on this machine.", 20.0)
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
EXAMPLES = records.FOLDER.parent / "examples" / "your_network"  # a folder each


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
    asked = study.Asked(network, start, request, given.seeds, given.epochs or 0, given.rates, given.minutes)
    if given.finetuned:
        models = _trained(given, model, network, start)
        result = study.of_models(asked, models, say)
    else:
        result = study.study(asked, show, say)
    return _report(given, result, found, notes + more)


def begin(scope: Mapping[str, object]) -> dict[str, Report]:
    """Validate a notebook's parameters (its ``globals()``) and study, or load the recorded examples:
    reports by the label of their tab, one without tables where none is recorded."""
    pages.say_errors()
    settings.settle()
    given = parameters.read(scope, Diagnosis)
    if given.results == "run":
        return {"this build": run(given, say=lambda line: print(line, file=sys.stderr))}
    found = {file.parent.name: Report.load(file.parent) for file in sorted(EXAMPLES.glob("*/report.json"))}
    none = {"example": "none is recorded yet; at scale smoke this page makes one"}
    return found or {"example": Report(none, [], [], {}, {})}


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
        "took": f"{result.seconds / 60:.1f} of {given.minutes:g} minutes",
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


# The page


@dataclass(frozen=True)
class Section:
    """One answer: its sentences, and its figure below."""

    answer: answers.Answer
    figure: explorer.Explorer | None
    heading: int = 0

    def _repr_html_(self) -> str:
        title = (
            f"<h{self.heading}>{html.escape(self.answer.question)}</h{self.heading}>" if self.heading else ""
        )
        words = "".join(f"<p>{_emphasised(line)}</p>" for line in self.answer.sentences)
        drawn = self.figure._repr_html_() if self.figure else ""
        return f"{title}<div class='tlb-answer'>{words}</div>{drawn}"


def section(report: Report, name: str, number: str = "", heading: int = 0) -> Section:
    """The answer of that name with its figure (and caption, if it has a number), or a sentence that says that
    there is none."""
    found = {answer.name: answer for answer in answers.all_answers(report.tables)}
    if name not in found:
        return Section(answers.Answer(name, name, ("These runs do not answer this.",)), None)
    drawn, caption = figures.of(name, report.tables), _caption(name, number) if number else ""
    return Section(found[name], drawn and explorer.tabs({name: drawn}, caption=caption), heading)


def answer(reports: Mapping[str, Report], name: str, number: str) -> explorer.Explorer:
    """`section` of every report, in tabs over one caption."""
    sections = {label: section(report, name) for label, report in reports.items()}
    return explorer.tabs(sections, label="Example", caption=_caption(name, number))


def _caption(name: str, number: str) -> str:
    return f"Figure {number}. {CAPTIONS[name]}"


def _emphasised(line: str) -> str:
    """A sentence as HTML; *word* is emphasised."""
    parts = html.escape(line).split("*")
    return "".join(f"<em>{part}</em>" if number % 2 else part for number, part in enumerate(parts))


def page(report: Report) -> str:
    """One self-contained HTML page: answers in words, then each with its figure, the images, what to do, how
    it was made. Nothing in it is fetched from elsewhere, and every name is escaped."""
    title = f"What did pre-training give {report.about['network']}?"
    every = answers.all_answers(report.tables)
    sections = "".join(
        section(report, one.name, str(number), heading=2)._repr_html_() for number, one in enumerate(every, 1)
    )
    rest = {"What to know": report.notes, "What was left out": report.left_out}
    told = "".join(f"<h2>{name}</h2>{_list(lines)}" for name, lines in rest.items() if lines)
    advice = _list(answers.advice(report.tables))
    body = (
        f"<h1>{html.escape(title)}</h1>{_rows(report.about)}{_list(first_sentences(report))}"
        f"<h2>What to do</h2>{advice}{sections}{_pictures(report.pictures)}{told}"
        f"<h2>How this was made</h2>{_rows(report.made)}"
    )
    return (
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{html.escape(title)}</title>"
        f"<meta name='viewport' content='width=device-width, initial-scale=1'><style>{_STYLE}</style></head>"
        f"<body><main>{body}</main></body></html>"
    )


def _rows(values: Mapping[str, str]) -> str:
    rows = "".join(
        f"<tr><th scope='row'>{html.escape(k)}</th><td>{html.escape(v)}</td></tr>" for k, v in values.items()
    )
    return f"<table>{rows}</table>"


def _list(lines: list[str]) -> str:
    return "<ul>" + "".join(f"<li>{_emphasised(line)}</li>" for line in lines) + "</ul>"


def _pictures(sets: Mapping[str, list[tuple[str, str]]]) -> str:
    if not any(sets.values()):
        return ""
    parts = []
    for words, images in sets.items():
        shown = "".join(
            f"<figure><img src='{url}' alt='' width='{THUMB}' height='{THUMB}'>"
            f"<figcaption>{html.escape(caption)}</figcaption></figure>"
            for url, caption in images
        )
        parts.append(f"<h3>{html.escape(words)}</h3><div class='gallery'>{shown or '<p>None.</p>'}</div>")
    return f"<h2>Test images on which they differ</h2>{''.join(parts)}"


@dataclass(frozen=True)
class Short:
    """The first sentence of every answer, what to do, and what it is about."""

    report: Report

    def _repr_html_(self) -> str:
        parts = [_rows(self.report.about)]
        lists = {"": first_sentences(self.report), "What to do": answers.advice(self.report.tables)}
        lists |= {"What to know": self.report.notes, "What was left out": self.report.left_out}
        parts += [(f"<p><b>{words}</b></p>" if words else "") + _list(x) for words, x in lists.items() if x]
        return "".join(parts)


def short(reports: Mapping[str, Report]) -> explorer.Explorer:
    """`Short` of every report, in tabs."""
    return explorer.tabs({label: Short(report) for label, report in reports.items()}, label="Example")


def same(report: Report, table: str, by_hand: Callable[[], float], **where: object) -> object:
    """A number by hand beside the one in a table's row of the metric accuracy, refused where they differ; a
    sentence where the networks are not here."""
    if report.study is None:
        return pages.Sentences((pages.NO_MODELS,))
    rows = report.tables[table]
    for column, value in (where | {"metric": "accuracy"}).items():
        rows = rows[rows[column] == value]
    expected = {"": rows.value.item()}
    return pages.Table(pages.held({"": by_hand()}, expected, f"{table} ", "in the table", 1e-5, 1))


def first_sentences(report: Report) -> list[str]:
    """The first sentence of every answer."""
    return [one.sentences[0] for one in answers.all_answers(report.tables)]


def in_short(report: Report) -> list[str]:
    """`first_sentences`, and what to do: what a terminal is told."""
    return [*first_sentences(report), *answers.advice(report.tables)]


def write(report: Report, path: Path) -> None:
    """Write the page, whole or not at all."""
    from tlbook.data.decode import whole

    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as partial:
        partial.write_text(page(report), encoding="utf-8")


_STYLE = """
:root{color-scheme:light dark}
body{font:1rem/1.55 system-ui,sans-serif;margin:0;background:#fff;color:#1b1b1b}
main{max-width:46rem;margin:0 auto;padding:1rem 1.25rem 4rem}
h1{font-size:1.6rem;line-height:1.25;overflow-wrap:anywhere}th{white-space:nowrap}h2{font-size:1.2rem;margin-top:2.2rem}h3{font-size:1rem}
table{border-collapse:collapse;font-size:.85rem}
th,td{text-align:left;vertical-align:top;padding:.15rem .8rem .15rem 0;overflow-wrap:anywhere}
main>ul:first-of-type li{margin:.4rem 0}
.gallery{display:flex;flex-wrap:wrap;gap:.8rem}
figure{margin:0;width:96px}figcaption{font-size:.75rem;overflow-wrap:anywhere}
@media (prefers-color-scheme:dark){body{background:#14181e;color:#e6e6e6}
 .tlb-plot img{filter:invert(.92) hue-rotate(180deg)}.tlb-plot{background:none!important}}
"""
