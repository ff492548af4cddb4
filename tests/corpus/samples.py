"""Small texts and records of our own."""

from pathlib import Path
from typing import Any

SENTENCES = (
    "清谈是一个中文语言模型系统。",
    "你好，请问今天北京的天气怎么样？",
    "床前明月光，疑是地上霜。举头望明月，低头思故乡。",
    "人工智能是计算机科学的一个分支，研究怎样让机器学习。",
    "The quick brown fox jumps over the lazy dog.",
    "A tokenizer turns text into numbers, and numbers into text.",
    "请把下面的句子翻译成英文。",
    "今天天气很好，我们去公园散步吧。",
)


def numbered(count: int, **fields: Any) -> list[dict[str, Any]]:
    """Return documents that differ from one another."""
    return [{"text": f"第{i}篇：今天天气很好。", **fields} for i in range(count)]


def conversation(question: str, answer: str, **fields: Any) -> dict[str, Any]:
    """Return a conversation of one question and one answer."""
    messages = [
        {"role": "user", "content": question},
        {"role": "assistant", "content": answer},
    ]
    return {"messages": messages, **fields}


def contents_of(folder: Path) -> dict[str, bytes]:
    """Return all that a build makes, but for how long it took."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in files
        if path.name != "timings.json"
    }
