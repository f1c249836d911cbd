"""Good and bad receipts, each with the verdict that every verifier must give."""

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta

from node.messages.soap_hash import insert_request_hash
from tests.containers import stamped
from tests.pki import NOON, Pki
from tests.receipt_parts import (
    ANSWER,
    BODY,
    CONSUMER,
    PROVIDER,
    REQUEST,
    SERVER,
    Exchange,
    response_to,
)
from tests.signing import Signatory
from tests.soap_messages import Envelope, answer_to
from trust.digests import sha512
from trust.evidence.asic import Container, build_container
from trust.evidence.checkpoints import CheckpointOffer, InclusionProof
from trust.evidence.stamped_signature import remove_timestamp
from trust.ids import ServiceId
from trust.receipts.receipts import to_json
from trust.witness.announcement import build_announcement

PROOFS = ("log/request.proof", "log/response.proof", "log/key.asice")


@dataclass(frozen=True)
class Case:
    """A file, and what is to be said of it.

    Attributes:
        code: of the check that decided; empty when it passed.
    """

    name: str
    raw: bytes
    verdict: str
    code: str = ""


def cases(made: Exchange) -> Iterator[Case]:
    """One good receipt of each kind, then bad ones, each named for its defect."""
    yield Case("whole", made.receipt(), "passed")
    yield Case("without proof", made.receipt(without=PROOFS, without_proof="it waits"), "passed")
    alone = ("response.asice", "log/response.proof")
    yield Case("request alone", made.receipt(without=alone), "passed")
    yield Case("without statement", made.receipt(without=("exchange.json",)), "passed")
    yield Case("several references", _several_references(made).receipt(), "passed")
    yield from _soap(made)
    yield from _broken_files(made)
    yield from _wrong_messages(made)
    yield from _wrong_proofs(made)
    yield from _wrong_statements(made)
    yield from _wrong_trust(made)


def _several_references(made: Exchange) -> Exchange:
    other = Exchange(pki=made.pki)
    other.request = other.signed(CONSUMER, REQUEST, (BODY,), chain=False)
    return other


SOAP_REQUEST = Envelope(
    client=CONSUMER,
    service=ServiceId(PROVIDER, "getState", "v1"),
    message_id="soap-1",
    issue="2026/17",
    more="<repr:representedParty><repr:partyClass>COM</repr:partyClass>"
    "<repr:partyCode>77</repr:partyCode></repr:representedParty>",
).raw


def _soap(made: Exchange) -> Iterator[Case]:
    """The same questions of SOAP messages, which are read and hashed in another way."""
    right = insert_request_hash(answer_to(SOAP_REQUEST), "utf-8", sha512(SOAP_REQUEST))
    exchange = Exchange(SOAP_REQUEST, pki=made.pki)
    exchange.request = exchange.signed(CONSUMER, SOAP_REQUEST, (b"scan", b"letter"))
    exchange.response = exchange.signed(PROVIDER, right, (b"deed",))
    yield Case("SOAP", exchange.receipt(), "passed")
    other = insert_request_hash(answer_to(SOAP_REQUEST), "utf-8", sha512(b"another"))
    for name, answer in (
        ("SOAP answer to another request", other),
        ("SOAP answer without hash", answer_to(SOAP_REQUEST)),
        ("SOAP answer of another case id", right.replace(b"soap-1", b"soap-2")),
        ("SOAP answer of another service", right.replace(b">v1<", b">v2<")),
        ("SOAP answer hashed by SHA-1", right.replace(b"xmlenc#sha512", b"xmldsig#sha1")),
        ("SOAP answer with two hashes", _twice(right, rb"<xro:requestHash.*?</xro:requestHash>")),
        ("SOAP hash that is none", right.replace(b'sha512">', b'sha512">?')),
        ("SOAP hash with a comment", right.replace(b'sha512">', b'sha512"><!-- c -->')),
        ("REST answer to SOAP", response_to(SOAP_REQUEST, None)),
    ):
        response = build_container(exchange.signed(PROVIDER, answer))
        raw = exchange.receipt({"response.asice": response}, without=PROOFS)
        yield Case(name, raw, "failed", "inconsistent_response")
    two = SOAP_REQUEST.replace(b"<xro:issue>", b"<xro:issue>1</xro:issue><xro:issue>")
    request = build_container(exchange.signed(CONSUMER, two))
    raw = exchange.receipt({"request.asice": request}, without=PROOFS)
    yield Case("SOAP request with two cases", raw, "failed", "duplicate_header_field")


def _twice(text: bytes, pattern: bytes) -> bytes:
    return re.sub(b"(" + pattern + b")", rb"\1\1", text)


def _broken_files(made: Exchange) -> Iterator[Case]:
    good = made.receipt()
    yield Case("cut off", good[:-40], "failed", "asic_invalid_container")
    at = good.index(b"request.asice") + 200
    flipped = bytes([*good[:at], good[at] ^ 1, *good[at + 1 :]])
    yield Case("flipped byte in a container", flipped, "failed", "invalid_receipt")
    for name, changed in (
        ("entry that is not listed", _rezipped(good, {"log/more": b"x"})),
        ("entry that was changed", _rezipped(good, {"exchange.json": b"{}\n"})),
        ("entry that is missing", _rezipped(good, {"exchange.json": None})),
        ("manifest of another form", _remade(good, form="sacbe receipt 2")),
        ("manifest with more", _remade(good, more=1)),
        ("manifest in another spelling", _respelled(good)),
        ("packed container", _rezipped(good, {}, packed=True)),
        ("no request", _without_request(good)),
        ("unknown folder", _with_unknown_folder(good)),
    ):
        yield Case(name, changed, "failed", "invalid_receipt")
    nothing = made.receipt(without=[name for name in made.files if name.startswith("verif")])
    yield Case("no trust list", nothing, "failed", "malformed_global_conf")


def _wrong_messages(made: Exchange) -> Iterator[Case]:
    other = Exchange(REQUEST.replace(b"benefit-17", b"benefit-18"), pki=made.pki)
    wrong = made.receipt({"request.asice": build_container(other.request)})
    yield Case("request of another exchange", wrong, "failed", "inconsistent_response")
    body = made.signed(CONSUMER, REQUEST, (b"another body",))
    answers = made.receipt({"request.asice": build_container(body)}, without=PROOFS)
    yield Case("answer to another body", answers, "failed", "inconsistent_response")
    hashless = response_to(REQUEST, BODY).partition(b"x-road-request-hash")[0]
    silent = made.signed(PROVIDER, hashless, (ANSWER,))
    changed = made.receipt({"response.asice": build_container(silent)}, without=PROOFS)
    yield Case("answer without hash", changed, "failed", "inconsistent_response")
    swapped = made.receipt(
        {
            "request.asice": build_container(made.response),
            "response.asice": build_container(made.request),
        },
        without=PROOFS,
    )
    yield Case("request and response swapped", swapped, "failed", "inconsistent_receipt")
    impostor = made.signed(PROVIDER, REQUEST, (BODY,))
    forged = replace(impostor, message=impostor.message)
    by_another = made.receipt({"request.asice": build_container(forged)}, without=PROOFS)
    yield Case("request signed by another", by_another, "failed", "incorrect_certificate")
    altered = replace(made.response, message=made.response.message.replace(b"200", b"404"))
    broken = made.receipt({"response.asice": build_container(altered)}, without=PROOFS)
    code = "malformed_signature.invalid_hash_chain_ref"
    yield Case("altered response", broken, "failed", code)


def _wrong_proofs(made: Exchange) -> Iterator[Case]:
    proof = InclusionProof.parse(made.proof(4))
    for name, changed in (
        ("proof of another place", replace(proof, index=5)),
        ("proof too short", replace(proof, proof=proof.proof[:-1])),
        ("proof too long", replace(proof, proof=(*proof.proof, bytes(32)))),
        ("proof of another record", InclusionProof.parse(made.proof(5))),
    ):
        raw = made.receipt({"log/request.proof": changed.raw})
        yield Case(name, raw, "failed", "invalid_inclusion_proof")
    text = made.receipt({"log/request.proof": b"hello"})
    yield Case("no proof at all", text, "failed", "invalid_message")
    stranger = Exchange(pki=made.pki)
    others = stranger.receipt({"log/key.asice": made.announcement})
    yield Case("checkpoint by another key", others, "failed", "invalid_signature_value")
    unsigned = made.note.replace(b"\n\xe2\x80\x94 ", b"\n\xe2\x80\x94 x", 1)
    renamed = replace(proof, note=unsigned)
    raw = made.receipt({"log/request.proof": renamed.raw})
    yield Case("checkpoint without signature", raw, "failed", "invalid_signature_value")
    keyless = made.receipt(without=("log/key.asice",))
    yield Case("nobody's log", keyless, "indeterminate", "missing_log_key")
    offer = CheckpointOffer(0, (), made.note)
    message = build_announcement(SERVER, made.note_key, offer)
    by_wrong = made.signed(CONSUMER.member, message.replace(b"COM/2002\r\n", b"GOV/1001\r\n"))
    claimed = made.receipt({"log/key.asice": build_container(by_wrong)})
    yield Case("log announced by another", claimed, "failed", "invalid_client_identifier")
    plain = made.receipt({"log/key.asice": build_container(made.request)})
    yield Case("announcement that is none", plain, "failed", "invalid_message")
    no_response_proof = made.receipt(without=("log/response.proof",))
    yield Case("one proof of two", no_response_proof, "passed")
    orphan = _rezipped(made.receipt(), {"response.asice": None}, listed=True)
    yield Case("proof without its response", orphan, "failed", "invalid_receipt")


def _wrong_statements(made: Exchange) -> Iterator[Case]:
    for name, change in (
        ("another case", {"issue": "2026/18"}),
        ("another official", {"user": "EE49001010002"}),
        ("another consumer", {"client": "TEST/GOV/1001/other"}),
    ):
        raw = made.receipt({"exchange.json": to_json({**made.statement, **change})})
        yield Case(name, raw, "failed", "inconsistent_receipt")
    officialless = {k: v for k, v in made.statement.items() if k != "user"}
    raw = made.receipt({"exchange.json": to_json(officialless)})
    yield Case("official left out", raw, "failed", "inconsistent_receipt")
    later = to_json({**made.statement, "fields": ["birthDate"], "access": {"grant": "7"}})
    yield Case("statement with more", made.receipt({"exchange.json": later}), "passed")
    text = to_json({**made.statement, "more": "@"})
    for more in (b"1.0", b"1e3", b"-0", b"9007199254740993", b"NaN", b'"\\ud800"', b'"\\u0041"',
                 b'{"1": 2}', b'{"a": 1,"a": 1}', b"[]  ", b'"\\/"'):  # fmt: skip
        spelled = made.receipt({"exchange.json": text.replace(b'"@"', more)})
        yield Case(f"spelling {more.hex()}", spelled, "failed", "invalid_receipt")
    members: dict[str, object] = {
        "__proto__": {"user": "x"},
        "toString": "y",
        "null": None,
        "deep": [[{}], []],
    }
    for name, value in members.items():
        known = made.receipt({"exchange.json": to_json({**made.statement, name: value})})
        yield Case(f"member {name}", known, "passed")
    null = made.receipt({"exchange.json": b"null\n"})
    yield Case("statement that is none", null, "failed", "invalid_receipt")


def _wrong_trust(made: Exchange) -> Iterator[Case]:
    shared = "verificationconf/TEST/shared-params.xml"
    broken = made.receipt({shared: b"<conf/>"})
    yield Case("broken trust list", broken, "failed", "malformed_global_conf")
    foreign = Exchange(pki=Pki(instance="ELSE"))
    foreign.conf = replace(foreign.pki.conf(members={}), own_instance="ELSE")
    strange = made.receipt(
        {
            "verificationconf/instance-identifier": b"ELSE",
            "verificationconf/ELSE/shared-params.xml": made.files[shared].replace(
                b">TEST<", b">ELSE<"
            ),
            "verificationconf/ELSE/shared-params.xml.metadata": made.files[f"{shared}.metadata"],
        },
        without=(shared, f"{shared}.metadata"),
    )
    yield Case("trust list of another instance", strange, "indeterminate", "unknown_instance")
    stale = Signatory(made.pki, CONSUMER)
    late = stamped(stale, unstamped(made.request), NOON + timedelta(days=2))
    raw = made.receipt({"request.asice": build_container(late)}, without=PROOFS)
    code = "invalid_cert_path.incorrect_validation_info"
    yield Case("time-stamp long after the OCSP response", raw, "failed", code)


def unstamped(container: Container) -> Container:
    return replace(container, signature=remove_timestamp(container.signature))


# --- files written anew ---------------------------------------------------------------------------


def _entries(raw: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _zipped(entries: dict[str, bytes], *, packed: bool = False) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, data in entries.items():
            stored = name == "mimetype" or (name.endswith(".asice") and "/" not in name)
            info = zipfile.ZipInfo(name)
            info.compress_type = (
                zipfile.ZIP_STORED
                if stored and not (packed and name != "mimetype")
                else zipfile.ZIP_DEFLATED
            )
            info.create_system = 3
            info.external_attr = 0o100644 << 16
            archive.writestr(info, data)
    return target.getvalue()


def _rezipped(
    raw: bytes, changes: dict[str, bytes | None], *, packed: bool = False, listed: bool = False
) -> bytes:
    entries: dict[str, bytes | None] = {**_entries(raw), **changes}
    kept = {name: data for name, data in entries.items() if data is not None}
    if listed:
        manifest = json.loads(kept["receipt.json"])
        manifest["files"] = [item for item in manifest["files"] if item["name"] in kept]
        kept["receipt.json"] = to_json(manifest)
    return _zipped(kept, packed=packed)


def _remade(raw: bytes, **changes: object) -> bytes:
    manifest = {**json.loads(_entries(raw)["receipt.json"]), **changes}
    return _rezipped(raw, {"receipt.json": to_json(manifest)})


def _respelled(raw: bytes) -> bytes:
    manifest = json.loads(_entries(raw)["receipt.json"])
    return _rezipped(raw, {"receipt.json": json.dumps(manifest).encode()})


def _without_request(raw: bytes) -> bytes:
    return _rezipped(raw, {"request.asice": None}, listed=True)


def _with_unknown_folder(raw: bytes) -> bytes:
    manifest = json.loads(_entries(raw)["receipt.json"])
    manifest["files"].append({"name": "more/x", "sha512": hashlib.sha512(b"x").hexdigest()})
    return _rezipped(raw, {"receipt.json": to_json(manifest), "more/x": b"x"})
