"""The four studies of issue 27 at a tiny size: valid tables that agree with runs, weights and plain NumPy."""

import dataclasses
import itertools

import numpy as np
import pandas as pd
import pytest
import torch

from tlbook import data, metrics, models, questions
from tlbook.book import records, results
from tlbook.data import batches
from tlbook.data.shuffles import Shuffle
from tlbook.evidence import statements
from tlbook.questions import grid
from tlbook.questions.another_p import study as another_p
from tlbook.questions.another_p import summaries
from tlbook.questions.partial_transfer import method
from tlbook.questions.partial_transfer import study as partial_transfer
from tlbook.questions.parting import study as parting
from tlbook.questions.shuffled_p import study as shuffled_p
from tlbook.training import runs

ROLE, SEEDS = "quickdraw", (0, 1)
ROOMS = ("shuffled_p", "another_p", "parting", "partial_transfer")


@pytest.fixture(scope="module")
def scale(tiny):
    further = dict(seeds={ROLE: 2}, p_seeds={ROLE: 2}, parting_seeds={ROLE: 2}, parting_images=(20, 40))
    further |= dict(shuffled_epochs=1, source_seeds=(2, 3), parting={"P-T": (0,), "RI-T": (0, 0.4)})
    return tiny.replace(further=further, second_rate_seeds={ROLE: 2})


@pytest.fixture(scope="module")
def found(scale, own_folders):
    """Each study's result, trained once for this module."""
    with own_folders() as folder:
        how = {"workers": 1, "show": False}
        made = {room: results.run(questions.get(room), scale, (ROLE,), SEEDS, **how) for room in ROOMS}
        yield made | {"folder": folder}


@pytest.fixture(autouse=True)
def _where_the_runs_are(found, monkeypatch):
    monkeypatch.setenv("TLBOOK_RUNS", str(found["folder"] / "runs"))
    monkeypatch.setenv("TLBOOK_CACHE", str(found["folder"] / "cache"))


@pytest.mark.parametrize("room", ROOMS)
def test_tables_are_valid_all_there_and_read_back(found, room, tmp_path):
    assert set(found[room].tables) == set(questions.get(room).tables)
    records.write("tiny", room, found[room].tables, found[room].provenance, tmp_path)
    back = records.load_all("tiny", room, tmp_path)
    assert {name: len(frame) for name, frame in back.items()} == {
        name: len(frame) for name, frame in found[room].tables.items()
    }
    assert not any(frame.value.isna().any() for frame in back.values())


@pytest.mark.parametrize("room", ROOMS)
def test_a_target_that_the_scale_does_not_study_gives_no_table(scale, room):
    assert questions.get(room).study().tables(scale, ("xray",), SEEDS) == {}


def run_of(spec):
    """The run that a study has trained, whatever it was asked to keep of it."""
    return runs.find(spec.id) or runs.ensure(spec)


def end(spec, split="test", metric="accuracy"):
    """A metric at the end of a run."""
    history = run_of(spec).history()
    rows = history[(history.epoch == spec.epochs) & (history.split == split) & (history.metric == metric)]
    return rows.value.item()


# Partial transfer


def test_the_ends_of_partial_transfer_are_ri_t_and_p_t(found, scale):
    table = found["partial_transfer"].tables["partial"]
    test = table[(table.split == "test") & (table.metric == "accuracy")]
    ends = test.set_index(["part", "modules", "seed"]).value
    assert sorted(set(test.modules)) == [0, 1, 2, 3, 4, 5]
    for part, seed in itertools.product(("first", "last"), SEEDS):
        assert ends[part, 0, seed] == end(grid.ri_t(scale, ROLE, "low", seed))
        assert ends[part, 5, seed] == end(grid.p_t(scale, ROLE, "low", seed))
    spec = partial_transfer.partly(scale, ROLE, ("layer3.0", "layer4.0"), 1)
    assert ends["last", 2, 1] == end(spec) and spec.init.modules == ("layer3.0", "layer4.0")
    assert spec.init_seed == 1


def test_probes_are_those_of_plain_numpy(found, scale):
    """Features by hooks, ridge regression by its closed form, its penalty by leaving each example out."""
    domain = data.load(data.request(scale, ROLE))
    view = batches.View.of(domain, scale.side, "own", Shuffle.none())
    network, seen = grid.network_of_p(scale)[0].cpu(), {}
    network.get_submodule("layer2.0").register_forward_hook(lambda _, given, out: seen.update(out=out))
    x = {}
    for split in ("train", "test"):
        parts = []
        for images, _ in batches.evaluation(getattr(domain, split), view):
            with torch.no_grad():
                network(images)
            parts.append(seen["out"].mean((2, 3)).double().numpy())
        x[split] = np.concatenate(parts)
    mean, spread = x["train"].mean(0), x["train"].std(0)
    x = {split: (part - mean) / np.where(spread > 0, spread, 1) for split, part in x.items()}
    labels, answers = domain.train.labels.numpy(), domain.test.labels.numpy()
    y = np.eye(len(domain.classes))[labels]

    def scores(kept, penalty, at):
        centre, middle = x["train"][kept].mean(0), y[kept].mean(0)
        a, b = x["train"][kept] - centre, y[kept] - middle
        weights = np.linalg.solve(a.T @ a + penalty * np.eye(a.shape[1]), a.T @ b)
        return (at - centre) @ weights + middle

    def left_out(penalty):
        every = np.arange(len(y))
        wrong = [scores(every != i, penalty, x["train"][i]) - y[i] for i in every]
        return np.mean(np.square(wrong))

    best = min(method.PENALTIES, key=left_out)
    linear = scores(np.full(len(y), True), best, x["test"])
    distances = ((x["test"][:, None] - x["train"][None]) ** 2).sum(2)
    near = np.argsort(distances, axis=1, kind="stable")[:, : method.NEIGHBOURS]
    table = found["partial_transfer"].tables["probes"].query("init == 'P' and module == 'layer2.0'")
    ours = table[table.seed == 0].set_index("method").value
    assert ours["linear"] == pytest.approx(100 * np.mean(linear.argmax(1) == answers))
    assert ours["neighbours"] == pytest.approx(100 * np.mean(y[near].mean(1).argmax(1) == answers))


def test_probes_separate_what_can_be_separated_and_nothing_else():
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=200)
    y, noise = np.eye(3)[labels], rng.normal(size=(200, 8))
    for kind in partial_transfer.METHODS:
        clear = method.probe(y + 0.05 * noise[:, :3], y, y, kind)
        assert (clear.argmax(1) == labels).all()
        blind = method.probe(noise, y, rng.normal(size=(200, 8)), kind)
        assert np.mean(blind.argmax(1) == labels) < 0.5
        assert np.isfinite(method.probe(np.ones((20, 2)), y[:20], np.ones((5, 2)), kind)).all()
    several = (rng.random((200, 2)) < 0.5).astype(float)
    scores = method.probe(several + 0.05 * noise[:, :2], several, several, "linear")
    assert method.measured(scores, torch.from_numpy(several).float(), "auc") == 1.0


def test_random_features_are_those_that_ri_t_starts_from(found):
    probes = found["partial_transfer"].tables["probes"]
    of = probes.groupby(["init", "module", "method"]).value.nunique().groupby("init").max()
    assert of["P"] == 1 and of["random"] == 2  # one P, two draws
    assert list(dict.fromkeys(probes.module)) == ["conv1", "layer1.0", "layer2.0", "layer3.0", "layer4.0"]


# Runs that part


def test_pairs_part_where_they_say(found, scale):
    table = found["parting"].tables["parted"]
    whole = table.set_index(["init", "rate", "seed", "images", "parting", "quantity"]).value
    assert (table[table.quantity == "apart"].value == 0).all()
    assert (table[table.quantity == "distance"].value > 0).all()
    assert table.groupby("init").parting.unique().map(set).to_dict() == {"P-T": {0}, "RI-T": {0, 1, 2}}
    assert set(table.images) == {20, 40}
    for seed in SEEDS:  # after the last epoch: the same run, and no barrier
        run = grid.ri_t(scale, ROLE, "high", seed)
        assert parting.parted(run, run.epochs, 99) == run
    evaluator = parting.evaluator(scale, ROLE)
    same = parting.measured(evaluator, (run, run), 0, (0, 0.5, 1))
    assert same["height", "accuracy"] == 0 and same["distance", "l2"] == 0
    spec = grid.ri_t(scale, ROLE, "high", 1)
    assert whole["RI-T", "high", 1, 40, 0, "training"] == end(spec, "train")


def test_a_barrier_of_runs_that_part_is_that_of_the_landscape(found, scale):
    """At epoch 0 the pair is one of its "same init" pairs: here by hand, on the same points."""
    one = grid.ri_t(scale, ROLE, "high", 0)
    two = dataclasses.replace(one, order_seed=parting.OTHER)
    first, second = (run_of(spec).weights("final") for spec in (one, two))
    domain = data.load(data.request(scale, ROLE))
    view, values = batches.View.of(domain, scale.side, "own", Shuffle.none()), []
    places = np.linspace(0, 1, scale.landscape.points[ROLE])
    for alpha in places:
        state = {name: (1 - alpha) * first[name] + alpha * second[name] for name in first}
        network = runs.network(scale.network, state)
        values.append(metrics.accuracy(*metrics.predict(network, batches.evaluation(domain.test, view))))
    height = max((1 - places) * values[0] + places * values[-1] - values)
    table = found["parting"].tables["parted"].query("init == 'RI-T' and rate == 'high' and seed == 0")
    ours = table.query("images == 40 and parting == 0 and quantity == 'height'").value.item()
    assert ours == pytest.approx(max(height, 0.0), abs=2.5 + 1e-9)  # rounding may turn one of 40 images
    trained = table.query("images == 20 and parting == 2 and quantity == 'training'").value.item()
    few = grid.on_images(scale, one, 20, role=ROLE, init="RI-T", rate="high", seed=0)
    assert trained == end(few, "train") and few.epochs == 6


def test_a_reader_who_asks_for_a_number_of_images_gets_that_one(scale):
    asked = scale.replace(every_target={"train": 30})
    assert {keys["images"] for keys, _ in parting.planned(asked, (ROLE,), SEEDS)} == {30}


# A P of shuffled images


def test_a_shuffled_p_sees_its_source_shuffled_by_one_permutation(found, scale):
    for init, block in scale.further.shuffled.items():
        spec = grid.source(shuffled_p.shuffled(scale, init))
        assert spec.shuffle == Shuffle.block(block, grid.SHUFFLE_SEED) and spec.epochs == 1
        plain = grid.source(scale.replace(source={"epochs": 1}))
        assert dataclasses.replace(spec, shuffle=Shuffle.none()) == plain  # nothing else differs
        table = found["shuffled_p"].tables["shuffled_sources"].query(f"init == '{init}' and split == 'test'")
        last = table[(table.metric == "accuracy") & (table.epoch == 1)]
        assert last.value.item() == end(spec)
        assert last.chance.item() == 100 / spec.classes


def test_ends_from_a_shuffled_p_are_its_runs(found, scale):
    table = found["shuffled_p"].tables["from_shuffled"]
    assert set(table.init) == {"P-T", "RI-T", "MeanVar-T", "Pixels-T", "Blocks-T"}
    assert set(table.block_size[table.init == "Pixels-T"]) == {"1", "32"}
    assert set(table.block_size[table.init == "RI-T"]) == {"1", "8", "32"}
    seen = table.groupby("init").source_fraction.first()
    assert seen.to_dict() == {"P-T": 1, "MeanVar-T": 1, "RI-T": 0, "Pixels-T": 1 / 32, "Blocks-T": 1 / 4}
    of_p = shuffled_p.shuffled(scale, "Blocks-T")
    alike = grid.p_t(of_p, ROLE, "low", 1, block_size=8)
    rows = table.query("init == 'Blocks-T' and block_size == '8' and seed == 1 and metric == 'accuracy'")
    assert rows[rows.split == "test"].value.item() == end(alike)
    assert alike.init.weights.run == grid.source(of_p).id and alike.shuffle.size == 8


# Another P


def test_the_books_own_p_is_asked_with_the_books_own_runs(found, scale):
    curves = found["another_p"].tables["p_learning_curves"]
    assert set(curves.p) == {"own", "2", "3", "-"}
    for p, seed in itertools.product(("own", "2"), SEEDS):
        its = another_p.of_p(scale, p)
        rows = curves[(curves.p == p) & (curves.seed == seed) & (curves.split == "test")]
        last = rows[(rows.epoch == rows.epoch.max()) & (rows.metric == "accuracy")]
        assert last.value.item() == end(grid.p_t(its, ROLE, "low", seed))
    assert len({grid.source(another_p.of_p(scale, p)).id for p in ("own", "2", "3")}) == 3


def test_pairs_of_two_ps_are_measured_as_pairs_of_one(found, scale):
    tables = found["another_p"].tables
    one, two = (
        run_of(grid.p_t(another_p.of_p(scale, p), ROLE, "low", 1)).weights("final") for p in ("own", "3")
    )
    model = models.build(scale.network, 2)
    parts = [sorted(names) for names in model.members().values()]
    parts += [[name] for name, _ in model.named_parameters() if not any(name in part for part in parts)]
    far = sum(
        sum((one[name] - two[name]).double().square().sum().item() for name in part) ** 0.5 for part in parts
    )
    pair = "p == 'own' and p_b == '3' and seed == 1 and init_b == 'P-T'"
    assert tables["p_distance"].query(pair).value.item() == pytest.approx(far, rel=1e-6)
    line = tables["p_interpolation"].query(pair).set_index("alpha").value
    assert line[0.0] == end(grid.p_t(scale, ROLE, "low", 1))
    of_p = tables["p_distance"].query("init_b == 'P' and init == 'RI-T'")
    assert set(of_p.p_b) == {"own", "2", "3"} and len(of_p) == 3 * len(SEEDS)
    alike = tables["p_similarity"].groupby("module").value
    assert set(alike.groups) == {"conv1", "layer1", "layer2", "layer3", "layer4"}
    assert alike.max().max() < 1 + 1e-6


def test_the_papers_statements_are_asked_of_each_p(found, scale):
    """Of the book's own P, on the seeds that both have, as its own tables answer them."""
    tables = found["another_p"].tables
    asked = summaries.by_p(tables).query("claim == 16 and letter == 'c'")
    assert set(asked.p) == {"own", "2", "3"}
    shown = summaries.over_ps(tables)
    assert list(shown.claim) == list(summaries.AGAIN)
    assert (shown.verdict == statements.NOT_RECORDED).all()  # on one target of several
    assert len(summaries.to_read(*(tables[name] for name in summaries.NAMES))) == len(shown)
    of_own = summaries.tables_of(tables, "own")
    assert set(of_own["distance"].init_b) == {"P-T", "RI-T", "P"} and "p" not in of_own["distance"]
    only = of_own["distance"].query("init_b == 'P-T'")
    assert len(only) == 1  # of two seeds


def test_one_seed_has_pairs_of_two_ps_only(scale):
    once = scale.replace(further={"p_seeds": {ROLE: 1}, "source_seeds": (2,)})
    found = another_p.tables(once, (ROLE,), SEEDS, workers=1, show=False)
    assert "p_mistakes" not in found
    pairs = pd.DataFrame(found["p_similarity"])
    assert set(zip(pairs.p, pairs.p_b, strict=True)) == {("own", "2")}


def test_a_readers_own_p_has_no_others(scale, tmp_path):
    path = tmp_path / "p.safetensors"
    models.save(models.build(scale.network, 3).state_dict(), path)
    assert another_p.tables(scale.replace(pretrained=str(path)), (ROLE,), SEEDS) == {}
