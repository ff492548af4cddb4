"""Whole texts: how titles, summaries, translations and poems are asked for."""

import re

# Forms of poems that the model was trained on. 古诗 is any other old verse, of lines of several
# lengths; 词 are written to a tune, 曲 are the songs of the Yuan.
POEM_FORMS = (
    "五言绝句",
    "七言绝句",
    "五言律诗",
    "七言律诗",
    "五言古诗",
    "七言古诗",
    "四言诗",
    "古诗",
    "词",
    "曲",
)
_AFTER_TUNE = re.compile("[ ·・]")


def title(text: str) -> str:
    """Ask for a title of an article."""
    return f"给下面的文章起一个标题：\n\n{text}"


def paper_title(abstract: str) -> str:
    """Ask for the title of a paper with such an abstract."""
    return f"请为下面的论文摘要拟一个标题：\n{abstract}"


def summary(text: str) -> str:
    """Ask for a summary of a document in a sentence or two."""
    return f"请用一两句话概括下面文档的内容：\n\n{text}"


def lead(text: str) -> str:
    """Ask for the sentence that introduces an article to its readers."""
    return f"请为这篇文章写一句导语：\n\n{text}"


def to_chinese(text: str) -> str:
    """Ask for an English text in Chinese."""
    return f"把下面的英文翻译成中文：\n{text}"


def to_english(text: str) -> str:
    """Ask for a Chinese text in English."""
    return f"把下面的中文翻译成英文：\n{text}"


def poem(
    form: str, title: str | None = None, *, first_line: str | None = None, tune: str | None = None
) -> str:
    """Ask for a poem under a title, or one that begins with a line.

    Under a title the answer begins with it as a heading, "《秋夜》", and an empty line.

    Args:
        form: one of POEM_FORMS.
        title: without quotation marks.
        first_line: without the punctuation after it.
        tune: of a 词 under a title; by default the title up to "·" or a space, for most are
            called after their tunes: 菩萨蛮·回塘起波纹细.

    Raises:
        ValueError: neither a title nor a first line is given, or both.
    """
    if bool(title) == bool(first_line):
        raise ValueError("give either a title or a first line")
    if not title:
        return f"以“{first_line}”为首句，续写一首{form}。"
    if form == "词":
        tune = tune or _AFTER_TUNE.split(title)[0]
        return f"以《{title}》为题，创作一首词，词牌为“{tune}”。"
    return f"以《{title}》为题，创作一首{'元曲' if form == '曲' else form}。"
