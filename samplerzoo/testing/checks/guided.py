"""Checks of a guidance other than those of its scale: options, parts of a prediction, evaluations, and other plugins.

A guidance is checked on an exact mixture, in float64. If another model is given, it is used as it is, in float32.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any
from unittest import SkipTest

import torch
from torch import Tensor

from samplerzoo.core.blame import blame
from samplerzoo.core.condition import Condition
from samplerzoo.core.guidance import Guidance, TwoModelGuidance
from samplerzoo.core.level import Level
from samplerzoo.core.model import Model
from samplerzoo.core.parametrization import EPSILON, SAMPLE, V_PREDICTION
from samplerzoo.core.prediction import Prediction
from samplerzoo.core.sampler import Sampler
from samplerzoo.errors import UsageError
from samplerzoo.sampling.sample import sample
from samplerzoo.testing.checks.guided_images import PICTURE
from samplerzoo.testing.fixtures import Ancestral, Flow, farthest, three_classes
from samplerzoo.testing.guiding import (
    IMAGES,
    SHAPE,
    Bench,
    as_kind,
    at,
    chooses_levels,
    eps,
    guiding,
    guiding_pairs,
    guiding_settings,
    settings_of,
    variance_by_label,
)
from samplerzoo.testing.settings import (
    difference,
    neighbours,
    takes_zero_for_none,
    values_apart,
    with_value,
    zero_for_none,
)

SIZES = (1.0, 30.0, 1e3)
"""Factors on predictions. Options that are bounds have an effect only on large ones."""


def check_guidance_options_act(guidance: Guidance, model: Model | None = None) -> None:
    """Check that each of its own options changes some prediction, with the other options as they are or varied."""
    if model is not None:
        raise SkipTest("which options act on a model of one's own is not known")
    if guidance.high is not None and guidance.high <= guidance.low:
        raise SkipTest("its interval is empty, so that it guides nowhere")
    bench, around = Bench.of(model), [*guiding_settings(guidance, model)]
    for name in type(guidance).model_fields:
        if name not in TwoModelGuidance.model_fields:
            pairs = ((base, other) for base in around for other in neighbours(base, name) if not bench.refuses(other))
            acts = any(_act_otherwise(base, other) for base, other in pairs)
            assert acts, f"the option {name} changes no prediction, whatever it and the other options are set to"
            assert not any(takes_zero_for_none(base, name, _distance) for base in around), zero_for_none(name)
            for a, b in values_apart(guidance, name):
                apart = [
                    (x, y) for it in around for x in with_value(it, name, a) for y in with_value(it, name, b)
                    if not (bench.refuses(x) or bench.refuses(y))
                ]  # fmt: skip
                acts = any(_act_otherwise(x, y) for x, y in apart)
                assert (
                    acts or not apart or chooses_levels(guidance, name)
                ), (  # no network is asked beyond the levels of a path
                    f"the option {name} gives the same predictions at {a!r} as at {b!r}: a value that is not taken as "
                    "it is belongs out of its bounds, which its Field says"
                )


def _distance(one: Guidance, other: Guidance) -> float:
    """Return the largest difference of the predictions of two guidances; NaN if one refuses the kit's model."""
    bench = Bench.of(None)
    if bench.refuses(one) or bench.refuses(other):
        return math.nan
    a, b = bench.guide(one), bench.guide(other)
    return max(farthest(eps(a(x, t)), eps(b(x, t))) for t, x in bench.states())


def _act_otherwise(one: Guidance, other: Guidance) -> bool:
    """Tell whether two guidances differ in a run: on rows or images, with predictions as they are or far larger.

    All of these are needed, since bounds act only on large differences, filters only on images, and running averages
    only from the second call on.
    """
    for shape in (SHAPE, PICTURE):
        bench = dataclasses.replace(Bench.of(None), model=three_classes(shape))
        for factor in SIZES:

            def denoise(x: Tensor, t: Level, condition: Condition | None = None, *, by: float = factor) -> Prediction:
                p = bench.model.denoise(x, t, condition)  # noqa: B023
                return p.moved((by - 1) * p.eps)

            guided = [bench.guide(it, denoise=denoise) for it in (one, other)]
            for t, x in bench.states():
                a, b = (guide(x, t) for guide in guided)
                if not torch.equal(a.eps, b.eps) or (a.shift is None) != (b.shift is None):
                    return True
    return False


def check_guided_x0_and_eps_agree(guidance: Guidance, model: Model | None = None) -> None:
    """Check that all parts of a guided prediction are about the state and level of the call.

    And check that x = alpha x0 + sigma eps holds, as it does if the prediction is made by `replace`.
    """
    for made in guiding_settings(guidance, model):
        for bench in Bench.each(made, model):
            guided = bench.guide(made)
            for t, x in 2 * bench.states():
                p = guided(x, t)
                assert torch.equal(p.x, x), (
                    f"x of the prediction is not the state that was asked about{difference(guidance, made)}, "
                    f"{bench.place(t)}"
                )
                assert p.level == t, (
                    f"the level of the prediction is at tau {p.level.tau:g}{difference(guidance, made)}, where it was "
                    f"asked {bench.place(t)}"
                )
                off = farthest(t.alpha * p.x0 + t.sigma * p.eps, x)
                assert off <= bench.tolerance * max(1, float(p.eps.abs().max()) * t.sigma), (
                    f"alpha x0 + sigma eps is off by {off:.2g} from x{difference(guidance, made)}, {bench.place(t)}: "
                    "p.replace(eps=...) derives the one from the other"
                )


def check_guidance_changes_nothing_in_place(guidance: Guidance, model: Model | None = None) -> None:
    """Check that states, labels and the network's predictions are not changed in place."""
    bench = Bench.of(model)
    kept: list[tuple[str, Tensor, Tensor]] = []

    def keep(what: str, x: Tensor) -> None:
        kept.append((what, x, x.clone()))

    def denoise(x: Tensor, t: Level, condition: Condition | None = None) -> Prediction:
        p = bench.model.denoise(x, t, condition)
        keep("eps of the network", p.eps)
        keep("x0 of the network", p.x0)
        return p

    for made in (*guiding_settings(guidance, model), *guiding_pairs(guidance, model)):
        for t, x in bench.states():
            keep("the state", x)
            keep("the labels", bench.labels)
            bench.guide(made, denoise=denoise)(x, t)
    for what, now, before in kept:
        assert torch.equal(now, before), f"{what} changed in place"


def check_guided_kinds_of_network_agree(guidance: Guidance, model: Model | None = None) -> None:
    """Check that networks that predict eps, x0 or v are guided alike, as they are with weights that sum to 1."""
    bench = Bench.of(model)
    kinds = [kind for kind in (EPSILON, SAMPLE, V_PREDICTION) if not kind.blind(bench.model.schedule)]
    networks = [dataclasses.replace(bench, model=as_kind(bench.model, kind)) for kind in kinds]
    for made in (*guiding_settings(guidance, model), *guiding_pairs(guidance, model)):
        for t, x in bench.states():
            first, *others = (eps(network.guide(made)(x, t)) for network in networks)
            for kind, other in zip(kinds[1:], others, strict=True):
                off = farthest(other, first)
                assert off <= bench.tolerance * max(1, float(first.abs().max())), (
                    f"a {kind.name} network is guided otherwise than one of {kinds[0].name}, by {off:.2g} at tau "
                    f"{t.tau:g}{difference(guidance, made)}"
                )


def check_evaluations_are_counted(guidance: Guidance, model: Model | None = None) -> None:
    """Check that all evaluations go through `denoise`, and that scales 0 and 1 cost one evaluation per image."""
    bench = Bench.of(model)
    for scale in (0.0, 1.0, 2.0):
        network, asked = _evaluations(bench, at(guidance, scale))
        assert network == asked, (
            f"the network was evaluated {network} times for {IMAGES} images, and {asked} times through the denoise "
            "that guide is given: call nothing else"
        )
        assert scale > 1 or network <= IMAGES, (
            f"at scale {scale:g} an image costs {network / IMAGES:g} evaluations, where 1 will do"
        )


def _evaluations(bench: Bench, guidance: Guidance) -> tuple[int, int]:
    """Count the rows that the network saw, and the rows that went through `denoise`."""
    rows = {"network": 0, "denoise": 0}

    def net(x: Tensor, time: Tensor, condition: Condition) -> Tensor:
        rows["network"] += len(x)
        return bench.model.net(x, time, condition)

    counted = dataclasses.replace(bench.model, net=net)

    def denoise(x: Tensor, t: Level, condition: Condition | None = None) -> Prediction:
        rows["denoise"] += len(x)
        return counted.denoise(x, t, condition)

    t, x = bench.states()[1]
    dataclasses.replace(bench, model=counted).guide(guidance, denoise=denoise)(x, t)
    return rows["network"], rows["denoise"]


def check_learned_variance_is_kept(guidance: Guidance, model: Model | None = None) -> None:
    """Check that a learned variance is kept: that of the conditional prediction, if the guidance makes one."""
    bench = Bench.of(model)
    t, x = bench.states()[1]
    if bench.model.denoise(x, t, bench.condition()).variance is None:
        raise SkipTest("the model has no learned variance")
    if model is None:
        bench = dataclasses.replace(bench, model=variance_by_label(bench.model))
    answers: list[Prediction] = []

    def denoise(x: Tensor, t: Level, condition: Condition | None = None) -> Prediction:
        answers.append(bench.model.denoise(x, t, condition))
        return answers[-1]

    for scale, made in itertools.product((0.0, 1.0, 1.5, 3.0), settings_of(guidance, model)):
        answers.clear()
        where = f"at scale {scale:g}{difference(guidance, made)}"
        p = bench.guide(at(made, scale), denoise=denoise)(x, t)
        assert p.variance is not None, f"{where} the learned variance is lost: change predictions by replace"
        assert p.variance.shape == x.shape, f"{where} the variance has the shape {tuple(p.variance.shape)}"
        own = bench.model.denoise(x, t, bench.condition()).variance
        known = [
            part for answer in answers for part in (answer.variance if answer.variance is not None else x).split(len(x))
        ]
        if scale >= 1 and own is not None and any(farthest(own, part) <= bench.tolerance for part in known):
            off = farthest(p.variance, own)
            assert off <= bench.tolerance, (
                f"{where} the learned variance is off by {off:.2g} from that of the images' labels: change "
                "the prediction with the label by replace, and not the one without"
            )


def check_composes_with_samplers(guidance: Guidance, model: Model | None = None) -> None:
    """Check that it works with a deterministic and a stochastic sampler, with the same images at any batch size.

    A guidance that shifts the ancestral mean is checked only with a sampler that takes the shift.
    """
    bench = Bench.of(model)
    t, x = bench.states()[0]
    shifts = bench.guide(at(guidance, 3.0))(x, t).shift is not None
    samplers: tuple[Sampler, ...] = (Ancestral(),) if shifts else (Flow(), Ancestral())
    for sampler in samplers:
        plan: dict[str, Any] = {"guidance": _moderate(guidance), "labels": bench.labels.tolist(), "steps": 5}
        whole, parts = (sample(bench.model, sampler, batch_size=size, **plan) for size in (IMAGES, 2))
        off = farthest(whole.images, parts.images)
        # rounding of float32 over five steps, far less than the difference between images of different labels
        assert off < 1e-3, f"with {type(sampler).__name__} images differ by {off:.2g} in batches of 2 and of {IMAGES}"
        assert whole.nfe == parts.nfe, f"an image costs {whole.nfe:g} evaluations, or {parts.nfe:g} in batches of 2"


def _moderate(guidance: Guidance) -> Guidance:
    """Copy a guidance, with a scale that has an effect and at which float32 is precise enough."""
    return at(guidance, min(guiding(guidance).scale, 3.0), guidance.low, guidance.high)


def check_missing_requirements_are_said(guidance: Guidance, model: Model | None = None) -> None:
    """Check that `guide` raises a UsageError for a model that lacks something it needs, before any computation."""
    bench = Bench.of(model)
    without = {
        "null label": dataclasses.replace(bench.model, null_label=None),
        "classifier": dataclasses.replace(bench.model, classifier=None),
        "second model": dataclasses.replace(bench.model, second=None),
    }
    for lacking, other in without.items():
        poor = dataclasses.replace(bench, model=other)
        try:
            guided = poor.guide(guidance)
        except UsageError:
            continue
        except Exception as error:
            raise AssertionError(
                f"on a model without {lacking} it raises {type(error).__name__} "
                f"({blame(error, guidance) or error}): raise UsageError, and say which models will do"
            ) from error
        for t, x in poor.states():
            try:
                guided(x, t)
            except Exception as error:
                raise AssertionError(
                    f"on a model without {lacking} it raises {type(error).__name__} "
                    f"({blame(error, guidance) or error}) in the middle of a run: look in guide, before anything is "
                    "computed"
                ) from error
