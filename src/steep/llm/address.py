"""Addresses of endpoints and the keys for them, checked before anything is sent."""

from __future__ import annotations

import os
import re
import unicodedata
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from steep.core.errors import UserError

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
CHAT_PATH = "/chat/completions"
_SECRET = re.compile(r"key|token|secret|sig|password|passwd|credential|^code$", re.IGNORECASE)


def checked_url(base_url: str, section: str = "generate") -> str:
    """Return the address without its last slash; `section` of the configuration has it.

    A query (`?api-version=...` of Azure) stays: `address` puts it behind the path of a request.

    Raises:
        UserError: It is no address of an endpoint, or holds a password or a key.
    """
    try:
        parts = urlsplit(base_url.strip())
        odd = not parts.hostname or parts.port == 0
    except ValueError:  # a port that is no number, half an IPv6 address
        parts, odd = urlsplit(""), True
    if parts.scheme not in ("http", "https") or odd or parts.fragment:
        raise UserError(
            "This is not the address of an endpoint.",
            where=f"{section}.base_url",
            expected="like http://localhost:8000/v1",
            found=base_url.rpartition("@")[2].partition("?")[0],
        )
    names = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True)]
    secret = next((name for name in names if _SECRET.search(name)), None)
    if "@" in parts.netloc or secret:
        held = f"a secret in its query ('{secret}')" if secret else "a user name or password"
        raise UserError(
            f"The address holds {held}, which would end up in records.",
            where=f"{section}.base_url",
            hint="put the key into an environment variable, and name the variable instead",
        )
    path = parts.path.rstrip("/")
    if path.endswith(CHAT_PATH):
        raise UserError(
            "The address holds the path of a request, which is added to it.",
            where=f"{section}.base_url",
            expected=urlunsplit(parts._replace(path=path.removesuffix(CHAT_PATH))),
            found=base_url,
        )
    return urlunsplit(parts._replace(path=path))


def address(base_url: str, path: str) -> str:
    """Return the address of a request: the path, and behind it the query of the base."""
    base, mark, query = base_url.partition("?")
    return f"{base}/{path}{mark}{query}"


def read_key(api_key_env: str | None, endpoint: str, section: str = "generate") -> str | None:
    """Return the key in an environment variable, or None if none is named.

    Raises:
        UserError: The variable is not set, or holds what cannot be part of a key.
    """
    if api_key_env is None:
        return None
    key = os.environ.get(api_key_env, "").strip()
    if not key:
        raise UserError(
            f"The environment variable {api_key_env} is not set, or empty.",
            where=f"{section}.api_key_env",
            expected=f"the key of {endpoint}",
            hint=f"export {api_key_env}=..., or name no variable if no key is needed",
        )
    strays = [_stray(key, at) for at, each in enumerate(key) if not "!" <= each <= "~"]
    if key[0] == key[-1] and key[0] in "'\"":
        strays.append("quotation marks around it")
    if strays:
        raise UserError(
            f"The key in the environment variable {api_key_env} holds a character that is no part "
            "of a key.",
            where=f"{section}.api_key_env",
            found=", ".join(strays[:3]) + (f" and {len(strays) - 3} more" * (len(strays) > 3)),
            expected="one line of letters, digits and signs, without blanks",
            hint="copy the key again; some programs add such characters when they copy",
        )
    return key


def key_headers(key: str | None, endpoint: str) -> dict[str, str]:
    """Return the headers that carry the key; Azure's classic addresses have one of their own."""
    if not key:
        return {}
    parts = urlsplit(endpoint)
    azure = "api-version=" in parts.query or (parts.hostname or "").endswith(".azure.com")
    return {"Authorization": f"Bearer {key}", **({"api-key": key} if azure else {})}


def _stray(key: str, at: int) -> str:
    """Name a character of a key, and not what stands around it."""
    names = {"\n": "a line break", "\r": "a line break", " ": "a blank", "\t": "a tab"}
    name = unicodedata.name(key[at], "a control character").lower()
    return f"{names.get(key[at]) or f'U+{ord(key[at]):04X}, {name},'} at character {at + 1}"
