"""A search as a curve, drawn with matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from protocols.errors import ConfigError


def draw_curve(history: Sequence[Mapping[str, Any]], title: str, axes: Any = None) -> Any:
    """The values of survivors and of the best so far, on validation, over the calls of the run. `history`: see
    `agents.history.table`. `axes` None: of a new figure. Returns the axes.

    :raises ConfigError: matplotlib is not installed.
    """
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ConfigError(f"the plot needs the extra plot: pip install 'promptflow-agents[plot]' ({error})") from None
    if axes is None:
        axes = pyplot.subplots()[1]
    survivors = [row for row in history if row["value"] is not None]
    led = [row for row in history if row["best"] is not None]
    axes.step([row["calls"] for row in led], [row["best"] for row in led], where="post", label="best so far")
    axes.plot([row["calls"] for row in survivors], [row["value"] for row in survivors], "o", label="survivors")
    axes.set(xlabel="calls", ylabel="value on validation", title=title.replace("$", r"\$"))
    axes.legend()
    return axes
