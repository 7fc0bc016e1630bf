"""The panel of a live notebook, in a real kernel that is told what a front end tells it."""

import os
import re
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup
from jupyter_client.manager import start_new_kernel

from tlbook import models, scales
from tlbook.book import panel, parameters

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "notebooks" / "01_feature_reuse.ipynb"
SHOWN = ("figures.learning_curves", "final_metrics,", "what_p_gave,")  # which of its cells are run


class FrontEnd:
    """Runs cells as a reader's front end does, and keeps what a page would show: outputs by display id, and
    the state of widgets."""

    def __init__(self, client):
        self.client, self.outputs, self.widgets, self.seen = client, {}, {}, []

    def execute(self, source: str, allow_stdin: bool = True) -> None:
        self._until_idle(self.client.execute(source, allow_stdin=allow_stdin))

    def tell(self, widget: str, data: dict) -> None:
        """Send what a browser sends when a widget is used."""
        content = {"comm_id": widget, "data": data}
        message = self.client.session.msg("comm_msg", content)
        self.client.shell_channel.send(message)
        self._until_idle(message["header"]["msg_id"])

    def choose(self, name: str, **state: object) -> None:
        self.tell(self.named(name), {"method": "update", "state": state, "buffer_paths": []})

    def click(self) -> None:
        self.tell(self.named("Run"), {"method": "custom", "content": {"event": "click"}})

    def named(self, description: str) -> str:
        """The newest widget of that description."""
        return [one for one, state in self.widgets.items() if state.get("description") == description][-1]

    @property
    def said(self) -> str:
        """What the panel says below its widgets."""
        return [s["value"] for s in self.widgets.values() if s.get("_model_name") == "HTMLModel"][-1]

    def _until_idle(self, request: str) -> None:
        while True:
            message = self.client.get_iopub_msg(timeout=180)
            if message["parent_header"].get("msg_id") != request:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "status" and content["execution_state"] == "idle":
                return
            self.seen.append((kind, content))
            if kind in ("display_data", "update_display_data", "execute_result"):
                self.outputs[content.get("transient", {}).get("display_id")] = content["data"]
            elif kind == "comm_open":
                self.widgets[content["comm_id"]] = dict(content["data"]["state"])
            elif kind == "comm_msg" and content["data"].get("method") in ("update", "echo_update"):
                self.widgets[content["comm_id"]] |= content["data"]["state"]


def cells() -> list[str]:
    return [cell.source for cell in nbformat.read(PAGE, as_version=4).cells if cell.cell_type == "code"]


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """A kernel in a folder of its own, and values with next to nothing to train."""
    folder = tmp_path_factory.mktemp("live")
    models.save(models.build(scales.get("smoke").network, 16).state_dict(), folder / "P.safetensors")
    given = {"pretrained": str(folder / "P.safetensors"), "targets": ["real"], "seeds": [0], "epochs": 1,
             "block_sizes": ["*"], "images": 40, "workers": 1}  # fmt: skip
    here = {name: str(folder / name.lower()) for name in ("TLBOOK_RUNS", "TLBOOK_CACHE", "IPYTHONDIR")}
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    env = os.environ | here | {"TLBOOK_DEVICE": "cpu", "PYTHONPATH": path, "JUPYTER_PREFER_ENV_PATH": "1"}
    env.pop("TLBOOK_DATA", None)
    manager, client = start_new_kernel(kernel_name="python3", env=env, cwd=str(folder))
    yield client, given
    client.stop_channels()
    manager.shutdown_kernel(now=True)


@pytest.fixture(scope="module")
def page(started):
    """The first question's page as somebody has it open, after its first run."""
    client, given = started
    front = FrontEnd(client)
    declared, begin, *rest = cells()
    front.execute(declared)
    front.execute("\n".join(f"{name} = {value!r}" for name, value in given.items()))
    front.execute(begin)
    for source in rest:
        if any(name in source for name in SHOWN) and "pages.show(" in source:
            front.execute(source)
    return front


def figures(front: FrontEnd) -> dict[str, str]:
    return {name: data["text/html"] for name, data in front.outputs.items() if "text/html" in data and name}


def first(front: FrontEnd) -> list[str]:
    """The words of the frame that each figure shows first."""
    pages = [BeautifulSoup(text, "html.parser") for text in figures(front).values()]
    return [(page.select_one(".tlb-panel") or page).text for page in pages]


def test_every_declared_parameter_has_a_widget_with_the_notebooks_value(page):
    declared = parameters.assigned(cells()[0])
    shown = {state["description"]: state for state in page.widgets.values() if "description" in state}
    assert set(declared) <= set(shown)
    kinds = {name: shown[name]["_model_name"] for name in declared}
    assert kinds["scale"] == kinds["results"] == "DropdownModel"
    assert kinds["targets"] == kinds["block_sizes"] == "SelectMultipleModel"
    assert kinds["epochs"] == kinds["images"] == "BoundedIntTextModel" and kinds["data"] == "TextModel"
    assert shown["targets"]["_options_labels"] == list(scales.TARGETS) and shown["targets"]["index"] == [0]
    assert shown["epochs"]["value"] == 1 and shown["seeds"]["value"] == "0"


def test_what_is_refused_changes_nothing(page):
    before = dict(figures(page))
    page.choose("seeds", value="0, -1")
    page.click()
    assert "is not a whole number of at least 0" in page.said and "role='alert'" in page.said
    assert figures(page) == before
    page.choose("seeds", value="0")


def test_run_trains_with_progress_and_the_figures_follow(page):
    before = figures(page)
    assert len(before) == len(SHOWN)
    page.seen.clear()
    page.choose("seeds", value="0, 1")
    page.click()
    after = figures(page)
    assert page.said == "Done."
    assert after.keys() == before.keys() and all(after[name] != before[name] for name in before)
    assert all("seeds 0, 1: " in words for words in first(page))
    states = [c["data"].get("state", {}) for kind, c in page.seen if kind == "comm_msg"]
    told = [state["value"] for state in states if isinstance(state.get("value"), str)]
    assert any(re.search(r"1/2 runs, [\d:]+ left", text) for text in told)
    assert {kind for kind, _ in page.seen} <= {"status", "comm_msg", "comm_open", "update_display_data"}


def test_a_cell_that_is_run_by_hand_is_found_by_the_next_run(page):
    source = next(cell for cell in cells() if "figures.convergence" in cell and cell.startswith("pages.show"))
    page.execute(source)
    count = len(figures(page))
    page.choose("seeds", value="1")
    page.click()
    assert count == len(SHOWN) + 1 and all("seeds 1: " in words for words in first(page))


def test_the_scale_says_what_may_be_chosen(page):
    sizes = page.widgets[page.named("block_sizes")]
    assert sizes["_options_labels"][-1] == "32"
    page.choose("scale", index=list(scales.SCALES).index("paper"))
    assert page.widgets[page.named("block_sizes")]["_options_labels"][-1] == "224"


def test_nobody_there_no_panel(started):
    """As Papermill runs it: no widget, plain outputs."""
    client, given = started
    front = FrontEnd(client)
    front.execute("%reset -f\ndel get_ipython().tlbook_page", allow_stdin=False)
    front.execute(cells()[0], allow_stdin=False)
    front.execute("\n".join(f"{name} = {value!r}" for name, value in given.items()), allow_stdin=False)
    front.execute(cells()[1], allow_stdin=False)
    assert not front.widgets and not front.outputs


BARS = [
    ("3/72 runs:   4%|4         | 12.0k/300k [00:01<01:33, 8.6k passes/s]", ("3/72 runs, 01:33 left", 4)),
    ("\rdecode photo: 100%|###| 9/9 [00:01<00:00, 8it/s]", ("decode photo, 00:00 left", 100)),
    ("source P:   0%|          | 0/12 [00:00<?, ?epoch/s]", ("source P, ? left", 0)),
]


@pytest.mark.parametrize(("line", "told"), BARS)
def test_bars_are_read(line, told):
    heard = []
    panel.Progress(lambda *said: heard.append(said)).write(line)
    assert heard == [told]
    panel.Progress(lambda *said: heard.append(said)).write("a warning: no bar")
    assert len(heard) == 1
