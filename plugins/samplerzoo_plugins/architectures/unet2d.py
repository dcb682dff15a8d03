from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from samplerzoo import Condition, NetworkArchitecture, NetworkFacts, ZooError
from samplerzoo_plugins.architectures.configs import NetworkConfig

if TYPE_CHECKING:
    import torch


class UNet2D(NetworkArchitecture):
    """UNet2DModel of diffusers, on pixels or latents, with class labels or without.

    It is told its time as a tensor: diffusers would cut a Python float down to an integer.
    """

    reads: ClassVar[tuple[str, ...]] = ("UNet2DModel",)

    def facts(self, config: Any) -> NetworkFacts:
        config = NetworkConfig.read(config)
        channels, out = config.get("in_channels", 3), config.get("out_channels", 3)
        if out not in (channels, 2 * channels):
            raise ZooError(
                f"out_channels is {out}; for {channels} in_channels it must be as many, or twice as many with a "
                "learned variance"
            )
        if config.get("class_embed_type") is not None:
            raise ZooError(f"class_embed_type {config['class_embed_type']!r}: labels are known for a table of classes")
        size = config.get("sample_size")
        sides = (size, size) if isinstance(size, int) and size is not True else size
        if sides is not None and not (isinstance(sides, (list, tuple)) and len(sides) == 2):
            raise ZooError(f"sample_size {size!r} is neither a side of an image, nor its height and width")
        time = config.get("time_embedding_type") or "positional"
        return NetworkFacts(
            shape=None if sides is None else (channels, *sides),
            channels=channels,
            labels=config.get("num_class_embeds") or 0,
            learns_variance=out == 2 * channels,
            time=time,
            times=config.get("num_train_timesteps") if time == "learned" else None,
        )

    def module(self, config: Any) -> Any:
        from diffusers import UNet2DModel

        return UNet2DModel

    def call(self, module: Any) -> Any:
        config = getattr(module, "module", module).config  # Accelerate may have wrapped it
        whole = config.time_embedding_type == "learned"  # a table, with a row for each timestep

        def network(x: torch.Tensor, time: torch.Tensor, condition: Condition) -> torch.Tensor:
            dtype = next(module.parameters(), x).dtype  # module.dtype walks through everything, for half a millisecond
            time = time.round().long() if whole else time
            return module(x.to(dtype), time, **condition.inputs).sample.to(x.dtype)

        return network
