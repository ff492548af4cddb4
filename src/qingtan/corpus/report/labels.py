"""Names in both languages: the page holds both, and its reader chooses."""

from collections.abc import Mapping
from typing import NamedTuple

from markupsafe import Markup

from qingtan.corpus.quality import RULES
from qingtan.corpus.report.excerpts import visible
from qingtan.corpus.statistics import StepName


class Label(NamedTuple):
    """One name in both languages."""

    english: str
    chinese: str


STEPS: dict[StepName, Label] = {
    "read": Label("Reading", "读取"),
    "clean": Label("Cleaning", "清洗"),
    "language": Label("Language", "语言筛选"),
    "quality": Label("Quality", "质量筛选"),
    "personal-data": Label("Personal data", "个人信息脱敏"),
    "decontamination": Label("Decontamination", "排除评测题"),
    "exact-duplicates": Label("Exact duplicates", "完全去重"),
    "near-duplicates": Label("Near-duplicates", "近似去重"),
    "encode": Label("Encoding", "编码"),
}

KINDS = {
    "text": Label("text", "文本"),
    "conversations": Label("conversations", "对话"),
}

LANGUAGES = {
    "zh": Label("Chinese", "中文"),
    "lzh": Label("Literary Chinese", "文言"),
    "yue": Label("Cantonese", "粤语"),
    "en": Label("English", "英语"),
    "ja": Label("Japanese", "日语"),
    "ko": Label("Korean", "韩语"),
    "vi": Label("Vietnamese", "越南语"),
    "th": Label("Thai", "泰语"),
    "id": Label("Indonesian", "印尼语"),
    "ru": Label("Russian", "俄语"),
    "uk": Label("Ukrainian", "乌克兰语"),
    "de": Label("German", "德语"),
    "fr": Label("French", "法语"),
    "es": Label("Spanish", "西班牙语"),
    "pt": Label("Portuguese", "葡萄牙语"),
    "it": Label("Italian", "意大利语"),
    "nl": Label("Dutch", "荷兰语"),
    "pl": Label("Polish", "波兰语"),
    "tr": Label("Turkish", "土耳其语"),
    "ar": Label("Arabic", "阿拉伯语"),
    "he": Label("Hebrew", "希伯来语"),
    "fa": Label("Persian", "波斯语"),
    "hi": Label("Hindi", "印地语"),
    "la": Label("Latin", "拉丁语"),
    "und": Label("not known", "无法判断"),
    "other": Label("others", "其他"),
}

PERSONAL_DATA = {
    "id_card": Label("Identity numbers", "身份证号"),
    "bank_card": Label("Bank cards", "银行卡号"),
    "mobile_phone": Label("Mobile phones", "手机号码"),
    "landline": Label("Landlines", "固定电话"),
    "service_phone": Label("Service numbers", "服务热线"),
    "email": Label("E-mail addresses", "电子邮箱"),
}


CLEANING = {
    "mojibake": Label("wrong encodings repaired", "修复编码错误"),
    "wiki_variants": Label("regional wording of wikis", "维基地区词转换"),
    "markup": Label("HTML and wiki markup", "HTML 与维基标记"),
    "markdown_links": Label("images and link targets", "图片与链接地址"),
    "unicode": Label("characters and spaces", "字符与空白"),
    "simplify": Label("traditional to simplified", "繁体转简体"),
    "boilerplate": Label("page furniture", "页面套话"),
    "personal-data": Label("personal data masked", "遮盖个人信息"),
}

MEASURES = {
    "length": Label("Length in characters", "字数"),
    "symbols": Label("Share of symbols", "符号占比"),
    "digits": Label("Share of digits", "数字占比"),
    "broken": Label("Share of broken characters", "乱码占比"),
    "function_characters": Label("Share of function characters", "虚字占比"),
    "stop_words": Label("Share of stop words", "英文虚词占比"),
    "short_lines": Label("Text in very short lines", "极短行文字占比"),
    "duplicate_lines": Label("Text in repeated lines", "重复行文字占比"),
    "top_gram": Label("Text in the commonest phrase", "最常见短语占比"),
    "repeated": Label("Text that repeats itself", "重复文字占比"),
}

# What the rules beside the quality rules drop; some are named for one language or set each.
_DROPPED = {
    "nothing-left": Label("nothing was left by cleaning", "清洗后为空"),
    "exact-duplicate": Label("the same text as an earlier one", "与之前的文本相同"),
    "near-duplicate": Label("nearly the same text as an earlier one", "与之前的文本几乎相同"),
}
_LANGUAGE = "language-"
_CONTAMINATED = "contaminated-"


def rule_label(name: str) -> Label | None:
    """Return what a quality rule asks of a document, or what another rule drops."""
    if name in RULES:
        return Label(RULES[name].english, RULES[name].chinese)
    if name.startswith(_LANGUAGE):
        return LANGUAGES.get(name.removeprefix(_LANGUAGE))
    if name.startswith(_CONTAMINATED):
        return Label("holds items of this evaluation set", "含有该评测集的题目")
    return _DROPPED.get(name)


def both(english: str, chinese: str, *values: str) -> Markup:
    """Return a text in both languages, of which the page shows one; values replace its {}."""
    return _BOTH.format(english.format(*values), chinese.format(*values))


def name_of(key: str, labels: Mapping[str, Label]) -> Markup:
    """Return the label of a key in both languages, or the key itself where there is none."""
    if key in labels:
        return both(*labels[key])
    return Markup("<code>{}</code>").format(visible(key))


def code_of(key: str, label: Label | None) -> Markup:
    """Return a key, by which the recipe knows it, and below it what it stands for."""
    code = Markup("<code>{}</code>").format(visible(key))
    return code + Markup(" <small>{}</small>").format(both(*label)) if label else code


def plain_name_of(key: str, labels: Mapping[str, Label]) -> str:
    """Return both languages side by side, for attributes, which cannot switch."""
    label = labels.get(key)
    return f"{label.english} · {label.chinese}" if label else key


_BOTH = Markup('<span class="en" lang="en">{}</span><span class="zh" lang="zh">{}</span>')
