"""Distinguished names of certificates, read quietly.

Some instances put more than two letters into countryName (C is the instance in the Ejbca
profile). The library reads such names and warns each time; nobody can act on that warning.
"""

import warnings
from collections.abc import Sequence

from cryptography import x509
from cryptography.x509 import ocsp


def subject_name(certificate: x509.Certificate | x509.CertificateSigningRequest) -> x509.Name:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return certificate.subject


def issuer_name(certificate: x509.Certificate) -> x509.Name:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return certificate.issuer


def build_name(attributes: Sequence[tuple[x509.ObjectIdentifier, str]]) -> x509.Name:
    """A name of single-valued RDNs in the order given; raises ValueError naming empty values."""
    if empty := [oid for oid, value in attributes if not value]:
        raise ValueError(", ".join(oid._name for oid in empty))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return x509.Name(
            [x509.NameAttribute(oid, value, _validate=False) for oid, value in attributes]
        )


def responder_name(response: ocsp.OCSPResponse) -> x509.Name | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return response.responder_name
