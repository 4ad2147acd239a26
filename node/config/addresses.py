"""Addresses among the settings: a mistake names the setting."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from node.addresses import AddressError
from node.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def address_of(setting: str, written: str, read: Callable[[str], T]) -> T:
    """What a setting says, as `read` gives it or raises AddressError. Raises ConfigError."""
    try:
        return read(written)
    except AddressError as error:
        raise ConfigError(f"{setting}: {error.en}") from error
