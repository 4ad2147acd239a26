"""What a command prints. Everything goes through here or through `screen`: foreign text can neither act on the screen
nor make a line.

Ids, names, values and errors come from terminals, other nodes and databases. They may hold escape sequences, line
ends, characters that turn the direction of writing, and rich's markup.
"""

from __future__ import annotations

import sys

import click
import orjson

from node.printable import printable

json_option = click.option("--json", "as_json", is_flag=True, help="Para programas. / For programs.")
"""`--json`: the command gets `as_json`, and prints by `say_json` what it knows."""


def say(line: str, *, err: bool = False) -> None:
    """Print one line."""
    click.echo(printable(line, len(line)), err=err)


def say_json(value: object, *, indent: bool = False) -> None:
    """Print JSON, for programs; what is not printable in it is escaped as JSON has it."""
    text = orjson.dumps(value, option=orjson.OPT_INDENT_2 if indent else 0).decode()
    if not text.replace("\n", "").isprintable():
        text = "".join([c if c == "\n" or c.isprintable() else _json_escape(c) for c in text])
    click.echo(text)


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def encode_anything() -> None:
    """Let stdout and stderr write what their encoding lacks as escapes, where it would be an error."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
