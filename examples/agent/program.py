"""A loop with two local tools: the model asks a price list or a calculator until it knows enough, then answers."""

from collections.abc import Callable, Mapping
from difflib import get_close_matches

from protocols.program import Call, Prompts

TURNS = 3
PRICES = {
    "apple pie": 14,
    "baguette": 3,
    "brioche": 4,
    "cheese cake": 19,
    "cheese stick": 2,
    "cinnamon bun": 3,
    "croissant": 3,
    "doughnut": 2,
    "ginger biscuit": 1,
    "ham roll": 4,
    "muffin": 3,
    "plain roll": 1,
    "plum tart": 12,
    "poppy bun": 2,
    "pretzel": 2,
    "rye loaf": 6,
    "seed roll": 2,
    "white loaf": 4,
}


def price(item: str) -> str:
    """What one of an item costs.

    :raises LookupError: there is no such item.
    """
    found = get_close_matches(item.strip().lower(), PRICES, 1, 0.8)
    if not found:
        raise LookupError(f"no {item.strip()} in the list")
    return f"{found[0]} = {PRICES[found[0]]}"


def total(order: str) -> str:
    """What an order such as `5 x croissant` costs.

    :raises LookupError: it is no order, or there is no such item.
    """
    count, x, item = order.strip().partition(" x ")
    if not (x and count.isdecimal()):
        raise LookupError("an order is a number, an x and an item")
    name, _, each = price(item).partition(" = ")
    return f"{count} x {name} = {int(count) * int(each)}"


TOOLS: Mapping[str, Callable[[str], str]] = {"PRICE": price, "TOTAL": total}


async def answer(inputs: Mapping[str, str], prompts: Prompts, call: Call) -> str:
    """What the customer is told. The loop ends when a tool has found something, or when the model writes no line."""
    found = "nothing yet"
    for _ in range(TURNS):
        tool, _, argument = (await call("act", prompts.act.render(inputs, found=found))).partition(":")
        if tool.strip() not in TOOLS:
            break
        try:
            found = TOOLS[tool.strip()](argument)
            break
        except LookupError as error:
            found = f"nothing yet, {error}"
    return await call("say", prompts.say.render(inputs, found=found))
