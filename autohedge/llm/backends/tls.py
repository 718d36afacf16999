"""The certificates that this machine trusts, and what is wrong with one that it does not."""

import os
import ssl
from pathlib import Path
from typing import NamedTuple

import httpx

from autohedge.core.errors import Misconfigured

_OWN_FILE = "set SSL_CERT_FILE to a file with that certificate (PEM)"
_AUTHORITY = "set SSL_CERT_FILE to a file with the certificate of its authority (PEM)"
_CLOCK = "renew it, or set the clock of this machine"
# Codes of OpenSSL's X509_verify_cert_error_string.
_EXPIRED, _NOT_YET, _SELF_SIGNED = 10, 9, 18
_UNKNOWN_AUTHORITY = (2, 19, 20, 21)
_OTHER_NAME = (62, 64)
_NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "UNEXPECTED_MESSAGE", "RECORD_LAYER_FAILURE", "HTTP_REQUEST"})


class TLSFailure(NamedTuple):
    """Why there is no trusted TLS connection, which no retry would change, and the cure."""

    cause: str
    cure: str


def trusted_certificates(base_url: str) -> ssl.SSLContext:
    """Returns the certificates to trust: of SSL_CERT_FILE and SSL_CERT_DIR, else the public authorities.

    Without TLS there are none, which saves the time to load them. Raises Misconfigured if a variable names no
    certificates.
    """
    if not base_url.lower().startswith("https:"):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    file, folder = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    if folder and not any(Path(each).is_dir() for each in folder.split(os.pathsep)):
        raise Misconfigured(f"SSL_CERT_DIR names {folder!r}, which is no folder; correct or unset it")
    if not file and not folder:
        return httpx.create_ssl_context(trust_env=False)
    try:
        return ssl.create_default_context(cafile=file or None, capath=folder or None)
    except OSError as error:  # includes SSLError
        why = "holds no certificate in PEM" if isinstance(error, ssl.SSLError) else "cannot be read"
        raise Misconfigured(f"SSL_CERT_FILE names {file!r}, which {why}; correct or unset it") from None


def tls_failure(error: BaseException) -> TLSFailure | None:
    """Returns what prevented a TLS connection, or None for an error of another kind."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__ or cause.__context__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return TLSFailure(*_certificate_fault(cause))
    if isinstance(cause, ssl.SSLError) and cause.reason in _NO_TLS:
        return TLSFailure("it does not speak TLS", "write http:// in llm.base_url")
    return None


def _certificate_fault(error: ssl.SSLCertVerificationError) -> tuple[str, str]:
    code = error.verify_code
    if code == _SELF_SIGNED:
        return "its certificate is self-signed", _OWN_FILE
    if code in _UNKNOWN_AUTHORITY:
        return "its certificate is from an authority that is unknown here", _AUTHORITY
    if code in _OTHER_NAME:
        return "its certificate is for another name", "write a name of that certificate in llm.base_url"
    if code == _EXPIRED:
        return "its certificate has expired", _CLOCK
    if code == _NOT_YET:
        return "its certificate is not valid yet", _CLOCK
    return f"its certificate is not accepted ({error.verify_message})", _AUTHORITY
