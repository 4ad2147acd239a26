"""A certificate that is exchanged while the node runs, and what a link is recognised by."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trio.testing

from node.config.links import LinkAddress
from node.config.sections import TlsSection
from node.errors import ConfigError
from node.runtime import certificates, x509
from node.runtime.certificates import Certificate, Recognition
from tests.authority import Authority, authority, make


def _read(path: str) -> bytes:
    return Path(path).read_bytes()


async def _watched(certificate: Certificate, *steps: object) -> None:
    """Each step, and time for the watch to look at what it left."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(certificate.watch)
        for step in steps:
            assert callable(step)
            step()
            await trio.sleep(3 * certificates.LOOK_S)
        nursery.cancel_scope.cancel()


async def test_a_new_certificate_is_taken_once_its_files_rest(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    made = make(tmp_path)
    certificate = Certificate(made.settings())
    before = certificate.context
    said: list[str] = []
    await _watched(certificate, lambda: said.append(made.again()))
    assert certificate.said.fingerprint == said[0]
    assert certificate.context is not before


@pytest.mark.parametrize("what", ["certificate", "key"])
@pytest.mark.parametrize("how", ["gone", "empty", "no PEM", "another's"])
async def test_one_that_cannot_be_used_leaves_the_old_one_and_is_logged(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture, what: str, how: str
) -> None:
    made, other = make(tmp_path / "own"), make(tmp_path / "other")
    certificate = Certificate(made.settings())
    before = certificate.context, certificate.said
    path = Path(getattr(made, what))
    content = {"empty": b"", "no PEM": b"hello\n", "another's": _read(getattr(other, what))}
    kept = _read(str(path))

    def spoil() -> None:
        path.unlink()
        if how in content:
            path.write_bytes(content[how])

    def mend() -> None:
        path.write_bytes(kept)

    await _watched(certificate, spoil)
    assert (certificate.context, certificate.said) == before
    assert [str(path) in r.getMessage() and "stays in use" in r.getMessage() for r in caplog.records] == [True]
    await _watched(certificate, mend)
    assert certificate.said.fingerprint == before[1].fingerprint
    assert "a new certificate is in use" in caplog.text


def test_a_key_that_asks_for_a_password_is_refused_and_nobody_is_asked(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

    locked = tmp_path / "locked.key"
    key = generate_private_key(SECP256R1())
    locked.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")))
    with pytest.raises(ConfigError, match=r"locked\.key"):
        Certificate(TlsSection(authority().certificate, str(locked)))


def test_a_certificate_out_of_date_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = Authority(tmp_path)
    x509.make(tmp_path, ["localhost"], datetime(2001, 1, 1, tzinfo=UTC))
    Certificate(made.settings())
    assert "by this machine's clock" in caplog.text


def test_no_folder_that_is_made_for_keys_is_open_to_others(tmp_path: Path) -> None:
    made = make(tmp_path / "comanda-data" / "tls")
    assert [path.stat().st_mode & 0o077 for path in (made.folder, made.folder.parent, Path(made.key))] == [0, 0, 0]


def test_the_authority_stays_when_a_certificate_is_made_again(tmp_path: Path) -> None:
    made = make(tmp_path)
    before = Path(made.ca).read_bytes()
    first = x509.read(Path(made.certificate).read_bytes())
    made.again()
    second = x509.read(Path(made.certificate).read_bytes())
    assert Path(made.ca).read_bytes() == before == x509.own_authority(second)
    assert first[0] != second[0]
    second[0].verify_directly_issued_by(second[1])
    for name in (x509.AUTHORITY_KEY, x509.CERTIFICATE_KEY):
        assert (tmp_path / name).stat().st_mode & 0o077 == 0
    assert sorted(os.listdir(tmp_path)) == sorted(
        [x509.AUTHORITY, x509.AUTHORITY_KEY, x509.CERTIFICATE, x509.CERTIFICATE_KEY]
    )


@pytest.mark.parametrize("host", ["", "a b", "http://hub", "hub:8001", "ã", "x" * 300])
def test_what_is_no_host_gets_no_certificate(tmp_path: Path, host: str) -> None:
    with pytest.raises(ConfigError, match="no name of a host"):
        x509.make(tmp_path / "tls", [host], datetime.now(UTC))
    assert not (tmp_path / "tls").exists()


def test_an_authority_file_that_changed_is_read_again(tmp_path: Path) -> None:
    made = make(tmp_path)
    recognition = Recognition(LinkAddress(ca=made.ca), TlsSection())
    first = recognition.trust()
    assert recognition.trust() is first
    Path(made.ca).write_text("broken")
    with pytest.raises(ConfigError, match=r"\[links\.at\] ca"):
        recognition.trust()


def test_a_pin_may_be_written_as_openssl_prints_it() -> None:
    digits = "AB" * 32
    colons = ":".join("AB" for _ in range(32))
    assert LinkAddress(certificates=[digits, colons]).pins() == ["ab" * 32] * 2
    for wrong in ("", "ab" * 31, "xy" * 32, "ab" * 32 + "\n"):
        with pytest.raises(ConfigError, match="no SHA-256 fingerprint"):
            LinkAddress(certificates=[wrong]).pins()
