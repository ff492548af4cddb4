"""What a licence asks for three uses, and what an expression of several comes to.

The table says what the licences' own texts ask. It decides no question of law: whether text may be
used without any licence, or whether weights are a derivative of the text they were trained on.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import get_args

from license_expression import LicenseWithExceptionSymbol

from qingtan.provenance.families import FAMILIES, NOT_IN_TABLE, NOT_RECOGNISED, NOT_STATED
from qingtan.provenance.family import Answer, Obligation, Terms, Text, Use
from qingtan.provenance.spdx import UNKNOWN_LICENCE, Node, is_listed, parse

USES: tuple[Use, ...] = get_args(Use)
# From best to worst; of several licences that all bind, the worst decides.
_ORDER: tuple[Answer, ...] = ("yes", "conditional", "unknown", "no")
# Ported Creative Commons licences carry a country, such as CC-BY-3.0-AT.
_PORTED = re.compile(r"(CC-BY(?:-NC)?(?:-SA|-ND)?-\d\.\d)-[A-Z]{2,3}")

USE_NAMES: dict[Use, Text] = {
    "commercial": (
        "commercial use (for gain, behind a service included; the files are not handed on)",
        "商业使用（以营利为目的，包括置于服务之后；文件不对外分发）",
    ),
    "research": (
        "research (study and experiment, not for gain; the files are not handed on)",
        "研究使用（非营利的学习与实验；文件不对外分发）",
    ),
    "redistribute": (
        "redistribution (the files are published or handed on to others)",
        "再分发（将文件公开或提供给他人）",
    ),
}
OBLIGATIONS: dict[Obligation, Text] = {
    "attribution": (
        "name the authors as they ask, with the source and a link to the licence",
        "按作者要求署名，并注明来源与许可证链接",
    ),
    "licence-text": (
        "include the licence's text and its copyright lines",
        "附上许可证全文及其版权声明",
    ),
    "notices": (
        "keep the notices, such as a NOTICE file, or say that the database was used",
        "保留声明（如 NOTICE 文件），或说明使用了该数据库",
    ),
    "state-changes": ("say that and what you changed", "说明做过修改及其内容"),
    "share-alike": (
        "put what is adapted from it under the same or a compatible licence",
        "由其改编的作品须采用相同或兼容的许可证",
    ),
    "source": (
        "offer it in the form in which it is preferably edited (the source)",
        "同时提供便于修改的形式（源文件）",
    ),
    "network-source": (
        "offer the source to those who use it over a network",
        "向通过网络使用它的人提供源文件",
    ),
    "registration": (
        "register with the holder first, and keep the proof",
        "须先向权利人登记，并保存凭证",
    ),
    "use-restrictions": (
        "keep to the licence's list of uses that are not allowed, and pass it on",
        "遵守许可证所列的禁止用途，并一并传递",
    ),
    "naming": (
        "name the model that yours is built on, as the licence words it",
        "按许可证的写法标明所基于的模型",
    ),
    "non-commercial": ("for no commercial purpose", "不得用于商业目的"),
    "unmodified": ("only without adapting it", "不得改编"),
    "not-transferable": (
        "it is not yours to transfer or sublicense: recipients need the holder's licence",
        "许可不可转让、不可再许可：接收者须自行从权利人取得许可",
    ),
    "read": (
        "read the licence: it is the publisher's own, and this list does not hold all of it",
        "请阅读许可证：它由发布者自拟，此处未列全",
    ),
}


@dataclass(frozen=True)
class Verdict:
    """What an expression comes to for one use.

    Attributes:
        answer: "yes", "conditional", "no" or "unknown".
        obligations: what it depends on, in the order of OBLIGATIONS.
        licences: those it rests on: all that are joined by AND, the best of those joined by OR.
        troubles: those of them that are not allowed or not known.
        exceptions: SPDX exceptions (WITH) to these; the verdict is that without them.
    """

    answer: Answer
    obligations: tuple[Obligation, ...] = ()
    licences: tuple[str, ...] = ()
    troubles: tuple[str, ...] = ()
    exceptions: tuple[str, ...] = ()


def terms_of(licence: str) -> Terms:
    """Return the terms of one licence.

    Args:
        licence: an identifier as `normalise` gives it. What the table does not hold gets terms of
            category "unknown" that say why: not stated, not recognised, or not in the table.
    """
    found = _PORTED.fullmatch(licence)
    terms = _by_licence().get(found[1] if found else licence)
    if terms is not None:
        return terms
    if licence == UNKNOWN_LICENCE:
        return NOT_STATED
    return NOT_IN_TABLE if is_listed(licence) else NOT_RECOGNISED


def judge(expression: str, use: Use) -> Verdict:
    """Judge an SPDX expression that `normalise` made: AND needs all, OR takes the best."""
    return _judge(parse(expression), use)


def incompatible(expressions: Iterable[str]) -> list[tuple[str, str]]:
    """Return pairs of share-alike licences that no one licence of an adaptation satisfies.

    Every such licence names those under which an adaptation may be shared; two of them whose lists
    have nothing in common are a pair. Sorted. Only what the licences name is known here, no
    separate permission of the authors.
    """
    outlets = {name: names for text in expressions for name, names in _outlets(parse(text)).items()}
    names = sorted(outlets)
    return [
        (a, b) for i, a in enumerate(names) for b in names[i + 1 :] if not outlets[a] & outlets[b]
    ]


def _judge(node: Node, use: Use) -> Verdict:
    if isinstance(node, LicenseWithExceptionSymbol):
        return _leaf(node.license_symbol.key, use, (str(node.exception_symbol.key),))
    if not getattr(node, "args", ()):
        return _leaf(node.key, use, ())
    verdicts = [_judge(part, use) for part in node.args]
    if node.operator.strip() == "OR":
        return min(verdicts, key=lambda v: (_ORDER.index(v.answer), len(v.obligations)))
    asked = {obligation for verdict in verdicts for obligation in verdict.obligations}
    return Verdict(
        answer=max((v.answer for v in verdicts), key=_ORDER.index),
        obligations=tuple(o for o in OBLIGATIONS if o in asked),
        licences=_distinct(name for v in verdicts for name in v.licences),
        troubles=_distinct(name for v in verdicts for name in v.troubles),
        exceptions=_distinct(name for v in verdicts for name in v.exceptions),
    )


def _leaf(licence: str, use: Use, exceptions: tuple[str, ...]) -> Verdict:
    permission = terms_of(licence).permission(use)
    in_trouble = permission.answer in ("no", "unknown")
    return Verdict(
        answer=permission.answer,
        obligations=tuple(o for o in OBLIGATIONS if o in permission.obligations),
        licences=(licence,),
        troubles=(licence,) if in_trouble else (),
        exceptions=exceptions,
    )


def _outlets(node: Node) -> dict[str, frozenset[str]]:
    """Return the share-alike parts of an expression, with the licences that satisfy each."""
    if isinstance(node, LicenseWithExceptionSymbol):
        node = node.license_symbol
    if not getattr(node, "args", ()):
        names = terms_of(node.key).adaptations.get(_without_port(node.key))
        return {node.key: frozenset(names)} if names else {}
    parts = [_outlets(part) for part in node.args]
    if node.operator.strip() == "AND":
        return {name: names for part in parts for name, names in part.items()}
    if not all(parts):  # one of the choices shares nothing alike
        return {}
    choices = [frozenset.intersection(*part.values()) for part in parts]
    return {str(node.render()): frozenset().union(*choices)}


def _without_port(licence: str) -> str:
    found = _PORTED.fullmatch(licence)
    return found[1] if found else licence


def _distinct(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


@cache
def _by_licence() -> dict[str, Terms]:
    return {licence: terms for terms in FAMILIES for licence in terms.licences}
