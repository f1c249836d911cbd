"""What stands in configuration XML, as tables: names, order, number, types, first version.

The tables say what X-Road's schemas say; the files themselves are not needed.
Source: trust.md 2, 6.1, 7; X-Road 7.8 globalconf/v2…v6/*.xsd, identifiers.xsd, monitoring-conf.xsd,
ocsp-fetchinterval-conf.xsd, ocsp-nextupdate-conf.xsd.
"""

from trust.configuration.confstructure import Attribute, Field, Simple, Structure
from trust.configuration.conftypes import (
    read_base64,
    read_boolean,
    read_id,
    read_integer,
    read_string,
    read_time,
)
from trust.ids import IDENTIFIERS_NAMESPACE


def one_of(*values: str) -> Simple:
    def read(text: str) -> str:
        if text not in values:
            raise ValueError(f"'{text[:40]}'")
        return text

    return Simple(read, "one of " + ", ".join(values))


STRING = Simple(read_string, "text")
BASE64 = Simple(read_base64, "base64")
BOOLEAN = Simple(read_boolean, "boolean")
SECONDS = Simple(read_integer, "number of seconds")
TIME = Simple(read_time, "time")
ID = Simple(read_id, "id")
COST_TYPE = one_of("FREE", "PAID", "UNDEFINED")
CSR_FORMAT = one_of("PEM", "DER")
OBJECT_TYPE = one_of("MEMBER", "SUBSYSTEM", "SERVER", "GLOBALGROUP", "LOCALGROUP", "SERVICE")
OBJECT_TYPE_NAME = f"{{{IDENTIFIERS_NAMESPACE}}}objectType"


def identifier_name(name: str) -> str:
    return f"{{{IDENTIFIERS_NAMESPACE}}}{name}"


def _maybe(name: str, kind: Simple | Structure, since: int = 2) -> Field:
    return Field(name, kind, least=0, since=since)


def _any(name: str, kind: Simple | Structure, since: int = 2) -> Field:
    return Field(name, kind, least=0, most=None, since=since)


def _some(name: str, kind: Simple | Structure, since: int = 2) -> Field:
    return Field(name, kind, least=1, most=None, since=since)


CLIENT_ID = Structure(
    (
        Field(identifier_name("xRoadInstance"), STRING),
        Field(identifier_name("memberClass"), STRING),
        Field(identifier_name("memberCode"), STRING),
        _maybe(identifier_name("subsystemCode"), STRING),
    ),
    (Attribute(OBJECT_TYPE_NAME, OBJECT_TYPE, required=True),),
)
_SERVICE_ID = Structure(
    (
        *CLIENT_ID.fields,
        Field(identifier_name("serviceCode"), STRING),
        _maybe(identifier_name("serviceVersion"), STRING),
    ),
    (Attribute(OBJECT_TYPE_NAME, one_of("SERVICE"), required=True),),
)
_SOURCE = Structure(
    (
        Field("address", STRING),
        _any("internalVerificationCert", BASE64),
        _any("externalVerificationCert", BASE64),
    )
)
_OCSP = Structure(
    (Field("url", STRING), _maybe("cert", BASE64), _maybe("costType", COST_TYPE, since=6))
)
_CA = Structure((Field("cert", BASE64), _any("ocsp", _OCSP)))
_ACME = Structure(
    (
        Field("directoryURL", STRING),
        _maybe("ipAddress", STRING),
        _maybe("authenticationCertificateProfileId", STRING, since=4),
        _maybe("signingCertificateProfileId", STRING, since=4),
    )
)
_APPROVED_CA = Structure(
    (
        Field("name", STRING),
        _maybe("authenticationOnly", BOOLEAN),
        Field("topCA", _CA),
        _any("intermediateCA", _CA),
        Field("certificateProfileInfo", STRING),
        _maybe("defaultCsrFormat", CSR_FORMAT, since=6),
        _maybe("acmeServer", _ACME, since=3),
    )
)
_APPROVED_TSA = Structure(
    (
        Field("name", STRING),
        Field("url", STRING),
        Field("cert", BASE64),
        _maybe("costType", COST_TYPE, since=6),
    )
)
_MEMBER_CLASS = Structure((Field("code", STRING), Field("description", STRING)))
_SUBSYSTEM = Structure(
    (Field("subsystemCode", STRING), _maybe("subsystemName", STRING, since=5)),
    (Attribute("id", ID),),
)
_MEMBER = Structure(
    (
        Field("memberClass", _MEMBER_CLASS),
        Field("memberCode", STRING),
        Field("name", STRING),
        _any("subsystem", _SUBSYSTEM),
    ),
    (Attribute("id", ID),),
)
_SERVER = Structure(
    (
        Field("owner", ID),
        Field("serverCode", STRING),
        _maybe("address", STRING),
        _any("authCertHash", BASE64),
        _any("client", ID),
        _maybe("inMaintenanceMode", Structure((_maybe("message", STRING),)), since=5),
    )
)
_GROUP = Structure(
    (
        Field("groupCode", STRING),
        Field("description", STRING),
        _any("groupMember", CLIENT_ID),
    )
)
SHARED_PARAMETERS = Structure(
    (
        Field("instanceIdentifier", STRING),
        _some("source", _SOURCE, since=3),
        _any("approvedCA", _APPROVED_CA),
        _any("approvedTSA", _APPROVED_TSA),
        _any("member", _MEMBER),
        _any("securityServer", _SERVER),
        _any("globalGroup", _GROUP),
        _any(
            "centralService",
            Structure((Field("serviceCode", STRING), _maybe("implementingService", _SERVICE_ID))),
        ),
        Field(
            "globalSettings",
            Structure((_any("memberClass", _MEMBER_CLASS), Field("ocspFreshnessSeconds", SECONDS))),
        ),
    ),
    open_since=3,
)
ANCHOR = Structure(
    (
        _maybe("generatedAt", TIME),
        Field("instanceIdentifier", STRING),
        _some(
            "source", Structure((Field("downloadURL", STRING), _some("verificationCert", BASE64)))
        ),
    )
)
PRIVATE_PARAMETERS = Structure(
    (
        Field("instanceIdentifier", STRING),
        _any("configurationAnchor", ANCHOR),
        Field(
            "managementService",
            Structure(
                (
                    Field("authCertRegServiceAddress", STRING),
                    _maybe("authCertRegServiceCert", BASE64),
                    Field("managementRequestServiceProviderId", CLIENT_ID),
                )
            ),
        ),
        Field("timeStampingIntervalSeconds", SECONDS),
    ),
    open_since=3,
)
MONITORING = Structure(
    (Field("monitoringClient", Structure((_maybe("monitoringClientId", CLIENT_ID),))),)
)
FETCH_INTERVAL = Structure((Field("ocspFetchInterval", SECONDS),))
NEXT_UPDATE = Structure((Field("verifyNextUpdate", BOOLEAN),))
