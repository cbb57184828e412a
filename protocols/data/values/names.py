"""Words in the names of columns."""

from __future__ import annotations

import re

ANSWERS = (
    "target", "label", "labels", "gold", "class", "category", "intent", "answer", "answers", "expected", "output",
    "sentiment", "topic", "entities", "ner", "tag", "tags", "department", "team", "queue", "response", "completion",
    "reply", "solution", "summary", "translation", "reference", "ideal", "result", "verdict", "rating", "stars",
    "priority", "type", "y", "标签", "类别", "分类", "答案", "etiqueta", "categoria", "étiquette", "klasse",
    "kategorie", "antwort",
)  # fmt: skip
"""Words in names of columns that hold the answer, the surest first."""
INPUTS = frozenset(
    {
        "text", "question", "context", "sentence", "message", "review", "body", "title", "subject", "content",
        "input", "prompt", "passage", "premise", "hypothesis", "headline", "utterance", "query", "ticket",
        "document", "article", "request", "comment", "tweet", "post", "email", "description", "problem",
        "instruction", "dialogue", "conversation", "chat", "sentence1", "sentence2", "text1", "text2", "paragraph",
        "abstract", "x", "文本", "内容", "标题", "问题", "texto", "texte", "nachricht", "frage",
    }
)  # fmt: skip
"""Words in names of columns that a model should see."""
ASIDE = frozenset(
    {
        "id", "idx", "index", "uuid", "guid", "key", "nr", "date", "time", "timestamp", "created", "updated", "url",
        "link", "split", "fold", "source", "author", "user", "annotator", "confidence", "score", "explanation",
        "rationale", "reason", "reasoning", "start", "end", "offset", "version", "licence", "license", "lang",
        "language", "probability", "prediction", "predicted", "notes",
    }
)  # fmt: skip
"""Words in names of columns that are neither."""


def words_in(name: str) -> frozenset[str]:
    """The words of a name, in small letters: of "answers.text", "goldLabel" and "customer message" two each."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return frozenset(re.findall(r"[^\W_]+", apart.lower()))
