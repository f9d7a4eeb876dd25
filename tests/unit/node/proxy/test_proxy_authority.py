import datetime
import ssl
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fastci.config import parse_settings
from fastci.errors import ConfigurationError
from fastci.node.proxy import Authority, load_authority

PEM = serialization.Encoding.PEM


def issued(authority: Authority) -> x509.Certificate:
    return x509.load_pem_x509_certificate(authority.certificate_pem)


def test_leaf_follows_the_profile_that_clients_demand():
    authority = Authority.create()
    issuer, leaf = issued(authority), authority.sign("shop.test")
    leaf.verify_directly_issued_by(issuer)
    get = leaf.extensions.get_extension_for_class
    assert get(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName) == ["shop.test"]
    assert not get(x509.BasicConstraints).value.ca
    assert get(x509.KeyUsage).value.digital_signature
    assert [u.dotted_string for u in get(x509.ExtendedKeyUsage).value] == ["1.3.6.1.5.5.7.3.1"]
    known = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    assert get(x509.AuthorityKeyIdentifier).value.key_identifier == known
    key = leaf.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp256r1"
    now = datetime.datetime.now(datetime.UTC)
    assert now - leaf.not_valid_before_utc >= datetime.timedelta(days=1)
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc <= datetime.timedelta(days=398)
    assert issuer.not_valid_before_utc <= leaf.not_valid_before_utc


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_leaf_for_an_address_names_it_as_one(host: str):
    names = (
        Authority.create().sign(host).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    )
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == [host]


def test_leaf_for_a_very_long_name_still_made():
    host = ".".join(["a" * 60] * 4)
    leaf = Authority.create().sign(host)
    assert leaf.subject.rfc4514_string() == ""
    assert leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).critical


@pytest.mark.parametrize("host", ["", "*.shop.test", "a b", "a/b", "ä.test", "-", "a" * 300])
def test_context_for_what_is_no_host_refused(host: str):
    with pytest.raises(ValueError, match="host name"):
        Authority.create().context_for(host)


def test_context_made_once_per_host_in_any_case():
    authority = Authority.create()
    assert authority.context_for("Shop.test") is authority.context_for("shop.test.")
    assert authority.context_for("shop.test") is not authority.context_for("other.test")


def test_context_leaves_no_key_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert isinstance(Authority.create().context_for("shop.test"), ssl.SSLContext)
    assert list(tmp_path.iterdir()) == []


def test_authority_of_two_makings_never_the_same_name():
    assert issued(Authority.create()).subject != issued(Authority.create()).subject


def test_authority_kept_in_a_folder_is_the_same_next_time_and_private(tmp_path: Path):
    folder = tmp_path / "authority"
    first, second = Authority.keep(folder), Authority.keep(folder)
    assert first.certificate_pem == second.certificate_pem
    (path,) = folder.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    second.sign("a.test").verify_directly_issued_by(issued(first))


def test_load_authority_default_is_the_one_of_the_store(tmp_path: Path):
    settings = parse_settings({"FAST_STORE": str(tmp_path)})
    assert load_authority(settings).certificate_pem == load_authority(settings).certificate_pem


def test_load_authority_store_that_cannot_be_written_lives_in_memory(tmp_path: Path):
    (tmp_path / "file").touch()
    settings = parse_settings({"FAST_STORE": str(tmp_path / "file")})
    assert load_authority(settings).context_for("a.test")


def files(folder: Path, cert: bytes, key: bytes) -> dict[str, str]:
    (folder / "ca.crt").write_bytes(cert)
    (folder / "ca.key").write_bytes(key)
    return {"CA_CERT": str(folder / "ca.crt"), "CA_KEY": str(folder / "ca.key")}


def key_pem(key: ec.EllipticCurvePrivateKey, password: bytes | None = None) -> bytes:
    lock = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, lock)


def test_load_authority_named_files_used(tmp_path: Path):
    kept = Authority.keep(tmp_path / "made")
    pem = (tmp_path / "made" / "authority.pem").read_bytes()
    authority = load_authority(parse_settings(files(tmp_path, pem, pem)))
    assert authority.certificate_pem == kept.certificate_pem


@pytest.mark.parametrize("fault", ["missing", "garbage", "foreign key", "encrypted", "leaf"])
def test_load_authority_named_files_that_do_not_work_are_a_fault(tmp_path: Path, fault: str):
    authority = Authority.keep(tmp_path / "made")
    pem = (tmp_path / "made" / "authority.pem").read_bytes()
    foreign = ec.generate_private_key(ec.SECP256R1())
    cert, key, reason = {
        "missing": (pem, pem, "No such file"),
        "garbage": (b"nothing", pem, ""),
        "foreign key": (pem, key_pem(foreign), "the key does not belong to the certificate"),
        "encrypted": (pem, key_pem(foreign, b"secret"), "the key is encrypted"),
        "leaf": (authority.sign("a.test").public_bytes(PEM), pem, ""),
    }[fault]
    variables = files(tmp_path, cert, key)
    if fault == "missing":
        variables["CA_KEY"] += ".not"
    with pytest.raises(ConfigurationError) as raised:
        load_authority(parse_settings(variables))
    (line,) = raised.value.faults
    assert line.startswith("CA_CERT=")
    assert reason in line
