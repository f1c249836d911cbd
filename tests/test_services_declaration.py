"""`services.toml`: what it stands for, and everything that may be wrong with it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from catalog.declared.declaration import ServicesDeclaration, declaration_problems, hosted_clients
from catalog.services import (
    AccessRight,
    ClientStatus,
    ConnectionType,
    Endpoint,
    HostedClient,
    LocalGroup,
    Service,
    ServiceType,
)
from config.settings import parse_settings
from trust.errors import ConfigurationError
from trust.ids import ClientId, GlobalGroupId, LocalGroupId, ServiceId

EXAMPLE = """
[[clients]]
id = "EX:GOV:1000:persons"
certificate_files = ["system.pem"]

[[clients.local_groups]]
code = "clerks"
description = "Everybody at a desk"
members = ["EX:GOV:2000:portal", "EX:GOV:3000"]

[[clients.services]]
code = "persons"
url = "https://127.0.0.1:9000/api"
timeout = "10s"
endpoints = ["GET /persons/*", "post /persons"]

[[clients.services]]
code = "register"
version = "v1"
type = "WSDL"
url = "http://127.0.0.1:9001/"
disabled = "Back at noon"

[[clients.access]]
service = "persons"
client = "EX:GOV:2000:portal"

[[clients.access]]
service = "persons"
local_group = "clerks"
endpoints = ["GET /persons/*", "* /open/**"]

[[clients.access]]
service = "register"
global_group = "EX:municipalities"

[[clients]]
id = "EX:GOV:1000"
status = "saved"
connection = "HTTP"
"""
PERSONS = ClientId("EX", "GOV", "1000", "persons")


@pytest.fixture
def certificate(tmp_path: Path) -> bytes:
    """A self-signed certificate, also in `system.pem`; the DER is given."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "system")])
    start = datetime(2026, 1, 1, tzinfo=UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 7, start, start + timedelta(days=9))
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    (tmp_path / "system.pem").write_bytes(made.public_bytes(Encoding.PEM))
    return made.public_bytes(Encoding.DER)


def read(text: str, folder: Path) -> ServicesDeclaration:
    return parse_settings(
        ServicesDeclaration, text, file="services.toml", folder=folder, check=declaration_problems
    )


def test_the_example_stands_for_its_clients(tmp_path: Path, certificate: bytes) -> None:
    persons, member = hosted_clients(read(EXAMPLE, tmp_path))
    assert persons == HostedClient(
        PERSONS,
        certificates=(certificate,),
        services=(
            Service(
                ServiceId(PERSONS, "persons"),
                ServiceType.REST,
                "https://127.0.0.1:9000/api",
                timedelta(seconds=10),
                certificates=(certificate,),
                endpoints=(Endpoint("GET", "/persons/*"), Endpoint("POST", "/persons")),
            ),
            Service(
                ServiceId(PERSONS, "register", "v1"),
                ServiceType.WSDL,
                "http://127.0.0.1:9001/",
                certificates=(certificate,),
                notice="Back at noon",
            ),
        ),
        local_groups=(
            LocalGroup(
                "clerks",
                "Everybody at a desk",
                frozenset({ClientId("EX", "GOV", "2000", "portal"), ClientId("EX", "GOV", "3000")}),
            ),
        ),
        rights=(
            AccessRight(ClientId("EX", "GOV", "2000", "portal"), "persons"),
            AccessRight(LocalGroupId("clerks"), "persons", Endpoint("GET", "/persons/*")),
            AccessRight(LocalGroupId("clerks"), "persons", Endpoint("*", "/open/**")),
            AccessRight(GlobalGroupId("EX", "municipalities"), "register"),
        ),
    )
    assert member == HostedClient(
        ClientId("EX", "GOV", "1000"), ClientStatus.SAVED, ConnectionType.HTTP
    )


def test_an_empty_declaration_hosts_nobody(tmp_path: Path) -> None:
    assert hosted_clients(read("", tmp_path)) == ()


@pytest.mark.parametrize(
    ("old", "new", "found", "expected"),
    [
        ('"EX:GOV:1000"\n', '"EX:GOV:1000:persons"\n', "a second time", "each once"),
        ('"EX:GOV:1000:persons"', '"EX:GOV:1000:per;sons"', "per;sons", "without control"),
        ('code = "persons"', 'code = "listMethods"', "'listMethods'", "does not answer"),
        ('code = "persons"', 'code = "per%sons"', "'per%sons'", "without control characters"),
        ('code = "persons"', 'code = " "', "' '", "1 to 255 characters"),
        ('type = "WSDL"', 'type = "REST"', "'v1'", "no version"),
        ('version = "v1"', 'version = ""', "''", "a version, or no such key"),
        ('code = "register"\nversion = "v1"\ntype = "WSDL"', 'code = "persons"', "second", "once"),
        ("https://127.0.0.1:9000/api", "ftp://h/", "'ftp://h/'", "begins with http"),
        ("https://127.0.0.1:9000/api", "http://", "'http://'", "begins with http"),
        ("https://127.0.0.1:9000/api", "http://h:99999/", "99999", "begins with http"),
        ("https://127.0.0.1:9000/api", "http://h/?q=1", "?q=1", "without query"),
        ("https://127.0.0.1:9000/api", "http://u:secret@h/", "a password", "without user name"),
        ('["system.pem"]', "[]", "a client without certificates", "verify_tls = false"),
        ('["system.pem"]', '["none.pem"]', "none.pem", "DER or PEM"),
        ('"10s"', '"0s"', "0s", "duration"),
        ('service = "register"', 'service = "x"', "'x'", "a service of this client: persons, reg"),
        ('local_group = "clerks"', 'local_group = "x"', "'x'", "a local group of this client: cl"),
        ('local_group = "clerks"\n', "", "contradicts itself", "exactly one of client, global"),
        ('"* /open/**"', '"/open/**"', "/open/**", "GET /persons"),
        ('"* /open/**"', '"GET open"', "GET open", "GET /persons"),
        ('"v1"\ntype = "WSDL"', '"v1"\ntype = "WSDL"\nendpoints = ["GET /a"]', "endpoints", "none"),
        ('members = ["EX:GOV:2000:portal"', 'members = ["EX:GOV"', "EX:GOV", "identifier"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("certificate")
def test_what_is_wrong_is_told_with_its_line(
    old: str, new: str, found: str, expected: str, tmp_path: Path
) -> None:
    assert old in EXAMPLE
    with pytest.raises(ConfigurationError) as refused:
        read(EXAMPLE.replace(old, new, 1), tmp_path)
    problem = refused.value.problems[0]
    assert problem.line > 0
    assert found in problem.found
    assert expected in problem.expected


@pytest.mark.usefixtures("certificate")
def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    text = (
        EXAMPLE.replace("https://127.0.0.1:9000/api", "x")
        .replace("system.pem", "none.pem")
        .replace('service = "register"', 'service = "x"')
    )
    with pytest.raises(ConfigurationError) as refused:
        read(text, tmp_path)
    assert len(refused.value.problems) == 3


def test_a_password_in_an_address_is_not_repeated(tmp_path: Path) -> None:
    text = EXAMPLE.replace("https://127.0.0.1:9000/api", "http://u:secret@h/")
    with pytest.raises(ConfigurationError) as refused:
        read(text, tmp_path)
    assert "secret" not in str(refused.value)


def test_a_declaration_that_was_not_checked_is_refused_too(tmp_path: Path) -> None:
    declaration = parse_settings(ServicesDeclaration, EXAMPLE, file="x", folder=tmp_path)
    with pytest.raises(ConfigurationError, match=r"system\.pem"):
        hosted_clients(declaration)
