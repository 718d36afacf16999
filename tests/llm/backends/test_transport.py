"""What goes over the wire: headers, and TLS with certificates that are trusted or not."""

import shutil
import ssl
import subprocess
from pathlib import Path

import httpx
import pytest

from autohedge.core.errors import Misconfigured
from autohedge.llm.backends.openai_compatible import OpenAICompatible, open_openai_compatible
from autohedge.llm.backends.tls import tls_failure
from autohedge.llm.backends.transport import _StrictTransport
from tests.llm.backend_harness import FITTING, KEY, by_openai, complete_all, complete_sync, fails
from tests.llm.imitation_server import Imitation, vllm

FOREIGN = {
    "OPENAI_ORG_ID": "org-1",
    "OPENAI_ORGANIZATION": "org-2",
    "OPENAI_PROJECT_ID": "project-1",
    "OPENAI_ADMIN_KEY": "admin-1",
    "OPENAI_API_KEY": "general-1",
    "OPENAI_WEBHOOK_SECRET": "hook-1",
    "OPENAI_CUSTOM_HEADERS": "X-Custom: custom-1\nAuthorization: Bearer custom-2\nHost: custom-3",
    "OPENAI_API_BASE": "http://127.0.0.1:9/base-1",
}


def test_only_known_headers_and_the_right_key_are_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in FOREIGN.items():
        monkeypatch.setenv(name, value)
    with vllm() as server:
        complete_sync(lambda: by_openai(server))
        complete_sync(lambda: OpenAICompatible(server.base_url, "m"))
    with_key, without = server.received
    known = {
        "accept",
        "accept-encoding",
        "connection",
        "content-length",
        "content-type",
        "host",
        "user-agent",
    }
    assert with_key.headers.keys() == known | {"authorization"} and without.headers.keys() == known
    assert with_key.headers["authorization"] == f"Bearer {KEY.get_secret_value()}"
    assert with_key.headers["host"] == f"127.0.0.1:{server.port}"


def test_organization_and_project_go_to_openai_only() -> None:
    sent = {"OpenAI-Organization": "org-1", "OpenAI-Project": "project-1", "X-Custom": "x"}
    for url, names in (("https://api.openai.com/v1", {"openai-organization", "openai-project"}),
                       ("https://models.example/v1", set[str]())):  # fmt: skip
        request = httpx.Request("POST", url, headers=sent)
        kept = _StrictTransport(url, None)._bare(request).headers.keys()
        assert kept & {name.lower() for name in sent} == names


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:9", "socks5://127.0.0.1:9", "not a proxy"])
def test_proxies_and_settings_of_libraries_cause_no_warning_and_no_failure(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, proxy: str
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, proxy)
    for name in ("TCP_KEEPIDLE", "STREAM_CHUNK_TIMEOUT_S"):
        monkeypatch.setenv(f"LANGCHAIN_OPENAI_{name}", "wrong")
    monkeypatch.setenv("LC_OUTPUT_VERSION", "v1")
    with vllm() as server:
        assert complete_sync(lambda: by_openai(server)).text == FITTING
    assert not caplog.records


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def _certificate(folder: Path, name: str, *, valid: bool = True, host: str = "IP:127.0.0.1") -> Path:
    """Returns a file with a self-signed certificate for a host and its key."""
    whole, key, asked, extra = (folder / f"{name}.{end}" for end in ("pem", "key", "csr", "ext"))
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    _openssl("req", "-new", *curve, "-subj", f"/CN={name}", "-keyout", str(key), "-out", str(asked))
    extra.write_text(f"subjectAltName={host}\n")
    days = "3650" if valid else "-1"
    signing = ("-signkey", str(key), "-days", days, "-extfile", str(extra))
    _openssl("x509", "-req", "-in", str(asked), *signing, "-out", str(whole))
    whole.write_bytes(whole.read_bytes() + key.read_bytes())
    return whole


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    if not shutil.which("openssl"):
        pytest.skip("openssl, which makes the certificates, is not installed")
    folder = tmp_path_factory.mktemp("certificates")
    return {
        "own": _certificate(folder, "own"),
        "another": _certificate(folder, "another"),
        "expired": _certificate(folder, "expired", valid=False),
        "elsewhere": _certificate(folder, "elsewhere", host="DNS:models.example"),
    }


@pytest.fixture
def no_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)


pytestmark = pytest.mark.usefixtures("no_certificates")


def _over_tls(certificate: Path) -> Imitation:
    server = vllm()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server._server.socket = context.wrap_socket(server._server.socket, server_side=True)
    server.base_url = f"https://127.0.0.1:{server.port}/v1"
    return server


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_a_certificate_that_the_environment_names_is_trusted(
    certificates: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str
) -> None:
    shutil.copy(certificates["own"], tmp_path / "own.pem")
    _openssl("rehash", str(tmp_path))
    monkeypatch.setenv(variable, str(tmp_path / "own.pem" if variable == "SSL_CERT_FILE" else tmp_path))
    with _over_tls(certificates["own"]) as server:
        assert complete_sync(lambda: by_openai(server)).text == FITTING


@pytest.mark.parametrize(
    ("served", "trusted", "cause", "cure"),
    [
        ("own", "", "its certificate is self-signed", "set SSL_CERT_FILE to a file with that certificate"),
        ("own", "another", "its certificate is self-signed", "set SSL_CERT_FILE"),
        ("expired", "expired", "its certificate has expired", "renew it, or set the clock"),
        ("elsewhere", "elsewhere", "its certificate is for another name", "in llm.base_url"),
    ],
)
def test_a_certificate_that_is_not_trusted_is_named_with_its_cure(
    certificates: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    served: str,
    trusted: str,
    cause: str,
    cure: str,
) -> None:
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificates[trusted]))
    with _over_tls(certificates[served]) as server:
        failure = fails(lambda: complete_all(by_openai(server)))
    assert failure.code == "certificate"
    assert cause in str(failure) and cure in str(failure) and "no connection" not in str(failure)


@pytest.mark.parametrize("model", ["", "m"])
def test_an_untrusted_certificate_ends_the_start(certificates: dict[str, Path], model: str) -> None:
    with _over_tls(certificates["own"]) as server:
        failure = fails(lambda: open_openai_compatible(server.base_url, model, None, 5.0))
    assert failure.code == "certificate" and "self-signed; set SSL_CERT_FILE" in str(failure)


def test_a_server_without_tls_at_an_address_with_it_is_named() -> None:
    with vllm() as server:
        server.base_url = server.base_url.replace("http:", "https:")
        failure = fails(lambda: complete_all(by_openai(server)))
    assert failure.code == "certificate" and "it does not speak TLS; write http://" in str(failure)


@pytest.mark.parametrize(
    ("code", "cause"),
    [(20, "authority that is unknown here"), (62, "for another name"), (9, "not valid yet"), (23, "revoked")],
)
def test_each_fault_of_a_certificate_has_its_cause(code: int, cause: str) -> None:
    error = ssl.SSLCertVerificationError()
    error.verify_code, error.verify_message = code, "certificate revoked"
    failure = tls_failure(error)
    assert failure and cause in failure.cause and failure.cure


def test_an_error_without_tls_is_no_fault_of_a_certificate() -> None:
    assert tls_failure(httpx.ConnectError("refused")) is None


@pytest.mark.parametrize(
    ("variable", "content", "fault"),
    [
        ("SSL_CERT_FILE", None, "cannot be read"),
        ("SSL_CERT_FILE", "no certificate", "holds no certificate in PEM"),
        ("SSL_CERT_DIR", None, "is no folder"),
    ],
)
def test_a_variable_that_names_no_certificates_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, content: str | None, fault: str
) -> None:
    path = tmp_path / "given.pem"
    if content:
        path.write_text(content)
    monkeypatch.setenv(variable, str(path))
    with pytest.raises(Misconfigured, match=f"{variable} names .*{fault}"):
        OpenAICompatible("https://127.0.0.1:9/v1", "m")
