from samplerzoo import Sampler


class ProbabilityFlow(Sampler):
    """Euler's method for the probability flow ODE (Song et al. 2021, eq. 13), slopes taken at t.

    Along a path x = alpha x0 + sigma eps the ODE moves x by the slopes of alpha and sigma. On a straight path this is
    the Euler method of flow matching (Lipman et al. 2023). The last step returns x0, the mean of the clean image
    (Tweedie), as the reverse-SDE samplers do.
    """

    def step(self, x, t, s, denoise, noise):
        p = denoise(x, t)
        if s.clean:
            return p.x0
        return x + (s.tau - t.tau) * (t.dalpha * p.x0 + t.dsigma * p.eps)
