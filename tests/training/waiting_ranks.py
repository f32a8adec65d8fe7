"""Two ranks of which one is always late: `waiting_ranks.py DIRECTORY`.

They connect twice, and the main rank is later each time, and in its own work, than an operation on
the devices may take. What a rank has seen goes to DIRECTORY/<rank>.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from datetime import timedelta
from functools import partial
from pathlib import Path

import torch
from checkpoint_processes import end, start

from steep.core.errors import UserError
from steep.training import parallel
from steep.training.parallel import connect, disconnect, gloo_thread_states

TIMEOUT_S, LATE_S = 2.0, 3.0


def refuse() -> None:
    raise UserError("The disk is full.")


def wait(directory: Path, rank: int, port: int) -> None:
    """Be one of the ranks."""
    parallel.TIMEOUT = timedelta(seconds=TIMEOUT_S)
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in place.items()})
    os.environ.update(MASTER_ADDR="127.0.0.1", GLOO_SOCKET_IFNAME="lo")
    seen: list[object] = []
    for _ in range(2):
        time.sleep(0 if rank else LATE_S)
        world = connect()
        world.on_main(partial(time.sleep, LATE_S))
        seen.append(world.sum(torch.tensor(rank + 1)).item())
        seen.append(world.together(lambda: rank * 10))
        try:
            world.on_main(refuse)
        except UserError as error:
            seen.append(error.problem)
        disconnect(world)
        seen.append(sorted(set(gloo_thread_states())))
    (directory / str(rank)).write_text(json.dumps(seen))


def main(directory: Path) -> None:
    torch.set_num_threads(1)
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        port = opened.getsockname()[1]
    ranks = [start(partial(wait, directory, rank, port)) for rank in range(2)]
    sys.exit(max(map(end, ranks)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
