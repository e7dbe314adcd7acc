"""The command line, and the only place that knows both planes: `chorale serve` runs them in one process."""

import argparse
import datetime
import ipaddress
import os
import socket
import sys
import textwrap
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from control_plane import app as control
from control_plane.logs import configure_logs
from control_plane.settings import Settings, SettingsError, load_settings
from control_plane.voice.grants import Grants, KeyUnusable
from data_plane import link
from data_plane.addresses import interface_addresses
from data_plane.node import SIGNALLING_PATH, Node
from data_plane.settings import FILE_KEYS, NodeSettingsError, load_node_settings
from proto import gateway, signalling

DESCRIPTION = """\
Chorale: a self-hosted place to talk. Communities with text and voice, in one process, with nothing else to install.
"""

SERVE = """\
Run everything in one process: accounts, servers, channels, messages (SQLite in the data directory), the gateway, the
page, and a media node that forwards voice. Stop it with Ctrl+C: clients are told, nothing is lost.

Every option is also a variable, and a line of the TOML file that CHORALE_CONFIG names; an option wins over a variable,
a variable over the file:

  --host             CHORALE_HOST              --media-port       CHORALE_MEDIA_PORT
  --port             CHORALE_PORT              --media-address    CHORALE_MEDIA_ADDRESSES (comma-separated)
  --data             CHORALE_DATA_DIR          --media-announce   CHORALE_MEDIA_ANNOUNCE (comma-separated)
"""

EXAMPLES = """\
examples:
  chorale serve                                      this machine only, http://127.0.0.1:8080
  chorale serve --host 0.0.0.0 --tls-self-signed     the local network; browsers warn once about the certificate
  chorale serve --host 0.0.0.0 --port 443 --tls-cert fullchain.pem --tls-key privkey.pem
"""


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    try:
        return _serve(arguments)
    except (SettingsError, NodeSettingsError, KeyUnusable) as wrong:
        print(f"chorale: {wrong}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="chorale", description=DESCRIPTION)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    serve = commands.add_parser(
        "serve",
        help="run everything in one process",
        description=SERVE,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    serve.add_argument("--host", help="address of the page and the API (default 127.0.0.1)")
    serve.add_argument("--port", help="their TCP port; 0 takes a free one (default 8080)")
    serve.add_argument("--data", metavar="DIR", dest="data_dir", help="where everything is kept (default ./var)")
    serve.add_argument(
        "--media-port",
        metavar="PORT",
        help="first UDP and TCP port of voice, one for each worker; 0 takes free ones (default 0)",
    )
    serve.add_argument(
        "--media-address",
        metavar="ADDRESS",
        dest="media_addresses",
        action="append",
        help="a local address for voice, given once for each (default: this machine's own)",
    )
    serve.add_argument(
        "--media-announce",
        metavar="ADDRESS",
        dest="media_announce",
        action="append",
        help="an address that clients are told instead, where a router or a cloud translates",
    )
    tls = serve.add_argument_group("HTTPS", "browsers give a microphone only to localhost and to HTTPS pages")
    tls.add_argument("--tls-cert", metavar="FILE", help="certificate chain, PEM")
    tls.add_argument("--tls-key", metavar="FILE", help="its private key, PEM")
    tls.add_argument("--tls-self-signed", action="store_true", help="make a certificate and keep it in --data")
    return parser


def _environment(arguments: argparse.Namespace) -> Mapping[str, str]:
    """The environment with the options laid over it."""
    given = {}
    for name in ("host", "port", "data_dir", "media_port"):
        if (value := getattr(arguments, name)) is not None:
            given["CHORALE_" + name.upper()] = value
    for name in ("media_addresses", "media_announce"):
        if value := getattr(arguments, name):
            given["CHORALE_" + name.upper()] = ",".join(value)
    return {**os.environ, **given}


def _serve(arguments: argparse.Namespace) -> int:
    os.umask(0o077)  # the database and the keys are nobody else's to read
    environment = _environment(arguments)
    settings = load_settings(environment, also=FILE_KEYS)
    node_settings = load_node_settings(environment)
    certificate = _certificate(arguments, settings)
    configure_logs()
    grants = Grants.open(settings.data_dir)
    ours, theirs = link.local_link(node_id="local", signalling=SIGNALLING_PATH)
    node = Node(node_settings, link=theirs, node_id="local", grant_key=grants.public_key, ice=settings.ice)
    application = control.build(settings, ours, routes=node.routes(), around=node.running)
    config = uvicorn.Config(
        application,
        host=settings.host,
        port=settings.port,
        access_log=False,
        log_level="warning",
        ws_max_size=max(gateway.MAX_FRAME, signalling.MAX_FRAME) * 2,
        ws_ping_interval=None,  # both protocols have heartbeats of their own
        ws_per_message_deflate=False,  # a frame for a room is encoded once; deflate would be once a socket
        server_header=False,
        timeout_graceful_shutdown=5,
        ssl_certfile=certificate and certificate[0],
        ssl_keyfile=certificate and certificate[1],
    )
    with suppress(KeyboardInterrupt):  # which uvicorn raises again after it has stopped in order
        _Server(config, node, settings.data_dir).run()
    return 0


class _Server(uvicorn.Server):
    """Says where it is, once it is there."""

    def __init__(self, config: uvicorn.Config, node: Node, data_dir: Path) -> None:
        super().__init__(config)
        self._node, self._data_dir = node, data_dir

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._node.farewell()  # before the sockets close: a stay that is over is not a lost connection
        await super().shutdown(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.should_exit:
            return
        host, secure = self.config.host, self.config.is_ssl
        port = self.servers[0].sockets[0].getsockname()[1]
        scheme = "https" if secure else "http"
        first, *others = [f"{scheme}://{f'[{each}]' if ':' in each else each}:{port}" for each in _reached_at(host)]
        reach = self._node.reach
        lines = [
            f"Chorale is ready at {first}",
            *(f"                and {each}" for each in others),
            f"  data    {self._data_dir.resolve()}",
            f"  voice   {reach.transports}",
            f"          at {', '.join(reach.addresses)}",
            "",
            "Open the address in two browser windows (one of them private), sign up in each,",
            "invite one from the other, and join the voice channel. Ctrl+C stops.",
        ]
        if not secure and not _is_loopback(host):
            lines += [
                "",
                "Browsers give a page a microphone only over HTTPS or on localhost: start with --tls-self-signed,",
                "or with --tls-cert and --tls-key.",
            ]
        for doubt in await reach.doubts(exposed=not _is_loopback(host)):
            lines += ["", *textwrap.wrap(doubt, 100)]
        print("\n".join(lines), flush=True)


def _reached_at(host: str) -> list[str]:
    """What to type into a browser: nobody can open 0.0.0.0."""
    if host not in ("0.0.0.0", "::"):  # noqa: S104
        return [host]
    return ["localhost", *interface_addresses(6 if host == "::" else 4)]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _certificate(arguments: argparse.Namespace, settings: Settings) -> tuple[str, str] | None:
    """Paths of chain and key, or None for plain HTTP. Raises SettingsError."""
    cert, key = arguments.tls_cert, arguments.tls_key
    if bool(cert) != bool(key):
        raise SettingsError("--tls-cert and --tls-key go together: give both files.")
    if cert and arguments.tls_self_signed:
        raise SettingsError("--tls-self-signed makes a certificate: leave out --tls-cert and --tls-key, or it.")
    if cert:
        for path in (cert, key):
            if not os.access(path, os.R_OK):
                raise SettingsError(f"{path!r} cannot be read.")
        return cert, key
    if arguments.tls_self_signed:
        return _self_signed(settings)
    return None


def _self_signed(settings: Settings) -> tuple[str, str]:
    """A certificate for a year, kept so that browsers warn once."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    cert_path, key_path = settings.data_dir / "self-signed.pem", settings.data_dir / "self-signed.key"
    now = datetime.datetime.now(datetime.UTC)
    names = _names(settings.host)
    if cert_path.exists() and key_path.exists():
        kept = x509.load_pem_x509_certificate(cert_path.read_bytes())
        covers = kept.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        if kept.not_valid_after_utc > now + datetime.timedelta(days=7) and list(covers) == names:
            return str(cert_path), str(key_path)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Chorale, self-signed")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=365))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, format_, plain = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    with open(os.open(key_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(key.private_bytes(pem, format_, plain))
    cert_path.write_bytes(certificate.public_bytes(pem))
    return str(cert_path), str(key_path)


def _names(host: str) -> list[x509.GeneralName]:
    """What a browser may call this machine."""
    names: list[x509.GeneralName] = [x509.DNSName("localhost"), x509.DNSName(socket.gethostname())]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return [*names, x509.DNSName(host)] if host != "localhost" else names
    addresses = interface_addresses(address.version) if address.is_unspecified else [host]
    return names + [x509.IPAddress(ipaddress.ip_address(each)) for each in addresses]


if __name__ == "__main__":
    sys.exit(main())
