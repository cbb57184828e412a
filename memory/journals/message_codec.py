"""Encodes messages in few bytes: content that many messages share is written once, and each refers to it by number.

A candidate's prompt is in its `Candidate`, `Evaluation` and `Critique`, and, as a parent's or a partner's, in many an
`Assignment`; all its sections but one are its parent's. So prompts, sections, scores, outcomes, evaluations,
diagnoses, partners and tried edits are parts: JSON of their own, numbered in the order of first use.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, NamedTuple, get_args

import orjson

from protocols.messages import Credit, Critique, Evaluation, Message, OfModel, Outcome, Partner, Scores, Swap, Tried
from protocols.model import ChatMessage, Usage
from protocols.program import Step
from protocols.prompt import Prompt, Section

KNOWN = 65_536
"""Maximum number of parts that a writer knows by their digest: 10 MB. An older one is written again if used."""
HELD = 4_096
"""Maximum number of parts that a reader holds: some of the archive, and the assignments in flight."""
MODELS, MODEL = "models", "model"
"""Fields that are left out where they are empty."""

Put = Callable[[str, object], int]


class Writer:
    """Numbers parts from `last` + 1 on. Later messages refer to a new part only once it is `kept` on disk."""

    def __init__(self, last: int) -> None:
        self._last = last
        self._known: dict[bytes, int] = {}

    def encode(self, message: Message) -> tuple[str, dict[bytes, tuple[int, str]]]:
        """The message as one JSON object, not escaped, and the parts to store with it: (number, JSON) by digest.

        :raises ValueError: a gain or its error is not finite, which JSON cannot express.
        """
        evaluation = message.evaluation if isinstance(message, Critique) else message
        if isinstance(evaluation, Evaluation) and not math.isfinite(evaluation.gain + evaluation.error):
            raise ValueError(f"the gain of assignment {evaluation.assignment} is not finite")
        new: dict[bytes, tuple[int, str]] = {}

        def put(kind: str, value: object) -> int:
            content = orjson.dumps(value)
            digest = hashlib.blake2b(content, digest_size=16, person=kind.encode()).digest()
            if digest in new:
                return new[digest][0]
            if digest not in self._known:
                self._last += 1
                new[digest] = self._last, content.decode()
                return self._last
            return self._known[digest]

        return orjson.dumps(_shortened(message, put)).decode(), new

    def kept(self, new: Mapping[bytes, tuple[int, str]]) -> None:
        """Let later messages refer to these parts, which are on disk."""
        for digest, (number, _) in new.items():
            self._known[digest] = number
        while len(self._known) > KNOWN:
            del self._known[next(iter(self._known))]


class Reader:
    """Restores messages; `fetch` returns the JSON of a part. `brief`: the fields in `BULKY` are left empty, for
    readers that do not need them."""

    def __init__(self, fetch: Callable[[int], str], brief: bool = False) -> None:
        self._fetch = fetch
        self._forms = {**FORMS, **dict.fromkeys(BULKY, Form(_empty, _empty))} if brief else FORMS
        self._held: dict[int, object] = {}

    def decode(self, name: str, payload: str) -> Message:
        """The message of type `name` from the `payload` that a `Writer` made of it.

        :raises KeyError, TypeError, ValueError, PromptError: no `Writer` made it.
        """
        return MESSAGES[name](**self.restored(orjson.loads(payload)))

    def restored(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of a record, with its parts, and with tuples where JSON has lists."""
        forms = self._forms
        return {
            name: forms[name].restore(value, self) if name in forms else value for name, value in dict(values).items()
        }

    def part(self, number: int, restore: Callable[[Any, Reader], object]) -> Any:
        """The part of this number."""
        part = self._held.get(number)
        if part is None:
            part = self._held[number] = restore(orjson.loads(self._fetch(number)), self)
            if len(self._held) > HELD:
                del self._held[next(iter(self._held))]
        return part


class Form(NamedTuple):
    """The functions that write and read a field."""

    shorten: Callable[[Any, Put], object]
    restore: Callable[[Any, Reader], object]


def _shortened(record: Message | Partner, put: Put) -> dict[str, object]:
    """The fields of a record, with numbers in place of its parts."""
    short: dict[str, object] = {}
    for name in FIELDS[type(record)]:
        value = getattr(record, name)
        if name == MODELS and not value:
            continue  # most tasks have one model
        short[name] = FORMS[name].shorten(value, put) if name in FORMS else value
    return short


def _empty(value: object, other: object) -> tuple[()]:
    return ()


def _section(content: Any, reader: Reader) -> Section:
    return Section(**content)


def _prompt(content: Any, reader: Reader) -> Prompt:
    return Prompt(tuple(reader.part(number, _section) for number in content))


def _outcome(content: Any, reader: Reader) -> Outcome:
    steps = tuple(map(read_step, content.get("steps", ())))
    models = _of_models(content.get(MODELS, {}))
    return Outcome(**{**content, "usage": Usage(**content.get("usage", {})), "steps": steps, MODELS: models})


def _told(outcome: Outcome) -> dict[str, object]:
    """The fields of an outcome."""
    told: dict[str, object] = {field.name: getattr(outcome, field.name) for field in fields(outcome)}
    if not outcome.models:
        del told[MODELS], told[MODEL]
    return told


def _of_models(content: Any) -> dict[str, OfModel]:
    return {name: OfModel(**{**each, "usage": Usage(**each["usage"])}) for name, each in content.items()}


def read_step(content: Any) -> Step:
    """A step of a program from its JSON."""
    messages = tuple(ChatMessage(message["speaker"], message["text"]) for message in content["messages"])
    return Step(**{**content, "usage": Usage(**content["usage"]), "messages": messages})


def _outcomes(content: Any, reader: Reader) -> tuple[Outcome, ...]:
    return tuple(reader.part(number, _outcome) for number in content)


def _partner(content: Any, reader: Reader) -> Partner:
    return Partner(**reader.restored(content))


def _tried(content: Any, reader: Reader) -> Tried:
    return Tried(**content)


def _swap(content: Any) -> Swap:
    return Swap(**{**content, "worth": Credit(**content["worth"])})


def _evaluation(content: Any, reader: Reader) -> Evaluation:
    return Evaluation(**reader.restored(content))


def _text(content: Any, reader: Reader) -> str:
    return str(content)


def _scores(content: Any, reader: Reader) -> Scores:
    return tuple(content)


MESSAGES: Mapping[str, type[Message]] = {message.__name__: message for message in get_args(Message)}
FIELDS: Mapping[type[object], tuple[str, ...]] = {
    kind: tuple(field.name for field in fields(kind)) for kind in (*MESSAGES.values(), Partner)
}
SCORES = Form(
    lambda scores, put: put("scores", scores),
    lambda number, reader: reader.part(number, _scores),
)
PROMPT = Form(
    lambda prompt, put: prompt and put("prompt", [put("section", section) for section in prompt]),
    lambda number, reader: number and reader.part(number, _prompt),
)
CREDIT = Form(
    lambda credit, put: credit, lambda credit, reader: {name: Credit(**worth) for name, worth in credit.items()}
)
LISTED = Form(lambda values, put: values, lambda values, reader: tuple(values))
FORMS: Mapping[str, Form] = {
    "prompt": PROMPT,
    "edited": PROMPT,
    "ancestor": PROMPT,
    "outcomes": Form(
        lambda outcomes, put: put("outcomes", [put("outcome", _told(outcome)) for outcome in outcomes]),
        lambda number, reader: reader.part(number, _outcomes),
    ),
    "partners": Form(
        lambda partners, put: [put("partner", _shortened(partner, put)) for partner in partners],
        lambda numbers, reader: tuple(reader.part(number, _partner) for number in numbers),
    ),
    "evaluation": Form(
        lambda evaluation, put: put("evaluation", _shortened(evaluation, put)),
        lambda number, reader: reader.part(number, _evaluation),
    ),
    "scores": SCORES,
    "parent_scores": SCORES,
    "diagnosis": Form(
        lambda diagnosis, put: put("diagnosis", diagnosis) if diagnosis else "",
        lambda told, reader: told if isinstance(told, str) else reader.part(told, _text),
    ),
    "credit": CREDIT,
    "swapped": CREDIT,
    "swaps": Form(lambda swaps, put: swaps, lambda swaps, reader: tuple(map(_swap, swaps))),
    "tried": Form(
        lambda tried, put: [put("tried", one) for one in tried],
        lambda numbers, reader: tuple(reader.part(number, _tried) for number in numbers),
    ),
    "drafts": Form(
        lambda drafts, put: [PROMPT.shorten(draft, put) for draft in drafts],
        lambda numbers, reader: tuple(PROMPT.restore(number, reader) for number in numbers),
    ),
    MODELS: Form(lambda models, put: models, lambda models, reader: _of_models(models)),
    "usage": Form(lambda usage, put: usage, lambda usage, reader: Usage(**usage)),
    **dict.fromkeys(("recalled", "reopened", "too_long", "known"), LISTED),
    "doubtful": Form(lambda ids, put: ids, lambda ids, reader: None if ids is None else tuple(ids)),
}
"""The fields that are parts or tuples; a field name means the same in every message."""
BULKY = ("parent_scores", "outcomes", "partners", "tried", "drafts")
