"""A `Document` becomes `Call`s; pure: no network, no clock, no disk."""
