from typing import ClassVar, Literal

from samplerzoo import Field, Sampler, UsageError, posterior_std, transition_variance


class DDPM(Sampler):
    """Ancestral sampling (Ho, Jain, Abbeel 2020, algorithm 2), on the respaced beta where steps are skipped."""

    takes_shift: ClassVar[bool] = True

    variance: Literal["small", "large", "learned"] = Field(
        "small",
        description="small is beta-tilde, large is beta, learned is the network's own; default: as it was trained",
    )

    def suited(self, model):
        trained = model.variance is not None and "variance" not in self.model_fields_set
        return self.model_copy(update={"variance": model.variance}) if trained else self

    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        variance = self._variance(p, t, s)
        mean = posterior_mean(p, t, s)
        if p.shift is not None:
            mean = mean + variance * p.shift
        return mean if s.clean else mean + variance**0.5 * noise()

    def _variance(self, p, t, s):
        small, large = posterior_std(t, s) ** 2, transition_variance(t, s)
        match self.variance:
            case "small":
                return small
            case "large":
                return large
            case "learned":  # Nichol and Dhariwal 2021, eq. 15, between the bounds of the respaced chain
                if p.variance is None:
                    raise UsageError("--variance learned: the model has no learned variance; take small or large")
                if s.clean:  # beta-tilde is 0, and so is the mean; networks stray outside [0, 1], where 0 has no power
                    return small
                return small ** (1 - p.variance) * large**p.variance


def posterior_mean(p, t, s):
    """Return the mean of q(x_s | x_t, x_0) at the predicted x_0 (Ho, Jain, Abbeel 2020, eq. 7)."""
    beta = transition_variance(t, s)
    return (s.alpha * beta / t.sigma**2) * p.x0 + (t.alpha / s.alpha * s.sigma**2 / t.sigma**2) * p.x
