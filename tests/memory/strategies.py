"""Hostile text, and every message made of it."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from protocols.messages import (
    Assignment,
    Candidate,
    Change,
    Continue,
    Credit,
    Critique,
    Envelope,
    Evaluation,
    Failure,
    Freeze,
    Inject,
    Message,
    OfModel,
    Outcome,
    Partner,
    Pause,
    Resumed,
    Stop,
    Tried,
)
from protocols.model import Usage
from protocols.prompt import KINDS, Prompt, Section

HOSTILE = (
    "",
    "\0",
    "\n",
    "\r",
    "\u2028",
    "{text}",
    "{0} %s {{}}",
    '"\\u0041"',
    "分类：財務",
    "🧾👩🏽‍💻",
    "\x7f\x1b[0m",
)
texts = st.deferred(lambda: st.sampled_from(HOSTILE) | st.text(st.characters(codec="utf-8"), max_size=20))
names = st.from_regex(r"[a-z][a-z0-9_-]{0,8}", fullmatch=True)
numbers = st.integers(0, 2**53)
finite = st.floats(allow_nan=False, allow_infinity=False, width=32)
scores = st.lists(st.none() | st.floats(0, 1), max_size=5).map(tuple)
json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | finite | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
sections = st.builds(Section, names, st.sampled_from(KINDS), texts, st.booleans())
prompts = st.lists(sections, min_size=1, max_size=4, unique_by=lambda s: s.name).map(lambda s: Prompt(tuple(s)))
usages = st.builds(Usage, numbers, numbers)
of_models = st.dictionaries(texts, st.builds(OfModel, st.floats(0, 1), usages, st.none() | texts), max_size=2)
outcomes = st.lists(
    st.builds(
        Outcome,
        texts,
        st.dictionaries(texts, texts, max_size=3),
        json,
        texts,
        st.none() | texts,
        st.floats(0, 1),
        texts,
        usage=usages,
        models=of_models,
    ).map(lambda outcome: replace(outcome, model=next(iter(outcome.models), ""))),
    max_size=3,
).map(tuple)
evaluations = st.builds(
    Evaluation,
    numbers,
    prompts,
    scores,
    st.booleans(),
    finite,
    finite,
    numbers,
    numbers,
    outcomes,
    models=of_models,
)
credits = st.dictionaries(names, st.builds(Credit, finite, finite), max_size=3)
trained = st.dictionaries(texts, st.floats(0, 1), max_size=3)
partners = st.lists(
    st.builds(Partner, numbers, prompts, scores, credits, st.none() | prompts, trained), max_size=2
).map(tuple)
tried = st.lists(st.builds(Tried, names, texts, finite, finite, numbers, st.booleans()), max_size=2).map(tuple)
ids = st.lists(texts, max_size=3).map(tuple)
messages: st.SearchStrategy[Message] = st.one_of(
    st.builds(
        Assignment,
        numbers,
        names,
        names,
        numbers,
        prompts,
        texts,
        outcomes,
        scores,
        credits,
        partners,
        st.none() | prompts,
        texts,
        tried,
        st.none() | st.floats(0, 1),
    ),
    st.builds(Stop, texts),
    st.just(Pause()) | st.just(Continue()),
    st.builds(Change, texts, st.none() | finite | st.integers(0, 2**53), st.none() | finite),
    st.builds(Freeze, names),
    st.builds(Inject, prompts),
    st.builds(
        Candidate,
        numbers,
        prompts,
        scores,
        numbers,
        st.lists(numbers, max_size=3).map(tuple),
        names,
        st.booleans(),
        st.lists(prompts, max_size=2).map(tuple),
        ids,
    ),
    evaluations,
    st.builds(
        Critique,
        numbers,
        evaluations,
        st.dictionaries(names, texts, max_size=3),
        credits,
        texts,
        st.sampled_from(("", "unreadable", "budget")),
        texts,
        ids,
    ),
    st.builds(Resumed, finite, st.lists(names, max_size=2).map(tuple)),
    st.builds(
        Failure, numbers, st.sampled_from(("rejected", "unreadable", "call", "budget", "raised")), texts, texts, texts
    ),
)
envelopes = st.builds(Envelope, numbers, st.none() | numbers, texts, texts, st.floats(0, 1e10), messages)
