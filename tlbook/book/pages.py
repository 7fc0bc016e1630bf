"""What a notebook shows: figures with captions and how they were made, tables, verdicts, words for what is
missing."""

from __future__ import annotations

import html
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from IPython import get_ipython
from IPython.core.interactiveshell import InteractiveShell
from IPython.display import display

from tlbook import questions, scales, settings
from tlbook.book import explorer, panel, parameters, records, source
from tlbook.book.parameters import Parameters
from tlbook.book.results import Results, for_page
from tlbook.errors import TlbookError, sentence
from tlbook.evidence import statements
from tlbook.question import Question

MISSING = {"real images": "Not recorded on real images yet."}  # the tab where figures of records would stand
NO_MODELS = "This page shows records, and there are no models here to compute this on; scale smoke does."
LONG = 24  # rows of a table that a reader takes in at a glance
VERDICT_MARKS = {"reproduced": "✓", "not reproduced": "✗", "open": "?", "inconclusive": "?"}


def mark(verdict: str) -> str:
    """The sign before a verdict; a dot where nothing was decided about the claim."""
    return VERDICT_MARKS.get(verdict, "·")


@dataclass(frozen=True)
class Table:
    """A table on a page: three significant digits, and a scroll bar of its own where the page is narrow."""

    frame: pd.DataFrame

    def _repr_html_(self) -> str:
        text = self.frame.rename_axis(columns=None).to_html(
            index=False, border=0, classes="tlb-data", na_rep="–", float_format="{:.3g}".format
        )
        return f'<div class="tlb-table" tabindex="0" role="group" aria-label="Table">{text}</div>'


@dataclass(frozen=True)
class Verdicts:
    """Claims: a line each with the verdicts on its statements, which opens to the numbers behind them.

    ``judged`` holds rows of `statements.evaluate`.
    """

    claims: Sequence[statements.Claim]
    judged: pd.DataFrame

    def _repr_html_(self) -> str:
        return "".join(map(self._claim, self.claims))

    def _claim(self, claim: statements.Claim) -> str:
        text = f"{claim.number}. {html.escape(claim.text)} ({html.escape(claim.where)})"
        if not claim.statements:
            return f"<p><b>· shown, not judged</b> · {text}</p>"
        rows = self.judged[self.judged.claim == claim.number]
        letters = len(rows) > 1
        said = [
            f"{mark(r.verdict)} {r.letter + ': ' if letters else ''}{statements.in_words(r)}"
            for r in rows.itertuples()
        ]
        head = f"<b>{html.escape('; '.join(said))}</b> · {text}"
        return f"<details><summary>{head}</summary>{Table(statement_rows(rows))._repr_html_()}</details>"


@dataclass(frozen=True)
class Sentences:
    """A list of sentences."""

    lines: tuple[str, ...]

    def _repr_html_(self) -> str:
        return (
            "<ul class='tlb-sentences'>"
            + "".join(f"<li>{html.escape(line)}</li>" for line in self.lines)
            + "</ul>"
        )


def begin(scope: Mapping[str, object]) -> tuple[Parameters, scales.Scale]:
    """Validate a notebook's parameters (its ``globals()``) before anything runs, show their panel to a reader
    who has it open (`tlbook.book.panel`), and say where the images are, where they are the reader's own.

    From here on the page shows an OSError as the sentence that it is on the command line.
    """
    say_errors()
    settings.settle()
    given = parameters.read(scope)
    panel.attach(scope, (explorer.Explorer, Table, Verdicts, Sentences, Folded, source.Code))
    if given.root:
        os.environ["TLBOOK_DATA"] = str(given.root)
    scale = given.apply()
    for role, folder in scale.own_images.items():
        display(
            Sentences(
                (
                    f"Figures and tables below are of your images in {folder}, which stand for {role}.",
                    "What the text says was found, and what the paper found, is about other images.",
                )
            )
        )
    return given, scale


def say_errors() -> None:
    """Let the notebook that this runs in, if it is one, end a cell with a sentence where it can be said."""

    def say(shell: InteractiveShell, kind: type, error: BaseException, trace: object, tb_offset=None) -> None:
        shell.showtraceback((TlbookError, TlbookError(sentence(error)), trace))

    if shell := get_ipython():
        shell.set_custom_exc((OSError, MemoryError), say)


def load(question: Question, given: Parameters) -> dict[str, Results]:
    """The results that a page shows, by the label of their tab: recorded ones first, then this build's, which
    comes first where a reader has just asked for it in the page's panel."""
    how = {"workers": given.workers}
    found = for_page(question, given.results, given.apply(), given.targets, given.seeds, **how)
    return dict(sorted(found.items(), key=lambda item: item[1].recorded)) if panel.runs() else found


def show(
    found: Mapping[str, Results],
    draw: Callable[..., object],
    table: str | Sequence[str],
    *more: object,
    caption: str = "",
) -> explorer.Explorer:
    """``draw(table, *more)`` for every result that has the table, in tabs, each with how it was made.

    Several table names are given to ``draw`` in their order. ``draw`` returns a figure, several by name,
    a frame that is shown as a table, or a list of sentences. Frames in ``more`` hold the paper's numbers, and
    are empty for drawn images and a reader's own. ``caption`` is a number and what to see ("Figure 1.2. P-T
    …"). Where nothing is recorded on real images, the first tab says so; a result without one of the tables,
    or with nothing in the first, says that.
    """
    frames: dict[str, object] = {}
    names = (table,) if isinstance(table, str) else tuple(table)
    found = best(found, *names)
    if not any(result.judged or result.own_images for result in found.values()):
        frames |= MISSING
    for label, result in found.items():
        result = result.having(names)
        missing = [name for name in names if name not in result.tables]
        if missing or result.tables[names[0]].empty:
            frames[label] = _lacks(result, (missing or names)[0])
            continue
        papers = [
            m if _like_the_papers(result) or not isinstance(m, pd.DataFrame) else m.iloc[:0] for m in more
        ]
        drawn = draw(*(result.tables[name] for name in names), *papers)
        frames[label] = _made(_shown(drawn), result, names[0])
    return explorer.tabs(frames, label="Results", caption=caption)


def _shown(drawn: object) -> object:
    """What a page's function returned, as a frame of an explorer."""
    if isinstance(drawn, dict):
        return explorer.tabs({name: _shown(one) for name, one in drawn.items()}, label="Show")
    if isinstance(drawn, list):
        return Sentences(tuple(drawn))
    return _table(drawn) if isinstance(drawn, pd.DataFrame) else drawn


def _like_the_papers(result: Results) -> bool:
    """Whether the paper's numbers may stand beside a result: not beside drawn images or a reader's own."""
    scale = scales.SCALES.get(result.scale)
    return scale is not None and scale.judged and not result.own_images


def _made(drawn: object, result: Results, table: str) -> explorer.Made:
    """What is shown, over a few words that open to how it was made."""
    seeds = result.provenance["seeds"]
    pilot = ", the pilot" if result.root == records.PILOT else ""
    words = f"scale {result.scale}{pilot}, {len(seeds)} seed{'s' if len(seeds) > 1 else ''}"
    return explorer.Made(drawn, words, badge(result, table))


@dataclass(frozen=True)
class Folded:
    """What a reader may want to open: a line of words, and what it opens to."""

    words: str
    shown: object

    def _repr_html_(self) -> str:
        words = html.escape(self.words)
        return f"<details class='tlb-folded'><summary>{words}</summary>{self.shown._repr_html_()}</details>"


def code(question: Question, *tables: str) -> source.Code:
    """The source of the functions that make these tables, folded (see `tlbook.book.source`)."""
    return source.Code(question, tables)


def same_as(
    results: Mapping[str, Results],
    table: str,
    by_hand: Callable[[], float | Mapping],
    over: str = "",
    *,
    column: str = "value",
    tolerance: float = 1e-5,
    **where: object,
) -> Table | Sentences:
    """What a page computes by hand beside what the study computed, of this build's own models.

    ``by_hand()`` gives a number, or one for each value of the column ``over``; ``where`` selects the rows of
    the table that they must equal, one for each. Raises TlbookError where one differs by more than
    ``tolerance`` (relative, and absolute below 1). Where a page only shows records there are no models, and
    runs that a reader chose may not give such rows (one seed has no pairs): ``by_hand`` is then not called,
    and a sentence says so.
    """
    here = built(results)
    if here is None:
        return Sentences((NO_MODELS,))
    rows = here.tables.get(table, pd.DataFrame(columns=list(where)))
    for name, value in where.items():
        rows = rows[rows[name] == value]
    if rows.empty and (_options(here) or not here.provenance.get("as_it_stands", True)):
        return Sentences((_lacks(here, table),))
    computed = by_hand()
    computed = dict(computed) if over else {"": computed}
    named = rows.set_index(over)[column] if over else rows.set_axis([""] * len(rows))[column]
    if named.index.has_duplicates or not set(computed) <= set(named.index):
        chosen = ", ".join(f"{name} {value}" for name, value in where.items())
        raise TlbookError(f"The table {table} has {len(rows)} rows where {chosen}: name one for each number.")
    shown = held(
        computed, {name: named[name] for name in computed}, f"{table} ", "in the table", tolerance, 1
    )
    return Table(shown.rename_axis(over).reset_index() if over else shown)


def same(
    results: Mapping[str, Results],
    by_hand: Callable[[], Mapping[str, float]],
    ours: Callable[[Mapping[str, pd.DataFrame]], Mapping[str, float]],
    tolerance: float = 1e-4,
) -> Table | Sentences:
    """What a page computes by hand beside what the package's own functions compute, where no table has it.

    ``ours`` is given this build's tables. Raises TlbookError where a number differs by more than
    ``tolerance`` (relative); where a page only shows records, neither is called, and a sentence says so.
    """
    here = built(results)
    if here is None:
        return Sentences((NO_MODELS,))
    computed, expected = dict(by_hand()), dict(ours(here.tables))
    if computed.keys() != expected.keys():
        raise TlbookError(f"By hand there are {', '.join(computed)}, else {', '.join(expected)}.")
    shown = held(computed, expected, "", "by the package", tolerance, 0)
    return Table(shown.rename_axis("of").reset_index())


def built(results: Mapping[str, Results]) -> Results | None:
    """The result of this build, whose models are here; None where a page only shows records."""
    return next((result for result in results.values() if not result.recorded), None)


def held(
    computed: Mapping, expected: Mapping, what: str, where: str, tolerance: float, least: float
) -> pd.DataFrame:
    """Numbers by hand and those expected, side by side, refused where they are further apart than
    ``tolerance`` times the expected (or ``least``, if that is more)."""
    compared = pd.DataFrame({"by hand": computed, where: expected}).loc[list(computed)]
    apart = (compared["by hand"] - compared[where]).abs()
    wrong = apart > tolerance * compared[where].abs().clip(lower=least)
    wrong |= compared.isna().sum(axis=1) == 1
    if wrong.any():
        name, one = compared.index[wrong][0], compared[wrong].iloc[0]
        raise TlbookError(
            f"By hand {what}{name} is {one['by hand']:.6g}, and {where} it is {one[where]:.6g}."
        )
    return compared


def _table(frame: pd.DataFrame) -> Table | explorer.Explorer:
    """A table; a long one of several targets as a choice of them, so that none need scroll past it."""
    roles = list(dict.fromkeys(frame.role)) if "role" in frame else []
    if len(frame) <= LONG or len(roles) < 2:
        return Table(frame)
    if "paper" in frame:  # opens on a target of the paper's
        roles.sort(key=lambda role: frame.paper[frame.role == role].isna().all())
    own = {role: Table(frame[frame.role == role].drop(columns="role")) for role in roles}
    return explorer.tabs(own, label="Domain")


def _lacks(result: Results, table: str) -> str:
    if result.recorded:
        return f"The table `{table}` is not recorded at scale {result.scale} yet."
    return f"These runs do not give the table `{table}`: it needs more of them, or images that are not here."


def best(found: Mapping[str, Results], *tables: str) -> dict[str, Results]:
    """Of the recorded results (highest scale first) the first that has ``tables``, and this build's own."""
    recorded = [label for label, result in found.items() if result.recorded]
    having = [label for label in recorded if set(tables) <= set(found[label].having(tables).tables)]
    kept = (having or recorded)[:1]
    return {label: result for label, result in found.items() if label in kept or not result.recorded}


def badge(result: Results, table: str) -> str:
    """How a result was made: scale, seeds, runs, commit, device, date, file, how to make it again, code."""
    made = result.provenance
    whole = made.get("as_it_stands", True)  # else a page's parameters made another scale of it
    commit = str(made.get("commit", "unknown"))[:10] + (" with changes" if made.get("clean") is False else "")
    code = f"commit `{commit}`"
    if commit == "unknown":  # installed, or copied: git cannot tell
        code = f"code `{made.get('package_digest', 'not noted')[:10]}`"
    pilot = result.root == records.PILOT
    at_it = ", at that commit" if pilot else ""
    file = records.folder(result.scale, result.question.name, result.root) / f"{table}.csv"
    parts = [
        f"scale {result.scale}"
        + (f" (the pilot, protocol {made.get('protocol')})" if pilot else "")
        + ("" if whole else ", changed by this page's parameters")
        + ("" if result.judged or result.own_images else " (shows that it works, judges nothing)"),
        *(f"{role} is `{folder}`" for role, folder in result.own_images.items()),
        f"seeds {', '.join(map(str, made['seeds']))}: {made['runs']} runs",
        _duration(made["training_seconds"]) + " of training",
        code,
        "; ".join(made["device"]),
        made["date"][:10],
        f"`{file.relative_to(records.REPOSITORY)}`" if result.recorded else "",
        f"again{at_it}: `{_command(result)}`" if whole else "",
        f"[its code](#{source.anchor(table)})" if result.question.table(table).made_by else "",
    ]
    return " · ".join(part for part in parts if part)


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _options(result: Results) -> list[str]:
    """The roles and seeds of a result as options of a command, where they are not the scale's own."""
    chosen = {
        "target": (result.roles, scales.get(result.scale).targets),
        "seed": (result.provenance["seeds"], scales.get(result.scale).seeds),
    }
    return [
        f"--{name} {value}"
        for name, (own, usual) in chosen.items()
        if list(own) != list(usual)
        for value in own
    ]


def _command(result: Results) -> str:
    """What makes a result again."""
    command = f"tlbook reproduce --scale {result.scale} --only {result.question.name}"
    return " ".join([command, *_options(result)])


def verdicts(
    results: Mapping[str, Results], question: Question | str | Sequence[statements.Claim]
) -> explorer.Explorer:
    """The paper's claims on a question (or the question of that name), or claims of ours, by the rules of
    `tlbook.evidence.statements`, for every result."""
    question = questions.get(question) if isinstance(question, str) else question
    claims = question.claims if isinstance(question, Question) else question
    frames = {}
    for label, result in best(results).items():
        if result.own_images:
            frames[label] = (
                "The paper's claims are about its own images, and are not judged on yours; what we found, "
                "below, is about the book's images."
            )
            continue
        if not result.tables:
            frames[label] = _lacks(result, next(iter(result.question.tables)))
            continue
        judged = statements.evaluate(claims, result.beside | result.tables, result.judged)
        if not _like_the_papers(result):
            judged = judged.assign(paper=np.nan, ratio=np.nan, paper_targets=0)
        frames[label] = _made(Verdicts(claims, judged), result, next(iter(result.tables)))
    return explorer.tabs(frames or MISSING, label="Verdicts")


def statement_rows(judged: pd.DataFrame) -> pd.DataFrame:
    """Rows of `statements.evaluate` for reading: what was measured, ours, the paper's value, what is asked,
    the verdict, and what to know about it."""
    return pd.DataFrame(
        {
            "": judged.claim.astype(str) + judged.letter,
            "statistic": judged.statement,
            "on": judged.targets.mask(judged.targets == ", ".join(scales.TARGETS), "all"),
            "unit": judged.unit,
            "asks": judged.asks,
            "ours": judged.value,
            "95 % interval": [statements.interval(row) for row in judged.itertuples()],
            "paper": judged.paper,
            "ours / paper": judged.ratio,
            "targets with the sign": judged.with_sign,
            "seeds": judged.n,
            "verdict": [f"{mark(row.verdict)} {statements.in_words(row)}" for row in judged.itertuples()],
            "to know": [_to_know(row) for row in judged.itertuples()],
        }
    )


def _to_know(row) -> str:
    """What a row of `statements.evaluate` needs where it is open, runs that collapsed, targets that the paper
    does not print, and its note."""
    targets = row.targets.count(",") + 1
    fewer = f"paper: {row.paper_targets} of {targets} targets" if 0 < row.paper_targets < targets else ""
    needs = row.needs if row.verdict == statements.OPEN else ""
    return "; ".join(part for part in (needs, row.collapsed, fewer, row.note) if part)


def explore(
    found: Mapping[str, Results],
    frames: Callable[[Results, str], Mapping[str, object]],
    label: str,
    first: str = "",
    caption: str = "",
) -> explorer.Explorer:
    """A choice of result, then of role, then a slider called ``label`` over ``frames(result, role)``.

    It opens on the role ``first``; ``caption`` as in `show`.
    """
    shown = {}
    for name, result in best(found).items():
        roles = sorted(result.roles, key=lambda role: role != first)
        sliders = {role: explorer.slider(frames(result, role), label=label) for role in roles}
        shown[name] = explorer.tabs(sliders, label="Domain")
    return explorer.tabs(shown or MISSING, label="Results", caption=caption)


def domains(given: Parameters, scale: scales.Scale) -> pd.DataFrame:
    """The data behind each role, the source first: as recorded if a page shows records, else counted here."""
    if given.results == "records" and scale.name in records.recorded("feature_reuse", "domains"):
        rows = records.load(scale.name, "feature_reuse", "domains").set_index("role")
        shown = (scales.SOURCE, *given.targets)
        return rows.loc[[role for role in shown if role in rows.index]].reset_index()
    from tlbook.questions import grid

    return grid.domains(scale, given.targets)


def costs(question: Question, given: Parameters) -> pd.DataFrame:
    """What a question trains at each scale for the page's targets, counted from its plan (needs torch)."""
    from tlbook.questions import plan

    return plan.of_every_scale(question, given.targets)


def pictured(scale: scales.Scale, *roles: str) -> scales.Scale:
    """The scale if the images of these targets (or of all) are on this machine, else with the generated
    family for those that are not, which every machine can draw (needs torch)."""
    from tlbook import data
    from tlbook.data.folders import MissingData

    away = {}
    for role in roles or scale.targets:
        try:
            data.load(data.request(scale, role))
        except MissingData:
            away[role] = scales.get("smoke").task(role).dataset
    return scale.replace(datasets=away) if away else scale


def stand_in(shown: scales.Scale, scale: scales.Scale) -> str:
    """What to say where `pictured` made ``shown`` of a scale, or nothing where its own images are here."""
    same = shown.datasets == scale.datasets
    return "" if same else "The images are not on this machine: generated ones stand in for them."


def samples(scale: scales.Scale, role: str, count: int = 8, seed: int = 0) -> dict[str, np.ndarray]:
    """Training images of a role, uint8 (count, side, side, 3), by block size from unshuffled to '*', shuffled
    as for a run of that seed."""
    from tlbook.questions.setup import study as setup

    return dict(reversed(setup.samples(scale, role, count=count, seed=seed).items()))


def samples_of(result: Results, scale: scales.Scale, role: str, count: int) -> tuple[dict, str]:
    """`samples` of the images behind a result, or of those that stand in for them, and `stand_in`'s words;
    nothing without torch. ``scale`` is this page's; a recorded result has its own, as it stands."""
    own = scales.get(result.scale) if result.recorded else scale
    try:
        shown = pictured(own, role)
        return samples(shown, role, count), stand_in(shown, own)
    except ModuleNotFoundError:
        return {}, ""


def gallery(
    found: Mapping[str, Results],
    scale: scales.Scale,
    draw: Callable[[pd.DataFrame, Mapping], object],
    sets: Mapping[str, str],
    caption: str = "",
) -> explorer.Explorer:
    """``draw(rows, images)`` of question 2's mistake_examples: by role, a slider over ``sets`` (name: words).

    Images are read from where they lie; where those very files are not on this machine, the answers stand
    alone.
    """

    def frames(result: Results, role: str) -> dict[str, object]:
        table = result.tables["mistake_examples"]
        own = table[table.role == role]
        images = pictures_if_here(result, scale, role, zip(own.path, own.digest, strict=True))
        shown = {words: own[own.examples == name] for name, words in sets.items()}
        draws = (lambda rows: draw(rows, images)) if images else (lambda rows: Table(answers(rows)))
        return {words: draws(rows) for words, rows in shown.items() if len(rows)}

    return explore(found, frames, label="Examples", caption=caption)


def answers(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of question 2's mistake_examples as what the two models say of each image, and how surely."""
    said = {"image": rows.answer, "difficulty": rows.difficulty}
    for end in ("", "_b"):
        sure = (100 * rows[f"confidence{end}"]).map("{:.0f} %".format)
        said[rows[f"init{end}"].iloc[0]] = rows[f"prediction{end}"] + ", " + sure
    return pd.DataFrame(said)


def pictures_if_here(
    result: Results, scale: scales.Scale, role: str, wanted: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], np.ndarray]:
    """Test images by (path, digest), uint8 (side, side, 3), as far as they, and torch, are on this machine.

    ``scale`` is this page's; a recorded result has the scale that it was recorded at, as it stands.
    """
    try:
        from tlbook.questions.setup import study as setup

        return setup.pictures(scales.get(result.scale) if result.recorded else scale, role, wanted)
    except (TlbookError, ModuleNotFoundError):
        return {}


def or_sentence(draw: Callable[..., object], *given: object) -> object:
    """``draw(*given)``; where images, weights or torch are missing, the one sentence that says what."""
    try:
        drawn = draw(*given)
        return Table(drawn) if isinstance(drawn, pd.DataFrame) else drawn
    except TlbookError as error:
        return explorer.tabs({"missing": str(error)})
    except ModuleNotFoundError as error:
        return explorer.tabs(
            {"missing": f"This needs the package {error.name}, which is not installed here."}
        )
