"""The configuration: defaults, flags, and that every mistake is named with its file, section and key."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest
from attrs import evolve, fields

from node.config.comments import COMMENTS
from node.config.conservation import Conservation, Sign
from node.config.example import ADVICE, example_toml
from node.config.links import LinkAddress
from node.config.reading import NAME, find, load, parse
from node.config.sections import DEFAULT_TERMINALS, Config, EntityConfig, FieldConfig, Listen, TerminalConfig
from node.errors import ConfigError
from strategies.policy import DOCUMENTED

ENTITY = '[entities.tables]\npriority = "low"\nrequires_lock = false\nconflict_resolution = "merge_changes"\n'


def test_an_empty_file_gives_the_defaults() -> None:
    assert parse("") == Config()
    assert Config().check() == Config()


def _without_advice(text: str) -> str:
    """The example without what it marks as advice: from the mark to the next empty line."""
    return "\n\n".join(part for part in text.split("\n\n") if ADVICE not in part)


def test_the_example_gives_the_defaults_but_for_what_it_marks_as_advice() -> None:
    assert ADVICE in example_toml()
    example = parse(_without_advice(example_toml()))
    assert evolve(example, entities={}) == Config()
    assert example.registry().by_type == Config().registry().by_type


def test_the_example_advises_what_a_restaurant_must_not_lose() -> None:
    example = parse(example_toml())
    assert evolve(example, entities={}) == Config()
    registry = example.registry()
    kinds = {name: registry.by_type[name].kinds for name in ("orders", "customers", "products")}
    status = kinds["orders"].declared["status"]
    assert (status.kind, status.ranks[0], status.ranks[-1], status.lower) == ("progress", "pending", "paid", ("pos",))
    assert status.final == ("paid",)
    assert {name: kinds["orders"].of(name).name for name in ("items", "payments", "amount_paid")} == {
        "items": "keyed_list",
        "payments": "keyed_list",
        "amount_paid": "counter",
    }
    assert (kinds["customers"].of("points").name, kinds["products"].of("stock").name) == ("counter", "counter")
    assert [registry.by_type[p.entity_type].documented() for p in DOCUMENTED] == [p.documented() for p in DOCUMENTED]


def test_the_example_says_of_every_setting_what_it_means() -> None:
    lines = example_toml().splitlines()
    for name in COMMENTS:
        section = type(getattr(Config(), name))
        assert list(COMMENTS[name]) == [attribute.name for attribute in fields(section)]
        start = lines.index(f"[{name}]") + 1
        there = lines[start : lines.index("", start)]
        for attribute in fields(section):
            at = next(n for n, line in enumerate(there) if re.match(rf"(# )?{attribute.name} = ", line))
            said = there[at - 1]
            assert said.startswith("# "), said
            assert not re.match(r"# \w+ = ", said), said
    assert set(COMMENTS) | {"terminals", "entities", "conservation", "listen"} == {a.name for a in fields(Config)}
    for section in (FieldConfig, EntityConfig, Conservation, Sign, Listen, LinkAddress):
        for attribute in fields(section):
            text = "\n".join(lines)
            assert re.search(rf"(^|[ (]){attribute.name}( =|: |\))", text, re.MULTILINE), attribute.name
    assert parse(example_toml()).terminals == DEFAULT_TERMINALS
    assert set(tomllib.loads(example_toml())["terminals"]) == set(DEFAULT_TERMINALS)


def test_a_line_of_the_example_fits_a_screen() -> None:
    assert max(map(len, example_toml().splitlines())) <= 118


def test_a_configuration_is_found_in_the_current_directory_then_in_that_of_the_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "data"
    data.mkdir()
    assert find(data) is None
    (data / NAME).write_text("")
    assert find(data) == data / NAME
    (tmp_path / NAME).write_text("")
    assert find(data) == Path(NAME)


def test_the_documented_limits_are_the_defaults() -> None:
    limits = Config().limits
    assert (limits.rate_per_second, limits.rate_burst) == (2_000, 5_000)
    assert (limits.message_bytes, limits.json_depth) == (1_048_576, 32)
    assert (limits.bulk_items, limits.fields, limits.version_jump) == (1_000, 1_000, 1_000)
    assert Config().time.max_skew_ms == 60_000


def test_one_setting_leaves_the_others_alone() -> None:
    config = parse('[node]\nport = 0\nid = "hub"\n[time]\nstatus_interval_s = 1\n')
    assert (config.node.port, config.node.id, config.node.host) == (0, "hub", "localhost")
    assert isinstance(config.time.status_interval_s, float)
    assert config.limits == Config().limits


def test_a_terminal_type_changes_alone() -> None:
    terminals = parse('[terminals]\nkds = ["orders", "products"]\ntablet = ["orders"]\n').terminals
    assert terminals == {
        **DEFAULT_TERMINALS,
        "kds": TerminalConfig(write=["orders", "products"], read=["*"]),
        "tablet": TerminalConfig(write=["orders"]),
    }


def test_by_default_a_monitor_writes_nothing_and_a_pos_everything() -> None:
    permissions = Config().permissions()
    assert permissions["pos"].may_write("cashier_operations")
    assert permissions["waiter"].may_write("customers")
    assert not permissions["waiter"].may_write("products")
    assert permissions["kds"].may_write("orders")
    assert not permissions["kds"].may_write("customers")
    assert not permissions["monitor"].may_write("orders")


def test_a_sum_that_must_come_out_is_read_from_the_file() -> None:
    rule = '[[conservation]]\nname = "till"\nof = "cashier_operations"\namount = "amount"\nequals = "0"\n'
    sign = 'sign = { field = "type", plus = ["in"], minus = ["out"] }\n'
    (found,) = parse(rule + sign).conservation
    assert (found.name, found.of, found.equals, found.group_by) == ("till", "cashier_operations", "0", None)
    assert found.sign is not None
    assert (found.sign.plus, found.sign.minus, found.sign.zero) == (["in"], ["out"], [])


def test_an_entity_type_is_declared_in_the_documents_words() -> None:
    config = parse(ENTITY + 'fields = { seats = "register" }\n[terminals]\nkds = ["tables"]\n')
    assert config.entities == {
        "tables": EntityConfig("low", False, "merge_changes", None, {"seats": FieldConfig("register")})
    }
    policy = config.registry().get("tables")
    assert policy is not None
    assert policy.documented() == {
        "entity_type": "tables",
        "priority": "low",
        "requires_lock": False,
        "conflict_resolution": "merge_changes",
        "audit_required": True,
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[node]\nport = \n", "line 2"),
        ("[nope]\n", "unknown: nope"),
        ("[limits]\nfoo = 1\nbar = 2\n", "[limits]: unknown: bar, foo"),
        ("node = 5", "[node]: expected table, got integer"),
        ("entities = [1]", "[entities]: expected table, got array"),
        ('[limits]\nfields = "10"\n', "[limits] fields: expected integer, got string"),
        ("[limits]\nfields = true\n", "[limits] fields: expected integer, got boolean"),
        ("[limits]\nfields = 1.5\n", "[limits] fields: expected integer, got number"),
        ("[node]\ninsecure = 1\n", "[node] insecure: expected boolean, got integer"),
        ("[node]\nid = 7\n", "[node] id: expected string, got integer"),
        ("[node]\nid = 2024-01-15\n", "[node] id: expected string, got a date or time"),
        ('[time]\nstatus_interval_s = "5"\n', "[time] status_interval_s: expected number, got string"),
        ("[time]\nstatus_interval_s = true\n", "[time] status_interval_s: expected number, got boolean"),
        ('[http]\norigins = "https://loja.example"\n', "[http] origins: expected array, got string"),
        ("[http]\norigins = [1]\n", "[http] origins.0: expected string, got integer"),
        ('[terminals]\nkds = "orders"\n', "[terminals] kds: expected array, got string"),
        ("[entities]\ntables = 3\n", "[entities.tables]: expected table, got integer"),
        ('[entities.tables]\npriority = "low"\n', "[entities.tables] requires_lock: is missing"),
        ('[entities."a.b"]\npriority = "low"\n', "[entities.a.b] requires_lock: is missing"),
        (ENTITY + "colour = 1\n", "[entities.tables]: unknown: colour"),
        (ENTITY + "fields = { a = 1 }\n", "[entities.tables] fields.a: expected table, got integer"),
        (ENTITY + 'fields = { a = "abacus" }\n', "field kind 'abacus' of 'a' is none of register, counter"),
        (ENTITY + 'fields = { a = "progress" }\n', "'a' is a progress and needs `ranks`"),
        (
            ENTITY + 'fields = { a = { kind = "counter", ranks = ["x"] } }\n',
            "`ranks` and `final` of 'a' are of a progress",
        ),
        (ENTITY + 'fields = { a = { kind = "counter", colour = 1 } }\n', "fields.a: unknown: colour"),
        (ENTITY + 'groups = [["a"]]\n', "a group names at least two fields"),
        (ENTITY + 'groups = [["a", "b"], ["b", "c"]]\n', "each in one group"),
        (ENTITY + 'groups = [["a", "b"]]\nfields = { a = "counter" }\n', "'a' of a group is a plain field"),
        ('[[conservation]]\nname = "x"\n', "[conservation] 0.of: is missing"),
        (
            '[[conservation]]\nname = "x"\nof = "cash"\namount = "a"\nequals = "0"\n',
            "[[conservation]] 'x': unknown entity type cash",
        ),
        ('[entities.cashier_operations]\nfields = { amount = "counter" }\n', "the whole entity is one value"),
    ],
)
def test_what_the_file_cannot_say_is_named_by_section_and_key(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, "comanda.toml")
    assert str(caught.value).startswith("comanda.toml: ")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[node]\nengine = "loro"\n', "[node] engine 'loro'"),
        ("[node]\nport = 65536\n", "[node] port 65536"),
        ("[node]\nport = -1\n", "[node] port -1"),
        ('[node]\nsite = "Loja 17"\n', "[node] site 'Loja 17'"),
        ('[node]\nsite = "../loja"\n', "[node] site '../loja'"),
        ('[node]\nsite = ""\n', "[node] site ''"),
        ('[links]\noffice = "ws://office:1"\n', "[links] office wants [node] site"),
        ("[limits]\nring_rows = 0\n", "[limits] ring_rows"),
        ("[limits]\nrate_burst = -1\n", "[limits] rate_burst"),
        ("[time]\nmetrics_interval_s = 0.0\n", "[time] metrics_interval_s"),
        ("[time]\nmetrics_interval_s = nan\n", "[time] metrics_interval_s"),
        ("[time]\nmetrics_interval_s = inf\n", "[time] metrics_interval_s"),
        ("[limits]\njson_depth = 129\n", "[limits] json_depth"),
        ("[limits]\nlease_ms_max = 1000\n", "[limits] lease_ms_default"),
        ('[links]\nupstream = "ws://hub:1"\npeers = ["ws://hub:1"]\n', "it cannot be a peer too"),
        ('[terminals]\nkds = ["spaceships"]\n', "[terminals] kds: nothing is named so: write spaceships"),
        (
            '[terminals]\nkds = { operate = ["everything"] }\n',
            "[terminals] kds: nothing is named so: operate everything",
        ),
        (ENTITY.replace("tables", "audit"), "[entities.audit]: a right is named so"),
        (ENTITY.replace("low", "urgent"), "priority 'urgent'"),
        (ENTITY.replace("merge_changes", "coin_toss"), "conflict_resolution 'coin_toss'"),
        (ENTITY + 'fields = { a = "tree" }\n', "field kind 'tree'"),
    ],
)
def test_a_value_that_cannot_be_is_named_too(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, "comanda.toml")
    assert str(caught.value).startswith("comanda.toml: ")
    assert said in str(caught.value)


def test_a_setting_that_was_removed_is_told_from_one_that_never_was() -> None:
    with pytest.raises(ConfigError) as caught:
        parse("[time]\nidle_ping_s = 20.0\nfoo = 1\n", "comanda.toml")
    told = "[time]: idle_ping_s had no effect and was removed, delete the line; unknown: foo"
    assert str(caught.value) == f"comanda.toml: {told}"


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        parse('[node]\nport = "a"\n[limits]\nfields = "b"\n')
    assert "[node] port" in str(caught.value)
    assert "[limits] fields" in str(caught.value)


def test_a_file_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "comanda.toml"
    path.write_text("[node]\nport = 0\n# configuração\n", encoding="utf-8")
    assert load(path).node.port == 0


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "absent.toml"
    with pytest.raises(ConfigError, match=r"absent\.toml"):
        load(path)
    path.write_bytes(b"\xff")
    with pytest.raises(ConfigError, match=r"absent\.toml"):
        load(path)


SECTIONS = {
    "node": ["node"],
    "limits": ["limits"],
    "time": ["time", "times"],
    "http": ["http"],
    "links": ["links", "settings"],
    "hubs": ["hubs", "settings"],
    "tls": ["tls", "settings", "_settings", "_own"],
    "locks": ["locks"],
    "backup": ["backup", "settings"],
    "retention": ["retention", "settings"],
    "disk": ["disk", "settings"],
    "log": ["log", "settings"],
}
"""The names under which the node's code holds each section."""

BY_METHOD = {
    ("links", "token"): ("settings", "address"),
    ("links", "at"): ("settings", "address"),
    ("links", "office"): ("links", "dialled"),
    ("node", "site"): ("node", "realm"),
    ("time", "zone"): ("time", "where"),
    ("locks", "broken_by"): ("config", "permissions"),
    ("node", "machine"): ("config", "small"),
}
"""Settings that a method of their section reads, which has to be called."""


def _read_outside() -> set[tuple[str, str]]:
    """(object, attribute) of everything that the node reads outside node/config and its simulator."""
    root = Path(__file__).parents[1] / "node"
    places = [path for path in root.rglob("*.py") if not {"config", "simulation"} & set(path.relative_to(root).parts)]
    found = set()
    for path in places:
        for one in ast.walk(ast.parse(path.read_text())):
            if isinstance(one, ast.Attribute) and isinstance(one.value, ast.Name | ast.Attribute):
                found.add((one.value.id if isinstance(one.value, ast.Name) else one.value.attr, one.attr))
    return found


def test_every_setting_has_an_effect() -> None:
    """A setting that nothing outside node/config reads does nothing; it does not exist."""
    read = _read_outside()
    unread = []
    for section, names in SECTIONS.items():
        for setting in fields(type(getattr(Config(), section))):
            wanted = [BY_METHOD.get((section, setting.name), (name, setting.name)) for name in names]
            if not any(name.endswith(held) and attribute == of for held, of in wanted for name, attribute in read):
                unread.append(f"[{section}] {setting.name}")
    assert not unread


def test_every_section_is_looked_at() -> None:
    tables = {"terminals", "entities", "conservation", "listen"}
    assert {section.name for section in fields(Config)} == {*SECTIONS, *tables}


@pytest.mark.parametrize("line", ["every_h = -1", "every_h = nan", "keep = 0", 'folder = ""', 'second_folder = ""'])
def test_backups_that_could_not_be_made_are_refused(line: str) -> None:
    with pytest.raises(ConfigError, match=r"\[backup\]"):
        parse(f"[backup]\n{line}\n").check()
    parse("[backup]\nevery_h = 0\n").check()


@pytest.mark.parametrize("line", ["lease_s = 0.5", "lease_s = nan", 'address = "office:8001"'])
def test_processes_that_could_not_share_are_refused(line: str) -> None:
    with pytest.raises(ConfigError, match=r"\[hubs\]"):
        parse(f"[hubs]\n{line}\n").check()
    shared = '[hubs]\ndatabase = "postgresql://x"\n'
    parse(shared).check()
    with pytest.raises(ConfigError, match="client_ca"):
        parse(f'{shared}[tls]\ncertificate = "x"\nclient_ca = "x"\n').check()


@pytest.mark.parametrize("line", ["keep_days = -1", "keep_days = 40000", "hour = 24", "hour = -1"])
def test_a_retention_that_cannot_be_is_refused(line: str) -> None:
    with pytest.raises(ConfigError, match=r"\[retention\]"):
        parse(f"[retention]\n{line}\n").check()
    parse("[retention]\nkeep_days = 0\nhour = 0\n").check()


@pytest.mark.parametrize("line", ["low_mb = 100", "last_mb = -1", "low_mb = 5\nlast_mb = 6"])
def test_levels_of_the_disk_that_cannot_be_are_refused(line: str) -> None:
    with pytest.raises(ConfigError, match=r"\[disk\]"):
        parse(f"[disk]\n{line}\n").check()
    parse("[disk]\nlow_mb = 0\nlast_mb = 0\n").check()
