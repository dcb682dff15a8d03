"""Options of how a model folder is read, for what its files leave open. Each field is a flag."""

from __future__ import annotations

from pydantic import PositiveInt

from samplerzoo.options import Field, Options


class ReadingOptions(Options):
    """Facts that a user knows of a model, and its folder does not say."""

    revision: str | None = Field(None, description="branch, tag or commit of a hub id")
    variant: str | None = Field(
        None, pattern=r"^[\w-]+$", description="which weights of a folder that holds several, such as fp16"
    )
    scheduler: str | None = Field(
        None, description="folder or file of the scheduler's config, for a network that lies by itself"
    )
    shape: tuple[PositiveInt, PositiveInt, PositiveInt] | None = Field(
        None, description="channels, height and width of a state, where the network's config leaves them open"
    )
    null_label: int | None = Field(
        None, ge=0, description="label that the network was trained to read as no label, if its folder does not say"
    )

    @property
    def reading(self) -> ReadingOptions:
        """These fields alone, of options that have others, too."""
        return ReadingOptions(**{name: getattr(self, name) for name in ReadingOptions.model_fields})


AS_FOUND = ReadingOptions()
"""Reading of a folder by its own files alone."""
