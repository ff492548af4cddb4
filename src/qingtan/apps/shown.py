"""Answers as JSON for programs: the API's, and the command line's --json."""

import secrets
from typing import Any

from qingtan.apps.tutoring import Lesson
from qingtan.knowledge.answers import Answered
from qingtan.knowledge.shown import hit_json

Json = dict[str, Any]


def lesson_json(lesson: Lesson) -> Json:
    """Return what the tutor says, and the state that the caller gives back next time."""
    return {
        "object": "knowledge.lesson",
        "text": lesson.text,
        "done": lesson.done,
        "right": lesson.right,
        "state": lesson.state,
    }


def answered_json(answered: Answered) -> Json:
    """Return an answer, with an id by which it can be rated, and its passages.

    Of the sentences only those are told that passages support.
    """
    return {
        "object": "knowledge.answer",
        "id": f"answer-{secrets.token_hex(12)}",
        "text": answered.text,
        "question": answered.question,
        "refused": answered.refused,
        "quoted": answered.quoted,
        "evidence": answered.evidence,
        "sentences": [
            {"text": each.text, "citation": each.passage}
            for each in answered.sentences
            if each.supported
        ],
        "passages": [hit_json(hit) for hit in answered.passages],
        "nearest": [hit_json(hit) for hit in answered.nearest],
        "suspicious": list(answered.suspicious),
    }
