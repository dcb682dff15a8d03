"""Options of a data set. Fields are flags, named as in diffusers' train_unconditional.py.

Nothing here imports torch, so that the help of the commands is quick.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt

from samplerzoo.options import Options

DIGITS = "digits"
"""Name of scikit-learn's digits as a data set, whatever lies in a folder of that name."""


class DataOptions(Options):
    """Choice of a data set and the shape of its images."""

    dataset: str = Field(
        description="a hub name, a .parquet file, a folder of parquet files or of images, or 'digits' (scikit-learn's)"
    )
    dataset_config_name: str | None = Field(None, description="configuration of a hub data set")
    split: str = Field("train", description="split of the data set to train on")
    image_column: str | None = Field(None, description="column with the images; default: the first image column")
    label_column: str | None = Field(
        None,
        description="column with the labels; default: a column of class labels, or one called label, class or category",
    )
    classes: str | None = Field(None, description="keep only these classes, by name or number, as in cat,dog or 0,1,7")
    image_size: PositiveInt | None = Field(None, description="side in pixels; default: that of the data")
    channels: Literal[1, 3] | None = Field(None, description="1 for grey, 3 for colour; default: that of the data")
    random_flip: bool = Field(False, description="mirror a random half of the images, drawn anew at every step")

    @property
    def wants_labels(self) -> bool:
        """True if labels are wanted; if not, rows may lack them."""
        return True
