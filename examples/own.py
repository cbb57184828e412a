"""Trains with a metric, an observer and a model that are objects: python -m examples.own"""

import anyio

from agents.api import train
from examples.train import rows
from protocols.messages import Envelope
from protocols.model import Request


class Rules:
    """A model of your own: one async method. It answers, and when it is asked for a text it writes one."""

    async def complete(self, request: Request) -> str:
        said = request.messages[-1].text
        if "<new>" in said:
            return "<new>Is it about money (billing) or about a parcel (shipping)?</new>"
        return "billing" if "card" in said or "refund" in said else "shipping"


async def main() -> None:
    seen: list[Envelope] = []
    found = await train(
        {
            "name": "routing",
            "train": rows("train", 24),
            "validation": rows("check", 24),
            "test": rows("test", 12),
            "metric": lambda example, answer: float(answer == example.target),
        },
        "Which department should answer this?",
        models=Rules(),
        search={"assignments": 4, "operators": ["self_reflection", "few_shot"]},
        agents={"critic": "none", "observers": [seen.append]},
    )
    print(f"{found.result.best.value:.2f} after {len(seen)} messages, in {found.directory}")


if __name__ == "__main__":
    anyio.run(main)
