"""A small real PKI for a given instant: CA, OCSP, TSA, certificates of members and servers.

    pki = Pki(at=NOON)                                 # P-256, profile Basic, instance TEST
    pki = Pki(NOON, intermediate=True, kind="rsa2048", profile=profiles.EJBCA)
    signer = pki.sign(ClientId("TEST", "GOV", "1"))    # Identity: .certificate, .key, .der
    server = pki.auth(ServerId(..., "SS1"))            # the same for a node
    good = pki.ocsp(signer.certificate)                # DER; fresh and good
    bad = pki.ocsp(signer.certificate, status=CertificateStatus.REVOKED)
    bad = pki.ocsp(signer.certificate, age=timedelta(days=1))       # stale; negative: future
    bad = pki.ocsp(signer.certificate, signer=pki.stranger)         # signed by nobody we know
    bad = pki.damaged_ocsp(signer.certificate)                      # signature doesn't verify
    token = pki.timestamp(b"data")                     # bare RFC 3161 token; pki.timestamp_reply
    conf = pki.conf(                                   # GlobalConf with this CA, OCSP and TSA
        members={ClientId("TEST", "GOV", "1"): ("portal",)},
        servers=[pki.server(server_id, server, clients=[...], address="127.0.0.1")],
    )
    chain = pki.chain                                  # intermediates presented behind a leaf
    signer.key.sign(data)                              # XML form; .key.private_key for TLS

Keys are made once per process and shared by all PKIs (`key(kind, label)`), so RSA stays cheap.
Use separate labels where two holders must differ; sign() and auth() use the id as label.
"""

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.x509.oid import NameOID

from scripts.issuing import (
    CertificateOrder,
    Identity,
    StatusAnswer,
    Use,
    build_ocsp_response,
    issue,
    plain_name,
)
from scripts.stamping import (
    TimestampRequest,
    build_imprint_request,
    build_timestamp_reply,
    build_timestamp_token,
)
from trust.globalconf import (
    ApprovedCa,
    ApprovedTsa,
    AuthorityCertificate,
    ConfigurationSource,
    GlobalConf,
    GlobalGroup,
    InstanceConf,
    Member,
    OcspResponder,
    PrivateParameters,
    Server,
    SharedParameters,
    Subsystem,
)
from trust.ids import ClientId, GlobalGroupId, ServerId
from trust.names import build_name
from trust.pki import profiles
from trust.pki.certificates import certificate_hash
from trust.pki.keys import KeyType, SoftwareKey, generate_key
from trust.pki.ocsp import CertificateStatus, build_ocsp_request
from trust.pki.subjects import Applicant, subject_for_auth, subject_for_sign

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@functools.cache
def key(kind: KeyType, label: str) -> SoftwareKey:
    """The key of that kind and label, the same in all tests of a process."""
    return generate_key(kind)


@dataclass
class Pki:
    """One instance's trust services, as they are at `at`."""

    at: datetime = NOON
    instance: str = "TEST"
    kind: KeyType = "p256"
    profile: str = profiles.BASIC
    intermediate: bool = False
    freshness_seconds: int = 3600
    root: Identity = field(init=False)
    authority: Identity = field(init=False)  # issues everything; the root or below it
    responder: Identity = field(init=False)  # issued by `authority` with EKU OCSPSigning
    tsa: Identity = field(init=False)
    stranger: Identity = field(init=False)  # self-signed, trusted by nobody

    def __post_init__(self) -> None:
        self.root = self.certify("Root CA", "ca", issuer=None, days=3650)
        self.authority = self.root
        if self.intermediate:
            self.authority = self.certify("Issuing CA", "ca", issuer=self.root, days=3000)
        self.responder = self.certify("OCSP", "ocsp")
        self.tsa = self.certify("TSA", "tsa")
        self.stranger = self.certify("Stranger", "ocsp", issuer=None)

    def certify(
        self,
        name: str | x509.Name,
        use: Use,
        *,
        issuer: Identity | str | None = "authority",
        days: float = 365,
        starts: datetime | None = None,
        kind: KeyType | None = None,
        label: str | None = None,
        dns_name: str | None = None,
        ocsp_url: str | None = None,
    ) -> Identity:
        """Issue any certificate; `issuer=None` makes it self-signed.

        Args:
            starts: first moment of validity; 30 days before `at` by default.
            days: from `at` on; negative for one that has expired by then.
            label: whose key; the name by default.
        """
        subject = plain_name(name) if isinstance(name, str) else name
        owner = key(kind or self.kind, label or subject.rfc4514_string())
        order = CertificateOrder(
            subject=subject,
            use=use,
            first=starts or self.at - 30 * DAY,
            last=self.at + days * DAY,
            dns_name=dns_name,
            ocsp_url=ocsp_url,
        )
        parent = self.authority if isinstance(issuer, str) else issuer
        certificate = issue(parent, owner.private_key.public_key(), order, owner)
        return Identity(certificate, owner)

    def applicant(self, member: ClientId, server: ServerId | None = None) -> Applicant:
        owner = ServerId(member.member, "SS1")
        return Applicant(member.member, server or owner, "Member", "XX", "ss1.example.test")

    def sign(self, member: ClientId, *, kind: KeyType | None = None, days: float = 365) -> Identity:
        """A signing certificate of a member (of the member owning a subsystem)."""
        proposal = subject_for_sign(self.profile, self.applicant(member))
        return self.certify(
            proposal.name, "sign", kind=kind, days=days, label=f"sign {member.member}"
        )

    def auth(self, server: ServerId, *, kind: KeyType | None = None, days: float = 365) -> Identity:
        proposal = subject_for_auth(self.profile, self.applicant(server.owner, server))
        return self.certify(
            proposal.name,
            "auth",
            kind=kind,
            days=days,
            label=f"auth {server}",
            dns_name=proposal.dns_name,
        )

    @property
    def chain(self) -> tuple[x509.Certificate, ...]:
        """What stands between a certificate and the root: the intermediate, or nothing."""
        return (self.authority.certificate,) if self.intermediate else ()

    def ocsp(
        self,
        certificate: x509.Certificate,
        *,
        status: CertificateStatus = CertificateStatus.GOOD,
        age: timedelta = timedelta(minutes=1),
        next_update: timedelta | None = timedelta(hours=1),
        signer: Identity | None = None,
        issuer: Identity | None = None,
        by_name: bool = True,
        embed: bool = True,
    ) -> bytes:
        """An OCSP response about a certificate.

        Args:
            age: of thisUpdate at `at`; negative for one from the future.
            next_update: from `at` on; None leaves it out.
            signer: the CA's responder by default.
            issuer: whose certificate it is; `authority` by default.
        """
        request = build_ocsp_request(certificate, (issuer or self.authority).certificate)
        revoked = status is CertificateStatus.REVOKED
        answer = StatusAnswer(
            status=status,
            this_update=self.at - age,
            next_update=None if next_update is None else self.at + next_update,
            revoked_at=self.at - DAY if revoked else None,
            responder_by_name=by_name,
            embed=embed,
        )
        return build_ocsp_response(request, signer or self.responder, answer)

    def damaged_ocsp(self, certificate: x509.Certificate) -> bytes:
        """A good response whose signature belongs to another one."""
        good = self.ocsp(certificate)
        other = self.ocsp(certificate, age=timedelta(minutes=2))
        old = x509.ocsp.load_der_ocsp_response(good).tbs_response_bytes
        new = x509.ocsp.load_der_ocsp_response(other).tbs_response_bytes
        assert len(old) == len(new)
        return good.replace(old, new)

    def timestamp_reply(self, data: bytes, *, at: datetime | None = None) -> bytes:
        """A TSA's whole reply over SHA-512 of the data, as a node asks for it."""
        request = TimestampRequest.parse(build_imprint_request(data))
        return build_timestamp_reply(request, self.tsa, 1, at or self.at)

    def timestamp(
        self,
        data: bytes,
        *,
        at: datetime | None = None,
        tsa: Identity | None = None,
        certificate: bool = False,
    ) -> bytes:
        """A bare token; `certificate` puts the TSA's certificate into it."""
        request = TimestampRequest.parse(build_imprint_request(data, certificate=certificate))
        return build_timestamp_token(request, tsa or self.tsa, 1, at or self.at)

    def approved_ca(self, *, responders_listed: bool = False) -> ApprovedCa:
        """This CA as the trust list has it, its responder listed by URL or with certificate."""
        certificate = self.responder.certificate if responders_listed else None
        responders = (OcspResponder("http://ocsp.example.test/", certificate),)
        issuing = AuthorityCertificate(self.authority.certificate, responders)
        top = AuthorityCertificate(self.root.certificate, ()) if self.intermediate else issuing
        return ApprovedCa(
            name="Test CA",
            authentication_only=False,
            top=top,
            intermediates=(issuing,) if self.intermediate else (),
            profile=self.profile,
        )

    def server(
        self,
        server: ServerId,
        *auth: Identity,
        clients: Iterable[ClientId] = (),
        address: str | None = "127.0.0.1",
    ) -> Server:
        """A registered server with its authentication certificates."""
        hashes = tuple(certificate_hash(one.certificate, "sha256") for one in auth)
        return Server(server, address, hashes, tuple(clients))

    def instance_conf(
        self,
        members: Mapping[ClientId, Sequence[str]] | None = None,
        servers: Iterable[Server] = (),
        groups: Mapping[str, Iterable[ClientId]] | None = None,
        *,
        approved_ca: ApprovedCa | None = None,
        valid_until: datetime | None = None,
    ) -> InstanceConf:
        shared = SharedParameters(
            instance=self.instance,
            version=6,
            sources=(
                ConfigurationSource("registry.example.test", (self.root.der,), (self.root.der,)),
            ),
            approved_cas=(approved_ca or self.approved_ca(),),
            approved_tsas=(ApprovedTsa("TSA", "http://tsa.example.test/", self.tsa.certificate),),
            members=tuple(_member(member, names) for member, names in (members or {}).items()),
            servers=tuple(servers),
            groups=tuple(
                GlobalGroup(GlobalGroupId(self.instance, code), code, frozenset(clients))
                for code, clients in (groups or {}).items()
            ),
            member_classes={"GOV": "Government", "COM": "Commercial"},
            ocsp_freshness_seconds=self.freshness_seconds,
        )
        private = PrivateParameters(
            instance=self.instance,
            federation_anchors=(),
            registration_url="https://registry.example.test:4001/managementservice/",
            registration_certificate=None,
            management_provider=ClientId(self.instance, "GOV", "0", "management"),
            time_stamping_interval_seconds=60,
        )
        return InstanceConf(shared, private, valid_until or self.at + timedelta(minutes=10))

    def conf(
        self,
        members: Mapping[ClientId, Sequence[str]] | None = None,
        servers: Iterable[Server] = (),
        groups: Mapping[str, Iterable[ClientId]] | None = None,
        *,
        approved_ca: ApprovedCa | None = None,
        valid_until: datetime | None = None,
        verify_next_update: bool = True,
        federated: Iterable[InstanceConf] = (),
        number: int = 1,
    ) -> GlobalConf:
        """A trust list of this PKI: members with their subsystem codes, servers, groups.

        `valid_until` is ten minutes after `at` unless given; `federated` adds other instances.
        """
        own = self.instance_conf(
            members, servers, groups, approved_ca=approved_ca, valid_until=valid_until
        )
        instances = {self.instance: own, **{one.shared.instance: one for one in federated}}
        return GlobalConf(
            self.instance, instances, verify_next_update=verify_next_update, number=number
        )


def _member(member: ClientId, codes: Sequence[str]) -> Member:
    ids = [
        ClientId(member.instance, member.member_class, member.member_code, code) for code in codes
    ]
    subsystems = tuple(Subsystem(one, one.subsystem_code) for one in ids)
    return Member(member, f"Member {member.member_code}", subsystems)


def name_of(**attributes: str) -> x509.Name:
    """A subject from short names, in order: `name_of(C="FI", O="x", CN="1")`."""
    kinds = {
        "C": NameOID.COUNTRY_NAME,
        "O": NameOID.ORGANIZATION_NAME,
        "OU": NameOID.ORGANIZATIONAL_UNIT_NAME,
        "CN": NameOID.COMMON_NAME,
        "serialNumber": NameOID.SERIAL_NUMBER,
        "businessCategory": NameOID.BUSINESS_CATEGORY,
        "organizationIdentifier": NameOID.ORGANIZATION_IDENTIFIER,
    }
    return build_name([(kinds[kind], value) for kind, value in attributes.items()])


__all__ = ["DAY", "NOON", "Identity", "Pki", "key", "name_of"]
