"""Judges from elsewhere: the JDK, OpenSSL, xmlsec, and the reference's algorithm written down anew.

They judge containers of every form: made by the parts of a node, and fetched from real nodes after
real exchanges, time-stamped alone and in batches.
"""

import base64
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import pytest
import xmlsec
from lxml import etree

from scripts.postgres import PostgresServer
from tests.containers import batch_stamped, chained, plain, stamped, with_bodies
from tests.drafts import Part
from tests.node_pair import PACKAGE, REQUEST, attachments, node_pair
from tests.pki import NOON, Pki
from tests.reference_verifier import Refused, Trust, judge
from tests.signing import Signatory
from tests.soap_stage import TEXT, packed
from tests.vector_files import vector_path
from trust.configuration.confstore import load_configuration
from trust.evidence.asic import Container, build_container, parse_container
from trust.globalconf import InstanceConf
from trust.pki.keys import KeyType

_JUDGE = Path(__file__).parent / "judges" / "VerifyContainer.java"
_RESOURCES = "asic/src/tool/asic-verifier-cli/src/test/resources"
_CONF = "asic/src/lib/globalconf-core/src/test/resources/globalconf_good2_v3"
_KINDS: tuple[KeyType, ...] = ("p256", "rsa2048")
_FORMS: dict[str, Callable[[Signatory], Container]] = {
    "plain": plain,
    "bodies": with_bodies,
    "chained": chained,
    "many": lambda signatory: chained(signatory, tuple(b"%d" % n for n in range(20))),
}


def trust_of(conf: InstanceConf) -> Trust:
    shared = conf.shared
    authorities = [
        authority.certificate
        for ca in shared.approved_cas
        for authority in (ca.top, *ca.intermediates)
    ]
    tsas = [tsa.certificate for tsa in shared.approved_tsas]
    return Trust(authorities, tsas, timedelta(seconds=shared.ocsp_freshness_seconds))


@cache
def made() -> Mapping[str, tuple[Container, Trust]]:
    """Containers by the parts of a node, of every form and kind of key."""
    found = {}
    for kind in _KINDS:
        signatory = Signatory(Pki(kind=kind))
        trust = trust_of(signatory.conf.own)
        for name, make in _FORMS.items():
            container = make(signatory)
            found[f"{name}-{kind}"] = container, trust
            found[f"{name}-stamped-{kind}"] = stamped(signatory, container), trust
            found[f"{name}-batch-{kind}"] = batch_stamped(signatory, container), trust
    return found


# --- the JDK --------------------------------------------------------------------------------------


def jdk_says(folder: Path, containers: Mapping[str, bytes]) -> list[str]:
    """One start of the JVM for all: it reads by ZipInputStream, as X-Road does."""
    program = shutil.which("java")
    if program is None:
        pytest.skip("no java here")
    files = []
    for name, raw in containers.items():
        files.append(folder / name)
        files[-1].write_bytes(raw)
    answer = subprocess.run(
        [program, "-Xshare:auto", str(_JUDGE), *map(str, files)],
        capture_output=True,
        text=True,
        check=False,
    )
    if "No compiler" in answer.stderr or "jdk.compiler" in answer.stderr:
        pytest.skip("this java can't run source files")
    return [line.replace(f"{folder}/", "") for line in answer.stdout.splitlines()]


def changed(container: Container) -> Container:
    """The same with another message, and the signature file and what it refers to as they are."""
    message = container.message.replace(b"registry", b"registri")
    assert message != container.message
    return replace(container, message=message)


def test_the_jdk_accepts_our_containers_and_refuses_changed_ones(tmp_path: Path) -> None:
    files, expected = {}, []
    for name, (container, _) in made().items():
        files[f"{name}.good"] = build_container(container)
        expected.append(f"valid {name}.good")
        # of a chain the JDK sees the result alone, which is signed
        result = container.signature_chain_result
        bad = (
            changed(container)
            if result is None
            else replace(container, signature_chain_result=result.replace(b"#STEP0", b"#STEP1"))
        )
        files[f"{name}.bad"] = build_container(bad)
        expected.append(f"invalid {name}.bad")
    assert jdk_says(tmp_path, files) == expected


# --- xmlsec ---------------------------------------------------------------------------------------


def xmlsec_accepts(signature: bytes) -> bool:
    """Whether the key of the certificate signed SignedInfo, says xmlsec."""
    root = etree.fromstring(signature)
    ds = "{http://www.w3.org/2000/09/xmldsig#}"
    text = "".join((next(root.iter(f"{ds}X509Certificate")).text or "").split())
    pem = f"-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n".encode()
    info = next(root.iter(f"{ds}SignedInfo"))
    method = {"ecdsa-sha512": "EcdsaSha512", "rsa-sha512": "RsaSha512"}
    kind = info[1].get("Algorithm", "").rpartition("#")[2]
    context = xmlsec.SignatureContext()
    context.key = xmlsec.Key.from_memory(pem, xmlsec.constants.KeyDataFormatCertPem)
    try:
        context.verify_binary(
            etree.tostring(info, method="c14n", exclusive=False, with_comments=False),
            getattr(xmlsec.constants, f"Transform{method[kind]}"),
            base64.b64decode(next(root.iter(f"{ds}SignatureValue")).text or ""),
        )
    except xmlsec.Error:
        return False
    return True


def test_xmlsec_accepts_our_signatures_with_and_without_time_stamp() -> None:
    for name, (container, _) in made().items():
        signature = container.signature
        assert xmlsec_accepts(signature), name
        assert not xmlsec_accepts(signature.replace(b"signature-reference-0", b"other"))


# --- the reference's algorithm --------------------------------------------------------------------


def reference_says(raw: bytes, trust: Trust) -> str:
    """The time of the time-stamp, or the code of what is wrong."""
    try:
        return judge(raw, trust).isoformat()
    except Refused as error:
        return error.code


@pytest.mark.interop
@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        ("valid-signed-message", "2024-12-05T13:16:35+00:00"),
        ("valid-signed-hashchain", "2024-12-05T12:37:50+00:00"),
        ("valid-batch-ts", "2024-12-05T07:34:14+00:00"),
        ("valid-non-batch-soap-attachments", "2024-12-03T13:45:33+00:00"),
        ("invalid-not-signed-hashchain", None),
        ("wrong-message", "invalid_signature_value"),
        ("invalid-digest", "invalid_signature_value"),
        ("invalid-signed-hashchain", "malformed_signature.invalid_hash_chain_ref"),
    ],
)
def test_the_algorithm_says_of_the_reference_s_containers_what_the_reference_says(
    name: str, verdict: str | None
) -> None:
    trust = trust_of(load_configuration(vector_path(_CONF)).own)
    said = reference_says(vector_path(f"{_RESOURCES}/{name}.asice").read_bytes(), trust)
    assert said == verdict or (verdict is None and said.startswith("2024-12-"))


def test_the_reference_s_algorithm_accepts_our_stamped_containers() -> None:
    for name, (container, trust) in made().items():
        raw = build_container(container)
        has_stamp = "stamped" in name or "batch" in name
        said = reference_says(raw, trust)
        assert said == (NOON.isoformat() if has_stamp else "malformed_signature"), name
        assert reference_says(build_container(changed(container)), trust) != said or not has_stamp


@pytest.mark.parametrize("damage", ["token", "chain", "result"])
def test_the_reference_s_algorithm_refuses_what_was_not_stamped(damage: str) -> None:
    container, trust = made()["chained-batch-p256"]
    other, _ = made()["plain-batch-p256"]
    bad = {
        "token": replace(container, timestamp=other.timestamp),
        "chain": replace(container, timestamp_chain=other.timestamp_chain),
        "result": replace(container, timestamp_chain_result=other.timestamp_chain_result),
    }[damage]
    assert reference_says(build_container(bad), trust) == "malformed_signature"


# --- containers of real nodes ---------------------------------------------------------------------


async def test_containers_of_real_nodes_pass_every_judge(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    """CIVIL has each message stamped alone, MUNI in batches; REST and SOAP, with and without."""
    async with node_pair(tmp_path, postgres_server, civil_immediately=True) as pair:
        await pair.call("without")
        await pair.call("body", b'{"code":1}')
        body = packed("xyz", [Part(TEXT, REQUEST), *attachments(b"form", b"x" * 70_000)])
        answer = await pair.session.post(
            pair.muni.url, data=body, headers={"Content-Type": PACKAGE}
        )
        assert b"getStateResponse" in await answer.read()
        found: dict[str, bytes] = {}
        for place, node in (("civil", pair.civil), ("muni", pair.muni)):
            for message_id in ("without", "body", "with attachments"):
                for direction in ("request", "response"):
                    status, _, raw = await pair.asic(node, message_id, f"{direction}Only", "unique")
                    assert status == 200, raw
                    found[f"{place}-{message_id.replace(' ', '-')}-{direction}"] = raw
        conf = load_configuration(pair.muni.settings.data / "globalconf")
    began = datetime.now(UTC)
    for name, raw in found.items():
        container = parse_container(raw)
        assert (container.timestamp is None) is name.startswith("civil"), name
        assert xmlsec_accepts(container.signature), name
        said = reference_says(raw, trust_of(conf.own))
        assert abs(datetime.fromisoformat(said) - began).total_seconds() < 300, name
    assert jdk_says(tmp_path, found) == [f"valid {name}" for name in found]
