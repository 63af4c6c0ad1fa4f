"""The settings of the command line: their precedence, where the key is sent, and mistakes in the file."""

from __future__ import annotations

import pytest

from luma_async import ConfigurationError
from luma_async.cli import config
from luma_async.cli.headers import headers_for
from luma_async.cli.main import main, make_parser
from luma_async.cli.options import (
    address_of,
    default_journal,
    dialect_of,
    open_session,
    resume_command,
    set_default_journal,
)
from luma_async.testing import FakeGateway, file_bytes, stalls

OFFICIAL = "https://api.lumalabs.ai"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A home without settings, and an environment without them either."""
    for name in ("API_KEY", "BASE_URL", "DIALECT", "EDITION", "JOURNAL", "ACCESS_TOKEN", "USER_ID", "HEADERS"):
        monkeypatch.delenv(f"LUMA_{name}", raising=False)
    monkeypatch.delenv("LUMAAI_API_KEY", raising=False)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    config._read.cache_clear()
    return tmp_path


@pytest.fixture
def write(home):
    """Write the file, for its owner only."""

    def file(text, mode=0o600):
        path = home / "config" / "luma-async" / "config.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        path.chmod(mode)
        config._read.cache_clear()
        return path

    return file


def typed(*options):
    """Return what these options say, as `wait` takes them."""
    arguments = make_parser("wait").parse_args(["wait", "g-1", *options])
    set_default_journal(arguments)
    return arguments


def url(arguments):
    return address_of(arguments.base_url, dialect_of(arguments))[0]


def key(*options):
    arguments = typed(*options)
    return address_of(arguments.base_url, dialect_of(arguments))[1]


# Precedence

SETTINGS = {
    "base_url": ("--base-url", "LUMA_BASE_URL", url, ["https://a.example", "https://b.example", "https://c.example"]),
    "dialect": ("--dialect", "LUMA_DIALECT", lambda given: dialect_of(given).name, ["rixapi", "dream-machine"] * 2),
    "edition": ("--edition", "LUMA_EDITION", lambda given: dialect_of(given).edition, ["2024", "2025"] * 2),
    "journal": ("--journal", "LUMA_JOURNAL", lambda given: str(given.journal), ["/x/a.db", "/x/b.db", "/x/c.db"]),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_precedence(write, monkeypatch, name):
    """A flag comes before the environment, and the environment before the file."""
    flag, variable, read, (first, second, third, *_) = SETTINGS[name]
    write(f'{name} = "{third}"')
    assert read(typed()) == third
    monkeypatch.setenv(variable, second)
    assert read(typed()) == second
    assert read(typed(flag, first)) == first


def test_defaults(home):
    """Without settings there is no address, the edition that a request needs, and a journal in the state folder."""
    assert (url(typed()), dialect_of(typed()).name, dialect_of(typed()).edition) == (None, "rixapi", None)
    assert typed().journal == default_journal() == home / ".local" / "state" / "luma-async" / "jobs.db"


@pytest.mark.parametrize(
    ("written", "where"),
    [
        ("~/mine.db", "mine.db"),
        ("mine.db", "config/luma-async/mine.db"),
        ("/x/y.db", "/x/y.db"),
        ("~nobody-of-this-name/y.db", "config/luma-async/~nobody-of-this-name/y.db"),
    ],
)
def test_journal_path_in_file(write, home, written, where):
    """A journal in the settings file is the same file from every working directory."""
    write(f'journal = "{written}"')
    assert typed().journal == home / where


async def test_file_only(write, gateway, command, home):
    """The settings file alone is enough to buy a video, and its key is never printed."""
    write(f'base_url = "{gateway.base_url}/"\napi_key = "{gateway.api_key}"\njournal = "mine.db"\n')
    code, out, err = await command("generate", "cat dance", "-o", "cat.mp4")
    assert (code, out) == (0, "cat.mp4\n"), err
    assert (home / "elsewhere" / "cat.mp4").read_bytes() == file_bytes()
    assert (home / "config" / "luma-async" / "mine.db").exists()
    assert gateway.api_key not in err


# Where the key is sent

RELAY = 'base_url = "https://a.example"\napi_key = "sk-filed"\n'
KEYS = {
    "the file's address": (RELAY, {}, [], "sk-filed"),
    "the same, typed": (RELAY, {}, ["--base-url", "https://a.example/"], "sk-filed"),
    "the same, in the environment": (RELAY, {"LUMA_BASE_URL": "https://A.example:443"}, [], "sk-filed"),
    "another, typed": (RELAY, {}, ["--base-url", "https://b.example"], None),
    "another, in the environment": (RELAY, {"LUMA_BASE_URL": "https://b.example"}, [], None),
    "another port": (RELAY, {}, ["--base-url", "https://a.example:8443"], None),
    "another path": (RELAY, {}, ["--base-url", "https://a.example/b"], None),
    "Luma itself": (RELAY, {}, ["--base-url", OFFICIAL], None),
    "a key without an address": ('api_key = "sk-filed"', {}, ["--base-url", "https://a.example"], None),
    "a key without an address, at Luma": ('api_key = "sk-filed"', {}, ["--dialect", "dream-machine"], None),
    "a key of Luma's": ('api_key = "luma-1"\ndialect = "dream-machine"', {}, [], "luma-1"),
    "a key of Luma's, at a relay": (
        'api_key = "luma-1"\ndialect = "dream-machine"',
        {},
        ["--base-url", "https://a.example"],
        None,
    ),
    "a key in the environment": (RELAY, {"LUMA_API_KEY": "sk-mine"}, [], None),
    "an empty one": (RELAY, {"LUMA_API_KEY": " "}, [], "sk-filed"),
    "another service's": (RELAY, {"LUMAAI_API_KEY": "luma-2"}, [], "sk-filed"),
    "Luma's in the environment": (
        'api_key = "luma-1"\ndialect = "dream-machine"',
        {"LUMAAI_API_KEY": "luma-2", "LUMA_API_KEY": "sk-mine"},
        [],
        None,
    ),
}


@pytest.mark.parametrize("name", KEYS)
def test_key_of_file(write, monkeypatch, name):
    """The file's key is sent only to the file's address; None leaves the key to the environment."""
    text, environment, options, expected = KEYS[name]
    write(text)
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    assert key(*options) == expected


async def test_key_of_file_elsewhere(write, gateway, command):
    """With another address, the command asks for a key and does not send the file's key."""
    write('base_url = "https://a.example"\napi_key = "sk-fake"\n')
    code, _, err = await command("wait", "g-1", "--base-url", gateway.base_url)
    assert (code, "LUMA_API_KEY" in err) == (2, True)
    assert gateway.counts.total() == 0


@pytest.mark.parametrize("named_by", ["the environment", "the file"])
async def test_journal_of_another_relay(write, gateway, command, monkeypatch, named_by):
    """The key of one relay is not sent to another relay in the journal, unless `--base-url` is typed."""
    gateway.scripts["slow"] = stalls()
    monkeypatch.setenv("LUMA_BASE_URL", gateway.base_url)
    monkeypatch.setenv("LUMA_API_KEY", gateway.api_key)
    code, _, _ = await command("generate", "slow", "--timeout", "0.1")
    assert code == 3
    asked = gateway.counts.total()
    async with FakeGateway(api_key="sk-other") as other:
        monkeypatch.setenv("LUMA_API_KEY", other.api_key)
        if named_by == "the file":
            write(f'base_url = "{other.base_url}"\n')
            monkeypatch.delenv("LUMA_BASE_URL")
        else:
            monkeypatch.setenv("LUMA_BASE_URL", other.base_url)
        code, _, err = await command("resume")
        assert code == 2
        assert f"--base-url {gateway.base_url}" in err
    assert gateway.counts.total() == asked


# Mistakes in the file

MISTAKES = {
    "not TOML": ("base_url = ", "is not valid TOML"),
    "not a text": (b"base_url = \xff", "is not valid TOML"),
    "no such setting": (
        'base-url = "https://a.example"',
        "unknown setting base-url. Known settings: api_key",
    ),
    "a number": ("edition = 2025", "edition must be a quoted string"),
    "a table": ('[relay]\nbase_url = "https://a.example"', "unknown setting relay"),
    "no such format": ('dialect = "rix"', "dialect must be one of rixapi, dream-machine, agents, not 'rix'"),
    "no address": ('base_url = "relay"', "--base-url must be an address"),
    "a key sent unencrypted": ('base_url = "http://relay.example"\napi_key = "sk-1"', "unencrypted"),
}


@pytest.mark.parametrize("name", MISTAKES)
async def test_invalid_settings(write, command, name):
    """A mistake in the settings is exit code 2 with one line that says what is wrong and where."""
    text, words = MISTAKES[name]
    path = write(text)
    with_path = name not in {"no such format", "no address", "a key sent unencrypted"}
    code, _, err = await command("wait", "g-1")
    assert (code, words in err, str(path) in err) == (2, True, with_path)
    assert (err.startswith("luma-async: "), len(err.splitlines())) == (True, 1)


async def test_help_with_invalid_file(write, capsys):
    """`--help` works although the settings file is invalid."""
    write("base_url = ")
    for name in ("status", "generate", "batch"):
        with pytest.raises(SystemExit) as stopped:
            main([name, "--help"])
        assert stopped.value.code == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
async def test_key_readable_by_others(write, command, mode):
    """A key in a file that others can read is refused with the command that fixes it."""
    path = write(RELAY, mode)
    code, _, err = await command("wait", "g-1")
    assert (code, f"chmod 600 {path}" in err, "sk-filed" in err) == (2, True, False)
    path.chmod(0o600)
    config._read.cache_clear()
    assert key() == "sk-filed"


def test_mode_without_key(write):
    """A settings file without a key may be readable by others."""
    write('base_url = "https://a.example"', 0o644)
    assert url(typed()) == "https://a.example"


def test_unreadable_file(home):
    """A settings file that cannot be read is an error and not skipped."""
    (home / "config" / "luma-async" / "config.toml").mkdir(parents=True)
    with pytest.raises(ConfigurationError, match=r"Cannot read .*config\.toml"):
        config.configured("base_url")


async def test_journal_folder_fails(home, command, monkeypatch):
    """The message has the path and the flag to use instead, and nothing is sent."""
    (home / "file").touch()
    monkeypatch.setenv("LUMA_BASE_URL", "https://a.example")
    monkeypatch.setenv("LUMA_API_KEY", "sk-1")
    code, _, err = await command("wait", "g-1", "--journal", home / "file" / "jobs.db")
    assert (code, "--journal" in err, str(home / "file") in err) == (1, True, True)


# Headers

SERVICE, ANOTHER = "https://relay.example", "https://other.example"


@pytest.mark.parametrize(
    ("base_url", "environment", "file", "options", "expected"),
    [
        (SERVICE, {}, "", ["--header", "X-Password: hunter22"], {"X-Password": "hunter22"}),
        (SERVICE, {}, "", ["--header", "A:1", "--header", "B: 2:3"], {"A": "1", "B": "2:3"}),
        (SERVICE, {"LUMA_HEADERS": "A: 1\n\nB: 2\n"}, "", [], {"A": "1", "B": "2"}),
        (SERVICE, {"LUMA_HEADERS": "A: 1\nB: 2"}, "", ["--header", "a:3"], {"a": "3", "B": "2"}),
        (SERVICE, {"LUMA_HEADERS": "A: 1", "LUMA_BASE_URL": f"{SERVICE}/"}, "", [], {"A": "1"}),
        (SERVICE, {"LUMA_HEADERS": "A: 1", "LUMA_BASE_URL": ANOTHER}, "", [], {}),
        (OFFICIAL, {"LUMA_HEADERS": "A: 1"}, "", [], {}),
        (SERVICE, {}, f'base_url = "{SERVICE}"\nheaders = "A: 1"', [], {"A": "1"}),
        (ANOTHER, {}, f'base_url = "{SERVICE}"\nheaders = "A: 1"', [], {}),
        (ANOTHER, {"LUMA_BASE_URL": ANOTHER}, f'base_url = "{SERVICE}"\nheaders = "A: 1"', [], {}),
        (SERVICE, {"LUMA_HEADERS": "A: 1"}, f'base_url = "{ANOTHER}"', [], {}),
        (SERVICE, {}, 'headers = "A: 1"', [], {}),
    ],
)
def test_headers_of_a_service(write, monkeypatch, base_url, environment, file, options, expected):
    """Headers of the environment and the file are only sent to the address that is set there; typed ones come first."""
    write(file)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert headers_for(base_url, typed(*options).header or ()) == expected


async def test_password_header_reaches_the_relay(write, monkeypatch, tmp_path):
    """A header is sent with each request to the service, and is in no command to paste."""
    async with FakeGateway() as gateway:
        monkeypatch.setenv("LUMA_API_KEY", gateway.api_key)
        words = ["generate", "a cat", "--base-url", gateway.base_url, "--header", "X-Password: hunter22"]
        arguments = make_parser("generate").parse_args(words)
        set_default_journal(arguments)
        async with open_session(arguments) as luma:
            await luma.submit("a cat")
        assert gateway.requests[0].headers["X-Password"] == "hunter22"
        assert "X-Password:VALUE" in resume_command(arguments, "wait", "g-1")
        assert "hunter22" not in resume_command(arguments, "wait", "g-1") + repr(arguments)


@pytest.mark.parametrize("value", ["hunter22", ":hunter22"])
def test_header_without_a_name(value, capsys):
    """An error about `--header` does not repeat the value, which may be a password."""
    with pytest.raises(SystemExit):
        typed("--header", value)
    assert "must have the form NAME:VALUE" in (shown := capsys.readouterr().err)
    assert "hunter22" not in shown


def test_headers_of_a_readable_file(write):
    """A file with headers that others can read is refused."""
    write('headers = "A: 1"', mode=0o644)
    with pytest.raises(ConfigurationError, match="contains headers, but others can read it"):
        typed()


@pytest.mark.parametrize("value", ["hunter22", "A: 1\nhunter22"])
def test_headers_without_a_colon(monkeypatch, value):
    """The error about a line of LUMA_HEADERS names the variable and does not repeat the line."""
    monkeypatch.setenv("LUMA_HEADERS", value)
    with pytest.raises(ConfigurationError, match=r"^LUMA_HEADERS: each line must have the form NAME:VALUE") as caught:
        headers_for(SERVICE, ())
    assert "hunter22" not in str(caught.value)


def test_file_with_byte_order_mark(write):
    """A byte order mark, which editors of Windows write, is no part of the file."""
    write(b'\xef\xbb\xbfdialect = "dream-machine"\n')
    assert dialect_of(make_parser("account").parse_args(["account"])).name == "dream-machine"
