"""Tables of pairs of models, as a reader wants them: by kind of pair, at the paper's rates (pandas only)."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from tlbook.scales import RATES
from tlbook.vocabulary import (
    PAIR,
    at_last_epoch,
    at_papers_rates,
    in_book_order,
    pair_kind,
    roles,
)


def similarity_by_module(table: pd.DataFrame, paper: pd.DataFrame, metric: str = "cka") -> pd.DataFrame:
    """Similarity of the same modules of two models beside the paper's: role, pair, module, n, mean, lowest,
    highest, paper (NaN where it has none). ``table`` is similarity, ``paper`` from `paper.table1`."""
    shown = at_papers_rates(table)
    shown = shown[(shown.module == shown.module_b) & (shown.metric == metric)].assign(pair=pair_kind(shown))
    theirs = paper.assign(pair=pair_kind(paper)).set_index(["role", "pair", "module"]).value
    found = _spread(shown, ["role", "pair", "module"])
    found["paper"] = [
        theirs.get((row.role, row.pair, row.module), float("nan")) for row in found.itertuples()
    ]
    return _ordered(found, table.module)


def mistakes_by_kind(table: pd.DataFrame) -> pd.DataFrame:
    """Means over pairs at the paper's rates: role, pair, n, shared, shared_expected, kappa, agreement.

    ``table`` is mistakes; a mean is over the pairs in which the measure is defined.
    """
    shown = at_papers_rates(table)
    metrics = ["shared", "shared_expected", "kappa", "agreement"]
    shown = shown[shown.metric.isin(metrics)].assign(pair=pair_kind(shown))
    keys = ["role", "pair"]
    found = shown.groupby([*keys, "metric"]).value.mean().unstack()[metrics]  # all NaN too, unlike a pivot
    found.insert(0, "n", shown[shown.metric == "shared"].groupby(keys).size())
    return _ordered(found.reset_index())


def difficulty_by_judges(table: pd.DataFrame) -> pd.DataFrame:
    """Means over pairs of the table difficulty_test: role, judges, n, difference, and how many pairs have an
    interval above and below 0, cliffs_delta, p_low (pairs whose test has p < 0.05)."""
    keys = ["role", "judges"]
    wide = table.pivot(index=["judges", *PAIR], columns="metric", values="value").dropna().reset_index()
    wide["above_0"] = (wide.difference_low > 0).astype(int)
    wide["below_0"] = (wide.difference_high < 0).astype(int)
    wide["p_low"] = (wide.p_value < 0.05).astype(int)
    grouped = wide.groupby(keys)
    found = grouped.agg(
        n=("difference", "size"), difference=("difference", "mean"), cliffs_delta=("cliffs_delta", "mean"),
        above_0=("above_0", "sum"), below_0=("below_0", "sum"), p_low=("p_low", "sum"),
    )  # fmt: skip
    return _ordered(found.reset_index())


def feature_shapes(table: pd.DataFrame) -> pd.DataFrame:
    """The table feature_shapes in the book's order, and whether features outnumber images."""
    many = table.features > table.images
    return _ordered(table.assign(more_features=many.map({True: "yes", False: "no"})), table.module)


RATIOS = {
    "RI-T & RI-T / P-T & P-T": ("RI-T & RI-T", "P-T & P-T"),
    "RI-T & P / P-T & P": ("RI-T & P", "P-T & P"),
}


def distance_ratios(table: pd.DataFrame, paper: pd.DataFrame) -> pd.DataFrame:
    """How many times farther apart RI-T are, at the last epoch: role, ratio, paper, at the paper's rates (the
    sum of the modules' l2, and the root), and both inits at the low and at the high rate (the sum).

    ``table`` is distance, ``paper`` `tlbook.evidence.paper.table2`. NaN where a kind of pair is not there.
    """
    last = at_last_epoch(table[table.module == "all"])
    last = last.assign(pair=pair_kind(last))
    theirs = paper.assign(pair=pair_kind(paper)).set_index(["role", "pair"]).value
    rows = []
    for role in roles(table):
        own = last[last.role == role]
        for name, kinds in RATIOS.items():
            row = {"role": role, "ratio": name, "paper": _over(theirs.get((role, kind)) for kind in kinds)}
            for metric, column in (("l2_sum", "ours"), ("l2", "ours, root")):
                chosen = at_papers_rates(own[own.metric == metric])
                row[column] = _over(chosen.value[chosen.pair == kind].mean() for kind in kinds)
            for rate in RATES:
                chosen = own[(own.metric == "l2_sum") & (own.rate == rate) & own.rate_b.isin([rate, "-"])]
                row[f"both {rate}"] = _over(chosen.value[chosen.pair == kind].mean() for kind in kinds)
            rows.append(row)
    return pd.DataFrame(rows)


def _over(values) -> float:
    above, below = values
    return above / below if above is not None and below else float("nan")


def _spread(shown: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    found = shown.groupby(keys).value.agg(["size", "mean", "min", "max"]).reset_index()
    return found.rename(columns={"size": "n", "min": "lowest", "max": "highest"})


def _ordered(frame: pd.DataFrame, modules: Iterable[str] = ()) -> pd.DataFrame:
    """Rows in the book's order of roles, kinds of pairs and modules."""
    return in_book_order(frame, [name for name in ("role", "pair", "module") if name in frame], modules)
