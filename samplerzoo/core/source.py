"""Protocol of sources: plugins that offer the samplers of another library, such as the schedulers of diffusers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from samplerzoo.core.sampler import Sampler


class Source(ABC):
    """Source of samplers of another library. In `--sampler SOURCE:NAME`, SOURCE is the name of its entry point."""

    noun: str
    """Word of that library for a sampler, such as "scheduler"."""

    @property
    @abstractmethod
    def version(self) -> str:
        """Version of the library, which a run records."""

    @abstractmethod
    def names(self) -> list[str]:
        """Return the names of all samplers of the library, including those that cannot be used here."""

    @abstractmethod
    def refusal(self, name: str) -> str | None:
        """Return the reason why this sampler cannot be used here, or None if it can."""

    @abstractmethod
    def sampler(self, name: str) -> type[Sampler]:
        """Return the sampler class of a name that is not refused."""
