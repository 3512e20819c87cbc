"""
Certificates of authorities and hosts: made, read, and checked. Nothing is stored here.

The module uses ``cryptography``. Salt itself depends on it, so every master and minion has it.
"""

from __future__ import annotations

import datetime
import ipaddress
from typing import TYPE_CHECKING, TypedDict

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes, PublicKeyTypes

# A certificate is renewed when less than this part of its time is left.
RENEWED = 1 / 3
# An authority is to be replaced when less than this time is left (for a short-lived one: the part above, if that is
# less). From then on the certificates that it signs are valid for less than the default.
REPLACED = datetime.timedelta(days=365)
# Clocks differ: so a new certificate is valid at once on a host whose clock is behind.
BACKDATED = datetime.timedelta(hours=1)
_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


class Pair(TypedDict):
    """A certificate and its key, as PEM."""

    certificate: str
    key: str


class End(TypedDict):
    """When an authority or a certificate ends, see :py:func:`end_of_authority`."""

    until: str
    days: float
    due: bool


class Described(End):
    """The data of a certificate, see :py:func:`describe`."""

    serial: str
    subject: str
    issuer: str
    names: list[str]
    begins_in: float


def authority(datacenter: str, days: int) -> Pair:
    """Return a new authority: ``{"certificate", "key"}`` as PEM. It signs certificates of hosts and nothing else."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"pgha {datacenter} {_now():%Y-%m-%d %H:%M:%S}")])
    usage = dict.fromkeys(_USAGES, False) | {"key_cert_sign": True, "crl_sign": True}
    certificate = (
        _builder(subject, subject, key.public_key(), _now() + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.KeyUsage(**usage), critical=True)
        .sign(key, hashes.SHA256())
    )
    return _stored(certificate, key)


def issue(name: str, names: set[str], signer: Pair, days: int) -> Pair:
    """
    Return a new key and certificate of a host: ``{"certificate", "key"}`` as PEM.

    name, names
        The host, and all names and addresses that clients use for it.
    signer
        The authority, as :py:func:`authority` returns it.
    days
        How long the certificate is valid; never longer than the authority.
    """
    ca = x509.load_pem_x509_certificate(signer["certificate"].encode())
    private = serialization.load_pem_private_key(signer["key"].encode(), None)
    # That function also reads keys that cannot sign; an authority's key can.
    ca_key: CertificateIssuerPrivateKeyTypes = private  # type: ignore[assignment]
    key = ec.generate_private_key(ec.SECP256R1())
    until = min(_now() + datetime.timedelta(days=days), ca.not_valid_after_utc)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    alternatives: list[x509.GeneralName] = [
        x509.IPAddress(ipaddress.ip_address(one)) if _address(one) else x509.DNSName(one) for one in sorted(names)
    ]
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    certificate = (
        _builder(subject, ca.subject, key.public_key(), until)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**dict.fromkeys(_USAGES, False) | {"digital_signature": True}), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    return _stored(certificate, key)


def describe(pem: str) -> Described:
    """
    Return the data of the first certificate in a PEM text. ``serial`` is hexadecimal, ``begins_in`` the seconds until
    it is valid, ``until`` in ISO 8601 (UTC), ``days`` what is left; ``due`` says whether it is time to renew it.
    """
    certificate = x509.load_pem_x509_certificates(pem.encode())[0]
    left = certificate.not_valid_after_utc - _now()
    return {
        "serial": f"{certificate.serial_number:x}",
        "subject": certificate.subject.rfc4514_string(),
        "issuer": certificate.issuer.rfc4514_string(),
        "names": sorted(_names(certificate)),
        "begins_in": (certificate.not_valid_before_utc - _now()).total_seconds(),
        "until": certificate.not_valid_after_utc.isoformat(),
        "days": round(left / datetime.timedelta(days=1), 1),
        "due": _due(certificate),
    }


def end_of_authority(trusted: str, certificate: str) -> End:
    """
    Return when the authority of a certificate ends: ``until`` (ISO 8601, UTC), ``days`` left and ``due`` (it is time
    for a new one).

    trusted
        PEM text with all authorities that are trusted.
    certificate
        PEM text of the certificate, with the authorities between it and the trusted ones.

    When several authorities signed it, the one that ends last counts; when none did, the one that ends first.

    Raises ValueError when a text is no PEM.
    """
    authorities = x509.load_pem_x509_certificates(trusted.encode())
    chain = x509.load_pem_x509_certificates(certificate.encode())
    signers = [one for one in authorities if any(_signed(below, one) for below in chain)]
    if signers:
        found = max(signers, key=lambda one: one.not_valid_after_utc)
    else:
        found = min(authorities, key=lambda one: one.not_valid_after_utc)
    left = found.not_valid_after_utc - _now()
    whole = found.not_valid_after_utc - found.not_valid_before_utc
    return {
        "until": found.not_valid_after_utc.isoformat(),
        "days": round(left / datetime.timedelta(days=1), 1),
        "due": left < min(whole * RENEWED, REPLACED),
    }


def split(pem: str | None) -> list[str]:
    """Return the certificates of a PEM text as a list, all written in the same way; ValueError for another text."""
    if not pem:
        return []
    found = x509.load_pem_x509_certificates(pem.encode())
    return [one.public_bytes(serialization.Encoding.PEM).decode() for one in found]


def serves(own: Pair | None, names: set[str], signer: Pair) -> bool:
    """
    Return whether a result of :py:func:`issue` is still good: it has these names, this signer, and time left. False for
    None (no certificate yet).
    """
    if not own:
        return False
    certificate = x509.load_pem_x509_certificate(own["certificate"].encode())
    ca = x509.load_pem_x509_certificate(signer["certificate"].encode())
    return _names(certificate) == names and not _due(certificate) and _signed(certificate, ca)


def faults_of(name: str, ca: str, certificate: str, key: str, wanted: set[str]) -> list[str]:
    """
    Return the faults of a host's certificate as lines, [] when it has none.

    name
        The host.
    ca, certificate, key
        PEM texts: the authorities; the certificate, with the authorities between it and them; its key without a
        password.
    wanted
        The names that the certificate must have.
    """
    try:
        trusted = x509.load_pem_x509_certificates(ca.encode())
        chain = x509.load_pem_x509_certificates(certificate.encode())
        private = serialization.load_pem_private_key(key.encode(), None)
    except (ValueError, TypeError) as error:
        return [f"{name}: its CA, certificate or key cannot be read as PEM without a password: {error}"]
    found = []
    if _public(private.public_key()) != _public(chain[0].public_key()):
        found.append(f"{name}: the key is not that of the certificate")
    lacking = sorted(wanted - _names(chain[0]))
    if lacking:
        found.append(f"{name}: the certificate lacks the names {', '.join(lacking)} (subject alternative names)")
    if not _allows_both(chain[0]):
        found.append(f"{name}: the certificate must be for servers and for clients (extended key usage)")
    if not _signed_by_trusted(chain, trusted):
        found.append(f"{name}: the certificate does not lead to the CA; put the authorities in between after it")
    for one in (*chain, *trusted):
        if not one.not_valid_before_utc <= _now() <= one.not_valid_after_utc:
            when = f"{one.not_valid_before_utc:%Y-%m-%d} to {one.not_valid_after_utc:%Y-%m-%d}"
            found.append(f"{name}: {one.subject.rfc4514_string()} is valid from {when}, and not today")
    return found


def _builder(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, until: datetime.datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_now() - BACKDATED)
        .not_valid_after(until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _stored(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
    form = serialization.PrivateFormat.PKCS8
    private = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    return {"certificate": certificate.public_bytes(serialization.Encoding.PEM).decode(), "key": private.decode()}


def _due(certificate: x509.Certificate) -> bool:
    whole = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    return certificate.not_valid_after_utc - _now() < whole * RENEWED


def _signed(certificate: x509.Certificate, by: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(by)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _signed_by_trusted(chain: Sequence[x509.Certificate], trusted: Sequence[x509.Certificate]) -> bool:
    """Whether each certificate is signed by the next one, and one of them by a trusted authority."""
    for one, following in zip(chain, [*chain[1:], None], strict=True):
        if any(_signed(one, by) and _is_authority(by) for by in trusted):
            return True
        if following is None or not (_signed(one, following) and _is_authority(following)):
            return False
    return False


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _allows_both(certificate: x509.Certificate) -> bool:
    try:
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH} <= set(usages)


def _names(certificate: x509.Certificate) -> set[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    return {*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))}


def _public(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc)
