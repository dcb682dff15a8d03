"""Options: the frozen, validated base of everything whose fields are command-line flags."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Options(BaseModel):
    """A field is a flag: its type, bounds, default and description are the flag's. Infinities and NaN are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
