"""TLS for connections that write past their stream: bytes in, bytes out, through OpenSSL's memory buffers.

A `Session` does no input or output. Whoever has a socket of its own feeds it what came (`opened`) and sends what it
gives (`sealed`), in order: once sealed, bytes may not be dropped, or nothing after them can be read. `TlsStream` is a
trio stream over one.
"""

from __future__ import annotations

import hashlib
import ssl
from contextlib import suppress
from functools import cache

import trio

from crdt.classes import frozen
from storage.system import write_at_once

READ_BYTES = 16 * 1024
"""One read of the socket: what a TLS record holds at most."""

HANDSHAKE_BYTES = 128 * 1024
"""Most bytes of the other side's part of a handshake, a chain of client certificates included."""

RECORDS = (0x15, 0x16)
"""First byte of what begins as TLS does: an alert, or a handshake (RFC 8446, 5.1)."""


class TlsError(Exception):
    """The other side and this one do not agree on a secure connection. Its text says why."""


class NotTls(TlsError):
    """The other side does not speak TLS. began: its first bytes."""

    def __init__(self, began: bytes) -> None:
        super().__init__("it does not speak TLS")
        self.began = began


class NotTrusted(TlsError):
    """The other side is not who it should be."""


@frozen
class Trust:
    """How a server is recognised: by the authorities of the context, or by the fingerprint of its certificate alone.

    fingerprints: SHA-256 of certificates in DER, in lower-case hex. Any of them will do.
    """

    context: ssl.SSLContext
    fingerprints: frozenset[str] = frozenset()


@cache
def system_trust() -> Trust:
    """By the authorities that this machine knows."""
    return Trust(bounded(ssl.create_default_context()))


def bounded(context: ssl.SSLContext) -> ssl.SSLContext:
    """The same context, with what holds for both ends."""
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    return context


def fingerprint_of(certificate: bytes) -> str:
    """SHA-256 of a certificate in DER, in hex."""
    return hashlib.sha256(certificate).hexdigest()


class Session:
    """One end of a TLS connection, without a socket."""

    def __init__(self, context: ssl.SSLContext, server_name: str | None = None) -> None:
        """server_name: whom a client means to reach; None for a server's end."""
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_name is None, server_hostname=server_name
        )
        self.over = False
        """The other side has said that it sends nothing more."""

    def shake(self, received: bytes) -> bool:
        """Go on with the handshake; True once it is done. `pending` then has what is to be sent.

        Raises TlsError.
        """
        self._incoming.write(received)
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except (ssl.SSLError, ssl.CertificateError) as error:
            raise _told(error) from error
        return True

    def pending(self) -> bytes:
        """What is to be sent: answers of the protocol itself."""
        return self._outgoing.read()

    def certificate(self) -> bytes:
        """The other side's certificate in DER; b"" where it showed none."""
        return self._object.getpeercert(binary_form=True) or b""

    def sealed(self, plain: bytes | bytearray | memoryview) -> bytes:
        """What to send for these bytes. Raises OSError (ssl.SSLError) where the connection is over."""
        if plain:
            self._object.write(plain)
        return self._outgoing.read()

    def opened(self, received: bytes) -> bytes:
        """The bytes in what was received, as far as it is whole. Raises TlsError."""
        self._incoming.write(received)
        pieces = []
        try:
            while piece := self._object.read(READ_BYTES):
                pieces.append(piece)
                if not self._object.pending() and not self._incoming.pending:
                    break  # it would say so by an exception, which costs as much as all the rest
            else:
                self.over = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.over = True
        except ssl.SSLError as error:
            raise _told(error) from error
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def goodbye(self) -> bytes:
        """What says that nothing more comes from here."""
        with suppress(ssl.SSLError):
            self._object.unwrap()
        return self._outgoing.read()


def _told(error: ssl.SSLError | ssl.CertificateError) -> TlsError:
    if isinstance(error, ssl.SSLCertVerificationError):
        return NotTrusted(f"its certificate is not accepted: {error.verify_message}")
    reason = getattr(error, "reason", None) or str(error)
    return TlsError(f"TLS: {str(reason).replace('_', ' ').lower()}")


class TlsStream(trio.abc.HalfCloseableStream):
    """A stream over a socket and a session whose handshake is done.

    session, socket: for whoever writes past the stream. certified: whether the other side has shown a certificate.
    """

    def __init__(self, stream: trio.SocketStream, session: Session) -> None:
        """Raises TlsError where what came behind the handshake is wrong."""
        self.session = session
        self.socket = stream.socket
        self._stream = stream
        self._read = bytearray(session.opened(b""))
        self._ended = session.over
        self.certified = bool(session.certificate())

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        while not self._read and not self._ended:
            await self._take()
        await trio.lowlevel.checkpoint_if_cancelled()
        received = bytes(self._read[:max_bytes])
        del self._read[: len(received)]
        return received

    async def _take(self) -> None:
        received = await self._stream.receive_some(READ_BYTES)
        try:
            self._read += self.session.opened(received)
        except TlsError as error:
            self._ended = True
            raise trio.BrokenResourceError(str(error)) from error
        # Whoever reads this knows by its own framing whether it was cut short.
        self._ended = self.session.over or not received

    async def heard(self) -> bool:
        """Wait for the other side's next byte, without taking it; False where it sends nothing more."""
        while not self._read and not self._ended:
            await self._take()
        return bool(self._read)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        try:
            sealed = self.session.sealed(data)
        except OSError as error:
            raise trio.BrokenResourceError(str(error)) from error
        await self._stream.send_all(sealed)

    async def send_sealed(self, data: bytes | bytearray | memoryview) -> None:
        """Send what `Session.sealed` gave."""
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        await self._stream.send_all(self.session.goodbye())
        await self._stream.send_eof()

    async def aclose(self) -> None:
        with suppress(OSError):  # BlockingIOError too: it says goodbye where that can be done at once
            write_at_once(self.socket.fileno(), self.session.goodbye())
        await trio.aclose_forcefully(self._stream)


async def accept_tls(stream: trio.SocketStream, context: ssl.SSLContext) -> TlsStream:
    """The server's end of a handshake. Raises TlsError, NotTls among them, and what the stream raises."""
    return await _shake_hands(stream, Session(context))


async def connect_tls(stream: trio.SocketStream, host: str, trust: Trust) -> TlsStream:
    """The client's end, with a server that is trusted. Raises TlsError, NotTrusted among them."""
    session = Session(trust.context, host)
    secured = await _shake_hands(stream, session)
    shown = fingerprint_of(session.certificate())
    if trust.fingerprints and shown not in trust.fingerprints:
        raise NotTrusted(f"its certificate is another one, with the fingerprint {shown}")
    return secured


async def _shake_hands(stream: trio.SocketStream, session: Session) -> TlsStream:
    done, received, total = session.shake(b""), b"", 0
    while not done:
        await stream.send_all(session.pending())
        received = await stream.receive_some(READ_BYTES)
        if not received:
            raise TlsError("it hung up during the TLS handshake")
        if not total and received[0] not in RECORDS:
            raise NotTls(received)
        total += len(received)
        if total > HANDSHAKE_BYTES:
            raise TlsError(f"a TLS handshake has at most {HANDSHAKE_BYTES} bytes")
        try:
            done = session.shake(received)
        except TlsError:
            await stream.send_all(session.pending())  # the alert that tells the other side why
            raise
    await stream.send_all(session.pending())
    return TlsStream(stream, session)
