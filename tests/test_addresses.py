"""Addresses that people write: every option and setting that takes one says what is wrong and what is wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import pytest
from click.testing import CliRunner

from node.addresses import (
    AddressError,
    RedisAddress,
    database_address,
    listening_host,
    node_address,
    redis_address,
    without_password,
)
from node.cli import main
from node.cli.addresses import ASKED, DIALLED, LISTENING, SEEN, TARGET, Address, Misread
from node.config.reading import parse
from node.config.sources import keys
from node.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

NO_NODE = (
    "hub:8001",
    "hub",
    "",
    "wsws://hub:8001",
    "ftp://hub",
    "ws://",
    "ws://hub:0",
    "ws://hub:65536",
    "ws://hub:x",
)
NO_NODE += (
    "ws://[::1",
    "ws://hub:1?x=1",
    "ws://hub:1#x",
    "ws://hub:1 ",
    "ws://hu\tb:1",
    "ws://hüb:1",
    "ws:\\\\hub:1",
)
NO_HOST = ("ws://hub", "hub:8001", "[::1]:8001", "[::1]", "hub/x", "a b")
NO_DATABASE = ("relatorios", "http://hub/x", "mysql://hub/x", "POSTGRES", "://", "")

NO_SHARED = (*NO_DATABASE, "redis:", "redis://", "redis://hub:0", "redis://hub:x", "redis://hub/x", "redis://hub/-1")
NO_SHARED += ("redis://hub#x", "redis://hub?x=1", "rediss://hub?ssl_ca_certs=", "redis://hub?ssl_ca_certs=x")
NO_SHARED += ("rediss://hub?ssl_certfile=x", "rediss://h b", "unix:///run/redis.sock")

KINDS = {ASKED: NO_NODE, SEEN: NO_NODE, DIALLED: (*NO_NODE, "ws://hub:1/x"), LISTENING: NO_HOST}
KINDS[TARGET] = ("http://hub/x", "mysql://hub/x", "://")

ADDRESSES = {"--url", "--against", "--at", "--upstream", "--peer", "--host", "--to", "url"}
"""Options and arguments that are addresses. Where two commands give one name to an address and to something else, the
something else stands in ELSEWISE."""

ELSEWISE = {("export", "--at"), ("tls create", "--host"), ("show", "--at")}
"""A time; and what a certificate is made for, which says itself what is no name."""

TEXTS = {"--ca", "--client-cert", "--client-key", "--data", "--day", "--day-begins", "--delimiter", "--encoding"}
TEXTS |= {"--expires", "--id", "--key", "--label", "--map", "--office", "--only", "--operate", "--read", "--reason"}
TEXTS |= {"--resolve", "--restore", "--set", "--site", "--start", "--table", "--terminal", "--terminal-type"}
TEXTS |= {"--tls-cert", "--tls-client-ca", "--tls-key", "--type", "--until", "--user", "--write", "--zone", "code"}
TEXTS |= {"conflict_id", "entity_id", "entity_type", "field", "fingerprint", "message", "name", "node", "publication"}
TEXTS |= {"site", "terminal_id"}
"""Options and arguments that are text, and no address."""

SETTINGS = {
    "node.host": ('[node]\nhost = "{}"\n', "[node] host", NO_HOST),
    "listen": ('[[listen]]\nhost = "{}"\n', "[[listen]] host", NO_HOST),
    "links.upstream": ('[links]\nupstream = "{}"\n', "[links] upstream", (*NO_NODE, "ws://hub:1/x")),
    "links.peers": ('[links]\npeers = ["{}"]\n', "[links] peers", NO_NODE),
    "links.office": ('[node]\nsite = "loja"\n[links]\noffice = "{}"\n', "[links] office", NO_NODE),
    "links.at": ('[links.at."{}"]\ntoken = "x"\n', "[links.at]", NO_NODE),
    "hubs.address": ('[hubs]\naddress = "{}"\n', "[hubs] address", NO_NODE),
    "hubs.database": ('[hubs]\ndatabase = "{}"\n', "[hubs] database", NO_SHARED),
}
"""Settings that are addresses: the file with one, how it is named, and what it refuses."""

TEXT_SETTINGS = {"node.id", "node.site", "node.data", "node.engine", "node.machine", "time.zone", "links.token"}
TEXT_SETTINGS |= {
    "links.may_speak_for",
    "locks.broken_by",
    "tls.certificate",
    "tls.key",
    "tls.client_ca",
    "terminals",
}
TEXT_SETTINGS |= {"backup.folder", "backup.second_folder", "log.format", "entities", "conservation"}
TEXT_SETTINGS |= {"http.origins", "http.proxies"}
"""Settings with text that are no address of a node or a database."""


def parameters(group: click.Group = main, *words: str) -> Iterator[tuple[str, click.Command, click.Parameter]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from parameters(command, *words, name)
        else:
            yield from ((" ".join((*words, name)), command, parameter) for parameter in command.params)


OPTIONS = [(words, one.opts[0]) for words, _, one in parameters() if isinstance(one.type, Address)]


def test_every_option_that_is_text_is_read_as_an_address_or_known_to_be_none() -> None:
    for words, _, one in parameters():
        name = one.opts[0]
        if isinstance(one.type, Address):
            assert name in ADDRESSES, (words, name)
        elif one.type is click.STRING:
            known = name in TEXTS or (words, name) in ELSEWISE
            assert known, f"comanda {words} {name}: is it an address?"


def test_every_setting_that_is_text_is_read_as_an_address_or_known_to_be_none() -> None:
    texts = {str(key) for key in keys() if "str" in str(key.kind) or not key.name}
    assert texts == SETTINGS.keys() | TEXT_SETTINGS


@pytest.mark.parametrize(("words", "name"), OPTIONS)
def test_an_option_says_what_is_wrong_with_its_address(words: str, name: str) -> None:
    said = [f"{name}=wsws://hub/x y"] if name.startswith("-") else ["wsws://hub/x y"]
    result = CliRunner().invoke(main, [*words.split(), *said])
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith(f"Error: {name if name.startswith('-') else name.upper()}: 'wsws://hub/x y' ")
    assert result.stderr.count("\n") == 1
    assert "://HOST" in result.stderr or "://USER@HOST" in result.stderr or "192.0.2.1" in result.stderr


@pytest.mark.parametrize("kind", KINDS, ids=["asked", "seen", "dialled", "listening", "target"])
def test_each_kind_of_address_refuses_what_is_none(kind: Address) -> None:
    for wrong in KINDS[kind]:
        with pytest.raises(Misread, match=r" / .*: \S"):
            kind.convert(wrong, None, None)


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_setting_says_what_is_wrong_with_its_address(setting: str) -> None:
    text, named, refused = SETTINGS[setting]
    for wrong in refused:
        with pytest.raises(ConfigError) as caught:
            parse(text.format(wrong.replace("\\", "\\\\")), "comanda.toml")
        said = str(caught.value)
        assert said.startswith(f"comanda.toml: {named}: {wrong!r} "), said
        assert "; it is like " in said


@pytest.mark.parametrize(("of", "alike"), [("ws://hub:1", "http://hub:1"), ("wss://hub", "HTTPS://hub/")])
def test_http_and_websocket_are_one_address(of: str, alike: str) -> None:
    assert node_address(of) == node_address(alike)
    assert node_address(alike).ws == of
    assert node_address(of).http == of.replace("ws", "http", 1)
    for kind in (ASKED, SEEN, DIALLED):
        assert kind.convert(of, None, None) == kind.convert(alike, None, None)
    for setting in ("links.upstream", "links.peers", "links.office"):
        configs = [parse(SETTINGS[setting][0].format(url)) for url in (of, alike)]
        assert configs[0].links.dialled() == configs[1].links.dialled()
    named = parse(SETTINGS["links.at"][0].format(alike)).links
    assert named.address(of).token == "x"
    with pytest.raises(ConfigError, match=r"\[links\.at\] names a node twice"):
        parse("".join(SETTINGS["links.at"][0].format(url) for url in (of, alike)))
    with pytest.raises(ConfigError, match="it cannot be a peer too"):
        parse(f'[links]\nupstream = "{of}"\npeers = ["{alike}"]\n')


def test_what_stands_in_an_address_is_kept() -> None:
    behind = node_address("https://office.example/comanda/", behind=True)
    assert (behind.http, behind.ws) == ("https://office.example/comanda", "wss://office.example/comanda")
    assert (behind.host, behind.port, behind.path) == ("office.example", 443, "/comanda")
    six = node_address("ws://[2001:db8::1]:8001")
    assert (six.host, six.port, six.ws) == ("2001:db8::1", 8001, "ws://[2001:db8::1]:8001")
    for host in ("localhost", "0.0.0.0", "::", "2001:db8::1", "hub.local"):
        assert listening_host(host) == host
    for database in ("postgresql://u@h/x", "postgres:///x?host=/run", "postgresql://a,b/x", "host=/run dbname=x"):
        assert database_address(database) == database


def test_a_redis_is_read_in_its_parts() -> None:
    assert redis_address("redis://hub") == RedisAddress(False, "hub", 6379)
    assert redis_address("valkey://[::1]:7000/3/") == RedisAddress(False, "::1", 7000, 3)
    files = "ssl_ca_certs=/a%20b&ssl_certfile=c&ssl_keyfile=k"
    assert redis_address(f"REDISS://me:p%2F%40s@hub:1?{files}") == RedisAddress(
        True, "hub", 1, 0, "me", "p/@s", "/a b", "c", "k"
    )
    assert "p/@s" not in repr(redis_address("rediss://me:p%2F%40s@hub"))


@pytest.mark.parametrize("secret", ["secret", "se/secret", "se@secret", "se?secret", "se#secret", "secret word"])
@pytest.mark.parametrize("scheme", ["ws", "redis", "rediss", "postgresql", "nobodys"])
def test_a_password_in_an_address_is_not_shown(scheme: str, secret: str) -> None:
    written = f"{scheme}://me:{secret}@hub:0"
    for read in (node_address, listening_host):
        with pytest.raises(AddressError) as caught:
            read(written)
        assert "secret" not in f"{caught.value}{caught.value.en}"
    assert without_password(written) == f"{scheme}://***@hub:0"


@pytest.mark.parametrize("text", ["host=a password=secret user=x", "postgresql://a/x?password=secret&x=1"])
def test_a_password_as_a_parameter_is_not_shown(text: str) -> None:
    assert without_password(text) == text.replace("secret", "***")


@pytest.mark.parametrize(
    ("said", "why"),
    [(["relatorios"], "com --format"), (["postgresql://x", "--format", "csv"], "writes into a folder")],
)
def test_a_sink_says_which_of_a_folder_and_a_database_it_wants(said: list[str], why: str) -> None:
    result = CliRunner().invoke(main, ["sink", "--to", *said])
    assert result.exit_code == 2
    assert why in result.stderr
