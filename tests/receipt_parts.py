"""Receipts for tests: an exchange between two members of a small PKI, logged and announced.

made = Exchange()
raw = made.receipt()                                   # whole: proofs, announcement, directory
raw = made.receipt(without=("log/key.asice",))         # and what is left out or replaced
raw = made.receipt({"exchange.json": b"…"})
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.containers import attached, stamped
from tests.pki import NOON, Pki
from tests.signing import Signatory
from trust.base64text import encode_base64
from trust.configuration.confdirectory import Directory, DirectoryEntry, build_directory
from trust.configuration.confparts import SHARED_PARAMETERS_ID
from trust.configuration.confpublish import build_shared_parameters
from trust.digests import sha512
from trust.evidence.asic import Container, build_container
from trust.evidence.checkpoints import Checkpoint, CheckpointOffer, InclusionProof
from trust.evidence.container_leaf import leaf_of_container
from trust.evidence.exchange_facts import read_facts
from trust.evidence.merkle import Subtree, build_inclusion, root_of
from trust.evidence.notes import NoteKey, NoteKeyKind
from trust.globalconf import Anchor, AnchorSource, GlobalConf
from trust.ids import ClientId, ServerId
from trust.receipts.receipt_trust import trust_list_files
from trust.receipts.receipt_verdict import facts_as_json
from trust.receipts.receipts import to_json, write_receipt
from trust.witness.announcement import build_announcement, log_origin, sign_checkpoint

CONSUMER = ClientId("TEST", "GOV", "1001", "portal")
PROVIDER = ClientId("TEST", "COM", "2002", "registry")
SERVER = ServerId(PROVIDER.member, "SS1")
BODY = b'{"person":"38001010001"}'
ANSWER = b'{"name":"Mari Maasikas"}'
REQUEST = (
    b"POST\r\n/r1/TEST/COM/2002/registry/people\r\nx-road-client:TEST/GOV/1001/portal\r\n"
    b"x-road-id:benefit-17\r\nx-road-request-id:7e0c\r\nx-road-userid:EE38001010001\r\n"
    b"x-road-issue:2026/17\r\n"
)
ACCESS = {
    "rights": [
        {
            "subject": "SUBSYSTEM:TEST/GOV/1001/portal",
            "endpoint": "* **",
            "granted_at": "2026-01-05T10:00:00Z",
        }
    ],
    "as_of": "2026-11-21T12:00:00Z",
}


def response_to(request: bytes, body: bytes | None, *lines: str) -> bytes:
    """The signed head of an answer to a REST request."""
    hashed = sha512(request) if body is None else sha512(sha512(request) + sha512(body))
    head = (
        "200",
        "OK",
        "x-road-client:TEST/GOV/1001/portal",
        "x-road-service:TEST/COM/2002/registry/people",
        "x-road-id:benefit-17",
        "x-road-request-id:7e0c",
        f"x-road-request-hash:{encode_base64(hashed)}",
        *lines,
    )
    return "".join(f"{line}\r\n" for line in head).encode()


@dataclass
class Exchange:
    """One exchange with everything that a receipt of the provider's node holds."""

    request_message: bytes = REQUEST
    pki: Pki = field(default_factory=Pki)
    log_key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    @cached_property
    def conf(self) -> GlobalConf:
        conf = self.pki.conf(members={CONSUMER.member: ("portal",), PROVIDER.member: ("registry",)})
        raw = build_shared_parameters(conf.own.shared)
        return replace(conf, instances={"TEST": replace(conf.own, shared_raw=raw)})

    def signed(
        self,
        sender: ClientId,
        message: bytes,
        bodies: tuple[bytes, ...] = (),
        *,
        chain: bool = True,
    ) -> Container:
        """A message with its signature and a time-stamp."""
        signatory = Signatory(self.pki, sender)
        parts = {"/message.xml": message} | {
            f"/attachment{n}": body for n, body in enumerate(bodies, 1)
        }
        signed = signatory.chained(parts) if bodies and chain else signatory.direct(parts)
        container = Container(
            message,
            signed.signature,
            signed.hash_chain_result,
            signed.hash_chain,
            attachments=attached(bodies),
            time=NOON,
        )
        return stamped(signatory, container)

    @cached_property
    def request(self) -> Container:
        return self.signed(CONSUMER, self.request_message, (BODY,))

    @cached_property
    def response(self) -> Container:
        return self.signed(PROVIDER, response_to(self.request_message, BODY), (ANSWER,))

    @property
    def note_key(self) -> NoteKey:
        public = self.log_key.public_key().public_bytes_raw()
        return NoteKey(log_origin(SERVER), NoteKeyKind.LOG, public)

    @cached_property
    def leaves(self) -> list[bytes]:
        """Those of a log in which the exchange has the numbers 4 and 5."""
        own = [leaf_of_container(self.request), leaf_of_container(self.response)]
        others = [bytes([number]) * 32 for number in range(9)]
        return [*others[:4], *own, *others[4:]]

    @cached_property
    def note(self) -> bytes:
        checkpoint = Checkpoint(log_origin(SERVER), len(self.leaves), root_of(self.leaves))
        return sign_checkpoint(checkpoint, self.note_key, NOON, self.log_key.sign).raw

    def proof(self, index: int) -> bytes:
        def node(subtree: Subtree) -> bytes:
            start = subtree.index << subtree.level
            return root_of(self.leaves[start : start + (1 << subtree.level)])

        hashes = build_inclusion(index, len(self.leaves), node)
        return InclusionProof(index, hashes, self.note).raw

    @cached_property
    def announcement(self) -> bytes:
        offer = CheckpointOffer(0, (), self.note)
        message = build_announcement(SERVER, self.note_key, offer)
        return build_container(self.signed(PROVIDER.member, message))

    # --- the trust list ---------------------------------------------------------------------------

    @property
    def anchor(self) -> Anchor:
        source = AnchorSource("http://registry.example.test/internalconf", (self.pki.root.der,))
        return Anchor("TEST", (source,))

    @cached_property
    def directory(self) -> bytes:
        raw = self.conf.own.shared_raw
        entry = DirectoryEntry(
            SHARED_PARAMETERS_ID, "TEST", "/V6/20261121/shared-params.xml", sha512(raw)
        )
        directory = Directory(NOON, 6, (entry,))
        return build_directory(
            directory, self.pki.root.key, self.pki.root.der, boundaries=("a" * 20, "b" * 20)
        )

    # --- the receipt ------------------------------------------------------------------------------

    @property
    def statement(self) -> dict[str, object]:
        return facts_as_json(read_facts(self.request_message)) | {
            "exchange_id": "7e0c",
            "side": "provider",
            "access": ACCESS,
        }

    @cached_property
    def files(self) -> dict[str, bytes]:
        """All but the containers."""
        trust = trust_list_files(self.conf, ["TEST"])
        return {
            "exchange.json": to_json(self.statement),
            **{f"verificationconf/{name}": raw for name, raw in trust.items()},
            "signed/TEST/directory": self.directory,
            "log/request.proof": self.proof(4),
            "log/response.proof": self.proof(5),
            "log/key.asice": self.announcement,
        }

    def receipt(
        self,
        changed: Mapping[str, bytes] | None = None,
        *,
        without: Sequence[str] = (),
        without_proof: str = "",
    ) -> bytes:
        given = {
            **self.files,
            "request.asice": build_container(self.request),
            "response.asice": build_container(self.response),
            **(changed or {}),
        }
        kept = {name: raw for name, raw in given.items() if name not in without}
        request = io.BytesIO(kept.pop("request.asice"))
        answer = kept.pop("response.asice", None)
        target = io.BytesIO()
        write_receipt(
            target,
            request,
            None if answer is None else io.BytesIO(answer),
            kept,
            issuer=SERVER.path,
            without_proof=without_proof,
        )
        return target.getvalue()
