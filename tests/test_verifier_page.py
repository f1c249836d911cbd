"""The page that judges files in a browser: it says what `sacbe verify` says, and sends nothing."""

import io
import json
import random
import zipfile
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Request, async_playwright

from scripts import cli
from scripts.verifier_page import PAGE, build_page
from tests.containers import BODIES, batch_stamped, chained, plain, stamped, with_bodies
from tests.pki import NOON, Pki
from tests.receipt_cases import cases
from tests.receipt_parts import Exchange
from tests.signature_edits import UNFIT
from tests.signing import MESSAGE, PARTS, Signatory
from tests.vector_files import vector_path
from trust.configuration.confpublish import build_anchor, build_shared_parameters
from trust.configuration.confstore import load_configuration, verification_zip
from trust.evidence.asic import build_container
from trust.globalconf import GlobalConf
from trust.ids import ClientId
from trust.pki import profiles

in_browser = pytest.mark.asyncio(loop_scope="module")

_CHROMIUM = Path("/usr/bin/chromium")
_CONTAINERS = "asic/src/tool/asic-verifier-cli/src/test/resources"
_LOADING = "asic/src/lib/asic-core/src/test/resources"
_CONF = "asic/src/lib/globalconf-core/src/test/resources/globalconf_good2_v3"
_ARCHIVES = "asic/src/addons/messagelog/messagelog-archive-verifier/src/test/resources"
_PARSER = "Applying inline style"  # the browser's own, in what it makes of broken XML


_READ = """all => all.map(one => [
    one.dataset.file, one.dataset.verdict, one.dataset.code,
    (one.querySelector(':scope > dl > dd') || {}).textContent || 'signature',
    Array.from(one.querySelectorAll('.steps > li'), step => [step.dataset.check, step.className]),
])"""


class Said(NamedTuple):
    """Verdict, code, level and every step with its outcome, of the file and of what is in it."""

    verdict: str
    code: str
    level: str
    steps: tuple[tuple[str, str], ...] = ()


def _steps(steps: Iterable[Sequence[str]]) -> tuple[tuple[str, str], ...]:
    """All but what browsers can't tell: whether bytes are packed as zlib packs them."""
    return tuple(
        (name, outcome) for name, outcome in steps if (name, outcome) != ("packing", "warning")
    )


def _verdicts(found: Mapping[str, Said]) -> dict[str, tuple[str, str]]:
    return {name: (said.verdict, said.code) for name, said in found.items()}


@dataclass
class Visit:
    """The page in a browser, as somebody has opened it."""

    page: Page
    requests: list[str]
    problems: list[str]

    async def judge(self, *files: Path, at: str = "") -> dict[str, Said]:
        """What is said of every file, by its name on the page."""
        await self.page.fill("#at", at)
        await self.page.set_input_files("#files", files)
        return await self.results()

    async def results(self) -> dict[str, Said]:
        page = self.page
        await page.locator("article").first.wait_for()
        await page.locator("#results[aria-busy=false]").wait_for()
        found = await page.locator("article").evaluate_all(_READ)
        return {
            name: Said(verdict, code, level, _steps(steps))
            for name, verdict, code, level, steps in found
        }


@pytest.fixture(scope="module")
def chromium() -> Path:
    if not _CHROMIUM.exists():
        pytest.skip(f"there is no browser at {_CHROMIUM}")
    return _CHROMIUM


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(chromium: Path) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=_CHROMIUM, args=["--no-sandbox"])
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="module")
async def visit(browser: Browser) -> AsyncIterator[Visit]:
    """The page opened from the disk, without a network; whatever it asks for is written down."""
    context = await browser.new_context(offline=True)
    page = await context.new_page()
    requests: list[str] = []
    problems: list[str] = []

    def note(request: Request) -> None:
        requests.append(request.url)

    context.on("request", note)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text))
    await page.goto(PAGE.as_uri())
    yield Visit(page, requests, problems)
    assert requests == [PAGE.as_uri()]
    assert [problem for problem in problems if _PARSER not in problem] == []
    await context.close()


def _said(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Said]:
    """What the command says of every file."""
    cli.main(["verify", "--json", *map(str, arguments)])
    objects = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return {
        found["file"].rpartition("/")[2]: Said(
            found["verdict"],
            found["code"] or "",
            found.get("level", ""),
            _steps(
                (check["name"], check["outcome"])
                for each in (found, *(found["containers"] if "exchange" in found else ()))
                for check in each["checks"]
            ),
        )
        for found in objects
    }


def _write(folder: Path, files: Mapping[str, bytes]) -> list[Path]:
    paths = []
    for name, raw in files.items():
        path = folder / name.replace("/", "_")
        path.write_bytes(raw)
        paths.append(path)
    return paths


# --- receipts -------------------------------------------------------------------------------------


@cache
def _made() -> Exchange:
    return Exchange()


@in_browser
async def test_receipts_get_the_same_verdict(
    visit: Visit, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    listed = list(cases(_made()))
    files = _write(tmp_path, {f"{case.name}.receipt": case.raw for case in listed})
    found = await visit.judge(*files)
    assert found == _said(capsys, *files)
    assert _verdicts(found) == {
        f"{case.name}.receipt": (case.verdict, case.code) for case in listed
    }


@pytest.mark.parametrize("kind", ["p384", "rsa2048"])
@in_browser
async def test_receipts_of_other_keys_and_profiles_pass(
    visit: Visit, tmp_path: Path, kind: str
) -> None:
    profile = profiles.EJBCA if kind == "rsa2048" else profiles.FI_VRK
    made = Exchange(pki=Pki(kind=kind, profile=profile, intermediate=True))  # type: ignore[arg-type]
    files = _write(tmp_path, {f"{kind}.receipt": made.receipt()})
    found = await visit.judge(*files)
    assert _verdicts(found) == {f"{kind}.receipt": ("passed", "")}


@in_browser
async def test_an_anchor_on_the_page_ties_the_trust_list_to_its_operator(
    visit: Visit, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    made = _made()
    stranger = Exchange(pki=Pki(kind="rsa2048"))
    receipts = {
        "good.receipt": made.receipt(),
        "unsigned.receipt": made.receipt(without=("signed/TEST/directory",)),
        "other.receipt": made.receipt({"signed/TEST/directory": stranger.directory}),
        "broken.receipt": made.receipt({"signed/TEST/directory": made.directory[:-200]}),
        "rsa.receipt": stranger.receipt(),
    }
    files = _write(tmp_path, receipts)
    codes = set()
    for holder in (made, stranger):
        anchor = tmp_path / "anchor.xml"
        anchor.write_bytes(build_anchor(holder.anchor))
        found = await visit.judge(anchor, *files)
        assert found == _said(capsys, *files, "--anchor", anchor)
        codes |= {said.code for said in found.values()}
        await visit.page.get_by_role("button", name="files judged below").click()
    assert codes >= {"", "global_conf_missing_verification_cert"}


# --- containers -----------------------------------------------------------------------------------


def _trust_list(path: Path, conf: GlobalConf) -> Path:
    written = {
        name: replace(
            instance,
            shared_raw=instance.shared_raw or build_shared_parameters(instance.shared),
        )
        for name, instance in conf.instances.items()
    }
    path.write_bytes(verification_zip(replace(conf, instances=written)))
    return path


def _ours() -> dict[str, bytes]:
    signatory = Signatory(_made().pki)
    other = Signatory(_made().pki, ClientId("TEST", "GOV", "9", "portal"))
    named = {
        "plain": plain(signatory),
        "chained": chained(signatory),
        "bodies": with_bodies(signatory),
        "stamped": stamped(signatory, plain(signatory)),
        "batch stamped": batch_stamped(signatory, chained(signatory)),
        "by another": plain(other),
        "late": stamped(signatory, plain(signatory), NOON + timedelta(hours=5)),
        "stamp missing": replace(batch_stamped(signatory, plain(signatory)), timestamp=None),
        "altered body": replace(
            chained(signatory), attachments=chained(signatory, (BODIES[0], b"x")).attachments
        ),
        "uncovered": replace(plain(signatory), attachments=with_bodies(signatory).attachments),
        "altered": replace(plain(signatory), message=MESSAGE.replace(b"people", b"persons")),
        "no message": replace(plain(signatory), message=b"hello"),
    }
    return {f"{name}.asice": build_container(container) for name, container in named.items()}


@in_browser
async def test_our_containers_get_the_same_verdict(
    visit: Visit, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    files = _write(tmp_path, _ours() | {"text.asice": b"hello", "empty.asice": b""})
    conf = _trust_list(tmp_path / "conf.zip", _made().conf)
    at = NOON.strftime("%Y-%m-%dT%H:%M:%S")
    found = await visit.judge(conf, *files, at=at)
    assert found == _said(capsys, *files, "--conf", conf, "--at", at)
    assert {said.verdict for said in found.values()} == {"passed", "failed"}


@in_browser
async def test_signatures_with_defects_get_the_same_verdict(
    visit: Visit, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Every defect of a signature that the tests know, in a container."""
    whole = with_bodies(Signatory(_made().pki), (PARTS["/attachment1"],))
    text = whole.signature.decode()
    changed = {
        f"{number}.asice": build_container(replace(whole, signature=change(text).encode()))
        for number, (change, _) in enumerate(UNFIT)
    }
    files = _write(tmp_path, changed)
    conf = _trust_list(tmp_path / "conf.zip", _made().conf)
    at = NOON.strftime("%Y-%m-%dT%H:%M:%S")
    assert await visit.judge(conf, *files, at=at) == _said(
        capsys, *files, "--conf", conf, "--at", at
    )


@pytest.mark.interop
@in_browser
async def test_reference_containers_get_the_same_verdict(
    visit: Visit, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folders = (_CONTAINERS, _LOADING)
    files = [path for folder in folders for path in sorted(vector_path(folder).glob("*.asice"))]
    named = _write(tmp_path, {f"{p.parts[-6]} {p.name}": p.read_bytes() for p in files})
    conf = _trust_list(tmp_path / "conf.zip", load_configuration(vector_path(_CONF)))
    found = await visit.judge(conf, *named)
    assert found == _said(capsys, *named, "--conf", conf)
    assert len(found) == len(files) > 10
    assert list(_verdicts(found).values()).count(("passed", "")) >= 5


@pytest.mark.interop
@in_browser
async def test_an_archive_s_containers_are_judged_one_by_one(
    visit: Visit, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Without the trust list of their instance nobody can judge them to the end."""
    archive = vector_path(f"{_ARCHIVES}/message-archive-1.zip")
    conf = _trust_list(tmp_path / "conf.zip", load_configuration(vector_path(_CONF)))
    found = await visit.judge(conf, archive)
    previous = (
        "9011ab557706b5050584d6888af7b390e5350f4edad296bd7a582aa51732aac7"
        "f49a4ec44dd361027945ade0de8b8cf607fb7b7d11f17b0560d44b965c358eaa"
    )
    said = _said(capsys, archive, "--conf", conf, "--previous", previous)
    said.pop("message-archive-1.zip")  # of the archive's chain, which the page does not judge
    assert _verdicts(found) == _verdicts(said)
    assert len(found) == 20
    assert set(_verdicts(found).values()) == {("indeterminate", "unknown_instance")}


_CERTIFICATE_CODES = ("invalid_cert_path", "cannot_create_cert_path", "malformed_")


def _check_alike(found: Mapping[str, Said], said: Mapping[str, Said]) -> None:
    """The same verdicts and codes; of a certificate that is damaged inside there are several."""
    assert found.keys() == said.keys()
    for name, one in found.items():
        other = said[name]
        assert one.verdict == other.verdict, (name, one, other)
        codes = {one.code, other.code}
        if not all(code.startswith(_CERTIFICATE_CODES) for code in codes):
            assert len(codes) == 1, (name, one, other)


def _changed(data: bytes, dice: random.Random) -> bytes:
    """A bit turned, something lost, or something put in."""
    at = dice.randrange(len(data))
    match dice.randrange(3):
        case 0:
            return data[:at] + bytes([data[at] ^ 1 << dice.randrange(7)]) + data[at + 1 :]
        case 1:
            return data[:at] + data[at + dice.randrange(1, 20) :]
    more = (b'"', b"<", b"&lt;", b"&#13;", b"<!-- x -->", b" ", b"=", b"A", b"\xc3\xa9", b"\r\n")
    return data[:at] + dice.choice(more) + data[at:]


def _damaged(raw: bytes, dice: random.Random) -> bytes:
    """The container with the inside of an entry changed, and packed anew."""
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        entries = {info: archive.read(info) for info in archive.infolist()}
    chosen = dice.choice([info for info in entries if info.filename != "mimetype"])
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.comment = b"mimetype=application/vnd.etsi.asic-e+zip"
        for info, data in entries.items():
            archive.writestr(info, _changed(data, dice) if info is chosen else data)
    return target.getvalue()


@in_browser
async def test_changed_containers_get_the_same_verdict(
    visit: Visit, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    dice = random.Random(17)
    signatory = Signatory(_made().pki)
    good = build_container(batch_stamped(signatory, chained(signatory)))
    files = _write(tmp_path, {f"{number}.asice": _damaged(good, dice) for number in range(150)})
    conf = _trust_list(tmp_path / "conf.zip", _made().conf)
    _check_alike(await visit.judge(conf, *files), _said(capsys, *files, "--conf", conf))


@in_browser
async def test_changed_receipts_get_the_same_verdict(
    visit: Visit, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    made, dice = _made(), random.Random(17)
    parts = {**made.files, "request.asice": build_container(made.request)}
    receipts = {}
    for number in range(150):
        name = dice.choice(list(parts))
        change = _damaged if name.endswith(".asice") else _changed
        receipts[f"{number}.receipt"] = made.receipt({name: change(parts[name], dice)})
    files = _write(tmp_path, receipts)
    _check_alike(await visit.judge(*files), _said(capsys, *files))


# --- the page itself ------------------------------------------------------------------------------


@in_browser
async def test_the_page_shows_the_steps_and_the_message_as_text(
    visit: Visit, tmp_path: Path
) -> None:
    made = _made()
    hostile = Exchange(
        made.request_message.replace(b"2026/17", b"<img src=x onerror=alert(1)>"), pki=made.pki
    )
    await visit.judge(*_write(tmp_path, {"hostile.receipt": hostile.receipt()}))
    article = visit.page.locator("article")
    text = await article.inner_text()
    assert "Passed hostile.receipt" in text
    assert "<img src=x onerror=alert(1)>" in text
    assert "only as good as who gave it" in text
    assert "number 4 of the 11 records" in text
    assert await article.locator("img").count() == 0
    assert await article.locator("> .steps > li").count() == 12
    await article.get_by_text("response.asice").click()
    assert await article.locator("pre").count() == 5


@in_browser
async def test_what_the_page_may_not_do_it_can_not(visit: Visit) -> None:
    refused = "address => fetch(address).then(() => 'sent', () => 'refused')"
    assert await visit.page.evaluate(refused, "https://example.test/") == "refused"
    added = """() => {
        const script = document.createElement('script');
        script.textContent = 'window.ran = true';
        document.head.append(script);
        return Boolean(window.ran);
    }"""
    assert await visit.page.evaluate(added) is False
    assert visit.problems
    assert all("Content Security Policy" in problem for problem in visit.problems)
    visit.problems.clear()


@in_browser
async def test_a_file_can_be_dropped(visit: Visit) -> None:
    raw = list(_made().receipt())
    await visit.page.evaluate(
        """bytes => {
            const given = new DataTransfer();
            given.items.add(new File([new Uint8Array(bytes)], 'dropped.receipt'));
            document.dispatchEvent(new DragEvent('drop', {dataTransfer: given}));
        }""",
        raw,
    )
    assert _verdicts(await visit.results()) == {"dropped.receipt": ("passed", "")}


@in_browser
async def test_the_page_can_be_used_with_the_keyboard_alone(visit: Visit, tmp_path: Path) -> None:
    bare = build_container(plain(Signatory(_made().pki)))
    conf = _trust_list(tmp_path / "conf.zip", _made().conf)
    (file,) = _write(tmp_path, {"undated.asice": bare})
    await visit.page.set_input_files("#files", [conf, file])
    await visit.results()
    focused = "document.activeElement.id || document.activeElement.tagName"
    order = []
    for _ in range(24):
        await visit.page.keyboard.press("Tab")
        order.append(await visit.page.evaluate(focused))
    assert list(dict.fromkeys(order))[:4] == ["files", "at", "BUTTON", "SUMMARY"]
    await visit.page.get_by_role("button", name="Judge it for").focus()
    await visit.page.keyboard.press("Enter")
    await visit.page.locator("article.passed").wait_for()
    assert await visit.page.input_value("#at") == "2026-11-21T12:00"


@in_browser
async def test_a_damaged_trust_list_or_anchor_is_told(visit: Visit, tmp_path: Path) -> None:
    files = _write(tmp_path, {"anchor.xml": b"<conf/>", "other.xml": b"<a><b></a>"})
    await visit.page.set_input_files("#files", files)
    await visit.page.locator("#problems p").nth(1).wait_for()
    assert "anchor.xml: The file is no anchor" in await visit.page.inner_text("#problems")


def test_the_command_writes_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "verifier.html"
    assert cli.main(["verify", "--page", str(target)]) == 0
    assert target.read_text(encoding="utf-8") == build_page()
    assert cli.main(["verify", "--page", str(tmp_path / "absent" / "x.html")]) == 2
    assert "can't be written" in capsys.readouterr().err
