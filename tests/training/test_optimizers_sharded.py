"""Two ranks of sharded weights end where one process does, and their states load into one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import optimizers_sharded_setup
import pytest
import torch
from optimizers_sharded_setup import KINDS, make, make_module, tensors, train
from torch.distributed.checkpoint.state_dict_loader import load

from steep.training.config import OptimizerName


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("ranks")
    script = optimizers_sharded_setup.__file__
    subprocess.run([sys.executable, "-W", "ignore", script, directory], check=True, timeout=120)
    return directory


@pytest.mark.filterwarnings("ignore:torch.distributed is disabled:UserWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_states_of_two_ranks_load_into_one_bit_for_bit(
    two_ranks: Path, kind: OptimizerName
) -> None:
    """Rounding at random too: the noise belongs to an element, wherever it lies."""
    module = make_module(kind)
    optimizer = make(module, kind)
    load(tensors(module, optimizer), checkpoint_id=two_ranks / kind, no_dist=True)
    alone = make_module(kind)
    its_optimizer = make(alone, kind)
    train(alone, its_optimizer)
    loaded = tensors(module, optimizer)
    for name, tensor in tensors(alone, its_optimizer).items():
        assert torch.equal(loaded[name], tensor), name
