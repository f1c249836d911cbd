"""An instance's declaration becomes records, and its mistakes are shown at their line."""

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from config.describe import describe_settings
from config.settings import load_settings
from tests.example_registry import example_records
from trust.errors import ConfigurationError
from trust.registry.declaration import RegistryDeclaration
from trust.registry.declaration_files import declaration_problems, load_records
from trust.registry.records import RegistryRecords

DECLARATION = """
instance = "TEST"

[management]
registration_url = "https://registry.example.test:4001/managementservice/"
registration_certificate_file = "certs/registration.der"
provider = "TEST:GOV:1000:MANAGEMENT"

[[member_classes]]
code = "GOV"
description = "Public sector"
[[member_classes]]
code = "COM"
description = "Companies"

[[members]]
member_class = "COM"
code = "2002"
name = "Consumer Ltd"
subsystems = [{ code = "portal" }]
[[members]]
member_class = "GOV"
code = "1000"
name = "Registry Authority"
[[members.subsystems]]
code = "MANAGEMENT"
name = "Management services"
[[members.subsystems]]
code = "persons"
name = "Civil register"

[[servers]]
id = "TEST:COM:2002:NODE2"
address = "node2.example.test"
auth_certificate_files = ["certs/node2.pem"]
clients = ["TEST:COM:2002:portal"]
disabled_clients = ["TEST:GOV:1000"]
maintenance = "Back at noon"
[[servers]]
id = "TEST:GOV:1000:NODE1"
address = "192.0.2.1"
auth_certificate_files = ["certs/node1.der"]
clients = ["TEST:GOV:1000:persons"]

[[certification_services]]
name = "Root CA"
certificate_file = "certs/root.der"
default_csr_format = "DER"
responders = [{ url = "http://root.example.test/ocsp" }]
[certification_services.acme]
directory_url = "https://acme.example.test/directory"
ip_address = "192.0.2.10"
auth_profile_id = "auth"
sign_profile_id = "sign"
[[certification_services.intermediates]]
certificate_file = "certs/issuing.der"
[[certification_services.intermediates.responders]]
url = "http://ocsp.example.test/"
certificate_file = "certs/ocsp.der"
cost = "PAID"

[[time_stamping_services]]
name = "TSA"
url = "http://tsa.example.test/"
certificate_file = "certs/tsa.der"
cost = "FREE"

[[groups]]
code = "readers"
description = "Who may read"
members = ["PEER:GOV:9", "TEST:COM:2002", "TEST:COM:2002:portal"]

[[federation]]
anchor_file = "peer.xml"

[[parts]]
identifier = "NEXTUPDATE"
file_name = "nextupdate-params.xml"
file = "nextupdate.xml"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with every file that the declaration names."""
    records = example_records()
    second, first = records.servers
    (service,) = records.certification_services
    (intermediate,) = service.intermediates
    files = {
        "registration": records.instance.registration_certificate,
        "node1": first.auth_certificates[0],
        "root": service.top.certificate,
        "issuing": intermediate.certificate,
        "ocsp": intermediate.responders[0].certificate,
        "tsa": records.time_stamping_services[0].certificate,
    }
    (tmp_path / "certs").mkdir()
    for name, content in files.items():
        (tmp_path / "certs" / f"{name}.der").write_bytes(content or b"")
    (tmp_path / "certs" / "node2.pem").write_bytes(_pem(second.auth_certificates[0]))
    (tmp_path / "peer.xml").write_bytes(records.federation[0].anchor)
    (tmp_path / "nextupdate.xml").write_bytes(records.parts[0].content)
    (tmp_path / "instance.toml").write_text(DECLARATION, encoding="utf-8")
    return tmp_path


def _pem(der: bytes) -> bytes:
    return x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM)


def read(folder: Path) -> RegistryRecords:
    path = folder / "instance.toml"
    return load_records(load_settings(RegistryDeclaration, path, check=declaration_problems))


def test_a_declaration_stands_for_the_records_it_describes(folder: Path) -> None:
    assert read(folder) == example_records()


def test_mistakes_in_files_and_references_are_shown_at_their_line(folder: Path) -> None:
    (folder / "certs" / "tsa.der").write_bytes(b"no certificate")
    (folder / "peer.xml").write_bytes(b"<anchor/>")
    (folder / "nextupdate.xml").unlink()
    changed = DECLARATION.replace('code = "COM"', 'code = "FOO"')
    (folder / "instance.toml").write_text(changed, encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        read(folder)
    lines = DECLARATION.splitlines()
    shown = [(lines[p.line - 1], p.found) for p in caught.value.problems]
    assert [line for line, _ in shown] == [
        'member_class = "COM"',
        'certificate_file = "certs/tsa.der"',
        'anchor_file = "peer.xml"',
        'file = "nextupdate.xml"',
    ]
    assert shown[1][1].startswith("'tsa.der': Certificate can't be read")
    assert shown[3][1] == "'nextupdate.xml': No such file or directory"


def test_an_unknown_client_is_shown_at_its_line(folder: Path) -> None:
    changed = DECLARATION.replace('clients = ["TEST:GOV:1000:persons"]', 'clients = ["A:B:1"]')
    (folder / "instance.toml").write_text(changed, encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        read(folder)
    (problem,) = caught.value.problems
    assert changed.splitlines()[problem.line - 1] == 'clients = ["A:B:1"]'
    assert problem.found == "MEMBER:A/B/1, which is not registered"


def test_an_empty_or_huge_file_is_refused(folder: Path) -> None:
    (folder / "certs" / "root.der").write_bytes(b"")
    (folder / "nextupdate.xml").write_bytes(bytes(2 << 20))
    with pytest.raises(ConfigurationError) as caught:
        read(folder)
    assert [p.expected for p in caught.value.problems] == ["1 to 1048576 bytes"] * 2


def test_a_file_lost_after_the_check_is_a_configuration_error(folder: Path) -> None:
    declaration = load_settings(RegistryDeclaration, folder / "instance.toml")
    (folder / "certs" / "tsa.der").unlink()
    with pytest.raises(ConfigurationError, match="time_stamping_services"):
        load_records(declaration)


def test_the_example_declaration_is_well_formed(folder: Path) -> None:
    text = describe_settings(RegistryDeclaration)
    (folder / "instance.toml").write_text(text, encoding="utf-8")
    declaration = load_settings(RegistryDeclaration, folder / "instance.toml")
    assert declaration.instance == "EX"
