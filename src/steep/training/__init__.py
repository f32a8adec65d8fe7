"""Shards become a checkpoint: loop, optimizer, checkpoints, export."""
