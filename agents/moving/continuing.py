"""Goes on from the best prompt of a run with examples that came later."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from agents.config.configuration import build
from agents.config.loading import MORE, load_added, sources
from agents.config.reading import override
from agents.directory.inline_inputs import InlineInputs
from agents.moving.deployed import read_deployed
from protocols.data import Added
from protocols.data.huggingface import SCHEME
from protocols.errors import DataError
from protocols.files.text_files import opened
from protocols.task import Example
from protocols.turns import images_of

SHOWN = 5
"""Most ids that a line names."""


@dataclass(frozen=True, slots=True)
class Continued:
    """`inputs`: of the search. `told`: lines on the new examples."""

    inputs: InlineInputs
    told: Sequence[str]


def continue_from(directory: Path, more: Path, settings: Sequence[str] = ()) -> Continued:
    """A search that begins with the best prompt of the run in `directory`, with the examples in the file `more` added
    to its splits, whose result is no worse on the old validation examples. The file has the form of the run's own
    data. It is copied, and so are files of earlier continuations; if its examples have images, which are found beside
    it, it is named where it is.

    :raises InputError: an input cannot be used; or no example in the file is new.
    :raises StorageFailed: a file of the run is damaged.
    """
    deployed = read_deployed(directory)
    origin, (tables, files) = deployed.configuration.origin, deployed.begun()
    earlier = (source.location for name, source in sources(deployed.configuration).items() if name.startswith(MORE))
    tables["task"]["more"] = places = [*earlier, str(more.absolute())]
    tables["search"]["guard"] = len(deployed.task.validation)
    for setting in settings:
        override(tables, setting)
    before = deployed.configuration.model_dump(mode="json", include={"prompt", "prompts"})
    task, added = load_added(build({**tables, **before}, origin))  # the files of the best prompt are not there yet
    assert added is not None, "there is a file that adds"
    if not task.new:
        raise DataError(f"holds no example that is new; {' '.join(_left_out(added))}", file=str(more))
    if not any(images_of(value) for one in chain(*added.splits.values()) for value in one.inputs.values()):
        for number, place in enumerate(map(Path, places)):
            if not str(place).startswith(SCHEME):
                with opened(place, DataError, "the examples") as file:
                    files["task", "more", number] = f"more-{number + 1}{''.join(place.suffixes[-2:])}", file.read()
    return Continued(InlineInputs(tables, origin, files), [*_new(added), *_left_out(added)])


def _new(added: Added) -> Iterator[str]:
    new: Mapping[str, Sequence[Example]] = added.new
    count, tested = sum(map(len, new.values())), len(new["test"])
    test = f"{tested} for a test of their own" if tested else "too few for a test of their own"
    yield f"{count} new examples: {len(new['train'])} for training, {len(new['validation'])} for validation, {test}."


def _left_out(added: Added) -> Iterator[str]:
    if added.known:
        yield f"{len(added.known)} are known already, and left out: {_some([one.id for one in added.known])}."
    if added.conflicts:
        said = [f"{new.id} wants {new.target!r}, {old.id} {old.target!r}" for new, old in added.conflicts]
        yield f"{len(said)} have the inputs of another example and another target, and are left out: {_some(said)}."


def _some(said: Sequence[str]) -> str:
    return ", ".join(said[:SHOWN]) + (f" and {len(said) - SHOWN} more" if len(said) > SHOWN else "")
