"""A recipe: all that an image depends on besides its index. Every image file carries it, and can be made from it.

Nothing here imports torch, since the fields are flags of the command line.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, PositiveInt

from samplerzoo.core.schedule import SPACINGS
from samplerzoo.errors import ZooError
from samplerzoo.options import Options
from samplerzoo.version import __version__

MOST_IMAGES = 10**9
"""No run has as many; an index beyond is a broken file."""


class GridRequest(Options):
    """Which levels to visit."""

    steps: PositiveInt = Field(50, description="steps of the sampler")
    spacing: str = Field(
        "trailing", description="how they are spread over the schedule", json_schema_extra={"enum": [*SPACINGS]}
    )
    timesteps: tuple[float, ...] | None = Field(None, description="these timesteps, in place of steps and spacing")


class Amount(Options):
    """How many images."""

    num_images: PositiveInt = Field(64, description="how many")


class Drawing(GridRequest):
    """How images are drawn, save for the options of sampler and guidance."""

    class_labels: str | None = Field(
        None,
        description="3, 0-9, 1,3,5-7, balanced or natural; default: balanced, for a conditional model",
    )
    clip_x0: str | None = Field(
        None, description="bound on the predicted clean image: off, static:1.0, dynamic:0.995; default: the model's own"
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="the network's; auto is bfloat16 where the GPU computes it natively, else float32"
    )


class Request(Drawing):
    """What a user asks of `run`."""

    seed: int = Field(0, ge=0, lt=2**64, description="image i depends on the seed and i, on no batch and no process")
    model: str = Field("mnist", description="an embedded model, a folder, or a hub id")
    revision: str | None = Field(None, description="branch, tag or commit of a hub id")


class Recipe(Request):
    """A request with the options of its plugins; once `prepare` has seen the model, with every default filled in.

    Attributes:
        fingerprint: SHA-256 of the model's weights and configs.
        second_fingerprint: of the guidance's own model, if it has one.
        plugins: files that the sampler or the guidance come from, with their SHA-256. They are put down and not loaded:
            what an image file says is no reason to run a program. Of a scheduler of diffusers, `diffusers` with its
            version.
    """

    sampler: str
    sampler_options: dict[str, Any] = Field(default_factory=dict)
    guidance: str | None = None
    guidance_options: dict[str, Any] = Field(default_factory=dict)
    plugins: dict[str, str] = Field(default_factory=dict)
    fingerprint: str | None = None
    second_fingerprint: str | None = None

    def metadata(self, index: int, label: int | None) -> dict[str, Any]:
        """What the file of an image carries."""
        return {"samplerzoo": __version__, "index": index, "label": label, "recipe": self.model_dump(mode="json")}

    @classmethod
    def of(cls, metadata: dict[str, Any], name: str) -> tuple[Recipe, int]:
        """The recipe and the index that `metadata` has put down."""
        try:
            recipe, index = cls.model_validate(metadata["recipe"]), int(metadata["index"])
            if not 0 <= index < MOST_IMAGES:
                raise ValueError(index)
            return recipe, index
        except (KeyError, TypeError, ValueError) as error:
            raise ZooError(f"{name}: its metadata are not those of samplerzoo {__version__}") from error

    def differences(self, other: Recipe) -> list[str]:
        """`steps 50, not 20`: what is here, not what is there."""
        mine, others = self.model_dump(mode="json"), other.model_dump(mode="json")
        return [f"{name} {mine[name]}, not {others[name]}" for name in mine if mine[name] != others[name]]
