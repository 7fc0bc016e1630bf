"""The book's build on made-up notebooks: what runs and why, what is refused, what a formula becomes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import nbformat
import pytest
from made_up_book import KERNEL, notebook, repository
from nbformat.v4 import new_code_cell, new_notebook, new_output

from tlbook import scales
from tlbook.build import execute, facts, gate, keys, make, mathml, render, stage
from tlbook.build.__main__ import main
from tlbook.errors import TlbookError


def executed(source: str, *outputs, count: int | None = 1, **metadata):
    """A notebook of one code cell that has run."""
    cell = new_code_cell(source, outputs=list(outputs), execution_count=count, metadata=metadata)
    return new_notebook(cells=[cell], metadata=KERNEL)


def shown(**data):
    return new_output("display_data", data={k.replace("_", "/"): v for k, v in data.items()})


@pytest.fixture
def tree(tmp_path) -> Path:
    return repository(tmp_path)


# -- stage ------------------------------------------------------------------------------------------------


def test_stage_mirrors_the_book_and_leaves_executed_notebooks(tree):
    staged = stage.stage(tree, "smoke")
    assert staged == tree / "_build" / "smoke"
    assert (staged / "book" / "intro.md").read_text() == "# Intro\n"
    (staged / "notebooks" / "01_a.ipynb").write_text("executed")
    (staged / "notebooks" / "02_gone.ipynb").write_text("executed")
    (staged / "book" / "stray.md").write_text("x")
    stage.stage(tree, "smoke")
    assert (staged / "notebooks" / "01_a.ipynb").read_text() == "executed"
    assert not (staged / "notebooks" / "02_gone.ipynb").exists()
    assert not (staged / "book" / "stray.md").exists()


def test_stage_refuses_a_folder_that_is_no_repository(tmp_path):
    with pytest.raises(TlbookError, match="it has no _config.yml, _toc.yml, book, notebooks"):
        stage.stage(tmp_path, "smoke")
    assert not (tmp_path / "_build").exists()


def test_smoke_runs_and_other_scales_need_records(tree):
    assert stage.mode_of(tree, "smoke") == "run"
    with pytest.raises(TlbookError, match="Nothing is recorded at scale 'laptop'") as refusal:
        stage.mode_of(tree, "laptop")
    assert "\n" not in str(refusal.value)
    folder = tree / "book" / "records" / "laptop" / "feature_reuse"
    folder.mkdir(parents=True)
    (folder / "learning_curves.csv").write_text("role\n")
    assert stage.mode_of(tree, "laptop") == "records"
    with pytest.raises(TlbookError, match="choose from smoke, laptop"):
        stage.mode_of(tree, "huge")


# -- keys: why something runs -----------------------------------------------------------------------------


def test_key_is_stable_and_names_what_changed(tree, monkeypatch):
    source = tree / "notebooks" / "01_a.ipynb"

    def changes(change) -> list[str]:
        before = keys.key(tree, source, {"scale": "smoke"})
        assert keys.changed(before, keys.key(tree, source, {"scale": "smoke"})) == []
        change()
        return keys.changed(before, keys.key(tree, source, {"scale": "smoke"}))

    assert changes(lambda: (tree / "tlbook" / "code.py").write_text("a = 2\n")) == ["package"]
    assert changes(lambda: (tree / "tlbook" / "code.py").rename(tree / "tlbook" / "other.py")) == ["package"]
    assert changes(lambda: (tree / "tlbook" / "evidence" / "paper.json").write_text("[]\n")) == [
        "paper's data"
    ]
    assert changes(lambda: (tree / "book" / "records" / "a.csv").write_text("1\n")) == ["records"]
    assert changes(lambda: source.write_text("{}")) == ["source"]
    assert changes(lambda: monkeypatch.setenv("TLBOOK_DATA", "/elsewhere")) == ["data folder"]
    assert changes(lambda: (tree / "book" / "intro.md").write_text("# Other\n")) == []
    (tree / "tlbook" / "__pycache__").mkdir()
    assert changes(lambda: (tree / "tlbook" / "__pycache__" / "code.pyc").write_bytes(b"x")) == []
    new, old = (keys.key(tree, source, {"scale": scale}) for scale in ("smoke", "laptop"))
    assert keys.changed(old, new) == ["parameters"]
    assert keys.changed({}, new) == list(new)


def test_reasons_to_execute(tree):
    target = stage.stage(tree, "smoke") / "notebooks" / "01_a.ipynb"
    key = {"source": "1", "package": "2"}
    assert execute.why(target, key) == ["it was never executed here"]
    target.write_text("executed")
    assert execute.why(target, key) == ["its last execution did not end well"]
    execute._remember(target, key)
    assert execute.why(target, key) == []
    assert execute.why(target, key | {"package": "3"}) == ["package changed"]
    target.write_text("edited")
    assert execute.why(target, key) == ["its executed copy was changed by hand"]
    execute._memory(target).write_text("{")
    assert execute.why(target, key) == ["the note on its last execution is broken"]


# -- parameters -------------------------------------------------------------------------------------------


def test_a_notebook_gets_the_parameters_that_it_declares(tree):
    names = execute.declared(tree / "notebooks" / "01_a.ipynb")
    assert names == ["scale", "results"]
    assert execute.chosen("a", ["scale"], {"scale": "smoke", "results": "run"}) == {"scale": "smoke"}
    assert execute.chosen("a", [], {"scale": "smoke"}) == {}


def test_a_parameter_that_papermills_help_would_hide_is_refused(tree):
    """Papermill gives up on a line with a second '='."""
    source = tree / "notebooks" / "01_a.ipynb"
    nbformat.write(notebook(parameters='scale: str = ""  # text\nepochs: int = 0  # 0 = all'), source)
    with pytest.raises(TlbookError, match="01_a.ipynb declares epochs: write it on one line"):
        execute.declared(source)
    nbformat.write(notebook(parameters=None), source)
    assert execute.declared(source) == []


def test_a_parameter_that_nobody_validates_is_refused():
    with pytest.raises(TlbookError, match="a declares colour, which tlbook.book.parameters does not know"):
        execute.chosen("a", ["scale", "colour"], {"scale": "smoke"})


# -- gate -------------------------------------------------------------------------------------------------

ERROR = new_output("error", ename="ValueError", evalue="no\nmore")
STDERR = new_output("stream", name="stderr", text="warned")
STDOUT = new_output("stream", name="stdout", text="1\n")


@pytest.mark.parametrize(
    ("made", "part"),
    [
        (executed("f()", ERROR), r"code cell 1 \(f\(\)\) raised ValueError: no$"),
        (executed("x = 1", count=None), "was not executed"),
        (executed("x = 1", papermill={"status": "pending"}), "was not executed"),
        (executed("x = 1", papermill={"status": "running"}), "was not executed"),
        (executed("explorer.tabs({})"), "shows nothing"),
        (executed("f()", STDERR), "shows nothing"),
        (executed("f()", shown(text_html="  ")), "shows nothing"),
        (executed("ax", shown(text_plain="<Axes: xlabel='x'>")), "shows only the name of an object"),
        (executed("f", shown(text_plain="<f at 0x7f00>")), "shows only the name of an object"),
    ],
)
def test_gate_names_what_is_wrong(made, part):
    (problem,) = gate.problems(made)
    assert re.search(part, problem)


def test_gate_sees_papermills_exception():
    made = executed("x = 1")
    made.metadata["papermill"] = {"exception": True}
    assert gate.problems(made) == ["Papermill recorded an exception"]


@pytest.mark.parametrize(
    "made",
    [
        executed("import a\nx = 1"),
        executed("def f():\n    return 1"),
        executed("f()", STDOUT),
        executed("f()", shown(text_html="<p>", text_plain="<f at 0x7f00>")),
        executed("fig", shown(image_png="iVBOR", text_plain="<Figure size 1x1 with 0 Axes>")),
        executed("table", shown(text_plain="   a\n0  1")),
        executed("plot();"),
        executed("close()", tags=["no-output"]),
        executed("%matplotlib inline"),
        executed("  ", count=None),
    ],
)
def test_gate_lets_pass(made):
    assert gate.problems(made) == []


# -- execution --------------------------------------------------------------------------------------------


def test_notebooks_run_once_from_the_clean_source_and_failures_are_named(tree):
    """The whole of it with real kernels: a good notebook, a failing one, then reuse, then a change."""
    bad = notebook("import os", "assert os.getcwd() == ''", "print('later')", parameters=None)
    nbformat.write(bad, tree / "notebooks" / "02_bad.ipynb")
    clean = (tree / "notebooks" / "01_a.ipynb").read_bytes()
    before = {path.name for path in tree.iterdir()}
    staged = stage.stage(tree, "smoke")
    offered, lines = {"scale": "smoke", "results": "run"}, []
    (failure,) = execute.execute_all(tree, staged, offered, 60, lines.append)
    assert failure.startswith("notebooks/02_bad.ipynb: ")
    assert "(assert os.getcwd() == '') raised AssertionError" in failure
    assert "; 1 after it not executed" in failure
    assert (tree / "notebooks" / "01_a.ipynb").read_bytes() == clean
    assert {p.name for p in tree.iterdir()} - before == {"_build"}

    made = nbformat.read(staged / "notebooks" / "01_a.ipynb", as_version=4)
    declared, injected, code = (cell for cell in made.cells if cell.cell_type == "code")
    assert code.outputs[0].text == "smoke run\n"
    assert declared.metadata.tags == ["parameters", "hide-input"]
    assert injected.metadata.tags == ["injected-parameters", "hide-input"]
    assert injected.metadata.mystnb["code_prompt_show"] == "Show what this page was built with"

    (tree / "notebooks" / "02_bad.ipynb").unlink()
    stage.stage(tree, "smoke")
    lines.clear()
    assert execute.execute_all(tree, staged, offered, 60, lines.append) == []
    assert len(lines) == 1 and "reused (unchanged: source, parameters, package" in lines[0]

    (tree / "tlbook" / "code.py").write_text("a = 3\n")
    lines.clear()
    assert execute.execute_all(tree, staged, offered, 60, lines.append) == []
    assert "to be executed (package changed)" in lines[0]


def test_progress_of_a_notebook_is_passed_on_but_not_every_line():
    said, now = [], iter([0, 1, 10, 11])
    ticker = execute.Ticker(said.append, every=5, clock=lambda: next(now))
    for text in ("\r 1/9 runs\r 2/9 runs", "\r 3/9 runs", "\n \n", "warned\n 8/9 runs\n", "9/9 runs"):
        ticker.write(text)
    assert said == ["2/9 runs", "8/9 runs"]


def test_a_kernel_that_does_not_exist_is_a_failure_and_no_traceback(tree):
    made = notebook("print(1)")
    made.metadata.kernelspec.name = "no-such-kernel"
    source, target = tree / "notebooks" / "01_a.ipynb", tree / "01_a.ipynb"
    nbformat.write(made, source)
    (problem,) = execute.execute(source, target, {}, 60)
    assert "no-such-kernel" in problem


def test_nothing_is_rendered_after_a_failure(tree, monkeypatch):
    monkeypatch.setattr(execute, "execute_all", lambda *a: ["notebooks/01_a.ipynb: it broke."])
    monkeypatch.setattr(render, "render", lambda *a: pytest.fail("rendered"))
    with pytest.raises(TlbookError, match="not rendered:\nnotebooks/01_a.ipynb: it broke."):
        make(tree, "smoke", say=lambda line: None)


def test_the_command_line_says_one_sentence(tree, capsys):
    assert main(["--scale", "laptop", "--root", str(tree)]) == 1
    said = capsys.readouterr()
    assert said.err.startswith("Nothing is recorded at scale 'laptop'") and "Traceback" not in said.err


def test_a_warning_of_sphinx_is_an_error(tree):
    (tree / "book" / "intro.md").write_text("# Intro\n\n[broken](nowhere.md)\n")
    staged = stage.stage(tree, "smoke")
    nbformat.write(notebook(), staged / "notebooks" / "01_a.ipynb")
    with pytest.raises(TlbookError, match="nowhere.md"):
        render.render(staged, lambda line: None)


# -- formulas and facts -----------------------------------------------------------------------------------


def test_formulas_become_mathml():
    made = mathml.to_mathml(r"\frac{a}{b_1}")
    assert made.startswith('<math xmlns="http://www.w3.org/1998/Math/MathML" display="inline">')
    assert "<mfrac>" in made and "<msub>" in made
    assert 'display="block"' in mathml.to_mathml("x", block=True)


def test_limits_stand_below_in_displayed_formulas():
    source = r"\min_{x} \sum_{i}^{n} y_i"
    block, inline = mathml.to_mathml(source, block=True), mathml.to_mathml(source)
    assert "<munder><mo>min" in block and "<munderover>" in block and "<msub><mi>y" in block
    assert "munder" not in inline


@pytest.mark.parametrize("source", [r"\nosuchcommand x", r"\frac{1}", "x^"])
def test_formulas_that_are_not_understood_are_refused(source):
    with pytest.raises(ValueError):
        mathml.to_mathml(source)


def test_every_formula_of_the_book_is_understood():
    root = Path(__file__).parents[1]
    texts = [page.read_text() for page in (root / "book").glob("*.md")]
    for page in (root / "notebooks").glob("*.ipynb"):
        cells = json.loads(page.read_text())["cells"]
        texts += ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    found = 0
    for text in texts:
        text = re.sub(r"```.*?```|`[^`]*`", "", text, flags=re.DOTALL)
        for block, inline in re.findall(r"\$\$(.+?)\$\$|\$(.+?)\$", text, flags=re.DOTALL):
            mathml.to_mathml(block or inline, bool(block))
            found += 1
    assert found > 20


def test_the_table_of_scales_reads_them_all():
    shown = facts.scales_table()
    assert list(shown.columns) == list(scales.SCALES)
    assert shown.loc["input", "paper"] == "224 px"
    assert shown.loc["block sizes", "smoke"] == ", ".join(map(str, scales.get("smoke").shuffles.sizes))


def test_notes_on_executions_are_json(tree):
    target = stage.stage(tree, "smoke") / "notebooks" / "01_a.ipynb"
    target.write_text("executed")
    execute._remember(target, {"source": "1"})
    assert json.loads(execute._memory(target).read_text())["key"] == {"source": "1"}
