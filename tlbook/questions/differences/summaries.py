"""Tables of pairs of models, as a reader wants them: by kind of pair, at the paper's rates (pandas only)."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from tlbook.scales import RATES
from tlbook.vocabulary import (
    PAIR_KINDS,
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


def table_1(table: pd.DataFrame, paper: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """`similarity_by_module` as the paper prints its Table 1, by role, the paper's first: its kinds of pairs
    as rows, its modules as columns, our mean with its value in brackets."""
    found = similarity_by_module(table, paper)
    for column, printed in (("pair", pair_kind(paper)), ("module", paper.module)):
        found = found[found[column].isin(printed)] if len(printed) else found
    found["cell"] = [_beside(*both) for both in zip(found["mean"], found.paper, strict=True)]
    modules = list(dict.fromkeys(found.module))
    shown = {}
    for role in sorted(roles(found), key=lambda role: role not in set(paper.role)):
        cells = found[found.role == role].pivot(index="pair", columns="module", values="cell")
        shown[role] = _ordered(cells.reindex(columns=modules).reset_index())
    return shown


def table_2(table: pd.DataFrame, paper: pd.DataFrame) -> pd.DataFrame:
    """The paper's Table 2: a row a role, a column a kind of pair, the mean distance at the last epoch (the
    sum of the modules' l2) at the paper's rates, with the paper's in brackets."""
    last = at_papers_rates(at_last_epoch(table[(table.module == "all") & (table.metric == "l2_sum")]))
    ours, theirs = (
        rows.assign(pair=pair_kind(rows)).groupby(["role", "pair"]).value.mean() for rows in (last, paper)
    )
    cells = [_beside(value, theirs.get(place, float("nan"))) for place, value in ours.items()]
    wide = pd.Series(cells, ours.index, dtype=object).unstack()
    return _ordered(wide[[kind for kind in PAIR_KINDS if kind in wide]].reset_index())


def _beside(ours: float, theirs: float) -> str:
    return f"{ours:.3g}" + ("" if theirs != theirs else f" ({theirs:.3g})")


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
