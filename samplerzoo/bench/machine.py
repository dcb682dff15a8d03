"""Machine that images are timed on. Times on two machines cannot be compared."""

from __future__ import annotations

from pydantic import PositiveInt

from samplerzoo.core.model import Layout, Offload
from samplerzoo.options import Name, Options


class Machine(Options):
    """Device, and how it was used."""

    device: Name
    threads: PositiveInt
    processes: PositiveInt
    batch_size: PositiveInt
    compiled: bool = False
    layout: Layout = "contiguous"
    offload: Offload | None = None

    @property
    def machine(self) -> Machine:
        """Fields of this class alone, without those of a subclass."""
        return Machine(**{name: getattr(self, name) for name in Machine.model_fields})

    def __str__(self) -> str:
        parts = [
            self.device,
            f"{self.threads} thread{'s' * (self.threads > 1)}",
            f"batches of {self.batch_size}",
            *(["compiled"] if self.compiled else []),
            *(["channels last"] if self.layout == "channels_last" and not self.compiled else []),
            *([f"{self.offload} offload"] if self.offload else []),
        ]
        return ", ".join(parts)
