"""Checks of a guidance, beside those of its scale: labels, and images that do not depend on each other.

A guidance is checked on an exact mixture, in float64. Another model, if one is given, is used as it is, in float32.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable
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
from samplerzoo.testing.checks.independence import CONTRASTS, GUIDES_ALIKE, kept_random_state, seed_everything, undrawn
from samplerzoo.testing.fixtures import Ancestral, Flow, farthest, three_classes
from samplerzoo.testing.guiding import (
    AROUND,
    IMAGES,
    SHAPE,
    TRACE,
    Bench,
    Guided,
    Line,
    as_kind,
    at,
    chooses_levels,
    eps,
    guiding,
    guiding_settings,
    looks_around,
    variance_by_label,
)
from samplerzoo.testing.settings import difference, neighbours, values_apart, with_value

CALLS = 101
"""Calls of one guided function: those of 50 steps of a method that asks twice a step, and one."""
PICTURE = (3, 4, 5)
"""Shape of a small image."""
LATENT = (4, 3, 2)
"""Shape of a small latent."""
SIZES = (1.0, 30.0, 1e3)
"""Factors of predictions: bounds are of what is large."""
MANY = 350
"""Small batches in a large one, of 2100 images."""


def check_labels_are_respected(guidance: Guidance, model: Model | None = None) -> None:
    """Check that another label gives another prediction, and that guided images have the class that was asked for."""
    bench = Bench.of(model)
    guided = at(guidance, 2.0)
    if bench.classes < 2:
        raise SkipTest("the model has one class")
    t, x = bench.states()[1]
    first, second = (bench.guide(guided, torch.full((IMAGES,), label))(x, t) for label in (0, 1))
    assert farthest(eps(first), eps(second)) > bench.tolerance, "labels 0 and 1 make the same prediction"
    if model is not None or not guidance.keeps_scale_1:
        return  # how often another network, another classifier or another distribution agree cannot be known
    labels = [*range(bench.classes)] * 20
    images = sample(bench.model, Ancestral(), guidance=guided, labels=labels, steps=20).images
    assert bench.model.classifier is not None
    seen = bench.model.classifier(images, bench.model.schedule.at(bench.model.schedule.low)).argmax(1).tolist()
    right = sum(label == found for label, found in zip(labels, seen, strict=True)) / len(labels)
    assert right > 0.9, f"at scale 2, {right:.0%} of the images are of the class that was asked for: guided elsewhere?"


def check_guided_batch_is_not_mixed(guidance: Guidance, model: Model | None = None) -> None:
    """Check that a part of a batch, in another order, gives the same predictions: no image depends on another."""
    bench = Bench.of(model)
    for made in guiding_settings(guidance, model):
        for t, x in bench.states():
            whole = bench.guide(made)(x, t)
            for chosen in ([4, 0, 3], [2]):
                part = bench.guide(made, bench.labels[chosen])(x[chosen], t)
                off = farthest(eps(part), eps(whole)[chosen])
                assert off <= bench.tolerance, (
                    f"eps of images {chosen} of a batch of {IMAGES} differs by {off:.2g}{difference(guidance, made)} "
                    "when they are guided without the others: does an image depend on others of the batch?"
                )
        if model is None:
            _check_many(bench, made, difference(guidance, made))
            _check_sizes(bench, made, difference(guidance, made))


def _check_sizes(bench: Bench, guidance: Guidance, where: str) -> None:
    """Check that images are guided as they are alone where the states and predictions of some explode."""

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
    """Check that images are guided in a large batch as in a small one."""
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
    """Check that a state gives the same prediction whatever came before, and whatever the global random state is.

    Before it come none or a few calls: with other states, at other levels, with other labels, and of other batches. So
    what is renewed at every second call alone is old when it is looked at.
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
    """Check that the states of a run, from noise to data, are guided as each is by itself."""
    guided = bench.guide(guidance)
    for t, x in 2 * bench.states():
        off = farthest(eps(guided(x, t)), eps(bench.guide(guidance)(x, t)))
        assert off == 0, (
            f"eps differs by {off:.2g} after calls with more noise{where}, {bench.place(t)}: nothing may be kept from "
            "one call to the next"
        )


OTHERS = (1, 0, 0, 2, 1, 3, 1, 0, 5, 2)
"""Calls that come between two with the same state, in turn: at even places and at odd ones."""


def _calls_beside(bench: Bench, made: Guidance, guided: Guided) -> list[Callable[[], Prediction]]:
    """List calls that are to leave no trace in others: with another state, level, batch or label, one at a time."""
    (t, x), *others = bench.states()
    few, turned = bench.guide(made, bench.labels[:2]), bench.guide(made, bench.labels.roll(1))
    calls = [functools.partial(guided, x.flip(0), t), functools.partial(guided, x, others[0][0])]
    for level, y in others:
        calls += [functools.partial(guided, y, level), functools.partial(few, y[:2], level)]
    return [*calls, functools.partial(turned, x, t)]


def _check_labels_are_not_kept(bench: Bench, made: Guidance, where: str) -> None:
    """Check that the same states are guided to other labels after they were guided to the first ones.

    The images in another order tell what is to come out, unless they depend on each other.
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


def check_guidance_options_act(guidance: Guidance, model: Model | None = None) -> None:
    """Check that every option of its own changes a prediction somewhere, the others being as they are or varied."""
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
            for a, b in values_apart(guidance, name):
                apart = (
                    (x, y) for it in around for x in with_value(it, name, a) for y in with_value(it, name, b)
                    if not (bench.refuses(x) or bench.refuses(y))
                )  # fmt: skip
                acts = any(_act_otherwise(x, y) for x, y in apart)
                assert acts or chooses_levels(guidance, name), (  # no network is asked beyond the levels of a path
                    f"the option {name} gives the same predictions at {a!r} as at {b!r}: a value that is not taken as "
                    "it is belongs out of its bounds, which its Field says"
                )


def _act_otherwise(one: Guidance, other: Guidance) -> bool:
    """Tell whether two guidances differ in a run: on rows or images, with predictions as they are or far larger.

    Bounds of a difference act on large ones alone, filters on images, and averages from the second call on.
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


def check_guided_dtype_is_kept(guidance: Guidance, model: Model | None = None) -> None:
    """Check that a guided prediction has the dtype and the shape of the state, and carries no gradient."""
    for made in guiding_settings(guidance, model):
        for bench in Bench.each(made, model):
            for dtype in {torch.float32, bench.dtype}:
                for t, x in bench.states(dtype):
                    _check_form(bench.guide(made)(x, t), x, t, f"{difference(guidance, made)}, {bench.place(t)}")


def _check_form(p: Prediction, x: Tensor, t: Level, where: str) -> None:
    for name in ("eps", "x0"):
        found = getattr(p, name)
        assert found.dtype == x.dtype, f"{name} is {found.dtype}, where the state is {x.dtype}{where}"
        assert found.shape == x.shape, f"{name} has the shape {tuple(found.shape)}, the state {tuple(x.shape)}{where}"
        assert torch.isfinite(found).all(), f"{name} is NaN or infinite{where}"
        assert not found.requires_grad, f"{name} carries a gradient, and memory grows with the steps: detach it"
    assert p.level == t, f"the prediction is of tau {p.level.tau:g}, not of {t.tau:g}"


PRECISIONS = {torch.float32: 1e-5, torch.bfloat16: 0.06, torch.float16: 0.01}
"""Relative rounding of a guided prediction, for each unit of scale, that is allowed by the dtype of the state.

To it comes that of the two predictions times the weight of the label, which may be far above the scale at some levels.
"""

ROOM = 200.0
"""Times the weight of a guidance that numbers have to be able to reach in half precision: float16 ends at 65,504."""


def check_guided_precisions_agree(guidance: Guidance, model: Model | None = None) -> None:
    """Check that states in float32 and in half precision are guided as in float64, but for rounding.

    What the network and the classifier answer is exact, so that the rounding is the guidance's own. samplerzoo itself
    guides states in float32. Someone who calls `guide` may have others.
    """
    if model is not None:
        raise SkipTest("what a network of one's own loses in another precision is not the guidance's")
    for made in guiding_settings(guidance, model):
        for bench in Bench.each(made, model):
            exact = dataclasses.replace(bench, model=_in_float64(bench.model))
            for dtype, rounding in PRECISIONS.items():
                for t, x in exact.states(dtype)[1:4]:
                    wanted = eps(exact.guide(made)(x.double(), t))
                    weight, weighted = _lost(exact, made, x.double(), t, wanted)
                    if max(made.scale, weight) > torch.finfo(dtype).max / ROOM:
                        continue
                    try:
                        found = eps(exact.guide(made)(x, t))
                    except RuntimeError:  # torch has no such function in half precision, as quantile: no silent mistake
                        if dtype == torch.float32:
                            raise
                        continue
                    assert found.dtype == dtype, f"eps is {found.dtype}, where the state is {dtype}"
                    largest = max(1.0, float(wanted.abs().max()))
                    off = farthest(found, wanted) / largest
                    lost = torch.finfo(dtype).eps * max(0.0, weight - made.scale) * weighted / largest
                    assert off <= rounding * max(1.0, made.scale) + lost, (
                        f"states in {dtype} are guided otherwise than in float64: eps is off by {off:.2g}"
                        f"{difference(guidance, made)}, {bench.place(t)}"
                    )


def _lost(bench: Bench, guidance: Guidance, x: Tensor, t: Level, guided: Tensor) -> tuple[float, float]:
    """Return the weight of the label in guided eps, where it moves most, and the size of what it is the weight of."""
    u, c = bench.away(guidance, x, t), bench.towards(guidance, x, t)
    line = Line.through(u, c, guided)
    return float(line.weight[line.length.argmax()].abs()), max(float(part.abs().max()) for part in (u, c, x / t.sigma))


def _in_float64(model: Model) -> Model:
    """Let network and classifier of a model, and of its second one, compute in float64 whatever they are given."""
    net, classifier = model.net, model.classifier
    assert classifier is not None
    return dataclasses.replace(
        model,
        net=lambda x, tau, condition: net(x.double(), tau.double(), condition),
        classifier=lambda x, level: classifier(x.double(), level),
        second=None if model.second is None else _in_float64(model.second),
    )


IMPULSE = 1.0
"""Size by which one number of the network's answer is moved, in eps."""


def check_images_are_guided_whole(guidance: Guidance, model: Model | None = None) -> None:
    """Check that one number of the network's answer moves this number of eps alone, or those of the whole image.

    The deviation of an image, or its norm, is that of all its channels and pixels. And channels that change places are
    guided as before. What is found is a warning: a method may look at each channel, or at neighbours, on purpose.
    """
    if model is not None:
        raise SkipTest("a model of one's own has a shape of its own")
    bench = Bench.of(three_classes(PICTURE))
    t, x = bench.states(torch.float64)[2]
    off = torch.zeros_like(x).flatten(1)
    off[range(IMAGES), range(0, 10 * IMAGES, 10)] = IMPULSE

    def denoise(x: Tensor, t: Level, condition: Condition | None = None) -> Prediction:
        return bench.model.denoise(x, t, condition).moved(off.repeat(len(x) // IMAGES, 1).reshape(x.shape))

    for made in guiding_settings(guidance, model):
        if bench.refuses(made):
            continue
        plain, moved = (eps(bench.guide(made, denoise=it)(x, t)).flatten(1) for it in (None, denoise))
        for count in ((moved - plain).abs() > TRACE).sum(1).tolist():
            assert count in (0, 1, off.shape[1]), (
                f"one number of the network's answer moves {count} of the {off.shape[1]} of an image of shape "
                f"{tuple(x.shape[1:])}{difference(guidance, made)}: where a deviation or a norm is that of an image, "
                "it is that of all its channels and pixels"
            )
    for shape in (PICTURE, LATENT):
        _check_channels_are_alike(guidance, shape)


def _check_channels_are_alike(guidance: Guidance, shape: tuple[int, ...]) -> None:
    """Check that a model whose channels have changed places is guided as before, in these places.

    An option may say which channels are guided, so that all options are as they are by default.
    """
    bench, guided = Bench.of(three_classes(shape)), guiding(_by_default(guidance))
    swapped = dataclasses.replace(bench, model=_swapped(bench.model))
    for t, x in bench.states():
        plain, found = eps(bench.guide(guided)(x, t)), eps(swapped.guide(guided)(x.flip(1), t)).flip(1)
        off = farthest(found, plain)
        assert off <= bench.tolerance * max(1.0, float(plain.abs().max())), (
            f"images of {shape[0]} channels are guided otherwise, by {off:.2g}, when their channels change places, "
            f"{bench.place(t)}: are some of them left out?"
        )


def _by_default(guidance: Guidance) -> Guidance:
    """Return a guidance with the options of its own as they are by default; as it is, if one has none."""
    try:
        return type(guidance)(scale=guidance.scale)
    except ValueError:
        return guidance


def _swapped(model: Model) -> Model:
    """Reverse the channels of all that a model reads and answers."""

    def net(x: Tensor, time: Tensor, condition: Condition) -> Tensor:
        answers = model.net(x.flip(1), time, condition).split(x.shape[1], dim=1)
        return torch.cat([answer.flip(1) for answer in answers], dim=1)

    classifier = model.classifier
    return dataclasses.replace(
        model,
        net=net,
        classifier=None if classifier is None else lambda x, level: classifier(x.flip(1), level),
        second=None if model.second is None else _swapped(model.second),
    )


def check_guided_x0_and_eps_agree(guidance: Guidance, model: Model | None = None) -> None:
    """Check that a guided prediction is one of the state and level that were asked about, in all that it says.

    And that x = alpha x0 + sigma eps holds: `replace` derives one from the other.
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

    for made in guiding_settings(guidance, model):
        for t, x in bench.states():
            keep("the state", x)
            keep("the labels", bench.labels)
            bench.guide(made, denoise=denoise)(x, t)
    for what, now, before in kept:
        assert torch.equal(now, before), f"{what} changed in place"


def check_guided_shape(guidance: Guidance, model: Model | None = None) -> None:
    """Check that images of any shape are guided, and the pixels of a channel alike whether in a row or in a square."""
    if model is not None:
        raise SkipTest("a model of one's own has a shape of its own")
    guided = guiding(guidance)
    if looks_around(guided):
        raise SkipTest(AROUND)
    flat, rows, squares = (Bench.of(three_classes(shape)) for shape in ((16,), (4, 4), (4, 2, 2)))
    states = (bench.states(torch.float64) for bench in (flat, rows, squares))
    for (t, x), (_, row), (_, square) in zip(*states, strict=True):
        found = eps(flat.guide(guided)(x, t))
        assert found.shape == x.shape, (
            f"images of shape (16,) are guided to {tuple(found.shape)[1:]}: are dimensions counted?"
        )
        off = farthest(eps(rows.guide(guided)(row, t)).flatten(1), eps(squares.guide(guided)(square, t)).flatten(1))
        assert off <= 1e-8 * max(1, guided.scale), (
            f"images of shape (4, 2, 2) are guided otherwise than the same numbers as (4, 4), by {off:.2g}"
        )


def check_guided_kinds_of_network_agree(guidance: Guidance, model: Model | None = None) -> None:
    """Check that networks that predict eps, x0 or v are guided alike: weights that sum to 1 see no difference."""
    bench = Bench.of(model)
    kinds = [kind for kind in (EPSILON, SAMPLE, V_PREDICTION) if not kind.blind(bench.model.schedule)]
    networks = [dataclasses.replace(bench, model=as_kind(bench.model, kind)) for kind in kinds]
    for made in guiding_settings(guidance, model):
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
    """Check that a learned variance is kept: that of the label, where the guidance asks for the label at all."""
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

    for scale in (0.0, 1.0, 1.5, 3.0):
        answers.clear()
        p = bench.guide(at(guidance, scale), denoise=denoise)(x, t)
        assert p.variance is not None, f"at scale {scale:g} the learned variance is lost: change predictions by replace"
        assert p.variance.shape == x.shape, f"at scale {scale:g} the variance has the shape {tuple(p.variance.shape)}"
        own = bench.model.denoise(x, t, bench.condition()).variance
        known = [
            part for answer in answers for part in (answer.variance if answer.variance is not None else x).split(len(x))
        ]
        if scale >= 1 and own is not None and any(farthest(own, part) <= bench.tolerance for part in known):
            off = farthest(p.variance, own)
            assert off <= bench.tolerance, (
                f"at scale {scale:g} the learned variance is off by {off:.2g} from that of the images' labels: change "
                "the prediction with the label by replace, and not the one without"
            )


def check_composes_with_samplers(guidance: Guidance, model: Model | None = None) -> None:
    """Check that it works with a deterministic and with a stochastic sampler, with the same images in any batch size.

    A guidance that shifts the ancestral mean is checked with a sampler that takes the shift alone.
    """
    bench = Bench.of(model)
    t, x = bench.states()[0]
    shifts = bench.guide(at(guidance, 3.0))(x, t).shift is not None
    samplers: tuple[Sampler, ...] = (Ancestral(),) if shifts else (Flow(), Ancestral())
    for sampler in samplers:
        plan: dict[str, Any] = {"guidance": _moderate(guidance), "labels": bench.labels.tolist(), "steps": 5}
        whole, parts = (sample(bench.model, sampler, batch_size=size, **plan) for size in (IMAGES, 2))
        off = farthest(whole.images, parts.images)
        # float32 over five steps: far from what an image of another label differs by
        assert off < 1e-3, f"with {type(sampler).__name__} images differ by {off:.2g} in batches of 2 and of {IMAGES}"
        assert whole.nfe == parts.nfe, f"an image costs {whole.nfe:g} evaluations, or {parts.nfe:g} in batches of 2"


def _moderate(guidance: Guidance) -> Guidance:
    """Copy a guidance at a scale that guides, and at which float32 is precise enough."""
    return at(guidance, min(guiding(guidance).scale, 3.0), guidance.low, guidance.high)


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
