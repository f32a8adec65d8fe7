"""The kernels that torch.compile makes for an H100, compiled to machine code without a GPU.

A library that answers for the driver (pretend_h100.c, built here by gcc) is loaded before PyTorch,
so that inductor finds a device of compute capability 9.0. Tensors are fake: they have shapes, but
no values. What inductor generates is not run, but compiled by Triton and its ptxas; registers,
spills and instructions are read from the machine code.
"""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import torch

SOURCE = Path(__file__).with_name("pretend_h100.c")
PRETENDING = "STEEP_PRETEND_H100"
# Of one streaming multiprocessor of compute capability 9.0 (CUDA C++ Programming Guide, table of
# technical specifications).
REGISTERS, WARPS, BLOCKS, SHARED_BYTES = 65536, 64, 32, 233472
REGISTER_UNIT, SHARED_RESERVED = 256, 1024  # allocated per warp, and per block
# On the pipe of transcendental functions: a quarter of a warp's threads in two cycles.
SLOW = ("MUFU", "I2F", "F2I", "FRND", "F2F", "I2I")


@dataclass(frozen=True)
class Code:
    """The machine code of a kernel in one shape of its blocks.

    Attributes:
        blocks: The shape, for example "XBLOCK 4".
        threads: Of a thread block.
        elements: That a thread block works on at once.
        registers: Of a thread.
        stack_bytes: Of a thread: where registers are spilled to.
        shared_bytes: Of a thread block.
        instructions: Of a thread, without subroutines (the rare cases of divisions and roots).
        slow: Instructions among them that convert numbers or approximate functions.
    """

    blocks: str
    threads: int
    elements: int
    registers: int
    stack_bytes: int
    shared_bytes: int
    instructions: int
    slow: int

    @property
    def warps(self) -> int:
        """Warps that are resident on a multiprocessor at most."""
        of_block = -(-self.threads // 32)
        of_warp = -(-self.registers * 32 // REGISTER_UNIT) * REGISTER_UNIT
        by_registers = REGISTERS // of_warp // of_block
        by_memory = SHARED_BYTES // (self.shared_bytes + SHARED_RESERVED)
        return of_block * min(by_registers, by_memory, BLOCKS, WARPS // of_block)

    @property
    def instructions_per_element(self) -> float:
        """Instructions of all threads of a block by its elements; a loop's body counts once."""
        return self.instructions * self.threads / self.elements


@dataclass(frozen=True)
class Kernel:
    """A generated kernel.

    Attributes:
        name: Inductor's, which lists the operations.
        gigabytes: Read and written, by inductor's estimate.
        elements: That all its threads work on.
        codes: One for each shape of its blocks; the GPU would choose by time.
    """

    name: str
    gigabytes: float
    elements: int
    codes: list[Code]


@dataclass(frozen=True)
class Graph:
    """What inductor generated for one graph.

    Attributes:
        kernels: In the order of their definition.
        library: Calls of other libraries (products, attention), with their number.
        inputs: Name, shape and bytes of each input.
    """

    kernels: list[Kernel]
    library: Counter[str]
    inputs: dict[str, tuple[tuple[int, ...], int]]


class GeneratedError(Exception):
    """Ends a function whose code has been generated: there is nothing to run."""


def pretend_h100() -> None:
    """Start this program again as on a machine with an H100, unless it was.

    Ends with a message if something is missing.
    """
    if os.environ.get(PRETENDING):
        return
    packages = Path(torch.__file__).parents[1]
    include = [path.parent for path in packages.glob("nvidia/*/include/driver_types.h")]
    include.append(packages / "triton/backends/nvidia/include")
    if torch.version.cuda is None or len(include) < 2 or not include[-1].exists():
        raise SystemExit(
            "This needs a build of PyTorch for CUDA 13, with its packages triton and nvidia-*. "
            f"Found: PyTorch {torch.__version__}. A GPU is not needed."
        )
    library = Path(tempfile.mkdtemp(prefix="steep-h100-")) / "libcuda.so.1"
    options = ["-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", *(f"-I{each}" for each in include)]
    try:
        subprocess.run(["gcc", *options, str(SOURCE), "-o", str(library)], check=True)
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        raise SystemExit(f"This needs gcc and the headers of CUDA 13: {error}") from None
    more = {
        PRETENDING: "1",
        "LD_PRELOAD": str(library),
        "PYTORCH_NO_CUDA_MEMORY_CACHING": "1",
        "TORCHINDUCTOR_COMPILE_THREADS": "1",
    }
    script = [sys.executable, "-m", "benchmarks.training.kernels", *sys.argv[1:]]
    os.execve(sys.executable, script, os.environ | more)


@contextmanager
def _generating(graphs: list[Graph]) -> Iterator[None]:
    """Collect the code of graphs instead of loading it."""
    from torch._inductor import config
    from torch._inductor.graph import GraphLowering
    from torch._inductor.runtime import triton_helpers

    def collect(graph: Any, code: Any) -> Any:
        graphs.append(_graph(graph, code.value))
        return mock.Mock(call=_stop, __file__="")

    with (
        mock.patch.object(GraphLowering, "_compile_to_module_lines", collect),
        mock.patch.object(triton_helpers, "set_driver_to_gpu"),
        # Folding would run kernels. The bandwidth is never measured, but bytes are noted.
        config.patch(
            joint_graph_constant_folding=False,
            profile_bandwidth=True,
            fx_graph_cache=False,
            use_static_triton_launcher=False,  # would keep no machine code
        ),
        torch._functorch.config.patch(
            force_non_lazy_backward_lowering=True, enable_autograd_cache=False
        ),
    ):
        _pretend_driver()
        yield


def _stop(*arguments: Any) -> None:
    raise GeneratedError


def _pretend_driver() -> None:
    """Make Triton compile for compute capability 9.0."""
    from triton.backends.compiler import GPUTarget  # type: ignore[import-not-found]
    from triton.runtime import driver  # type: ignore[import-not-found]

    target = GPUTarget("cuda", 90, 32)
    device = torch.device("cuda", 0)
    driver.set_active(
        mock.Mock(
            get_current_target=lambda: target,
            get_active_torch_device=lambda: device,
            get_current_device=lambda: 0,
        )
    )


def generate(run: Callable[[], object]) -> list[Graph]:
    """Return the graphs that a function compiles until it would run the first of them.

    Args:
        run: Makes its tensors on "cuda" and calls something that torch.compile has wrapped. Graphs
            of a forward pass are followed by those of the backward pass.
    """
    from torch._subclasses import FakeTensorMode

    graphs: list[Graph] = []
    torch._dynamo.reset()
    with _generating(graphs), FakeTensorMode():
        try:
            run()
        except GeneratedError:
            return graphs
    raise AssertionError("the function compiled nothing")


def _graph(graph: Any, code: str) -> Graph:
    inputs = {
        name: (tuple(int(size) for size in box.get_size()), _bytes(box))
        for name, box in graph.graph_inputs.items()
        if hasattr(box, "get_size")
    }
    found = re.findall(r"async_compile\.triton\('(\w+)', '''(.*?)''', device_str", code, re.DOTALL)
    kernels = [_kernel(name, source) for name, source in found]
    return Graph(kernels, library_calls(code), inputs)


def _bytes(box: Any) -> int:
    size: int = box.get_dtype().itemsize
    return size * math.prod(int(length) for length in box.get_size())


def library_calls(code: str) -> Counter[str]:
    """Return how often a graph's code calls each function of other libraries."""
    products = re.findall(r"\bextern_kernels\.(\w+)\(", code)
    operators = re.findall(r"\btorch\.ops\.aten\.(\w+)\.\w+\(", code)
    return Counter(products + operators)


def _kernel(name: str, source: str) -> Kernel:
    from torch._inductor.codecache import PyCodeCache

    tuner = getattr(PyCodeCache.load(source), name)
    codes = [_compiled(tuner, configuration, source) for configuration in tuner.configs]
    sizes = re.findall(r"^    (?:[xyz]|r\d+_)numel = (\d+)$", source, re.MULTILINE)
    elements = math.prod(int(size) for size in sizes)
    return Kernel(name, tuner.inductor_meta.get("kernel_num_gb", 0.0), elements, codes)


def _compiled(tuner: Any, configuration: Any, source: str) -> Code:
    binary = tuner._precompile_config(configuration).kernel
    blocks = {key: value for key, value in configuration.kwargs.items() if "BLOCK" in key}
    # The row of a persistent reduction is a constant of its source.
    fixed = dict(re.findall(r"(\w*BLOCK)(?:: tl\.constexpr)? = (\d+)\n", source))
    registers, stack = resources(_dump(binary.asm["cubin"], "-res-usage"))
    instructions, slow = count_instructions(_dump(binary.asm["cubin"], "-sass"))
    return Code(
        " ".join(f"{key} {value}" for key, value in blocks.items()),
        32 * binary.metadata.num_warps,
        math.prod(int(size) for size in {**fixed, **blocks}.values()),
        registers,
        stack,
        binary.metadata.shared,
        instructions,
        slow,
    )


def _dump(cubin: bytes, option: str) -> str:
    import triton  # type: ignore[import-not-found]

    tools = Path(triton.__file__).parent / "backends/nvidia/bin"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        environment = os.environ | {"PATH": f"{tools}:{os.environ['PATH']}", "LD_PRELOAD": ""}
        command = [str(tools / "cuobjdump"), option, file.name]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return done.stdout


def resources(usage: str) -> tuple[int, int]:
    """Return registers and bytes of stack of a thread, from `cuobjdump -res-usage`."""
    found = re.search(r"REG:(\d+) STACK:(\d+)", usage)
    assert found is not None, usage
    return int(found[1]), int(found[2])


def count_instructions(machine_code: str) -> tuple[int, int]:
    """Return the instructions of a kernel, and the slow ones, from `cuobjdump -sass`.

    Subroutines follow the last EXIT and are not counted, nor is padding.
    """
    names = re.findall(r"/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+ )?([A-Z][\w.]*)", machine_code)
    last = max(place for place, name in enumerate(names) if name == "EXIT")
    main = [name for name in names[: last + 1] if name != "NOP"]
    return len(main), sum(name.split(".")[0] in SLOW for name in main)
