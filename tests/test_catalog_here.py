"""A node's catalog: read once, kept when what comes next is damaged."""

import asyncio
import contextlib
import lzma
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from catalog.central import encoding
from catalog.central.encoding import PART_FILE, PART_IDENTIFIER, encode_catalog, unpacked
from catalog.central.entries import Catalog
from node.once import catalog_here
from node.once.catalog_here import CatalogHere
from node.once.last_catalog import LastCatalog
from tests.large_catalog import large_catalog
from tests.pki import NOON, Pki
from tests.published import Publisher
from trust.configuration.confclient import ConfigurationClient
from trust.configuration.confhistory import TrustListKeeper
from trust.configuration.conflocations import Location
from trust.configuration.confstore import load_set, save_set
from trust.globalconf import GlobalConf, InstanceConf

TEST = replace(large_catalog(services=4, fields=2), instance="TEST")
LARGE = replace(large_catalog(services=600, fields=4), instance="TEST", version=2)


@dataclass
class Configuration:
    """What a node believes, with the catalog that a test puts there."""

    raw: bytes | None = field(default_factory=lambda: encode_catalog(TEST))
    plain: InstanceConf = field(default_factory=lambda: Pki(NOON).instance_conf())

    def __call__(self) -> GlobalConf:
        parts = {} if self.raw is None else {PART_IDENTIFIER: self.raw}
        own = replace(self.plain, optional_parts=parts)
        return GlobalConf("TEST", {"TEST": own})


async def test_a_small_one_is_read_when_it_is_asked_for() -> None:
    conf = Configuration()
    here = CatalogHere(conf)
    assert here() == TEST
    assert here() is here()
    assert here.problem() is None


async def test_a_large_one_is_read_beside_the_event_loop() -> None:
    conf = Configuration()
    here = CatalogHere(conf)
    assert here() == TEST
    conf.raw = encode_catalog(LARGE)
    assert len(conf.raw) > catalog_here._SMALL
    assert here() == TEST
    running = asyncio.create_task(here.run())
    for _ in range(1000):
        if here() != TEST:
            break
        await asyncio.sleep(0.01)
    assert here() == LARGE
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def test_the_last_good_one_is_kept_and_the_reason_told() -> None:
    conf = Configuration()
    here = CatalogHere(conf)
    assert here() == TEST
    for raw, reason in (
        (b"damaged", "it is cut off; the one before is used"),
        (encode_catalog(replace(TEST, instance="OTHER")), "is of OTHER, not of TEST"),
        (None, "publishes no catalog any more"),
    ):
        conf.raw = raw
        await here.refresh()
        assert here() == TEST
        assert reason in (here.problem() or "")
    conf.raw = encode_catalog(replace(TEST, version=7))
    found = here()
    assert found is not None
    assert found.version == 7
    assert here.problem() is None


async def test_without_a_catalog_there_is_none() -> None:
    conf = Configuration(None)
    assert CatalogHere(conf)() is None
    assert CatalogHere(conf).problem() is None
    assert CatalogHere(lambda: None)() is None
    conf.raw = b"damaged"
    here = CatalogHere(conf)
    assert here() is None
    assert "there is none before it" in (here.problem() or "")


def believed(
    catalog: Catalog, kept: ConfigurationClient | None, minute: int
) -> ConfigurationClient:
    """A client that has taken over what a registry publishes with this catalog."""
    registry = Publisher("TEST")
    registry.optional[PART_IDENTIFIER] = (PART_FILE, encode_catalog(catalog))
    client = kept or ConfigurationClient(registry.anchor())
    at = NOON.replace(minute=minute)
    files = registry.publish(at)
    url = "http://registry.example.test/internalconf?version=6"
    location = Location("http://registry.example.test/internalconf", registry.certificates())
    update = client.read(client.anchor, location, url, files["/internalconf?version=6"], at)
    prefix = "http://registry.example.test"
    fetched = {one: files[address.removeprefix(prefix)] for one, address in update.missing.items()}
    client.accept(update, fetched)
    return client


def test_it_is_there_after_a_restart_without_the_registry(tmp_path: Path) -> None:
    """The part is kept as X-Road's own servers keep one that they do not know."""
    client = believed(TEST, None, 0)
    assert client.conf.skipped == {}
    save_set(tmp_path / "conf", client.kept)
    assert (tmp_path / "conf" / "TEST" / encoding.PART_FILE).read_bytes() == encode_catalog(TEST)
    restarted = ConfigurationClient(client.anchor, load_set(tmp_path / "conf"))
    assert CatalogHere(lambda: restarted.conf)() == TEST


def test_a_new_catalog_is_no_new_trust_list(tmp_path: Path) -> None:
    """The history of trust lists is what evidence is judged by; the catalog judges nothing."""
    keeper = TrustListKeeper(tmp_path)
    client = believed(TEST, None, 0)
    assert keeper.keep(client.kept, NOON, b"directory")
    believed(replace(TEST, version=2), client, 1)
    assert CatalogHere(lambda: client.conf)() == replace(TEST, version=2)
    assert not keeper.keep(client.kept, NOON.replace(minute=1), b"another")
    assert len(keeper.names()) == 4  # shared parameters, NEXTUPDATE, the directory, one version


# --- the last good one ----------------------------------------------------------------------------


@pytest.mark.parametrize("damaged", [b"damaged", None])
async def test_a_restart_with_a_damaged_one_has_the_last_good_one(
    tmp_path: Path, damaged: bytes | None
) -> None:
    conf, file = Configuration(), tmp_path / "last"
    await CatalogHere(conf, LastCatalog(file)).refresh()
    conf.raw = damaged
    restarted = CatalogHere(conf, LastCatalog(file))
    await restarted.refresh()
    assert restarted() == TEST
    assert "is used" in (restarted.problem() or "")
    conf.raw = encode_catalog(LARGE)
    await restarted.refresh()
    assert file.read_bytes() == conf.raw
    assert restarted.problem() is None


async def test_the_same_one_is_neither_read_nor_written_twice(tmp_path: Path) -> None:
    conf, file = Configuration(), tmp_path / "last"
    await CatalogHere(conf, LastCatalog(file)).refresh()
    before = file.stat()
    restarted = CatalogHere(conf, LastCatalog(file))
    await restarted.refresh()
    assert restarted() == TEST
    assert file.stat().st_ino == before.st_ino


@pytest.mark.parametrize(
    "kept", [b"damaged", encode_catalog(replace(TEST, instance="OTHER"))], ids=["damaged", "other"]
)
async def test_what_was_kept_is_not_believed_blindly(tmp_path: Path, kept: bytes) -> None:
    conf, file = Configuration(b"damaged"), tmp_path / "last"
    file.write_bytes(kept)
    here = CatalogHere(conf, LastCatalog(file))
    await here.refresh()
    assert here() is None
    conf.raw = encode_catalog(TEST)
    await here.refresh()
    assert here() == TEST
    assert file.read_bytes() == conf.raw


async def test_a_disk_that_takes_nothing_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "last").mkdir()
    here = CatalogHere(Configuration(), LastCatalog(tmp_path / "last"))
    await here.refresh()
    assert here() == TEST
    assert here.problem() is None


# --- a newer registry -----------------------------------------------------------------------------


async def test_what_is_not_understood_is_told_and_the_rest_is_used() -> None:
    text = b"".join(unpacked(encode_catalog(TEST)))
    here = CatalogHere(Configuration(lzma.compress(text.replace(b'"present"', b'"guessed"'))))
    found = here()
    assert found is not None
    assert found.vocabulary == TEST.vocabulary
    assert found.left_out > 0
    assert f"newer: {found.left_out} things" in (here.problem() or "")


async def test_a_new_version_shares_with_the_one_before() -> None:
    conf = Configuration()
    here = CatalogHere(conf)
    first = here()
    conf.raw = encode_catalog(replace(TEST, version=2))
    second = here()
    assert first is not None
    assert second is not None
    assert second.version == 2
    assert second.services[0] is first.services[0]
