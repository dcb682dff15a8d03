"""Kinds of plugins: the base class of each, and checks of a plugin's class."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, Literal

from samplerzoo.core.blame import place_of_class, remember
from samplerzoo.core.protocol import check_members
from samplerzoo.errors import ZooError

if TYPE_CHECKING:
    from samplerzoo.options import Options

Kind = Literal["sampler", "guidance", "features", "spacing", "architecture"]

GUIDANCE_PREFIX = "guidance_"
"""Prefix of a guidance's options where they appear together with those of a sampler."""

RESERVED = frozenset(
    "model revision sampler guidance plugin steps spacing timesteps num_images batch_size seed class_labels clip_x0 "
    "prompts prompt_column negative_prompt "
    "device compile layout offload dtype trajectory output resume overwrite dry_run json debug help "
    "T beta_schedule beta_start beta_end rescale_betas_zero_snr labels on_step options "
    "images seeds metrics features reference reference_split floor baseline until_decided budget variant scheduler "
    "shape null_label columns plane progress hosted height width pipeline_option".split()
)
"""Flags of `run`, `timesteps` and `bench`, and keywords of `sample`: no field of a sampler may have such a name."""


def bases() -> dict[Kind, type[Options]]:
    """Return the base class of each kind."""
    from samplerzoo.core.architecture import Architecture
    from samplerzoo.core.features import Features
    from samplerzoo.core.guidance import Guidance
    from samplerzoo.core.sampler import Sampler
    from samplerzoo.core.spacing import Spacing

    return {
        "sampler": Sampler,
        "guidance": Guidance,
        "features": Features,
        "spacing": Spacing,
        "architecture": Architecture,
    }


def check_plugin(cls: type, kind: Kind) -> None:
    """Check the class of an object that was not loaded by the registry: its methods, and the names of its options.

    Raises:
        ZooError: the class could not be registered. The message is one line, with file and line of the wrong member.
    """
    try:
        check_class(cls, kind)
    except TypeError as error:
        raise ZooError(f"{kind} {cls.__name__} of {cls.__module__} is broken: {error}") from error
    remember(cls)


def check_methods(cls: type, kind: Kind) -> None:
    """Check the methods of an object's class that was not loaded by the registry, as in a notebook.

    Raises:
        ZooError: samplerzoo could not call it. The message is one line, with file and line of the wrong method.
    """
    try:
        check_members(cls, bases()[kind], kind)
    except TypeError as error:
        raise ZooError(f"{kind} {cls.__name__} of {cls.__module__} is broken: {error}") from error
    remember(cls)


def check_class(cls: Any, kind: Kind) -> None:
    """Check a class against the protocol of its kind, as far as that can be seen without running it.

    Raises:
        TypeError: says what is wrong.
    """
    base = bases()[kind]
    if not (inspect.isclass(cls) and issubclass(cls, base)):
        raise TypeError(f"{cls!r} is not a subclass of samplerzoo.{base.__name__}")
    _check_subclass(cls, base, kind)


@functools.cache  # a suite of a thousand cells asks for the same classes a thousand times
def _check_subclass(cls: type[Options], base: type[Options], kind: Kind) -> None:
    """Check a subclass of the base class of its kind.

    Raises:
        TypeError: says what is wrong.
    """
    try:
        cls.model_rebuild()
    except NameError as error:
        unknown = f"a field of {cls.__name__} has a type that is not known: {str(error).splitlines()[0]}"
        raise TypeError(f"{unknown} ({place_of_class(cls)})") from error
    own = set(cls.model_fields) - set(base.model_fields)
    taken = set(dir(base)) | (RESERVED if kind == "sampler" else set())
    for field in own:
        if field in taken or (kind == "sampler" and field.startswith(GUIDANCE_PREFIX)):
            raise TypeError(
                f"the field {field!r} of {cls.__name__} has the name of a {base.__name__} member or a run flag "
                f"({place_of_class(cls)})"
            )
        if not cls.model_fields[field].description:
            raise TypeError(
                f"the field {field!r} of {cls.__name__} has no description, which is the help of its flag "
                f"({place_of_class(cls)})"
            )
    check_members(cls, *_protocol(cls, base, kind))


def _protocol(cls: type, base: type, kind: Kind) -> tuple[type, str]:
    """Return the base class whose members a plugin has to have, and the name of its protocol.

    Raises:
        TypeError: an architecture reads no kind of part.
    """
    if kind != "architecture":
        return base, kind
    from samplerzoo.core.architecture import CodecArchitecture, NetworkArchitecture, PathArchitecture

    roles = {"network": NetworkArchitecture, "path": PathArchitecture, "codec": CodecArchitecture}
    for role, found in roles.items():
        if issubclass(cls, found):
            return found, role
    names = ", ".join(found.__name__ for found in roles.values())
    raise TypeError(f"{cls.__name__} reads no kind of part: make it a subclass of one of {names}")
