"""The answers about a network on a page: one that needs nothing else, and the parts that a notebook shows."""

from __future__ import annotations

import html
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tlbook import settings
from tlbook.book import diagnosis, explorer, pages, parameters, records
from tlbook.book.diagnosis import THUMB, Diagnosis, Report, first_sentences
from tlbook.questions.your_network import answers, figures

EXAMPLES = records.FOLDER.parent / "examples" / "your_network"  # a folder each
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


def begin(scope: Mapping[str, object]) -> dict[str, Report]:
    """Validate a notebook's parameters (its ``globals()``) and study, or load the recorded examples:
    reports by the label of their tab, one without tables where none is recorded."""
    pages.say_errors()
    settings.settle()
    given = parameters.read(scope, Diagnosis)
    if given.results == "run":
        return {"this build": diagnosis.run(given, say=lambda line: print(line, file=sys.stderr))}
    found = {file.parent.name: Report.load(file.parent) for file in sorted(EXAMPLES.glob("*/report.json"))}
    none = {"example": "none is recorded yet; at scale smoke this page makes one"}
    return found or {"example": Report(none, [], [], {}, {})}


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
