"""The OpenAPI document is one, and names every endpoint and query parameter there is."""

from __future__ import annotations

import json
import re

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from node.rights import HTTP, PUBLIC, VERBS
from node.runtime.api.described import described
from node.runtime.api.openapi import DESCRIBED, PARAMETERS, openapi, plain_path
from tests.processes import ROOT
from tests.wire.test_protocol_document import EXAMPLES

DOCUMENT = openapi("0.0.0")
READ = re.compile(r"""\b(?:first|wants|number|_number)\((?:self, )?(?:request, |asked, )?["'](\w+)["']""")


def test_a_validator_finds_nothing_wrong() -> None:
    assert [str(error) for error in OpenAPIV31SpecValidator(DOCUMENT).iter_errors()] == []


def test_every_endpoint_is_described_with_the_right_it_needs() -> None:
    assert {*DESCRIBED} == {(endpoint.method, endpoint.path) for endpoint in HTTP}
    for endpoint in HTTP:
        operation = DOCUMENT["paths"][plain_path(endpoint.path)][endpoint.method.lower()]
        assert operation["x-needs"] == f"{endpoint.need.verb} {endpoint.need.what}".strip()
        assert bool(operation["security"]) == (endpoint.need != PUBLIC)
    names = [operation["operationId"] for path in DOCUMENT["paths"].values() for operation in path.values()]
    assert len(names) == len({*names}) == len(HTTP)


def test_every_query_parameter_that_the_node_reads_is_described_and_no_other() -> None:
    folder = ROOT / "node" / "runtime" / "api"
    read = {name for path in folder.glob("*.py") for name in READ.findall(path.read_text(encoding="utf-8"))}
    by_loop = {
        "entity_type",
        "entity_id",
        "terminal_id",
        "user_id",
        "since",
        "until",
        *VERBS,
    }  # names that a loop goes over
    described = {name for of in DESCRIBED.values() for name in of.query}
    assert read - described == set()
    assert described <= read | by_loop
    assert described == {*PARAMETERS}


@pytest.mark.parametrize("name", ["asyncapi", "schemas", "openapi"])
def test_each_document_is_served_as_json(name: str) -> None:
    response = described(name)
    assert isinstance(response.body, bytes)
    assert json.loads(response.body)


def test_the_documents_example_of_the_figures_is_of_its_shape() -> None:
    (stats,) = [message for who, message in EXAMPLES if who == "stats"]
    answered = DOCUMENT["paths"]["/api/v1/websocket/stats"]["get"]["responses"]["200"]
    Draft202012Validator(answered["content"]["application/json"]["schema"]).validate(stats)
