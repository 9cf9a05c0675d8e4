"""`ResourceConfiguration`: what a service of a model should get at least."""

from __future__ import annotations

from fnpack.exceptions import UserErrorException
from fnpack.models.record import Resources


class ResourceConfiguration:
    """CPU cores, memory and GPUs. Kept with a model; whatever runs its image decides what it gets."""

    def __init__(
        self, cpu: float | None = None, memory_in_gb: float | None = None, gpu: int | None = None
    ) -> None:
        for name, value, least in (("cpu", cpu, 0), ("memory_in_gb", memory_in_gb, 0), ("gpu", gpu, -1)):
            if value is not None and (isinstance(value, bool) or not value > least):
                raise UserErrorException(f"{name} is {value!r}, but must be a number above {max(least, 0)}")
        self.cpu, self.memory_in_gb, self.gpu = cpu, memory_in_gb, gpu

    def serialize(self) -> dict[str, object]:
        """SDK v1's form."""
        return {"cpu": self.cpu, "memoryInGB": self.memory_in_gb, "gpu": self.gpu}

    def _resources(self) -> Resources:
        return Resources(self.cpu, self.memory_in_gb, self.gpu)
