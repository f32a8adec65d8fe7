from __future__ import annotations

from steep.core.cache_argument import cache_argument


def test_the_name_is_that_of_the_function() -> None:
    def earlier(past_key_values: object = None, use_cache: bool = True) -> None: ...

    def later(cache: object = None, use_cache: bool = True) -> None: ...

    assert cache_argument(earlier) == "past_key_values"
    assert cache_argument(later) == "cache"
