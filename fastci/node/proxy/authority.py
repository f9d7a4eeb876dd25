"""The authority that signs the hosts whose TLS is intercepted."""

import contextlib
import datetime
import ipaddress
import os
import re
import secrets
import ssl
import tempfile
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fastci.config import Settings
from fastci.errors import ConfigurationError

DEFAULT_CERT = Path("/etc/nginx/ssl/nginx.crt")
DEFAULT_KEY = Path("/etc/nginx/ssl/nginx.key")
_DAY = datetime.timedelta(days=1)
_LEAF_LIFE = 397 * _DAY  # what the CA/Browser Forum's baseline requirements (6.3.2) allow at most
_AUTHORITY_LIFE = 3650 * _DAY
_REMEMBERED = 1024
_HOST = re.compile(r"[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9_])?\Z")

_Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey


@dataclass(frozen=True, kw_only=True)
class _Issuer:
    """A certificate that may sign, its key, and the certificates a client needs between it and a root."""

    certificate: x509.Certificate
    key: _Key
    chain: tuple[x509.Certificate, ...]


class Authority:
    """Signs one certificate a host and remembers it. `certificate_pem` is what clients must trust.

    All hosts share one key, made with the authority object: what is kept apart is the name, not the holder.
    """

    def __init__(self, issuer: _Issuer) -> None:
        self._issuer = issuer
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._contexts: OrderedDict[str, ssl.SSLContext] = OrderedDict()
        self.certificate_pem = _pem(issuer.certificate)

    @classmethod
    def create(cls) -> "Authority":
        """A new authority that lives in memory only."""
        return cls(_make_issuer())

    @classmethod
    def load(cls, cert_path: Path, key_path: Path) -> "Authority":
        """The authority of two PEM files: the signing certificate first, intermediates may follow.

        Raises ValueError saying what is wrong with the files, OSError when they cannot be read.
        """
        return cls(_parse_issuer(cert_path.read_bytes(), key_path.read_bytes()))

    @classmethod
    def keep(cls, folder: Path) -> "Authority":
        """The authority of this folder, made at the first use; several nodes may ask at once.

        Raises OSError when the folder cannot be written, ValueError when what it holds is damaged.
        """
        path = folder / "authority.pem"
        for _ in range(2):
            with contextlib.suppress(FileNotFoundError):
                pem = path.read_bytes()
                issuer = _parse_issuer(pem, pem)
                if issuer.certificate.not_valid_after_utc - _DAY > _now():
                    return cls(issuer)
                path.unlink(missing_ok=True)
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            issuer = _make_issuer()
            _write_once(path, _pem(issuer.certificate) + _pem_key(issuer.key))
        pem = path.read_bytes()
        return cls(_parse_issuer(pem, pem))

    def context_for(self, host: str) -> ssl.SSLContext:
        """A server's TLS context with a certificate for `host`, a DNS name or an IP address.

        Raises ValueError for what is neither; a wildcard is neither.
        """
        host = host.lower().rstrip(".")
        context = self._contexts.get(host)
        if context is None:
            chain = (self.sign(host), *self._issuer.chain)
            context = self._contexts[host] = _server_context(chain, self._key)
            if len(self._contexts) > _REMEMBERED:
                self._contexts.popitem(last=False)
        else:
            self._contexts.move_to_end(host)
        return context

    def sign(self, host: str) -> x509.Certificate:
        """A new certificate for `host` (RFC 5280), valid from a day ago, never longer than its issuer."""
        name = _general_name(host)
        issuer = self._issuer.certificate
        now = _now()
        common = [x509.NameAttribute(NameOID.COMMON_NAME, host)] if len(host) <= 64 else []
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name(common))
            .issuer_name(issuer.subject)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(max(now - _DAY, issuer.not_valid_before_utc))
            .not_valid_after(min(now + _LEAF_LIFE, issuer.not_valid_after_utc))
            .add_extension(x509.SubjectAlternativeName([name]), critical=not common)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .add_extension(_authority_identifier(issuer), critical=False)
        )
        return builder.sign(self._issuer.key, _digest(self._issuer.key))


def load_authority(settings: Settings) -> Authority:
    """CA_CERT and CA_KEY; else the documented default files; else the authority of the store's folder.

    Where that folder cannot be written the authority lives in memory. Raises ConfigurationError for files
    that were named and do not work.
    """
    if settings.ca_cert:
        cert, key = Path(settings.ca_cert), Path(settings.ca_key)
    elif DEFAULT_CERT.is_file() and DEFAULT_KEY.is_file():
        cert, key = DEFAULT_CERT, DEFAULT_KEY
    else:
        try:
            return Authority.keep(settings.store_folder / "authority")
        except (OSError, ValueError):
            return Authority.create()
    try:
        return Authority.load(cert, key)
    except (OSError, ValueError) as error:
        allowed = "PEM files of a certificate that may sign others and of its unencrypted key"
        fault = f"CA_CERT={str(cert)!r}, CA_KEY={str(key)!r} are not allowed: must be {allowed}; {error}"
        raise ConfigurationError([fault]) from error


def _make_issuer() -> _Issuer:
    key = ec.generate_private_key(ec.SECP256R1())
    # Trust stores tell authorities apart by their subject, so two of ours must not share one.
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"FAST recording {secrets.token_hex(4)}")])
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_now() - 2 * _DAY)
        .not_valid_after(_now() + _AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
    )
    return _Issuer(certificate=certificate, key=key, chain=())


def _parse_issuer(cert_pem: bytes, key_pem: bytes) -> _Issuer:
    certificate, *others = x509.load_pem_x509_certificates(cert_pem)
    try:
        key = serialization.load_pem_private_key(key_pem, password=None)
    except TypeError as error:
        raise ValueError("the key is encrypted") from error
    if not isinstance(key, _Key):
        raise ValueError("the key is of a kind that is not used with TLS")
    if key.public_key() != certificate.public_key():
        raise ValueError("the key does not belong to the certificate")
    try:
        signs = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        signs = False
    if not signs:
        raise ValueError("the certificate is not one of an authority (CA:TRUE)")
    intermediate = certificate.issuer != certificate.subject
    chain = [c for c in ([certificate, *others] if intermediate else others) if c.issuer != c.subject]
    return _Issuer(certificate=certificate, key=key, chain=tuple(chain))


def _write_once(path: Path, pem: bytes) -> None:
    """The file with this content, for its owner only; one that is there already stays."""
    handle, name = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(pem)
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(name)
    finally:
        Path(name).unlink()


def _server_context(chain: Sequence[x509.Certificate], key: ec.EllipticCurvePrivateKey) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    # The ssl module takes a key from a file only; mkstemp gives one that only this user can read.
    handle, name = tempfile.mkstemp()
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(_pem_key(key) + b"".join(_pem(certificate) for certificate in chain))
        context.load_cert_chain(name)
    finally:
        Path(name).unlink()
    return context


def _general_name(host: str) -> x509.GeneralName:
    with contextlib.suppress(ValueError):
        return x509.IPAddress(ipaddress.ip_address(host))
    if not _HOST.match(host):
        raise ValueError(f"{host!r} is not a host name")
    return x509.DNSName(host)


def _authority_identifier(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    try:
        known = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key())  # type: ignore[arg-type]
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(known)


def _key_usage(
    *, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature, key_cert_sign=key_cert_sign, crl_sign=crl_sign,
        content_commitment=False, key_encipherment=False, data_encipherment=False, key_agreement=False,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _digest(key: _Key) -> hashes.SHA256 | None:
    return None if isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey) else hashes.SHA256()


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _pem_key(key: _Key) -> bytes:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
