"""A part of a terminal, or the output of a notebook's cell, that is redrawn while work is in progress."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import StringIO
from typing import Any, Protocol

from rich.console import Console, RenderableType
from rich.live import Live

INTERVAL = 0.1
"""Least seconds between two drawings."""
IN_A_NOTEBOOK = 0.5
"""The same in a notebook, which keeps every drawing in the browser's queue."""
COLUMNS, LINES = 100, 50
"""The size of a drawing in a notebook."""
FORMAT = '<pre style="white-space: pre; overflow-x: auto; line-height: 1.3">{code}</pre>'


class Drawing(Protocol):
    """Draws the view given to `show`, at intervals; it never makes the work fail."""

    @property
    def height(self) -> int:
        """The height of the place in lines."""

    def show(self, view: RenderableType) -> None:
        """Draw this view, now and at every `draw`."""

    def draw(self, now: bool = False) -> None:
        """Redraw, unless the last drawing was just now; `now`: in any case."""


class OnTerminal:
    """Draws on a terminal, at most every `INTERVAL`. `monotonic` gives seconds.

    If the terminal has gone, drawing stops without an error and the work continues.
    """

    def __init__(self, live: Live, monotonic: Callable[[], float]) -> None:
        self._live, self._monotonic = live, monotonic
        self._drawn = float("-inf")

    @property
    def height(self) -> int:
        return self._live.console.height

    def show(self, view: RenderableType) -> None:
        self._live.update(view)
        self._live.start()

    def draw(self, now: bool = False) -> None:
        moment = self._monotonic()
        if not now and moment - self._drawn < INTERVAL:
            return
        self._drawn = moment
        try:
            self._live.refresh()
        except OSError:
            self._live.console.quiet = True


class InNotebook:
    """Draws as the output of a notebook's cell, at most every `IN_A_NOTEBOOK` seconds."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic, self._drawn = monotonic, float("-inf")
        self._view: RenderableType = ""
        self._handle: Any = None

    @property
    def height(self) -> int:
        return LINES

    def show(self, view: RenderableType) -> None:
        self._view = view
        self.draw(now=True)

    def draw(self, now: bool = False) -> None:
        moment = self._monotonic()
        if not now and moment - self._drawn < IN_A_NOTEBOOK:
            return
        self._drawn = moment
        self._show(as_html(self._view))

    def remove(self) -> None:
        """Empty the output."""
        self._show("")

    def _show(self, page: str) -> None:
        from IPython.display import HTML, display

        if self._handle is None:
            self._handle = display(HTML(page), display_id=True)
        else:
            self._handle.update(HTML(page))


def as_html(view: RenderableType) -> str:
    """What rich would draw, as HTML, in which all texts are escaped."""
    console = Console(file=StringIO(), record=True, width=COLUMNS, height=LINES, force_jupyter=False)
    console.print(view)
    return console.export_html(inline_styles=True, code_format=FORMAT)


@contextmanager
def drawing(console: Console, monotonic: Callable[[], float]) -> Iterator[Drawing | None]:
    """A drawing on `console` that is removed, and the terminal restored, when the block ends; None if the console is
    neither a notebook nor a terminal that can be drawn on."""
    if console.is_jupyter:
        place = InNotebook(monotonic)
        try:
            yield place
        finally:
            place.remove()
        return
    if not console.is_terminal or console.is_dumb_terminal:
        yield None
        return
    live = Live(console=console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False)
    try:
        yield OnTerminal(live, monotonic)
    finally:
        with suppress(OSError):  # the terminal has gone, which must not lose the result
            live.stop()
