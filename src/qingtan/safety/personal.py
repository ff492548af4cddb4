"""Finding and masking personal data: addresses and numbers that name or reach one person.

Only what the characters themselves give away is looked for. Numbers with check digits are checked,
and telephone numbers must fit the numbering plan of their country. Passport numbers, identity
numbers of 15 digits (invalid since 2013), names and street addresses are left alone: what looks
like one of them is mostly something else.
"""

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Literal, get_args

from qingtan.recipe import Recipe

PersonalKind = Literal["email", "id_card", "bank_card", "mobile_phone", "landline", "service_phone"]
# In this order they go before one another where two of them overlap.
ALL_KINDS: tuple[PersonalKind, ...] = get_args(PersonalKind)
DEFAULT_KINDS: tuple[PersonalKind, ...] = ("email", "id_card", "bank_card", "mobile_phone")
DEFAULT_MASKS: dict[PersonalKind, str] = {
    "email": "[电子邮箱]",
    "id_card": "[身份证号码]",
    "bank_card": "[银行卡号]",
    "mobile_phone": "[手机号码]",
    "landline": "[电话号码]",
    "service_phone": "[服务电话]",
}


class PersonalDataTable(Recipe):
    """Which personal data are masked, and where."""

    kinds: tuple[Literal["text", "conversations"], ...] = ("text", "conversations")
    """Which kinds of records."""
    mask: tuple[PersonalKind, ...] = DEFAULT_KINDS
    """What is masked: "email", "id_card" (18-digit identity numbers of the mainland), "bank_card",
    "mobile_phone", "landline", "service_phone" (400 and 800 numbers). Landlines are kept unless
    named: nearly all that are published belong to shops and offices, and an assistant that never
    saw one does not learn to read one out."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A piece of personal data.

    Attributes:
        start: its first character in the text.
        end: the character after its last.
    """

    kind: PersonalKind
    start: int
    end: int


def find_personal_data(text: str, kinds: Collection[PersonalKind] = ALL_KINDS) -> list[Finding]:
    """Return the personal data of a text in their order; no two overlap.

    Digits, brackets and "@" may be full-width. Kept as they are: e-mail addresses that stand for
    any address (RFC 2606 and the like), that nobody reads (noreply@…), or that log in to a machine
    (ssh, URLs), and telephone numbers that only fiction has (+1 … 555-xxxx).
    """
    findings: list[Finding] = []
    wanted = _likely(text, kinds)
    if not wanted:
        return findings
    text = _narrowed(text)
    # A number's neighbours can hide it. What is found becomes brackets, as if it were masked, and
    # the rest is read again: so a masked text holds nothing more to mask.
    while found := _find_once(text, wanted):
        findings += found
        text = _replaced(text, found, lambda each: "[" + "_" * (each.end - each.start - 2) + "]")
    return sorted(findings, key=lambda each: each.start)


def mask_personal_data(
    text: str, kinds: Collection[PersonalKind]
) -> tuple[str, dict[PersonalKind, int]]:
    """Put `DEFAULT_MASKS` in the place of personal data.

    Returns:
        the text, all else unchanged, and how many pieces of each kind were masked.
    """
    findings = find_personal_data(text, kinds)
    counts: dict[PersonalKind, int] = {}
    for each in findings:
        counts[each.kind] = counts.get(each.kind, 0) + 1
    return _replaced(text, findings, lambda each: DEFAULT_MASKS[each.kind]), counts


def obscure_personal_data(text: str) -> str:
    """Return a text with stars inside all personal data, for people who judge what was found."""
    findings = find_personal_data(text)
    return _replaced(text, findings, lambda each: _starred(text[each.start : each.end]))


def _starred(data: str) -> str:
    return data[:2] + "*" * (len(data) - 3) + data[-1:]


def _replaced(text: str, findings: list[Finding], new: Callable[[Finding], str]) -> str:
    parts: list[str] = []
    done = 0
    for each in findings:
        parts += (text[done : each.start], new(each))
        done = each.end
    return "".join([*parts, text[done:]])


# Full-width forms, other spaces and dashes, to what the patterns below are written in; each is one
# character, so that places stay the same.
_NARROW = {
    **{chr(ord(c) + 0xFEE0): c for c in "0123456789@.+-()"},
    **dict.fromkeys("\u00a0\u3000", " "),
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014", "-"),
}


def _narrowed(text: str) -> str:
    for wide, narrow in _NARROW.items():
        text = text.replace(wide, narrow)
    return text


# Most text has no run of so many digits, and on UTF-8 bytes that is seen several times faster than
# by a regular expression: what may stand between digits is deleted, every byte that may end a digit
# becomes 0. Full-width digits are EF BC 90 to EF BC 99.
_SEPARATORS = "".join(wide for wide, narrow in _NARROW.items() if narrow in "+-() ")
_ENDS_OF_DIGITS = (*b"0123456789", *range(0x90, 0x9A))
_TO_ZERO = bytes(ord("0") if byte in _ENDS_OF_DIGITS else byte for byte in range(256))
_TEN_DIGITS, _ELEVEN_DIGITS = b"0" * 10, b"0" * 11
_DELETED = bytes({*b"+-() ", *(_SEPARATORS + "０").encode()} - {*_ENDS_OF_DIGITS})


def _likely(text: str, kinds: Collection[PersonalKind]) -> list[PersonalKind]:
    """Return the kinds that are worth looking for; nearly always none, which decides the speed."""
    squeezed = text.encode("utf-8", "surrogatepass").translate(_TO_ZERO, _DELETED)
    has_number = (_TEN_DIGITS if "service_phone" in kinds else _ELEVEN_DIGITS) in squeezed
    has_email = "@" in text or "＠" in text
    if not has_number and not has_email:
        return []
    return [kind for kind in kinds if (has_email if kind == "email" else has_number)]


def _find_once(text: str, kinds: Collection[PersonalKind]) -> list[Finding]:
    found = [*_find_emails(text)] if "email" in kinds else []
    numbers = [number for number in _NUMBERS if number.kind in kinds]
    for run in _RUN.finditer(text) if numbers else ():
        # As far as the patterns look beyond the digits.
        begin, end = max(run.start() - 2, 0), run.end() + 8
        for number in numbers:
            found += number.find(text, begin, end)
    return _apart(found)


def _apart(findings: list[Finding]) -> list[Finding]:
    """Of two that overlap, keep the one whose kind comes first in ALL_KINDS."""
    kept: list[Finding] = []
    for each in sorted(findings, key=lambda each: each.start):
        if not kept or kept[-1].end <= each.start:
            kept.append(each)
        elif ALL_KINDS.index(each.kind) < ALL_KINDS.index(kept[-1].kind):
            kept[-1] = each
    return kept


@dataclass(frozen=True)
class _Number:
    kind: PersonalKind
    pattern: re.Pattern[str]
    is_valid: Callable[[str], bool] = lambda digits: True
    """Takes the digits alone (and an X)."""

    def find(self, text: str, begin: int, end: int) -> Iterator[Finding]:
        for match in self.pattern.finditer(text, begin, end):
            if self.is_valid(re.sub("[^0-9Xx]", "", match[0])):
                yield Finding(self.kind, *match.span())


def _is_id_card(digits: str) -> bool:
    """GB 11643-1999: province, district, date of birth, serial number, ISO 7064 MOD 11-2 check."""
    try:
        date(int(digits[6:10]), int(digits[10:12]), int(digits[12:14]))
    except ValueError:
        return False
    values = [10 if c in "Xx" else int(c) for c in digits]
    weights = (pow(2, 17 - place, 11) for place in range(18))
    is_plausible = _PROVINCES.match(digits) and digits[6:8] in ("19", "20")
    check = sum(v * w for v, w in zip(values, weights, strict=True))
    return bool(is_plausible) and check % 11 == 1


def _is_bank_card(digits: str) -> bool:
    """A known issuer's range of ISO/IEC 7812, and Luhn's check."""
    doubled = (sum(divmod(2 * int(c), 10)) for c in digits[-2::-2])
    luhn = sum(map(int, digits[::-2])) + sum(doubled)
    return luhn % 10 == 0 and _ISSUERS.fullmatch(digits) is not None


# GB/T 2260 of the mainland, and 81 to 83 for residents from Hong Kong, Macau and Taiwan.
_PROVINCES = re.compile("1[1-5]|2[1-3]|3[1-7]|4[1-6]|5[0-4]|6[1-5]|71|8[1-3]")
_ISSUERS = re.compile(
    r"62[0-9]{14,17}|4[0-9]{15}|5[1-5][0-9]{14}"  # UnionPay, Visa, Mastercard
    r"|(?:222[1-9]|22[3-9][0-9]|2[3-6][0-9]{2}|27[01][0-9]|2720)[0-9]{12}"  # Mastercard
    r"|35(?:2[89]|[3-8][0-9])[0-9]{12}|3[47][0-9]{13}"  # JCB, American Express
)

_RUN = re.compile(r"[0-9][0-9 ()-]{9,}")
# Not a part of a longer number, name, path, amount of money or decimal fraction.
_LEFT = r"(?<![0-9A-Za-z_+#$¥￥€£])(?<![0-9A-Za-z]-)(?<![A-Za-z]/)(?<![0-9]\.)"
_RIGHT = r"(?![0-9A-Za-z_])(?![.-][0-9A-Za-z])"
# Numbers in groups: not a part of a row of numbers either.
_ALONE, _END = r"(?<![0-9] )", r"(?! [0-9])"
_AMOUNT = r" ?(?:[美港欧日]?元|美金|亿|字节|bytes|%)"
_PLUS = r"(?:\+|00)"
_CHINA = rf"(?:\({_PLUS}?86\)|{_PLUS}?86)[ -]?"
_EXTENSION = r"(?: ?(?:-|转|ext\.?) ?[0-9]{1,5})?"


def _numbers(*forms: str) -> re.Pattern[str]:
    return re.compile(rf"{_LEFT}(?:{'|'.join(forms)}){_RIGHT}")


def _landline(area: str, number: str) -> str:
    national = rf"\(0{area}\)[ -]?|0{area}-"
    international = rf"{_CHINA}(?:\(0\) ?)?(?:\(0?{area}\)|0?{area})[ -]?"
    return rf"(?:{national}|{international}){number}[ -]?[0-9]{{4}}{_EXTENSION}"


_NUMBERS = (
    _Number(
        "id_card",
        _numbers(
            r"[1-8][0-9]{16}[0-9Xx]",
            rf"{_ALONE}[1-8][0-9]{{5}}([ -])[0-9]{{8}}\1[0-9]{{3}}[0-9Xx]{_END}",
        ),
        _is_id_card,
    ),
    _Number(
        "bank_card",
        _numbers(
            r"[2-6][0-9]{14,18}",
            rf"{_ALONE}[2-6][0-9]{{3}}([ -])(?:[0-9]{{4}}\1){{3}}[0-9]{{1,3}}{_END}",
            rf"{_ALONE}[2-6][0-9]{{3}}([ -])(?:[0-9]{{4}}\2){{2}}[0-9]{{4}}{_END}",
            rf"{_ALONE}3[47][0-9]{{2}}([ -])[0-9]{{6}}\3[0-9]{{5}}{_END}",
            rf"{_ALONE}62[0-9]{{4}}[ -][0-9]{{13}}{_END}",
        ),
        _is_bank_card,
    ),
    _Number(
        "mobile_phone",
        _numbers(
            rf"(?:{_CHINA})?1[3-9][0-9](?!0{{8}})[0-9]{{8}}(?!{_AMOUNT})",
            rf"{_ALONE}(?:{_CHINA})?1[3-9][0-9]([ -])[0-9]{{4}}\1[0-9]{{4}}{_END}",
            rf"{_PLUS}852[ -]?[4-9][0-9]{{3}}[ -]?[0-9]{{4}}",
            rf"{_PLUS}853[ -]?6[0-9]{{3}}[ -]?[0-9]{{4}}",
            rf"{_PLUS}886[ -]?(?:\(0\) ?)?9[0-9]{{2}}[ -]?[0-9]{{3}}[ -]?[0-9]{{3}}",
            # In North America only fiction has numbers with 555 in the middle.
            r"\+1[ -]?\(?[2-9][0-9]{2}\)?[ -]?(?!555)[2-9][0-9]{2}[ -]?[0-9]{4}",
        ),
    ),
    _Number(
        "landline",
        _numbers(
            _landline(area=r"(?:10|2[0-57-9])", number=r"[2-8][0-9]{3}"),
            _landline(area=r"[3-9](?!00)[0-9]{2}", number=r"[2-8][0-9]{2,3}"),
            rf"{_ALONE}0(?:10|2[0-57-9]) ?[2-8][0-9]{{3}} ?[0-9]{{4}}{_END}",
            rf"{_PLUS}852[ -]?[23][0-9]{{3}}[ -]?[0-9]{{4}}",
            rf"{_PLUS}853[ -]?28[0-9]{{2}}[ -]?[0-9]{{4}}",
            rf"{_PLUS}886[ -]?(?:\(0\) ?)?[2-8][0-9]{{0,2}}[ -]?[0-9]{{3,4}}[ -]?[0-9]{{4}}",
        ),
    ),
    _Number(
        "service_phone",
        _numbers(rf"(?:{_CHINA})?[48]00([ -])(?:[0-9]{{3}}\1[0-9]{{4}}|[0-9]{{4}}\1[0-9]{{3}})"),
    ),
)

# RFC 5321 allows more than this in a local part; people's addresses have no more.
_LOCAL = re.compile(r"(?<![A-Za-z0-9_])[A-Za-z0-9_][A-Za-z0-9._%+-]*\Z")
_LOCAL_CHARACTERS = 64
_COUNTRIES = """
ac ad ae af ag ai al am ao aq ar as at au aw ax az ba bb bd be bf bg bh bi bj bm bn bo br bs bt bw
by bz ca cc cd cf cg ch ci ck cl cm cn co cr cu cv cw cx cy cz de dj dk dm do dz ec ee eg er es et
eu fi fj fk fm fo fr ga gd ge gf gg gh gi gl gm gn gp gq gr gs gt gu gw gy hk hm hn hr ht hu id ie
il im in io iq ir is it je jm jo jp ke kg kh ki km kn kp kr kw ky kz la lb lc li lk lr ls lt lu lv
ly ma mc md me mg mh mk ml mm mn mo mp mq mr ms mt mu mv mw mx my mz na nc ne nf ng ni nl no np nr
nu nz om pa pe pf pg ph pk pl pm pn pr ps pt pw py qa re ro rs ru rw sa sb sc sd se sg sh si sk sl
sm sn so sr ss st su sv sx sy sz tc td tf tg th tj tk tl tm tn to tr tt tv tw tz ua ug uk us uy uz
va vc ve vg vi vn vu wf ws ye yt za zm zw
"""
# Those in wide use; the whole list has many that are file suffixes and words of programs.
_GENERIC = """
com net org edu gov mil int info biz pro mobi asia tel xyz top shop site online club vip wang ren
ltd tech store work app dev cloud email art fun icu live life link news group ink wiki design team
center company world space today blog chat plus
"""
_TOP = "|".join(sorted((_COUNTRIES + _GENERIC).split(), key=len, reverse=True))
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DOMAIN = re.compile(rf"(?:{_LABEL}\.){{1,8}}(?:{_TOP})(?![A-Za-z0-9_-])", re.IGNORECASE)
# Domains that stand for any domain: RFC 2606, what people write for it, and the companies that
# Microsoft's documentation makes up.
_PLACEHOLDER = re.compile(
    r"(?:.*\.)?(?:example|(?:my|your|some)?(?:domain|company|host)|foo|bar|test"
    r"|contoso[^.]*|fabrikam[^.]*|litware[^.]*|adventure-works|northwindtraders|tailspintoys"
    r"|wingtiptoys|cohowinery|adatum)(?:\.[a-z]+){1,2}",
    re.IGNORECASE,
)
_NOBODY = re.compile(r"git|(?:do-?not|no)[-_.]?reply", re.IGNORECASE)
_IN_URL = re.compile(r"//[^\s/@]*\Z")
_REMOTE_PATH = re.compile(r":[~/.A-Za-z_]")


def _find_emails(text: str) -> Iterator[Finding]:
    # Looking back from each "@" keeps the search linear, however long the words are.
    for at in re.finditer("@", text):
        domain = _DOMAIN.match(text, at.end())
        local = domain and _LOCAL.search(text, max(at.start() - _LOCAL_CHARACTERS, 0), at.start())
        if domain and local and _is_mailbox(text, local, domain):
            yield Finding("email", local.start(), domain.end())


def _is_mailbox(text: str, local: re.Match[str], domain: re.Match[str]) -> bool:
    if _NOBODY.fullmatch(local[0]) or _PLACEHOLDER.fullmatch(domain[0]):
        return False
    is_login = _IN_URL.search(text, max(local.start() - _LOCAL_CHARACTERS, 0), local.start())
    return not is_login and not _REMOTE_PATH.match(text, domain.end())
