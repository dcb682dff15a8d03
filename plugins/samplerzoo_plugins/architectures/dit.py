from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from samplerzoo import Condition, NetworkArchitecture, NetworkFacts, ZooError
from samplerzoo_plugins.architectures.configs import NetworkConfig

if TYPE_CHECKING:
    import torch


class DiT(NetworkArchitecture):
    """Class-conditional diffusion transformer on latents (Peebles and Xie 2023), as DiTPipeline holds it.

    Its table of labels has one row more than there are classes, and that is the null label.
    """

    reads: ClassVar[tuple[str, ...]] = ("DiTTransformer2DModel", "Transformer2DModel")

    def claims(self, config: Any) -> bool:
        """Tell whether it is a DiT: older folders call it Transformer2DModel, as those of other pipelines."""
        name, norm = config.get("_class_name"), config.get("norm_type")
        return name == "DiTTransformer2DModel" or (name == "Transformer2DModel" and norm == "ada_norm_zero")

    def facts(self, config: Any) -> NetworkFacts:
        config = NetworkConfig.read(config)
        norm = config.get("norm_type", "ada_norm_zero")
        if norm != "ada_norm_zero":
            raise ZooError(f"norm_type {norm!r}: a DiT that knows classes has 'ada_norm_zero'")
        channels, size = config.get("in_channels", 4), config.get("sample_size", 32)
        out = config.get("out_channels") or channels
        if out not in (channels, 2 * channels):
            raise ZooError(f"out_channels is {out}; for {channels} in_channels it must be as many or twice as many")
        classes = config.get("num_embeds_ada_norm", 1000)
        return NetworkFacts(
            shape=(channels, size, size),
            channels=channels,
            labels=classes + 1,
            null_label=classes,
            learns_variance=out == 2 * channels,
            tokens=config.get("patch_size", 2),
        )

    def module(self, config: Any) -> Any:
        from diffusers import DiTTransformer2DModel

        return DiTTransformer2DModel

    def call(self, module: Any) -> Any:
        def network(x: torch.Tensor, time: torch.Tensor, condition: Condition) -> torch.Tensor:
            dtype = next(module.parameters(), x).dtype
            return module(x.to(dtype), timestep=time, **condition.inputs).sample.to(x.dtype)

        return network
