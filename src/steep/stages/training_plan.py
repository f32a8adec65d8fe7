"""What training will take, for `steep plan`: nothing is loaded, downloaded, measured or written.

The model's `config.json` decides memory and arithmetic. A model of the Hub that is not on this
machine is not looked up; what depends on it is unknown then.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from steep.config import Config
from steep.core.artifacts import Project
from steep.core.errors import UserError
from steep.core.ranks import ranks
from steep.llm.model_names import EMBEDDED, check_libraries, missing_libraries, model_directory
from steep.stages.plan import Plan
from steep.stages.training_amounts import TrainingAmounts, refusal
from steep.training.forecast import (
    Amount,
    Devices,
    Rate,
    RunForecast,
    SectionForecast,
    TrainingForecast,
    forecast_run,
    local_devices,
    named_devices,
    rate_of,
)
from steep.training.metrics import METRICS

if TYPE_CHECKING:
    from steep.training.config import OptimizationConfig
    from steep.training.memory import MemoryEstimate
    from steep.training.model_dims import ModelShape

__all__ = ["RunForecast", "SectionForecast", "TrainingForecast", "forecast"]

SectionName = Literal["train", "instruct"]


def forecast(
    config: Config, project: Project, plan: Plan | None = None, gpus: str | None = None
) -> TrainingForecast | None:
    """Estimate what is left of training; None where no arm is configured.

    Args:
        config: The configuration.
        project: Where shards, trained models and measured steps are, as far as there are any.
        plan: What generation has still to do.
        gpus: The GPUs that will train, as "8xH100"; by default what this machine has.

    Raises:
        UserError: Such GPUs are not known.
    """
    if not config.train.arms:
        return None
    amounts = TrainingAmounts(config, project, plan)
    listed: dict[SectionName, Sequence[Amount]] = {"train": amounts.of_training()}
    if tuned := amounts.of_tuning():
        listed["instruct"] = tuned
    sections = [_Section(config, project, name, gpus) for name in listed]
    made = TrainingForecast(
        model=config.train.model,
        gpu_hour_usd=config.train.gpu_hour_usd,
        sections=tuple(section.forecast(listed[section.name]) for section in sections),
        warnings=(),
    )
    if not made.to_do:
        return made
    warnings = [*amounts.problems, *(each for section in sections for each in section.warnings)]
    warnings += _disk_warnings(made, project, amounts)
    return replace(made, warnings=tuple(dict.fromkeys(warnings)))


class _Section:
    """A section of the configuration that trains; `warnings` say what will be refused."""

    def __init__(
        self, config: Config, project: Project, name: SectionName, gpus: str | None
    ) -> None:
        self.config, self.project, self.name = config, project, name
        self.settings = config.train if name == "train" else config.instruct
        self.devices = _devices(config, name, gpus)
        self.warnings: list[str] = []

    def forecast(self, amounts: Sequence[Amount]) -> SectionForecast:
        """What its runs take."""
        unknown = SectionForecast(
            section=self.name,
            devices=self.devices,
            parameters=None,
            rate=Rate(None, None, ""),
            memory=None,
            host_bytes=None,
            disk_bytes=None,
            runs=(),
        )
        if all(each.state == "done" for each in amounts):
            made = unknown  # nobody asks, and reading a configuration takes seconds
        else:
            try:
                made = self._known(unknown)
            except UserError as error:
                made = replace(unknown, rate=Rate(None, None, _in_one_line(error)))
        price, minutes = self.config.train.gpu_hour_usd, self.settings.checkpoint_minutes
        runs = (forecast_run(each, made.rate, self.devices, price, minutes) for each in amounts)
        return replace(made, runs=tuple(runs))

    def _known(self, unknown: SectionForecast) -> SectionForecast:
        """What can be told of the shape of the model.

        Raises:
            UserError: Its configuration is not here, or cannot be trained.
        """
        check_libraries()
        import torch

        from steep.training.flops import shape_flops
        from steep.training.preflight import disk_bytes, host_bytes
        from steep.training.prepare import resolve_auto

        shape = _shape(self.config, self.project, self.settings)
        device = torch.device("cuda" if self.devices.is_gpu else "cpu")
        settings = resolve_auto(self.settings, device)
        memory = self._memory(shape, settings, device)
        flops = shape_flops(shape, self.settings.context_tokens)
        return replace(
            unknown,
            parameters=shape.parameter_count,
            rate=self._rate(settings, flops),
            memory=memory,
            host_bytes=host_bytes(memory, self.devices.count) if self.devices.is_gpu else None,
            disk_bytes=disk_bytes(memory, settings.keep_checkpoints),
        )

    def _memory(
        self, shape: ModelShape, settings: OptimizationConfig, device: Any
    ) -> MemoryEstimate:
        from steep.training.loop import check_ranks
        from steep.training.memory import estimate_memory
        from steep.training.parallel import World
        from steep.training.preflight import available_memory, check_fits

        count = self.devices.count
        available = available_memory(device) if self.devices.is_here else None
        estimate = estimate_memory(shape, settings, count, available)
        world = World(0, count, 0, device)
        try:
            check_ranks(settings, world)
            if self.devices.is_here:
                check_fits(estimate, settings, world)
        except UserError as error:
            self.warnings.append(refusal(self.name, error))
        return estimate

    def _rate(self, settings: OptimizationConfig, flops: float) -> Rate:
        from steep.training.throughput import measured_rate, workload_of

        measured = None
        if self.devices.name is not None:
            files = (
                self.project.store.glob(f"{each}-*/{METRICS}") for each in ("train", "instruct")
            )
            newest_last = sorted(
                (path for found in files for path in found), key=lambda path: path.stat().st_mtime
            )
            workload = workload_of(
                self.devices.name,
                self.devices.count,
                flops,
                settings,
            )
            measured = measured_rate((path.parent for path in newest_last), workload)
        return rate_of(measured, self.devices, flops, settings.compute)


def _devices(config: Config, section: SectionName, gpus: str | None) -> Devices:
    """The GPUs that are named, those of the Ray cluster, or what this machine and launcher give."""
    settings = config.train
    on_ray = section == "train" and settings.launcher == "ray"
    count = settings.ray_workers if on_ray else ranks()
    elsewhere = on_ray and settings.ray_address is not None
    if missing_libraries():
        return Devices(None, count, False, None, False)
    if gpus is not None:
        return named_devices(gpus)
    return Devices(None, count, True, None, False) if elsewhere else local_devices(count)


def _shape(config: Config, project: Project, settings: OptimizationConfig) -> ModelShape:
    """The shape of the model as it is trained, without any network.

    Raises:
        UserError: Its configuration is not on this machine, or it cannot be trained.
    """
    from steep.llm.weights import DIRECTORY, cache_directory
    from steep.training.loading import load_model_config
    from steep.training.preflight import trained_shape

    name = config.train.model
    converted = cache_directory() / DIRECTORY
    if name == EMBEDDED and not converted.is_dir():
        raise UserError(
            "the embedded model has not been converted on this machine yet",
            hint="the first steep generate or train does it",
        )
    where = converted if name == EMBEDDED else model_directory(name, project)
    if isinstance(where, str):
        try:
            found = load_model_config(where, local_only=True)
        except UserError as error:
            raise UserError(
                f"the configuration of '{where}' is not on this machine, and steep plan does not "
                "use the network",
                hint=f"hf download {where} config.json, or correct train.model",
            ) from error
    else:
        found = load_model_config(where)
    return trained_shape(found, settings)


def _disk_warnings(
    made: TrainingForecast, project: Project, amounts: TrainingAmounts
) -> Iterator[str]:
    """That the disk has no room; checkpoints that will be continued are part of what is needed.

    Where devices are not here, neither may be the disk.
    """
    is_here = all(section.devices.is_here for section in made.sections)
    if made.room_bytes is None or not is_here:
        return
    from steep.core.formatting import gib
    from steep.training.preflight import free_bytes

    free = free_bytes(project.store, amounts.begun)
    if made.room_bytes > free:
        yield (
            f"the disk has {gib(free)} free, and checkpoints and models of all runs take "
            f"{gib(made.room_bytes)} at most; free some space, or lower train.keep_checkpoints"
        )


def _in_one_line(error: UserError) -> str:
    problem, *more = (" ".join(line.split()) for line in str(error).splitlines())
    hints = [each.removeprefix("do: ") for each in more if each.startswith("do: ")]
    return "; ".join([problem.rstrip("."), *hints])
