"""A certificate authority for tests, which issues valid and invalid certificates."""

import datetime
import ipaddress

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PEM = serialization.Encoding.PEM
CA_USAGE = x509.KeyUsage(True, False, False, False, False, True, True, False, False)


def name(*pairs):
    """A distinguished name of (OID, value) pairs."""
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in pairs])


class Issued:
    """A certificate with its key, and the authorities above it."""

    def __init__(self, certificate, key, chain=()):
        self.certificate = certificate
        self.key = key
        self.chain = tuple(chain)

    @property
    def pem(self):
        return self.certificate.public_bytes(PEM).decode()

    @property
    def der(self):
        return self.certificate.public_bytes(serialization.Encoding.DER)

    def write(self, directory, label, *, password=None):
        """Write ``label.crt`` (with the chain) and ``label.key``, and return their paths."""
        encryption = (
            serialization.BestAvailableEncryption(password.encode())
            if password
            else serialization.NoEncryption()
        )
        crt, key = directory / f"{label}.crt", directory / f"{label}.key"
        crt.write_text(self.pem + "".join(issuer.pem for issuer in self.chain))
        key.write_bytes(self.key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, encryption))
        return str(crt), str(key)


class Authority(Issued):
    """Issues certificates; `parent` makes it an intermediate."""

    def __init__(self, label="Test CA", parent=None):
        self.serial = 1000
        key = ec.generate_private_key(ec.SECP256R1())
        subject = name((NameOID.COMMON_NAME, label))
        issuer = parent or self
        if parent is None:
            self.key, self.subject = key, subject
        extensions = [(x509.BasicConstraints(True, None), True), (CA_USAGE, True)]
        certificate = issuer.sign(subject, key, 365, extensions)
        super().__init__(certificate, key)
        self.subject = subject
        self.parent = parent

    def sign(self, subject, key, days, extensions):
        now = datetime.datetime.now(datetime.UTC)
        self.serial += 1
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.subject)
            .public_key(key.public_key())
            .serial_number(self.serial)
            .not_valid_before(now - datetime.timedelta(days=1000))
            .not_valid_after(now + datetime.timedelta(days=days))
        )
        identifiers = [
            (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
            (x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), False),
        ]
        for extension, critical in (*identifiers, *extensions):
            builder = builder.add_extension(extension, critical)
        return builder.sign(self.key, hashes.SHA256())

    def issue(self, *hosts, subject=None, days=90, client=False):
        """A certificate for host names and addresses, or for a client."""
        key = ec.generate_private_key(ec.SECP256R1())
        if subject is None:
            subject = name((NameOID.COMMON_NAME, hosts[0]))
        usage = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
        extensions = [(x509.ExtendedKeyUsage([usage]), False)]
        if hosts:
            names = [general_name(host) for host in hosts]
            extensions.append((x509.SubjectAlternativeName(names), False))
        chain = [self] if self.parent is not None else []
        return Issued(self.sign(subject, key, days, extensions), key, chain)


def general_name(host):
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
