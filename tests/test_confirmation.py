"""The confirmation: rules first, then the measuring code, then the records of seeds 3 to 12."""

import json
import subprocess
from pathlib import Path

import pytest

from tlbook import code_state, questions, scales
from tlbook.evidence import confirmation

REPOSITORY = code_state.REPOSITORY
RECORDS = REPOSITORY / "book" / "records" / "confirmation" / "laptop"
MADE = sorted(RECORDS.glob("*/provenance.json"))
FIXED = confirmation.fixed()
# Claim and letter, what is asked, of which targets, in which unit: as the rules' commit has them.
STATEMENTS = """
1a > 0 | real, clipart, quickdraw | points
1b > 0 | xray | AUC
2a < 0.25 | real, clipart, quickdraw | fraction
3a > 0 | real, clipart against quickdraw | points
4a > 0 | real, clipart, quickdraw | sign
4b > 0 | real, clipart, quickdraw | sign
5a > 0.01 | xray | AUC
5b > 0.01 | xray | AUC
6a > 0 | real, clipart, quickdraw | points
6b > 0 | real, clipart, quickdraw | points
7a < 0 | real, clipart | points
8a > 0 | quickdraw | points
9a > 0 | real, clipart, quickdraw | points
10a > 0 | real, clipart, quickdraw | points
11a > 0 | real, clipart, quickdraw, xray | κ
12a > 0 | real, clipart, quickdraw, xray | fraction
13a > 0 | xray | CKA
13b < 0.2 | xray | CKA
14a < 0 | xray | CKA
15a 0 ± 0.1 | xray | CKA
16a > 0 | real, clipart, quickdraw, xray | log ratio
16b > 0 | real, clipart | log ratio
16c > 0 | real, clipart, quickdraw, xray | log ratio
17a < 2 | real, clipart, quickdraw | points
17b < 0.01 | xray | AUC
18a < 0.25 | real, clipart, quickdraw | fraction
18b < 0.25 | real, clipart, quickdraw | fraction
18c < 0.25 | xray | fraction
19a < 0.5 | real, clipart, quickdraw | fraction
20a > 0.01 | xray | AUC
21a > 0 | real, clipart | nats
22a < 0.03 | xray | AUC
22b > 0.05 | xray | AUC
23a > 0 | xray | AUC
24a > 0 | xray | log ratio
24b > 0 | xray | AUC
25a > 0 | xray | AUC
26a 0 ± 1 | real, clipart, quickdraw | points
27a > 0 | real, clipart, quickdraw | points
28a 0 ± 1 | real, clipart, quickdraw | points
30a > 0 | real, clipart, quickdraw | points/point
"""


def git(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run(["git", "-C", str(REPOSITORY), *words], capture_output=True, text=True)


def comes_before(first: str, second: str) -> bool:
    for commit in (first, second):
        if git("cat-file", "-e", f"{commit}^{{commit}}").returncode:
            pytest.skip(f"commit {commit} is not here: a shallow clone has not all of the history")
    return git("merge-base", "--is-ancestor", first, second).returncode == 0


def in_a_line(claim, statement) -> str:
    name = f"{claim.number}{statement.letter}"
    return f"{name} {statement.rule} | {statement.spoken_of} | {statement.unit}"


def test_no_statement_was_added_dropped_or_limited_anew_since_the_rules_were_fixed():
    found = [in_a_line(claim, one) for claim in questions.claims() for one in claim.statements]
    assert found == STATEMENTS.strip().splitlines()


@pytest.mark.parametrize("question", FIXED["measuring"])
def test_what_measures_is_as_it_was_frozen(question):
    assert code_state.current("any", question)["measuring_digest"] == FIXED["measuring"][question]


def test_rules_come_before_the_frozen_code():
    assert comes_before(FIXED["rules"], FIXED["frozen"]) and FIXED["rules"] != FIXED["frozen"]


@pytest.mark.parametrize("path", MADE, ids=lambda path: path.parent.name)
def test_records_were_made_by_the_frozen_code_after_it(path: Path):
    made = json.loads(path.read_text())
    assert (made["rules_commit"], made["frozen_commit"]) == (FIXED["rules"], FIXED["frozen"])
    assert made["measuring_digest"] == FIXED["measuring"][path.parent.name]
    assert set(made["runs_by_code"]) == {made["training_digest"]} == {FIXED["training"]}
    assert made["clean"] and made["seeds"] == list(range(3, 13)) == list(scales.get("laptop").seeds)
    recorded = git("log", "-1", "--format=%H", "--", str(path.parent)).stdout.strip()
    assert comes_before(made["frozen_commit"], made["commit"])
    assert recorded == "" or comes_before(made["frozen_commit"], recorded)
