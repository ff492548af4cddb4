from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qingtan.knowledge.claims import amounts, features, names, negations, stands_in


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("1,000元", 1000, "元"),
        ("三百元", 300, "元"),
        ("3.5亿元", 350_000_000, "元"),
        ("百分之五", 5, "%"),
        ("２千米", 2000, "m"),
        ("2公里", 2000, "m"),
        ("一个半小时里的90分钟", 5400, "s"),
        ("1.50公斤", Decimal("1.5"), "kg"),
        ("3", 3, ""),
    ],
)
def test_amounts(text: str, value: int | Decimal, unit: str) -> None:
    assert (Decimal(value), unit) in [(each.value, each.unit) for each in amounts(text)]


@pytest.mark.parametrize("text", ["一起去", "千万小心", "万一", "第一"])
def test_words_with_a_numeral_in_them_are_no_amounts(text: str) -> None:
    assert amounts(text) == []


def test_numbers_agree_whatever_their_form_and_not_across_units() -> None:
    (days,), (hours,), (bare,) = amounts("3天"), amounts("三小时"), amounts("3")
    assert not days.agrees(hours)
    assert days.agrees(bare)
    assert amounts("2千米")[0].agrees(amounts("2000米")[0])


def test_names_are_persons_places_titles_models_and_results() -> None:
    found = names("李四在上海读《红楼梦》，用A-100，以3–1获胜")
    assert {"李四", "上海", "红楼梦", "a-100", "3-1"} <= found
    assert stands_in("3-1", "比分是3—1。")
    assert not stands_in("a-10", "型号A-100")
    assert stands_in("a-100", "型号Ａ-100")


@pytest.mark.parametrize(
    ("text", "denied"),
    [
        ("会员不可以退款", "退款"),
        ("禁止携带宠物", "携带"),
        ("没有提供早餐", "提供"),
        ("押金除外", "押金"),
        ("本品未经检验", "检验"),
    ],
)
def test_what_a_negation_denies(text: str, denied: str) -> None:
    assert any(denied in scope for scope in negations(text))


@pytest.mark.parametrize(
    "text", ["不仅便宜", "非常好", "未来可期", "是否退款", "他去非洲", "读《子不语》"]
)
def test_words_that_look_like_negations_are_none(text: str) -> None:
    assert negations(text) == []


@given(st.text(max_size=80))
def test_any_text_can_be_read(text: str) -> None:
    assert all(weight > 0 for weight in features(text).values())
    assert all(each.value == each.value for each in amounts(text))
    assert all(negations(text))
    assert all(names(text))


def test_the_digits_of_a_code_are_no_amount() -> None:
    assert amounts("A-200和v2.3.1、win10、USB3.0") == []
    assert [amount.text for amount in amounts("A-200每台3,000元，重5 kg，10m-20m长")] == [
        "3,000元",
        "5 kg",
        "10m",
        "20m",
    ]
    assert {"a-200", "v2.3.1", "win10"} <= set(features("A-200和v2.3.1、win10"))
    assert "a" not in features("A-200")
