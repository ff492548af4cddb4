"""Personal data, against check digits worked out in another way, and a table of examples.

No number or address here is taken from a person: they are made up, and the check digits with them.
"""

import re
import string
import time
from datetime import date
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from qingtan.safety import (
    ALL_KINDS,
    DEFAULT_KINDS,
    DEFAULT_MASKS,
    PersonalDataTable,
    PersonalKind,
    find_personal_data,
    mask_personal_data,
    obscure_personal_data,
)

PROVINCES = ("11", "15", "23", "37", "46", "54", "65", "71", "83")


def found(text: str) -> list[tuple[str, str]]:
    return [(each.kind, text[each.start : each.end]) for each in find_personal_data(text)]


def id_check(first_17: str) -> str:
    """ISO 7064's recursive method, from left to right."""
    rest = 0
    for digit in first_17:
        rest = (rest + int(digit)) * 2 % 11
    return "0123456789X"[(12 - rest) % 11]


def luhn_check(digits: str) -> str:
    table = {str(i): int("0246813579"[i]) for i in range(10)}
    places = enumerate(reversed(digits))
    total = sum(table[c] if place % 2 == 0 else int(c) for place, c in places)
    return str(-total % 10)


def digits(count: int) -> st.SearchStrategy[str]:
    return st.text(string.digits, min_size=count, max_size=count)


@st.composite
def id_cards(draw: st.DrawFn) -> str:
    born = draw(st.dates(date(1900, 1, 1), date(2049, 12, 31))).strftime("%Y%m%d")
    first_17 = draw(st.sampled_from(PROVINCES)) + draw(digits(4)) + born + draw(digits(3))
    return first_17 + id_check(first_17)


@st.composite
def bank_cards(draw: st.DrawFn) -> str:
    issuers = [("62", n) for n in range(16, 20)]
    issuers += [("4", 16), ("51", 16), ("55", 16), ("2221", 16), ("2720", 16), ("3528", 16)]
    prefix, length = draw(st.sampled_from([*issuers, ("3589", 16), ("34", 15), ("37", 15)]))
    first = prefix + draw(digits(length - len(prefix) - 1))
    return first + luhn_check(first)


@st.composite
def mobile_phones(draw: st.DrawFn) -> str:
    prefix = draw(st.sampled_from(["", "", "+86", "86", "0086", "+86 ", "86-", "(+86)"]))
    gap = draw(st.sampled_from(["", " ", "-"]))
    second = draw(digits(4).filter(lambda four: four != "0000"))
    return prefix + gap.join([f"1{draw(st.sampled_from('3456789'))}5", second, draw(digits(4))])


def emails() -> st.SearchStrategy[str]:
    name = st.from_regex(r"\Azh[a-z0-9]{1,12}([._+-][a-z0-9]{1,8})?\Z")
    host = st.sampled_from(["qq.com", "163.com", "mail.tsinghua-x.edu.cn", "x-y.io", "QingTan.net"])
    return st.builds("{}@{}".format, name, host)


VALID: dict[PersonalKind, st.SearchStrategy[str]] = {
    "id_card": id_cards(),
    "bank_card": bank_cards(),
    "mobile_phone": mobile_phones(),
    "email": emails(),
}
# What stands around a number in a sentence: any words, then something that is not of the number.
WORDS = st.text("的是我你电话号码请联系一二 abcXYZ,.。，！\n", max_size=12)
BEFORE = st.builds("{}{}".format, WORDS, st.sampled_from("：系 ,，。“（\n"))
AFTER = st.builds("{}{}".format, st.sampled_from("谢，。 ,；”）\n"), WORDS)


@given(st.data())
def test_valid_data_in_any_sentence_are_found_whole(data: st.DataObject) -> None:
    text, expected = "", []
    for kind in data.draw(st.lists(st.sampled_from(sorted(VALID)), max_size=4)):
        value = data.draw(VALID[kind])
        text += data.draw(BEFORE) + value + data.draw(AFTER)
        expected.append((kind, value))
    assert found(text) == expected


@given(id_cards(), st.integers(0, 17), st.sampled_from(string.digits), BEFORE, AFTER)
def test_an_identity_number_with_one_wrong_digit_is_none(
    number: str, place: int, digit: str, before: str, after: str
) -> None:
    wrong = number[:place] + digit + number[place + 1 :]
    kinds = [kind for kind, _ in found(before + wrong + after)]
    assert ("id_card" in kinds) == (wrong == number)


@given(bank_cards(), st.integers(2, 14), st.sampled_from(string.digits))
def test_a_bank_card_with_one_wrong_digit_is_none(number: str, place: int, digit: str) -> None:
    wrong = number[:place] + digit + number[place + 1 :]
    assert (("bank_card", wrong) in found(wrong)) == (wrong == number)


@given(bank_cards(), st.sampled_from(" -"))
def test_bank_cards_are_found_in_groups(number: str, gap: str) -> None:
    cuts = (0, 4, 10, 15) if len(number) == 15 else (0, 4, 8, 12, 16, 20)
    grouped = gap.join(filter(None, (number[a:b] for a, b in pairwise(cuts))))
    assert found(f"卡号：{grouped}。") == [("bank_card", grouped)]


@given(st.data())
def test_numbers_inside_longer_runs_of_digits_are_not_found(data: st.DataObject) -> None:
    numbers = data.draw(st.one_of(id_cards(), mobile_phones(), bank_cards()))
    number = re.sub("[^0-9]", "", numbers)
    long = data.draw(digits(20)) + number + data.draw(st.sampled_from(["", "7", "0x"]))
    assert found(f"编号{long}。") == []


# Pieces from which text is made that comes close to everything looked for.
PIECES = st.one_of(
    id_cards(),
    bank_cards(),
    mobile_phones(),
    emails(),
    st.sampled_from([*" -()+.@/:,０５＠（）－电转\n", "86", "+1 ", "010", "(021)", "5555", "1234"]),
    st.sampled_from(
        ["138 1234 5678", "400-810-8888", "x.com", "https://", *DEFAULT_MASKS.values()]
    ),
    st.text(max_size=4),
)
TEXTS = st.lists(PIECES, max_size=10).map("".join)
KINDS = st.sets(st.sampled_from(ALL_KINDS)).map(tuple)


@given(TEXTS, KINDS)
@example("13912345678 138 1234 5678", ALL_KINDS)
def test_masking_twice_is_masking_once(text: str, kinds: tuple[PersonalKind, ...]) -> None:
    masked, _ = mask_personal_data(text, kinds)
    assert find_personal_data(masked, kinds) == []
    assert mask_personal_data(masked, kinds) == (masked, {})


@given(TEXTS, KINDS)
def test_masking_changes_what_was_found_and_nothing_else(
    text: str, kinds: tuple[PersonalKind, ...]
) -> None:
    findings = find_personal_data(text, kinds)
    masked, counts = mask_personal_data(text, kinds)
    for earlier, later in pairwise(findings):
        assert earlier.end <= later.start
    assert {each.kind for each in findings} <= set(kinds)
    for each in reversed(findings):
        assert each.start < each.end
        text = text[: each.start] + DEFAULT_MASKS[each.kind] + text[each.end :]
    assert masked == text
    of_kind = {kind: [each.kind for each in findings].count(kind) for kind in kinds}
    assert counts == {kind: count for kind, count in of_kind.items() if count}


@given(TEXTS)
def test_full_width_digits_are_found_like_others(text: str) -> None:
    wide = text.translate({ord(c): ord(c) + 0xFEE0 for c in string.digits + "@+-()"})
    places = [(each.kind, each.start, each.end) for each in find_personal_data(text)]
    assert [(each.kind, each.start, each.end) for each in find_personal_data(wide)] == places


FOUND = [
    ("id_card", "身份证：«11010519491231002X»，", "«11010519491231002x»"),
    ("id_card", "号码«110105 19491231 002X»", "«110105-19491231-002X»"),
    ("bank_card", "尾号«6228480402564890018»的卡", "visa «4111 1111 1111 1111»."),
    ("mobile_phone", "电话«13812345678»谢谢", "手机:«138-1234-5678»/«139 8765 4321»"),
    (
        "mobile_phone",
        "«+86 13812345678»,«0086-13812345678»",
        "«(+86)138 1234 5678»;«8613812345678»",
    ),
    ("mobile_phone", "香港«+852 9123 4567»", "澳门«+853 66123456»，台湾«+886 912 345 678»"),
    ("mobile_phone", "«13812345678»人工服务", "找«13812345678»万先生"),
    ("mobile_phone", "US: «+1 (425) 882-8080»", "«+14258828080»"),
    ("mobile_phone", "１：«１３８１２３４５６７８»；", "«13812345678»@example.com"),
    ("landline", "«010-62345678»", "座机«(021) 5555 1234»，«（0571）8765432»"),
    ("landline", "«0755-26001234转801»", "传真«010—62345678-12»，热线«01065122265»"),
    ("landline", "«+86-10-62345678»", "«+86 (0)21 5555 1234»；«+852 2345 6789»"),
    ("service_phone", "客服«400-810-8888»", "«+86 400 8108 888»"),
    ("email", "联系«zhang@x.com»谢谢", "Email:«Li.Si+news@mail.pku-x.edu.cn»."),
    ("email", "«13812345678＠qq.com»", "<mailto:«a_b-c@163.com»>, «x@y.cn»;«z@y.cn»"),
    ("email", "https://x.com/?to=«li@x.com»", "see «a@x.com».Please"),
]


@pytest.mark.parametrize(("kind", "first", "second"), FOUND)
def test_is_found(kind: str, first: str, second: str) -> None:
    for marked in (first, second):
        expected = [(kind, piece) for piece in re.findall("«(.*?)»", marked)]
        assert found(re.sub("[«»]", "", marked)) == expected


KEPT = [
    "版本16.0.9126.2152，2023-01-02 10:20:30，20230102 13000000",
    "订单号202301021234567890，运单SF1381234567890，ID_13812345678",
    "ISBN 978-7-302-12345-6，ISBN 9787302123456",
    "192.168.100.200 2001:db8::138 127.0.0.1:8080",
    "3.13812345678 0.4111111111111111 13812345678.5 π=3.14159265358979",
    "550e8400-e29b-41d4-a716-446655440000 a716-13812345678 de13812345678ad",
    "commit 1381234567813812345678abcdef0123456789ab",
    "共13800000000元，15912345678 美元，¥13812345678，$13812345678",
    "https://x.com/p/13812345678 1583469714314 13812345678.html",
    "12 345 138 1234 5678 90 12",
    "110105194912310021 11010519491331002X 6228480402564890019 15位身份证110105491231002",
    "+852 123 45678, +1 425 555 0100, +13812345678900, 12345678, 0101-1234567",
    "git@github.com:org/repo.git git@github.com https://user:word@host.cn/x ssh://a@b.io",
    "scp file.txt li@server-x.cn:/tmp li@server-x.cn:~ npm install foo@1.2.3 react@18.x",
    "@Override @app.route this@MainActivity.method icon@2x.png @types/node@12.0.0",
    "user@example.com a@mail.example.org zhang@example.co.uk you@yourdomain.com bob@contoso.com",
    "noreply@x.com no-reply@mail.x.com DoNotReply@x.cn zhang at x dot com a@@b.com @x.com a@b",
]


@pytest.mark.parametrize("text", KEPT)
def test_is_kept(text: str) -> None:
    assert found(text) == []


def test_masks_say_what_stood_there() -> None:
    text = (
        "张三，11010519491231002X，手机138 1234 5678，座机010-62345678，zhang@x.com；400-810-8888"
    )
    masked, counts = mask_personal_data(text, DEFAULT_KINDS)
    assert masked == (
        "张三，[身份证号码]，手机[手机号码]，座机010-62345678，[电子邮箱]；400-810-8888"
    )
    assert counts == {"id_card": 1, "mobile_phone": 1, "email": 1}


@pytest.mark.parametrize("unit", ["1", "1 ", "13812345678 138 1234 5678 ", "13812345678/", "a@a."])
def test_long_text_of_awkward_pieces_is_read_in_seconds(unit: str) -> None:
    text = unit * (300_000 // len(unit))
    start = time.process_time()
    findings = find_personal_data(text)
    assert len(findings) == text.count("13812345678") + text.count("138 1234")
    assert time.process_time() - start < 10  # a quadratic search takes minutes


def test_half_a_surrogate_pair_does_no_harm() -> None:
    assert found("\ud83d电话13812345678\ude00") == [("mobile_phone", "13812345678")]


def test_the_table_takes_known_kinds_only() -> None:
    assert "landline" in PersonalDataTable(mask=("landline",)).mask
    assert set(PersonalDataTable().mask) == set(DEFAULT_KINDS)
    with pytest.raises(ValidationError):
        PersonalDataTable.model_validate({"mask": ["shoe_size"]})


def test_obscured_data_keep_their_shape_and_tell_nothing() -> None:
    text = "联系人：zhangsan@mail.com.cn，手机 13812345678。"
    obscured = obscure_personal_data(text)
    assert obscured == "联系人：zh*****************n，手机 13********8。"
    assert len(obscured) == len(text)
    assert obscure_personal_data("没有个人信息。") == "没有个人信息。"
