"""`python -m steep`: the same as the command `steep`."""

from steep.cli import main

main()
