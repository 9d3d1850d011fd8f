"""What a PostgreSQL URL says, read as libpq reads it, and what of it is shown."""

from __future__ import annotations

import pytest

from e2e.command import run
from holdfast.storage.ports import StoreError
from holdfast.storage.postgres.location import has_password, parse_location

SECRETS = (
    "postgresql://user:se#cret@host/db",
    "postgresql://user:se?cret@host/db",
    "postgresql://user:se/cret@host/db",
    "postgresql://user:12/cret@host/db",
    "postgresql://user:se@cret@host/db",
    "postgresql://user:se@cret/secret@host/db",
    "postgresql://user:secret@[::1/db",
    "postgresql://user:secret",
    "postgresql://host/db#?password=secret",
    "postgresql://host/db?pass%77ord=se%63ret",
    "postgresql://host/db?application_name=x&sslpassword=secret",
)


@pytest.mark.parametrize("url", SECRETS)
def test_a_password_is_found_wherever_it_is(url: str) -> None:
    """A ``#``, ``?``, ``/`` or ``@`` in it that is not encoded neither gets it past the command line nor into a message."""
    assert has_password(url)
    try:
        name = parse_location(url).name
    except StoreError as refused:
        name = str(refused)
    assert "cret" not in name.replace("secret", "cret")
    refusal = run("ledger", "info", url)
    assert refusal.code == 2
    assert "cret" not in refusal.errors
    assert "a password on a command line" in refusal.errors


@pytest.mark.parametrize("url", SECRETS)
def test_what_libpq_takes_for_a_password_is_hidden(url: str) -> None:
    """Wherever a URL can be used at all, what libpq finds in it is what is hidden in the errors of the server."""
    conninfo = pytest.importorskip("psycopg.conninfo")
    try:
        location = parse_location(url)
        found = conninfo.conninfo_to_dict(location.server)
    except (StoreError, conninfo.e.ProgrammingError):
        return
    secrets = {str(found[key]) for key in ("password", "sslpassword") if key in found}
    assert secrets
    assert secrets <= set(location.secrets)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://",
        "postgresql:///db",
        "postgres://host",
        "postgresql://user@host:5432/db",
        "postgresql://@host/db",
        "postgresql://one:1,two:2/db?target_session_attrs=read-write",
        "postgresql://[::1]:5432,two/db",
        "postgresql://user@%2Frun%2Fpostgresql:5433/db",
        "postgresql://host/db?options=-c%20work_mem%3D8MB&application_name=a+b",
        "postgresql://host:5432/db?user=me@example",
    ],
)
def test_all_else_goes_to_libpq_as_it_is(url: str) -> None:
    """Holdfast's own parameters go, and nothing else changes: a ``+`` is no space, and a space no ``+``."""
    conninfo = pytest.importorskip("psycopg.conninfo")
    assert not has_password(url)
    own = "holdfast_schema=cards&holdfast_reconnect_seconds=7"
    location = parse_location(f"{url}{'&' if '?' in url else '?'}{own}")
    assert (location.schema, location.reconnect_seconds, location.secrets) == ("cards", 7, ())
    assert conninfo.conninfo_to_dict(location.server) == conninfo.conninfo_to_dict(url)
