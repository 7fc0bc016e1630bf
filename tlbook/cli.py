"""`tlbook …`: the notebooks' jobs without a notebook. Every refusal is one sentence and exit code 2."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from tlbook import code_state, questions, scales, tables
from tlbook.book import records
from tlbook.errors import TlbookError
from tlbook.scales import FOLDER

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)
runs_app = typer.Typer(no_args_is_help=True, help="Look at trained runs.")
app.add_typer(runs_app, name="runs")
data_app = typer.Typer(no_args_is_help=True, help="Get data sets, and look at what is there.")
app.add_typer(data_app, name="data")

ScaleName = Annotated[str, typer.Option("--scale", help=f"One of {', '.join(scales.SCALES)}.")]
Targets = Annotated[
    list[str] | None, typer.Option("--target", help="A role; give it again for more. Default: all four.")
]
Seeds = Annotated[
    list[int] | None,
    typer.Option("--seed", min=0, help="A seed; give it again for more. Default: the scale's."),
]
Questions = Annotated[
    list[str] | None, typer.Option("--only", help="A question; give it again for more. Default: all.")
]
Workers = Annotated[
    int, typer.Option(min=0, help="Processes that train side by side; 0: one a core, or one on a GPU.")
]
Data = Annotated[
    str,
    typer.Option(help="Folder of the real images (default: TLBOOK_DATA), or folder:/path for one --target."),
]
Pretrained = Annotated[
    str,
    typer.Option(
        help="'train', 'shipped', or a file: .safetensors, or a .pth.tar of the official code; default: "
        "the scale's."
    ),
]
Epochs = Annotated[int, typer.Option(min=0, help="Epochs of every target run; 0 means the scale's.")]
# To try a scale at a small price: each of them, left at 0 or empty, means the scale's.
Images = Annotated[int, typer.Option(min=0, help="At most so many training images of a target.")]
TestImages = Annotated[int, typer.Option(min=0, help="At most so many test images of every set.")]
SourceImages = Annotated[int, typer.Option(min=0, help="At most so many training images of the source.")]
SourceEpochs = Annotated[int, typer.Option(min=0, help="Epochs of pre-training.")]
BlockSizes = Annotated[
    list[str] | None,
    typer.Option("--block-size", help="'*' or pixels, again for more; the side itself is always added."),
]


def main() -> None:
    """Run the command line; what a user can put right is printed as its one sentence."""
    try:
        app()
    except TlbookError as error:
        print(f"tlbook: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:  # a folder that cannot be written, a full disk
        print(f"tlbook: {error.filename or 'a file'}: {error.strerror or error}.", file=sys.stderr)
        sys.exit(2)


def _scale(
    name: str, pretrained: str = "", data: str = "", epochs: int = 0, targets: Sequence[str] = (), **less
) -> scales.Scale:
    """The scale with what was given; ``data`` may be one target's own images, ``less`` is `_smaller`'s."""
    scale = _smaller(scales.get(name), **less)
    changes: dict = {"pretrained": pretrained} if pretrained else {}
    if epochs:
        changes["epochs"] = epochs
    own = data.startswith(FOLDER)
    if data and not Path(data.removeprefix(FOLDER)).expanduser().is_dir():
        what = "" if own else "; --data names the folder that holds the data sets, or folder:/path"
        raise TlbookError(f"There is no folder {data.removeprefix(FOLDER)}{what}.")
    if own and len(targets) != 1:
        raise TlbookError(f"--data {data} is one target's images: name the one that it stands for.")
    if own:
        changes["datasets"] = {targets[0]: data}
    elif data:
        scale.refuse_unread(data)
        os.environ["TLBOOK_DATA"] = data
    return scale.replace(**changes) if changes else scale


def _smaller(
    scale: scales.Scale,
    images: int = 0,
    test_images: int = 0,
    source_images: int = 0,
    source_epochs: int = 0,
    block_sizes: Sequence[str] | None = None,
) -> scales.Scale:
    """The scale with counts turned down, to try it; 0 or none of them leaves it as it is."""
    changes: dict = {}
    targets = {name: value for name, value in (("train", images), ("test", test_images)) if value}
    if targets:
        changes["tasks"] = {role: dataclasses.replace(t, **targets) for role, t in scale.tasks.items()}
    given = {"train": source_images, "test": test_images, "epochs": source_epochs}
    if source := {name: value for name, value in given.items() if value}:
        changes["source"] = dataclasses.replace(scale.source, **source)
    if source_epochs:
        earlier = {epoch for epoch in scale.checkpoints.starts if epoch < source_epochs}
        changes["checkpoints"] = {"starts": tuple(sorted(earlier | {source_epochs}))}
        changes["constant_epochs"] = min(scale.constant_epochs, source_epochs)
    if block_sizes:
        changes["shuffles"] = {"sizes": _block_sizes(block_sizes, scale.side)}
    return scale.replace(**changes) if changes else scale


def _block_sizes(given: Sequence[str], side: int) -> tuple[str | int, ...]:
    """'*' first, then by size, the side itself always among them; others are refused."""
    valid = scales.valid_block_sizes(side)
    wanted = {*given, str(side)}
    if wrong := sorted(wanted - set(map(str, valid))):
        sizes = ", ".join(map(str, valid))
        raise TlbookError(f"--block-size {wrong[0]} does not divide the side of {side} px; valid: {sizes}.")
    return tuple(size for size in valid if str(size) in wanted)


def _seeds(given: list[int] | None) -> tuple[int, ...]:
    return tuple(dict.fromkeys(given or ()))


def _targets(given: list[str] | None) -> tuple[str, ...]:
    given = given or []
    unknown = [target for target in given if target not in scales.TARGETS]
    if unknown:
        raise TlbookError(f"There is no role {unknown[0]!r}; choose from {', '.join(scales.TARGETS)}.")
    return tuple(dict.fromkeys(given)) or scales.TARGETS


@app.command()
def train(
    scale: ScaleName,
    role: Annotated[str, typer.Argument(help="source, or a target role.")],
    init: Annotated[str, typer.Option(help=f"{', '.join(scales.INITS + scales.CONTROLS)}.")] = "P-T",
    rate: Annotated[str, typer.Option(help="low or high.")] = "low",
    seed: Annotated[int, typer.Option(min=0)] = 0,
    block_size: Annotated[str, typer.Option(help="'*' or pixels; empty: unshuffled and augmented.")] = "",
    retrain: Annotated[bool, typer.Option("--retrain", help="Train anew even if finished.")] = False,
    data: Data = "",
    pretrained: Pretrained = "",
    epochs: Epochs = 0,
) -> None:
    """Train one run (P first, if it starts from a P that is not there yet) and print where it is."""
    from tlbook.questions import grid
    from tlbook.training import executors, runs

    value = _scale(scale, pretrained, data, epochs, [role])
    if role == scales.SOURCE:
        spec = grid.source(value)
    else:
        value.task(role)
        inits = scales.INITS + scales.CONTROLS
        for option, given, valid in (("init", init, inits), ("rate", rate, scales.RATES)):
            if given not in valid:
                raise TlbookError(f"--{option} is one of {', '.join(valid)}, not {given!r}.")
        spec = grid.of_init(value, init, role, rate, seed, block_size=block_size or None)
        if init != "RI-T":
            executors.ensure_all(grid.pretraining(value))
    run = runs.ensure(spec, retrain=retrain, show=True)
    print(f"{run.id}  {spec.label}\n{run.path}")


@runs_app.command("list")
def list_runs() -> None:
    """All finished runs, newest first."""
    from tlbook.training import runs

    for run in runs.every():
        print(f"{run.id}  {run.complete['seconds']:8.1f} s  {run.spec['label']}")


@runs_app.command("show")
def show_run(run_id: Annotated[str, typer.Argument(help="A run's id, or its first letters.")]) -> None:
    """A run's spec, what it keeps, and its last measurements."""
    import json

    from tlbook.training import runs

    found = [run for run in runs.every() if run.id.startswith(run_id)]
    if len(found) != 1:
        raise TlbookError(f"{len(found)} finished runs begin with {run_id!r}; `tlbook runs list` shows all.")
    (run,) = found
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
    for line in get.get(name, root, mirror or (), [Path(path).expanduser() for path in archive or ()], keep):
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
    """The folder of the data sets, as given or as TLBOOK_DATA says; made if need be unless it must exist."""
    text = given or os.environ.get("TLBOOK_DATA", "").strip()
    if not text:
        raise TlbookError("Name the folder of the data sets with --data, or in TLBOOK_DATA.")
    folder = Path(text).expanduser().absolute()
    if must_exist and not folder.is_dir():
        raise TlbookError(f"There is no folder {folder}; --data names the folder that holds the data sets.")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@app.command()
def plan(
    scale: ScaleName,
    target: Targets = None,
    seed: Seeds = None,
    data: Data = "",
    pretrained: Pretrained = "",
    epochs: Epochs = 0,
    images: Images = 0,
    test_images: TestImages = 0,
    source_images: SourceImages = 0,
    source_epochs: SourceEpochs = 0,
    block_size: BlockSizes = None,
) -> None:
    """Count runs, image-passes and disk of each question, and measure how long that takes here."""
    from tlbook.questions import plan as planning
    from tlbook.training import executors, runs, weight_files

    targets = _targets(target)
    less = dict(images=images, test_images=test_images, source_images=source_images)
    less |= dict(source_epochs=source_epochs, block_sizes=block_size)
    value = _scale(scale, pretrained, data, epochs, targets, **less)
    if value.pretrained == "shipped" and not weight_files.is_shipped(scale):
        print(f"No P is shipped for scale {scale} yet, so its pre-training is counted too.")
        value = value.replace(pretrained="train")
    counted = planning.plan(value, targets, _seeds(seed) or value.seeds)
    speed, workers = planning.throughput(value), executors.default_workers()
    counted["hours"] = (counted.passes / speed / workers / 3600).round(2)
    print(counted.to_string(index=False))
    print(f"at {speed:.0f} image-passes/s a worker, {workers} worker(s) on {runs.device()}, measured now")


@app.command()
def reproduce(
    scale: ScaleName,
    only: Questions = None,
    target: Targets = None,
    seed: Seeds = None,
    record: Annotated[str, typer.Option(help="Folder to record into ('book' is book/records).")] = "",
    commit: Annotated[str, typer.Option(help="The commit of this code, where git cannot tell.")] = "",
    workers: Workers = 0,
    data: Data = "",
    pretrained: Pretrained = "",
    epochs: Epochs = 0,
    images: Images = 0,
    test_images: TestImages = 0,
    source_images: SourceImages = 0,
    source_epochs: SourceEpochs = 0,
    block_size: BlockSizes = None,
    retrain: Annotated[bool, typer.Option("--retrain", help="Train anew even what is finished.")] = False,
) -> None:
    """Train what is missing for the questions, print their tables' sizes, and record them if asked."""
    from tlbook.book import results

    targets = _targets(target)
    less = dict(images=images, test_images=test_images, source_images=source_images)
    less |= dict(source_epochs=source_epochs, block_sizes=block_size)
    value = _scale(scale, pretrained, data, epochs, targets, **less)
    if record and value != scales.get(scale):
        raise TlbookError(
            "Only a scale as it stands is recorded: without --pretrained, folder: or other counts and epochs."
        )
    asked = [questions.get(name) for name in dict.fromkeys(only or questions.every())]
    folder = records.FOLDER if record in ("", "book") else Path(record)
    if record:
        wanted = {"targets": targets or scales.TARGETS, "seeds": list(_seeds(seed) or value.seeds)}
        wanted |= code_state.current(commit)
        for question in asked:
            records.refuse_loss(scale, question.name, wanted, folder)
    how = {"workers": workers or None, "retrain": retrain, "commit": commit}
    for question in asked:
        found = results.run(question, value, targets, _seeds(seed), **how)
        for name, frame in found.tables.items():
            print(f"{question.name}.{name}: {len(tables.check(question.table(name), frame))} rows")
        if record:
            where = records.add(scale, question.name, found.tables, found.provenance, folder)
            print(f"recorded in {where}")


@app.command("claims")
def claims_(
    scale: ScaleName,
    only: Annotated[str, typer.Option("--only", help="One question.")] = "",
    json_file: Annotated[str, typer.Option("--json", help="Write the verdicts to this file too.")] = "",
    root: Annotated[str, typer.Option("--records", help="Folder of the records.")] = "",
) -> None:
    """The paper's claims against a scale's records: value, interval and verdict of each statement."""
    from tlbook.evidence import statements

    asked = questions.get(only).claims if only else questions.claims()
    tables = records.load_scale(scale, Path(root) if root else records.FOLDER)
    rows = statements.evaluate(asked, tables, scales.get(scale).judged)
    print(statements.report(rows) if len(rows) else f"The paper claims nothing on {only}.")
    if json_file:
        rows.to_json(json_file, orient="records", indent=1, force_ascii=False)


@app.command()
def compare(
    there: Annotated[str, typer.Argument(help="Folder of other records, such as `reproduce --record` made.")],
    scale: ScaleName,
    only: Questions = None,
    root: Annotated[str, typer.Option("--records", help="Folder of the records (default: the book's).")] = "",
    within: Annotated[
        float, typer.Option(min=0, help="Largest difference that is borne, in a column's own unit.")
    ] = 0.0,
) -> None:
    """Do other records agree with the book's, number by number? Exit code 1 if not."""
    from tlbook.book import agreement

    here = Path(root) if root else records.FOLDER
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
def ship(scale: ScaleName, data: Data = "") -> None:
    """For maintainers: put a scale's finished pre-training into the package, to be shipped."""
    from tlbook.questions import grid
    from tlbook.training import runs, weight_files

    value = _scale(scale, "train", data)
    spec = grid.source(value)
    run = runs.find(spec.id)
    if run is None:
        raise TlbookError(f"P of scale {scale} ({spec.id}) is not trained: `tlbook train source` does it.")
    for path in weight_files.ship(run, scale, value.checkpoints.starts):
        print(f"{path.stat().st_size:>9} bytes  {path}")
