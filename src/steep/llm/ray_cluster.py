"""Connect to a Ray cluster, with a clear error in seconds if that is impossible."""

from __future__ import annotations

import logging
import os
import socket

from steep.core.errors import UserError

KNOCK_S = 10.0


def connect(address: str | None, section: str = "generate") -> bool:
    """Connect to a cluster, or start one; True when the connection is ours to end.

    Args:
        address: host:port, or "auto"; None starts a cluster on this machine.
        section: Of the configuration that has the address.

    Raises:
        UserError: There is no such cluster.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # read when Ray is imported, and by what it starts
    import ray
    import ray._private.worker

    if ray.is_initialized():
        return False
    # Raylets print their last messages to our standard output, which a script may be reading. The
    # run logs its own messages instead. There is no public switch.
    ray._private.worker._worker_logs_enabled = False
    logging.getLogger("ray").setLevel(logging.ERROR)
    quiet = {"log_to_driver": False, "configure_logging": False}
    try:
        if address is None:
            ray.init(address="local", include_dashboard=False, **quiet)
        else:
            _knock(address)
            ray.init(address=address, **quiet)
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(
            "There is no Ray cluster to connect to.",
            where=f"{section}.ray_address '{address}'",
            expected="host:port of a running cluster of the same Ray and Python version, 'auto' "
            "on one of its nodes, or null to start one on this machine",
            found=brief(error),
        ) from error
    return True


def _knock(address: str) -> None:
    """Check that a cluster answers: Ray itself would try for minutes, then end the process."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or "://" in address:
        raise ValueError("not an address of this form")
    socket.create_connection((host, int(port)), timeout=KNOCK_S).close()


def check_room(actors: int, cpus_per_actor: float, gpus_per_actor: float) -> None:
    """See that the cluster is large enough.

    Raises:
        UserError: It is not; Ray would wait for ever.
    """
    import ray

    room = ray.cluster_resources()
    for key, name, each in (
        ("CPU", "ray_cpus_per_actor", cpus_per_actor),
        ("GPU", "ray_gpus_per_actor", gpus_per_actor),
    ):
        if each > 0 and room.get(key, 0.0) < actors * each:
            raise UserError(
                f"The Ray cluster has too few {key}s for {actors} actors.",
                where=f"generate.{name}, generate.ray_actors",
                expected=f"{actors} x {each:g} {key}s",
                found=f"{room.get(key, 0.0):g}",
                hint="set generate.ray_actors to what fits, or add nodes first",
            )


def brief(error: BaseException) -> str:
    """Return the most informative line of an error; Ray adds its state, or a remote traceback."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    return lines[-1] if "creation task" in lines[0] else lines[0]
