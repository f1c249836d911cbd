"""The `sacbe key` command, as an operator types it."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from scripts.authority import TestAuthority
from scripts.cli import main
from tests.pki import Pki
from trust.configuration.confpublish import build_private_parameters, build_shared_parameters
from trust.configuration.confset import ConfigurationSet, Part
from trust.configuration.confstore import save_set
from trust.globalconf import ApprovedCa, AuthorityCertificate
from trust.pki import profiles


class Desk:
    """An operator's folder: password file, key store, trust list, and a CA next door."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capsys = capsys
        self.now = datetime.now(UTC)
        self.authority = TestAuthority.open(folder / "ca", self.now)
        self.password = folder / "password"
        self.password.write_text("correct horse\n")
        self.password.chmod(0o600)
        self._publish()

    def _publish(self) -> None:
        top = AuthorityCertificate(self.authority.root.certificate, ())
        ca = ApprovedCa("CA", False, top, (), profiles.BASIC)
        conf = Pki(at=self.now).instance_conf(approved_ca=ca)
        assert conf.private is not None
        parts = (
            Part(
                "SHARED-PARAMETERS", "TEST", "shared-params.xml",
                build_shared_parameters(conf.shared), 6, conf.valid_until,
            ),
            Part(
                "PRIVATE-PARAMETERS", "TEST", "private-params.xml",
                build_private_parameters(conf.private), 6, conf.valid_until,
            ),
        )  # fmt: skip
        save_set(self.folder / "conf", ConfigurationSet("TEST", parts))

    def key(self, action: str, *words: str | Path) -> tuple[int, str, str]:
        store = ("--store", self.folder / "keys", "--password-file", self.password)
        code = main(["key", action, *map(str, words), *map(str, store)])
        printed = self._capsys.readouterr()
        return code, printed.out, printed.err

    def create(self, use: str) -> str:
        code, out, _ = self.key("create", "--use", use, "--label", f"the {use} key")
        assert code == 0
        return out.strip()

    def request(self, key: str, *words: str) -> tuple[int, str, str]:
        return self.key(
            "csr", key, "--profile", "Basic", "--server", "TEST:GOV:1:SS1", "--name", "Agency",
            "--out", self.folder / "request.pem", *words,
        )  # fmt: skip

    def certify(self, use: str) -> Path:
        request = (self.folder / "request.pem").read_bytes()
        certificate = self.authority.certify(request, "auth" if use == "auth" else "sign", self.now)
        path = self.folder / f"{use}.pem"
        path.write_bytes(certificate.public_bytes(Encoding.PEM))
        return path


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Desk:
    return Desk(tmp_path, capsys)


@pytest.mark.parametrize("use", ["auth", "sign"])
def test_a_key_goes_from_creation_to_its_certificate(desk: Desk, use: str) -> None:
    key = desk.create(use)
    code, _, _ = desk.request(key, "--country", "XX", "--dns", "ss1.example.test")
    assert code == 0
    request = x509.load_pem_x509_csr((desk.folder / "request.pem").read_bytes())
    assert "Agency" in request.subject.rfc4514_string()
    assert "certificate requested" in desk.key("list")[1]
    code, out, err = desk.key("import", desk.certify(use), "--conf", desk.folder / "conf")
    assert (code, err) == (0, "")
    assert "certified until" in out
    listed = desk.key("list")[1]
    assert f"{key}  {use}  EC secp256r1" in listed
    assert ("for MEMBER:TEST/GOV/1" in listed) is (use == "sign")


def test_a_configuration_that_cannot_be_read_is_told(desk: Desk) -> None:
    desk.request(desk.create("auth"), "--country", "XX", "--dns", "ss1.example.test")
    (desk.folder / "conf" / "TEST" / "shared-params.xml").write_bytes(b"<conf/>")
    code, _, err = desk.key("import", desk.certify("auth"), "--conf", desk.folder / "conf")
    assert code == 2
    assert "has no usable trust list of TEST" in err


def test_keys_are_listed_in_the_order_of_their_making(desk: Desk) -> None:
    made = [desk.create("auth"), *(desk.create("sign") for _ in range(3))]
    lines = desk.key("list")[1].splitlines()
    listed = [line.split()[0] for line in lines if not line.startswith(" ")]
    assert listed[0] == made[0]
    assert sorted(listed) == sorted(made)


def test_an_empty_store_says_so(desk: Desk) -> None:
    assert desk.key("list") == (0, "The store holds no keys.\n", "")


def test_a_key_can_be_switched_off(desk: Desk) -> None:
    key = desk.create("sign")
    assert desk.key("deactivate", key)[1] == f"{key}  no certificate, not active\n"
    assert desk.key("activate", key)[1] == f"{key}  no certificate\n"


def test_a_wrong_password_is_one_sentence(desk: Desk) -> None:
    desk.create("sign")
    desk.password.write_text("battery staple\n")
    code, out, err = desk.key("list")
    assert (code, out) == (2, "")
    assert "The password doesn't open key" in err
    assert err.count("\n") == 1
    assert "battery" not in err


def test_a_password_file_that_all_can_read_is_refused(desk: Desk) -> None:
    desk.password.chmod(0o644)
    code, _, err = desk.key("list")
    assert code == 2
    assert "open to every user" in err


def test_a_certificate_for_the_wrong_use_is_refused_with_its_code(desk: Desk) -> None:
    desk.request(desk.create("sign"), "--country", "XX", "--dns", "ss1.example.test")
    code, _, err = desk.key("import", desk.certify("auth"), "--conf", desk.folder / "conf")
    assert code == 1
    assert "wrong_cert_usage" in err


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("csr", "0123"), "has no key '0123'"),
        (("activate", "0123"), "has no key '0123'"),
        (("import", "nowhere.pem", "--conf", "nowhere"), "can't be read"),
    ],
)
def test_what_does_not_exist_is_named(desk: Desk, words: tuple[str, ...], text: str) -> None:
    if words[0] == "csr":
        code, _, err = desk.request(words[1])
    else:
        code, _, err = desk.key(*words)
    assert code == 2
    assert text in err


def test_a_request_without_a_needed_value_is_refused(desk: Desk) -> None:
    key = desk.create("sign")
    code, _, err = desk.request(key)
    assert code == 2
    assert "countryName; they come from --name, --country and --dns" in err


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--profile", "Nobody", "Unknown certificate profile 'Nobody'; known are "),
        ("--server", "TEST:GOV:1", "'TEST:GOV:1' is no INSTANCE:CLASS:CODE:SERVER"),
        ("--member", "TEST", "'TEST' is no INSTANCE:CLASS:CODE"),
    ],
)
def test_what_can_not_be_asked_for_is_bad_usage(
    desk: Desk, capsys: pytest.CaptureFixture[str], option: str, value: str, said: str
) -> None:
    key = desk.create("sign")
    with pytest.raises(SystemExit) as ended:
        desk.request(key, option, value)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_a_request_goes_only_where_it_can_be_written(desk: Desk) -> None:
    key = desk.create("sign")
    words = ("--country", "XX", "--dns", "a.test", "--out", "/proc/nowhere/request.pem")
    code, out, err = desk.request(key, *words)
    assert (code, out) == (2, "")
    assert err == "sacbe key: /proc/nowhere/request.pem: No such file or directory\n"
