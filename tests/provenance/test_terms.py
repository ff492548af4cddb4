"""The table of licences, and expressions judged by it."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qingtan.provenance.families import FAMILIES
from qingtan.provenance.family import Use
from qingtan.provenance.spdx import is_listed, normalise
from qingtan.provenance.terms import OBLIGATIONS, USES, incompatible, judge, terms_of

ROOT = Path(__file__).parents[2]
# What each answers: commercial, research, redistribute.
EXPECTED = {
    "MIT": "yes yes conditional",
    "ISC": "yes yes conditional",
    "BSD-2-Clause": "yes yes conditional",
    "Zlib": "yes yes conditional",
    "Apache-2.0": "yes yes conditional",
    "PSF-2.0": "yes yes conditional",
    "Python-2.0": "yes yes conditional",
    "PostgreSQL": "yes yes conditional",
    "MulanPSL-2.0": "yes yes conditional",
    "Unlicense": "yes yes yes",
    "CC0-1.0": "yes yes yes",
    "PDDL-1.0": "yes yes yes",
    "LicenseRef-Public-Domain": "yes yes yes",
    "LicenseRef-Public-Domain-CN-Art5": "yes yes yes",
    "CC-BY-2.0": "yes yes conditional",
    "CC-BY-3.0-AT": "yes yes conditional",
    "ODC-By-1.0": "conditional conditional conditional",
    "CC-BY-SA-4.0": "yes yes conditional",
    "GPL-2.0-only": "yes yes conditional",
    "LGPL-2.1-or-later": "yes yes conditional",
    "MPL-2.0": "yes yes conditional",
    "AGPL-3.0-only": "conditional yes conditional",
    "GFDL-1.3-or-later": "yes yes conditional",
    "ODbL-1.0": "conditional conditional conditional",
    "OFL-1.1": "yes yes conditional",
    "CC-BY-NC-4.0": "no conditional conditional",
    "CC-BY-NC-SA-3.0": "no conditional conditional",
    "CC-BY-ND-4.0": "conditional conditional no",
    "CC-BY-NC-ND-4.0": "no conditional no",
    "LicenseRef-ChatGLM3": "conditional conditional conditional",
    "LicenseRef-GLM-4": "conditional conditional conditional",
    "LicenseRef-OpenRAIL": "conditional conditional conditional",
    "LicenseRef-Llama": "conditional conditional conditional",
    "LicenseRef-Proprietary": "no no no",
    "LicenseRef-unknown": "unknown unknown unknown",
    "LicenseRef-never-seen": "unknown unknown unknown",
    "JSON": "unknown unknown unknown",
}
LEAVES = ["MIT", "CC0-1.0", "CC-BY-SA-4.0", "CC-BY-NC-4.0", "LicenseRef-unknown"]
RANK = {"yes": 0, "conditional": 1, "unknown": 2, "no": 3}


@pytest.mark.parametrize(("licence", "answers"), EXPECTED.items())
def test_answers(licence: str, answers: str) -> None:
    assert [judge(licence, use).answer for use in USES] == answers.split()


def test_every_row_has_a_case_above() -> None:
    assert {terms.name for terms in FAMILIES} <= {terms_of(name).name for name in EXPECTED}


@pytest.mark.parametrize("terms", FAMILIES, ids=lambda terms: terms.name)
@pytest.mark.parametrize("use", USES)
def test_rows_are_whole(terms, use: Use) -> None:
    permission = terms.permission(use)
    assert (permission.answer == "conditional") == bool(permission.obligations)
    assert set(permission.obligations) <= set(OBLIGATIONS)
    assert all(terms.explanation)
    assert set(terms.adaptations) <= set(terms.licences)
    for licence in terms.licences:
        assert normalise(licence) == licence
        assert licence.startswith("LicenseRef-") or is_listed(licence)
        if terms.category in ("attribution", "share-alike"):
            assert judge(licence, "redistribute").answer == "conditional"


def test_no_licence_stands_in_two_rows() -> None:
    licences = [licence for terms in FAMILIES for licence in terms.licences]
    assert len(licences) == len(set(licences))


def test_the_three_kinds_of_unknown_are_told_apart() -> None:
    names = [terms_of(n).name for n in ("LicenseRef-unknown", "LicenseRef-x", "JSON")]
    assert names == [
        "Licence not stated",
        "Licence not recognised",
        "Licence not in the table",
    ]


def test_and_needs_all_or_takes_the_best() -> None:
    both = judge("CC-BY-4.0 AND CC-BY-NC-4.0 AND LicenseRef-x", "commercial")
    assert (both.answer, both.troubles) == ("no", ("CC-BY-NC-4.0", "LicenseRef-x"))
    either = judge("CC-BY-NC-4.0 OR LicenseRef-x OR MIT", "commercial")
    assert (either.answer, either.licences, either.troubles) == ("yes", ("MIT",), ())
    nested = judge("GPL-2.0-only AND (CC0-1.0 OR CC-BY-4.0)", "redistribute")
    assert nested.licences == ("GPL-2.0-only", "CC0-1.0")
    assert nested.obligations == ("licence-text", "state-changes", "share-alike", "source")
    excepted = judge("GPL-2.0-only WITH Classpath-exception-2.0", "redistribute")
    assert excepted.exceptions == ("Classpath-exception-2.0",)
    assert excepted.obligations == judge("GPL-2.0-only", "redistribute").obligations


@given(
    st.recursive(
        st.sampled_from(LEAVES),
        lambda inner: st.tuples(st.sampled_from(["AND", "OR"]), inner, inner),
        max_leaves=6,
    ),
    st.sampled_from(USES),
)
def test_expressions_against_plain_recursion(tree, use: Use) -> None:
    def text(node) -> str:
        return node if isinstance(node, str) else f"({text(node[1])} {node[0]} {text(node[2])})"

    def rank(node) -> int:
        if isinstance(node, str):
            return RANK[EXPECTED[node].split()[USES.index(use)]]
        return (max if node[0] == "AND" else min)(rank(node[1]), rank(node[2]))

    assert RANK[judge(normalise(text(tree)), use).answer] == rank(tree)


@pytest.mark.parametrize(
    ("licences", "pairs"),
    [
        (["CC-BY-SA-4.0", "GPL-2.0-only"], [("CC-BY-SA-4.0", "GPL-2.0-only")]),
        (["CC-BY-SA-4.0", "GPL-2.0-or-later"], []),
        (["CC-BY-SA-3.0", "CC-BY-SA-4.0", "MIT"], []),
        (["GPL-2.0-only", "GPL-3.0-or-later"], [("GPL-2.0-only", "GPL-3.0-or-later")]),
        (["GPL-2.0-only", "GPL-3.0-only OR MIT"], []),
        (["GPL-2.0-only", "GPL-3.0-only OR GPL-2.0-only"], []),
        (["ODbL-1.0 AND CC-BY-4.0", "CC-BY-SA-2.0"], [("CC-BY-SA-2.0", "ODbL-1.0")]),
    ],
)
def test_share_alike_licences_that_do_not_meet(
    licences: list[str], pairs: list[tuple[str, str]]
) -> None:
    assert incompatible(licences) == pairs


def test_every_built_in_source_is_known_and_allowed() -> None:
    table = tomllib.loads((ROOT / "recipes/built-in/sources.toml").read_text(encoding="utf-8"))
    stated = {name: source["licence"] for name, source in table["sources"].items()}
    stated.update(table["licences"])  # a string of records → its expression
    for name, licence in stated.items():
        assert normalise(licence) == licence, name
        for use in USES:
            assert judge(licence, use).answer in ("yes", "conditional"), name
