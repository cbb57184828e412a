"""A part of a terminal that is drawn anew while something goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from rich.console import Console, RenderableType
from rich.live import Live

INTERVAL = 0.1
"""Seconds between two drawings, at least."""


class Drawing:
    """Draws what it was told to show, at most every `INTERVAL`. `monotonic` gives seconds.

    A terminal that has gone is nobody's failure: what was to be seen goes on.
    """

    def __init__(self, live: Live, monotonic: Callable[[], float]) -> None:
        self._live, self._monotonic = live, monotonic
        self._drawn = float("-inf")

    @property
    def height(self) -> int:
        """Lines of the terminal."""
        return self._live.console.height

    def show(self, view: RenderableType) -> None:
        """Draw this, now and at every `draw`."""
        self._live.update(view)
        self._live.start()

    def draw(self, now: bool = False) -> None:
        """Draw it anew, unless it was drawn just now; `now`: in any case."""
        moment = self._monotonic()
        if not now and moment - self._drawn < INTERVAL:
            return
        self._drawn = moment
        try:
            self._live.refresh()
        except OSError:
            self._live.console.quiet = True


@contextmanager
def drawing(console: Console, monotonic: Callable[[], float]) -> Iterator[Drawing | None]:
    """A drawing on `console` that is taken down, and the terminal restored, when the block ends; None where there is
    no terminal that can be drawn on."""
    if not console.is_terminal or console.is_dumb_terminal:
        yield None
        return
    live = Live(console=console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False)
    try:
        yield Drawing(live, monotonic)
    finally:
        with suppress(OSError):  # the terminal has gone, and what was found must not go with it
            live.stop()
