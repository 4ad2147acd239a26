"""What a message is about that is not read as JSON: it is too long, or broken.

`Head` is fed with the text in pieces and keeps nothing of it but a few short names, so that a message of many
megabytes costs no memory. It looks for names where the documented messages have them: in the message itself, and in
its `operation`, in any order. It is tolerant: what is no JSON is passed over.
"""

from __future__ import annotations

import re

import orjson

from node.errors import InvalidMessage
from node.wire.subject import LONGEST_NAME, names_in

MOST_TOKENS = 300_000
"""Strings and brackets that are looked at; after that nothing more is found. A bound on work, not on the message."""

_KEPT = 6 * LONGEST_NAME + 2
"""Bytes of a string that are kept: a name with every character written as an escape."""

_REST = rb'(?:[^"\\]++|\\.)*+'
_STRING_REST = re.compile(_REST, re.DOTALL)
_NEAR = re.compile(rb'["{}\[\]:,]')
_FLAT = rb'(?:[^"{}\[\]]++|"' + _REST + rb'")*+'
_DEEP = re.compile(rb"\{" + _FLAT + rb"\}|\[" + _FLAT + rb'\]|"' + _REST + rb'"|["{}\[\]]', re.DOTALL)
"""Where only depth matters: a whole flat object or array, a whole string, or what opens or closes."""

_OPENING, _CLOSING = b"{[", b"}]"


class Head:
    """depth: how deeply a message may be nested; `deep_at` is where it is nested more deeply, if it is."""

    def __init__(self, depth: int) -> None:
        self.deep_at: str | None = None
        self._limit = depth
        self._tokens = MOST_TOKENS
        self._opened = bytearray()  # the brackets of the levels that are looked at: the message, its operation
        self._below = 0  # how many further levels are open
        self._keys: list[str | None] = []  # the member under way, by level
        self._in_value = False
        self._in_string = False
        self._cut = False  # the last piece ended in the middle of an escape
        self._string: bytearray | None = None  # of a string that is kept
        self._last: str | None = None
        self._message: dict[str, object] = {}

    def feed(self, piece: bytes) -> None:
        """The next piece of the text, in UTF-8."""
        at = 0
        while at < len(piece) and self._tokens > 0:
            if self._in_string:
                at = self._read_string(piece, at)
                continue
            self._tokens -= 1
            found = (_DEEP if self._below else _NEAR).search(piece, at)
            if found is None:
                return
            at = found.end()
            token = found.group()
            if token == b'"':
                self._in_string, self._string = True, bytearray() if not self._below else None
            elif self._below:
                self._deep(token)
            else:
                self._near(token)

    def names(self) -> dict[str, str]:
        """What the message is about, as far as it was found: see `names_in`."""
        return names_in(self._message)

    def refusal(self, reason: str, where: str = "$") -> InvalidMessage:
        """The refusal of this text, with the names that were found."""
        error = InvalidMessage(reason, where)
        for name, value in self.names().items():
            setattr(error, name, value)
        return error

    def held(self) -> int:
        """Characters of the text that are kept."""
        return len(self._string or b"") + sum(len(str(value)) for value in self._message.values())

    # ------------------------------------------------------------------ tokens

    def _read_string(self, piece: bytes, at: int) -> int:
        """Go on in a string; where it ends, or the piece does."""
        found = None if self._cut else _STRING_REST.match(piece, at)
        end = at + 1 if found is None else found.end()
        kept = self._string
        if kept is not None and len(kept) <= _KEPT:
            kept += piece[at : min(end, at + _KEPT + 1)]
        if self._cut or end >= len(piece):
            self._cut = False
            return end
        if piece[end] == ord('"'):
            self._in_string = False
            self._ended(kept)
        else:  # a backslash, with which the piece ends
            self._cut = True
            if kept is not None:
                kept += b"\\"
        return end + 1

    def _ended(self, kept: bytearray | None) -> None:
        if kept is None:
            return
        text: str | None = None
        if len(kept) <= _KEPT:
            try:
                text = orjson.loads(b'"' + kept + b'"')
            except orjson.JSONDecodeError:
                text = None
        if self._in_value:
            self._value(text)
        else:
            self._last = text

    def _near(self, token: bytes) -> None:
        level = len(self._opened)
        if token == b":":
            if level:
                self._keys[-1] = self._last
                self._in_value = True
                self._value(None)
        elif token == b",":
            self._in_value, self._last = self._is_array(), None
        elif token in (b"{", b"["):
            if level == 0 or (level == 1 and token == b"{" and self._keys[0] == "operation"):
                self._opened += token
                self._keys.append(None)
                self._in_value = token == b"["
                if level:
                    self._message["operation"] = {}
            else:
                self._below = 1
        elif self._opened:
            self._opened.pop()
            self._keys.pop()
            self._in_value = self._is_array()
            self._last = None

    def _is_array(self) -> bool:
        return self._opened[-1:] == b"["

    def _deep(self, token: bytes) -> None:
        if len(token) > 1:  # a whole string, object or array
            return
        if token in _OPENING:
            self._below += 1
            if self.deep_at is None and len(self._opened) + self._below > self._limit:
                self.deep_at = ".".join(["$", *(key[:64] for key in self._keys if key)])
        else:
            self._below -= 1

    def _value(self, text: str | None) -> None:
        """A member's value, or that it has another one than a short string. Of a member twice the last counts."""
        key = self._keys[-1] if self._keys and not self._is_array() else None
        if key is None:
            return
        holder: object = self._message
        if len(self._keys) > 1:
            holder = self._message.get("operation")
        if isinstance(holder, dict):
            if text is None:
                holder.pop(key, None)
            elif len(holder) < 64:
                holder[key] = text
