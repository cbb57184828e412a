"""Trains a prompt on examples that are Python objects, on a model on this machine: python -m examples.train"""

import anyio

from agents.api import train

WORDS = {"billing": ["card", "invoice", "charge", "refund"], "shipping": ["parcel", "courier", "delivery", "box"]}


def rows(split: str, count: int) -> list[dict[str, object]]:
    """Messages, each with the department that is to answer it."""
    made: list[dict[str, object]] = []
    for number in range(count):
        department = ("billing", "shipping")[number % 2]
        words = WORDS[department]
        text = f"My {words[number % 4]} and my {words[number // 4 % 4]}: {split} {number}"
        made.append({"id": f"{split}-{number}", "input": {"text": text}, "target": department})
    return made


async def main() -> None:
    task = {"name": "routing", "train": rows("train", 24), "validation": rows("check", 24), "test": rows("test", 12)}
    found = await train(
        task,
        "Which department should answer this?",
        models="local/smollm2-135m",
        budget={"calls": 3000},
        search={"assignments": 8, "critique": 12},
    )
    print(f"validation {found.result.first.value:.2f} to {found.result.best.value:.2f}, in {found.directory}")
    for message in found.prompt.render({"text": "Where is my parcel?"}):
        print(f"{message.speaker}: {message.text}")


if __name__ == "__main__":
    anyio.run(main)
