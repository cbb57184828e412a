"""What figures say, over tables of figures: one word, and a sentence that a person understands."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.headroom.verdict import Again, Figures, Kind, Replies, Shown, verdict

TURNS, TEXT = "8 nearest examples as turns of the chat", "8 examples as text before the input"


def first(right: int, n: int = 30, unreadable: int = 0, **more: object) -> Replies:
    return Replies(n, right / n, right / n, right, unreadable, **more)  # type: ignore[arg-type]


def shown(gain: float, low: float, high: float, form: str = TURNS, unreadable: int = 0) -> Shown:
    return Shown(form, 30, 0.4 + gain, gain, (low, high), unreadable, 300)


def again(missed: int, mended: int, chance: float = 0.0, n: int = 30) -> Again:
    return Again(n, 1, 3, n, missed, mended, chance)


FLAT = (shown(0.0, -0.1, 0.1), shown(-0.2, -0.4, -0.05, TEXT))
HELPS = (shown(0.4, 0.2, 0.6), shown(0.0, -0.1, 0.1, TEXT))
CASES: list[tuple[Figures, Kind, list[str]]] = [
    (
        Figures(first(9, 50, 41, quoted="Well, I\nthink")),
        "wrong form",
        ["41 of 50", "hold no answer that can be read", "Well, I think", "task.reply_tokens"],
    ),
    (
        Figures(first(0, 50, 41), HELPS),
        "wrong form",
        ["41 of 50", "8 nearest examples as turns of the chat mend that"],
    ),
    (
        Figures(first(0, 30, 28, truncated=28), FLAT),
        "wrong form",
        ["28 cut off", "No form of worked examples mends that"],
    ),
    (Figures(first(5, 30, 25, refused=25)), "wrong form", ["The model refuses to answer: 25 of 30"]),
    (
        Figures(first(0, 30, 30, textless={"reasoning": 30})),
        "wrong form",
        ["The model gives no text", "30 reasoning instead of a text"],
    ),
    (Figures(first(12, 30, 12)), "wrong form", ["12 of 30"]),
    (Figures(first(29)), "little room", ["right on 29 of 30", "little to gain"]),
    (Figures(first(30), FLAT, again(0, 0)), "little room", ["right on 30 of 30"]),
    (Figures(Replies(30, 0.93, 0.93, 2)), "little room", ["has 0.93 on 30 examples"]),
    (Figures(first(12), HELPS, again(18, 2)), "room", [TURNS, "0.40 to 0.80", "+0.20 to +0.60"]),
    (Figures(first(27), HELPS), "room", [TURNS]),
    (Figures(first(12), FLAT, again(18, 9)), "room", ["right on 9 of the 18"]),
    (
        Figures(first(12), FLAT, again(18, 1)),
        "none",
        ["No form of worked examples helps", "errs on the same examples", "another model"],
    ),
    (Figures(first(15), FLAT, again(15, 12, 0.5)), "none", ["does no better than guesses"]),
    (Figures(first(12), (shown(0.1, -0.05, 0.3),), again(18, 1)), "none", ["as far as 30 examples tell"]),
    (Figures(first(12), FLAT, Again(30, 0, 0, 0, 0, 0, 0.0)), "none", ["No form of worked examples helps: better"]),
    (Figures(first(12), (), again(18, 0)), "none", ["Asked again the model errs on the same"]),
    (Figures(first(12)), "not known", []),
    (Figures(first(25, 30, 1)), "not known", []),
    (Figures(Replies(0, 0.0, 0.0, 0)), "not known", []),
]


@pytest.mark.parametrize(("figures", "kind", "said"), CASES)
def test_the_verdict_on(figures: Figures, kind: Kind, said: list[str]) -> None:
    found = verdict(figures)
    assert found.kind == kind, found.sentence
    assert bool(found.sentence) == (kind != "not known")
    for part in said:
        assert part in found.sentence
    assert "\n" not in found.sentence


amounts = st.floats(0, 1)


@given(
    n=st.integers(0, 40),
    shares=st.tuples(amounts, amounts),
    gains=st.lists(st.tuples(st.floats(-1, 1), amounts, amounts), max_size=4),
    once_more=st.none() | st.tuples(st.integers(0, 3), amounts, amounts),
)
def test_room_is_said_of_what_is_better_for_sure_alone(
    n: int,
    shares: tuple[float, float],
    gains: list[tuple[float, float, float]],
    once_more: tuple[int, float, float] | None,
) -> None:
    right = int(n * shares[0])
    unreadable = int((n - right) * shares[1])
    tried = [shown(gain, gain - below, gain + above) for gain, below, above in gains]
    asked = None
    if once_more is not None:
        draws, mended, chance = once_more
        asked = Again(n, 0, draws, n, n - right, int((n - right) * mended), chance)
    first_ = Replies(n, right / n if n else 0.0, right / n if n else 0.0, right, unreadable)
    found = verdict(Figures(first_, tuple(tried), asked))
    sure = any(one.interval[0] > 0 for one in tried)
    knows = asked is not None and asked.draws > 0 and asked.mended > 0
    assert found.kind != "room" or sure or knows
    assert found.kind != "none" or not sure
    assert found.kind != "wrong form" or unreadable > 0
    assert found.kind != "little room" or (not sure and right >= 0.9 * n - 1e-9)


def test_guesses_mend_as_often_as_chance_has_it() -> None:
    assert again(10, 0, 0.5).by_chance == pytest.approx(1.0)
    assert again(10, 10, 0.5).by_chance == pytest.approx((1 - 0.5**3) ** 10)
    assert again(10, 1, 0.0).by_chance == 0.0
