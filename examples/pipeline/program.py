"""Two prompts, one after the other: which sentence of a message is the order, and what does the order say?"""

from collections.abc import Mapping

from protocols.program import Call, Prompts


async def answer(inputs: Mapping[str, str], prompts: Prompts, call: Call) -> str:
    """The line for the order book, such as `3 x croissant`."""
    order = await call("extract", prompts.extract.render(inputs))
    return await call("write", prompts.write.render(order=order))
