"""The answer first: what this book found to each question and what the paper did, in lines and in a picture.

Both are made from the records of the largest recorded scale. `python -m tlbook.book.answers` writes the
picture anew; a test holds it, and the lines of README.md, to the records.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape

import pandas as pd

from tlbook.book import records, scorecard

PICTURE = records.REPOSITORY / "book" / "_static" / "answers.svg"
WIDTH, ROW, TOP, LEFT, RIGHT = 720, 62, 58, 24, 24  # of the picture, in pixels
OURS, PAPER = "#0072b2", "#000000"


@dataclass(frozen=True)
class Answer:
    """A number that answers a question: the statement (`1a`) whose value it is, and what it is of.

    ``said`` is a sentence with room for {ours} and {paper}. Values are shown times ``times``, or, where
    ``ratio``, as the number whose logarithm they are. ``question`` is empty where the one before goes on.
    """

    statement: str
    question: str
    label: str
    said: str
    times: float = 1
    ratio: bool = False

    def shown(self, value: float) -> float:
        return math.exp(value) if self.ratio else self.times * value


ANSWERS = (
    Answer(
        "1a",
        "1. Feature reuse",
        "A pre-trained start ends higher than a random one: points of accuracy",
        "**Pre-training helps, and needs the picture.** "
        "A pre-trained start ends {ours} points higher than a random one (the paper: {paper}).",
    ),
    Answer(
        "9a",
        "",
        "… and where the pixels of every image are in disorder",
        "Where the pixels are in disorder, it is {ours} points (the paper: {paper}).",
    ),
    Answer(
        "16a",
        "2. Differences",
        "Two random starts end further apart than two pre-trained ones: times",
        "**Fine-tuned networks stay together.** Two random starts end {ours} times as far apart as two that "
        "share their pre-training (the paper: {paper}).",
        ratio=True,
    ),
    Answer(
        "17a",
        "3. Loss landscape",
        "Lost on the straight line between two pre-trained ones: points of accuracy",
        "**They share a basin.** On the straight line between two of them {ours} points are lost "
        "(the paper: {paper}).",
    ),
    Answer(
        "18a",
        "",
        "Left on the line between two random starts: percent of the accuracy above chance",
        "Between two random starts, {ours} percent of the accuracy above chance is left "
        "(the paper: {paper}).",
        times=100,
    ),
    Answer(
        "25a",
        "4. Criticality",
        "Setting a module back costs a random start more: points of AUC",
        "**They lean less on single modules.** Setting one back costs a random start {ours} points of AUC "
        "more (the paper: {paper}).",
        times=100,
    ),
    Answer(
        "26a",
        "5. Checkpoints",
        "The last checkpoint over one at two thirds of pre-training: points of accuracy",
        "**An earlier checkpoint does about as well.** Over one at two thirds of pre-training, the last "
        "gains {ours} points (the paper: {paper}).",
    ),
)


def rows() -> tuple[str, dict[str, pd.Series]]:
    """The largest recorded scale, and the rows of `statements.evaluate` at it, by name (`1a`)."""
    scale, judged = next(iter(scorecard.read().items()))
    return scale, {f"{row.claim}{row.letter}": row for row in judged.itertuples()}


def lines() -> list[str]:
    """What was found to each question, in Markdown."""
    _, found = rows()
    said: list[str] = []
    for answer in ANSWERS:
        row = found[answer.statement]
        sentence = answer.said.format(ours=_ours(answer, row), paper=_paper(answer, row))
        if answer.question:
            said.append(sentence)
        else:
            said[-1] += f" {sentence}"
    return said


def provenance() -> str:
    """What the numbers are, and that no verdict is meant."""
    scale, found = rows()
    return (
        f"Means of {found['1a'].n} runs of each kind at scale `{scale}`, with 95 % intervals. They are "
        "measurements, not verdicts."
    )


def _ours(answer: Answer, row) -> str:
    value, low, high = (_number(answer.shown(number)) for number in (row.value, row.low, row.high))
    return f"{value} ({low} to {high})"


def _paper(answer: Answer, row) -> str:
    return _number(answer.shown(row.paper))


def _number(value: float) -> str:
    return f"{value:.2g}".replace("-", "\N{MINUS SIGN}")


def picture() -> str:
    """The answers as SVG: a line each, with zero, the paper's value as a diamond, ours with its interval."""
    _, found = rows()
    height = TOP + ROW * len(ANSWERS) + 34
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" role="img" font-family="Helvetica, Arial, sans-serif" font-size="14">',
        f"<title>{escape(alt())}</title>",
        f'<rect width="{WIDTH}" height="{height}" rx="8" fill="#fff"/>',
        _ours_mark(LEFT + 20, LEFT + 4, LEFT + 36, 28),
        f'<text x="{LEFT + 46}" y="33">this book, with its 95 % interval</text>',
        _paper_mark(LEFT + 300, 28),
        f'<text x="{LEFT + 314}" y="33">the paper (an axis of its own in each line)</text>',
    ]
    for place, answer in enumerate(ANSWERS):
        parts += _row(answer, found[answer.statement], TOP + ROW * place)
    words = "\n".join(parts)
    below = escape(provenance().replace("`", ""))
    return f'{words}\n<text x="{LEFT}" y="{height - 14}" font-size="12" fill="#555">{below}</text>\n</svg>\n'


def _row(answer: Answer, row, top: int) -> list[str]:
    start, end, y = LEFT + 150, WIDTH - RIGHT, top + 36
    nothing = 1 if answer.ratio else 0
    ours = [answer.shown(number) for number in (row.value, row.low, row.high)]
    paper = answer.shown(row.paper)
    least, most = min(nothing, paper, *ours), max(nothing, paper, *ours)

    def x(number: float) -> float:
        return round(start + 10 + (number - least) / (most - least) * (end - start - 20), 1)

    head = []
    if answer.question:
        head.append(f'<line x1="{LEFT}" x2="{end}" y1="{top}" y2="{top}" stroke="#ddd"/>')
        head.append(f'<text x="{LEFT}" y="{top + 20}" font-weight="bold">{answer.question}</text>')
    numbers = f'<tspan fill="{OURS}" font-weight="bold">{_number(ours[0])}</tspan> / {_number(paper)}'
    return [
        *head,
        f'<text x="{LEFT}" y="{y + 5}" font-size="13">{numbers}</text>',
        f'<text x="{start}" y="{top + 20}" font-size="13">{escape(answer.label)}</text>',
        f'<line x1="{start}" x2="{end}" y1="{y}" y2="{y}" stroke="#eee" stroke-width="10"/>',
        f'<line x1="{x(nothing)}" x2="{x(nothing)}" y1="{y - 8}" y2="{y + 8}" stroke="#777"/>',
        f'<text x="{x(nothing)}" y="{y + 20}" font-size="11" text-anchor="middle">{nothing}</text>',
        _ours_mark(*map(x, ours), y),
        _paper_mark(x(paper), y),
    ]


def _ours_mark(value: float, low: float, high: float, y: float) -> str:
    return (
        f'<line x1="{low}" x2="{high}" y1="{y}" y2="{y}" stroke="{OURS}" stroke-width="3"/>'
        f'<circle cx="{value}" cy="{y}" r="5.5" fill="{OURS}"/>'
    )


def _paper_mark(x: float, y: float) -> str:
    corners = f"{x},{y - 7} {x + 7},{y} {x},{y + 7} {x - 7},{y}"
    return f'<polygon points="{corners}" fill="none" stroke="{PAPER}" stroke-width="1.8"/>'


def alt() -> str:
    """The picture in words."""
    _, found = rows()
    said = [
        f"{one.label}: {_ours(one, found[one.statement])}, the paper {_paper(one, found[one.statement])}"
        for one in ANSWERS
    ]
    return f"What this book found, and the paper. {'; '.join(said)}."


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
