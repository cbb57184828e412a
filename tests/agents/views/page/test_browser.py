"""The page in a real browser: a search that goes on, a report from disk, hostile texts, many candidates."""

from __future__ import annotations

import io
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import orjson
import pytest
from playwright.async_api import Browser, Page, async_playwright
from rich.console import Console

from agents import foreground
from agents.config.configuration import load
from agents.directory.run_directory import BEST_PROMPT
from agents.history.replay import replay
from agents.run.opening import open_run
from agents.run.search import Run
from agents.session import show_in_browser
from agents.views.page.answers import SAMPLES
from agents.views.page.document import report_document
from agents.views.page.feed import Feed
from agents.views.page.html import report_page
from agents.views.page.report import write_report
from agents.views.page.serving import shown
from protocols.messages import Accept, Candidate, Change, Continue, Envelope, Freeze, Inject, Message, Pause, Reject
from tests.agents.history.test_looking_back import ignore
from tests.agents.views.page.runs import said, write_run
from tests.small_task import write_task

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
pytestmark = [pytest.mark.anyio, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")]
HOSTILE = (
    "</script><script>window.harmed = 1</script></pre><img src=x onerror='window.harmed = 1'>"
    "<b id=harm>&amp; {data}{script} \u202egnp.exe\u2066 \x1b[2J\x1b]0;title\x07 javascript:alert(1) 退款"
)
PLAIN = (
    "</script><script>window.harmed = 1</script></pre><img src=x onerror='window.harmed = 1'>"
    "<b id=harm>&amp; {data}{script} gnp.exe  javascript:alert(1) 退款"
)
WIDTHS = (360, 800, 1400)


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """One event loop for all tests, so that they share a browser."""
    return "asyncio"


@pytest.fixture(scope="module")
async def chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        opened = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        await opened.close()


@pytest.fixture
async def browser(chromium: Browser) -> AsyncIterator[Browser]:
    """Its pages share nothing, and none is left behind."""
    yield chromium
    for context in [*chromium.contexts]:
        await context.close()


@dataclass
class Visit:
    """A page, and everything that it did which it should not have done."""

    page: Page
    faults: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", lambda message: self.faults.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("requestfailed", lambda request: self.faults.append(f"failed: {request.url}"))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.set_default_timeout(20_000)

    async def text(self, selector: str) -> str:
        return await self.page.locator(selector).inner_text()

    async def wait_for_text(self, selector: str, text: str) -> None:
        await self.page.locator(selector).filter(has_text=text).first.wait_for()

    async def fits(self) -> None:
        """Nothing is wider than the screen, at any width."""
        for width in WIDTHS:
            await self.page.set_viewport_size({"width": width, "height": 900})
            assert await self.page.evaluate("document.documentElement.scrollWidth") <= width


async def visit(browser: Browser) -> Visit:
    return Visit(await browser.new_page())


def is_a_later_one(message: Message) -> bool:
    """The candidate of the fourth assignment or a later one, on its way to the Evaluator."""
    return isinstance(message, Candidate) and message.assignment >= 4


@asynccontextmanager
async def searching(
    folder: Path, held: Callable[[Message], bool], *settings: str
) -> AsyncIterator[tuple[Run, str, anyio.Event]]:
    """A search that stands still at the first message that is to be held, until the event; shown at the address."""
    configuration = load(write_task(folder / "task"), ["search.assignments=30", "search.width=1", *settings])
    errors, begun, go_on = io.StringIO(), anyio.Event(), anyio.Event()

    async def hold(envelope: Envelope) -> None:
        if held(envelope.message):
            begun.set()
            await go_on.wait()

    async with (
        open_run(configuration, {}, folder / "run") as run,
        show_in_browser(run, 0, Console(file=errors)),
        anyio.create_task_group() as tasks,
    ):
        run.bus.tap(hold)
        tasks.start_soon(run.search)
        try:
            await begun.wait()
            yield run, errors.getvalue().split()[-1], go_on
        finally:
            go_on.set()


async def test_a_search_is_seen_as_it_goes_on(tmp_path: Path, browser: Browser) -> None:
    seen = await visit(browser)
    async with searching(tmp_path, is_a_later_one) as (_, address, _go_on):
        await seen.page.clock.install()
        await seen.page.goto(address)
        await seen.wait_for_text("#state", "Searching.")
        await seen.page.clock.fast_forward("05:00")  # the run stands still, and its clock counts on
        await seen.page.locator("#clock").filter(has_text="5:").wait_for()
        await seen.page.clock.resume()
        await seen.page.locator("#curve .point").first.wait_for()
        assert await seen.page.title() == "small · PromptFlow"
        before = await seen.text("#summary")
        await seen.wait_for_text("#mailboxes", "controller")
        await seen.page.locator("#candidates button").last.click()
        await seen.wait_for_text("#detail h2", "The first prompt")
        await seen.wait_for_text("#detail", "Labels: invoice, parcel, 退款")
        await seen.page.keyboard.press("Escape")
        await seen.page.locator("#curve .point").first.focus()
        await seen.page.keyboard.press("ArrowRight")
        await seen.page.keyboard.press("Enter")
        await seen.page.locator("#detail[open]").wait_for()
        await seen.page.keyboard.press("Escape")
    await seen.wait_for_text("#state", "Ended: all assignments were made.")
    await seen.wait_for_text("#state", "The process that served this page has ended")
    assert await seen.text("#summary") != before
    await seen.wait_for_text("#summary", "on test, first to best")
    await seen.wait_for_text("#candidates", "of 31")
    await seen.fits()
    assert seen.faults == []


async def test_a_search_is_steered_from_its_page(tmp_path: Path, browser: Browser) -> None:
    seen, told = await visit(browser), list[Message]()
    paused, resumed = anyio.Event(), anyio.Event()

    async def listen(envelope: Envelope) -> None:
        match envelope.message:
            case Pause():
                paused.set()
            case Continue():
                resumed.set()
            case Change() | Inject() | Freeze():
                told.append(envelope.message)
            case _:
                pass

    async with searching(tmp_path, is_a_later_one) as (run, address, go_on):
        run.bus.tap(listen)
        await seen.page.goto(address)
        await seen.page.locator("#pause").click()
        await seen.wait_for_text("#said", "paused")
        with anyio.fail_after(20):
            await paused.wait()
        await seen.wait_for_text("#state", "Paused")
        go_on.set()
        await seen.page.locator("#setting").select_option("search.width")
        await seen.page.locator("#value").fill("2")
        await seen.page.locator("#set").click()
        await seen.wait_for_text("#said", "search.width = 2 from now on")
        await seen.page.locator("#section").select_option("definitions")
        await seen.page.locator("#freeze").click()
        await seen.wait_for_text("#said", "definitions is frozen")
        await seen.page.locator("#inject").click()
        prompt = await seen.page.locator("#prompt").input_value()
        await seen.page.locator("#prompt").fill("=== nothing")
        await seen.page.locator("#do").click()
        await seen.wait_for_text("#said", "prompt.txt:1")
        await seen.page.locator("#inject").click()
        await seen.page.locator("#prompt").fill(prompt.replace("Which is it?", "Which one is it?"))
        await seen.page.locator("#do").click()
        await seen.wait_for_text("#said", "made by hand")
        await seen.page.locator("#pause").filter(has_text="Resume").click()
        with anyio.fail_after(20):
            await resumed.wait()
    await seen.wait_for_text("#state", "Ended")
    await seen.wait_for_text("#candidates", "hand on")
    assert [type(message) for message in told] == [Change, Freeze, Inject]
    assert [fault for fault in seen.faults if "400" not in fault] == []


async def test_a_person_reads_corrects_decides_and_copies(tmp_path: Path, browser: Browser) -> None:
    seen, told = await visit(browser), list[Message]()
    await seen.page.context.grant_permissions(["clipboard-read", "clipboard-write"])

    async def listen(envelope: Envelope) -> None:
        if isinstance(envelope.message, Accept | Reject):
            told.append(envelope.message)

    reviewed = "search.review=true", "search.assignments=8"
    async with searching(tmp_path, lambda message: True, *reviewed) as (run, address, go_on):
        run.bus.tap(listen)
        go_on.set()
        await seen.page.goto(address)
        await seen.page.locator("#reviews article").wait_for()
        read = await read_and_correct(seen)
        await decide(seen)
    await seen.wait_for_text("#state", "Ended: all assignments were made.")
    assert isinstance(told[0], Reject)
    assert told[0].reason == "It names a <b>customer</b>."
    assert len(told) > 1
    assert all(isinstance(one, Accept) for one in told[1:])
    await seen.fits()
    await seen.page.locator("#winner button.copy").click()
    await seen.wait_for_text("#winner", "Copied.")
    copied = await seen.page.evaluate("navigator.clipboard.readText()")
    assert copied == (run.directory / BEST_PROMPT).read_text(encoding="utf-8")
    overlay = (tmp_path / "task" / "small.labels.jsonl").read_bytes().splitlines()
    assert [*map(orjson.loads, overlay)] == [{"id": read[0], "target": "退款"}, {"id": read[1], "wrong": True}]
    assert (await replay(run.directory, ignore)).assignments == 8
    assert seen.faults == []


async def read_and_correct(seen: Visit) -> list[str]:
    """Read a wrong answer of the first prompt, correct its label, and mark that of another; the ids of the two."""
    await seen.page.locator("#candidates button").last.click()
    rows, read = seen.page.locator("#detail details.example:has(> summary b.bad)"), []
    for place, words in enumerate(("to 退款. The next run reads it: ", "left out. The next run reads it: ")):
        row = rows.nth(place)
        await row.locator("> summary").click()
        read.append((await row.locator("> summary").inner_text()).split()[1].rstrip(":"))
        await row.locator("details.messages > summary").click()
        await row.locator(".messages .said").filter(has_text="Labels: invoice, parcel, 退款").wait_for()
        await row.locator("h4").filter(has_text="reply").first.wait_for()
        await row.locator("details.relabel > summary").click()
        if place == 0:
            await row.get_by_label("The right answer").select_option("退款")
            await row.locator("button.correct").click()
        else:
            await row.locator("button.wrong").click()
        await row.locator(".relabel [role=status]").filter(has_text=words).wait_for()
        await row.locator("button.undo").wait_for()
    await seen.page.keyboard.press("Escape")
    await seen.page.locator("#candidates button").last.click()
    for place, noted in enumerate(("label corrected", "label marked as wrong")):
        assert await rows.nth(place).locator("> summary .noted").inner_text() == noted
    await seen.fits()
    await seen.page.keyboard.press("Escape")
    return read


async def decide(seen: Visit) -> None:
    """Reject the first edit that waits, and accept the others, until none is left to wait for."""
    number = await seen.page.locator("#reviews article").get_attribute("data-candidate")
    await seen.page.locator("#reviews .reject").click()
    await seen.page.locator("#why").fill("It names a <b>customer</b>.")
    await seen.page.locator("#do").click()
    over = "[data-phase=testing], [data-phase=ended]"
    while True:
        waits = f"#reviews article:not([data-candidate='{number}'])"
        await seen.page.locator(f"{waits}, {over}").first.wait_for()
        if await seen.page.locator(over).count():
            return
        number = await seen.page.locator(waits).get_attribute("data-candidate")
        await seen.page.locator(f"{waits} .accept").click()


async def test_a_report_opens_from_disk_and_asks_nobody(tmp_path: Path, browser: Browser) -> None:
    configuration = load(write_task(tmp_path / "task"), ["search.assignments=12"])
    trained = await foreground.train(configuration, {}, tmp_path / "run", Console(file=io.StringIO()), 0)
    assert trained.result is not None
    seen, address = await visit(browser), (tmp_path / "run" / "report.html").as_uri()
    await seen.page.goto(address)
    await seen.wait_for_text("#state", "Ended")
    await seen.page.locator("#tree .point").first.wait_for()
    await seen.wait_for_text("#summary", f"{trained.result['best']['value']:.3f}")
    test = trained.result["test"]
    await seen.wait_for_text("#examples", f"{len(test['gained'])} gained")
    await seen.page.locator("#examples details").first.click()
    await seen.wait_for_text("#examples", test["changed"][0]["replies"][1])
    await seen.page.locator("#plane .point").last.focus()
    await seen.page.keyboard.press("Enter")
    await seen.page.locator("#detail[open]").wait_for()
    await seen.fits()
    assert seen.faults == []
    assert [url for url in seen.asked if not url.startswith("data:")] == [address]


async def test_a_wrong_answer_is_found_and_read_and_the_winner_is_copied(tmp_path: Path, browser: Browser) -> None:
    configuration = load(write_task(tmp_path / "task"), ["search.assignments=12"])
    directory, addresses = tmp_path / "run", list[str]()
    trained = await foreground.train(configuration, {}, directory, Console(file=io.StringIO()), 0)
    assert trained.result is not None
    prompt = (directory / "best_prompt.txt").read_text(encoding="utf-8")
    confused = trained.result["test"]["first_score"]["breakdown"]["confused"][0]
    async with shown(Feed(directory), 0, addresses.append, directory):
        for address in (addresses[0].split()[-1], (directory / "report.html").as_uri()):
            seen = await visit(browser)
            await seen.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
            await seen.page.goto(address)
            label = f"first prompt: {confused['expected']} → {confused['answered']}, {confused['n']}"
            await seen.page.get_by_role("button", name=label).focus()
            await seen.page.keyboard.press("Enter")
            await seen.wait_for_text(
                "#detail h2", f"The first prompt: {confused['expected']} → {confused['answered']}"
            )
            assert await seen.page.locator("#detail details.example").count() == min(confused["n"], SAMPLES)
            await seen.page.locator("#detail details.example summary").first.click()
            await seen.wait_for_text("#detail .said", confused["expected"])
            await seen.page.locator("#detail details.messages summary").first.click()
            await seen.wait_for_text("#detail .messages .said", "Labels: invoice, parcel, 退款")
            await seen.page.keyboard.press("Escape")
            await seen.page.locator("#candidates button").first.click()
            await seen.wait_for_text("#detail h3", "Validation: ")
            await seen.fits()
            await seen.page.keyboard.press("Escape")
            await seen.page.locator("#winner button.copy").click()
            await seen.wait_for_text("#winner", "Copied.")
            assert await seen.page.evaluate("navigator.clipboard.readText()") == prompt
            await seen.fits()
            assert seen.faults == []
    await seen.page.evaluate("() => { navigator.clipboard.writeText = document.execCommand = () => { throw 0; }; }")
    await seen.page.locator("#winner button.copy").click()
    await seen.wait_for_text("#winner", "It is selected")
    chosen = "(({ value, selectionStart, selectionEnd }) => value.slice(selectionStart, selectionEnd))"
    assert await seen.page.evaluate(f"{chosen}(document.activeElement)") == prompt


async def test_one_point_has_axes(tmp_path: Path, browser: Browser) -> None:
    directory = await write_run(tmp_path, list(said("text", 0)))
    seen = await visit(browser)
    await seen.page.goto(write_report(directory).as_uri())
    await seen.page.locator("#plane .point").wait_for()
    for chart in ("#curve", "#plane"):
        texts = await seen.page.locator(f"{chart} svg > text:not(.name)").all_text_contents()
        assert len(set(texts)) == len(texts) >= 5
        assert not any(text.startswith("-") for text in texts)
    across = await seen.page.locator("#plane svg > text[text-anchor=middle]").all_text_contents()
    assert all(text.isdecimal() for text in across)
    assert seen.faults == []


async def test_a_page_of_thousands_of_candidates_is_no_larger_than_one_of_hundreds(
    tmp_path: Path, browser: Browser
) -> None:
    document = report_document(await write_run(tmp_path, list(said("text"))))
    [_, survived, lost, _] = document["points"]
    sizes = []
    for size in (300, 6000):
        points = [
            dict(lost if number % 4 else survived, assignment=number, parent=None, calls=number)
            for number in range(size)
        ]
        rising = [point | {"tokens": place % 50, "value": point["value"]} for place, point in enumerate(points)]
        path = tmp_path / f"{size}.html"
        path.write_text(report_page(document | {"points": rising, "total": size, "lineage": [0]}), encoding="utf-8")
        seen = await visit(browser)
        await seen.page.goto(path.as_uri())
        await seen.wait_for_text("#candidates", f"of {size:,}")
        await seen.page.locator("#tree .point").first.wait_for()
        sizes.append(await seen.page.evaluate("document.querySelectorAll('*').length"))
        assert seen.faults == []
    assert sizes[1] < 1.2 * sizes[0]


@pytest.mark.parametrize("long", [False, True])
async def test_hostile_text_is_text(tmp_path: Path, browser: Browser, long: bool) -> None:
    text = HOSTILE + (" and more" * 120_000 if long else "")
    directory = await write_run(tmp_path, list(said(text)))
    addresses: list[str] = []
    async with shown(Feed(directory), 0, addresses.append, directory):
        for address in (addresses[0].split()[-1], write_report(directory).as_uri()):
            seen = await visit(browser)
            await seen.page.goto(address)
            for number in (0, 1, 2, 3):
                await seen.page.locator("#candidates button").nth(3 - number).click()
                await seen.wait_for_text("#detail h2", str(number) if number else "The first prompt")
                await seen.wait_for_text("#detail .text", PLAIN[:60])
                if not long:
                    assert PLAIN in await seen.text("#detail")
                await seen.page.keyboard.press("Escape")
            await seen.page.locator("#failures").filter(has_text="edit rejected").wait_for()
            assert await seen.page.evaluate("window.harmed") is None
            assert await seen.page.locator("#harm, img").count() == 0
            await seen.fits()
            assert seen.faults == []
