"""Checks of the scale of a guidance against exact answers: at 0 and 1, between and above, and in its interval.

They run on every kind of path, with every option of the guidance at further values within its bounds.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from unittest import SkipTest

from torch import Tensor

from samplerzoo.core.guidance import Guidance
from samplerzoo.core.level import Level
from samplerzoo.core.model import Model
from samplerzoo.core.parametrization import EPSILON, SAMPLE
from samplerzoo.core.paths import VE
from samplerzoo.core.schedule import Schedule
from samplerzoo.testing.fixtures import COSINE, farthest, three_classes
from samplerzoo.testing.guiding import IMAGES, SHAPE, Bench, Line, at, at_those_of, chooses_levels, eps, settings_of
from samplerzoo.testing.settings import difference, options_apart

HALF, MORE, FAR, BEYOND = 0.5, 1.5, 3.0, 12.0
"""Scales below 1, above 1, far above 1, and as far as users go."""

SCALES = (
    *(0.1, 0.25, 0.75, 0.9, 1.1, 1.25),
    *(halves / 2 for halves in range(3, 41)),
    *(25.0, 30.0, 40.0, 60.0, 100.0, 300.0, 1000.0, 1e4),
)
"""More scales, to see whether each one is used as it is."""

LONG, SAME = 1e-3, 1e-4
"""Distance of u and c from which weights can be measured, and relative distance of weights that count as equal."""

JUST_ABOVE, JUMP = 1.001, 0.1
"""Scale next to 1, and smallest share of the effect of a far larger one that is a jump."""

NOISE: dict[Schedule, float] = {VE(high=1e6): 1e-2, COSINE: 0.5}
"""Paths that end in a state which contains almost nothing of the image, and the relative error of x0 allowed there."""

INTERVAL = (0.9, 2.2)
"""Interval of the noise-to-signal ratio for the check of intervals. On a VP path sigma itself is below 1."""

WRONG_WAYS: dict[str, Callable[[Tensor, Tensor, Tensor, float], Tensor]] = {
    "it guides as the scale squared would: is the scale applied twice?": lambda u, c, other, s: u + s**2 * (c - u),
    "it guides as half the scale would": lambda u, c, other, s: u + s / 2 * (c - u),
    "it guides half as far beyond the conditional prediction": lambda u, c, other, s: c + (s - 1) / 2 * (c - u),
    "it guides as twice the scale would": lambda u, c, other, s: u + 2 * s * (c - u),
    "it guides as scale + 1 would: is it taken for w = scale - 1, or is the label told twice?": (
        lambda u, c, other, s: c + s * (c - u)
    ),
    "it guides away from the label: are the two predictions taken for each other?": (
        lambda u, c, other, s: c + s * (u - c)
    ),
    "it guides to the label of the image before it in the batch": lambda u, c, other, s: u + s * (other - u),
    "below scale 1 it is the conditional prediction: is guidance off there?": (
        lambda u, c, other, s: u + max(s, 1) * (c - u)
    ),
    "it is the conditional prediction at every scale: is the guidance ignored?": lambda u, c, other, s: c,
    "it is the prediction without a label at every scale: is the label ignored?": lambda u, c, other, s: u,
}
"""Known mistakes, with the eps that they predict from u and c at scale s; `other` is c for the wrong labels."""

RIGHT_BEFORE = {
    "VE": ": on a VP path, where alpha^2 + sigma^2 = 1, it is right",
    "flow": ": on VP and VE paths, with a network that predicts eps, it is right",
}
"""Hint for a mistake that only shows on this kind of path."""


def check_scale_1_is_conditional(guidance: Guidance, model: Model | None = None) -> None:
    """Check that scale 1 is the plain conditional prediction for each image's label: for a classifier, Bayes' rule."""
    checked = [made for made in settings_of(guidance, model) if made.keeps_scale_1]
    if not checked:
        raise SkipTest("it guides to another distribution, and says so: scale 1 is not the conditional prediction")
    for made, bench, t, x in _each(checked, model):
        off = farthest(eps(bench.guide(at(made, 1.0))(x, t)), bench.conditional(x, t))
        assert off <= bench.tolerance, (
            f"at scale 1{difference(guidance, made)} eps is off by {off:.2g} from the plain conditional one, "
            f"{bench.place(t)}{_cause(bench, made, t, x)}"
        )


def check_scale_0_is_unconditional(guidance: Guidance, model: Model | None = None) -> None:
    """Check that scale 0 gives the prediction without a label, at every level where the guidance is on.

    For a guidance by a second model, it is the second model's prediction.
    """
    on = 0
    for made, bench, t, x in _each(settings_of(guidance, model), model):
        found = eps(bench.guide(at(made, 0.0))(x, t))
        off = farthest(found, bench.away(made, x, t))
        on += off <= bench.tolerance
        assert min(off, farthest(found, bench.conditional(x, t))) <= bench.tolerance, (
            f"at scale 0{difference(guidance, made)} eps is off by {off:.2g} from the unconditional one, "
            f"{bench.place(t)}{_cause(bench, made, t, x)}"
        )
    assert on, "at scale 0 the prediction is the conditional one, at all levels: is the guidance ignored?"


def check_scale_guides(guidance: Guidance, model: Model | None = None) -> None:
    """Check that a scale above 1 changes the prediction."""
    for bench in Bench.each(guidance, model):
        moved = max(
            farthest(eps(bench.guide(at(guidance, 2.0))(x, t)), bench.towards(guidance, x, t))
            for t, x in bench.states()
        )
        assert moved > bench.tolerance, f"at scale 2 eps differs by {moved:.2g} from that at scale 1: it guides nothing"


def check_scale_does_not_jump(guidance: Guidance, model: Model | None = None) -> None:
    """Check that just above scale 1 the prediction is nearly that at scale 1, at some level of some image.

    It jumps everywhere if the formula for larger scales does not lead to scale 1, which a guidance may treat by itself
    to save evaluations. At some levels it may jump, as where the first steps of a run are not guided.
    """
    for made in settings_of(guidance, model):
        for bench in Bench.each(made, model):
            shares = [share for t, x in bench.states() for share in _jumps(bench, made, t, x)]
            assert not shares or min(shares) <= JUMP, (
                f"just above scale 1 eps is away from that at scale 1{difference(guidance, made)}, on a "
                f"{bench.model.schedule.kind} path, by {min(shares):.0%} or more of what it moves by to scale {FAR:g}, "
                "at all levels: does the formula for larger scales give the prediction at scale 1?"
            )


def _jumps(bench: Bench, guidance: Guidance, t: Level, x: Tensor) -> Iterator[float]:
    """Yield for each image that is guided how far eps moves just above scale 1, as a share of the way to FAR."""
    try:
        first, near, far = (eps(bench.guide(at(guidance, scale))(x, t)) for scale in (1.0, JUST_ABOVE, FAR))
    except ValueError:  # a scale is out of bounds
        return
    for a, b, c in zip(first, near, far, strict=True):
        if farthest(a, c) > 100 * bench.tolerance:
            yield farthest(a, b) / farthest(a, c)


def check_scale_is_exact(guidance: Guidance, model: Model | None = None) -> None:
    """Check that the weight equals the scale where eps is u + weight (c - u), with u at scale 0 and c at scale 1.

    Above scale 1 a guidance may give each level its own weight, or bound its effect. But one wrong weight at all levels
    and images is an error, unless an option that selects levels may have switched the guidance off. Nothing can be said
    where eps is not on the line through u and c, and if that is so somewhere, nothing of all levels. Scales outside the
    guidance's bounds are left out.
    """
    if model is not None:
        raise SkipTest("a network in float32 is too coarse to tell whether eps is on a line")
    seen = False
    every = ((made, bench) for made in settings_of(guidance, model) for bench in Bench.each(made, model))
    for made, bench in every:
        images = [weight for t, x in bench.states() for weight in _weights(bench, made, t, x)]
        found = [weight for weight in images if weight is not None]
        seen |= bool(found)
        wrong = next((weight for weight in found if weight.fault), None)
        apart = options_apart(guidance, made)
        nowhere = bool(apart) and all(weight.is_off for weight in found)
        off = nowhere and all(chooses_levels(guidance, option) for option in apart)
        everywhere = bool(found) and len(found) == len(images)
        if everywhere and wrong is None and not off and not any(weight.is_scale for weight in found):
            wrong = found[0] if _are_alike(found) else None
        if wrong is not None:
            scale, weight = wrong.fault or wrong.off_scale
            raise AssertionError(
                f"at scale {scale:g}{difference(guidance, made)} image {wrong.image} is guided as at scale "
                f"{weight:.7g}, {bench.place(wrong.t)}{_cause(bench, made, wrong.t, wrong.x)}"
            )
    if not seen:
        raise SkipTest("its eps is nowhere on the line from the unconditional to the conditional one")
    taken = dict(_at_more_scales(guidance))
    for scale, weight in taken.items():
        if abs(weight - scale) > SAME * scale:
            cut = any(other != scale and abs(taken[other] - weight) <= SAME * weight for other in taken)
            raise AssertionError(
                f"at scale {scale:g} every image is guided as at scale {weight:.4g}, at all levels"
                + ": a scale that is cut without a word belongs out of its bounds" * cut
            )


def _are_alike(found: Sequence[Weight]) -> bool:
    """Tell whether all images at all levels have the same weight."""
    far = [weight.far for weight in found]
    return max(far) - min(far) <= found[0].tolerance


def _at_more_scales(guidance: Guidance) -> Iterator[tuple[float, float]]:
    """Yield further scales at which eps is u + weight (c - u) with one weight everywhere, and the weight."""
    bench = Bench.of(None)
    ends = [(t, x, bench.away(guidance, x, t), bench.towards(guidance, x, t)) for t, x in bench.states()]
    for scale, made in at_those_of(guidance, SCALES):
        lines = [Line.through(u, c, eps(bench.guide(made)(x, t))) for t, x, u, c in ends]
        off = max(float(line.off.max()) for line in lines)
        weights = [weight for line in lines for weight in line.weight[line.length > LONG].tolist()]
        if weights and off <= 10 * bench.tolerance * scale and max(weights) - min(weights) <= SAME * scale:
            yield scale, weights[0]


@dataclass(frozen=True, eq=False)
class Weight:
    """Weights of one image at the four scales, at a level where eps is on the line from u to c.

    Attributes:
        tolerance: rounding error of a weight: that of eps divided by the difference of c and u.
    """

    t: Level
    x: Tensor
    image: int
    half: float
    more: float
    far: float
    beyond: float
    tolerance: float

    @property
    def is_scale(self) -> bool:
        """True if above scale 1 the weight is the scale itself."""
        return all(
            self._near(found, scale) for found, scale in ((self.more, MORE), (self.far, FAR), (self.beyond, BEYOND))
        )

    @property
    def is_off(self) -> bool:
        """True if the image is not guided at any scale above 1."""
        return all(self._near(found, 1.0) for found in (self.more, self.far, self.beyond))

    @property
    def off_scale(self) -> tuple[float, float]:
        """Scale above 1 that differs from its weight, and the weight: 3 if that does, else 1.5 or 12."""
        above = ((FAR, self.far), (MORE, self.more), (BEYOND, self.beyond))
        return next((each for each in above if not self._near(each[1], each[0])), above[0])

    @property
    def fault(self) -> tuple[float, float] | None:
        """Scale and weight that are wrong here; None if the weights may be intended."""
        level = (self.far - 1) / (FAR - 1)  # factor of this level, if its weight is 1 + level * (scale - 1)
        of_level = level > 0 and self._near(self.more, 1 + level * (MORE - 1))
        bounded = self.more + self.tolerance >= 1 and self.more <= MORE + self.tolerance
        bounded = bounded and self.more - self.tolerance <= self.far <= FAR + self.tolerance
        if not (of_level or bounded):
            return FAR, self.far
        at_most = max(BEYOND, 1 + level * (BEYOND - 1))
        if not self.far - self.tolerance <= self.beyond <= at_most + self.tolerance:
            return BEYOND, self.beyond
        below = (HALF, 1 - level * (1 - HALF)) if of_level else (HALF, 1 - (self.far - 1))
        return None if any(self._near(self.half, weight) for weight in below) else (HALF, self.half)

    def _near(self, weight: float, wanted: float) -> bool:
        return abs(weight - wanted) <= self.tolerance


def _weights(bench: Bench, guidance: Guidance, t: Level, x: Tensor) -> Iterator[Weight | None]:
    """Yield the weights of images at all four scales, or None if eps is not on the line from u to c at one of them.

    Images whose u and c are too close are left out.
    """
    u, c = bench.away(guidance, x, t), bench.towards(guidance, x, t)
    scales = (HALF, MORE, FAR, BEYOND)
    lines = [Line.through(u, c, eps(bench.guide(at(guidance, scale))(x, t))) for scale in scales]
    for image in range(IMAGES):
        length = float(lines[0].length[image])
        off = max(float(line.off[image]) / max(1.0, scale) for line, scale in zip(lines, scales, strict=True))
        if length < 100 * bench.tolerance:
            continue
        if off > 10 * bench.tolerance:
            yield None
        else:
            half, more, far, beyond = (float(line.weight[image]) for line in lines)
            # where u and c are close, a direction that bends is on the line up to rounding, and its weight is its own
            rounding = max(bench.tolerance, BEYOND * off)
            yield Weight(t, x, image, half, more, far, beyond, tolerance=10 * rounding / length)


def check_interval_is_of_noise_to_signal(guidance: Guidance, model: Model | None = None) -> None:
    """Check that the guidance is on exactly where low < sigma/alpha <= high, also at both ends."""
    for bench in Bench.each(guidance, model):
        path = bench.model.schedule
        low, high = (path.at_log_snr(-2 * math.log(noise)) for noise in INTERVAL)
        ends = {"low": low.sigma / low.alpha, "high": high.sigma / high.alpha}
        between = [path.at_log_snr(-2 * math.log(noise)) for noise in (0.5, 1.0, 1.6, 3.0)]
        for t in (low, high, *between):
            x = bench.state(t)
            noise = t.sigma / t.alpha
            inside = ends["low"] < noise <= ends["high"]
            found = eps(bench.guide(at(guidance, FAR, **ends))(x, t))
            wanted = eps(bench.guide(at(guidance, FAR))(x, t)) if inside else bench.conditional(x, t)
            off = farthest(found, wanted)
            assert off <= bench.tolerance, (
                f"with the interval of sigma/alpha from {ends['low']:.3g} (not included) to {ends['high']:.3g} "
                f"(included), eps is off by {off:.2g} from the {'guided' if inside else 'plain conditional'} one at "
                f"sigma/alpha = {noise:.3g}, where sigma is {t.sigma:.3g}, {bench.place(t)}"
            )


def check_no_noise_is_taken_for_signal(guidance: Guidance, model: Model | None = None) -> None:
    """Check that guided x0 is the same for all states that are pure noise, which contain nothing of an image.

    A guidance that changes eps by a factor or a bound turns the removed part of the noise into an image.
    """
    if model is not None:
        raise SkipTest("how much a model of one's own sees in noise is not known")
    benches = (dataclasses.replace(Bench.of(None), model=three_classes(SHAPE, SAMPLE, path)) for path in NOISE)
    bench = next((bench for bench in benches if not bench.refuses(guidance)), None)
    if bench is None:
        raise SkipTest("it refuses VE paths, and VP paths that end in noise")
    schedule = bench.model.schedule
    t = schedule.at(schedule.T)
    states = [bench.state(t, seed=seed) for seed in (1, 2)]
    for made in settings_of(guidance, model):
        found = [eps(bench.guide(at(made, FAR))(x, t)) for x in states]
        first, second = (EPSILON.read(x, t, p)[1] for x, p in zip(states, found, strict=True))
        off, size = farthest(first, second), 1 + float(first.abs().max())
        # little signal is left, which a steep classifier amplifies; even so small a change of eps makes an image
        bent = farthest(found[0], bench.conditional(states[0], t)) < 1e-2
        assert off <= NOISE[schedule] * size, (
            f"at scale {FAR:g}{difference(guidance, made)} guided x0 differs by {off:.2g} between two states that are "
            f"noise alone{': is eps rescaled, where x0 or v is meant?' if bent else ''}"
        )


def _each(checked: Iterable[Guidance], model: Model | None) -> Iterator[tuple[Guidance, Bench, Level, Tensor]]:
    """Yield every setting, with every state of every path that it accepts."""
    for made in checked:
        for bench in Bench.each(made, model):
            for t, x in bench.states():
                yield made, bench, t, x


def _cause(bench: Bench, guidance: Guidance, t: Level, x: Tensor) -> str:
    """Name the known mistake that explains the predictions at three scales, as the end of a sentence; else return "".

    A mistake only at scales above 1 is recognised, too. Paths are checked in turn, so that on a later path the earlier
    ones are known to be right.
    """
    if bench.exact and bench.model.schedule.kind in RIGHT_BEFORE:
        return RIGHT_BEFORE[bench.model.schedule.kind]
    try:
        u, c = bench.away(guidance, x, t), bench.towards(guidance, x, t)
    except SkipTest:  # a model without a null label, whose u is not known
        return ""
    other = bench.conditional(x, t, bench.labels.roll(1))
    found = {scale: eps(bench.guide(at(guidance, scale))(x, t)) for scale in (HALF, MORE, FAR)}
    right = {scale: farthest(p, u + scale * (c - u)) for scale, p in found.items()}
    if max(right.values()) <= 10 * bench.tolerance:  # right at these scales: the mistake is at others
        return ""
    for cause, predicted in WRONG_WAYS.items():
        off = {scale: farthest(p, predicted(u, c, other, scale)) for scale, p in found.items()}
        off[HALF] = min(off[HALF], right[HALF])
        if max(off.values()) <= 10 * bench.tolerance:
            return f": {cause}"
    return ""
