"""The pages of the once-only story in a browser: at two widths, without scripts, by keyboard."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from tests.case_page_stage import Pages, StageNode, answered_container, pages_of, usage
from tests.receipt_parts import Exchange

in_browser = pytest.mark.asyncio(loop_scope="module")
_CHROMIUM = Path("/usr/bin/chromium")
_WIDTHS = "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
_LABELLED = "all => all.every(one => one.labels.length === 1 && one.labels[0].innerText.trim())"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pages(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pages]:
    withheld = ",".join(f"/part/field_{number}" for number in range(40))
    container = answered_container({}, "Once-Given:birth_date", f"Once-Withheld:{withheld}")
    node = StageNode(Exchange(), None, container, [usage()])
    async with pages_of(node, tmp_path_factory.mktemp("pages")) as client:
        yield client


@pytest.fixture(scope="module")
def chromium() -> Path:
    if not _CHROMIUM.exists():
        pytest.skip(f"there is no browser at {_CHROMIUM}")
    return _CHROMIUM


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(chromium: Path) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        await browser.close()


@in_browser
@pytest.mark.parametrize("width", [1280, 360])
async def test_the_story_is_clicked_through(browser: Browser, pages: Pages, width: int) -> None:
    context = await browser.new_context(viewport={"width": width, "height": 800})
    page = await context.new_page()
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))

    async def look(heading: str) -> None:
        assert heading in await page.inner_text("h1")
        whole, seen = await page.evaluate(_WIDTHS)
        assert whole <= seen, heading

    await page.goto(str(pages.make_url("/")))
    await look("Open a case")
    assert await page.locator("input").evaluate_all(_LABELLED)
    await page.click("text=Open the case")
    await look("School benefit for Elsaan Filiberg")
    await page.locator("a:text-is('Proof')").first.click()
    await look("Signed answer: Civil Registry")
    assert await page.locator(".notice.good").count() == 1
    await page.click("text=Back to case")
    await page.click("text=What the citizen sees of this")
    await look("Who used your data")
    await page.click("nav >> text=Auditor")
    await look("Every exchange")
    await page.click("nav >> text=Cases")
    await look("Cases")
    await context.close()
    assert problems == []


@in_browser
async def test_a_case_is_opened_without_scripts_by_the_keyboard(
    browser: Browser, pages: Pages
) -> None:
    context = await browser.new_context(java_script_enabled=False)
    page = await context.new_page()
    await page.goto(str(pages.make_url("/")))
    await page.keyboard.press("Tab")
    assert await page.locator("a.skip:focus").count() == 1
    await page.locator("input[name=person]").first.focus()
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/cases/*")
    assert "Josaus Fisazon" in await page.inner_text("h1")
    await context.close()
