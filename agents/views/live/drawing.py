"""A part of a terminal that is redrawn while work is in progress."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from rich.console import Console, RenderableType
from rich.live import Live

INTERVAL = 0.1
"""Least seconds between two drawings."""


class Drawing:
    """Draws the view given to `show`, at most every `INTERVAL`. `monotonic` gives seconds.

    If the terminal has gone, drawing stops without an error and the work continues.
    """

    def __init__(self, live: Live, monotonic: Callable[[], float]) -> None:
        self._live, self._monotonic = live, monotonic
        self._drawn = float("-inf")

    @property
    def height(self) -> int:
        """The height of the terminal in lines."""
        return self._live.console.height

    def show(self, view: RenderableType) -> None:
        """Draw this view, now and at every `draw`."""
        self._live.update(view)
        self._live.start()

    def draw(self, now: bool = False) -> None:
        """Redraw, unless the last drawing is less than `INTERVAL` ago; `now`: in any case."""
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
    """A drawing on `console` that is removed, and the terminal restored, when the block ends; None if the console is
    no terminal that can be drawn on."""
    if not console.is_terminal or console.is_dumb_terminal:
        yield None
        return
    live = Live(console=console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False)
    try:
        yield Drawing(live, monotonic)
    finally:
        with suppress(OSError):  # the terminal has gone, which must not lose the result
            live.stop()
