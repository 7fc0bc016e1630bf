"""`tlbook …`: the notebooks' jobs without a notebook. Every refusal is one sentence and exit code 2."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from tlbook import records, scales, tables
from tlbook.errors import TlbookError

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)
runs_app = typer.Typer(no_args_is_help=True, help="Look at trained runs.")
app.add_typer(runs_app, name="runs")

ScaleName = Annotated[str, typer.Option("--scale", help=f"One of {', '.join(scales.SCALES)}.")]
Targets = Annotated[list[str], typer.Option("--target", help="A role; give it again for more. Default: all four.")]
Seeds = Annotated[list[int], typer.Option("--seed", help="A seed; give it again for more. Default: the scale's.")]
Workers = Annotated[int, typer.Option(help="Processes that train side by side; 0 means one a core.")]
Data = Annotated[str, typer.Option(help="Folder of the real images; default: TLBOOK_DATA.")]
Pretrained = Annotated[str, typer.Option(help="'train', 'shipped', or a .safetensors file; default: the scale's.")]
Epochs = Annotated[int, typer.Option(help="Epochs of every target run; 0 means the scale's.")]


def main() -> None:
    """Run the command line; a TlbookError is printed as its one sentence."""
    try:
        app()
    except TlbookError as error:
        print(f"tlbook: {error}", file=sys.stderr)
        sys.exit(2)


def _scale(name: str, pretrained: str = "", data: str = "", epochs: int = 0) -> scales.Scale:
    if data:
        if not Path(data).expanduser().is_dir():
            raise TlbookError(f"There is no folder {data}; --data names the folder that holds the data sets.")
        os.environ["TLBOOK_DATA"] = data
    changes = {"pretrained": pretrained} if pretrained else {}
    if epochs:
        changes["epochs"] = epochs
    scale = scales.get(name)
    return scale.replace(**changes) if changes else scale


def _targets(given: list[str]) -> tuple[str, ...]:
    unknown = [target for target in given if target not in scales.TARGETS]
    if unknown:
        raise TlbookError(f"There is no role {unknown[0]!r}; choose from {', '.join(scales.TARGETS)}.")
    return tuple(dict.fromkeys(given)) or scales.TARGETS


@app.command()
def train(
    scale: ScaleName,
    role: Annotated[str, typer.Argument(help="source, or a target role.")],
    init: Annotated[str, typer.Option(help="P-T or RI-T.")] = "P-T",
    rate: Annotated[str, typer.Option(help="low or high.")] = "low",
    seed: Annotated[int, typer.Option(min=0)] = 0,
    block_size: Annotated[str, typer.Option(help="'*' or pixels; empty: unshuffled and augmented.")] = "",
    retrain: Annotated[bool, typer.Option("--retrain", help="Train anew even if finished.")] = False,
    data: Data = "",
    pretrained: Pretrained = "",
    epochs: Epochs = 0,
) -> None:
    """Train one run (P first, if it starts from a P that is not there yet) and print where it is."""
    from tlbook import runs
    from tlbook.studies import grid

    value = _scale(scale, pretrained, data, epochs)
    if role == scales.SOURCE:
        spec = grid.source(value)
    else:
        _targets([role])
        if init not in scales.INITS or rate not in scales.RATES:
            raise TlbookError(f"--init is one of {', '.join(scales.INITS)}, --rate one of {', '.join(scales.RATES)}.")
        spec = grid.of_init(value, init, role, rate, seed, block_size=block_size or None)
        if init == "P-T":
            runs.ensure_all(grid.pretraining(value))
    run = runs.ensure(spec, retrain=retrain, show=True)
    print(f"{run.id}  {spec.label}\n{run.path}")


@runs_app.command("list")
def list_runs() -> None:
    """All finished runs, newest first."""
    from tlbook import runs

    for run in runs.every():
        print(f"{run.id}  {run.complete['seconds']:8.1f} s  {run.spec['label']}")


@runs_app.command("show")
def show_run(run_id: Annotated[str, typer.Argument(help="A run's id, or its first letters.")]) -> None:
    """A run's spec, what it keeps, and its last measurements."""
    import json

    from tlbook import runs

    found = [run for run in runs.every() if run.id.startswith(run_id)]
    if len(found) != 1:
        raise TlbookError(f"{len(found)} finished runs begin with {run_id!r}; `tlbook runs list` shows them all.")
    (run,) = found
    history = run.history()
    print(json.dumps(run.spec | {"complete": run.complete, "kept": run.kept(), "path": str(run.path)}, indent=1))
    print(history.groupby(["split", "metric"]).tail(1).to_string(index=False))


@app.command()
def plan(scale: ScaleName, target: Targets = [], seed: Seeds = [], data: Data = "", pretrained: Pretrained = "") -> None:  # noqa: B006
    """Count runs, image-passes and disk of each question, and measure how long that takes here."""
    from tlbook import plan as planning
    from tlbook import runs

    value = _scale(scale, pretrained, data)
    counted = planning.plan(value, _targets(target), tuple(seed) or value.seeds)
    speed = planning.throughput(value)
    workers = 1 if runs.device() != "cpu" else os.cpu_count() or 1
    counted["hours"] = (counted.passes / speed / workers / 3600).round(2)
    print(counted.to_string(index=False))
    print(f"at {speed:.0f} image-passes/s a worker, {workers} worker(s) on {runs.device()}, measured just now")


@app.command()
def reproduce(
    scale: ScaleName,
    only: Annotated[list[str], typer.Option("--only", help="A question; give it again for more. Default: all.")] = [],  # noqa: B006
    target: Targets = [],  # noqa: B006
    seed: Seeds = [],  # noqa: B006
    record: Annotated[str, typer.Option(help="Write records into this folder ('book' is book/records).")] = "",
    commit: Annotated[str, typer.Option(help="The commit of this code, where git cannot tell.")] = "",
    workers: Workers = 0,
    data: Data = "",
    pretrained: Pretrained = "",
    epochs: Epochs = 0,
    retrain: Annotated[bool, typer.Option("--retrain", help="Train anew even what is finished.")] = False,
) -> None:
    """Train what is missing for the questions, print their tables' sizes, and record them if asked."""
    from tlbook import results

    value = _scale(scale, pretrained, data, epochs)
    if record and value != scales.get(scale):
        raise TlbookError("Only a scale as it stands is recorded: leave out --epochs and --pretrained.")
    unknown = [question for question in only if question not in tables.QUESTIONS]
    if unknown:
        raise TlbookError(f"There is no question {unknown[0]!r}; choose from {', '.join(tables.QUESTIONS)}.")
    for question in only or results.available():
        found = results.run(question, value, _targets(target), tuple(seed), workers=workers or None, retrain=retrain)
        for name, frame in found.tables.items():
            print(f"{question}.{name}: {len(tables.check(name, frame))} rows")
        if record:
            root = records.FOLDER if record == "book" else Path(record)
            made = found.provenance | ({"commit": commit} if commit else {})
            print(f"recorded in {records.write(scale, question, found.tables, made, root)}")


@app.command("claims")
def claims_(
    scale: ScaleName,
    only: Annotated[str, typer.Option("--only", help="One question.")] = "",
    json_file: Annotated[str, typer.Option("--json", help="Write the verdicts to this file too.")] = "",
    root: Annotated[str, typer.Option("--records", help="Folder of the records.")] = "",
) -> None:
    """The paper's claims against a scale's records: statistic, interval and verdict of each part."""
    from tlbook import claims

    folder = Path(root) if root else records.FOLDER
    judged = scales.get(scale).judged
    found = {}
    for question in tables.QUESTIONS:
        if scale in records.recorded(question, root=folder):
            found |= records.load_all(scale, question, folder)
    if not found:
        raise TlbookError(f"Scale {scale} has no records in {folder}: run `tlbook reproduce --scale {scale} --record book`.")
    print(claims.report(found, judged, only or None))
    if json_file:
        Path(json_file).write_text(claims.to_json(found, judged, only or None) + "\n")
