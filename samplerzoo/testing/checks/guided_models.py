"""Checks that models are guided alike which differ only in how they are told labels, prompts and times."""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass
from unittest import SkipTest

import numpy as np
import torch
from torch import Tensor

from samplerzoo.core.condition import Condition
from samplerzoo.core.guidance import Guidance
from samplerzoo.core.level import Level
from samplerzoo.core.model import Model
from samplerzoo.core.paths import VP, RectifiedFlow
from samplerzoo.core.schedule import Schedule
from samplerzoo.core.text import TextEncoder
from samplerzoo.testing.alike import ALIKE
from samplerzoo.testing.fixtures import LINEAR, farthest, three_classes, usual
from samplerzoo.testing.guiding import SHAPE, Bench, eps, guiding, guiding_settings
from samplerzoo.testing.settings import difference

FEW, MANY = 1000, 4000
"""Numbers of timesteps of two paths that are otherwise the same."""

LONG_LINEAR = VP.from_config(
    {
        "num_train_timesteps": MANY,
        "trained_betas": np.repeat(1 - (1 - np.linspace(1e-4, 0.02, FEW)) ** (FEW / MANY), MANY // FEW),
    }
)
"""The linear path with four timesteps in the place of each one."""

SHARES = (0.87, 0.63, 0.41, 0.27, 0.13, 0.04)
"""Levels as shares of T, away from the middle and other places where a guidance may begin or end."""

SAME_SHARE = 0.02
"""Allowed difference as a share of the effect of a guidance, since shares of T differ a little after rounding."""

ROUNDING = 1e-8
"""Relative difference of eps that counts as rounding."""

NEARLY = 0.05
"""Difference, as a share of the largest effect of a guidance, that one timestep more or less makes at most."""

NEVER = -1e6
"""Log-probability of a class that no image is of."""

AWAY = 1
"""Class that a negative prompt names."""


def check_null_label_may_be_any(guidance: Guidance, model: Model | None = None) -> None:
    """Check that a network whose null label stands before its classes is guided as one where it stands behind them."""
    if model is not None:
        raise SkipTest("the labels of a model of one's own are as they are")
    bench = Bench.of(model)
    shifted = dataclasses.replace(bench, model=_null_first(bench.model), labels=bench.labels + 1)
    for made in guiding_settings(guidance, model):
        for t, x in bench.states():
            found, expected = (eps(each.guide(made)(x, t)) for each in (shifted, bench))
            off = farthest(found, expected)
            assert off <= bench.tolerance * max(1, float(expected.abs().max())), (
                "with null label 0 and classes from 1 on it guides otherwise than with a null label behind all, by "
                f"{off:.2g} at tau {t.tau:g}{difference(guidance, made)}: take model.unconditional(condition)"
            )


def _null_first(model: Model) -> Model:
    """Give a model the null label 0, and its classes the labels from 1 on. A label behind those is that of a class."""
    K, classifier = model.num_classes, model.classifier
    assert K is not None
    assert classifier is not None
    meant = torch.tensor([K, *range(K), 0])

    def net(x: Tensor, time: Tensor, condition: Condition) -> Tensor:
        return model.net(x, time, model.condition(meant[condition.inputs["class_labels"]]))

    def more(x: Tensor, t: Level) -> Tensor:
        log_p = classifier(x, t)
        return torch.cat([torch.full_like(log_p[:, :1], NEVER), log_p], dim=1)

    second = None if model.second is None else _null_first(model.second)
    return dataclasses.replace(
        model, net=net, num_classes=K + 1, null_label=0, classifier=more, classifier_classes=K + 1, second=second
    )


def check_prompts_are_guided_as_labels(guidance: Guidance, model: Model | None = None) -> None:
    """Check that a network which is told its classes by prompts is guided as one with labels.

    Without a negative prompt, it leads away from the prediction for no prompt in particular, and else from that for the
    negative prompt. A guidance that refuses prompts, as one by a classifier does, is left out.
    """
    if model is not None:
        raise SkipTest("a model of one's own is told labels or prompts as it is")
    told = Bench.of(model)
    negative = dataclasses.replace(told, model=_with_null_label(told.model, AWAY))
    cases = {"": (None, told), f" and a negative one of class {AWAY}": (str(AWAY), negative)}
    for made, (words, (prompt, bench)) in itertools.product(guiding_settings(guidance, model), cases.items()):
        prompted = _Prompted(_by_prompts(told.model), told.labels, told.dtype, told.tolerance, prompt)
        _check_is_as(prompted, bench, made, f"with prompts in place of labels{words}{difference(guidance, made)}")


def check_networks_without_labels_are_guided(guidance: Guidance, model: Model | None = None) -> None:
    """Check that an unconditional network is guided as a conditional one that has the same answers for all labels.

    A guidance by a classifier leads to the labels of the images, and others have no use for any.
    """
    if model is not None:
        raise SkipTest("a model of one's own is told labels or prompts as it is")
    bench = Bench.of(model)
    if guidance.needs_labels:
        untold = dataclasses.replace(bench, model=_untold(bench.model))
    else:
        untold = _Unlabelled(_untold(bench.model), bench.labels, bench.dtype, bench.tolerance)
    alike = dataclasses.replace(bench, model=_deaf(bench.model))
    for made in guiding_settings(guidance, model):
        _check_is_as(untold, alike, made, f"with an unconditional network{difference(guidance, made)}")


def check_timesteps_are_told_as_shares(guidance: Guidance, model: Model | None = None) -> None:
    """Check that a network of 4000 timesteps is guided as one of 1000 on the same path.

    A weight that depends on time has to depend on the share of T, or on the level itself.
    """
    if model is not None:
        raise SkipTest("the path of a model of one's own is as it is")
    for few, many in ((LINEAR, LONG_LINEAR), (RectifiedFlow(FEW), RectifiedFlow(MANY))):
        benches = [_on(it) for it in (few, many)]
        if any(bench.refuses(guidance) for bench in benches):
            continue
        for made in guiding_settings(guidance, model):
            guides = [bench.guide(made) for bench in benches]
            for share in SHARES:
                t = few.at(share * few.T)
                x = benches[0].state(t)
                expected, found = eps(guides[0](x, t)), eps(guides[1](x, many.at(share * many.T)))
                moved = farthest(expected, benches[0].conditional(x, t))
                off = farthest(found, expected)
                assert off <= ROUNDING + SAME_SHARE * moved, (
                    f"on a {few.kind} path of {MANY} timesteps eps is off by {off:.2g} from that of "
                    f"{FEW}{difference(guidance, made)}, at the same level, {share:g} of the way from data to "
                    "noise: a weight by time takes tau / T of the model's own schedule"
                )


def check_guided_paths_are_kept_apart(guidance: Guidance, model: Model | None = None) -> None:
    """Check that a model is guided in one way, after a model on another path of the same kind and length, and without.

    Two paths are asked in turn, and then two that have one timestep more, in the other order.
    """
    if model is not None:
        raise SkipTest("the path of a model of one's own is as it is")
    for pair in ALIKE.values():
        moves: list[dict[str, Tensor]] = []
        for paths, names in zip(pair, (sorted(pair[0]), sorted(pair[1], reverse=True)), strict=True):
            benches = {name: _on(paths[name]) for name in names}
            if any(bench.refuses(guidance) for bench in benches.values()):
                break
            moves.append({name: _moves(bench, guiding(guidance)) for name, bench in benches.items()})
        for name in moves[0] if len(moves) == len(pair) else ():
            first, second = (each[name] for each in moves)
            off = farthest(first, second)
            assert off <= NEARLY * float(first.abs().max()), (
                f"a model on a path that is {name} is guided otherwise, by {off:.2g}, when one on another path of as "
                "many timesteps was guided before: what is kept forgets the path"
            )


def _on(schedule: Schedule) -> Bench:
    return dataclasses.replace(Bench.of(None), model=three_classes(SHAPE, usual(schedule), schedule))


def _moves(bench: Bench, guidance: Guidance) -> Tensor:
    """Return how far eps moves by a guidance, at all levels of `SHARES`."""
    path, guide = bench.model.schedule, bench.guide(guidance)
    states = [(bench.state(t), t) for t in (path.at(share * path.T) for share in SHARES)]
    return torch.stack([eps(guide(x, t)) - bench.conditional(x, t) for x, t in states])


def _check_is_as(other: Bench, told: Bench, guidance: Guidance, what: str) -> None:
    """Check that a network which is told its labels otherwise is guided as one with labels."""
    for t, x in told.states():
        try:
            found = eps(other.guide(guidance)(x, t))
        except Exception as error:  # what it cannot guide it does not guide wrongly
            raise SkipTest(f"{what} it guides nothing") from error
        expected = eps(told.guide(guidance)(x, t))
        off = farthest(found, expected)
        assert off <= ROUNDING * max(1, float(expected.abs().max())), (
            f"{what}, {told.place(t)}, it guides otherwise than where labels are told and answers are the same, by "
            f"{off:.2g}: hand on condition and model.unconditional(condition) as they are"
        )


@dataclass(frozen=True, eq=False)
class _Prompted(Bench):
    """Bench whose labels are told as prompts.

    Attributes:
        negative: prompt that guidance leads away from; by default that of no prompt in particular.
    """

    negative: str | None

    def condition(self, labels: Tensor | None = None) -> Condition:
        prompts = [str(label) for label in (self.labels if labels is None else labels).tolist()]
        return self.model.condition(prompts=prompts, negative_prompt=self.negative)


@dataclass(frozen=True, eq=False)
class _Unlabelled(Bench):
    """Bench whose model is told nothing."""

    def condition(self, labels: Tensor | None = None) -> Condition:
        return self.model.condition()


def _by_prompts(model: Model) -> Model:
    """Give a model prompts in place of labels: the number of a class. The null label stands for no prompt."""

    def encode(prompt: str) -> dict[str, Tensor]:
        return {"encoder_hidden_states": torch.tensor([[float(prompt or _null_of(model))]])}

    def net(x: Tensor, time: Tensor, condition: Condition) -> Tensor:
        return model.net(x, time, model.condition(condition.inputs["encoder_hidden_states"][:, 0, 0].long()))

    second = None if model.second is None else _by_prompts(model.second)
    text = TextEncoder(encode, count=len, most=77)
    return dataclasses.replace(model, net=net, num_classes=None, null_label=None, text=text, second=second)


def _null_of(model: Model) -> int:
    assert model.null_label is not None
    return model.null_label


def _with_null_label(model: Model, label: int) -> Model:
    """Let a class of a model stand for its null label."""
    second = None if model.second is None else dataclasses.replace(model.second, null_label=label)
    return dataclasses.replace(model, null_label=label, second=second)


def _deaf(model: Model) -> Model:
    """Make a network answer as for its null label, whatever it is told."""

    def net(x: Tensor, time: Tensor, condition: Condition) -> Tensor:
        return model.net(x, time, model.condition(torch.full((len(x),), _null_of(model))))

    return dataclasses.replace(model, net=net, second=None if model.second is None else _deaf(model.second))


def _untold(model: Model) -> Model:
    """Make a model unconditional, which always answers as for its null label."""
    second = None if model.second is None else _untold(model.second)
    return dataclasses.replace(_deaf(model), num_classes=None, null_label=None, second=second)
