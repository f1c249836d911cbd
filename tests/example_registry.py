"""The records of a small instance that has one of everything a registry keeps."""

from datetime import timedelta
from functools import cache

from cryptography.hazmat.primitives.serialization import Encoding

from tests.pki import NOON, Pki
from trust.configuration.confpublish import build_anchor, build_next_update
from trust.globalconf import Anchor, AnchorSource
from trust.ids import ClientId, ServerId
from trust.pki import profiles
from trust.registry.records import (
    AcmeRecord,
    AuthorityRecord,
    CertificationServiceRecord,
    CostType,
    FederationRecord,
    GroupRecord,
    HostedRecord,
    InstanceRecord,
    MemberClassRecord,
    MemberRecord,
    PartRecord,
    RegistryRecords,
    ResponderRecord,
    ServerRecord,
    SubsystemRecord,
    TimeStampingServiceRecord,
)

PKI = Pki(NOON, intermediate=True)
OPERATOR = ClientId("TEST", "GOV", "1000")
COMPANY = ClientId("TEST", "COM", "2002")
PORTAL = ClientId("TEST", "COM", "2002", "portal")
PERSONS = ClientId("TEST", "GOV", "1000", "persons")
MANAGEMENT = ClientId("TEST", "GOV", "1000", "MANAGEMENT")
FIRST = ServerId(OPERATOR, "NODE1")
SECOND = ServerId(COMPANY, "NODE2")


@cache  # a certificate has another serial number each time
def example_records() -> RegistryRecords:
    """Two members, two servers, one CA with an intermediate, one TSA, one of the rest."""
    return RegistryRecords(
        instance=InstanceRecord(
            instance="TEST",
            ocsp_freshness=timedelta(hours=1),
            time_stamping_interval=timedelta(minutes=1),
            registration_url="https://registry.example.test:4001/managementservice/",
            registration_certificate=PKI.auth(FIRST).der,
            management_provider=MANAGEMENT,
        ),
        member_classes=(
            MemberClassRecord("GOV", "Public sector"),
            MemberClassRecord("COM", "Companies"),
        ),
        members=(
            MemberRecord("COM", "2002", "Consumer Ltd", (SubsystemRecord("portal"),)),
            MemberRecord(
                "GOV",
                "1000",
                "Registry Authority",
                (
                    SubsystemRecord("MANAGEMENT", "Management services"),
                    SubsystemRecord("persons", "Civil register"),
                ),
            ),
        ),
        servers=(
            ServerRecord(
                SECOND,
                "node2.example.test",
                (PKI.auth(SECOND).der,),
                (HostedRecord(PORTAL), HostedRecord(OPERATOR, enabled=False)),
                maintenance="Back at noon",
            ),
            ServerRecord(FIRST, "192.0.2.1", (PKI.auth(FIRST).der,), (HostedRecord(PERSONS),)),
        ),
        certification_services=(_certification_service(),),
        time_stamping_services=(
            TimeStampingServiceRecord(
                "TSA", "http://tsa.example.test/", PKI.tsa.der, CostType.FREE
            ),
        ),
        groups=(
            GroupRecord("readers", "Who may read", (ClientId("PEER", "GOV", "9"), COMPANY, PORTAL)),
        ),
        federation=(FederationRecord("PEER", _peer_anchor()),),
        parts=(PartRecord("NEXTUPDATE", "nextupdate-params.xml", build_next_update(True)),),
    )


def _certification_service() -> CertificationServiceRecord:
    responder = ResponderRecord("http://ocsp.example.test/", PKI.responder.der, CostType.PAID)
    return CertificationServiceRecord(
        name="Root CA",
        profile=profiles.BASIC,
        authentication_only=False,
        top=AuthorityRecord(PKI.root.der, (ResponderRecord("http://root.example.test/ocsp"),)),
        intermediates=(AuthorityRecord(PKI.authority.der, (responder,)),),
        default_csr_format="DER",
        acme=AcmeRecord("https://acme.example.test/directory", "192.0.2.10", "auth", "sign"),
    )


def _peer_anchor() -> bytes:
    certificate = PKI.stranger.certificate.public_bytes(Encoding.DER)
    source = AnchorSource("http://registry.peer.test/externalconf", (certificate,))
    return build_anchor(Anchor("PEER", (source,), NOON))
