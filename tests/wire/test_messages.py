"""Which version an operation claims."""

from __future__ import annotations

import pytest

from node.wire.messages import effective_version


@pytest.mark.parametrize("kind", ["CREATE", "UPDATE", "DELETE", "BULK_UPDATE"])
def test_the_version_in_the_fields_decides(kind: str) -> None:
    assert effective_version({"version": 3}, 7, kind) == 3
    assert effective_version({"version": 1}, 7, kind) == 1
    assert effective_version({"version": 0}, None, kind) == 0


def test_without_it_the_top_level_version_counts() -> None:
    assert effective_version({"status": "x"}, 7, "UPDATE") == 7
    assert effective_version({}, None, "UPDATE") is None


@pytest.mark.parametrize("kind", ["UPDATE", "DELETE"])
def test_the_documents_clients_default_of_1_means_no_version(kind: str) -> None:
    assert effective_version({"status": "x"}, 1, kind) is None


def test_on_a_create_1_is_a_version() -> None:
    assert effective_version({"status": "x"}, 1, "CREATE") == 1


def test_a_version_of_null_is_none() -> None:
    assert effective_version({"version": None}, 7, "UPDATE") == 7


def test_true_is_no_version() -> None:
    assert effective_version({"version": True}, 7, "UPDATE") == 7
