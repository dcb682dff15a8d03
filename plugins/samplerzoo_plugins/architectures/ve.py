from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from samplerzoo import PARAMETRIZATIONS, UNSIGNED, VE, NetworkFacts, PathArchitecture, PathFacts, ZooError
from samplerzoo_plugins.architectures.configs import SchedulerConfig


class ScoreVE(PathArchitecture):
    """Score networks on a VE path (Song et al. 2021, eq. 9): they are told sigma, and were trained on pixels in [0, 1].

    UNet2DModel with fourier time divides its output by sigma, so that it is the score.
    """

    reads: ClassVar[tuple[str, ...]] = ("ScoreSdeVeScheduler",)

    def path(self, config: Any, network: NetworkFacts) -> PathFacts:
        config = SchedulerConfig.read(config)
        if network.time != "fourier":
            raise ZooError(
                f"time_embedding_type {network.time!r} of the network: whether its output is the score or the noise is "
                "not known; it is the score with 'fourier'"
            )
        schedule = VE(config.get("sigma_min", 0.01), config.get("sigma_max", 1348.0))
        told = dataclasses.replace(PARAMETRIZATIONS["score"], c_noise=lambda t: t.sigma)
        return PathFacts(schedule, told, codec=UNSIGNED)
