"""HTML for notebooks: nothing that a model wrote is a tag."""

from __future__ import annotations

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from protocols.markup import listing
from protocols.prompt import Prompt, Section
from protocols.text import printable

hostile = st.lists(
    st.sampled_from(["<script>", "</pre>", "<!--", "&lt;", "&", '"', "\x1b[2J", "\n", "]]>"]) | st.text(max_size=5)
).map("".join)


class Read(HTMLParser):
    """The tags and the text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags, self.text = list[str](), ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


@given(st.lists(hostile.filter(lambda text: text.encode("utf-8", "ignore").decode() == text), min_size=1, max_size=4))
def test_a_prompt_is_shown_as_it_stands(texts: list[str]) -> None:
    prompt = Prompt(tuple(Section(f"s{n}", "task", text) for n, text in enumerate(texts)))
    page = Read(prompt._repr_html_())
    shown = [(n, text) for n, text in enumerate(texts) if text]
    assert page.text == "".join(f"s{n} (task){printable(text)}" for n, text in shown)
    assert page.tags == ["div", "b", "pre"] * len(shown)


@given(st.lists(st.tuples(hostile, hostile), max_size=4))
def test_a_table_has_the_cells_that_it_was_given(rows: list[tuple[str, str]]) -> None:
    page = Read(listing((), rows))
    assert page.tags == ["table", *["tr", "td", "td"] * len(rows)]
    assert page.text == "".join(printable(cell) for row in rows for cell in row)
