"""Labels and extracted parts: how they are asked for, which there are, and how answers are read.

The wordings are those of the training conversations, as cleaning leaves them: the full-width bar
between an entity and its type is an ordinary one there.
"""

import json
import re
from collections.abc import Collection, Iterable, Iterator
from typing import Literal

# What customers want of a service that knows hotels, restaurants, sights, taxis and the metro.
INTENTS = (
    "询问餐馆",
    "询问景点",
    "询问酒店",
    "询问出租",
    "询问地铁",
    "提出餐馆需求",
    "提出景点需求",
    "提出酒店需求",
    "提出出租需求",
    "提出地铁需求",
    "选定餐馆",
    "选定景点",
    "选定酒店",
    "问候",
    "致谢",
    "道别",
)
# China's thirteen categories of degrees.
CATEGORIES = (
    "军事学",
    "农学",
    "医学",
    "历史学",
    "哲学",
    "工学",
    "教育学",
    "文学",
    "法学",
    "理学",
    "管理学",
    "经济学",
    "艺术学",
)
# First-level disciplines, some of them joined, as the data set CSL names them.
_DISCIPLINES = """
中医学/中药学 中国语言文学 交通运输工程 体育学 作物学 信息与通信工程 光学工程 公共卫生与预防医学
公共管理 兵器科学与技术 军事学 农业工程 农业资源利用 农林经济管理 冶金工程 力学
动力工程及工程热物理 化学/化学工程与技术 历史学 口腔医学 哲学 园艺学 图书馆、情报与档案管理
土木工程 地球物理学 地理学 地质学/地质资源与地质工程 基础医学/临床医学 大气科学 天文学 工商管理
应用经济学 建筑学 心理学 控制科学与工程 政治学 教育学 数学 新闻传播学 机械工程 材料科学与工程
林学/林业工程 核科学与技术 植物保护 民族学 水产 水利工程 法学 测绘科学与技术 海洋科学 物理学
环境科学与工程 理论经济学 生物学/生物科学与工程 电子科学与技术 电气工程 畜牧学/兽医学 矿业工程
石油与天然气工程 社会学 纺织科学与工程 航空宇航科学与技术 艺术学 药学 计算机科学与技术
船舶与海洋工程 食品科学与工程
"""
DISCIPLINES = tuple(_DISCIPLINES.split())
TOPICS = ("科技", "旅游", "政治", "体育", "健康", "娱乐", "地理")
OFFENCES = ("冒犯", "不冒犯")
SENTIMENTS = ("正面", "中性", "负面")
ASPECTS = (
    "口味",
    "分量",
    "外观",
    "推荐程度",
    "价格水平",
    "性价比",
    "折扣力度",
    "服务人员态度",
    "点菜/上菜速度",
    "排队等候时间",
    "是否容易停车",
    "交通是否便利",
    "距离商圈远近",
    "是否容易寻找",
    "装修",
    "就餐空间",
    "嘈杂情况",
    "卫生情况",
)
ENTITY_TYPES = ("人名", "地名", "机构名")
# The answer where there is nothing to extract.
NOTHING = "无"

# A colon after the first word of a line, full-width or not.
_PAIR = re.compile(r"([^：:]+)[：:](.+)")
_SLOT = re.compile(r"([^：:-]+)-([^：:]+)[：:](.+)")
_FENCE = re.compile(r"```(?:json)?\s*(.*?)\s*```", re.DOTALL)


def intent(text: str) -> str:
    """Ask what the user of a service wants; the answer is for `read_labels`."""
    return f"判断下面这句用户的话包含哪些意图，用顿号分隔：\n{text}"


def keywords(text: str) -> str:
    """Ask for the keywords of an abstract, its title after it; `read_labels` reads the answer."""
    return f"请从下面的摘要中提取关键词，用顿号分隔：\n{text}"


def discipline(abstract: str) -> str:
    """Ask for the discipline of a paper, one of DISCIPLINES."""
    return f"判断下面的论文摘要属于哪个一级学科：\n{abstract}"


def category(title: str) -> str:
    """Ask for the category of a paper, one of CATEGORIES, by its title."""
    return f"根据论文标题判断学科门类（{'、'.join(CATEGORIES)}）：\n{title}"


def topic(text: str) -> str:
    """Ask for the topic of a sentence, one of TOPICS."""
    return f"请判断下面文本的主题（{'、'.join(TOPICS)}）：\n{text}"


def offence(text: str) -> str:
    """Ask whether a comment is offensive: one of OFFENCES."""
    return f"判断下面的网络言论是否带有冒犯性，只回答“冒犯”或“不冒犯”：\n{text}"


def choose(premise: str, asked: Literal["原因", "结果"], first: str, second: str) -> str:
    """Ask which of two sentences is likelier the cause or the result of a premise.

    The answer is the choice with its letter: "B. 她没了食欲。".
    """
    return f"选择更合理的选项：\n{premise}\n最可能的{asked}是？\nA. {first}\nB. {second}"


def sentiment(review: str) -> str:
    """Ask for the sentiment of a restaurant's review, one of SENTIMENTS."""
    return f"判断下面餐厅评价的情感倾向（{'、'.join(SENTIMENTS)}）：\n{review}"


def aspects(review: str) -> str:
    """Ask for the sentiment of each aspect in a review; `read_aspects` reads the answer."""
    return f"请分析这条餐厅点评中各个方面的情感倾向，每行一个“方面：倾向”。\n{review}"


def entities(text: str) -> str:
    """Ask for persons, places and organizations; `read_entities` reads the answer."""
    return (
        f"请做命名实体识别（{'、'.join(ENTITY_TYPES)}），每行输出“实体|类型”。"
        f"没有实体时输出“{NOTHING}”。\n{text}"
    )


def slots(text: str) -> str:
    """Ask for the conditions that a customer gives; `read_slots` reads the answer."""
    return f"请抽取下面句子里的关键信息（领域-槽位：值）。\n{text}"


def read_labels(answer: str) -> list[str]:
    """Return labels that stand between "、", without repetitions, in their order."""
    parts = (part.strip(" 。") for part in re.split("[、，；\n]", answer))
    return list(dict.fromkeys(part for part in parts if part and part != NOTHING))


def read_aspects(answer: str) -> set[tuple[str, str]]:
    """Return pairs (aspect, sentiment) of an answer with a pair on each line."""
    matches = (_PAIR.fullmatch(line.strip(" 。")) for line in answer.split("\n"))
    pairs = ((match[1].strip(), match[2].strip()) for match in matches if match)
    return {pair for pair in pairs if all(pair)}


def read_entities(answer: str) -> set[tuple[str, str]]:
    """Return pairs (entity, type) of an answer in any form that the model was trained on.

    These are lines "实体|类型", a line "人名：甲、乙" for each type, and a JSON list of objects
    with "实体" and "类型". What has none of these forms is passed over.
    """
    fenced = _FENCE.search(answer)
    text = fenced[1] if fenced else answer
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return {entity for line in text.split("\n") for entity in _entities_of_line(line)}
    return set(_entities_of_list(values))


def read_slots(answer: str) -> set[tuple[str, str, str]]:
    """Return triples (domain, slot, value) of an answer with "领域-槽位：值" on each line."""
    matches = (_SLOT.fullmatch(line.strip()) for line in answer.split("\n"))
    triples = ((m[1].strip(), m[2].strip(), m[3].strip()) for m in matches if m)
    return {triple for triple in triples if all(triple)}


def write_aspects(pairs: Iterable[tuple[str, str]]) -> str:
    """Write pairs (aspect, sentiment) as the answer to `aspects` is written."""
    return "\n".join(f"{aspect}：{tendency}" for aspect, tendency in pairs) or NOTHING


def write_entities(pairs: Iterable[tuple[str, str]]) -> str:
    """Write pairs (entity, type) as the answer to `entities` is written."""
    return "\n".join(f"{entity}|{kind}" for entity, kind in pairs) or NOTHING


def write_slots(triples: Iterable[tuple[str, str, str]]) -> str:
    """Write triples (domain, slot, value) as the answer to `slots` is written."""
    return "\n".join(f"{domain}-{slot}：{value}" for domain, slot, value in triples) or NOTHING


def _entities_of_line(line: str) -> Collection[tuple[str, str]]:
    entity, bar, kind = line.replace("｜", "|").rpartition("|")
    if bar:
        pair = entity.strip(), kind.strip(" 。")
        return [pair] if all(pair) else []
    match = _PAIR.fullmatch(line.strip(" 。"))
    if not match or match[1].strip() not in ENTITY_TYPES:
        return []
    # Only at "、", since names in Latin letters may have other commas within.
    parts = (part.strip() for part in match[2].split("、"))
    return [(part, match[1].strip()) for part in parts if part and part != NOTHING]


def _entities_of_list(values: object) -> Iterator[tuple[str, str]]:
    for value in values if isinstance(values, list) else []:
        if isinstance(value, dict):
            entity, kind = value.get("实体"), value.get("类型")
            if (
                isinstance(entity, str)
                and isinstance(kind, str)
                and entity.strip()
                and kind.strip()
            ):
                yield entity.strip(), kind.strip()
