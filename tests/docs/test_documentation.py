"""The parts of a page are found where a reader sees them."""

from __future__ import annotations

from documentation import Command, Mention, Settings, parts_in

PAGE = """# A page

First `steep plan` or `not a command`, then `generate.max_cost_usd` and `steep status
--failed`:

    steep generate --set generate.max_cost_usd=5    # five dollars
                                                    # a comment alone
    steep status --document 'a#02'

```yaml
train:
  tokens: 5
```

```bash
pip install \\
    steep
```

```output
installed steep
```

    Some indented text.

```console
$ steep corpus
3 passages
```

    train:
      tokens: 6
"""


def test_parts_are_found_in_their_order_and_with_their_lines() -> None:
    assert parts_in(PAGE, "p") == [
        Mention("p:3", "steep plan"),
        Mention("p:3", "generate.max_cost_usd"),
        Mention("p:3", "steep status --failed"),
        Command("p:6", "steep generate --set generate.max_cost_usd=5"),
        Command("p:8", "steep status --document 'a#02'"),
        Settings("p:11", "train:\n  tokens: 5"),
        Command("p:16", "pip install     steep", ("installed steep",)),
        Command("p:27", "steep corpus"),
        Settings("p:31", "train:\n  tokens: 6"),
    ]
