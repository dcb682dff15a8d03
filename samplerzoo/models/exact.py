"""Exact models, named `exact:DATASET`: the denoiser of the images of a data set, without a network."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import PositiveInt, ValidationError, field_validator

from samplerzoo.core.model import Layout, Model
from samplerzoo.core.paths import NAMED_PATHS
from samplerzoo.data.options import DataOptions
from samplerzoo.errors import UsageError, did_you_mean, reason
from samplerzoo.models.folder import EXACT
from samplerzoo.models.handle import ModelHandle, echo, slope, unlike
from samplerzoo.models.options import AS_FOUND, ReadingOptions
from samplerzoo.options import Field
from samplerzoo.system.environment import choose_device
from samplerzoo.trust.limits import MOST_EXACT

if TYPE_CHECKING:
    import torch

    from samplerzoo.core.model import Network

SUBSET_SEED = 0
"""Seed of the random choice of images. A smaller choice is the beginning of a larger one."""


class ExactOptions(DataOptions):
    """Data set, path and bandwidth of an exact model, written as `exact:DATASET:PATH:option=value:...`."""

    path: str = Field("vp", description=f"noise path: {', '.join(NAMED_PATHS)}")
    images: PositiveInt | None = Field(None, description="so many of the images, chosen at random; default: all")
    conditional: bool = Field(True, description="take class labels, if the data have several classes")
    bandwidth: float = Field(0.0, ge=0.0, le=1000.0, description="deviation of a Gaussian around each image")

    @field_validator("channels", mode="before")
    @classmethod
    def _number(cls, value: object) -> object:
        return int(value) if value in ("1", "3") else value  # a name is text

    @classmethod
    def parse(cls, name: str) -> Self:
        """Read the name of an exact model.

        Raises:
            UsageError: the name has an unknown part, or an invalid value.
        """
        first, *others = re.split(rf":(?=[\w-]+=|(?:{'|'.join(NAMED_PATHS)})(?::|$))", name.removeprefix(EXACT))
        pairs = [("path", part) if part in NAMED_PATHS else part.split("=", 1) for part in others]
        values = {key.replace("-", "_"): value for key, value in pairs}
        known = [field for field in cls.model_fields if field != "dataset"]
        dataset, _, unknown = first.partition(":")
        if Path(os.path.expanduser(first)).exists():
            dataset, unknown = first, ""
        for word in [*([unknown] if unknown else []), *(key for key in values if key not in known)]:
            hint = did_you_mean(word, [*known, *NAMED_PATHS])
            raise UsageError(
                f"{name}: no path and no option {word!r}{hint}; behind exact:DATASET there may be "
                f":{' or :'.join(NAMED_PATHS)}, and {', '.join(f':{field}=' for field in known if field != 'path')}"
            )
        if not dataset:
            raise UsageError(f"{name!r} names no data set: exact:digits, or exact: and what train --dataset takes")
        try:
            options = cls.model_validate({"dataset": dataset, **values})
        except ValidationError as error:
            raise UsageError(f"{name}: {reason(error)}") from error
        if options.path not in NAMED_PATHS:
            raise UsageError(f"{name}: no path {options.path!r}; there are: {', '.join(NAMED_PATHS)}")
        return options

    def name(self, dataset: str) -> str:
        """Return the name of the model, with this name for its data set."""
        changed = {key: value for key, value in self if value != type(self).model_fields[key].default}
        words = [changed.pop("path", ""), *(f"{key}={value}" for key, value in changed.items() if key != "dataset")]
        return ":".join(filter(None, [f"{EXACT}{dataset}", *words]))


@dataclass(frozen=True, eq=False)
class ExactModel(ModelHandle):
    """Exact denoiser of the images of a data set. The images are read when they are first needed.

    Attributes:
        name: name that it was asked for by.
    """

    name: str
    options: ExactOptions

    compiles = False
    guesses = ()

    @classmethod
    def open(cls, name: str, reading: ReadingOptions = AS_FOUND) -> Self:
        """Read the name of an exact model.

        Raises:
            UsageError: this is not the name of an exact model, or options for folders are given.
        """
        for option in reading.model_fields_set:
            if getattr(reading, option) is not None:
                raise UsageError(
                    f"{name} is computed from data and has no folder: leave --{option.replace('_', '-')} out"
                )
        return cls(name, ExactOptions.parse(name))

    @functools.cached_property
    def stub(self) -> Model:  # type: ignore[override]  # it is made when it is asked for
        model = self._model("cpu")
        classifier = None if model.classifier_classes is None else slope(model.classifier_classes)
        return dataclasses.replace(model, net=echo(), classifier=classifier)

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the images by class, the path and the bandwidth."""
        images, counts, names = self._data
        options = [self.options.path, self.options.bandwidth, counts, names, list(images.shape)]
        digest = hashlib.sha256(json.dumps(options).encode())
        digest.update(images.numpy().tobytes())
        return digest.hexdigest()

    @property
    def family(self) -> str:
        count, bandwidth = len(self._data[0]), self.options.bandwidth
        widened = f", widened by {bandwidth:g}" if bandwidth else ""
        return f"exact denoiser of {count:,} images{widened}"

    @property
    def layouts(self) -> tuple[Layout, ...]:
        return ("contiguous",)

    def check_shape(self, shape: tuple[int, ...]) -> None:
        side = self.options.image_size
        if side is not None and shape[1:] != (side, side):
            raise unlike(self.name, (self.options.channels or shape[0], side, side), shape)
        super().check_shape(shape)

    def choose_dtype(self, dtype: str, device: str) -> str:
        if dtype not in ("auto", "float32"):
            raise UsageError(f"{self.name} is computed in float32: leave --dtype out")
        return "float32"

    def load(
        self, *, device: str = "auto", dtype: str = "auto", compiled: bool = False, layout: Layout = "contiguous"
    ) -> Model:
        self.choose_dtype(dtype, device)
        if compiled:
            self.check_compiled()
        return self._model(choose_device(device))

    def network_in(self, device: str, dtype: str) -> Callable[[Layout], Network]:
        net = self.load(device=device, dtype=dtype).net
        return lambda layout: net

    def about(self) -> dict[str, Any]:
        return {"data": self.options.model_dump(mode="json", exclude_defaults=True) | {"images": len(self._data[0])}}

    def _model(self, device: str) -> Model:
        """Make the model, with the images on a device."""
        from samplerzoo.core.empirical import empirical  # imports torch

        images, counts, names = self._data
        return empirical(
            NAMED_PATHS[self.options.path](), images.to(device), counts, self.options.bandwidth, name=self.name,
            device=device, class_names=names, class_counts=counts or None,
        )  # fmt: skip

    @functools.cached_property
    def _data(self) -> tuple[torch.Tensor, tuple[int, ...], tuple[str, ...] | None]:
        """Images (M, C, H, W) in 8 bits sorted by class, and number of images and name of each class, if there are any.

        Raises:
            UsageError: there are fewer images than asked for, or a class has none.
        """
        import torch

        from samplerzoo.data.image_sets import load_images
        from samplerzoo.data.order import keyed_generator

        try:
            data, wanted = load_images(self.options), self.options.images
        except UsageError as error:  # its message names flags, which are parts of the name here
            said = re.sub(r"--([a-z-]+)(?: (?=\d))?", lambda flag: f":{flag[1].replace('-', '_')}=", str(error))
            raise UsageError(f"{self.name}: {said}") from error
        if wanted is not None and wanted > len(data):
            raise UsageError(f"{self.name}: the data set has {len(data)} images, not {wanted}")
        values = (wanted or len(data)) * data.channels * data.image_size**2 * (1 + self.options.random_flip)
        if values > MOST_EXACT:
            raise UsageError(
                f"{self.name}: its images have {values:,} values, and at most {MOST_EXACT:,} are computed with: "
                "add :images=FEWER or a lower :image_size=SIDE"
            )
        chosen = torch.randperm(len(data), generator=keyed_generator(SUBSET_SEED))[:wanted]
        conditional = self.options.conditional and data.num_classes > 1
        if conditional:
            chosen = chosen[data.labels[chosen].argsort(stable=True)]
        images, labels = data.__getitems__(chosen.tolist())
        if self.options.random_flip:
            images = torch.stack([images, images.flip(-1)], dim=1).flatten(0, 1)
            labels = labels.repeat_interleave(2)
        if not conditional:
            return images, (), None
        counts = torch.bincount(labels, minlength=data.num_classes).tolist()
        if 0 in counts:
            empty = data.class_names[counts.index(0)]
            raise UsageError(f"{self.name}: no image of class {empty!r}: take more images, or name the classes=")
        return images, tuple(counts), data.class_names
