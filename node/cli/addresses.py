"""Addresses on the command line: what reads an option, so that a mistake names it and the form that is wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from node.addresses import AddressError, database_address, listening_host, node_address

if TYPE_CHECKING:
    from collections.abc import Callable


class Misread(click.ClickException):
    """An address of the command line cannot be read. One sentence: the usage would say nothing about it."""

    exit_code = 2

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{name}: {why}")


class Address(click.ParamType[str]):
    """An option or argument that is an address. read: gives it in the form that the command uses, or raises
    AddressError; the command then ends with Misread. name: what stands for it in the help."""

    def __init__(self, read: Callable[[str], str], name: str = "url") -> None:
        self._read, self.name = read, name

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return self._read(value)
        except AddressError as error:
            named = "" if param is None else param.opts[0]
            raise Misread(named if named.startswith("-") else named.upper(), str(error)) from error


ASKED = Address(lambda written: node_address(written, behind=True).http)
"""A node that is asked over HTTP; it may stand behind a proxy, under a path."""

SEEN = Address(lambda written: node_address(written, behind=True).ws)
"""A node as others reach it."""

DIALLED = Address(lambda written: node_address(written).ws)
"""A node that is dialled at its own address."""

TARGET = Address(lambda written: database_address(written) if "://" in written else written, "url|pasta")
"""A PostgreSQL, or a folder."""

LISTENING = Address(listening_host, "host")
"""Where a node listens, without a port."""
