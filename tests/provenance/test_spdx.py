"""Licence strings as SPDX expressions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from license_expression import get_spdx_licensing

from qingtan.provenance.spdx import UNKNOWN_LICENCE, is_identified, normalise, parse
from qingtan.provenance.terms import USES, judge, terms_of

SPELLINGS = {
    "mit": "MIT",
    "The MIT License (MIT)": "MIT",
    "Apache 2.0": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "3-Clause BSD License": "BSD-3-Clause",
    "cc by-sa 4.0": "CC-BY-SA-4.0",
    "CC BY-NC 4.0": "CC-BY-NC-4.0",
    "Creative Commons Attribution-NonCommercial-ShareAlike 4.0 International": "CC-BY-NC-SA-4.0",
    "知识共享 署名-相同方式共享 4.0 国际 许可协议": "CC-BY-SA-4.0",
    "GPLv3": "GPL-3.0-only",
    "GPL-2.0+": "GPL-2.0-or-later",
    "GNU General Public License v2 or later (GPLv2+)": "GPL-2.0-or-later",
    "GNU GPL version 3, or any later version": "GPL-3.0-or-later",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "public domain": "LicenseRef-Public-Domain",
    "公有领域": "LicenseRef-Public-Domain",
    "glm-4": "LicenseRef-GLM-4",
    "chatglm3-6b": "LicenseRef-ChatGLM3",
    "llama3.1": "LicenseRef-Llama",
    "LicenseRef-Public-Domain-CN-Art5": "LicenseRef-Public-Domain-CN-Art5",
    "mit or apache-2.0": "MIT OR Apache-2.0",
    "GPL v2 or later OR MIT license": "GPL-2.0-or-later OR MIT",
    "(MIT OR Apache-2.0) AND cc by 4.0": "(MIT OR Apache-2.0) AND CC-BY-4.0",
    "gpl-2.0-or-later with classpath-exception-2.0": (
        "GPL-2.0-or-later WITH Classpath-exception-2.0"
    ),
    "": UNKNOWN_LICENCE,
    " unknown ": UNKNOWN_LICENCE,
    "NOASSERTION": UNKNOWN_LICENCE,
}
# A family without its version is no version; a sentence is no expression.
NOT_GUESSED = [
    "BSD 5-Clause",
    "CC BY 9.9",
    "CC-BY-2.0 (FR)",
    "MIT/Apache-2.0",
    "MIT or similar",
    "MIT AND our own terms",
    "MIT WITH our-exception",
    "Free for research or academic use",
    "LicenseRef-wrong!",
    "AND",
    "(((",
    "MIT AND",
    "许可 AND MIT",
    "\ud800",
    "MIT License\n" + "Permission is hereby granted and so on or not. " * 20,
]


@pytest.mark.parametrize(("text", "expression"), SPELLINGS.items())
def test_spellings_become_spdx(text: str, expression: str) -> None:
    assert normalise(text) == expression
    assert is_identified(text)


@pytest.mark.parametrize("text", NOT_GUESSED)
def test_what_is_not_known_keeps_a_reference_of_its_own(text: str) -> None:
    expression = normalise(text)
    assert expression.startswith("LicenseRef-")
    assert not is_identified(text)
    assert terms_of(expression).name == "Licence not recognised"
    assert all(judge(expression, use).answer == "unknown" for use in USES)


def test_different_unknown_licences_stay_apart() -> None:
    assert len({normalise(text) for text in NOT_GUESSED}) == len(NOT_GUESSED)
    assert normalise("our terms") != normalise("our-terms")


@pytest.mark.parametrize("name", ["BSD", "GPL", "LGPL", "AGPL", "Apache", "CC BY-SA", "GFDL"])
def test_a_family_without_its_version_is_no_version(name: str) -> None:
    expression = normalise(name)
    assert expression == f"LicenseRef-{name.replace(' ', '-')}"
    assert terms_of(expression).category != "unknown"


def test_every_identifier_of_the_list_is_its_own() -> None:
    symbols = get_spdx_licensing().known_symbols.values()
    names = [symbol.key for symbol in symbols if not symbol.is_exception]
    assert len(names) > 1000
    assert [name for name in names if normalise(name.upper()) != name] == []


@given(st.text(max_size=60) | st.lists(st.sampled_from(["MIT", "and", "OR", "(", ")", "x"])))
def test_any_text_gives_an_expression_that_stays(text: str | list[str]) -> None:
    expression = normalise(text if isinstance(text, str) else " ".join(text))
    assert str(parse(expression).render()) == expression
    assert normalise(expression) == expression
