"""Samplers with typical bugs in batches, shapes, numbers or memory, each with the check that has to find it."""

from __future__ import annotations

import math

import numpy as np
import torch
from samplerzoo_plugins.ddim import DDIM
from samplerzoo_plugins.ddpm import DDPM
from samplerzoo_plugins.dpm_solver_pp import DPMSolverPP

from samplerzoo import Sampler, posterior_std


class FlippedNoise(DDPM):
    def step(self, x, t, s, denoise, noise):
        return super().step(x, t, s, denoise, lambda: noise().flip(-1))


class CentredNoise(DDPM):
    def step(self, x, t, s, denoise, noise):
        def n():
            z = noise()
            f = z.flatten(1)
            return z - f.mean(1).reshape(-1, *[1] * (z.ndim - 1)) if f.shape[1] > 8 else z

        return super().step(x, t, s, denoise, n)


class OneBuffer(DDIM):
    _b = None

    def walk(self, x, grid, denoise, noise):
        b = type(self).__dict__.get("_buf", {})
        type(self)._buf = b
        for t, s in grid.pairs():
            y = self.step(x, t, s, denoise, noise)
            k = (tuple(y.shape), y.dtype, t.tau)
            if k not in b:
                b[k] = torch.empty_like(y)
            b[k].copy_(y)
            x = b[k]
            yield x


class Bf16Inside(DDIM):
    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        y = s.alpha * p.x0 + s.sigma * p.eps
        return y.half().to(x.dtype) if x.dtype == torch.float32 else y


class WrongOnEvenBatches(DDIM):
    def step(self, x, t, s, denoise, noise):
        y = super().step(x, t, s, denoise, noise)
        return y if len(y) % 4 else torch.cat([y[:-1], y[:1]])


class ChunksOf1024(DDIM):
    def step(self, x, t, s, denoise, noise):
        y = super().step(x, t, s, denoise, noise)
        return torch.cat([y[:1024], y[: len(y) - 1024]]) if len(y) > 1024 else y


class FirstChannelOnly(DDPM):
    def step(self, x, t, s, denoise, noise):
        def n():
            z = noise()
            if z.ndim > 3 and z.shape[1] > 2:
                z = torch.cat([z[:, :1]] * z.shape[1], 1)
            return z

        return super().step(x, t, s, denoise, n)


class ViewsFlat(DDIM):
    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        y = s.alpha * p.x0 + s.sigma * p.eps
        return y.as_strided(y.shape, torch.empty(y.shape).stride())


class HistoryByMutableDefault(DPMSolverPP):
    def walk(self, x, grid, denoise, noise, known=[]):  # noqa: B006
        for i, (t, s) in enumerate(grid.pairs()):
            p = denoise(x, t)
            if known and known[0][1].shape != p.x0.shape:
                known.clear()
            if known and known[0][0].tau <= t.tau:
                known.clear()
            known.insert(0, (t, p.x0))
            del known[2:]
            x = p.x0 if s.clean else self._update(x, known[: min(2, len(grid) - i)], s, noise)
            yield x


class DownToHalfOnSmallNumbers(DDIM):
    """Computes float32 states in bfloat16 and casts back; float64 stays (Song, Meng, Ermon 2021)."""

    def step(self, x, t, s, denoise, noise):
        y = super().step(x, t, s, denoise, noise)
        return y.bfloat16().to(x.dtype) if x.dtype == torch.float32 else y


class Float32Coefficients(DPMSolverPP):
    """Coefficients from float32 tables (Lu et al. 2022)."""

    def _update(self, x, known, s, noise):
        def f(v):
            return float(np.float32(v))

        def lam(level):
            return f(f(math.log(f(level.alpha))) - f(math.log(f(level.sigma))))

        (t, d0), *before = known
        h = f(lam(s) - lam(t))
        phi = f(math.expm1(-h))
        d = d0
        if before:
            u, m1 = before[0]
            d = d0 + f(h / (lam(t) - lam(u)) / 2) * (d0 - m1)
        return f(f(s.sigma) / f(t.sigma)) * x - f(f(s.alpha) * phi) * d


class NoiseOfOnePixel(DDPM):
    """One number of noise an image, on all its pixels (Ho, Jain, Abbeel 2020)."""

    def step(self, x, t, s, denoise, noise):
        return super().step(
            x, t, s, denoise, lambda: noise().flatten(1)[:, :1].reshape(-1, *[1] * (x.ndim - 1)).expand_as(x)
        )


class WrongForLargeBatches(DDPM):
    """Goes through large batches in parts of 512, and forgets the rest of the noise (Ho, Jain, Abbeel 2020)."""

    def step(self, x, t, s, denoise, noise):
        def draw():
            z = noise()
            return torch.cat([z[:512], z[: len(z) - 512]]) if len(z) > 512 else z

        return super().step(x, t, s, denoise, draw)


class LatentsAreSmaller(DDIM):
    """Scales images of four channels as if they were latents (Song, Meng, Ermon 2021)."""

    def step(self, x, t, s, denoise, noise):
        return super().step(x, t, s, denoise, noise) * (0.9 if x.ndim == 4 and x.shape[1] == 4 else 1.0)


class FewerChannelsThanSixteen(DDPM):
    """Less noise on more channels than pictures have, and fewer than the latents of large models (Ho et al. 2020)."""

    def step(self, x, t, s, denoise, noise):
        return super().step(x, t, s, denoise, lambda: noise() * (0.9 if x.ndim == 4 and 4 < x.shape[1] < 16 else 1.0))


class WiderThanSixtyFour(DDIM):
    """Shrinks x0 of wide images (Song, Meng, Ermon 2021)."""

    def step(self, x, t, s, denoise, noise):
        return super().step(x, t, s, denoise, noise) * (0.99 if x.ndim == 4 and x.shape[-1] >= 64 else 1.0)


class HigherThanTwoHundred(DDIM):
    """Shrinks x0 of high images (Song, Meng, Ermon 2021)."""

    def step(self, x, t, s, denoise, noise):
        return super().step(x, t, s, denoise, noise) * (0.99 if x.ndim == 4 and x.shape[-2] > 200 else 1.0)


class ManyPixels(DDIM):
    """Shrinks images of 256 x 256 pixels and more (Song, Meng, Ermon 2021)."""

    def step(self, x, t, s, denoise, noise):
        return super().step(x, t, s, denoise, noise) * (0.99 if x[0].numel() >= 3 * 256 * 256 else 1.0)


class ThresholdedOnImages(DDIM):
    """Cuts x0 at three on all that is larger than the data of a test (Song, Meng, Ermon 2021)."""

    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        if x[0].numel() > 200:
            p = p.replace(x0=p.x0.clamp(-3, 3))
        return s.alpha * p.x0 + s.sigma * p.eps


class LargerImagesStill(DDIM):
    """Shrinks images of 1024 x 1024 pixels (Song, Meng, Ermon 2021)."""

    def step(self, x, t, s, denoise, noise):
        return super().step(x, t, s, denoise, noise) * (0.99 if x[0].numel() >= 1024 * 1024 else 1.0)


class SeventeenToTwentyThreeChannels(DDIM):
    """Shrinks images of some numbers of channels that nobody has tried (Song, Meng, Ermon 2021)."""

    def step(self, x, t, s, denoise, noise):
        return super().step(x, t, s, denoise, noise) * (0.97 if x.ndim > 2 and 17 <= x.shape[1] <= 23 else 1.0)


class BatchesOfAHundred(DDPM):
    """Draws less noise for batches of 101 to 127 images (Ho, Jain, Abbeel 2020)."""

    def step(self, x, t, s, denoise, noise):
        return super().step(x, t, s, denoise, lambda: noise() * (0.9 if 100 < len(x) < 128 else 1.0))


class OtherVarianceInBfloat16(DDPM):
    """More noise on states in bfloat16 (Ho, Jain, Abbeel 2020)."""

    def step(self, x, t, s, denoise, noise):
        return super().step(x, t, s, denoise, lambda: noise() * (1.5**0.5 if x.dtype == torch.bfloat16 else 1.0))


class SmallNumbersInFloat16(DDIM):
    """Loses numbers below 0.05 in half precision (Song, Meng, Ermon 2021)."""

    def step(self, x, t, s, denoise, noise):
        x = super().step(x, t, s, denoise, noise)
        return x * (x.abs() > 0.2) if x.dtype == torch.float16 else x


class LongLastStepsInBfloat16(DDIM):
    """Takes too little of x0 in a long last step, in bfloat16 (Song, Meng, Ermon 2021)."""

    def step(self, x, t, s, denoise, noise):
        x = super().step(x, t, s, denoise, noise)
        return x * 0.9 if s.clean and -1 < t.log_snr < 0 and x.dtype == torch.bfloat16 else x


class TwentyStepsInFloat16(DDIM):
    """Makes the state of the twentieth step smaller, in float16 (Song, Meng, Ermon 2021)."""

    def walk(self, x, grid, denoise, noise):
        for number, state in enumerate(super().walk(x, grid, denoise, noise), 1):
            yield state * 0.9 if number == 20 and x.dtype == torch.float16 else state


class MuchNoiseInBfloat16(DDIM):
    """Loses signal at levels of much noise, in bfloat16 (Song, Meng, Ermon 2021)."""

    def step(self, x, t, s, denoise, noise):
        x = super().step(x, t, s, denoise, noise)
        return x * 0.8 if t.log_snr < -4 and x.dtype == torch.bfloat16 else x


class LittleNoiseInFloat16(DDIM):
    """Cuts at a whole number where little noise is left, in float16 (Song, Meng, Ermon 2021)."""

    def step(self, x, t, s, denoise, noise):
        x = super().step(x, t, s, denoise, noise)
        return x.clamp(-1, 1) if t.log_snr > 3 and x.dtype == torch.float16 else x


_calls = []


class TiresAfterManyCalls(DDIM):
    """Counts its calls in the module, and overshoots after every many (Song, Meng, Ermon 2021)."""

    def step(self, x, t, s, denoise, noise):
        _calls.append(t.tau)
        return super().step(x, t, s, denoise, noise) * (1.05 if len(_calls) % 15_000 > 14_990 else 1.0)


class NoiseThroughBfloat16(Sampler):
    """Ancestral sampling whose draws come as by autocast (Ho, Jain, Abbeel 2020)."""

    def step(self, x, t, s, denoise, noise):
        p, std = denoise(x, t), posterior_std(t, s)
        mean = s.alpha * p.x0 + math.sqrt(max(s.sigma**2 - std**2, 0.0)) * p.eps
        return mean + std * noise().bfloat16().to(x.dtype) if std else mean


class X0ThroughFloat16(Sampler):
    """DDIM whose x0 goes through half precision (Song, Meng, Ermon 2021)."""

    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        return s.alpha * p.x0.half().to(x.dtype) + s.sigma * p.eps


class StateInTwelveBits(Sampler):
    """DDIM whose state is rounded to twelve bits behind the point (Song, Meng, Ermon 2021)."""

    def step(self, x, t, s, denoise, noise):
        p = denoise((x * 2**12).round() / 2**12, t)
        return s.alpha * p.x0 + s.sigma * p.eps


class FactorsOnTheCPU(Sampler):
    """DDIM whose factors are a tensor on the CPU (Song, Meng, Ermon 2021)."""

    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        factors = torch.tensor([s.alpha, s.sigma], dtype=x.dtype).reshape(-1, *[1] * x.ndim)
        return (factors * torch.stack([p.x0, p.eps])).sum(0)


class FifthFactorOnTheCPU(Sampler):
    """DDIM whose factors are a tensor on the CPU from the fifth step on (Song, Meng, Ermon 2021)."""

    def walk(self, x, grid, denoise, noise):
        for number, (t, s) in enumerate(grid.pairs(), 1):
            p = denoise(x, t)
            x = s.alpha * p.x0 + s.sigma * p.eps
            if number >= 5:
                x = x * torch.ones(x.shape[1:], dtype=x.dtype)
            yield x


class NoiseOnTheCPU(DDIM):
    """Adds a tensor on the CPU where eta is 1 (Song, Meng, Ermon 2021)."""

    def step(self, x, t, s, denoise, noise):
        state = super().step(x, t, s, denoise, noise)
        return state + torch.zeros(x.shape, dtype=x.dtype) if self.eta == 1 else state


class StateOfNumpy(Sampler):
    """DDIM in numpy, which takes tensors of the CPU alone (Song, Meng, Ermon 2021)."""

    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        return torch.from_numpy(s.alpha * p.x0.numpy() + s.sigma * p.eps.numpy())


TENSOR_MUTANTS: list[tuple[Sampler, str]] = [
    (FlippedNoise(), "check_any_shape"),
    (CentredNoise(), "check_pixels_are_independent"),
    (OneBuffer(), "check_batch_is_not_mixed"),
    (Bf16Inside(), "check_float32_is_enough"),
    (WrongOnEvenBatches(), "check_batch_is_not_mixed"),
    (ChunksOf1024(), "check_batch_is_not_mixed"),
    (FirstChannelOnly(), "check_any_shape"),
    (ViewsFlat(), "check_any_shape"),
    (HistoryByMutableDefault(), "check_runs_leave_nothing_behind"),
    (DownToHalfOnSmallNumbers(), "check_float32_is_enough"),
    (Float32Coefficients(), "check_coefficients_have_all_digits"),
    (NoiseOfOnePixel(), "check_pixels_are_independent"),
    (WrongForLargeBatches(), "check_batch_is_not_mixed"),
    (LatentsAreSmaller(), "check_any_shape"),
    (FewerChannelsThanSixteen(), "check_any_shape"),
    (WiderThanSixtyFour(), "check_any_shape"),
    (HigherThanTwoHundred(), "check_any_shape"),
    (ManyPixels(), "check_images_of_any_size"),
    (SeventeenToTwentyThreeChannels(), "check_images_of_any_size"),
    (BatchesOfAHundred(), "check_batches_of_any_size"),
    (ThresholdedOnImages(), "check_any_shape"),
    (OtherVarianceInBfloat16(), "check_half_precision_is_near"),
    (SmallNumbersInFloat16(), "check_half_precision_is_near"),
    (LongLastStepsInBfloat16(), "check_half_precision_is_near"),
    (TwentyStepsInFloat16(), "check_half_precision_is_near"),
    (MuchNoiseInBfloat16(), "check_half_precision_is_near"),
    (LittleNoiseInFloat16(), "check_half_precision_is_near"),
    (LargerImagesStill(), "check_large_images"),
    (TiresAfterManyCalls(), "check_many_calls"),
    (NoiseThroughBfloat16(), "check_draws_keep_their_digits"),
    (X0ThroughFloat16(), "check_draws_keep_their_digits_on_flow"),
    (StateInTwelveBits(), "check_draws_keep_their_digits_on_ve"),
    (FactorsOnTheCPU(), "check_device_is_that_of_the_state"),
    (FifthFactorOnTheCPU(), "check_device_is_that_of_the_state"),
    (NoiseOnTheCPU(), "check_settings_are_sound"),
    (StateOfNumpy(), "check_device_is_that_of_the_state_on_flow"),
]
