"""`tlbook …`: the notebooks' jobs without a notebook. Every refusal is one sentence and exit code 2."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import typer

from tlbook import code_state, questions, scales, settings, tables
from tlbook.book import diagnosis, parameters, records
from tlbook.book.parameters import Parameters
from tlbook.errors import OutOfTime, TlbookError, door
from tlbook.scales import FOLDER

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)
runs_app = typer.Typer(no_args_is_help=True, help="Look at trained runs.")
app.add_typer(runs_app, name="runs")
data_app = typer.Typer(no_args_is_help=True, help="Get data sets, and look at what is there.")
app.add_typer(data_app, name="data")

Questions = Annotated[
    list[str] | None, typer.Option("--only", help="A question; give it again for more. Default: all.")
]
Scale = Annotated[str, typer.Option(help=parameters.FIELDS["scale"].metadata["about"])]
OPTIONS = tuple(name for name in parameters.NAMES if name not in ("results", "records"))


def _option(name: str, field: dataclasses.Field) -> inspect.Parameter:
    """A parameter as an option that takes text, which `Parameters` reads; of several values, given again."""
    several = field.default == ()
    about = field.metadata["about"] + (" Again for more." if several else "")
    option = typer.Option(f"--{field.metadata.get('option', name.replace('_', '-'))}", help=about)
    default = inspect.Parameter.empty if name == "scale" else () if several else ""
    kind = Annotated[list[str] if several else str, option]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)


def takes(*names: str, fields: Mapping = parameters.FIELDS) -> Callable[[Callable], Callable]:
    """Give a command options for those parameters: what was given is its first argument, a mapping."""

    def decorate(command: Callable) -> Callable:
        @functools.wraps(command)
        def run(**arguments) -> None:
            asked = {name: arguments.pop(name) for name in names}
            command({name: value for name, value in asked.items() if value}, **arguments)

        _, *own = inspect.signature(command, eval_str=True).parameters.values()
        options = (_option(name, fields[name]) for name in names)
        together = [*options, *(p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own)]
        run.__signature__ = inspect.Signature(together)
        run.__annotations__ = {p.name: p.annotation for p in together}
        return run

    return decorate


def main() -> None:
    """Run the command line behind `tlbook.errors.door`, with the folders of the environment absolute."""
    with door("tlbook: "):
        settings.settle()
        app()


def _read(options: Mapping[str, object]) -> tuple[Parameters, scales.Scale]:
    """The validated parameters and the scale to study; images are looked for where they say."""
    given = parameters.read(options)
    if given.root:
        os.environ["TLBOOK_DATA"] = str(given.root)
    return given, given.apply()


@app.command()
@takes("scale", "data", "pretrained", "epochs")
def train(
    options: Mapping,
    role: Annotated[str, typer.Argument(help="source, or a target role.")],
    init: Annotated[str, typer.Option(help=f"{', '.join(scales.INITS + scales.CONTROLS)}.")] = "P-T",
    rate: Annotated[str, typer.Option(help="low or high.")] = "low",
    seed: Annotated[int, typer.Option(min=0)] = 0,
    block_size: Annotated[str, typer.Option(help="'*' or pixels; empty: unshuffled and augmented.")] = "",
    retrain: Annotated[bool, typer.Option("--retrain", help="Train anew even if finished.")] = False,
) -> None:
    """Train one run (P first, if it starts from a P that is not there yet) and print where it is."""
    from tlbook.questions import grid
    from tlbook.training import data_parallel, executors, runs

    scales.get(options["scale"]).task(role)  # refuses
    for option, word, valid in (("init", init, scales.INITS + scales.CONTROLS), ("rate", rate, scales.RATES)):
        if word not in valid:
            raise TlbookError(f"--{option} is one of {', '.join(valid)}, not {word!r}.")
    if role == scales.SOURCE:
        spec = grid.source(_read(options)[1])
    else:
        _, scale = _read({**options, "targets": [role], "seeds": [seed]})
        spec = grid.of_init(scale, init, role, rate, seed, block_size=block_size or None)
    if data_parallel.processes() > 1:
        run = data_parallel.ensure(spec, retrain)
    else:
        if role != scales.SOURCE and init != "RI-T":
            executors.ensure_all(grid.pretraining(scale))
        run = runs.ensure(spec, retrain=retrain, show=True)
    if run:
        print(f"{run.id}  {spec.label}\n{run.path}")


@runs_app.command("list")
def list_runs() -> None:
    """All finished runs, newest first; then those that are damaged, which are trained anew when asked for."""
    from tlbook.training import runs

    for run in runs.every():
        print(f"{run.id}  {run.complete['seconds']:8.1f} s  {run.spec['label']}")
    for run in runs.damaged():
        print(f"{run.id}  damaged: {run.damage}")


@runs_app.command("show")
def show_run(run_id: Annotated[str, typer.Argument(help="A run's id, or its first letters.")]) -> None:
    """A run's spec, what it keeps, and its last measurements."""
    import json

    from tlbook.training import runs

    found = [run for run in (*runs.every(), *runs.damaged()) if run.id.startswith(run_id)]
    if len(found) != 1:
        raise TlbookError(f"{len(found)} finished runs begin with {run_id!r}; `tlbook runs list` shows all.")
    (run,) = found
    if run.damage:
        raise TlbookError(f"Run {run.id} is damaged ({run.damage}): it is trained anew when asked for.")
    history = run.history()
    about = {"complete": run.complete, "kept": run.kept(), "path": str(run.path)}
    print(json.dumps(run.spec | about, indent=1))
    print(history.groupby(["split", "metric"]).tail(1).to_string(index=False))


@data_app.command("get")
def get_data(
    name: Annotated[str, typer.Argument(help="tiny-imagenet, pacs, domainnet, domainnet/real, …")],
    data: Annotated[str, typer.Option(help="Folder of the data sets (default: TLBOOK_DATA).")] = "",
    mirror: Annotated[
        list[str] | None,
        typer.Option(help="Address of a folder that has the archives, tried first; again for more."),
    ] = None,
    archive: Annotated[
        list[str] | None, typer.Option(help="An archive that you have, or a folder of them; again for more.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep downloaded archives.")] = False,
) -> None:
    """Download a data set, check and unpack it; or say what to put where."""
    from tlbook.data import get

    root = _data_folder(data)
    for line in get.get(name, root, mirror or (), [settings.absolute(path) for path in archive or ()], keep):
        print(line)


@data_app.command("check")
def check_data(
    names: Annotated[
        list[str] | None, typer.Argument(help="Data sets, or folder:/path. Default: all.")
    ] = None,
    data: Annotated[str, typer.Option(help="Folder of the data sets (default: TLBOOK_DATA).")] = "",
    decode: Annotated[bool, typer.Option("--decode", help="Decode every image too: takes minutes.")] = False,
) -> None:
    """What is there, complete or broken. Exit code 1 if one is broken, or one that you name is not whole."""
    from tlbook.data import get, layouts, sources

    if data or not all(name.startswith(FOLDER) for name in names or [""]):
        os.environ["TLBOOK_DATA"] = str(_data_folder(data, must_exist=True))
    groups = sources.GROUPS | {"pacs": tuple(name for name in layouts.DATASETS if name.startswith("pacs/"))}
    wanted = [part for name in names or () for part in groups.get(name, (name,))]
    for name in wanted:
        if name not in layouts.DATASETS and not name.startswith(FOLDER):
            raise TlbookError(f"There is no data set {name!r}; choose from {', '.join(layouts.DATASETS)}.")
    found = [get.check(name, decode) for name in wanted or layouts.DATASETS]
    for state in found:
        print(f"{state.dataset:20} {state.state:10} {state.said}")
    good = (get.COMPLETE,) if names else (get.COMPLETE, get.ABSENT, get.INCOMPLETE)
    if any(state.state not in good for state in found):
        sys.exit(1)


def _data_folder(given: str, must_exist: bool = False) -> Path:
    """The folder of the data sets, as given or as TLBOOK_DATA says."""
    text = given or os.environ.get("TLBOOK_DATA", "").strip()
    if not text:
        raise TlbookError("Name the folder of the data sets with --data, or in TLBOOK_DATA.")
    folder = settings.absolute(text)
    if must_exist and not folder.is_dir():
        raise TlbookError(f"There is no folder {folder}; --data names the folder that holds the data sets.")
    return folder


@app.command()
@takes(*(name for name in OPTIONS if name != "workers"))
def plan(
    options: Mapping,
    throughput: Annotated[
        float, typer.Option(min=0, help="Image-passes a second of one GPU: hours on 1, 8 and 64 of them.")
    ] = 0.0,
) -> None:
    """Count runs, image-passes and disk of each question, and how long that takes: here, as measured now, or
    on 1, 8 and 64 GPUs."""
    from tlbook.questions import plan as planning
    from tlbook.training import executors, runs

    given, asked = _read(options)
    scale = planning.with_p(asked)
    if scale.pretrained != asked.pretrained:
        print(f"No P is shipped for scale {scale.name} yet, so its pre-training is counted too.")
    counted = planning.plan(scale, given.targets, given.seeds)
    workers = (1, 8, 64) if throughput or runs.on_gpu() else (executors.default_workers(),)
    speed = throughput or planning.throughput(scale)
    print(planning.durations(counted, speed, workers).to_string(index=False))
    there = "given" if throughput else f"measured now on {runs.device()}, {workers[0]} worker(s)"
    print(f"at {speed:.0f} image-passes/s a worker, {there}")


@app.command()
@takes(*OPTIONS)
def reproduce(
    options: Mapping,
    only: Questions = None,
    record: Annotated[str, typer.Option(help="Folder to record into ('book' is book/records).")] = "",
    commit: Annotated[str, typer.Option(help="The commit of this code, where git cannot tell.")] = "",
    retrain: Annotated[bool, typer.Option("--retrain", help="Train anew even what is finished.")] = False,
    minutes: Annotated[float, typer.Option(min=0, help="Train for so many minutes at most.")] = 0.0,
    cluster: Annotated[str, typer.Option(help="A Dask scheduler whose workers train: tcp://host:8786.")] = "",
) -> None:
    """Train what is missing for the questions, print their tables' sizes, and record them if asked.

    Questions are taken in the order in which they are named. When the minutes are over, those whose runs are
    not whole are named, and the same command goes on from there.
    """
    from tlbook.book import results

    given, scale = _read(options)
    if record and scale != scales.get(given.scale):
        raise TlbookError(
            "Only a scale as it stands is recorded: without --pretrained, folder: or other counts and epochs."
        )
    asked = [questions.get(name) for name in dict.fromkeys(only or questions.every())]
    folder = records.FOLDER if record in ("", "book") else settings.absolute(record)
    if record:
        wanted = {"targets": given.targets, "seeds": list(given.seeds)}
        for question in asked:
            code = code_state.current(commit, question.name)
            records.refuse_loss(given.scale, question.name, wanted | code, folder)
    until = time.time() + 60 * minutes if minutes else math.inf
    how = {"workers": given.workers, "retrain": retrain, "commit": commit, "until": until, "cluster": cluster}
    late = []
    for question in asked:
        try:
            result = results.run(question, scale, given.targets, given.seeds, **how)
        except OutOfTime as error:
            print(f"{question.name}: {error}")
            late.append(question.name)
            continue
        for name, frame in result.tables.items():
            print(f"{question.name}.{name}: {len(tables.check(question.table(name), frame))} rows")
        if record:
            where = records.add(given.scale, question.name, result.tables, result.provenance, folder)
            print(f"recorded in {where}", flush=True)
    if late:
        raise OutOfTime(f"The time was up before {', '.join(late)} had all runs; the same command goes on.")


@app.command()
@takes(*OPTIONS, "results")
def notebook(
    options: Mapping,
    question: Annotated[str, typer.Argument(help="A question, whose notebook is run.")],
    target: Annotated[str, typer.Argument(help="The executed notebook to write.")],
) -> None:
    """Run a question's notebook with Papermill; what is wrong is said in one sentence."""
    import papermill

    _read(options)  # refuses
    source = code_state.REPOSITORY / "notebooks" / f"{questions.get(question).notebook}.ipynb"
    try:
        papermill.execute_notebook(source, target, dict(options))
    except papermill.PapermillExecutionError as error:
        raise TlbookError(error.evalue) from None


@app.command()
@takes(*diagnosis.OPTIONS, fields=diagnosis.FIELDS)
def diagnose(
    options: Mapping,
    out: Annotated[str, typer.Option(help="The page to write.")] = "diagnosis.html",
    record: Annotated[str, typer.Option(help="A folder for the tables, as CSV.")] = "",
) -> None:
    """What did pre-training give your network on your images? Train, measure, and write one page."""
    from tlbook.book import diagnosis_page

    report = diagnosis.run(parameters.read(options, diagnosis.Diagnosis))
    if record:
        report.save(settings.absolute(record))
    diagnosis_page.write(report, settings.absolute(out))
    for line in diagnosis.in_short(report):
        print(line)
    for line in report.left_out:
        print(f"left out: {line}")
    print(f"written: {settings.absolute(out)}")


@app.command("claims")
def claims_(
    scale: Scale,
    only: Annotated[str, typer.Option("--only", help="One question.")] = "",
    json_file: Annotated[str, typer.Option("--json", help="Write the verdicts to this file too.")] = "",
    root: Annotated[str, typer.Option("--records", help="Folder of the records.")] = "",
) -> None:
    """The paper's claims against a scale's records: value, interval and verdict of each statement."""
    from tlbook.evidence import statements

    judged = scales.get(scale).judged  # refuses a scale that does not exist
    asked = questions.get(only).claims if only else questions.claims()
    tables = records.load_scale(scale, settings.absolute(root) if root else records.FOLDER)
    rows = statements.evaluate(asked, tables, judged)
    print(statements.report(rows) if len(rows) else f"The paper claims nothing on {only}.")
    if json_file:
        rows.to_json(json_file, orient="records", indent=1, force_ascii=False)


@app.command()
def compare(
    there: Annotated[str, typer.Argument(help="Folder of other records, such as `reproduce --record` made.")],
    scale: Scale,
    only: Questions = None,
    root: Annotated[str, typer.Option("--records", help="Folder of the records (default: the book's).")] = "",
    within: Annotated[
        float, typer.Option(min=0, help="Largest difference that is borne, in a column's own unit.")
    ] = 0.0,
) -> None:
    """Do other records agree with the book's, number by number? Exit code 1 if not."""
    from tlbook.book import agreement

    here = settings.absolute(root) if root else records.FOLDER
    both = [q for q in only or questions.every() if only or scale in records.recorded(q, root=Path(there))]
    if not both:
        raise TlbookError(f"There are no records of scale {scale} in {there}.")
    far = 0
    for question in both:
        sides = [records.load_all(scale, question, folder) for folder in (here, Path(there))]
        found = agreement.agreement(question, *sides)
        same, count = round((found.same * found.numbers).sum()), found.numbers.sum()
        print(f"{question}: {same:,} of {count:,} numbers are the same, to the six digits recorded.")
        apart = found[(found.largest > within) | (found.one_only > 0)]
        if len(apart):
            print(apart.to_string(index=False, float_format="{:.4g}".format))
        far += len(apart)
    sys.exit(far > 0)


@app.command()
@takes("scale", "data")
def ship(options: Mapping) -> None:
    """For maintainers: put a scale's finished pre-training into the package, to be shipped."""
    from tlbook.questions import grid
    from tlbook.training import runs, weight_files

    _, scale = _read({**options, "pretrained": "train"})
    spec = grid.source(scale)
    run = runs.find(spec.id)
    if run is None:
        raise TlbookError(
            f"P of scale {scale.name} ({spec.id}) is not trained: `tlbook train source` does it."
        )
    for path in weight_files.ship(run, scale.name, scale.checkpoints.starts):
        print(f"{path.stat().st_size:>9} bytes  {path}")
