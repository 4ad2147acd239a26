"""Where each setting comes from: every key by default, file, environment and flag; and names that nothing has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner

from crdt.engine import ENGINES
from node.cli import main
from node.config.reading import load
from node.config.sources import FLAGS, Key, Source, from_environment, keys, settings
from node.errors import ConfigError

KEYS = list(keys())

OTHERS: dict[str, tuple[str, str, str]] = {
    "node.engine": (ENGINES[1], ENGINES[0], ENGINES[1]),
    "node.machine": ("standard", "small", "standard"),
    "time.zone": ("America/Sao_Paulo", "Europe/Lisbon", "Asia/Tokyo"),
    "links.upstream": ("ws://a:1", "ws://b:1", "ws://c:1"),
    "http.origins": ('["https://a"]', '["https://b"]', ""),
    "http.proxies": ('["10.0.0.1"]', '["10.0.0.2"]', ""),
    "links.office": ("ws://a:1", "ws://b:1", ""),
    "hubs.database": ("postgresql://a/x", "postgresql://b/x", ""),
    "hubs.address": ("ws://a:1", "ws://b:1", ""),
    "links.peers": ('["ws://a:1"]', '["ws://b:1"]', "ws://c:1"),
    "links.may_speak_for": ('{ a = ["*"] }', '{ b = ["*"] }', ""),
    "links.at": ('{ "ws://a:1" = { token = "x" } }', '{ "ws://a:1" = { token = "y" } }', ""),
    "locks.broken_by": ('["kds"]', '["waiter"]', ""),
    "listen": ('[{ host = "localhost", port = 1 }]', '[{ host = "localhost", port = 2 }]', ""),
    "terminals": ('{ kds = ["products"] }', '{ kds = ["orders", "products"] }', ""),
    "entities": ('{ orders = { priority = "low" } }', '{ orders = { priority = "high" } }', ""),
    "conservation": (
        '[{ name = "a", of = "orders", amount = "total", equals = "0" }]',
        '[{ name = "b", of = "orders", amount = "total", equals = "0" }]',
        "",
    ),
    "time.max_offset_ms": ("1", "2", ""),
    "retention.hour": ("1", "2", ""),
    "disk.low_mb": ("901", "902", ""),
    "log.format": ("auto", "text", "json"),
}
"""What a file, a variable and a flag say of a setting, where it is not simply some text or some number."""


def said_of(key: Key) -> tuple[str, str, str]:
    """What the file, the environment and the flag say: three different values."""
    if str(key) in OTHERS:
        return OTHERS[str(key)]
    if key.kind is bool:
        return "false", "true", "true"
    if key.kind in (int, float):
        return "101", "102", "103"
    return "of-the-file", "of-the-environment", "of-the-flag"


def in_file(key: Key, value: str) -> str:
    text = key.kind in (str, str | None)
    said = f'"{value}"' if text else value
    beside = '[tls]\ncertificate = "x"\n' if key.section == "tls" and key.name != "certificate" else ""
    if not key.name:
        return f"{key} = {said}\n"
    beside = '[node]\nsite = "loja"\n[links]\n' if key.name == "office" else beside
    # A lock's default time is at most the longest.
    beside = "[limits]\nlease_ms_default = 1\n" if key.name == "lease_ms_max" else beside
    return f"{beside or f'[{key.section}]'}\n{key.name} = {said}\n"


def of(config: Any, key: Key) -> Any:
    section = getattr(config, key.section)
    return getattr(section, key.name) if key.name else section


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_each_setting_is_taken_from_the_file_then_the_environment_then_the_flag(
    key: Key, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("node.config.sections.INSTALLED", ENGINES)
    of_file, of_environment, of_flag = said_of(key)
    assert key.place not in settings({}).sources
    file = tmp_path / "some.toml"
    file.write_text(in_file(key, of_file))
    low = settings({}, file)
    assert low.sources[key.place] == Source("file", str(file))
    assert of(low.config, key) == of(load(file), key)
    middle = settings({key.variable: of_environment}, file)
    assert middle.sources[key.place] == Source("environment", key.variable)
    assert of(middle.config, key) != of(low.config, key)
    file.write_text(in_file(key, of_environment))
    assert of(middle.config, key) == of(load(file), key)
    flag = FLAGS.get(key.place)
    if flag is not None:
        value: Any = int(of_flag) if key.kind is int else of_flag == "true" if key.kind is bool else of_flag
        value = [value] if key.name == "peers" else value
        high = settings({key.variable: of_environment}, file, {key.place: value})
        assert high.sources[key.place] == Source("flag", flag)
        assert of(high.config, key) == value


def test_every_setting_is_shown_once_with_its_variable_and_its_flag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("comanda.toml").write_text('[limits]\nfields = 7\n[terminals]\nkds = ["products"]\n')
    monkeypatch.setenv("COMANDA_HTTP_ORIGINS", "https://a, https://b")
    result = CliRunner().invoke(main, ["config", "show", "--json", "--port", "9"])
    assert result.exit_code == 0, result.output
    told = orjson.loads(result.stdout)
    rows = {row["key"]: row for row in told["settings"]}
    assert told["file"] == "comanda.toml"
    assert len(rows) == len(told["settings"])
    assert {str(key) for key in KEYS} - {"terminals"} <= rows.keys()
    assert {row["flag"] for row in rows.values()} - {None} == set(FLAGS.values())
    assert rows["limits.fields"] == {
        "key": "limits.fields",
        "value": 7,
        "source": "file",
        "where": "comanda.toml",
        "variable": "COMANDA_LIMITS_FIELDS",
        "flag": None,
    }
    assert (rows["node.port"]["value"], rows["node.port"]["where"]) == (9, "--port")
    assert rows["http.origins"]["value"] == ["https://a", "https://b"]
    assert (rows["terminals.kds"]["source"], rows["terminals.pos"]["source"]) == ("file", "default")
    lines = CliRunner().invoke(main, ["config", "show", "--port", "9"]).stdout.splitlines()
    assert len(lines) == len(rows)
    assert "node.port = 9  (opção / flag: --port)" in lines


def test_secrets_are_shown_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COMANDA_LINKS_TOKEN", "secret-1")
    monkeypatch.setenv("COMANDA_LINKS_AT", '{ "ws://me:secret-2@a:1" = { token = "secret-3" } }')
    monkeypatch.setenv("COMANDA_LINKS_PEERS", "ws://me:secret-4@a:1")
    for more in ([], ["--json"]):
        result = CliRunner().invoke(main, ["config", "show", *more])
        assert result.exit_code == 0, result.output
        assert "secret" not in result.output
        assert "***" in result.output


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_a_name_in_the_environment_that_nothing_has_is_told_with_the_nearest(key: Key) -> None:
    wrong = f"{key.variable}X" if key.name else f"{key.variable}_X"
    with pytest.raises(ConfigError) as caught:
        from_environment({wrong: "1"})
    assert str(caught.value).startswith(f"unknown: {wrong} (did you mean COMANDA_")
    if key.name:
        assert f"did you mean {key.variable}?" in str(caught.value)


@pytest.mark.parametrize("key", [key for key in KEYS if key.name], ids=str)
def test_a_name_in_the_file_that_nothing_has_is_told_with_the_nearest(key: Key, tmp_path: Path) -> None:
    file = tmp_path / "comanda.toml"
    file.write_text(f"[{key.section}]\n{key.name}x = 1\n")
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert f"[{key.section}]: unknown: {key.name}x (did you mean {key.name}?)" in str(caught.value)


def test_a_setting_in_another_section_is_told_with_its_own(tmp_path: Path) -> None:
    file = tmp_path / "comanda.toml"
    file.write_text('[node]\nupstream = "ws://a:1"\n')
    with pytest.raises(ConfigError, match=r"unknown: upstream \(did you mean \[links\] upstream\?\)"):
        load(file)


def test_every_wrong_variable_is_told_by_its_name() -> None:
    wrong = {"COMANDA_NODE_PORT": "many", "COMANDA_HTTP_ORIGINS": "[1]", "COMANDA_TERMINALS": "3"}
    with pytest.raises(ConfigError) as caught:
        from_environment(wrong)
    for variable in wrong:
        assert f"{variable}: [" in str(caught.value)
    with pytest.raises(ConfigError, match="COMANDA_LINK_TOKEN is COMANDA_LINKS_TOKEN"):
        from_environment({"COMANDA_LINK_TOKEN": "x"})


def test_what_is_not_of_a_section_is_nobodys_mistake_and_an_empty_variable_is_none() -> None:
    others = (
        "COMANDA_SEEDS",
        "COMANDA_SEED",
        "COMANDA_MESHES",
        "COMANDA_TOKEN",
        "COMANDA_TIMES",
        "COMANDA_NODES",
        "PATH",
    )
    assert from_environment(dict.fromkeys(others, "1") | {"COMANDA_NODE_ID": "", "COMANDA_NODE_PORT": ""}) == {}


def test_the_data_directory_of_the_environment_is_where_the_file_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/comanda.toml").write_text("[node]\nport = 7\n")
    assert settings({"COMANDA_NODE_DATA": "kept"}).config.node.port == 7
    assert settings({"COMANDA_NODE_DATA": "kept"}, flags={("node", "data"): "."}).config.node.port == 8001


def test_a_certificate_of_the_command_line_takes_no_key_from_elsewhere() -> None:
    environment = {"COMANDA_TLS_CERTIFICATE": "a", "COMANDA_TLS_KEY": "b"}
    alone = settings(environment, flags={("tls", "certificate"): "c"}).config.tls
    assert (alone.certificate, alone.key) == ("c", None)
    both = settings(environment, flags={("tls", "certificate"): "c", ("tls", "key"): "d"}).config.tls
    assert (both.certificate, both.key) == ("c", "d")


@pytest.mark.parametrize("name", ["host", "port"])
def test_an_address_above_a_list_of_addresses_is_refused(name: str) -> None:
    environment = {"COMANDA_LISTEN": '[{ host = "localhost" }]', f"COMANDA_NODE_{name.upper()}": "1"}
    with pytest.raises(ConfigError, match=rf"COMANDA_NODE_{name.upper()} does not go with the \[\[listen\]\]"):
        settings(environment)


def test_a_node_is_told_with_status_2_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COMANDA_LIMITS_CONECTIONS", "1")
    for command in (["serve"], ["config", "show"]):
        result = CliRunner().invoke(main, command)
        assert result.exit_code == 2
        assert "did you mean COMANDA_LIMITS_CONNECTIONS?" in result.output
