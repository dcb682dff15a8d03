"""Index of a whole pipeline: its class, and the classes of its parts. No code of a folder runs."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import transformers
from diffusers import DiffusionPipeline
from torch import nn

from samplerzoo.errors import UsageError, ZooError, did_you_mean, reason
from samplerzoo.models.folder import read_json
from samplerzoo.models.parts import CONFIG_FILES, INDEX_FILE, Part, named_parts

LIBRARIES = {"diffusers": diffusers, "transformers": transformers}
"""Libraries whose classes may be run."""
OURS = ["samplerzoo", "SamplerScheduler"]
LEFT_OUT = ("safety_checker",)
"""Parts that are not run."""
NEEDED = ("prompt", "latents", "num_inference_steps", "output_type")
"""Arguments that a pipeline's call must have to be run here."""
SAID_ELSEWHERE = {
    "prompt": "--prompts", "negative_prompt": "--negative-prompt", "num_inference_steps": "--steps",
    "timesteps": "--timesteps", "sigmas": "--timesteps", "eta": "the sampler's, as --eta",
    "generator": "--seed", "num_images_per_prompt": "--num-images",
}  # fmt: skip
"""Arguments of a pipeline's call that are set by flags of samplerzoo."""
OWN = ("latents", "output_type", "return_dict", "callback_on_step_end", "callback_on_step_end_tensor_inputs")
"""Arguments that the run itself gives."""
LISTED = 12


@dataclass(frozen=True, eq=False)
class PipelineIndex:
    """Content of model_index.json.

    Attributes:
        cls: class of the pipeline.
        parts: its parts with their classes.
        left_out: names of parts that are not run.
        absent: names of optional parts that this pipeline does not have.
    """

    root: Path
    cls: type[Any]
    parts: Mapping[str, tuple[Part, type[Any]]]
    left_out: tuple[str, ...]
    absent: tuple[str, ...]

    @classmethod
    def read(cls, root: Path) -> PipelineIndex | None:
        """Read the index of a folder; return None if it is not a diffusers pipeline that takes prompts.

        Raises:
            ZooError: a part is missing, or its class is not of diffusers or transformers.
        """
        if not (root / INDEX_FILE).is_file():
            return None
        index = read_json(root, INDEX_FILE)
        found = getattr(diffusers, str(index.get("_class_name")), None)
        if not inspect.isclass(found) or not issubclass(found, DiffusionPipeline):
            return None
        if not {*NEEDED} <= {*inspect.signature(found.__call__).parameters}:
            return None
        named = named_parts(root, index)
        left_out = tuple(name for name in named if name in LEFT_OUT)
        parts = {name: _part(root, name, index[name]) for name in named if name not in left_out}
        if "scheduler" not in parts:
            raise ZooError(f"{root / INDEX_FILE}: a {found.__name__} without a scheduler: its noise path is not known")
        absent = tuple(name for name, value in index.items() if value == [None, None])
        return cls(root, found, parts, left_out, absent)

    @property
    def name(self) -> str:
        """Name of the pipeline's class."""
        return self.cls.__name__

    @property
    def scheduler(self) -> Part:
        return self.parts["scheduler"][0]

    @property
    def modules(self) -> dict[str, tuple[Part, type[Any]]]:
        """Parts with weights."""
        return {name: (part, cls) for name, (part, cls) in self.parts.items() if issubclass(cls, nn.Module)}

    @property
    def takes_negative_prompt(self) -> bool:
        return "negative_prompt" in self._parameters

    @property
    def takes_generators(self) -> bool:
        return "generator" in self._parameters

    def check_arguments(self, given: Mapping[str, Any]) -> None:
        """Refuse an argument that the pipeline's call does not take, or that is set by a flag of samplerzoo.

        Raises:
            UsageError: names the most similar argument, or the flag.
        """
        known = [name for name in self._parameters if name not in (*SAID_ELSEWHERE, *OWN)]
        for name in given:
            if name in SAID_ELSEWHERE:
                raise UsageError(f"--pipeline-option {name}: here it is {SAID_ELSEWHERE[name]}")
            if name in OWN:
                raise UsageError(f"--pipeline-option {name}: the run itself gives it; leave it out")
            if name not in known:
                raise UsageError(
                    f"{self.name} has no argument {name!r}{did_you_mean(name, known)}; it has, among others: "
                    f"{', '.join(known[:LISTED])}"
                )

    def assemble(self, modules: Mapping[str, Any]) -> Any:
        """Make the pipeline from loaded modules.

        Raises:
            ZooError: they do not go together.
        """
        try:
            with silence():
                pipeline = self.cls.from_pretrained(
                    self.root, **modules, **dict.fromkeys((*self.left_out, *self.absent)), use_safetensors=True,
                    local_files_only=True, trust_remote_code=False,
                )  # fmt: skip
        except Exception as error:  # the kind of error depends on what is wrong in the folder
            raise ZooError(f"{self.root}: its parts make no {self.name}: {reason(error)}") from error
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    @property
    def _parameters(self) -> list[str]:
        found = inspect.signature(self.cls.__call__).parameters.values()
        return [it.name for it in found if it.name != "self" and it.kind is not inspect.Parameter.VAR_KEYWORD]


@contextmanager
def silence() -> Iterator[None]:
    """Suppress progress bars and warnings of both libraries while a pipeline is made or rehearsed."""
    loggers = (diffusers.utils.logging, transformers.utils.logging)
    before = [(each, each.is_progress_bar_enabled(), each.get_verbosity()) for each in loggers]
    for each in loggers:
        each.disable_progress_bar()
        each.set_verbosity_error()
    try:
        yield
    finally:
        for each, bars, level in before:
            each.set_verbosity(level)
            if bars:
                each.enable_progress_bar()


def _part(root: Path, name: str, pair: list[str]) -> tuple[Part, type[Any]]:
    """Find the class of a part, which must be one of diffusers or transformers."""
    library, kind = pair
    if pair == OURS:
        from samplerzoo.hosting.scheduler import SamplerScheduler

        found: Any = SamplerScheduler
    else:
        found = getattr(LIBRARIES.get(library), kind, None)
    if not inspect.isclass(found):
        raise ZooError(
            f"{root / INDEX_FILE}: {name} is {json.dumps(pair)}, of no class of diffusers or transformers: no code of "
            "a folder is run"
        )
    folder = root / name
    if not folder.is_dir():
        raise ZooError(f"{root}: {INDEX_FILE} names {name} ({kind}), and there is no such folder: it is not whole")
    listed = any((folder / file).is_file() for file in CONFIG_FILES)
    config = read_json(folder, *CONFIG_FILES) if listed else {}
    return Part(name, folder, {**config, "_class_name": kind}), found
