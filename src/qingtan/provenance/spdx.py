"""Licence strings as SPDX expressions, never guessed.

Expressions are read by license-expression, whose index of the SPDX list decides what an identifier
is (https://spdx.github.io/spdx-spec/v2.3/SPDX-license-expressions/). Other spellings are known by
the table below; what neither knows becomes a `LicenseRef-…` of its own.
"""

import hashlib
import re
from functools import cache
from typing import Any

from license_expression import (
    ExpressionError,
    LicenseSymbol,
    LicenseWithExceptionSymbol,
    Licensing,
    get_spdx_licensing,
)

UNKNOWN_LICENCE = "LicenseRef-unknown"
# Longer strings are the text of a licence, whose "and" and "or" are no operators.
_LONGEST_EXPRESSION = 300
# Without known symbols it splits at operators alone, so that a name may hold spaces.
_GRAMMAR = Licensing()
# A symbol, a symbol with an exception, an AND or an OR; license-expression carries no types.
Node = Any

# Spellings, folded by `_fold`. A family without its version stays apart from its versions.
_SPELLINGS = {
    "MIT": "mit; expat; mit expat; mit mit",
    "Apache-2.0": "apache 2; apache 2.0; apache2; apache2.0; asl 2.0; apache software 2.0",
    "BSD-2-Clause": "2 clause bsd; bsd 2 clause; bsd 2; simplified bsd",
    "BSD-3-Clause": "3 clause bsd; bsd 3 clause; bsd 3; new bsd; modified bsd; revised bsd",
    "ISC": "isc; isc iscl; iscl",
    "Unlicense": "unlicense; un",
    "CC0-1.0": "cc0; cc 0; cc0 1.0; cc0 1.0 universal; creative commons zero; cc zero",
    "PDDL-1.0": "pddl; odc pddl; open data commons public domain dedication",
    "ODC-By-1.0": "odc by; odc attribution; open data commons attribution",
    "ODbL-1.0": "odbl; odc odbl; open database; open data commons open database",
    "PSF-2.0": "psf; psfl; python software foundation; psf 2; python software foundation 2",
    "PostgreSQL": "postgresql; postgres",
    "MPL-2.0": "mpl 2; mpl 2.0; mozilla public 2.0; mozilla public 2.0 mpl 2.0",
    "GPL-2.0-only": "gplv2; gpl 2; gpl 2.0; gnu gpl 2; gnu general public 2",
    "GPL-2.0-or-later": "gplv2+; gpl 2+; gplv2-or-later; gpl 2-or-later; gpl 2.0-or-later; "
    "gnu general public 2-or-later gplv2+; gnu gpl 2-or-later",
    "GPL-3.0-only": "gplv3; gpl 3; gpl 3.0; gnu gpl 3; gnu general public 3; "
    "gnu general public 3 gplv3",
    "GPL-3.0-or-later": "gplv3+; gpl 3+; gplv3-or-later; gpl 3-or-later; gpl 3.0-or-later; "
    "gnu general public 3-or-later gplv3+; gnu gpl 3-or-later",
    "LGPL-2.1-only": "lgplv2.1; lgpl 2.1",
    "LGPL-2.1-or-later": "lgplv2.1+; lgpl 2.1+; lgpl 2.1-or-later",
    "LGPL-3.0-only": "lgplv3; lgpl 3; lgpl 3.0; gnu lesser general public 3",
    "LGPL-3.0-or-later": "lgplv3+; lgpl 3+; lgpl 3-or-later; lgpl 3.0-or-later",
    "AGPL-3.0-only": "agplv3; agpl 3; agpl 3.0; gnu affero general public 3",
    "AGPL-3.0-or-later": "agplv3+; agpl 3+; agpl 3-or-later; agpl 3.0-or-later",
    "MulanPSL-2.0": "木兰宽松许可证第2版; 木兰宽松许可证 第2版; mulan psl 2; mulan psl 2.0",
    "LicenseRef-Public-Domain": "public domain; pd; publicdomain; 公有领域; 公共领域",
    "LicenseRef-BSD": "bsd; bsd like; osi approved bsd",
    "LicenseRef-Apache": "apache; apache software; asl",
    "LicenseRef-GPL": "gpl; gnu gpl; gnu general public; gnu general public gpl",
    "LicenseRef-LGPL": "lgpl; gnu lgpl; gnu lesser general public",
    "LicenseRef-AGPL": "agpl; gnu agpl; gnu affero general public",
    "LicenseRef-GFDL": "gfdl; gnu fdl; gnu free documentation; fdl",
    "LicenseRef-ChatGLM3": "chatglm3; chatglm3 6b; chatglm3 6b model",
    "LicenseRef-ChatGLM2": "chatglm2; chatglm2 6b; chatglm2 6b model",
    "LicenseRef-GLM-4": "glm 4; glm4; glm 4 9b; glm 4 9b chat",
    "LicenseRef-OpenRAIL": "openrail; openrail m; openrail++; bigscience openrail m; "
    "bigscience bloom rail 1.0; creativeml openrail m; bigcode openrail m",
    "LicenseRef-Llama": "llama; llama2; llama 2; llama 2 community; llama3; llama 3; "
    "llama 3 community; llama3.1; llama 3.1 community; llama3.2; llama 3.2 community; "
    "llama3.3; llama 3.3 community",
    "LicenseRef-Gemma": "gemma; gemma terms of use",
    "LicenseRef-Tongyi-Qianwen": "tongyi qianwen; 通义千问; qwen",
    "LicenseRef-Proprietary": "proprietary; all rights reserved; other/proprietary; 版权所有",
    UNKNOWN_LICENCE: "unknown; other; none; noassertion; unspecified; n/a; 未知; 不详; see file",
}
_CREATIVE_COMMONS = {
    "attribution": "by",
    "署名": "by",
    "noncommercial": "nc",
    "non commercial": "nc",
    "非商业性使用": "nc",
    "noderivatives": "nd",
    "noderivs": "nd",
    "no derivatives": "nd",
    "禁止演绎": "nd",
    "sharealike": "sa",
    "share alike": "sa",
    "相同方式共享": "sa",
    "creative commons": "cc",
    "知识共享": "cc",
    "international": "",
    "unported": "",
    "国际": "",
}
_WORDS_OF_NO_MEANING = re.compile(r"\b(?:(?:the|licen[sc]e|version)\b|v(?=\s?\d))|许可协议|许可证")


def normalise(text: str) -> str:
    """Return a licence string as an SPDX expression.

    Identifiers get the case of the SPDX list and deprecated ones their successors; known spellings
    ("Apache 2.0", "cc by-sa 4.0", "GPLv3") become identifiers. A family named without its version
    ("BSD", "CC BY") becomes a `LicenseRef-…` of the family. Anything else, an expression with an
    unknown part included, becomes a `LicenseRef-…` made of the string, another for every string;
    an empty one becomes `LicenseRef-unknown`.
    """
    text = " ".join(text.split())
    whole = _identifier(text)
    if whole is not None:
        return whole
    tree = _parse(text)
    return _own_reference(text) if tree is None else str(tree.render())


def is_identified(text: str) -> bool:
    """Say whether a string names licences: SPDX's, or `LicenseRef-…` that it spells out itself."""
    text = " ".join(text.split())
    return _identifier(text) is not None or _parse(text) is not None


def parse(expression: str) -> Node:
    """Return the tree of an expression that `normalise` made."""
    tree: Node = _GRAMMAR.parse(expression)
    return tree


def _parse(text: str) -> Node | None:
    """Return the tree of an expression whose every part is known, else None."""
    if len(text) > _LONGEST_EXPRESSION:
        return None
    try:
        tree = _GRAMMAR.parse(_glue_or_later(text))
    except (ExpressionError, AssertionError, IndexError, TypeError, ValueError):
        return None  # parentheses in odd places pass the parser's own checks
    if tree is None or isinstance(tree, LicenseSymbol):  # one name, and it is not known
        return None
    known = {symbol: _known_symbol(symbol) for symbol in tree.literals}
    if any(symbol is None for symbol in known.values()):
        return None
    return parse(str(tree.subs(known, simplify=False).render())) if known else None


def _known_symbol(symbol: LicenseSymbol | LicenseWithExceptionSymbol) -> LicenseSymbol | None:
    if isinstance(symbol, LicenseWithExceptionSymbol):
        licence = _identifier(symbol.license_symbol.key)
        exception = _exceptions().get(symbol.exception_symbol.key.lower())
        if licence is None or exception is None:
            return None
        return LicenseWithExceptionSymbol(LicenseSymbol(licence), LicenseSymbol(exception))
    name = _identifier(symbol.key)
    return None if name is None else LicenseSymbol(name)


def _identifier(name: str) -> str | None:
    """Return the identifier of one licence, else None."""
    if not name:
        return UNKNOWN_LICENCE
    folded = _fold(name)
    known = _spellings().get(folded) or _licences().get(name.lower())
    known = known or _creative_commons(folded)
    if known is None and re.fullmatch(r"(DocumentRef-[\w.-]+:)?LicenseRef-[A-Za-z0-9.-]+", name):
        return name
    return known


def _fold(name: str) -> str:
    text = _glue_or_later(name.casefold())
    text = _WORDS_OF_NO_MEANING.sub(" ", text)
    text = re.sub(r"[\s_,()\"“”《》-]+", " ", text.replace("-or-later", "~"))
    return re.sub(r"\s*~", "-or-later", text).strip()


def _glue_or_later(text: str) -> str:
    # Else its "or" would split the expression.
    return re.sub(r",?[ -]+or[ -]+(any )?(later|newer)( version)?\b|或更高版本", "-or-later", text)


def _creative_commons(folded: str) -> str | None:
    """Read "cc by nc sa 4.0" and the long names; without a version, its family's reference."""
    for words, short in _CREATIVE_COMMONS.items():
        folded = folded.replace(words, f" {short} ")
    parts = folded.split()
    found = re.fullmatch(r"cc by( nc)?( sa| nd)?( \d\.\d)?", " ".join(parts))
    if found is None:
        return None
    name = "-".join(parts).upper()
    return _licences().get(name.lower()) if found[3] else f"LicenseRef-{name}"


def _own_reference(text: str) -> str:
    slug = re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-")[:60].strip("-")
    if slug == text:
        return f"LicenseRef-{slug}"
    # Other strings may leave the same letters.
    digest = hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=4).hexdigest()
    return f"LicenseRef-{slug}-{digest}" if slug else f"LicenseRef-{digest}"


@cache
def _licences() -> dict[str, str]:
    """Return SPDX's identifiers by themselves in lower case, deprecated ones included."""
    symbols = get_spdx_licensing().known_symbols.values()
    names = {
        alias.lower(): symbol.key
        for symbol in symbols
        if not symbol.is_exception
        for alias in symbol.aliases
        # Distributions' old references, such as LicenseRef-AGPL, would add a version.
        if not alias.startswith("LicenseRef-")
    }
    names.update((s.key.lower(), s.key) for s in symbols if not s.is_exception)
    names.update((key.lower(), key) for key in _SPELLINGS if key.startswith("LicenseRef-"))
    return names


@cache
def _exceptions() -> dict[str, str]:
    symbols = get_spdx_licensing().known_symbols.values()
    return {symbol.key.lower(): symbol.key for symbol in symbols if symbol.is_exception}


@cache
def _spellings() -> dict[str, str]:
    return {
        _fold(spelling): key
        for key, spellings in _SPELLINGS.items()
        for spelling in spellings.split(";")
    }


def is_listed(licence: str) -> bool:
    """Say whether an identifier stands in SPDX's list or among ScanCode's references."""
    return licence in _licences().values()
