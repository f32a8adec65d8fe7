"""Stable hashes and derived seeds: the same input gives the same id on every machine and rerun."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

_quote = json.encoder.encode_basestring
_encode = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode


def canonical_json(value: Any) -> str:
    """Serialize to JSON with sorted keys and no spaces, so that equal values are equal strings."""
    return _encode(value)


def stable_hash(value: Any, length: int = 32) -> str:
    """Hash a JSON-serialisable value to `length` hexadecimal digits (BLAKE2b)."""
    digest = hashlib.blake2b(canonical_json(value).encode(), digest_size=32)
    return digest.hexdigest()[:length]


def stable_hash_of_list(items: Iterable[Any], length: int = 32) -> str:
    """Return `stable_hash` of a list whose items come one by one, and need not fit into memory."""
    digest = hashlib.blake2b(b"[", digest_size=32)
    for number, item in enumerate(items):
        digest.update(("," * (number > 0) + canonical_json(item)).encode())
    digest.update(b"]")
    return digest.hexdigest()[:length]


def derive_seed(*parts: str | int) -> int:
    """Derive a 63-bit seed from its parts, e.g. `derive_seed(run_seed, document_id, 3)`."""
    # The first 16 digits of `stable_hash(list(parts))`; in half of its time.
    written = (each if isinstance(each, int) else _quote(each) for each in parts)
    text = f"[{','.join(map(str, written))}]"
    digest = hashlib.blake2b(text.encode(), digest_size=32).digest()
    return int.from_bytes(digest[:8], "big") >> 1
