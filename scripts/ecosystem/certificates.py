"""How a node of the sandbox comes by its keys and certificates: as `sacbe key` does it."""

from datetime import UTC, datetime
from pathlib import Path

import aiohttp
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from scripts.ecosystem.institutions import Institution
from trust.configuration.confparts import parse_anchor
from trust.configuration.confupdater import ConfigurationUpdater, UpdaterSettings
from trust.errors import NetworkFailure
from trust.globalconf import GlobalConf
from trust.pki.keyfiles import open_folder, read_file, write_file
from trust.pki.keys import KeyUse
from trust.pki.keystore import KeyEntry, KeyStore
from trust.pki.profiles import BASIC
from trust.pki.subjects import Applicant, SubjectProposal, subject_for_auth, subject_for_sign

USES: tuple[KeyUse, ...] = ("auth", "sign")


async def certify(
    one: Institution, store: KeyStore, folder: Path, authority: str, session: aiohttp.ClientSession
) -> None:
    """Let the node have a key for each use, and beside the store its certificate `<use>.pem`.

    Args:
        authority: URL of the test CA.
    """
    for use in USES:
        entry = _key(store, use, one)
        if entry.certificate is None and not _certified(entry, folder / f"{use}.pem"):
            request = store.request(entry.id, _subject(one, use))
            pem = x509.load_der_x509_csr(request).public_bytes(Encoding.PEM)
            url = f"{authority}/sign/{use}?profile=Basic"
            async with session.post(url, data=pem) as response:
                answer = await response.read()
                if response.status != 200:
                    text = f"The test CA refused a request: {answer.decode(errors='replace')}"
                    raise NetworkFailure(text)
            write_file(folder / f"{use}.pem", answer)


def _key(store: KeyStore, use: KeyUse, one: Institution) -> KeyEntry:
    found = next((entry for entry in store.entries if entry.use == use), None)
    return found or store.create_key(use, "p256", f"{one.name} {use}")


def _certified(entry: KeyEntry, path: Path) -> bool:
    """Whether the CA certified this key before; the sandbox was then stopped too early."""
    pem = read_file(path)
    return pem is not None and entry.key.fits(x509.load_pem_x509_certificate(pem))


def _subject(one: Institution, use: KeyUse) -> SubjectProposal:
    propose = subject_for_sign if use == "sign" else subject_for_auth
    host = f"{one.key}.sandbox.test"
    return propose(BASIC, Applicant(one.owner, one.server, one.name, "EX", host))


async def import_certificates(store: KeyStore, folder: Path) -> GlobalConf:
    """Fetch the configuration into the node's data folder, and import what the CA issued."""
    open_folder(folder / "data")
    anchor = parse_anchor((folder / "anchor.xml").read_bytes())
    updater = ConfigurationUpdater(UpdaterSettings(folder / "data" / "globalconf"), anchor)
    try:
        await updater.update()
    finally:
        await updater.close()
    conf = updater.conf
    if conf is None or updater.last_error:
        raise NetworkFailure(f"The configuration can't be had: {updater.last_error}")
    for entry in store.entries:
        if entry.certificate is None:
            pem = read_file(folder / f"{entry.use}.pem") or b""
            store.import_certificate(pem, conf, datetime.now(UTC))
    return conf
