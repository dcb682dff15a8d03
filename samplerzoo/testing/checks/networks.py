"""Checks of how an architecture drives its network: batches of any size, any time, label, dtype and device."""

from __future__ import annotations

import copy
import itertools
from typing import Any
from unittest import SkipTest

import torch
from torch import Tensor

from samplerzoo.core.architecture import NetworkArchitecture, NetworkFacts
from samplerzoo.errors import reason
from samplerzoo.testing.checks.architectures import answer_of, condition_of, facts_of, given, read_again, times_of
from samplerzoo.testing.fixtures import farthest

BATCHES = (*range(1, 18), 25, 31, 32, 33, 64, 65, 128)
"""Numbers of images in a batch."""
MANY = 130
"""Images in the batch that the other batches are compared with."""

SAME = 1e-4
"""Allowed relative difference of an answer in another batch, since float32 sums depend on the batch."""

FEW = 3
"""Images in each of several successive calls."""

CHANGE = 1e-3
"""Change of a state, below the rounding of bfloat16 and far above that of float32."""

LABELS = 256
"""Most labels that are tried. If there are more, the first ones and the last are."""

HALF_PRECISION = {torch.bfloat16: 0.2, torch.float16: 0.1}
"""Allowed relative difference of answers in half precision, for a deep network."""

RANGES = (torch.linspace(1, 1000, 1000), torch.linspace(0.004, 1, 250))
"""Times that are tried: timesteps, and fractions of 1."""
PART = 100
"""Images at different times in one call of a network."""
JUMP = 20.0
"""Change from one time to the next that counts as a jump, in multiples of the median change around it."""
AROUND = 10


def check_images_are_answered_alone(architecture: NetworkArchitecture, module: Any) -> None:
    """Check that an answer is the same in a batch of any size, in which each image has its own time and label."""
    facts = facts_of(architecture, module)
    x, condition = given(facts, MANY)
    times = _spread(facts, MANY)
    whole = answer_of(architecture, module, x, times, condition)
    allowed = SAME * max(1.0, float(whole.abs().max()))
    for number in BATCHES:
        rows = torch.arange(MANY - number, MANY)  # at another place than in the whole batch
        off = farthest(answer_of(architecture, module, x[rows], times[rows], condition[rows]), whole[rows])
        assert off <= allowed, (
            f"the answers in a batch of {number} differ by {off:.2g} from those to the same images in one of {MANY}, "
            "where images have times and labels of their own: an answer is that of its own state, time and condition "
            "alone"
        )


def check_calls_are_answered_alone(architecture: NetworkArchitecture, module: Any) -> None:
    """Check that one function answers every call like a new function, whatever calls came before.

    Successive calls share the batch size and all but one of states, times and conditions, or even the first pixels.
    """
    facts = facts_of(architecture, module)
    x, condition = given(facts, FEW)
    times, back = _spread(facts, FEW + 1)[1:], torch.arange(FEW).flip(0)  # not time 0: a network may take its log
    moved = x.clone()
    moved[..., -1] += 1
    network = architecture.call(module.eval())
    calls = {
        "": (x, times, condition),
        "another condition": (x, times, condition[back]),
        "other times": (x, times[back], condition),
        "other states": (x[back], times, condition),
        "other last pixels": (moved, times, condition),
    }
    for what, call in calls.items():
        with torch.no_grad():
            found = network(*call)
        off = farthest(found, answer_of(architecture, module, *call))
        assert off <= SAME * max(1.0, float(found.abs().max())), (
            f"a call with {what} after others is answered otherwise than as a first one, by {off:.2g}: nothing may "
            "be kept from one call to the next"
        )


def check_float32_has_its_digits(architecture: NetworkArchitecture, module: Any) -> None:
    """Check that states are read in float32: half of a small change must give half of the difference."""
    facts = facts_of(architecture, module)
    x, condition = given(facts, 2)
    change = CHANGE * torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    plain, half, whole = (
        answer_of(architecture, module, x + by * change, times_of(facts)[0], condition).double() for by in (0, 0.5, 1)
    )
    off, moved = farthest(half - plain, (whole - plain) / 2), farthest(whole, plain)
    assert off <= moved / 4, (
        f"a change of the state by {CHANGE:g} moves the answer by {moved:.2g}, and half of it otherwise, by {off:.2g}: "
        "is something rounded to half precision?"
    )


def check_time_is_handed_on(architecture: NetworkArchitecture, module: Any) -> None:
    """Check that different times give different answers, also fractions unless the network has a table of times."""
    facts = facts_of(architecture, module)
    x, condition = given(facts, 1)
    early, late = times_of(facts)
    pairs = [(early, late)] if facts.times is not None else [(early, late), (late, late + 0.5)]
    for first, second in pairs:
        answers = (answer_of(architecture, module, x, time, condition) for time in (first, second))
        assert farthest(*answers) > 0, (
            f"times {first:g} and {second:g} have the same answer: hand time on as it is, or say the size of a table "
            "of times in the facts"
        )


def check_no_time_is_read_otherwise(architecture: NetworkArchitecture, module: Any) -> None:
    """Check that answers change smoothly with time, without exceptions at single times or at the ends.

    One change is allowed, for a network with separate parts for more and for less noise.
    """
    facts = facts_of(architecture, module)
    if facts.times is not None:
        raise SkipTest("it has a table of times, which need not be smooth")
    x, condition = given(facts, 1)
    for times in RANGES:
        answers = torch.cat([
            answer_of(architecture, module, x.repeat(len(part), 1, 1, 1), part, condition[[0] * len(part)])
            for part in times.split(PART)
        ]).double().flatten(1)  # fmt: skip
        steps = (answers[1:] - answers[:-1]).norm(dim=1)
        usual = torch.stack([steps[max(n - AROUND, 0) : n + AROUND + 1].median() for n in range(len(steps))])
        jumps = (steps > JUMP * usual + SAME * answers.norm(dim=1).max()).nonzero().flatten().tolist()
        ends = [n for n in jumps if n < AROUND or n >= len(steps) - AROUND]
        back = [n for n, m in itertools.pairwise(jumps) if m - n <= AROUND]
        for n in [*ends, *back]:
            raise AssertionError(
                f"the answer jumps by {float(steps[n]):.2g} between the times {float(times[n]):g} and "
                f"{float(times[n + 1]):g}, where it changes by {float(usual[n]):.2g} around them"
            )


def check_every_label_is_handed_on(architecture: NetworkArchitecture, module: Any) -> None:
    """Check that every label, or every prompt, gives a different answer, and the same alone and in a batch."""
    facts = facts_of(architecture, module)
    count = facts.labels or 3 * bool(facts.prompt)
    if count < 2:
        raise SkipTest("it knows no labels and no prompts")
    chosen = torch.arange(count) if count <= LABELS else torch.tensor([*range(LABELS - 8), *range(count - 8, count)])
    x, _ = given(facts, 1)
    batched = answer_of(
        architecture, module, x.repeat(len(chosen), 1, 1, 1), times_of(facts)[0], condition_of(facts, chosen)
    ).flatten(1)  # fmt: skip
    apart = torch.cdist(batched, batched, p=float("inf")) + torch.eye(len(chosen))
    what = "labels" if facts.labels else "prompts"
    if not apart.all():
        one, other = (int(chosen[index]) for index in (apart == 0).nonzero()[0])
        raise AssertionError(f"the {what} {one} and {other} have the same answer: hand the condition on as it is")
    for row in (0, 1, len(chosen) - 1):
        alone = answer_of(
            architecture, module, x, times_of(facts)[0], condition_of(facts, chosen[row : row + 1])
        ).flatten(1)
        off = farthest(alone, batched[row : row + 1])
        assert off <= SAME * max(1.0, float(batched.abs().max())), (
            f"the answer to number {int(chosen[row])} of the {what} differs by {off:.2g} in a batch of one"
        )


ONE_IN_BFLOAT16 = tuple((middle - 1.0, middle + 1.0) for middle in range(520, 1000, 64))
"""Pairs of times that are equal in bfloat16, whose numbers above 512 are four apart."""


def check_half_precision_is_answered_in_float32(architecture: NetworkArchitecture, module: Any) -> None:
    """Check that weights in half precision turn float32 into float32, close to the answers of float32 weights."""
    facts = facts_of(architecture, module)
    x, condition = given(facts, 3)
    exact = answer_of(architecture, module, x, times_of(facts)[0], condition)
    for dtype, allowed in HALF_PRECISION.items():
        try:
            found = answer_of(architecture, read_again(architecture, module, dtype), x, times_of(facts)[0], condition)
        except RuntimeError as error:
            raise SkipTest(f"in {dtype} it fails: {reason(error)}") from error
        assert found.dtype == x.dtype, f"weights in {dtype} answer {found.dtype} to {x.dtype}"
        off = farthest(found, exact) / max(1e-6, float(exact.abs().max()))
        assert off <= allowed, f"weights in {dtype} answer with a relative difference of {off:.2g} from float32"
    _check_times_keep_their_digits(architecture, module, facts)


def _check_times_keep_their_digits(architecture: NetworkArchitecture, module: Any, facts: NetworkFacts) -> None:
    """Check that with bfloat16 weights, late times that are equal in bfloat16 still give different answers.

    If a network hardly depends on time, some pairs have equal answers by rounding, but not all of them.
    """
    x, condition = given(facts, 1)
    weights = read_again(architecture, module, torch.bfloat16)

    def tells(net: Any, pair: tuple[float, float]) -> bool:
        early, late = (answer_of(architecture, net, x, time, condition) for time in pair)
        return not torch.equal(early, late)

    pairs = [pair for pair in ONE_IN_BFLOAT16 if (facts.times is None or pair[1] < facts.times) and tells(module, pair)]
    assert not pairs or any(tells(weights, pair) for pair in pairs), (
        f"weights in bfloat16 have one answer for the times {pairs[0][0]:g} and {pairs[0][1]:g}, and so on, "
        "and in float32 two: hand time on in float32, whatever the weights are"
    )


def check_takes_half_precision(architecture: NetworkArchitecture, module: Any) -> None:
    """Check that weights in half precision work at all, since they are the default on many devices."""
    facts = facts_of(architecture, module)
    x, condition = given(facts, 1)
    for dtype in HALF_PRECISION:
        try:
            answer_of(architecture, read_again(architecture, module, dtype), x, times_of(facts)[0], condition)
        except RuntimeError as error:
            raise AssertionError(
                f"with weights in {dtype} it fails: {reason(error)}; hand x on in the dtype of the weights, and "
                "bring the answer back into that of x"
            ) from error


def check_device_is_that_of_the_network(architecture: NetworkArchitecture, module: Any) -> None:
    """Check that no tensor is created on a wrong device, with a network on torch's meta device."""
    facts = facts_of(architecture, module)
    x, condition = given(facts, 3)
    told = type(condition)({name: value.to("meta") for name, value in condition.inputs.items()}, condition.labels)
    try:
        found = answer_of(architecture, copy.deepcopy(module).to("meta"), x.to("meta"), times_of(facts)[0], told)
    except (RuntimeError, NotImplementedError) as error:
        if "is not on the expected device" in str(error):
            raise AssertionError(f"a tensor is not on the network's device: {reason(error)}") from error
        raise SkipTest("it looks at numbers on its way, so that devices cannot be told") from error
    assert found.device == torch.device("meta"), f"the answer is on {found.device}, and the network is not"


def _spread(facts: NetworkFacts, images: int) -> Tensor:
    """Return a different time for each image."""
    return torch.arange(images).float() * 9 % (facts.times or 1000)
