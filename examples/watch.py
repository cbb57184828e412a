"""Watches a search, and stops it at a score that is good enough: python -m examples.watch"""

import anyio

from agents.api import open_training
from agents.history.progress import Ending
from protocols.errors import InputError
from protocols.messages import Assignment


async def main() -> None:
    async with open_training("examples/home.toml", search={"assignments": 12}) as training:
        async for event in training:
            match event:
                case Assignment(assignment=number, operator=operator, section=section):
                    print(f"{number:>4}  {operator} on {section} is asked for")
                case Ending():
                    print(f"{event.assignment:>4}  {event}")
                    if event.best and event.value is not None and event.value > 0.2:
                        break
        try:
            print(await training.steer("stop"))
        except InputError as error:
            print(error)  # it was at its end already
        found = await training.found()
    if found.result.test is not None:
        print(f"test {found.result.test.first:.2f} to {found.result.test.best:.2f}")


if __name__ == "__main__":
    anyio.run(main)
