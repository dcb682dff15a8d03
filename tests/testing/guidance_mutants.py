"""Guidances with bugs, each with the checks that are to catch it.

Where a docstring names a program, that is where the bug was; the others are there so that every check is seen to fail.
"""

from __future__ import annotations

import dataclasses

import torch
from samplerzoo_plugins.classifier_free_guidance import ClassifierFreeGuidance
from samplerzoo_plugins.classifier_guidance import ClassifierGuidance

from samplerzoo.core.guidance import Guidance
from samplerzoo.core.parametrization import EPSILON
from samplerzoo.core.prediction import Prediction
from samplerzoo.errors import UsageError


class Guiding(ClassifierFreeGuidance):
    """Classifier-free guidance, both halves always, with places to go wrong in (Ho and Salimans 2022)."""

    def guide(self, denoise, condition, model):
        if model.null_label is None:
            raise UsageError("needs a null label")
        null = model.unconditional(condition)

        def guided(x, t):
            both = denoise(torch.cat([x, x]), t, null + condition)
            return self.mixed(*both.chunk(2))

        return guided

    def mixed(self, u, c):
        return c.replace(eps=u.eps + self.scale * (c.eps - u.eps))


class IgnoredCondition(Guidance):
    """lucidrains' ddim_sample: takes cond_fn, and does not look at it (Dhariwal and Nichol 2021)."""

    def guide(self, denoise, condition, model):
        return lambda x, t: denoise(x, t, condition)


class IgnoredLabels(Guidance):
    """The same, unconditional (Dhariwal and Nichol 2021)."""

    def guide(self, denoise, condition, model):
        return lambda x, t: denoise(x, t, model.condition(torch.full_like(condition.labels, 3)))


class ConventionOfW(Guiding):
    """azula: 0 is off and 1 is guided (Ho and Salimans 2022, eq. 6)."""

    def mixed(self, u, c):
        return c.replace(eps=(1 + self.scale) * c.eps - self.scale * u.eps)


class RescaledOverTheBatch(Guiding):
    """One deviation for all images (Lin et al. 2024)."""

    def mixed(self, u, c):
        p = super().mixed(u, c)
        return p.replace(eps=p.eps * c.eps.std() / p.eps.std())


class WrongHalf(Guiding):
    """Takes the halves for each other (Ho and Salimans 2022)."""

    def mixed(self, u, c):
        return super().mixed(c, u)


class WrongRow(Guiding):
    """Guides each image by its neighbour's label, as one that interleaves conditions and cuts in half does
    (Ho and Salimans 2022)."""

    def guide(self, denoise, condition, model):
        return super().guide(denoise, model.condition(condition.labels.roll(1)), model)


class Stale(Guiding):
    """Keeps the unconditional answer of its first call (Ho and Salimans 2022)."""

    def guide(self, denoise, condition, model):
        kept: list[Prediction] = []
        null = model.condition(torch.full_like(condition.labels, model.null_label or 0))

        def guided(x, t):
            kept.append(denoise(x, t, null))
            return self.mixed(dataclasses.replace(kept[0], x=x, level=t), denoise(x, t, condition))

        return guided


class Noisy(Guiding):
    """A little global noise (Ho and Salimans 2022)."""

    def mixed(self, u, c):
        p = super().mixed(u, c)
        return p.replace(eps=p.eps + 1e-12 * torch.randn_like(p.eps))


class Scaling(Guiding):
    """Scales in place (Ho and Salimans 2022)."""

    def mixed(self, u, c):
        return c.replace(eps=c.eps.sub_(u.eps).mul_(self.scale).add_(u.eps))


class WideScale(Guiding):
    """The scale in a float64 tensor (Ho and Salimans 2022)."""

    def mixed(self, u, c):
        return c.replace(eps=u.eps + torch.tensor([self.scale], dtype=torch.float64) * (c.eps - u.eps))


class Graph(ClassifierGuidance):
    """The gradient's graph is kept (Dhariwal and Nichol 2021)."""

    def guide(self, denoise, condition, model):
        guided = super().guide(denoise, condition, model)

        def held(x, t):
            p = guided(x, t)
            with torch.enable_grad():
                return p.replace(eps=p.eps * torch.ones(1, dtype=x.dtype, requires_grad=True))

        return held


class HalfReplaced(Guiding):
    """diffusers: eps is guided and x0 is not (Ho and Salimans 2022)."""

    def mixed(self, u, c):
        return dataclasses.replace(c, eps=u.eps + self.scale * (c.eps - u.eps))


class PicturesOnly(Guiding):
    """A scale for each image, of the shape (N, 1, 1, 1) (Ho and Salimans 2022)."""

    def mixed(self, u, c):
        scale = torch.full((len(c.x),), self.scale, dtype=c.x.dtype).view(-1, 1, 1, 1)
        return c.replace(eps=u.eps + scale * (c.eps - u.eps))


class RawOutput(Guidance):
    """Takes the network's output for eps, beside `denoise` (Ho and Salimans 2022)."""

    def guide(self, denoise, condition, model):
        def guided(x, t):
            c, u = (
                model.net(x, x.new_full((len(x),), t.tau), y)[:, : x.shape[1]]
                for y in (condition, model.condition(torch.full_like(condition.labels, 3)))
            )
            return denoise(x, t, condition).replace(eps=u + self.scale * (c - u))

        return guided


class LosesTheVariance(Guiding):
    """A new prediction without what the old one held (Ho and Salimans 2022)."""

    def mixed(self, u, c):
        p = super().mixed(u, c)
        return Prediction.of(EPSILON, p.x, p.level, p.eps)


class PairsOnly(Guiding):
    """Right for batches of two (Ho and Salimans 2022)."""

    def guide(self, denoise, condition, model):
        labels = condition.labels
        return super().guide(denoise, model.condition(labels if len(labels) == 2 else labels.flip(0)), model)


class NeedsANullLabel(ClassifierFreeGuidance):
    """Crashes where the model has no null label (Ho and Salimans 2022)."""

    def guide(self, denoise, condition, model):
        return super().guide(denoise, condition, dataclasses.replace(model, null_label=int(model.null_label)))


GUIDANCE_MUTANTS: list[tuple[Guidance, set[str]]] = [
    (IgnoredCondition(), {"check_scale_guides", "check_scale_0_is_unconditional"}),
    (IgnoredLabels(), {"check_labels_are_respected", "check_scale_1_is_conditional"}),
    (ConventionOfW(), {"check_scale_1_is_conditional", "check_scale_0_is_unconditional"}),
    (RescaledOverTheBatch(scale=2.0), {"check_guided_batch_is_not_mixed", "check_composes_with_samplers"}),
    (WrongHalf(), {"check_scale_1_is_conditional", "check_scale_0_is_unconditional", "check_labels_are_respected"}),
    (WrongRow(), {"check_scale_1_is_conditional", "check_labels_are_respected", "check_guided_batch_is_not_mixed"}),
    (Stale(scale=2.0), {"check_guided_runs_are_independent"}),
    (Noisy(), {"check_guided_runs_are_independent"}),
    (Scaling(), {"check_guidance_changes_nothing_in_place"}),
    (WideScale(), {"check_guided_dtype_is_kept"}),
    (Graph(), {"check_guided_dtype_is_kept"}),
    (HalfReplaced(scale=2.0), {"check_guided_x0_and_eps_agree"}),
    (PicturesOnly(), {"check_guided_shape"}),
    (RawOutput(), {"check_guided_kinds_of_network_agree", "check_evaluations_are_counted"}),
    (Guiding(), {"check_evaluations_are_counted"}),
    (LosesTheVariance(), {"check_learned_variance_is_kept"}),
    (PairsOnly(), {"check_composes_with_samplers"}),
    (NeedsANullLabel(), {"check_missing_requirements_are_said"}),
]
