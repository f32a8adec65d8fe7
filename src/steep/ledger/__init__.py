"""The one way to call a model that costs something, and the record of every such call."""
