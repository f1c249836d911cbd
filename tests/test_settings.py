"""Settings files become settings classes, and every mistake is shown where it stands."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.describe import describe_settings, settings_table
from config.settings import load_settings, parse_settings
from trust.errors import ConfigurationError, ConfigurationProblem
from trust.ids import ClientId, GlobalGroupId, ServerId, ServiceId
from trust.secrets import read_secret
from trust.settings import (
    Bounds,
    ByteSize,
    Matching,
    Port,
    SettingProblem,
    format_duration,
    parse_duration,
    required,
    setting,
)


class Colour(Enum):
    RED = "red"
    GREEN = "green"


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """Where records are kept."""

    dsn: str = required("address of the database", example="postgresql:///example")
    password_file: Path | None = setting(None, "file with the password")
    connections: Annotated[int, Bounds(1, 50)] = setting(10, "open at the same time")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listen:
    port: Port = setting(5500, "port for peers")
    keys: Path = setting(Path("keys"), "folder of the keys")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hosted:
    id: ClientId = required("who is hosted")
    tags: tuple[Annotated[str, Matching("[a-z]+", "in small letters")], ...] = setting((), "tags")


@dataclass(frozen=True, slots=True, kw_only=True)
class Everything:
    """One setting of each kind."""

    server: ServerId = required("the server", example="EX:GOV:1:SS")
    service: ServiceId | None = setting(None, "a service")
    group: GlobalGroupId | None = setting(None, "a group")
    patience: Annotated[timedelta, Bounds(timedelta(seconds=1), None)] = setting(
        timedelta(minutes=5), "longest wait"
    )
    size: ByteSize = setting(ByteSize(10 << 20), "largest body")
    share: float = setting(0.5, "of everything")
    strict: bool = setting(True, "whether to be strict")
    colour: Colour = setting(Colour.RED, "of the bicycle shed")
    form: Literal["PEM", "DER"] = setting("PEM", "of requests")
    names: dict[str, int] = setting({}, "numbers by name")
    store: Store = required("the database")
    listen: Listen = setting(Listen(), "for peers")
    other: Listen | None = setting(None, "for nobody yet")
    hosted: tuple[Hosted, ...] = setting((), "subsystems at this node")


SMALLEST = 'server = "EX:GOV:1:SS"\n[store]\ndsn = "postgresql:///a"\n'


def read(text: str, environment: dict[str, str] | None = None) -> Everything:
    return parse_settings(
        Everything, text, file="x.toml", folder=Path("/base"), environment=environment
    )


def problems(text: str, environment: dict[str, str] | None = None) -> list[tuple[int, str, str]]:
    with pytest.raises(ConfigurationError) as caught:
        read(text, environment)
    return [(p.line, p.found, p.expected) for p in caught.value.problems]


def test_defaults_hold_and_their_paths_start_at_the_folder_of_the_file() -> None:
    settings = read(SMALLEST)
    assert settings.server == ServerId(ClientId("EX", "GOV", "1"), "SS")
    assert settings.patience == timedelta(minutes=5)
    assert settings.listen == Listen(port=5500, keys=Path("/base/keys"))
    assert settings.other is None
    assert settings.store == Store(dsn="postgresql:///a", password_file=None, connections=10)


def test_every_kind_of_value_is_read() -> None:
    settings = read(
        """
        server = "EX:GOV:1:SS"
        service = "EX:GOV:1:SUB:list:v1"
        group = "EX:friends"
        patience = "250s"
        size = "64 KiB"
        share = 1
        strict = false
        colour = "green"
        form = "DER"
        names = { a = 1, b = 2 }
        store.dsn = "x"
        store.password_file = "/etc/secret"
        [other]
        port = 1
        [[hosted]]
        id = "EX:GOV:1"
        [[hosted]]
        id = "EX:GOV:1:SUB"
        tags = ["a", "b"]
        """
    )
    assert settings.service == ServiceId(ClientId("EX", "GOV", "1", "SUB"), "list", "v1")
    assert settings.group == GlobalGroupId("EX", "friends")
    assert settings.patience == timedelta(seconds=250)
    assert settings.size == 65536
    assert settings.share == 1.0
    assert settings.strict is False
    assert settings.colour is Colour.GREEN
    assert settings.form == "DER"
    assert settings.names == {"a": 1, "b": 2}
    assert settings.store.password_file == Path("/etc/secret")
    assert settings.other == Listen(port=1, keys=Path("/base/keys"))
    assert [hosted.id.colons for hosted in settings.hosted] == ["EX:GOV:1", "EX:GOV:1:SUB"]
    assert settings.hosted[1].tags == ("a", "b")


def test_all_problems_are_shown_at_once_each_with_its_line() -> None:
    found = problems(
        'patience = "0s"\nsice = 3\nsize = "10"\ncolour = "blue"\nstrict = "yes"\n'
        'names = {a = "x"}\nshare = true\nform = "TXT"\n[listen]\nport = 99999\n'
        '[store]\nconnections = 1.5\n[[hosted]]\nid = "a:b"\n[[hosted]]\ntags = ["a",\n "B"]\n'
        '[other]\nkeys = ""\nzzz = 1\n'
    )
    assert found == [
        (0, "no key 'server' in the file", "an identifier INSTANCE:CLASS:CODE:SERVER (the server)"),
        (1, "'0s'", 'a duration such as "30s", "5m", "2h", "1d", at least 1s'),
        (2, "unknown key 'sice'", "'size' (did you mean that?)"),
        (3, "'10'", 'a size such as "64 KiB", "10 MiB"'),
        (4, "'blue'", 'one of "red", "green"'),
        (5, "'yes'", "true or false"),
        (6, "'x'", "a whole number"),
        (7, "true", "a number"),
        (8, "'TXT'", 'one of "PEM", "DER"'),
        (10, "99999", "a whole number, 1 to 65535"),
        (11, "no key 'dsn' in [store]", "a text (address of the database)"),
        (12, "1.5", "a whole number, 1 to 50"),
        (14, "'a:b'", "an identifier INSTANCE:CLASS:CODE[:SUBSYSTEM]"),
        (
            15,
            "no key 'id' in this [[hosted]]",
            "an identifier INSTANCE:CLASS:CODE[:SUBSYSTEM] (who is hosted)",
        ),
        (17, "'B'", "a text, in small letters"),
        (19, "''", "a path"),
        (20, "unknown key 'zzz'", "one of port, keys"),
    ]


@pytest.mark.parametrize(
    ("text", "line", "found"),
    [
        ("a = \n", 1, "no TOML here: Invalid value"),
        ("a = 1\n\nb", 3, "no TOML here: Expected '=' after a key in a key/value pair"),
        ('a = "x', 1, "no TOML here: Unterminated string"),
        ("a = 1\na = 2\n", 2, "no TOML here: Cannot overwrite a value"),
        ("a = " + "[" * 5000, 0, "lists or tables nested too deeply"),
    ],
)
def test_a_file_that_is_no_toml_is_shown_where_it_ceases_to_be(
    text: str, line: int, found: str
) -> None:
    assert problems(text)[0][:2] == (line, found)


def test_tables_and_lists_are_not_mixed_up() -> None:
    assert problems(SMALLEST + "[hosted]\nid = 1\n") == [(4, "a table", "a list, of a table")]
    assert problems('hosted = ["x"]\nstore = 3\nserver = [1]\nnames = []\n') == [
        (1, "'x'", "a table"),
        (2, "3", "a table"),
        (3, "a list", "an identifier INSTANCE:CLASS:CODE:SERVER"),
        (4, "a list", "a table, with values of a whole number"),
    ]


def test_the_environment_wins_over_the_file_and_makes_tables() -> None:
    settings = read(
        SMALLEST,
        {
            "SACBE_STORE_DSN": "postgresql:///b",
            "SACBE_STORE_CONNECTIONS": "7",
            "SACBE_OTHER_PORT": "9",
            "SACBE_STRICT": "false",
            "SACBE_SHARE": "0.25",
            "SACBE_COLOUR": "green",
            "SACBE_FORM": "DER",
            "SACBE_UNRELATED": "x",
            "SACBE_SIZE": "1 GiB",
        },
    )
    assert settings.store.dsn == "postgresql:///b"
    assert settings.store.connections == 7
    assert settings.other == Listen(port=9, keys=Path("/base/keys"))
    assert (settings.strict, settings.share) == (False, 0.25)
    assert repr(settings.size) == "ByteSize(1073741824)"
    assert (settings.colour, settings.form) == (Colour.GREEN, "DER")


def test_a_problem_in_the_environment_names_the_variable() -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(SMALLEST, {"SACBE_LISTEN_PORT": "many"})
    assert caught.value.problems == (
        ConfigurationProblem("SACBE_LISTEN_PORT", 0, "'many'", "a whole number, 1 to 65535"),
    )


@pytest.mark.parametrize(
    "name", ["STRICT", "SHARE", "COLOUR", "FORM", "SERVER", "PATIENCE", "SIZE"]
)
def test_nonsense_in_the_environment_is_refused(name: str) -> None:
    assert problems(SMALLEST, {f"SACBE_{name}": "nonsense"})[0][:2] == (0, "'nonsense'")


def test_a_check_between_settings_is_shown_at_the_key_it_names() -> None:
    def check(settings: Everything) -> list[SettingProblem]:
        place = ("hosted", 1, "id")
        return [SettingProblem(place, str(settings.hosted[1].id), "another member")]

    text = SMALLEST + '[[hosted]]\nid = "A:B:1"\n[[hosted]]\n\nid = "A:B:2"\n'
    with pytest.raises(ConfigurationError) as caught:
        parse_settings(Everything, text, file="x", folder=Path(), check=check)
    assert caught.value.problems == (
        ConfigurationProblem("x", 8, "MEMBER:A/B/2", "another member"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    low: int = setting(1, "first")
    high: int = setting(2, "last")

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError("low up to high")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dated:
    day: date | None = setting(None, "a day")
    moment: datetime | None = setting(None, "a moment")


def test_days_and_moments_are_read_in_utc() -> None:
    read = parse_settings(
        Dated, "day = 2027-01-31\nmoment = 2027-01-31T08:00:00+02:00", file="f", folder=Path()
    )
    assert read == Dated(day=date(2027, 1, 31), moment=datetime(2027, 1, 31, 6, tzinfo=UTC))
    whole = parse_settings(Dated, "moment = 2027-01-31", file="f", folder=Path())
    assert whole.moment == datetime(2027, 1, 31, tzinfo=UTC)
    given = {"SACBE_DAY": "2027-01-31", "SACBE_MOMENT": "2027-01-31T06:00:00Z"}
    assert parse_settings(Dated, "", file="f", folder=Path(), environment=given) == read


@pytest.mark.parametrize(
    "text",
    [
        "day = 2027-01-31T08:00:00Z",
        'day = "2027-01-31"',
        "moment = 2027-01-31T08:00:00",
        "moment = 08:00:00",
        "moment = 0001-01-01T00:00:00+05:00",
    ],
)
def test_a_moment_that_may_be_any_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"f:1: .* a day such as 2027-01-31"):
        parse_settings(Dated, text, file="f", folder=Path())


def test_the_example_of_a_day_is_one() -> None:
    shown = describe_settings(Dated).replace("#day", "day").replace("#moment", "moment")
    read = parse_settings(Dated, shown, file="f", folder=Path())
    assert read == Dated(day=date(2027, 1, 31), moment=datetime(2027, 1, 31, 8, tzinfo=UTC))


def test_a_check_may_find_what_is_wrong_in_another_file() -> None:
    with pytest.raises(ConfigurationError) as refused:
        parse_settings(
            Dated,
            "day = 2027-01-31",
            file="f",
            folder=Path(),
            check=lambda _: [
                ConfigurationProblem("other", 1, "x", "y"),
                SettingProblem(("day",), "a", "b"),
            ],
        )
    assert [(p.file, p.line) for p in refused.value.problems] == [("f", 1), ("other", 1)]


def test_a_table_that_refuses_its_values_is_shown_with_its_reason() -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_settings(Range, "low = 9\n", file="x", folder=Path())
    assert [(p.found, p.expected) for p in caught.value.problems] == [
        ("a table that contradicts itself", "low up to high")
    ]


def test_a_type_that_no_file_can_hold_is_the_programmer_s_mistake() -> None:
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Wrong:
        key: set[int] = setting(set(), "a set")

    with pytest.raises(TypeError, match="can't be a setting"):
        parse_settings(Wrong, "", file="x", folder=Path())


def test_a_missing_or_unreadable_file_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        load_settings(Everything, tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b'a = "\xe9"')
    with pytest.raises(ConfigurationError, match="no UTF-8"):
        load_settings(Everything, tmp_path / "latin.toml")


def test_the_example_file_is_a_settings_file_that_says_everything(tmp_path: Path) -> None:
    example = describe_settings(Everything)
    (tmp_path / "example.toml").write_text(example, encoding="utf-8")
    settings = load_settings(Everything, tmp_path / "example.toml")
    assert settings.store.dsn == "postgresql:///example"
    everything = "\n".join(
        line.removeprefix("#") for line in example.splitlines() if "# " not in line
    )
    assert read(everything).hosted[0].tags == ()
    table = settings_table(Everything)
    for name in ("store.connections", "hosted.id", "patience"):
        assert f"`{name}`" in table
    assert "SACBE_STORE_CONNECTIONS" in table


@given(st.integers(0, 10**9 - 1), st.sampled_from(["d", "h", "m", "s", "ms"]))
def test_a_duration_is_written_as_it_is_read(count: int, unit: str) -> None:
    try:
        value = parse_duration(f"{count}{unit}")
    except ValueError:
        assert unit == "d"
    else:
        assert parse_duration(format_duration(value)) == value


@given(st.integers(0, 10**14), st.sampled_from([1, 1024, 1 << 20]))
def test_a_size_is_written_as_it_is_read(count: int, factor: int) -> None:
    size = ByteSize(count * factor)
    assert ByteSize.parse(str(size)) == size


@given(st.text(alphabet="0123456789 smhdKMGiBé", max_size=12))
def test_any_text_is_a_duration_or_a_size_or_refused(text: str) -> None:
    for parse in (parse_duration, ByteSize.parse):
        try:
            value = parse(text)
        except ValueError:
            continue
        assert text[0].isdigit()
        assert value is not None


def test_a_secret_loses_one_newline_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b" open sesame \n\n")
    path.chmod(0o600)
    assert read_secret(path) == b" open sesame \n"


@pytest.mark.parametrize(
    ("content", "mode", "found"),
    [
        (b"topsecret", 0o604, "mode 0604"),
        (b"\n", 0o600, "an empty file"),
        (b"x" * 65537, 0o600, "a larger file"),
    ],
)
def test_an_unfit_secret_is_refused_and_not_shown(
    tmp_path: Path, content: bytes, mode: int, found: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match=found) as caught:
        read_secret(path)
    assert "topsecret" not in str(caught.value)


def test_a_missing_secret_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        read_secret(tmp_path / "none")
