"""What certificates say, how failures are named, and when files are looked at."""

import datetime
import ssl

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID, ObjectIdentifier
from pki import Authority, name

from asgiserver.config.fields import Config
from asgiserver.errors import ConfigError
from asgiserver.log.refusals import LinesPerPeer
from asgiserver.server import tls as tls_module
from asgiserver.server.certificates import expiry, subject_name
from asgiserver.server.redirect import https_port
from asgiserver.server.tls import TLS, failure_reason


@pytest.fixture(scope="module")
def ca():
    return Authority()


CN, ORG, OU = NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME, NameOID.ORGANIZATIONAL_UNIT_NAME


class TestCertificates:
    @pytest.mark.parametrize(
        ("pairs", "text"),
        [
            ([(CN, "alice")], "CN=alice"),
            ([(NameOID.COUNTRY_NAME, "DE"), (ORG, "Ex"), (CN, "a")], "CN=a,O=Ex,C=DE"),
            (
                [(NameOID.DOMAIN_COMPONENT, "net"), (NameOID.DOMAIN_COMPONENT, "example")],
                "DC=example,DC=net",
            ),
            ([(NameOID.USER_ID, "u1"), (NameOID.STREET_ADDRESS, "s")], "STREET=s,UID=u1"),
            ([(NameOID.LOCALITY_NAME, "l"), (NameOID.STATE_OR_PROVINCE_NAME, "s")], "ST=s,L=l"),
            ([(CN, 'a,b+c"d\\e<f>g;h=i#j')], 'CN=a\\,b\\+c\\"d\\\\e\\<f\\>g\\;h=i#j'),
            ([(CN, " a ")], "CN=\\ a\\ "),
            ([(CN, "#a")], "CN=\\#a"),
            ([(CN, " ")], "CN=\\ "),
            ([(CN, "Łukasz 日本")], "CN=Łukasz 日本"),
            ([(CN, "a\r\nb\x00")], "CN=a\\0d\\0ab\\00"),
            ([(NameOID.EMAIL_ADDRESS, "a@b")], "1.2.840.113549.1.9.1=#1603614062"),
            ([(ObjectIdentifier("2.999.3"), "x")], "2.999.3=#0c0178"),
            ([], ""),
        ],
    )
    def test_subject(self, ca, pairs, text):
        assert subject_name(ca.issue(subject=name(*pairs), client=True).der) == text

    def test_several_values_at_one_level(self, ca):
        attributes = [x509.NameAttribute(CN, "a"), x509.NameAttribute(OU, "b")]
        subject = x509.Name([x509.RelativeDistinguishedName(attributes)])
        assert subject_name(ca.issue(subject=subject).der) == subject.rfc4514_string()

    @pytest.mark.parametrize("days", [1, 20 * 365, 50 * 365])  # UTCTime, GeneralizedTime
    def test_expiry(self, ca, days):
        issued = ca.issue("a", days=days)
        assert expiry(issued.der) == issued.certificate.not_valid_after_utc


def ssl_error(reason):
    error = ssl.SSLError(1, "x")
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ssl_error("HTTP_REQUEST"), "plain HTTP on a TLS port; use https"),
        (ssl_error("SOMETHING"), "TLS handshake failed"),
        (ssl.SSLEOFError(), None),
        (ConnectionAbortedError(), "TLS handshake timed out"),
        (ConnectionResetError(), None),
        (OSError(), None),
    ],
)
def test_failures(error, reason):
    assert failure_reason(error) == reason


def test_once_per_peer():
    said = LinesPerPeer()
    assert said.count("a", 0.0) == 1
    assert said.count("a", 59.0) == 2
    assert said.count("b", 59.0) == 1
    assert said.count("a", 60.0) == 1
    for number in range(3000):
        said.count(str(number), 60.0)
    assert "1024" in repr(said)


@pytest.mark.parametrize(
    ("host", "own_port", "tls_port", "port"),
    [
        (b"a", 80, 443, 443),
        (b"a", 80, 8443, 8443),
        (b"a", 8080, 8443, 443),  # both are mapped
        (b"a:8080", 8080, 8443, 8443),
        (b"a:", 8080, 8443, 443),
        (b"", 8080, 8443, 443),
        (b"a:8080", 8080, None, 443),
    ],
)
def test_port_of_https(host, own_port, tls_port, port):
    assert https_port(host, own_port, tls_port) == port


class TestTLS:
    @pytest.fixture
    def options(self, ca, tmp_path):
        crt, key = ca.issue("localhost").write(tmp_path, "server")
        return {"ssl_certfile": crt, "ssl_keyfile": key}

    def test_defaults(self, options):
        context = TLS(Config("a:b", **options)).context
        assert context.minimum_version == ssl.TLSVersion.TLSv1_2
        assert context.options & ssl.OP_NO_RENEGOTIATION
        assert context.options & ssl.OP_NO_COMPRESSION
        assert context.verify_mode == ssl.CERT_NONE

    def test_files_are_looked_at_every_30_seconds(self, ca, options, tmp_path):
        tls = TLS(Config("a:b", **options))
        first = tls.context
        tls.on_tick(100.0)
        ca.issue("localhost").write(tmp_path, "server")
        tls.on_tick(129.0)
        assert tls.context is first
        tls.on_tick(130.0)
        assert tls.context is not first

    def test_a_half_written_renewal_is_tried_again(self, ca, options, tmp_path, caplog):
        tls = TLS(Config("a:b", **options))
        first = tls.context
        renewed = ca.issue("localhost")
        renewed.write(tmp_path, "new")
        (tmp_path / "new.crt").replace(tmp_path / "server.crt")
        tls.on_tick(100.0)
        assert tls.context is first
        assert "the key is not that of the certificate" in caplog.text
        (tmp_path / "new.key").replace(tmp_path / "server.key")
        tls.on_tick(200.0)
        assert tls.context is not first

    def test_swapped_links_are_a_change(self, ca, options, tmp_path):
        """As volumes of secrets are renewed in Kubernetes."""
        for generation in ("one", "two"):
            (tmp_path / generation).mkdir()
            ca.issue("localhost").write(tmp_path / generation, "tls")
        data = tmp_path / "data"
        data.symlink_to("one")
        crt, key = str(data / "tls.crt"), str(data / "tls.key")
        tls = TLS(Config("a:b", ssl_certfile=crt, ssl_keyfile=key))
        first = tls.context
        tls.on_tick(0.0)
        (tmp_path / "next").symlink_to("two")
        (tmp_path / "next").replace(data)
        tls.on_tick(100.0)
        assert tls.context is not first

    def test_expiry_is_said_once_a_day(self, ca, tmp_path, caplog, monkeypatch):
        crt, key = ca.issue("localhost", days=5).write(tmp_path, "server")
        tls = TLS(Config("a:b", ssl_certfile=crt, ssl_keyfile=key))
        for second in range(0, 300, 30):
            tls.on_tick(float(second))
        assert caplog.text.count("expires in 4 days") == 1
        tls._next_notice -= datetime.timedelta(days=1)
        tls.on_tick(1000.0)
        assert caplog.text.count("expires in 4 days") == 2

    def test_an_expired_certificate_is_served_and_named(self, ca, tmp_path, caplog):
        crt, key = ca.issue("localhost", days=-5).write(tmp_path, "server")
        TLS(Config("a:b", ssl_certfile=crt, ssl_keyfile=key))
        assert "TLS certificate (default) has expired on" in caplog.text

    def test_a_context_without_a_certificate_is_refused(self):
        def factory(config, default):
            return ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

        with pytest.raises(ConfigError, match="TLS does not work with this certificate"):
            TLS(Config("a:b", ssl_context_factory=factory))

    def test_the_default_context_needs_a_certificate(self):
        with pytest.raises(ConfigError, match="give ssl_certfile and ssl_keyfile"):
            TLS(Config("a:b", ssl_context_factory=lambda config, default: default()))

    def test_certificate_after_a_client_certificate(self, ca, options, tmp_path):
        """TLS 1.3 shows it before the client sends its own; what cannot be seen is no error."""
        (tmp_path / "ca.pem").write_text(ca.pem)
        options |= {"ssl_ca_certs": str(tmp_path / "ca.pem"), "ssl_cert_reqs": 2}

        def old(config, default):
            context = default()
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            return context

        assert tls_module.presented_certificate(TLS(Config("a:b", **options)).context)
        TLS(Config("a:b", **options, ssl_context_factory=old))
