"""Answers from a given text, talk and free writing: how they are asked for.

The wordings are those of the training conversations, as cleaning leaves them: a full-width bar or
an ideographic space is an ordinary one there.
"""

from collections.abc import Iterable, Sequence

# Said where the passages do not hold the answer.
REFUSALS = (
    "提供的资料中没有找到与该问题相关的信息，无法回答。",
    "抱歉，给出的资料没有提到这个问题的答案。",
    "资料中没有相关内容，暂时无法回答这个问题。",
)


def answer_from_passages(question: str, passages: Sequence[str]) -> str:
    """Ask for an answer from passages, numbered from 1, as `cite` writes it.

    Whether they hold the answer is for the model to find out: then it says one of REFUSALS.
    """
    return (
        "请根据下列资料回答问题，并标注引用编号；资料中没有答案时请直接说明。\n\n"
        f"{_number(passages)}\n\n问题：{question}"
    )


def complete_question(question: str, earlier: Sequence[str]) -> str:
    """Ask for a follow-up question that can be understood alone.

    The built-in models were not trained on it.

    Args:
        earlier: the questions before it, oldest first.
    """
    said = "\n".join(earlier)
    return (
        "请结合前面的问题，把最后一个问题改写成意思完整、可以单独理解的问题，只输出改写后的问题。\n\n"
        f"前面的问题：\n{said}\n\n最后一个问题：{question}"
    )


def read_and_answer(question: str, text: str) -> str:
    """Ask for an answer from one text; it is short, and cites nothing."""
    return f"阅读下面的材料，回答问题。\n\n{text}\n\n问题：{question}"


def answer_law(question: str, articles: Sequence[str]) -> str:
    """Ask for an answer from articles of laws, numbered from 1, as `cite` writes it.

    Args:
        articles: each with its law and number, "《公园条例》第三条 公园免费开放。".
    """
    # Laws set an ideographic space after an article's number.
    numbered = _number([article.replace("\u3000", " ") for article in articles])
    return (
        f"你是法律咨询助手，请依据下列法条回答，并注明引用编号。\n\n{numbered}\n\n问题：{question}"
    )


def cite(answer: str, *numbers: int) -> str:
    """Write an answer with the numbers of its passages after it."""
    return answer + "".join(f"[{number}]" for number in numbers)


def answer_customer(question: str, card: str) -> str:
    """Ask what a shop's or a sight's card says, one "名称：…" a line.

    What it does not say is answered with `refuse_customer`.
    """
    return f"请依据商户信息回答顾客的问题，信息里没有的请如实说明。\n\n{card}\n\n问题：{question}"


def refuse_customer(telephone: str | None = None) -> str:
    """Write the answer to a customer whose question the card leaves open.

    Args:
        telephone: the card's, where it gives one.
    """
    if telephone:
        return f"很抱歉，目前的资料里没有这项信息，建议您致电{telephone}咨询。"
    return "抱歉，现有资料没有提供这项信息，建议您直接联系商家确认。"


def chat_with_knowledge(text: str, facts: Iterable[tuple[str, str, str]]) -> str:
    """Write what the user says, after facts that the answer may use.

    Args:
        facts: (entity, attribute, value); without any the text stays as it is.
    """
    lines = "\n".join("|".join(fact) for fact in facts)
    return f"参考知识：\n{lines}\n\n{text}" if lines else text


def write_article(title: str, lead: str | None = None) -> str:
    """Ask for a short article on technology.

    The answer begins with the title as a heading, "# …", and an empty line.

    Args:
        lead: what it is about, in a sentence with its full stop.
    """
    about = f"，主旨：{lead}" if lead else "。"
    return f"帮我写一篇科技短文，题目是“{title}”{about}"


def write_recipe(dish: str) -> str:
    """Ask how a dish is cooked; the answer has headings and lists in Markdown."""
    return f"{dish}怎么做？"


def tell_story(title: str) -> str:
    """Ask for a short story for children."""
    return f"写一个小故事，题目是“{title}”。"


def continue_novel(text: str) -> str:
    """Ask how a passage of an old vernacular novel goes on."""
    return f"续写下面的章回小说片段：\n{text}"


def _number(passages: Iterable[str]) -> str:
    return "\n".join(f"[{number}] {text}" for number, text in enumerate(passages, start=1))
