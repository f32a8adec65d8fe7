from __future__ import annotations

import pytest

from steep.core.errors import UserError
from steep.llm.address import address, checked_url, key_headers, read_key

AZURE = "https://name.openai.azure.com/openai/deployments/d?api-version=2024-10-21"


def test_a_query_stays_behind_the_path() -> None:
    assert checked_url(AZURE) == AZURE
    assert address(AZURE, "chat/completions") == AZURE.replace("?", "/chat/completions?")
    assert checked_url(" http://host/v1/ ") == "http://host/v1"
    assert address("http://host/v1", "files") == "http://host/v1/files"


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("http://host/v1?api_key=s3cret", "a secret in its query"),
        ("http://host/v1/chat/completions", "the path of a request"),
        ("http://host/v1#top", "not the address"),
        ("http://host:port/v1", "not the address"),
        ("http://[::1/v1", "not the address"),
    ],
)
def test_addresses_that_are_refused(url: str, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint) as caught:
        checked_url(url)
    assert "s3cret" not in str(caught.value)


def test_azure_has_a_header_of_its_own_for_the_key() -> None:
    assert key_headers("k", AZURE) == {"Authorization": "Bearer k", "api-key": "k"}
    assert key_headers("k", "http://host/v1") == {"Authorization": "Bearer k"}
    assert key_headers(None, AZURE) == {}


@pytest.mark.parametrize(
    ("key", "named"),
    [
        ("sk-first\nsk-second", "a line break at character 9"),
        ("sk-fir\u200bst", "U+200B, zero width space, at character 7"),
        ("sk-first\ufeff", "U+FEFF"),
        ("Bearer sk-first", "a blank at character 7"),
        ("sk\u2013first", "U+2013, en dash, at character 3"),
        ("'sk-first'", "quotation marks around it"),
    ],
)
def test_strays_in_a_key_are_named_and_the_key_is_not_shown(
    key: str, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEEP_TEST_KEY", key)
    with pytest.raises(UserError) as caught:
        read_key("STEEP_TEST_KEY", "http://host/v1")
    assert named in str(caught.value)
    assert "first" not in str(caught.value)


def test_blanks_around_a_key_are_no_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEEP_TEST_KEY", " sk-first \r\n")
    assert read_key("STEEP_TEST_KEY", "http://host/v1") == "sk-first"
