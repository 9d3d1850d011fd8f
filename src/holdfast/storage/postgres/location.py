"""What a PostgreSQL URL says: the server, the ledger's schema, and what of it may be shown."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote

from holdfast.storage.ports import StoreError

SCHEMA_PARAMETER = "holdfast_schema"
RECONNECT_PARAMETER = "holdfast_reconnect_seconds"
_SCHEMA_DEFAULT = "holdfast"
_RECONNECT_SECONDS_DEFAULT = 60
_RECONNECT_SECONDS_MAX = 3600
_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_OWN = frozenset({SCHEMA_PARAMETER, RECONNECT_PARAMETER})
_SECRETS = frozenset(
    {"password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key"}
)
_PORT = re.compile("[0-9]*")
_AFTER_ADDRESS = re.compile(r"^\[[^\]]*\]")
_HIDDEN = "***"


class PostgresLocation(NamedTuple):
    """Where a ledger is on a PostgreSQL server. Make one with :func:`parse_location`."""

    server: str
    """The URL for libpq, with a password if one was given: never shown."""
    schema: str
    """The database schema that the ledger has for itself."""
    reconnect_seconds: int
    """For how long a lost connection is tried again."""
    name: str
    """The URL without any password: what messages say."""
    secrets: tuple[str, ...]
    """What must not be shown, should an error of the server quote it."""

    def hide(self, text: str) -> str:
        """Take the password out of a message."""
        for secret in self.secrets:
            text = text.replace(secret, _HIDDEN)
        return text


def has_password(url: str) -> bool:
    """Whether a URL has a password in it, as user information or as a parameter, or what may be one that is not encoded."""
    parts = _split(url)
    return (
        parts.password is not None or parts.is_ambiguous or any(_is_secret(each) for each in parts.parameters)
    )


def parse_location(url: str) -> PostgresLocation:
    """Read a ``postgresql://`` URL.

    It is a URL of libpq's, with two parameters of Holdfast's own: ``holdfast_schema`` (``holdfast``), the schema that
    the ledger has for itself, and ``holdfast_reconnect_seconds`` (60), for how long a lost connection is tried again.

    Raises:
        StoreError: If one of these is wrong, or it cannot be told where a password ends.
    """
    parts = _split(url)
    if parts.is_ambiguous:
        raise StoreError(
            f"{parts.scheme}://{_HIDDEN}: this URL has an @ after its server's name, or a port that is no number; in a "
            "password and in all other names, write @ as %40, / as %2F, : as %3A"
        )
    secrets = [] if parts.password is None else [parts.password]
    secrets += [each.partition("=")[2] for each in parts.parameters if _is_secret(each)]
    own = {_key(each): unquote(each.partition("=")[2]) for each in parts.parameters if _key(each) in _OWN}
    name = _join(
        parts._replace(
            password=None, parameters=tuple(each for each in parts.parameters if not _is_secret(each))
        )
    )
    return PostgresLocation(
        _join(parts._replace(parameters=tuple(each for each in parts.parameters if _key(each) not in _OWN))),
        _schema(name, own.get(SCHEMA_PARAMETER, _SCHEMA_DEFAULT)),
        _seconds(name, own.get(RECONNECT_PARAMETER, str(_RECONNECT_SECONDS_DEFAULT))),
        name,
        tuple(form for secret in secrets for form in {secret, unquote(secret)} if form),
    )


class _UrlParts(NamedTuple):
    """A URL in the pieces in which libpq reads it, which differ from those of other URLs; not decoded."""

    scheme: str
    user: str
    password: str | None
    servers: str
    database: str
    parameters: tuple[str, ...]

    @property
    def is_ambiguous(self) -> bool:
        """Whether the servers or the database may be what comes after a ``/``, ``:`` or ``@`` in a password."""
        ports = [_AFTER_ADDRESS.sub("", each).partition(":")[2] for each in self.servers.split(",")]
        return "@" in self.servers + self.database or any(not _PORT.fullmatch(port) for port in ports)


def _split(url: str) -> _UrlParts:
    scheme, _, rest = url.partition("://")
    login = password = colon = ""
    end = re.search("[@/]", rest)
    if end is not None and end.group() == "@":
        login, colon, password = rest[: end.start()].partition(":")
        rest = rest[end.end() :]
    where, _, query = rest.partition("?")
    servers, slash, database = where.partition("/")
    return _UrlParts(
        scheme,
        login,
        password if colon else None,
        servers,
        slash + database,
        tuple(filter(None, query.split("&"))),
    )


def _join(parts: _UrlParts) -> str:
    login = parts.user if parts.password is None else f"{parts.user}:{parts.password}"
    query = "?" + "&".join(parts.parameters) if parts.parameters else ""
    return f"{parts.scheme}://{login}{'@' if login else ''}{parts.servers}{parts.database}{query}"


def _key(parameter: str) -> str:
    return unquote(parameter.partition("=")[0])


def _is_secret(parameter: str) -> bool:
    return _key(parameter) in _SECRETS


def _schema(name: str, schema: str) -> str:
    if _SCHEMA.fullmatch(schema) is None or schema.startswith("pg_"):
        raise StoreError(
            f"{name}: {SCHEMA_PARAMETER} is a name of small letters, digits and _, at most 63 of them, not {schema!r}"
        )
    return schema


def _seconds(name: str, text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) < 6 and int(text) <= _RECONNECT_SECONDS_MAX:
        return int(text)
    raise StoreError(
        f"{name}: {RECONNECT_PARAMETER} is a number from 0 to {_RECONNECT_SECONDS_MAX}, not {text!r}"
    )
