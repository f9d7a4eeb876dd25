import datetime
import importlib.metadata

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, pkcs12

from fastci.lifecycle.surroundings import proxy_environment, with_credentials
from fastci.lifecycle.workspace import Workspace

PROXY = "http://127.0.0.1:4711"


def certificate(name):
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    )
    builder = builder.serial_number(7).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


@pytest.fixture
def make(tmp_path):
    workspace = Workspace(tmp_path / ".fast")
    workspace.prepare()

    def environment(targets=(), ca=None, **environ):
        return proxy_environment(PROXY, environ=environ, targets=targets, workspace=workspace, ca=ca)

    environment.workspace = workspace
    return environment


def test_proxy_is_set_in_both_cases_and_for_node(make):
    added = make()
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "FAST_PROXY"):
        assert added[name] == PROXY
    assert added["NODE_USE_ENV_PROXY"] == "1"
    assert "ALL_PROXY" not in added
    assert added["FAST_BROWSER_ARGS"] == f"--proxy-server={PROXY} --proxy-bypass-list=<-loopback>"


def test_node_options_gain_the_hook_once_and_keep_what_was_there(make):
    hook = f'--require="{make.workspace.node_hook}"'
    first = make(NODE_OPTIONS="--no-warnings")["NODE_OPTIONS"]
    assert first == f"--no-warnings {hook}"
    assert make(NODE_OPTIONS=first)["NODE_OPTIONS"] == first
    assert make()["NODE_OPTIONS"] == hook
    assert b"use-env-proxy" in make.workspace.node_hook.read_bytes()


def test_python_path_gains_the_plugin_once_and_keeps_what_was_there(make):
    folder = str(make.workspace.pytest_folder)
    first = make(PYTHONPATH="src:")["PYTHONPATH"]
    assert first == f"{folder}:src:"
    assert make(PYTHONPATH=first)["PYTHONPATH"] == first
    assert make()["PYTHONPATH"] == make(PYTHONPATH=folder)["PYTHONPATH"] == folder
    (found,) = importlib.metadata.distributions(path=[folder])
    assert [(entry.group, entry.name) for entry in found.entry_points] == [("pytest11", "fastci")]


def test_proxy_that_asks_for_credentials_gets_them_in_its_address():
    assert with_credentials(PROXY, "") == PROXY
    assert with_credentials(PROXY, "ann:p@s:s") == "http://ann:p%40s%3As@127.0.0.1:4711"


def test_no_proxy_with_a_target_on_this_machine_covers_none_of_it(make):
    added = make(targets=["localhost"], NO_PROXY="localhost,127.0.0.1,::1,.corp.example, pypi.example")
    assert added["NO_PROXY"] == added["no_proxy"] == ".corp.example,pypi.example"


def test_no_proxy_with_a_target_elsewhere_spares_this_machine(make):
    added = make(targets=["app-test"])
    assert added["NO_PROXY"] == "localhost,127.0.0.1,::1"


@pytest.mark.parametrize(
    "entry",
    ["app.corp.example", ".corp.example", "*.corp.example", "corp.example", "*", "app.corp.example:8080"],
)
def test_no_proxy_loses_every_entry_that_covers_the_target(make, entry):
    added = make(targets=["app.corp.example"], NO_PROXY=f"other.example,{entry}")
    assert entry not in added["NO_PROXY"].split(",")
    assert "other.example" in added["NO_PROXY"].split(",")


def test_no_proxy_loses_a_network_that_the_target_is_in(make):
    added = make(targets=["10.1.2.3"], NO_PROXY="10.0.0.0/8,192.168.0.0/16")
    assert added["NO_PROXY"] == "192.168.0.0/16,localhost,127.0.0.1,::1"


def test_no_proxy_without_a_known_target_lets_this_machine_through_the_node(make):
    assert make(NO_PROXY="localhost,pypi.example")["NO_PROXY"] == "pypi.example"


def test_trust_without_an_authority_is_not_touched(make):
    added = make(ca=None)
    assert not {"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "FAST_CA_FILE"} & set(added)


def test_bundle_holds_the_usual_authorities_and_the_nodes(make):
    ca = certificate("node")
    added = make(ca=ca)
    for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE"):
        assert added[name] == str(make.workspace.bundle_file)
    bundle = make.workspace.bundle_file.read_bytes()
    assert ca in bundle
    assert bundle.count(b"BEGIN CERTIFICATE") > 50
    assert make.workspace.ca_file.read_bytes() == ca
    assert added["NODE_EXTRA_CA_CERTS"] == added["FAST_CA_FILE"] == str(make.workspace.ca_file)


def test_bundle_is_made_of_what_the_job_trusted_before(make, tmp_path):
    (tmp_path / "corporate.pem").write_bytes(certificate("corporate"))
    make(ca=certificate("node"), SSL_CERT_FILE=str(tmp_path / "corporate.pem"))
    names = [
        c.subject.rfc4514_string()
        for c in x509.load_pem_x509_certificates(make.workspace.bundle_file.read_bytes())
    ]
    assert names == ["CN=corporate", "CN=node"]


def test_node_keeps_the_authorities_it_was_given_before(make):
    added = make(ca=certificate("node"), NODE_EXTRA_CA_CERTS="/etc/corporate.pem")
    assert added["NODE_EXTRA_CA_CERTS"] == str(make.workspace.bundle_file)


def test_java_gets_the_proxy_and_a_trust_store_that_it_can_read(make, tmp_path):
    (tmp_path / "usual.pem").write_bytes(
        certificate("usual") + b"-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"
    )
    added = make(targets=["app-test"], ca=certificate("node"), SSL_CERT_FILE=str(tmp_path / "usual.pem"),
                 JAVA_TOOL_OPTIONS="-Xmx1g", NO_PROXY=".corp.example")  # fmt: skip
    words = added["JAVA_TOOL_OPTIONS"].split(" ")
    assert words[0] == "-Xmx1g"
    assert "-Dhttps.proxyHost=127.0.0.1" in words
    assert "-Dhttp.proxyPort=4711" in words
    assert "-Dhttp.nonProxyHosts=*.corp.example|localhost|127.0.0.1|::1" in words
    store = pkcs12.load_pkcs12(make.workspace.trust_store.read_bytes(), b"changeit")
    names = {c.certificate.subject.rfc4514_string() for c in store.additional_certs}
    assert names == {"CN=usual", "CN=node"}
