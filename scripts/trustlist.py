"""Get the trust list that a command was told to judge by."""

import asyncio
import io
import logging
import tempfile
from pathlib import Path
from typing import BinaryIO

from trust.configuration.confparts import MAX_ANCHOR_BYTES, parse_anchor
from trust.configuration.confstore import load_configuration
from trust.configuration.confupdater import ConfigurationUpdater, UpdaterSettings
from trust.configuration.fetch import Fetcher
from trust.errors import MalformedMessage, NetworkFailure, StorageError
from trust.evidence.zipreader import Unpacking, read_entries
from trust.globalconf import Anchor, GlobalConf

MAX_ZIP_BYTES = 64 * 1024 * 1024
MAX_UNPACKED_BYTES = 256 * 1024 * 1024
_FOLDER = "verificationconf"


def load_trust_list(source: str) -> GlobalConf:
    """Load the trust list from a folder, a download, an anchor file or a node's address.

    Args:
        source: a folder in X-Road's layout; a ZIP of `/verificationconf`, as a file or its
            `http(s)` address, which is believed as it comes; or an anchor file, with which a
            configuration is downloaded and verified.
    Raises SacbeError with a sentence for whoever wrote the source.
    """
    if source.startswith(("http://", "https://")):
        return _usable(_unzipped(io.BytesIO(asyncio.run(_download(source)))), source)
    path = Path(source)
    try:
        if path.is_dir():
            return _usable(_judged_folder(path), source)
        with path.open("rb") as file:
            start = file.read(4)
            file.seek(0)
            if start == b"PK\3\4":
                return _usable(_unzipped(file), source)
            anchor = _anchor(file.read(MAX_ANCHOR_BYTES + 1), source)
    except OSError as error:
        raise StorageError(f"{source} can't be read: {error.strerror}") from error
    return _usable(asyncio.run(_follow(anchor)), source)


def load_anchor(name: str) -> Anchor:
    """Read an anchor file; raises SacbeError with a sentence."""
    try:
        with Path(name).open("rb") as file:
            return parse_anchor(file.read(MAX_ANCHOR_BYTES + 1))
    except OSError as error:
        raise StorageError(f"{name} can't be read: {error.strerror}") from error
    except MalformedMessage as error:
        raise MalformedMessage(f"{name} is no anchor: {error}", error.code) from error


def _anchor(raw: bytes, source: str) -> Anchor:
    try:
        return parse_anchor(raw)
    except MalformedMessage as error:
        text = f"{source} is neither a folder, nor a ZIP, nor an anchor: {error}"
        raise MalformedMessage(text, error.code) from error


def _usable(conf: GlobalConf, source: str) -> GlobalConf:
    """A trust list with its own instance in it; the others may be missing."""
    if conf.own_instance in conf.instances:
        return conf
    reason = conf.skipped.get(conf.own_instance, "there are no shared parameters")
    text = f"{source} has no usable trust list of {conf.own_instance}: {reason}"
    raise MalformedMessage(text, "malformed_global_conf")


def _judged_folder(path: Path) -> GlobalConf:
    try:
        return _load_folder(path)
    except MalformedMessage as error:
        raise MalformedMessage(f"{path} holds no trust list: {error}", error.code) from error


def _load_folder(path: Path) -> GlobalConf:
    """A folder, or the one inside it that unpacking a download makes."""
    inner = path / _FOLDER
    return load_configuration(inner if inner.is_dir() else path)


def _unzipped(file: BinaryIO) -> GlobalConf:
    """Unpack a download where nobody else looks, and load it as a folder."""
    entries = [entry for entry in read_entries(file) if not entry.is_folder]
    if sum(entry.size for entry in entries) > MAX_UNPACKED_BYTES:
        raise MalformedMessage(f"The trust list unpacks to more than {MAX_UNPACKED_BYTES} bytes")
    with tempfile.TemporaryDirectory(prefix="sacbe-") as folder:
        for entry in entries:
            unpacking = Unpacking(file, entry)
            place = Path(folder, entry.name)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(unpacking.read())
            if unpacking.damage:
                raise MalformedMessage(unpacking.damage[0])
        return _load_folder(Path(folder))


async def _download(url: str) -> bytes:
    fetcher = Fetcher()
    try:
        answer = await fetcher.get(url, max_bytes=MAX_ZIP_BYTES)
    finally:
        await fetcher.close()
    if answer.status != 200:
        raise NetworkFailure(f"{url} was answered with status {answer.status}")
    return answer.body


async def _follow(anchor: Anchor) -> GlobalConf:
    """Download what an anchor leads to, with all federated instances, and verify it."""
    logging.getLogger("trust").addHandler(logging.NullHandler())  # the reason is raised, once
    with tempfile.TemporaryDirectory(prefix="sacbe-") as folder:
        settings = UpdaterSettings(Path(folder, "conf"), allowed_federations=("all",))
        updater = ConfigurationUpdater(settings, anchor)
        try:
            await updater.update()
        finally:
            await updater.close()
        if updater.conf is None:
            text = f"No configuration of {anchor.instance}: {updater.last_error}"
            raise NetworkFailure(text)
        return updater.conf
