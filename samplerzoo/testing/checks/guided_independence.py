"""Checks that a guided image depends only on its own label and state, not on other images, calls or runs."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from unittest import SkipTest

import torch
from torch import Tensor

from samplerzoo.core.condition import Condition
from samplerzoo.core.guidance import Guidance
from samplerzoo.core.level import Level
from samplerzoo.core.model import Model
from samplerzoo.core.prediction import Prediction
from samplerzoo.sampling.sample import sample
from samplerzoo.testing.checks.independence import CONTRASTS, GUIDES_ALIKE, kept_random_state, seed_everything, undrawn
from samplerzoo.testing.fixtures import Ancestral, farthest
from samplerzoo.testing.guiding import (
    IMAGES,
    Bench,
    Guided,
    at,
    eps,
    guiding_pairs,
    guiding_settings,
)
from samplerzoo.testing.settings import difference

CALLS = 101
"""Calls of one guided function: 50 steps of a method with two calls per step, and one more."""
MANY = 350
"""Number of small batches in a large one, which has 2100 images."""


def check_labels_are_respected(guidance: Guidance, model: Model | None = None) -> None:
    """Check that another label gives another prediction, and that guided images have the requested class."""
    bench = Bench.of(model)
    guided = at(guidance, 2.0)
    if bench.classes < 2:
        raise SkipTest("the model has one class")
    t, x = bench.states()[1]
    first, second = (bench.guide(guided, torch.full((IMAGES,), label))(x, t) for label in (0, 1))
    assert farthest(eps(first), eps(second)) > bench.tolerance, "labels 0 and 1 make the same prediction"
    if model is not None:
        return  # for other networks and classifiers, the expected agreement is not known
    labels = [*range(bench.classes)] * 20
    images = sample(bench.model, Ancestral(), guidance=guided, labels=labels, steps=20).images
    assert bench.model.classifier is not None
    seen = bench.model.classifier(images, bench.model.schedule.at(bench.model.schedule.low)).argmax(1).tolist()
    right = sum(label == found for label, found in zip(labels, seen, strict=True)) / len(labels)
    least = 0.9 if guidance.keeps_scale_1 else 1 / bench.classes  # of other distributions no more is known
    assert right > least, (
        f"at scale 2, {right:.0%} of the images are of the class that was asked for: guided elsewhere?"
    )


def check_guided_batch_is_not_mixed(guidance: Guidance, model: Model | None = None) -> None:
    """Check that a part of a batch, in another order, gives the same predictions, so that images are independent."""
    bench = Bench.of(model)
    for made in (*guiding_settings(guidance, model), *guiding_pairs(guidance, model)):
        for t, x in bench.states():
            whole = bench.guide(made)(x, t)
            for chosen in ([4, 0, 3], [2]):
                part = bench.guide(made, bench.labels[chosen])(x[chosen], t)
                off = farthest(eps(part), eps(whole)[chosen])
                assert off <= bench.tolerance, (
                    f"eps of images {chosen} of a batch of {IMAGES} differs by {off:.2g}{difference(guidance, made)} "
                    "when they are guided without the others: does an image depend on others of the batch?"
                )
    for made in guiding_settings(guidance, model):
        if model is None:
            _check_many(bench, made, difference(guidance, made))
            _check_sizes(bench, made, difference(guidance, made))


def _check_sizes(bench: Bench, guidance: Guidance, where: str) -> None:
    """Check that images are guided as if they were alone, even if states and predictions of others explode."""

    def denoise(x: Tensor, t: Level, condition: Condition | None = None) -> Prediction:
        p = bench.model.denoise(x, t, condition)
        return p.moved(p.eps / 2)  # so that x0 explodes, too

    factors = torch.tensor(CONTRASTS, dtype=bench.dtype).reshape(-1, *[1] * len(bench.model.shape))
    for t, x in bench.states()[1::2]:
        x = x * factors
        whole = eps(bench.guide(guidance, denoise=denoise)(x, t))
        for image in range(IMAGES):
            alone = eps(bench.guide(guidance, bench.labels[[image]], denoise=denoise)(x[[image]], t))
            off = farthest(alone, whole[[image]]) / max(1.0, float(alone.abs().max()))
            assert off <= bench.tolerance, (
                f"eps of image {image} of a batch of {IMAGES}, of which some have large values, differs by "
                f"{off:.2g} of its size{where} when it is guided without the others, {bench.place(t)}"
            )


def _check_many(bench: Bench, guidance: Guidance, where: str) -> None:
    """Check that images are guided in a large batch as in small ones."""
    t, x = bench.states()[2]
    many = bench.guide(guidance, bench.labels.repeat(MANY))(x.repeat(MANY, *[1] * (x.ndim - 1)), t)
    few = eps(bench.guide(guidance)(x, t))
    for batch in eps(many).split(IMAGES):
        off = farthest(batch, few)
        assert off <= bench.tolerance, (
            f"eps differs by {off:.2g} in a batch of {IMAGES * MANY} and of {IMAGES}{where}, {bench.place(t)}: does an "
            "image depend on others of the batch?"
        )


def check_guided_runs_are_independent(guidance: Guidance, model: Model | None = None) -> None:
    """Check that a state gives the same prediction after any other calls, and with any global random state.

    Before it come no calls or a few: with other states, levels, labels and batches. Their number varies, so that a
    cache that is renewed only at every second call is found, too.
    """
    bench = Bench.of(model)
    t, x = bench.states()[0]
    for made in guiding_settings(guidance, model):
        expected, where = eps(bench.guide(made)(x, t)), difference(guidance, made)
        with kept_random_state():
            for seed in (1, 2):
                seed_everything(seed)
                guided, calls = bench.guide(made), 0
                with undrawn(GUIDES_ALIKE):
                    strangers = itertools.cycle(_calls_beside(bench, made, guided))
                    for others in itertools.cycle(OTHERS):
                        for _ in range(others):
                            next(strangers)()
                        calls += others + 1
                        found = eps(guided(x.clone(), t))
                        off = farthest(found, expected)
                        assert torch.equal(found, expected), (
                            f"eps differs by {off:.2g} after {others} other calls{where}, at call {calls}: nothing may "
                            "be kept from one call to the next"
                        )
                        if calls > CALLS:
                            break
        _check_runs_down(bench, made, where)
        _check_labels_are_not_kept(bench, made, where)


def _check_runs_down(bench: Bench, guidance: Guidance, where: str) -> None:
    """Check that each state of a run, from noise to data, is guided as if it were alone."""
    guided = bench.guide(guidance)
    for t, x in 2 * bench.states():
        off = farthest(eps(guided(x, t)), eps(bench.guide(guidance)(x, t)))
        assert off == 0, (
            f"eps differs by {off:.2g} after calls with more noise{where}, {bench.place(t)}: nothing may be kept from "
            "one call to the next"
        )


OTHERS = (1, 0, 0, 2, 1, 3, 1, 0, 5, 2)
"""Numbers of other calls between two with the same state, used in turn, so that it comes at even and odd places."""


def _calls_beside(bench: Bench, made: Guidance, guided: Guided) -> list[Callable[[], Prediction]]:
    """List calls that must not affect others. Each differs in one thing: state, level, batch or label."""
    (t, x), *others = bench.states()
    few, turned = bench.guide(made, bench.labels[:2]), bench.guide(made, bench.labels.roll(1))
    calls = [functools.partial(guided, x.flip(0), t), functools.partial(guided, x, others[0][0])]
    for level, y in others:
        calls += [functools.partial(guided, y, level), functools.partial(few, y[:2], level)]
    return [*calls, functools.partial(turned, x, t)]


def _check_labels_are_not_kept(bench: Bench, made: Guidance, where: str) -> None:
    """Check that states are guided to new labels after they were guided to other ones.

    The expected result comes from the same images in another order, if images are independent.
    """
    t, x = bench.states()[0]
    allowed = bench.tolerance * max(1.0, made.scale)
    turned = bench.labels.roll(1)
    known, first = eps(bench.guide(made, turned)(x.roll(1, 0), t)).roll(-1, 0), eps(bench.guide(made)(x, t))
    wanted, found = eps(bench.guide(made)(x.roll(-1, 0), t)).roll(1, 0), eps(bench.guide(made, turned)(x, t))
    off = farthest(found, wanted)
    assert off <= allowed or farthest(known, first) > allowed, (
        f"after the same states with other labels, eps differs by {off:.2g}{where}: what is kept forgets the labels"
    )
