"""The embedded model as a ChatModel: never raises, never invents an answer, counts tokens, repeats itself."""

from __future__ import annotations

import math

import anyio
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from protocols.model import ChatMessage, ChatModel, Request
from protocols.providers.embedded import EmbeddedModel
from tests.protocols.embedded.invented import ask, definitions, language, listed, shots

pytestmark = pytest.mark.anyio

HOSTILE = [
    "",
    "\x00\x01\x02",
    "\u202eשלום עולם\u202c: \u200f",
    "\ud800 lone",
    "<" * 10_000,
    "<a>" * 20_000,
    "</a>" * 20_000,
    "<a></a>" * 3_000,
    '<section name="x">' * 5_000,
    "<a><b></a></b>" * 5_000,
    "Label: <label>" * 300,
    "[a]" * 20_000,
    "key: " * 50_000,
    "- a: b\n" * 500,
    "a, b, c\n" * 400,
    "，。、：" * 10_000,
    "'" * 50_000,
    " \t" * 50_000 + ":",
    "!?" * 50_000,
    "Input: a\nExpected: b\n\n" * 300,
    "x" * 1_000_000,
]
ENDS = ["", "\nKind:"]
WRITTEN = [
    '<prompt>\n<part name="a" kind="task">\n{}\n</part>\n</prompt>\n<errors>\n{}\n</errors>\n\n5 words <new>',
    "<prompt>\n[a]\n{}\n</prompt>\n<right>\n{}\n</right>\n\nThe parts are a (x); b (y). At most 9 words. <critique>",
    '<prompt>\n[a]\n{}\n</prompt>\n<data>\n{}\n</data>\n\na (means; at most 5 words) <part name="a">',
    "<prompt>\n{}{}<new>",
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
async def test_hostile_text_never_raises(text: str) -> None:
    model = EmbeddedModel()
    for end in ENDS:
        for system in ((), (ChatMessage("system", "Kinds: a, b, c"),), (ChatMessage("system", text),)):
            reply = await model.complete(Request((*system, ChatMessage("user", text + end))))
            reply.text.encode("utf-8", "surrogatepass")
            assert reply.finish in ("stop", "length")
    for form in WRITTEN:
        asked = form.replace("{}", text)
        reply = await model.complete(Request((ChatMessage("user", asked),)))
        assert reply.finish in ("stop", "length")


messages = st.lists(
    st.builds(
        ChatMessage,
        st.sampled_from(["system", "user", "assistant"]),
        st.lists(
            st.sampled_from(
                [
                    "Kind: ",
                    "a",
                    "b",
                    "one of ",
                    "x, y or z",
                    "\n",
                    "\n\n",
                    "- x: ",
                    "<kind>",
                    "[k]",
                    "</new>",
                    "<new>",
                    "\n<prompt>\n",
                    "\n</prompt>\n",
                    '<part name="x" kind="task">\n',
                    "</part>",
                    "\n<errors>\nInput: a\nExpected: b\n</errors>\n",
                    "、",
                    "体",
                    "：",
                    '"',
                ]
            ),
            max_size=25,
        ).map("".join),
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=80, deadline=None)
@given(messages, st.one_of(st.none(), st.floats(0, 2)), st.integers(1, 20))
@example([ChatMessage("user", '<prompt>\n\n</prompt>\n<part name="x" kind="task">\n')], None, 1)
async def test_any_conversation_gets_the_same_reply_twice(
    said: list[ChatMessage], temperature: float | None, most: int
) -> None:
    request = Request(tuple(said), temperature, most)
    model = EmbeddedModel()
    first, again, fresh = (
        await model.complete(request),
        await model.complete(request),
        await EmbeddedModel().complete(request),
    )
    assert first.text == again.text == fresh.text
    assert first.usage.output == math.ceil(len(first.text.encode()) / 4) <= most
    assert first.usage.input == sum(math.ceil(len(message.text.encode()) / 4) for message in said)


async def test_max_tokens_cuts() -> None:
    system = ChatMessage("system", "Kinds: " + "，".join(["体育新闻报道", "财经新闻报道"]) + "\n\nKind: <kind>")
    reply = await EmbeddedModel().complete(Request((system, ChatMessage("user", "球队")), max_tokens=3))
    assert reply.finish == "length"
    assert len(reply.text.encode()) <= 12


async def test_it_is_a_chat_model_that_needs_nothing() -> None:
    model: ChatModel = EmbeddedModel()
    assert model.name == "embedded"
    reply = await model.complete(Request((ChatMessage("user", "What now?"),)))
    assert "no possible answers" in reply.text


async def test_what_was_read_before_changes_nothing() -> None:
    tongue, rng = language(8)
    prompts = [f"{listed(tongue.labels)}\n\n{shots(tongue.texts(12, rng))}" for _ in range(40)]
    question = tongue.text(tongue.labels[0], rng)
    requests = [Request((ChatMessage("system", prompt), ChatMessage("user", question))) for prompt in prompts]
    used = EmbeddedModel()
    for request in requests + requests[::-1]:
        assert (await used.complete(request)).text == (await EmbeddedModel().complete(request)).text


def test_samples_of_an_undecided_question_differ() -> None:
    replies = {
        ask("Kinds: pafo, dule, kimo\n\nKind: <kind>", ["zzz"], temperature=1.0, sample=i)[0] for i in range(12)
    }
    assert len(replies) > 1


FORMS = [
    ("Choose one of pafo, dule or kimo.", {"pafo", "dule", "kimo"}),
    ("Say whether the text is pafo or dule.", {"pafo", "dule"}),
    ("Kinds: pafo, dule, kimo", {"pafo", "dule", "kimo"}),
    ("The kinds are:\n- pafo\n- dule\n- kimo", {"pafo", "dule", "kimo"}),
    ("1. pafo: red, green\n2. dule: north, south\n3. kimo: sweet, sour", {"pafo", "dule", "kimo"}),
    ("pafo - red, green\ndule - north, south", {"pafo", "dule"}),
    ('"pafo" means red things\n"dule" means northern things', {"pafo", "dule"}),
    ("Task: sort the text\nKinds: pafo, dule, kimo\nForm: a word", {"pafo", "dule", "kimo"}),
    ("Text: red\nKind: pafo\n\nText: a long one\nthat goes on\nKind: dule", {"pafo", "dule"}),
    ("请从体育、财经、教育中选择一个。", {"体育", "财经", "教育"}),
    ("类别：体育，财经，教育", {"体育", "财经", "教育"}),
]


@pytest.mark.parametrize(("prompt", "allowed"), FORMS, ids=range(len(FORMS)))
@pytest.mark.parametrize("question", ["red", "Text: north\nKind:", "today"])
def test_the_answers_are_read_from_the_prompt(prompt: str, allowed: set[str], question: str) -> None:
    (reply,) = ask(prompt, [question])
    named = {name for name in allowed if name in reply}
    assert named
    frame = reply
    for name in named:
        frame = frame.replace(name, "")
    assert frame in ("", "I would say that this is .", "This could be  or ; both fit.")


@pytest.mark.parametrize("seed", range(8))
def test_no_reply_names_an_answer_that_the_messages_lack(seed: int) -> None:
    tongue, rng = language(seed)
    known = tongue.labels[:3]
    pairs = [pair for pair in tongue.texts(24, rng) if pair[1] in known]
    for reply in ask(
        f"{listed(known)}\n\n{shots(pairs)}\n\n{definitions(tongue).splitlines()[0]}",
        [tongue.text(tongue.labels[5], rng)],
    ):
        assert not any(label in reply for label in tongue.labels[3:])
        assert any(label in reply for label in known)


def test_earlier_turns_are_examples() -> None:
    tongue, rng = language(3, labels=2)
    first, second = tongue.labels
    turns: list[ChatMessage] = []
    for text, label in tongue.texts(60, rng):
        turns += [ChatMessage("user", text), ChatMessage("assistant", label)]

    async def run(text: str) -> str:
        return (await EmbeddedModel().complete(Request((*turns, ChatMessage("user", text))))).text

    right = sum(
        label in anyio.run(run, text) and other not in anyio.run(run, text)
        for label, other in ((first, second), (second, first))
        for text in (tongue.text(label, rng) for _ in range(15))
    )
    assert right > 20


said = st.text("abc dé付款", min_size=1, max_size=20).map(str.strip).filter(bool)


@given(st.lists(st.tuples(said, st.sampled_from(["card", "parcel"])), min_size=1, max_size=6), said)
@settings(deadline=None)
def test_turns_are_read_as_the_same_examples_in_the_prompts_text(pairs: list[tuple[str, str]], asked: str) -> None:
    rule = "Choose the one label that fits.\nLabels: card, parcel"
    for cue, between in (("\nLabel:", " "), ("", "\nAnswer: ")):
        frames = [(f"Text: {text}{cue}", label) for text, label in pairs]
        shown = "\n\n".join(f"{question}{between}{label}" for question, label in frames)
        turns = [ChatMessage(s, t) for pair in frames for s, t in zip(("user", "assistant"), pair, strict=True)]  # type: ignore[arg-type]
        question = ChatMessage("user", f"Text: {asked}{cue}")
        replies = [
            anyio.run(EmbeddedModel().complete, Request(messages)).text
            for messages in (
                (ChatMessage("system", f"{rule}\n\n{shown}"), question),
                (ChatMessage("system", rule), *turns, question),
            )
        ]
        assert replies[0] == replies[1]
