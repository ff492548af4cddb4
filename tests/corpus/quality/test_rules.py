"""Rules: good text passes, each kind of bad text fails the rule that is meant for it."""

import base64
import hashlib
from dataclasses import fields
from pathlib import Path

import pytest

from qingtan.corpus.quality import (
    RULES,
    Measures,
    QualityRules,
    QualityTable,
    Verdict,
    identify,
    judge,
    measure,
)
from qingtan.errors import UserError
from qingtan.recipe import load_recipe

PROSE = (
    "我们昨天去公园散步，孩子们玩得很高兴，回家的时候天已经黑了。路上下起了小雨，大家只好跑到"
    "车站里躲一躲。等了半个小时，车终于来了，司机笑着说今天的人真多。"
)
ENGLISH = (
    "The weather was cold, but the children played outside until it was dark. On the way home it "
    "began to rain, so we waited at the station for the next train and talked about the day."
)
DOCUMENTATION = """# 安装

用下面的命令安装这个软件包，然后检查它的版本：

```sh
pip install --upgrade example-package==1.2.3
example --version | grep -E '^[0-9]+\\.[0-9]+' && echo ok
```

| 选项 | 默认值 | 说明 |
|------|--------|------|
| `--port` | 8080 | 服务监听的端口 |
| `--host` | 127.0.0.1 | 服务监听的地址 |

- 如果端口被占用，程序会报错并退出。
- 也可以在配置文件里写这些选项。
"""
LAW = "\n\n".join(
    f"第{number}条 违反本条例规定，未按照要求办理{matter}的，由有关主管部门责令限期改正；"
    f"逾期不改正的，处{fine}万元以下的罚款。"
    for number, matter, fine in [("一", "登记", "一"), ("二", "备案", "二"), ("三", "审批", "三")]
)
POEM = "《静夜思》\n唐·李白\n\n床前明月光，疑是地上霜。\n举头望明月，低头思故乡。"
SONG = "坎坎伐檀兮，\n寘之河之干兮。\n河水清且涟猗。\n不稼不穑，\n胡取禾三百廛兮？"
GOOD = [PROSE, ENGLISH, DOCUMENTATION, LAW, POEM, SONG]

MENU = "\n".join(["首页", "新闻", "体育", "娱乐", "财经", "科技", "汽车", "房产", "教育", "旅游"])
WORD_LIST = "北京 上海 广州 深圳 天津 重庆 南京 杭州 苏州 长沙 武汉 西安 青岛 大连 宁波 厦门 " * 2
KEYWORDS = "的手机在线购买和" * 40
HEX = "".join(hashlib.sha256(bytes([i])).hexdigest() for i in range(10))
BASE64 = base64.b64encode(HEX.encode()).decode()
BAD = {
    "min_characters": ("zh", "你好！"),
    "max_broken_share": ("zh", PROSE[:30] + "锟斤拷" * 10),
    "min_han_share": ("zh", "说明在这里：" + ENGLISH * 2),
    "min_latin_share": ("en", "The word is " + "Вчера мы гуляли в парке. " * 3),
    "max_symbol_share": ("zh", PROSE[:20] + "═║╬★☆◆◇" * 20),
    "max_digit_share": ("zh", PROSE[:20] + "，3.14159，2.71828，1.41421" * 8),
    "max_blob_share": ("zh", PROSE + "\n" + BASE64[:200]),
    "max_run_share": ("zh", PROSE[:40] + "哈" * 30),
    "min_word_length": ("en", "a b c d to e f g of h i j k in l m n o p q r"),
    "max_word_length": ("en", "the internationalization of characterizations is misrepresentation"),
    "min_stop_word_share": ("en", "Smith Jones Taylor Brown Williams Wilson Johnson Davies Patel"),
    "min_function_share": ("zh", WORD_LIST),
    "max_short_line_share": ("zh", MENU.replace("新闻", "我的新闻").replace("教育", "和教育")),
    "max_bullet_share": ("zh", "\n".join("- " + line for line in PROSE.split("，"))),
    "max_ellipsis_share": ("zh", PROSE.replace("。", "……\n")),
    "max_stretch": ("zh", KEYWORDS),
    "max_duplicate_line_share": ("zh", (PROSE + "\n") * 3),
    "max_top_gram_share": ("zh", "免费注册、".join(PROSE[i : i + 3] for i in range(0, 75, 3))),
    "max_repeated_share": (
        "zh",
        "".join(f"他在{a}吃了一碗又香又热的牛肉面然后就回家睡觉去了。" for a in "甲乙丙丁戊己庚"),
    ),
}
ON = {"max_bullet_share": 0.9}


@pytest.mark.parametrize("text", GOOD)
def test_good_text_passes(text: str) -> None:
    assert judge(measure([text]), identify([text]), QualityTable()) == [None]


@pytest.mark.parametrize("name", RULES)
def test_bad_text_fails_its_rule_and_passes_without_it(name: str) -> None:
    language, text = BAD[name]
    measures = measure([text])
    rules = QualityTable().of(language).model_copy(update=ON)
    others = {other: False for other in RULES if other != name}
    for changes in ({}, others):
        table = QualityTable.model_validate({language: {**rules.model_dump(), **changes}})
        [verdict] = judge(measures, [language], table)
        value = float(getattr(measures, RULES[name].measure)[0])
        assert verdict == Verdict(name, value, getattr(rules, name))
    off = QualityTable.model_validate({language: dict.fromkeys(RULES, False)})
    assert judge(measures, [language], off) == [None]


def test_rules_and_thresholds_are_the_same_names() -> None:
    assert list(RULES) == list(QualityRules.model_fields)
    columns = {field.name for field in fields(Measures)}
    for name, rule in RULES.items():
        assert rule.measure in columns
        assert rule.least == name.startswith("min_")


def test_every_threshold_is_documented() -> None:
    table = QualityTable()
    for rules in (table.zh, table.lzh, table.en, table.other):
        assert all(field.description for field in type(rules).model_fields.values())


def test_descriptions_speak_the_users_language(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QINGTAN_LANG", "zh")
    assert RULES["max_symbol_share"].description == "符号少"
    monkeypatch.setenv("QINGTAN_LANG", "en")
    assert RULES["max_symbol_share"].description == "few symbols"


def test_a_batch_is_judged_as_its_documents_are() -> None:
    texts = [text for _, text in BAD.values()] + GOOD
    languages = [language for language, _ in BAD.values()] + identify(GOOD)
    languages[3] = "ru"
    table = QualityTable()
    one_by_one = [
        judge(measure([text]), [language], table)[0]
        for text, language in zip(texts, languages, strict=True)
    ]
    assert judge(measure(texts), languages, table) == one_by_one


def test_a_threshold_itself_passes() -> None:
    measures = measure(["一二三四五六七八九十。"])
    table = QualityTable.model_validate({"zh": {**dict.fromkeys(RULES, False)}})
    for threshold, passes in [(10, True), (11, False)]:
        zh = table.zh.model_copy(update={"min_characters": threshold})
        verdict = judge(measures, ["zh"], table.model_copy(update={"zh": zh}))[0]
        assert (verdict is None) == passes


def test_one_threshold_of_one_language_is_set_in_a_recipe(tmp_path: Path) -> None:
    path = tmp_path / "quality.toml"
    path.write_text("[zh]\nmax_symbol_share = 0.1\nmin_characters = 100\nmax_stretch = false\n")
    table = load_recipe(path, QualityTable)
    assert (table.zh.max_symbol_share, table.zh.min_characters) == (0.1, 100)
    assert table.zh.max_stretch is False
    assert table.zh.min_han_share == QualityTable().zh.min_han_share
    assert table.en == QualityTable().en


@pytest.mark.parametrize("line", ["max_symbol_share = true", "max_symbols = 1"])
def test_other_values_and_names_are_errors(tmp_path: Path, line: str) -> None:
    path = tmp_path / "quality.toml"
    path.write_text(f"[zh]\n{line}\n")
    with pytest.raises(UserError, match=r"zh\.max_symbol"):
        load_recipe(path, QualityTable)
