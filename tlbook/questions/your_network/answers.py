"""Tables -> answers in words, none beyond its numbers: a value with its 95 % interval, and what it means."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from tlbook.intervals import jackknife, over_pairs, student

Tables = Mapping[str, pd.DataFrame]
Interval = tuple[float, float, float]  # value, low, high
UNFIT = 5.0  # points of training accuracy; where RI-T lags by more, it may have lacked time
SMALL = 1.0  # point of test accuracy: what setting a module back may cost if it "could have stayed"
WORDS = {
    "P-T & P-T": "two fine-tuned networks",
    "P-T & RI-T": "one of each",
    "RI-T & RI-T": "two from scratch",
    "P-T & P": "fine-tuned and P",
    "RI-T & P": "from scratch and P",
}
QUESTION_REWIND = "Which layers could have stayed as they were?"


@dataclass(frozen=True)
class Answer:
    """One question, its answer in sentences, and the name of its figure."""

    name: str
    question: str
    sentences: tuple[str, ...]


# Numbers


def ends(table: pd.DataFrame, split: str = "test") -> pd.DataFrame:
    """Accuracy at the last epoch, by seed, a column for each start."""
    last = table[table.epoch == table.epoch.max()] if "epoch" in table else table
    last = last[(last.split == split) & (last.metric == "accuracy")]
    return last.pivot_table(index="seed", columns="start", values="value")


def final(tables: Tables) -> pd.DataFrame:
    """The table of how networks end: the curves, or where nothing was trained, what was measured."""
    return tables["curves"] if "curves" in tables else tables["ends"]


def lead(table: pd.DataFrame, start: str = "P-T", over: pd.DataFrame | None = None) -> Interval:
    """How far a start ends ahead of networks from scratch, in points, with its interval over seeds that both
    have; ``over`` is the table of those from scratch, where it is another."""
    base = ends(table if over is None else over)["RI-T"]
    return student((ends(table)[start] - base).dropna())


def by_kind(pairs: pd.DataFrame, value: str = "value") -> dict[str, Interval]:
    """The mean over the pairs of each kind, with each seed left out in turn for its interval."""
    kinds = [kind for kind in WORDS if kind in set(pairs.kind)]
    return {kind: over_pairs(_with_seeds(pairs[pairs.kind == kind], value)) for kind in kinds}


def _with_seeds(pairs: pd.DataFrame, value: str) -> pd.DataFrame:
    """One network with P shares no seed with another such pair: its own seed stands for both."""
    alone = pairs.kind.str.endswith("& P")
    return pairs.assign(value=pairs[value], seed_b=pairs.seed_b.where(~alone, pairs.seed))


def barriers(lines: pd.DataFrame) -> pd.DataFrame:
    """The largest drop of test accuracy below the straight line between two networks' own, in points."""
    rows = []
    for (kind, one, other), line in _accuracy(lines).groupby(["kind", "seed", "seed_b"], sort=False):
        line = line.sort_values("alpha")
        first, last = line.value.iloc[0], line.value.iloc[-1]
        drop = ((1 - line.alpha) * first + line.alpha * last - line.value).max()
        rows.append({"kind": kind, "seed": one, "seed_b": other, "value": max(drop, 0.0)})
    return pd.DataFrame(rows)


def costs(rewind: pd.DataFrame) -> pd.DataFrame:
    """What setting back costs in points of test accuracy: start, together, module, value, low, high."""
    table = _accuracy(rewind)
    whole = table[table.module == "none"].set_index(["start", "seed"]).value
    rows = []
    for (start, together, module), part in table[table.module != "none"].groupby(
        ["start", "together", "module"], sort=False
    ):
        value, low, high = student([whole[start, s] - v for s, v in zip(part.seed, part.value, strict=True)])
        keys = {"start": start, "together": together, "module": module}
        rows.append(keys | {"value": value, "low": low, "high": high})
    return pd.DataFrame(rows)


def _accuracy(table: pd.DataFrame) -> pd.DataFrame:
    return table[table.metric == "accuracy"]


# Words


def points(value: Interval, sign: bool = True) -> str:
    """ "+3.1 points (1.2 to 5.0)"; without an interval that says so."""
    centre, low, high = value
    text = f"{centre:+.1f} points" if sign else f"{centre:.1f} points"
    return f"{text} ({low:.1f} to {high:.1f})" if math.isfinite(low) else f"{text} (one seed, no interval)"


def certain(value: Interval) -> int:
    """1 or -1 where an interval lies above or below 0, else 0."""
    return int(value[1] > 0) - int(value[2] < 0)


def all_answers(tables: Tables) -> list[Answer]:
    """The answers that the tables hold, in order."""
    if not {"curves", "ends"} & set(tables):
        return []
    return [Answer(name, *made) for name, make in ANSWERS.items() if (made := make(tables))]


def _end(tables: Tables) -> tuple | None:
    table = final(tables)
    ended_at = ends(table)
    if not {"P-T", "RI-T"} <= set(ended_at):
        return None
    gap, mean = lead(table), ended_at.mean()
    ended = f"fine-tuned networks end at {mean['P-T']:.1f} % of the test images, those from scratch at "
    ended += f"{mean['RI-T']:.1f} %"
    first = {
        1: f"Pre-training gave {points(gap)}: {ended}.",
        -1: f"Pre-training cost {points((-gap[0], -gap[2], -gap[1]))}: {ended}.",
        0: f"Whether pre-training gave anything in the end is open: {points(gap)}; {ended}.",
    }[certain(gap)]
    trained = ends(table, "train").mean()
    sentences = [first, *_sooner(tables)]
    if trained["P-T"] - trained["RI-T"] > UNFIT:
        sentences.append(
            f"Those from scratch are right on {trained['RI-T']:.0f} % of their *training* images, the others "
            f"on {trained['P-T']:.0f} %: a part of the lead may be that they had too little time."
        )
    return "What did pre-training give in the end, and how much sooner?", tuple(sentences)


def _sooner(tables: Tables) -> list[str]:
    if "curves" not in tables:
        return []
    test = _accuracy(tables["curves"])
    test = test[test.split == "test"].groupby(["start", "epoch"]).value.mean()
    level, last = test["RI-T"].iloc[-1], test["RI-T"].index[-1]
    there = test["P-T"][test["P-T"] >= level]
    if there.empty:
        return [f"Fine-tuned networks do not get to {level:.1f} % within {last} epochs."]
    return [f"Fine-tuned networks are there ({level:.1f} %) by epoch {there.index[0]} of {last}."]


def _features(tables: Tables) -> tuple | None:
    if not {"permuted", "shuffled"} & set(tables):
        return None
    main, sentences = ends(tables["curves"]), []
    whole = main["P-T"] - main["RI-T"]
    if "permuted" in tables:
        left = ends(tables["permuted"])["Permuted-T"] - main["RI-T"]
        sentences.append(
            "P's values in other places, which keeps the sizes of its weights and no feature, end "
            f"{points(student(left.dropna()))} ahead of random weights."
        )
        sentences.append(
            _rest(whole - left, "of the lead is what P has learned", "the lead is what P has learned")
        )
    if "shuffled" in tables:
        there = ends(tables["shuffled"])
        left = there["P-T"] - there["RI-T"]
        sentences.append(
            f"On images whose blocks have changed places the lead is {points(student(left.dropna()))}."
        )
        sentences.append(
            _rest(whole - left, "of the lead needs the picture as a whole", "it needs the picture as a whole")
        )
    return "Is it the features?", tuple(sentences)


def _rest(difference: pd.Series, so: str, whether: str) -> str:
    """What a control takes of the lead, by seed: said where it is certain, else open."""
    rest = student(difference.dropna())
    return (
        f"The rest, {points(rest)}, {so}."
        if certain(rest) == 1
        else f"Whether {whether} is open: {points(rest)}."
    )


def _mistakes(tables: Tables) -> tuple | None:
    table = tables.get("mistakes")
    if table is None:
        return None
    kappa = by_kind(table[table.metric == "kappa"].dropna())
    told = [
        f"{value:.2f} ({low:.2f} to {high:.2f}) between {WORDS[kind]}"
        for kind, (value, low, high) in kappa.items()
    ]
    if not told:
        return None
    sentences = [
        "Being right or wrong on the same test images beyond chance (kappa; 1: always, 0: by chance) is "
        f"{_listed(told)}."
    ]
    shared = by_kind(table[table.metric == "shared"].dropna())
    if "P-T & P-T" in shared:
        sentences.append(
            f"Of the images that either of two fine-tuned networks gets wrong, both get "
            f"{100 * shared['P-T & P-T'][0]:.0f} % wrong."
        )
    return "Do they make the same mistakes?", tuple(sentences)


def _alike(tables: Tables) -> tuple | None:
    table = tables.get("similarity")
    if table is None:
        return None
    table = table[table.metric == "cka"]
    sentences = []
    for kind in ("P-T & P-T", "P-T & RI-T", "P-T & P"):
        of_kind = table[table.kind == kind]
        if len(of_kind):
            means = of_kind.groupby("module", sort=False).value.mean()
            sentences.append(
                f"The features of {WORDS[kind]} have a CKA from {means.min():.2f} ({means.idxmin()}) to "
                f"{means.max():.2f} ({means.idxmax()}), {means.iloc[-1]:.2f} in {means.index[-1]}."
            )
    return ("How alike are their features?", tuple(sentences)) if sentences else None


def _moved(tables: Tables) -> tuple | None:
    table = tables.get("moved")
    if table is None or "l2_relative" not in set(table.metric):
        return None
    table = table[(table.metric == "l2_relative") & (table.start == "P-T")]
    means = table.groupby("module", sort=False).value.mean()
    if means.empty:
        return None
    return "How far did each layer move?", (
        f"In units of its length in P, {means.idxmax()} moved farthest ({means.max():.2f}) and "
        f"{means.idxmin()} least ({means.min():.2g}).",
    )


def _basin(tables: Tables) -> tuple | None:
    if "lines" not in tables:
        return None
    heights = by_kind(barriers(tables["lines"]))
    told = [f"{_height(height)} between {WORDS[kind]}" for kind, height in heights.items()]
    sentences = [f"On the straight line test accuracy falls by {_listed(told)}, at most."]
    if "soups" in tables:
        sentences += _soup(tables["soups"])
    return "Do they share a basin, and what does averaging give?", tuple(sentences)


def _height(height: Interval) -> str:
    value, low, high = height
    return f"{value:.1f} points" + (f" ({max(low, 0):.1f} to {high:.1f})" if math.isfinite(low) else "")


def _soup(soups: pd.DataFrame) -> list[str]:
    table = _accuracy(soups[(soups.start == "P-T") & (soups.left_out == "-")])
    if table.empty:
        return []
    value, members = table.set_index("kind").value, int(table.members.iloc[0])
    return [
        f"The average of the {members} fine-tuned networks' weights, one network, is right on "
        f"{value['soup']:.1f} % of the test images; one of them on {value['members']:.1f} % on average, the "
        f"best by dev on {value['best']:.1f} %, all of them asked together on {value['ensemble']:.1f} %."
    ]


def could_stay(table: pd.DataFrame) -> list[str]:
    """The modules of fine-tuned networks whose setting back costs less than a point for sure (the upper end
    of its interval); none where not even all together cost something for sure."""
    own = table[table.start == "P-T"]
    alone = own[own.together == "alone"]
    return list(alone[alone.high < SMALL].module) if _cost_of_all(own) > 0 else []


def _cost_of_all(own: pd.DataFrame) -> float:
    """The lower end of what setting back all modules together costs."""
    together = own[own.together == "up to"]
    return float(together.low.iloc[-1]) if len(together) else math.nan


def _rewound(tables: Tables) -> tuple | None:
    if "rewind" not in tables:
        return None
    table = costs(tables["rewind"])
    alone = table[(table.start == "P-T") & (table.together == "alone")]
    if alone.empty:
        return None
    if not _cost_of_all(table[table.start == "P-T"]) > 0:
        none = "Set back to P's values, not even all modules together cost anything for sure:"
        return QUESTION_REWIND, (f"{none} these runs say nothing of single ones.",)
    worst = alone.loc[alone.value.idxmax()]
    stay, count = could_stay(table), len(alone)
    sentences = [
        f"Set back to P's values one at a time, {len(stay)} of {count} modules cost less than {SMALL:g} "
        f"point for sure{': ' + ', '.join(stay) if 0 < len(stay) <= 8 else ''}; {worst.module} costs most, "
        f"{points((worst.value, worst.low, worst.high), sign=False)}."
    ]
    together = table[(table.start == "P-T") & (table.together == "up to") & (table.high < SMALL)]
    if len(together):
        sentences.append(f"All up to {together.module.iloc[-1]} set back together still cost less than that.")
    return QUESTION_REWIND, tuple(sentences)


def _probe(tables: Tables) -> tuple | None:
    if "probe" not in tables:
        return None
    table = tables["probe"].pivot_table(index="module", columns="start", values="value", sort=False)
    sentences = []
    for start, words in {"P": "P's features", "RI": "those of random weights"}.items():
        if start in table:
            sentences.append(
                f"A linear classifier on {words}, nothing else trained, is right on "
                f"{table[start].max():.1f} % at best (behind {table[start].idxmax()})."
            )
    if "partial" in tables:
        last = ends(tables["partial"]).iloc[0]
        told = [f"{value:.1f} % with the {start} modules" for start, value in last.items()]
        sentences.append(f"P's first modules and the rest drawn, all trained, end at {_listed(told)} from P.")
    return "How far do P's features go as they are?", tuple(sentences)


ANSWERS: dict[str, Callable[[Tables], tuple | None]] = {
    "end": _end,
    "features": _features,
    "mistakes": _mistakes,
    "similarity": _alike,
    "moved": _moved,
    "basin": _basin,
    "rewind": _rewound,
    "probe": _probe,
}


def advice(tables: Tables) -> list[str]:
    """What to do, in plain words, each following from one of the numbers."""
    if not {"curves", "ends"} & set(tables):
        return []
    found, table = [], final(tables)
    if {"P-T", "RI-T"} <= set(ends(table)):
        found.append(
            {
                1: "Start from these weights.",
                -1: "Start from scratch: these weights cost accuracy here.",
                0: "These runs do not tell whether to start from these weights: more seeds, or more test "
                "images, would make the interval narrower.",
            }[certain(lead(table))]
        )
    if "soups" in tables and (gain := _soup_gain(tables["soups"])):
        found.append(
            {
                1: f"If you have trained several, deploy the average of their weights: {points(gain)} over "
                "one of them, at the cost of one.",
                -1: f"Do not average the weights of several: {points(gain)} against one of them.",
                0: f"Averaging the weights of several neither helps nor harms for sure: {points(gain)}.",
            }[certain(gain)]
        )
    if "rewind" in tables:
        stay = could_stay(costs(tables["rewind"]))
        if stay:
            some = ", ".join(stay[:4]) + (" …" if len(stay) > 4 else "")
            found.append(
                f"If training must be cheaper, try freezing {some} first: set back alone they cost next to "
                "nothing. (A network trained with them frozen was not tried.)"
            )
    return found


def _soup_gain(soups: pd.DataFrame) -> Interval | None:
    """What the average gives over one network, in points; its interval leaves out each seed in turn."""
    table = _accuracy(soups[soups.start == "P-T"]).pivot_table(
        index="left_out", columns="kind", values="value"
    )
    gain = table.soup - table.members if "soup" in table else pd.Series(dtype=float)
    if "-" not in gain or len(gain) < 3:
        return None
    return jackknife(gain["-"], gain.drop("-"))


def _listed(words: Sequence[str]) -> str:
    return ", ".join(words[:-1]) + " and " + words[-1] if len(words) > 1 else "".join(words)
