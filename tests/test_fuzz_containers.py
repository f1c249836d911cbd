"""Damaged and invented containers and archives end in a verdict, and only what was signed passes.

A few thousand in every run; 100 000 of each with SACBE_FUZZ=1, from another seed each time
(`make fuzz-containers`, and part of `make fuzz`). SACBE_FUZZ_SEED repeats one.
"""

import dataclasses
import io
import re
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from random import Random
from types import MappingProxyType

import pytest

from tests.containers import batch_stamped, chained, plain, stamped, with_bodies
from tests.fuzzing import COUNT, LONG, SEED, Target, check, damage, run
from tests.pki import NOON
from tests.signing import Signatory
from tests.vector_files import vectors_folder
from trust.base64text import decode_base64, encode_base64
from trust.configuration.confstore import load_configuration
from trust.digests import SHA512_URI
from trust.errors import EvidenceRejected, MalformedMessage
from trust.evidence import asic
from trust.evidence.archive_files import ArchiveWriter
from trust.evidence.archives import judge_archive
from trust.evidence.asic import Container, build_container, parse_container
from trust.evidence.container import ContainerVerdict, unreadable, verify_container
from trust.evidence.linkinginfo import START
from trust.evidence.manifests import CONTAINER_TYPE, build_asic_manifest, build_manifest
from trust.evidence.stamped_signature import insert_timestamp, remove_timestamp
from trust.evidence.zipreader import CONTAINER_COMMENT
from trust.globalconf import GlobalConf
from trust.report import Outcome

_RESOURCES = "asic/src/tool/asic-verifier-cli/src/test/resources"
_CONF = "asic/src/lib/globalconf-core/src/test/resources/globalconf_good2_v3"
_LARGEST = 200_000  # bytes of an input

pytestmark = pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")

WORDS = (
    b"PK\3\4", b"PK\1\2", b"PK\5\6", b"PK\7\10", b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x08\x08",
    b"mimetype", b"message.xml", b"META-INF/", b"META-INF/signatures.xml", b"attachment1", b"../",
    b"sig-hashchain.xml", b"sig-hashchainresult.xml", b"ts-hashchain.xml", b"manifest:",
    b"/sig-hashchain.xml#STEP0", b"#STEP0", b"#STEP1", b"#signed-properties", b"#signature",
    b"<", b">", b"/>", b"</", b"'", b'"', b"&#13;", b"&x;", b"<!-- c -->", b"<?p?>",
    b"<![CDATA[", b"]]>",
    b"<!DOCTYPE a [<!ENTITY b 'c'>]>", b"ds:Signature", b"ds:Object", b"xades:", b"ds:", b"ns2:",
    b"<ds:Reference ", b"<ds:Transforms>", b"<ds:DigestValue>",
    b"<xades:UnsignedSignatureProperties>",
    b"<xades:SignatureTimeStamp>", b"<xades:EncapsulatedTimeStamp>", b"<ns2:DataRef URI=", b"Id=",
    b"<ns2:StepRef URI='#STEP0'/>", b"<ns2:HashStep id='STEP0'>", b"sha512", b"sha256", b"sha1",
    b"rsa-sha512", b"ecdsa-sha512", b"http://www.w3.org/2001/10/xml-exc-c14n#", b"utf-16", b"=",
    b"\x30\x80", b"\x30\x82\xff\xff", b"\x30\x84\x7f\xff\xff\xff", b"\x04\x40", b"\x02\x01\x01",
    b"\xa0\x03", b"\x06\x03\x2a\x03\x04", b"\x17\x0d", b"\x18\x0f", b"\xef\xbb\xbf", b"\xff\xfe",
    b"- - SHA-512\n", b"SHA-512", b"linkinginfo", b"\n", b" ", b"\r\n", b"application/octet-stream",
)  # fmt: skip
_NAMES = (
    "attachment0", "attachment2", "attachment9999", "attachment01", "Message.xml", "message.xml/",
    "hashchain.xml", "hashchainresult.xml", "META-INF/", "META-INF/signatures2.xml", "a b", "é",
    "notes.txt", "../message.xml", "/message.xml", "C:message.xml", "META-INF\\manifest.xml", "",
)  # fmt: skip
_TOKEN = re.compile(rb"(<xades:Encapsulated\w+[^>]*>|<ds:X509Certificate>)([A-Za-z0-9+/=]+)<")

Files = dict[str, bytes]


@dataclasses.dataclass(frozen=True)
class Scene:
    """Good containers with the trust list that judges all of them, and what was signed in them."""

    conf: GlobalConf
    containers: tuple[bytes, ...]
    signed: frozenset[bytes]  # SHA-512 of messages and attachments

    def judge(self, raw: bytes) -> ContainerVerdict:
        try:
            container = parse_container(raw)
        except MalformedMessage as error:
            return unreadable(error)
        with suppress(EvidenceRejected):
            without = remove_timestamp(container.signature)
            assert remove_timestamp(insert_timestamp(without, b"token")) == without
        return self.judge_read(container)

    def judge_read(self, container: Container) -> ContainerVerdict:
        verdict = verify_container(container, self.conf, NOON)
        if verdict.verdict is Outcome.PASSED:
            digests = [attachment.digests[SHA512_URI] for attachment in container.attachments]
            assert {asic.Attachment.of(1, container.message).digests[SHA512_URI], *digests} <= (
                self.signed
            ), "something passed that was never signed"
        return verdict


@cache
def scene() -> Scene:
    signatory = Signatory()
    made = [make(signatory) for make in (plain, with_bodies, chained)]
    made += [stamped(signatory, each) for each in made[:3]]
    made += [batch_stamped(signatory, each) for each in made[:3]]
    containers = [build_container(each) for each in made]
    conf = signatory.conf
    folder = vectors_folder()
    if (folder / _RESOURCES).is_dir():
        containers += (path.read_bytes() for path in sorted((folder / _RESOURCES).glob("*.asice")))
        instances = {**load_configuration(folder / _CONF).instances, **conf.instances}
        conf = dataclasses.replace(conf, instances=MappingProxyType(instances))
    read = [parse_container(raw) for raw in containers]
    good = [each for each in read if verify_container(each, conf, NOON).verdict is Outcome.PASSED]
    signed = {asic.Attachment.of(1, each.message).digests[SHA512_URI] for each in good}
    signed |= {body.digests[SHA512_URI] for each in good for body in each.attachments}
    return Scene(conf, tuple(containers), frozenset(signed))


@cache
def _unpacked() -> tuple[Files, ...]:
    return tuple(_files_of(raw) for raw in scene().containers)


def _files_of(raw: bytes) -> Files:
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


# --- containers -----------------------------------------------------------------------------------


def grow_container(random: Random) -> bytes:
    """A sound ZIP of entries of which some were changed, taken from others, or are not there."""
    files = dict(random.choice(_unpacked()))
    for _ in range(random.choice((0, 1, 1, 1, 2, 4))):
        random.choice((_damage_entry, _damage_entry, _damage_value, _mix))(files, random)
    if random.random() < 0.8:
        _list_anew(files)
    return _packed(files, random)


def _damage_entry(files: Files, random: Random) -> None:
    name = random.choice(list(files))
    corpus = [*files.values()]
    files[name] = damage(files[name], WORDS, corpus, random)[:_LARGEST]


def _damage_value(files: Files, random: Random) -> None:
    """Change the DER of a certificate, an OCSP response or a time-stamp."""
    signature = files.get(asic.SIGNATURE, b"")
    values = list(_TOKEN.finditer(signature))
    if asic.TIMESTAMP in files and random.random() < 0.3:
        files[asic.TIMESTAMP] = damage(files[asic.TIMESTAMP], WORDS, [b"\x30"], random)[:_LARGEST]
    elif values:
        value = random.choice(values)
        with suppress(ValueError):
            der = damage(decode_base64(value[2].decode()), WORDS, [b"\x30"], random)[:_LARGEST]
            files[asic.SIGNATURE] = (
                signature[: value.start(2)]
                + encode_base64(der).encode()
                + signature[value.end(2) :]
            )


def _mix(files: Files, random: Random) -> None:
    """Lose an entry, take one of another container, give one another name."""
    other = random.choice(_unpacked())
    match random.randrange(4):
        case 0:
            files.pop(random.choice(list(files)))
        case 1:
            name = random.choice(list(other))
            files[name] = other[name]
        case 2:
            name = random.choice(list(files))
            files[random.choice((*_NAMES, *other))] = files.pop(name)
        case _:
            files[random.choice(_NAMES)] = random.choice(list(other.values()))
    files.setdefault("mimetype", CONTAINER_TYPE.encode())


def _list_anew(files: Files) -> None:
    """Manifests that fit, so that what is wrong is found elsewhere."""
    listed = [name for name in files if name != "mimetype" and not name.startswith("META-INF")]
    files[asic.MANIFEST] = build_manifest(listed)
    if asic.TIMESTAMP_CHAIN_RESULT in files:
        files[asic.ASIC_MANIFEST] = build_asic_manifest(files[asic.TIMESTAMP_CHAIN_RESULT])


def _packed(files: Files, random: Random) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.comment = CONTAINER_COMMENT
        for name, data in files.items():
            info = zipfile.ZipInfo(name or "x", (2026, 3, 2, 9, 15, 0))
            info.external_attr = 0o100644 << 16
            stored = name == "mimetype" or random.random() < 0.02
            info.compress_type = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
            archive.writestr(info, data)
    return target.getvalue()


def take_container(data: bytes, random: Random) -> None:
    verdict = scene().judge(data)
    _refuse(verdict.verdict, verdict.code, verdict.reason)


def _refuse(outcome: Outcome, code: str, reason: str) -> None:
    if outcome is not Outcome.PASSED:
        assert code
        assert reason
        raise MalformedMessage(reason, code)


# --- archives -------------------------------------------------------------------------------------


def grow_archive(random: Random) -> bytes:
    """One to three containers, damaged or not, chained as they are; then perhaps packed anew."""
    target = io.BytesIO()
    writer = ArchiveWriter(target, START)
    for number in range(random.choice((1, 2, 3))):
        good = random.random() < 0.8
        raw = random.choice(scene().containers) if good else grow_container(random)
        writer.add(f"id-request-{number}.asice", NOON, [raw])
    writer.finish()
    if random.random() < 0.5:
        return target.getvalue()
    files = _files_of(target.getvalue())
    for _ in range(random.choice((1, 1, 2))):
        random.choice((_damage_entry, _damage_linking, _mix))(files, random)
    return _packed(files, random)


def _damage_linking(files: Files, random: Random) -> None:
    linking = files.get("linkinginfo", b"- - SHA-512\n")
    files["linkinginfo"] = damage(linking, WORDS, [linking], random)[:_LARGEST]


def take_archive(data: bytes, random: Random) -> None:
    judge = scene().judge_read if random.random() < 0.7 else None
    report = judge_archive(
        io.BytesIO(data), spool=io.BytesIO, judge=judge, previous=random.choice((START, None))
    )
    _refuse(report.verdict, report.code, report.reason)


def _targets() -> Iterator[tuple[str, Callable[[], Target]]]:
    yield (
        "container",
        lambda: Target("container", scene().containers, WORDS, grow_container, take_container),
    )
    yield (
        "archive",
        lambda: Target(
            "archive",
            tuple(grow_archive(Random(number)) for number in range(20)),
            WORDS,
            grow_archive,
            take_archive,
        ),
    )


@pytest.mark.timeout(3600 if LONG else 300)
@pytest.mark.parametrize("target", [pytest.param(make, id=name) for name, make in _targets()])
def test_every_input_ends_in_a_verdict(target: Callable[[], Target]) -> None:
    made = target()
    account = run(made, COUNT, SEED)
    check(account, f"{made.name}, seed {SEED}: {account}")


def test_most_of_what_is_damaged_starts_from_something_good() -> None:
    outcomes = [scene().judge(raw).verdict for raw in scene().containers]
    assert outcomes.count(Outcome.PASSED) >= 9
    assert Outcome.INDETERMINATE not in outcomes
