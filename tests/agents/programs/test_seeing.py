"""Programs get conversations and images whole, and may send them on; their traces have labels alone."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from agents.programs.bound import Bound
from agents.programs.trace import shortened
from agents.programs.turns import as_messages
from agents.programs.workers import question
from memory.journals.message_codec import Reader, Writer
from protocols.errors import ProgramFailed
from protocols.messages import Evaluation, Outcome
from protocols.model import ChatMessage, spoken
from protocols.program import Prompts, Step
from protocols.prompt import Prompt, Section
from protocols.providers.openai import content_of
from protocols.task import Example
from protocols.turns import Conversation
from tests.pictures import image

PHOTO = image("photo.png")
TALK = Conversation.of((ChatMessage("assistant", "Yes?"), spoken("user", ("See ", PHOTO))))
EXAMPLE = Example("e1", {"photo": PHOTO, "talk": TALK, "text": "a"}, "t")
DECIDE = Prompt((Section("task", "task", "{photo}: {text}?\n{talk}"),))


def test_a_process_gets_them_as_openai_writes_them() -> None:
    bound = Bound("decide", DECIDE, frozenset(EXAMPLE.inputs), lambda prompt, values: values)
    told: Any = orjson.loads(question(EXAMPLE, Prompts({"decide": bound})))
    photo = {"type": "image_url", "image_url": {"url": PHOTO.url}}
    seen = [{"type": "text", "text": "See "}, photo]
    said = [{"role": "assistant", "content": "Yes?"}, {"role": "user", "content": seen}]
    assert told["inputs"] == {"photo": [photo], "talk": said, "text": "a"}
    first = {"role": "user", "content": [photo, {"type": "text", "text": ": a?"}]}
    assert told["prompts"]["decide"]["messages"] == [first, *said]


def test_a_message_in_parts_is_sent_with_its_images() -> None:
    said = spoken("user", ("See\n", PHOTO))
    [sent] = as_messages([{"role": "user", "content": content_of(said)}])
    assert [found.url for found in sent.images] == [PHOTO.url]
    assert content_of(sent) == content_of(said)
    with pytest.raises(ProgramFailed, match="a message of the user in parts is not a text"):
        as_messages([{"role": "user", "content": [{"type": "video"}]}])


def test_a_trace_has_labels_alone_and_comes_back_from_the_journal() -> None:
    step = shortened(Step("decide", "yes", EXAMPLE.inputs, (spoken("user", ("See ", PHOTO)),)))
    assert step.messages == (ChatMessage("user", f"See {PHOTO}"),)
    outcome = Outcome("e1", EXAMPLE.inputs, "t", "t", "t", 1.0, "", steps=(step,))
    evaluation = Evaluation(1, DECIDE, (1.0,), True, 0.0, 0.1, 1, 0, (outcome,), 0.5)
    payload, parts = Writer(0).encode(evaluation)
    store = dict(parts.values())
    assert PHOTO.data not in payload + "".join(store.values())
    assert Reader(store.__getitem__).decode("Evaluation", payload) == evaluation
