"""A root, an intermediate below it and the intermediate's key, as files."""

import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

_PEM = serialization.Encoding.PEM


def make_chain(folder: Path) -> tuple[Path, Path, Path]:
    """Paths of the root's certificate, of the intermediate's, and of the intermediate's key."""
    keys = [rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2)]
    names = [
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, n)]) for n in ("Test root", "Test intermediate")
    ]
    now = datetime.datetime.now(datetime.UTC)
    paths = []
    for key, name in zip(keys, names, strict=True):
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        usage = x509.KeyUsage(
            digital_signature=False, content_commitment=False, key_encipherment=False,
            data_encipherment=False, key_agreement=False, key_cert_sign=True,
            crl_sign=True, encipher_only=False, decipher_only=False,
        )  # fmt: skip
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(keys[0].public_key())
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(names[0])
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=10))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(identifier, critical=False)
            .add_extension(issuer, critical=False)
            .sign(keys[0], hashes.SHA256())
        )
        path = folder / f"{name.rfc4514_string().split()[-1]}.pem"
        path.write_bytes(certificate.public_bytes(_PEM))
        paths.append(path)
    key_path = folder / "intermediate.key"
    pkcs8 = serialization.PrivateFormat.PKCS8
    key_path.write_bytes(keys[1].private_bytes(_PEM, pkcs8, serialization.NoEncryption()))
    return paths[0], paths[1], key_path
