"""Checks of a guidance: the meaning of its scale, and images that do not depend on each other.

A guidance is checked on an exact mixture, in float64. Another model, if one is given, is used as it is, in float32.
"""

from __future__ import annotations

import dataclasses
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
from samplerzoo.sampling.driver import sample
from samplerzoo.testing.checks.independence import kept_random_state, random_state, seed_everything
from samplerzoo.testing.fixtures import Ancestral, Flow, farthest, three_classes
from samplerzoo.testing.guiding import IMAGES, Bench, as_kind, at, eps


def check_scale_1_is_conditional(guidance: Guidance, model: Model | None = None) -> None:
    """Check that scale 1 is the plain conditional prediction for each image's label: for a classifier, Bayes' rule."""
    bench = Bench.of(model)
    for t, x in bench.states():
        off = farthest(eps(bench.guide(at(guidance, 1.0))(x, t)), bench.conditional(x, t))
        assert off <= bench.tolerance, (
            f"at scale 1 eps is off by {off:.2g} from the plain conditional one, at tau {t.tau:g}: is it the "
            "convention of w, where w = scale - 1, or are the two halves of a batch taken for each other?"
        )


def check_scale_0_is_unconditional(guidance: Guidance, model: Model | None = None) -> None:
    """Check that scale 0 is the prediction without a label, at every level where the guidance is on.

    For a guidance by a second model it is that model's prediction.
    """
    bench = Bench.of(model)
    on = 0
    for t, x in bench.states():
        found = eps(bench.guide(at(guidance, 0.0))(x, t))
        off = farthest(
            found, bench.second(x, t) if isinstance(guidance, TwoModelGuidance) else bench.unconditional(x, t)
        )
        on += off <= bench.tolerance
        assert min(off, farthest(found, bench.conditional(x, t))) <= bench.tolerance, (
            f"at scale 0 eps is off by {off:.2g} from the unconditional one, at tau {t.tau:g}: is it the "
            "convention of w, where w = scale - 1?"
        )
    assert on, "at scale 0 the prediction is the conditional one, at all levels: is the guidance ignored?"


def check_scale_guides(guidance: Guidance, model: Model | None = None) -> None:
    """Check that a scale above 1 moves the prediction, and a higher scale moves it further."""
    bench = Bench.of(model)
    moved = [
        max(farthest(eps(bench.guide(at(guidance, scale))(x, t)), bench.conditional(x, t)) for t, x in bench.states())
        for scale in (2.0, 4.0)
    ]
    assert moved[0] > bench.tolerance, (
        f"at scale 2 eps differs by {moved[0]:.2g} from that at scale 1: it guides nothing"
    )
    assert moved[1] > moved[0], f"at scale 4 eps moves by {moved[1]:.3g}, and at scale 2 by {moved[0]:.3g}"


def check_labels_are_respected(guidance: Guidance, model: Model | None = None) -> None:
    """Check that another label gives another prediction, and that guided images have the class that was asked for."""
    bench = Bench.of(model)
    guided = at(guidance, 2.0)
    if bench.classes < 2:
        raise SkipTest("the model has one class")
    t, x = bench.states()[1]
    first, second = (bench.guide(guided, torch.full((IMAGES,), label))(x, t) for label in (0, 1))
    assert farthest(eps(first), eps(second)) > bench.tolerance, "labels 0 and 1 make the same prediction"
    if model is not None:
        return  # how often another network and another classifier agree cannot be known
    labels = [*range(bench.classes)] * 20
    images = sample(bench.model, Ancestral(), guidance=guided, labels=labels, steps=20).images
    assert bench.model.classifier is not None
    seen = bench.model.classifier(images, bench.model.schedule.at(bench.model.schedule.low)).argmax(1).tolist()
    right = sum(label == found for label, found in zip(labels, seen, strict=True)) / len(labels)
    assert right > 0.9, f"at scale 2, {right:.0%} of the images are of the class that was asked for: guided elsewhere?"


def check_guided_batch_is_not_mixed(guidance: Guidance, model: Model | None = None) -> None:
    """Check that a part of a batch, in another order, gives the same predictions: no image depends on another."""
    bench = Bench.of(model)
    for t, x in bench.states():
        whole = bench.guide(guidance)(x, t)
        for chosen in ([4, 0, 3], [2]):
            part = bench.guide(guidance, bench.labels[chosen])(x[chosen], t)
            off = farthest(eps(part), eps(whole)[chosen])
            assert off <= bench.tolerance, (
                f"eps of images {chosen} of a batch of {IMAGES} differs by {off:.2g} when they are guided without the "
                "others: is there a mean, a norm or a quantile over the batch?"
            )


def check_guided_runs_are_independent(guidance: Guidance, model: Model | None = None) -> None:
    """Check that a state gives the same prediction whatever came before, and whatever the global random state is."""
    bench = Bench.of(model)
    t, x = bench.states()[0]
    expected = eps(bench.guide(guidance)(x, t))
    with kept_random_state():
        for seed in (1, 2):
            seed_everything(seed)
            before, guided = random_state(), bench.guide(guidance)
            other = bench.guide(guidance, bench.labels[:2])
            for level, y in bench.states()[1:]:
                guided(y, level)
                other(y[:2], level)
            found = eps(guided(x, t))
            assert torch.equal(found, expected), f"eps differs by {farthest(found, expected):.2g} after other calls"
            for library, state in random_state().items():
                assert state == before[library], f"it draws from the global random state of {library}"


def check_guided_dtype_is_kept(guidance: Guidance, model: Model | None = None) -> None:
    """Check that a guided prediction has the dtype and the shape of the state, and carries no gradient."""
    bench = Bench.of(model)
    for dtype in {torch.float32, bench.dtype}:
        for t, x in bench.states(dtype):
            p = bench.guide(guidance)(x, t)
            for name in ("eps", "x0"):
                found = getattr(p, name)
                assert found.dtype == dtype, f"{name} is {found.dtype}, where the state is {dtype}"
                assert found.shape == x.shape, f"{name} has the shape {tuple(found.shape)}, the state {tuple(x.shape)}"
                assert torch.isfinite(found).all(), f"{name} is NaN or infinite at tau {t.tau:g}"
                assert not found.requires_grad, f"{name} carries a gradient, and memory grows with the steps: detach it"
            assert p.level == t, f"the prediction is of tau {p.level.tau:g}, not of {t.tau:g}"


def check_guided_x0_and_eps_agree(guidance: Guidance, model: Model | None = None) -> None:
    """Check that x = alpha x0 + sigma eps holds for a guided prediction: `replace` derives one from the other."""
    bench = Bench.of(model)
    for t, x in bench.states():
        p = bench.guide(guidance)(x, t)
        off = farthest(t.alpha * p.x0 + t.sigma * p.eps, x)
        assert off <= bench.tolerance, (
            f"alpha x0 + sigma eps is off by {off:.2g} from x at tau {t.tau:g}: p.replace(eps=...) derives "
            "the one from the other"
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

    for t, x in bench.states():
        keep("the state", x)
        keep("the labels", bench.labels)
        bench.guide(guidance, denoise=denoise)(x, t)
    for what, now, before in kept:
        assert torch.equal(now, before), f"{what} changed in place"


def check_guided_shape(guidance: Guidance, model: Model | None = None) -> None:
    """Check that the same numbers in another shape are guided alike: nothing depends on channels and pixels."""
    if model is not None:
        raise SkipTest("a model of one's own has a shape of its own")
    flat, pictures = Bench.of(three_classes((8,))), Bench.of(three_classes((2, 2, 2)))
    for (t, x), (_, y) in zip(flat.states(torch.float64), pictures.states(torch.float64), strict=True):
        rows, images = eps(flat.guide(guidance)(x, t)), eps(pictures.guide(guidance)(y, t))
        assert rows.shape == x.shape, (
            f"images of shape (8,) are guided to {tuple(rows.shape)[1:]}: are dimensions counted?"
        )
        off = farthest(rows, images.flatten(1))
        assert off <= 1e-8, (
            f"images of shape (2, 2, 2) are guided otherwise than the same numbers in a row, by {off:.2g}"
        )


def check_guided_kinds_of_network_agree(guidance: Guidance, model: Model | None = None) -> None:
    """Check that networks that predict eps, x0 or v are guided alike: weights that sum to 1 see no difference."""
    bench = Bench.of(model)
    kinds = [kind for kind in (EPSILON, SAMPLE, V_PREDICTION) if not kind.blind(bench.model.schedule)]
    for t, x in bench.states():
        first, *others = (
            eps(dataclasses.replace(bench, model=as_kind(bench.model, kind)).guide(guidance)(x, t)) for kind in kinds
        )
        for kind, other in zip(kinds[1:], others, strict=True):
            off = farthest(other, first)
            assert off <= bench.tolerance, (
                f"a {kind.name} network is guided otherwise than one of {kinds[0].name}, by {off:.2g} at tau {t.tau:g}"
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
    """Check that a learned variance is kept, for the ancestral sampler to use."""
    bench = Bench.of(model)
    t, x = bench.states()[1]
    if bench.model.denoise(x, t, bench.condition()).variance is None:
        raise SkipTest("the model has no learned variance")
    for scale in (0.0, 1.0, 2.0):
        p = bench.guide(at(guidance, scale))(x, t)
        assert p.variance is not None, f"at scale {scale:g} the learned variance is lost: change predictions by replace"
        assert p.variance.shape == x.shape, f"at scale {scale:g} the variance has the shape {tuple(p.variance.shape)}"


def check_composes_with_samplers(guidance: Guidance, model: Model | None = None) -> None:
    """Check that it works with a deterministic and with a stochastic sampler, with the same images in any batch size.

    A guidance that shifts the ancestral mean is checked with a sampler that takes the shift alone.
    """
    bench = Bench.of(model)
    t, x = bench.states()[0]
    shifts = bench.guide(guidance)(x, t).shift is not None
    samplers: tuple[Sampler, ...] = (Ancestral(),) if shifts else (Flow(), Ancestral())
    for sampler in samplers:
        plan: dict[str, Any] = {"guidance": at(guidance, guidance.scale), "labels": bench.labels.tolist(), "steps": 5}
        whole, parts = (sample(bench.model, sampler, batch_size=size, **plan) for size in (IMAGES, 2))
        off = farthest(whole.images, parts.images)
        # float32 over five steps: far from what an image of another label differs by
        assert off < 1e-3, f"with {type(sampler).__name__} images differ by {off:.2g} in batches of 2 and of {IMAGES}"
        assert whole.nfe == parts.nfe, f"an image costs {whole.nfe:g} evaluations, or {parts.nfe:g} in batches of 2"


def check_missing_requirements_are_said(guidance: Guidance, model: Model | None = None) -> None:
    """Check that `guide` refuses a model that lacks what it needs with a UsageError, before anything is computed."""
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
