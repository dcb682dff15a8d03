from typing import Literal

from samplerzoo import Field, Guidance, UsageError


class ClassifierGuidance(Guidance):
    """Classifier guidance with a noise-aware classifier p(y | x_t) (Dhariwal and Nichol 2021).

    The default shifts the score of the unconditional prediction (algorithm 2, eq. 14), which has the right mean at any
    number of steps. With form mean the gradient times the variance moves the ancestral mean (algorithm 1), which guides
    too little if steps are few.

    The temperature divides the logits (Guo et al. 2017, section 4.2): above 1 it reduces overconfidence,
    below 1 it increases it. Unlike a scaled gradient, it leaves p^(1/T) normalised over the classes. At any other
    temperature than 1, scale 1 is not the conditional prediction.
    """

    form: Literal["score", "mean"] = Field("score", description="what the gradient shifts; mean is for ddpm alone")
    temperature: float = Field(1.0, ge=0.01, le=100.0, description="what the classifier's logits are divided by")

    @property
    def keeps_scale_1(self):
        return self.temperature == 1

    def guide(self, denoise, condition, model):
        import torch

        if model.classifier is None:
            raise UsageError(
                "classifier guidance needs a noise-aware classifier, and this model has none; "
                "make one with `samplerzoo train-classifier --model MODEL`, or take --guidance cfg"
            )
        if condition.labels is None:
            raise UsageError(f"classifier guidance leads to a class, and {model.name} is told no classes")
        if model.num_classes is not None and model.null_label is None:
            raise UsageError(
                "classifier guidance shifts the unconditional prediction, and this conditional model has no null label"
            )
        classifier, null = model.classifier, model.unconditional(condition)

        def gradient(x, t):
            """Return the gradient of log p(y | x_t) for each image; the sum over the batch mixes none."""
            with torch.enable_grad():
                x = x.detach().requires_grad_()
                logits = classifier(x, t)
                logits = logits.to(torch.promote_types(logits.dtype, x.dtype)) / self.temperature
                log_p = logits.log_softmax(dim=1)
                return torch.autograd.grad(log_p.gather(1, condition.labels[:, None]).sum(), x)[0]

        def guided(x, t):
            p = denoise(x, t, null)
            if self.scale == 0:
                return p
            shift = self.scale * gradient(x, t)
            return p.replace(shift=shift) if self.form == "mean" else p.moved(eps=-t.sigma * shift)

        return guided
