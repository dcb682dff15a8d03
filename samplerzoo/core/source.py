"""The protocol of sources: samplers of another library, such as the schedulers of diffusers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from samplerzoo.core.sampler import Sampler


class Source(ABC):
    """Samplers of another library by their names there: `--sampler SOURCE:NAME`, where SOURCE names the entry point."""

    noun: str
    """What the library calls one of them, such as "scheduler"."""

    @property
    @abstractmethod
    def version(self) -> str:
        """Version of the library, which a run records."""

    @abstractmethod
    def names(self) -> list[str]:
        """Names of everything of the kind that the library has, also of what cannot be used here."""

    @abstractmethod
    def refusal(self, name: str) -> str | None:
        """Why this one cannot be a sampler here; None if it can."""

    @abstractmethod
    def sampler(self, name: str) -> type[Sampler]:
        """The options class of a sampler that is not refused."""
