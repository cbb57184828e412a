"""Imports conversations with a rating, as logs of chats, Open WebUI and TRL's preferences have them.

https://docs.openwebui.com/features/evaluation/, https://huggingface.co/docs/trl/dataset_formats
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agents.imports.draft import RUBRIC, Draft, Row, as_text, conversation, split_chats
from agents.imports.reading import Record, object_of, read_all, unpacked

CHATS = ("messages", "conversation", "conversations", "chat", "turns", "history")
RATINGS = ("rating", "thumbs", "thumb", "feedback", "vote", "liked", "like", "score", "label")
UP = ("up", "thumbs_up", "thumbs-up", "thumbsup", "👍", "good", "like", "liked", "positive", "yes", "+1")
DOWN = ("down", "thumbs_down", "thumbs-down", "thumbsdown", "👎", "bad", "dislike", "disliked", "negative", "no")


def chat_log(paths: Sequence[Path]) -> Draft:
    """Conversations with a rating: what the assistant said last in those that were liked are the targets, and a judge
    compares with them. Those that were not liked are kept beside, since they tell no right answer.

    :raises DataError: a record is no conversation, or none was liked.
    """
    liked, disliked, unrated = list[Record](), list[Record](), list[Record]()
    found = unpacked(read_all(paths), "conversations", "data", "feedbacks")
    most = max((r for one in found if isinstance(r := _rating(one), float)), default=1.0)
    for one in found:
        good = _is_good(_rating(one), most)
        (unrated if good is None else liked if good else disliked).append(one)
    remarks = [one.say("a conversation without a rating is left out") for one in unrated]
    remarks += [one.say("was not liked, and tells no right answer: it is in disliked.jsonl") for one in disliked]
    chats, targets, kept = list[list[dict[str, Any]]](), list[str](), list[Record]()
    for one in liked:
        messages = conversation(_chat(one), one)
        last = next((n for n in reversed(range(len(messages))) if messages[n]["role"] == "assistant"), 0)
        if not last:
            remarks.append(one.say("a conversation in which the assistant answers nothing is left out"))
            continue
        chats.append(messages[:last])
        targets.append(as_text(messages[last]["content"]))
        kept.append(one)
    if not kept:
        raise found[0].wrong(
            f"no conversation was liked; a rating is one of {', '.join(RATINGS)}: up, down, 1, -1, …"
        )
    prompt, inputs = split_chats(chats, kept)
    rows = [Row(given, target) for given, target in zip(inputs, targets, strict=True)]
    draft = Draft(rows, [prompt], "generation", "judge", {"rubric": RUBRIC}, remarks=remarks)
    if disliked:
        draft.beside["disliked.jsonl"] = b"".join(
            json.dumps(one.value, ensure_ascii=False).encode() + b"\n" for one in disliked
        )
    return draft


def _chat(record: Record) -> Any:
    """The messages of a conversation up to the one that was rated, where that is known.

    :raises DataError: there is none.
    """
    value = object_of(record.value)
    for name in CHATS:
        if name in value:
            turns = value[name]
            ours = {"human": "user", "gpt": "assistant", "bot": "assistant", "ai": "assistant"}
            if isinstance(turns, list) and all(isinstance(t, Mapping) and "from" in t for t in turns):
                return [{"role": ours.get(t["from"], t["from"]), "content": t.get("value", "")} for t in turns]
            return turns
    if "prompt" in value and "completion" in value:  # TRL's unpaired preferences
        return [*_turns(value["prompt"], "user"), *_turns(value["completion"], "assistant")]
    if isinstance(turns := _snapshot(value).get("messages"), list):  # Open WebUI
        rated = object_of(value.get("meta")).get("message_id")
        ends = [place for place, turn in enumerate(turns, start=1) if object_of(turn).get("id") == rated]
        return turns[: ends[0]] if ends else turns
    raise record.wrong(f"no conversation: it has none of {', '.join(CHATS)}")


def _turns(given: Any, role: str) -> list[Any]:
    return [{"role": role, "content": given}] if isinstance(given, str) else given if isinstance(given, list) else []


def _snapshot(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """The conversation in a feedback of Open WebUI."""
    return object_of(object_of(object_of(value.get("snapshot")).get("chat")).get("chat"))


def _rating(record: Record) -> float | str | None:
    """The rating of a conversation or of its last message: a number or a word."""
    value = object_of(record.value)
    places = [value, object_of(value.get("data"))]
    places += [object_of(turns[-1]) for name in CHATS if isinstance(turns := value.get(name), list) and turns]
    for place in places:
        for name in RATINGS:
            given = place.get(name)
            if isinstance(given, Mapping):
                given = next((given[key] for key in ("rating", "thumbs", "value", "score") if key in given), None)
            if isinstance(given, bool | int | float):
                return float(given)
            if isinstance(given, str) and given.strip():
                return given.strip().casefold()
    return None


def _is_good(rating: float | str | None, most: float) -> bool | None:
    """Whether a rating is good: a word; 1 of 0 and 1 or of -1 and 1; more than two thirds of a longer scale."""
    if rating is None:
        return None
    if isinstance(rating, float):
        return rating > 0 if most <= 1 else rating > 2 * most / 3
    return True if rating in UP else False if rating in DOWN else None
