"""Texts that are alike to a known degree, and plain Python's answers about them."""

import random

LETTERS = "天地玄黄宇宙洪荒日月盈昃辰宿列张寒来暑往秋收冬藏闰余成岁律吕调阳云腾致雨露结为霜"


def random_text(rng: random.Random, length: int) -> str:
    return "".join(rng.choices(LETTERS, k=length))


def changed(rng: random.Random, text: str, edits: int) -> str:
    """Substitute, insert or delete so many characters."""
    characters = list(text)
    for _ in range(edits):
        place = rng.randrange(len(characters))
        new = rng.choice([[], [rng.choice(LETTERS)], [characters[place], rng.choice(LETTERS)]])
        characters[place : place + 1] = new
    return "".join(characters)


def grams_of(text: str, length: int) -> set[str]:
    letters = "".join(c.lower() for c in text if c.isalnum())
    return {letters[i : i + length] for i in range(len(letters) - length + 1)}


def jaccard(first: set[str], second: set[str]) -> float:
    return len(first & second) / len(first | second) if first | second else 0.0
