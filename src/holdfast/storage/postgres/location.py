"""What a PostgreSQL URL says: the server, the ledger's schema, and what of it may be shown."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from holdfast.storage.ports import StoreError

SCHEMA_PARAMETER = "holdfast_schema"
RECONNECT_PARAMETER = "holdfast_reconnect_seconds"
_SCHEMA_DEFAULT = "holdfast"
_RECONNECT_SECONDS_DEFAULT = 60
_RECONNECT_SECONDS_MAX = 3600
_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_SECRETS = frozenset({"password", "sslpassword"})
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
    """Whether a URL has a password in it, as user information or as a parameter."""
    parts = urlsplit(url)
    user, at, _ = parts.netloc.rpartition("@")
    return (bool(at) and ":" in user) or any(key in _SECRETS for key, _ in _parameters(parts.query))


def parse_location(url: str) -> PostgresLocation:
    """Read a ``postgresql://`` URL.

    It is a URL of libpq's, with two parameters of Holdfast's own: ``holdfast_schema`` (``holdfast``), the schema that
    the ledger has for itself, and ``holdfast_reconnect_seconds`` (60), for how long a lost connection is tried again.

    Raises:
        StoreError: If one of these is wrong.
    """
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    login, colon, password = user.partition(":")
    secrets = [password] if colon else []
    given = _parameters(parts.query)
    secrets += [value for key, value in given if key in _SECRETS]
    own = {key: value for key, value in given if key in {SCHEMA_PARAMETER, RECONNECT_PARAMETER}}
    others = [(key, value) for key, value in given if key not in own]
    shown = [(key, value) for key, value in given if key not in _SECRETS]
    name = urlunsplit(parts._replace(netloc=login + at + host, query=urlencode(shown)))
    return PostgresLocation(
        urlunsplit(parts._replace(netloc=parts.netloc, query=urlencode(others))),
        _schema(name, own.get(SCHEMA_PARAMETER, _SCHEMA_DEFAULT)),
        _seconds(name, own.get(RECONNECT_PARAMETER, str(_RECONNECT_SECONDS_DEFAULT))),
        name,
        tuple(form for secret in secrets for form in {secret, unquote(secret)} if form),
    )


def _parameters(query: str) -> list[tuple[str, str]]:
    return parse_qsl(query, keep_blank_values=True)


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
