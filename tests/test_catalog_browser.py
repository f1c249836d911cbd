"""The catalog's pages in a real browser: nothing is asked for elsewhere, and a phone shows all."""

from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, async_playwright

from catalog.central.entries import Catalog
from tests import faces_stage as stage
from tests.test_catalog_pages import addresses_of, hostile_catalog, site_of

_CHROMIUM = Path("/usr/bin/chromium")
_HOSTILE = "\u0627\u0633\u0645 <script>alert(1)</script>" + "x" * 10_000


@pytest.mark.skipif(not _CHROMIUM.exists(), reason=f"there is no browser at {_CHROMIUM}")
async def test_pages_fit_and_ask_for_nothing_else() -> None:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=_CHROMIUM, args=["--no-sandbox"])
        for catalog in (stage.CATALOG, hostile_catalog(_HOSTILE)):
            app = web.Application()
            site_of(catalog).add_to(app)
            async with TestServer(app) as server:
                base = str(server.make_url("/catalog"))
                await _look(browser, base, one_of_each(catalog))
        await browser.close()


def one_of_each(catalog: Catalog) -> list[str]:
    """One page of each kind."""
    fit = [address for address in addresses_of(catalog) if len(address) < 7_000]
    return list({address.split("/")[-1 if not address else 1]: address for address in fit}.values())


async def _look(browser: Browser, base: str, addresses: list[str]) -> None:
    problems: list[str] = []
    page = await browser.new_page()
    page.on("console", lambda message: problems.append(message.text))
    page.on("dialog", lambda dialog: problems.append(dialog.message))
    page.on(
        "request",
        lambda request: None if request.url.startswith(base) else problems.append(request.url),
    )
    for address in addresses:
        await page.goto(base + address)
        for width in (360, 1280):
            await page.set_viewport_size({"width": width, "height": 800})
            wide = await page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, address
    await page.close()
    assert problems == []
