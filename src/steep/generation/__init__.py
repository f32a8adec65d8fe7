"""The plan, the scheduler and the ledger (SQLite)."""
