"""Opens a Controller in its initial state, which depends only on the configuration; for a run and for its replay."""

from __future__ import annotations

import time
from collections.abc import Mapping
from random import Random

from agents.archive.aims import Aims
from agents.archive.choices import Choices
from agents.config.catalogue import open_selector
from agents.config.configuration import Configuration
from agents.operators.operator import Operator
from agents.operators.rag import Rag
from agents.ring.controller import Controller, Remember, SearchSettings
from agents.selectors.selector import Selector
from protocols.embedding import HashedNgrams
from protocols.task import Task


def new_selector(configuration: Configuration) -> Selector:
    """:raises ConfigError: there is no such selector."""
    return open_selector(configuration.search.selector, Random(f"{configuration.search.seed}/selector"))


def open_controller(
    configuration: Configuration,
    task: Task,
    operators: Mapping[str, Operator],
    selector: Selector,
    remember: Remember | None,
    aims: Aims,
) -> Controller:
    """A Controller before its first message. `remember` None: no experiences are stored. `aims`: those that the run
    began with. Without a corpus, the operator rag is not offered."""
    settings = configuration.search
    offered = {name: o for name, o in operators.items() if name != Rag.name or configuration.task.corpus}
    return Controller(
        task,
        Choices(offered, task, HashedNgrams()),
        selector,
        SearchSettings(
            configuration.width,
            settings.assignments,
            settings.token_price,
            settings.failure_reward,
            settings.barrier,
            settings.prefer,
            settings.shrink,
            aims,
            configuration.guard,
            settings.review,
        ),
        remember,
        Random(f"{settings.seed}/controller"),
        time.time,
    )
