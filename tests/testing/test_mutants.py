"""Mutants with bugs found in the field, to prove the kit's worth: each has to fail at the check that it names."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from unittest import SkipTest

import pytest
import torch
from correct_methods import (
    CORRECT,
    DormandPrince,
    GradientEstimation,
    Kutta,
    KuttaInLambda,
    KuttaInTime,
    StochasticAdams,
)
from guidance_mutants import GUIDANCE_MUTANTS, Guiding
from leftover_mutants import (
    LEFTOVER_GUIDANCES,
    LEFTOVER_MUTANTS,
    ByAllLevels,
    CorrectorDrawsAnew,
    DoubleInAStep,
    DrawsAllAtOnce,
    ForeignNoiseAtLargeScale,
    ForeignNoiseInShortSteps,
    RescaledOverTheBatchIfLimited,
    ThreeThreads,
    UnevenHeun,
)
from memory_mutants import MEMORY_MUTANTS, HalfTheThirdTerm, ThirdTermOfTheSDE
from option_mutants import (
    OPTION_MUTANTS,
    EverySecondLevel,
    HeunOfVE,
    InputIsScaled,
    LevelsOfEDM,
    ShiftOfTwoEvaluations,
)
from sampler_mutants import SAMPLER_MUTANTS, Adams, Corrected, UnitVariance
from setting_mutants import SETTING_MUTANTS, SMinIgnored, SuitsDefaults
from step_mutants import (
    STEP_MUTANTS,
    EpsAtTheNextLevel,
    FirstStepIsLost,
    ForgetsTheNoiseOnce,
    LogSnrForLambda,
    LosesAStepOfManyOnVE,
    MidpointLambda,
    NetworkToldTheNextLevel,
    NoiseOfItsOwn,
    X0ClampedAtFour,
    YieldsX0,
)
from tensor_mutants import TENSOR_MUTANTS
from variance_mutants import (
    VARIANCE_MUTANTS,
    OfTheVariance,
    ShiftIfTheFirstStepHasOne,
    ShiftOfLessNoise,
    ShiftOfShortRuns,
    ShiftWithAVariance,
    ShiftWithoutAVariance,
    VarianceIsCut,
    VarianceOfTheFirstStep,
    VarianceOfTheStepBefore,
)

from samplerzoo.core.guidance import Guidance
from samplerzoo.core.sampler import Sampler
from samplerzoo.options import Options
from samplerzoo.testing import check_guidance, check_sampler, checks_of
from samplerzoo.testing.checks import (
    ONCE_CHECKS,
    WARNING_CHECKS,
    check_evaluations_add_order,
    check_every_step,
    check_grids_are_as_asked,
    check_irregular_grids,
    check_levels_are_those_of_training,
    check_memory_adds_order,
    check_moments,
    check_order,
    check_runs_leave_nothing_behind,
    check_unit_is_free,
    check_what_is_set_stays,
)
from samplerzoo.testing.checks.process import SETTINGS
from samplerzoo.testing.fixtures import PATHS, Flow, Path

MUTANTS: list[tuple[Options, set[str]]] = [*SAMPLER_MUTANTS, *GUIDANCE_MUTANTS, *LEFTOVER_GUIDANCES]
IN_ONE_CHECK: list[tuple[Sampler, str]] = [
    *STEP_MUTANTS,
    *SETTING_MUTANTS,
    *TENSOR_MUTANTS,
    *MEMORY_MUTANTS,
    *LEFTOVER_MUTANTS,
    *VARIANCE_MUTANTS,
    *OPTION_MUTANTS,
]

CAUSES: dict[type[Sampler], str] = {
    EpsAtTheNextLevel: "the level is the one that the step leads to",
    NetworkToldTheNextLevel: "the level is the one that the step leads to",
    HeunOfVE: "times what it is at this level: the network is given a state as it is",
    InputIsScaled: "times what it is at this level: the network is given a state as it is",
    FirstStepIsLost: "the state is still at the level that the step begins at",
    LosesAStepOfManyOnVE: "the state is still at the level that the step begins at",
    LogSnrForLambda: "log-SNR is taken for lambda",
    MidpointLambda: "at_log_snr was given the lambda",
    X0ClampedAtFour: "values are cut at 4",
    ShiftOfTwoEvaluations: "leaves no trace in its state",
    ShiftOfLessNoise: "leaves no trace in its state",
    ShiftIfTheFirstStepHasOne: "leaves no trace in its state",
    ShiftOfShortRuns: "leaves no trace in its state",
    ShiftWithAVariance: "leaves no trace in its state",
    ShiftWithoutAVariance: "leaves no trace in its state",
    VarianceIsCut: "the weight is cut at 0 or 1",
    VarianceOfTheFirstStep: "it is that of the learned variance of step 1",
    VarianceOfTheStepBefore: "it is that of the learned variance of step 1",
    YieldsX0: "the prediction is yielded in place of the state",
}
"""Causes of the mutants whose numbers tell it for certain. For the others no cause is named."""


LONG = (DormandPrince, Kutta, KuttaInLambda, KuttaInTime)
"""Methods of many stages, which are run by name. Others of a few stages are of their kind."""

SLOWEST = SMinIgnored()
"""Mutant of which the check of options looks through all runs, for seconds. Others ignore an option, too."""


@functools.cache
def found(mutant: Options, check: str) -> str | None:
    """Return what a check says against a mutant; None if it passes."""
    try:
        checks_of(mutant, thorough=True)[check](mutant)
    except SkipTest:
        return None
    except Exception as error:  # a mutant may fail in any way
        return str(error)
    return None


@pytest.mark.parametrize(("mutant", "caught_by"), MUTANTS, ids=[type(mutant).__name__ for mutant, _ in MUTANTS])
def test_a_mutant_is_caught_by_the_check_that_is_for_it(mutant: Options, caught_by: set[str]) -> None:
    assert caught_by
    for check in sorted(caught_by):
        assert found(mutant, check), check


@pytest.mark.parametrize(
    ("mutant", "check"),
    [
        pytest.param(mutant, check, id=type(mutant).__name__, marks=pytest.mark.slow if mutant == SLOWEST else ())
        for mutant, check in IN_ONE_CHECK
    ],
)
def test_a_mutant_is_caught_and_the_message_names_its_cause_or_none(mutant: Sampler, check: str) -> None:
    said = found(mutant, check)
    assert said
    assert "?" not in said, "a guess"
    causes = [line.removeprefix("cause: ") for line in said.splitlines() if line.startswith("cause: ")]
    assert len(causes) == (type(mutant) in CAUSES)
    assert all(cause.startswith(CAUSES[type(mutant)]) or CAUSES[type(mutant)] in cause for cause in causes)


@pytest.mark.parametrize(
    ("sampler", "path"),
    [
        pytest.param(
            *(sampler, path),
            id=f"{path.kind}-{type(sampler).__name__}",
            marks=pytest.mark.slow if other or isinstance(sampler, LONG) else (),
        )
        for number, sampler in enumerate(CORRECT)
        for path, other in zip(PATHS, [(number + shift) % len(PATHS) for shift in range(len(PATHS))], strict=True)
    ],
)
def test_methods_that_are_right_are_not_refused(sampler: Sampler, path: Path) -> None:
    """Each on one kind of path, in turn; on the others it takes minutes more."""
    for check in (check_every_step, check_unit_is_free, check_irregular_grids, check_moments, check_order):
        check(sampler, path)


@pytest.mark.slow
@pytest.mark.parametrize("sampler", CORRECT, ids=[type(sampler).__name__ for sampler in CORRECT])
def test_methods_that_are_right_pass_all_checks(sampler: Sampler) -> None:
    check_sampler(sampler, thorough=True)


SAID = {
    "WeightOfTheSecondSlopeInShortRuns": "it declares order 2, and in runs of 8 steps single steps have order 1.0",
    "RatioUpsideDownInShortRuns": "is a given function of lambda, order 0.86 was measured in runs of 10 steps on the",
    "FewerChannelsThanSixteen": "images of shape (8, 2, 3) differ by ",
    "WiderThanSixtyFour": "images of shape (4, 7, 64) differ by ",
    "HigherThanTwoHundred": "images of shape (3, 256, 8) differ by ",
    "ManyPixels": "images of shape (3, 256, 256) differ by ",
    "LargerImagesStill": "images of shape (3, 1024, 1024) differ by ",
    "OtherVarianceInBfloat16": "states in torch.bfloat16 differ by ",
    "SmallNumbersInFloat16": "states in torch.float16 differ by ",
    "LongLastStepsInBfloat16": "after step 4 of 4, from log-SNR -2 on (a long last step), where rounding is below 0.04",
    "TwentyStepsInFloat16": "after step 20 of 25, from log-SNR -3 on (many steps), where rounding is below 0.02",
    "MuchNoiseInBfloat16": "after step 1 of 5, from log-SNR -5 on (much noise), where rounding is below 0.11",
    "LittleNoiseInFloat16": "from log-SNR -1 on (little noise), where rounding is below 0.03",
    "X0ClampedAtFour": "two images of the point 7 become 4 and 4, and so do those of 14",
    "EpsLeftAtTheEnd": ": something of x_T, or of fresh noise, is left in them",
    "ImagesAreBrighter": "two images of the point 0.3 become 0.31 and 0.31",
    "SeventeenToTwentyThreeChannels": "images of shape (17, 2, 1) differ by ",
    "BatchesOfAHundred": "images of a batch of 101 differ by ",
    "WrongAtFortySteps": "step 1 of 40, in a run of 40 trailing steps on the VP schedule",
    "LessNoiseAtFortySteps": "a run of 40 steps begins otherwise than one of another number",
    "AnswerIsNotUsed": "answer 2 of the network in step 1 of 5, at tau 905.532, leaves no trace: it is paid for",
    "OldAnswerOnce": "it declares order 2, and steps near log-SNR -4.5 have order ",
    "StaleScore": "answer 3 of the network in step 1 of 5, at tau 800, leaves no trace: it is paid for, and not used",
    "ByNumberOfSteps": "after runs with the same number of steps, ends, times or some levels, or all of them and other",
    "ByNumberAndEnds": "after runs with the same number of steps, ends, times or some levels, or all of them and other",
    "ByTimes": "after runs with the same number of steps, ends, times or some levels, or all of them and other noise, ",
    "OfOtherOptions": "after runs of the same grid with other options, state 1 of a run is off by ",
    "BoundOfTheBatch": "image 0 of a batch of 6, of which some have large values, differs by ",
    "ForeignNoiseInShortSteps": "it draws from the global random state of torch: use noise()",
    "KnowsBetterThanTheDefault": "variance='small' was set, its suited() returns KnowsBetterThanTheDefault(variance=",
    "NoNoiseOnFlow": " model of shape (1,) with no classes and no variance of its own, whose network answers flow: ",
    "NoNoiseWithClasses": "where eta=1.0 was set, its suited() returns NoNoiseWithClasses(eta=0.0), for a VP model of ",
    "NoNoiseInLatents": ", for a VE model of shape (4, 64, 64) with no classes and no variance of its own, whose ",
    "NoNoiseWithPrompts": ", for a VP model of shape (1,) with prompts and no variance of its own, whose ",
    "SuitsItself": (
        "its suited() changes the object that it is asked of, from SuitsItself(eta=0.0) to SuitsItself(eta=0.25), "
    ),
    "RaisesBeyondTheTop": " in the runs that it takes, and other runs it refuses: log-SNR -",
    "PhiOfTheODE": "it declares order 2 with solver_order=3, eta=1.0, and where x0 is a given function of lambda, ",
    "KeptByTheDenoiser": "after a run that was left, state 1 of another one is off by ",
    "DrawsUntilItIsSmall": ": it draws more than 10000 times in step 1 of 4: take each draw of noise() as it comes (",
    "NoiseThroughBfloat16": "(a few steps): draws, states or answers are rounded on their way, as by half precision",
    "X0ThroughFloat16": "move the state of step 1 of 5 unequally, by ",
    "StateInTwelveBits": "move the state of step 1 of 5 unequally, by ",
    "DoubleByDefault": "it leaves torch's default dtype as torch.float64, which was torch.float32: that is of the ",
    "DeterministicForAll": "it leaves torch's deterministic algorithms as 1, which was 0: that is of the whole process",
    "SilentNumpy": "it leaves numpy's handling of errors as {'divide': 'ignore', ",
    "LowOfEDM": "its grid of 2 steps, karras, ends at tau 0.002 of the VE from 0.02 to 700 schedule, whose networks ",
    "EndsBelowTheLowest": " of the linear schedule, whose networks know levels from 1 (schedule.low) on",
    "AsksBelowTheLowest": "in step 31 of 31, trailing, it asks the network about tau 0.00061 of the flow schedule, ",
    "DropsOptionsOfSpacings": "as the spacing lays it on a VP path, and with an option behind its name, karras:rho=3, ",
    "DropsTheOwnGrid": "and with the grid of the model's own scheduler, scheduler, it is not: hand spacing on to ",
    "DropsTheShift": "the spacing lays it on a flow path, and with a shift of 3, trailing, it is not: hand spacing ",
    "EverySecondPlainLevel": "and with an option behind its name, karras:rho=3, it is that of karras",
    "FactorsOnTheCPU": "a tensor is on another device than x, which is no matter on the CPU alone: sampler Fac",
    "NoiseOnTheCPU": "as NoiseOnTheCPU(eta=1.0): a tensor is on another device than x, which is no matter on the CPU ",
    "StateOfNumpy": "can't convert meta device type tensor to numpy. Use Tensor.cpu() ",
    "ByIdOfTheSchedule": ": an id is used again once its object is gone, so that nothing can be kept by it",
    "GridsByKind": "it is a level of the run's grid, which belongs to another schedule",
    "ZeroIsNoLimit": "the option until does the same at 0 as at None, and something else at 1e-06: `if until is",
    "TiresAfterManyCalls": " of 50 steps in one process: what a run keeps belongs in local variables of walk",
}
"""Words that tell what a mutant is wrong at."""


GUIDANCES_SAID = {
    "CappedBeyondFifteen": (
        "at scale 15.5 every image is guided as at scale 15, at all levels: a scale that is cut without a word belongs "
        "out of its bounds"
    ),
    "WrongBetweenTwentyAndThirty": "at scale 20 every image is guided as at scale 25, at all levels",
    "NullLabelOfFewClasses": "at scale 0 eps is off by 1.2 on a model of 50 classes, at tau 300 of a VP path: ",
    "PromptsAreNotGuided": "with prompts in place of labels with scale=3.0, at tau 800 of a VP path, it guides otherw",
    "NegativePromptIsForgotten": "with prompts in place of labels and a negative one of class 1 with scale=3.0, at ",
    "GradientForConditionalNetworks": "with an unconditional network with scale=3.0, at tau 800 of a VP path, it gu",
    "WeightByAThousandTimesteps": "on a VP path of 4000 timesteps eps is off by ",
    "WeightByATimestepOfAFlow": "on a flow path of 4000 timesteps eps is off by ",
    "ZeroIsEverywhere": "the option until does the same at 0 as at None, and something else at 1e-06: `if ",
    "OrthogonalByTheWholeScale": "just above scale 1 eps is away from that at scale 1, on a VP path, by ",
    "UniversalBackwards": "at scale 2, 0% of the images are of the class that was asked for: guided elsewhere?",
    "NormalisedByThePathBefore": "a model on a path that is cosine is guided otherwise, by ",
    "LabelsOfOneByte": "at scale 0.5 eps is off by 0.75 on a model of 257 classes, at tau 300 of a VP path: ",
    "FirstThreeChannels": "at scale 0 eps is off by 1.3 on images of shape (5, 2, 3), at tau 300 of a VP path: ",
    "HalfOnWideImages": "at scale 0 eps is off by 0.66 on images of shape (3, 8, 65), at tau 300 of a VP path: ",
    "SomeChannelsAreNotGuided": "images of shape (17, 2, 1) are guided otherwise than the same numbers in a row: eps ",
    "LabelsBeyondSixHundred": "to label 600 of 1002 it guides otherwise than to label 0 of 3, of which it is a copy: ",
    "RescaledByChannel": (
        "one number of the network's answer moves 20 of the 60 of an image of shape (3, 4, 5) with scale=3.0, "
        "rescale=1.0: where a deviation or a norm is that of an image, it is that of all its channels and pixels"
    ),
    "HalfInBfloat16": "states in torch.bfloat16 are guided otherwise than in float64: eps is off by ",
    "BatchesOfAHundredAreNotGuided": "images of a batch of 100 are guided otherwise than the same ones of 6: eps is ",
}


@pytest.mark.parametrize(
    ("mutant", "checks"),
    [(mutant, checks) for mutant, checks in GUIDANCE_MUTANTS if type(mutant).__name__ in GUIDANCES_SAID],
    ids=[type(mutant).__name__ for mutant, _ in GUIDANCE_MUTANTS if type(mutant).__name__ in GUIDANCES_SAID],
)
def test_a_guidance_that_is_wrong_at_a_number_is_told_with_it(mutant: Guidance, checks: set[str]) -> None:
    (check,) = checks
    assert (found(mutant, check) or "").startswith(GUIDANCES_SAID[type(mutant).__name__])


@pytest.mark.parametrize(
    ("mutant", "check"),
    [(mutant, check) for mutant, check in IN_ONE_CHECK if type(mutant).__name__ in SAID],
    ids=[type(mutant).__name__ for mutant, _ in IN_ONE_CHECK if type(mutant).__name__ in SAID],
)
def test_what_is_wrong_is_told_with_what_it_is_wrong_at(mutant: Sampler, check: str) -> None:
    assert SAID[type(mutant).__name__] in (found(mutant, check) or "")


@pytest.mark.parametrize("sampler", CORRECT, ids=[type(sampler).__name__ for sampler in CORRECT])
def test_of_methods_that_are_right_one_that_extrapolates_is_warned(sampler: Sampler) -> None:
    said = found(sampler, "check_memory_adds_order")
    assert (said is not None) == isinstance(sampler, GradientEstimation)
    assert said is None or "a step builds on 2 predictions, and where eps is a given function" in said


def test_a_wrong_weight_of_an_old_prediction_is_a_warning_which_tells_the_setting() -> None:
    """Check half of the third term, as other libraries have it: of second order, as declared, and no failure."""
    check_order(HalfTheThirdTerm(eta=1.0))
    assert found(HalfTheThirdTerm(eta=1.0), "check_memory_adds_order") == (
        "a step builds on 3 predictions, and where x0 is a given function of lambda, order 1.86 was measured on the "
        "kind of path that suits it best: with weights that are right for all of them it is 3"
    )
    assert check_memory_adds_order in WARNING_CHECKS
    with pytest.raises(AssertionError, match=r"^a step builds on 3 predictions with solver_order=3, eta=1\.0, and"):
        check_memory_adds_order(ThirdTermOfTheSDE())


def test_draws_from_a_global_generator_are_named_in_place_of_what_comes_of_them() -> None:
    """Check at steps and scales that no check of such draws visits, and that the generators stay as they were."""
    before = torch.get_rng_state()
    for mutant, checks, cause in (
        (ForeignNoiseInShortSteps(), ("check_every_step", "check_moments", "check_long_runs"), "torch: use noise()"),
        (ForeignNoiseAtLargeScale(), ("check_scale_is_exact",), "numpy: a guidance guides a state in the same way"),
    ):
        for check in checks:
            said = found(mutant, check) or ""
            assert said.startswith(f"it draws from the global random state of {cause}")
    assert torch.equal(torch.get_rng_state(), before)


def test_what_is_kept_under_a_key_of_all_that_it_depends_on_passes() -> None:
    for path in PATHS:
        check_runs_leave_nothing_behind(ByAllLevels(), path)


def test_levels_of_ones_own_and_levels_made_of_those_of_a_spacing_pass() -> None:
    for path in PATHS:
        for right in (LevelsOfEDM(), EverySecondLevel()):
            check_grids_are_as_asked(right, path)
            check_levels_are_those_of_training(right, path)


def test_settings_of_the_process_are_named_and_put_back_and_may_be_others_within_a_step() -> None:
    before = {name: setting.read() for name, setting in SETTINGS.items()}
    said = found(ThreeThreads(), "check_scale_guides") or ""
    assert said.startswith("it leaves torch's number of threads as 3, which was ")
    assert {name: setting.read() for name, setting in SETTINGS.items()} == before
    for check in ("check_one_state_a_step", "check_runs_leave_nothing_behind", "check_dtype_is_kept"):
        assert found(DoubleInAStep(), check) is None


def test_of_a_guidance_that_is_off_at_some_levels_and_rescaled_at_others_nothing_is_said_of_all_levels() -> None:
    assert found(RescaledOverTheBatchIfLimited(rescale=0.5, until=0.6), "check_scale_is_exact") is None


def test_what_suits_a_model_and_was_not_set_passes() -> None:
    for path in PATHS:
        check_what_is_set_stays(SuitsDefaults(), path)


def test_two_evaluations_a_step_of_order_1_are_a_warning() -> None:
    """Check weights that sum to 1 but are not those of order 2: right, at twice the cost of another method."""
    check_order(UnevenHeun())
    with pytest.raises(
        AssertionError, match=r"^a step asks the network 2 times, and it declares order 1, where 1\.\d\d "
    ):
        check_evaluations_add_order(UnevenHeun())
    with pytest.raises(AssertionError, match=r"^a step asks the network 2 times, and it declares order 1, where 0\.9"):
        check_evaluations_add_order(CorrectorDrawsAnew())
    for right in (Flow(), Corrected(), StochasticAdams()):
        check_evaluations_add_order(right)


GUIDANCE_CAUSES = {
    "ConventionOfW": "it guides as scale + 1 would",
    "WrongHalf": "it guides away from the label",
    "WrongRow": "it guides to the label of the image before it in the batch",
    "BelowOneIsOff": "below scale 1 it is the conditional prediction",
    "ScaleSquared": "it guides as the scale squared would",
    "GuidedTwice": "it guides as the scale squared would",
    "HalfScale": "it guides half as far beyond the conditional prediction",
    "DoubledGradient": "it guides as twice the scale would",
    "GradientOfAnUnscaledState": "on a VP path, where alpha^2 + sigma^2 = 1, it is right",
    "IgnoredCondition": "it is the conditional prediction at every scale",
    "IgnoredLabels": "it is the prediction without a label at every scale",
}
"""Causes that the first failure of the scale names, by mutant."""

ALIKE = ("ConventionOfWBeyondOne", "GradientOnTheConditional", "LabelsShiftedBeyondOne")
"""Mutants with a cause that others have, too."""


@pytest.mark.parametrize(
    ("mutant", "caught_by"), GUIDANCE_MUTANTS, ids=[type(it).__name__ for it, _ in GUIDANCE_MUTANTS]
)
def test_a_wrong_scale_is_explained_truly_or_not_at_all(mutant: Guidance, caught_by: set[str]) -> None:
    said = found(mutant, "check_scale_is_exact") or ""
    own = GUIDANCE_CAUSES.get(type(mutant).__name__)
    assert own is None or own in said
    others = {cause for name, cause in GUIDANCE_CAUSES.items() if cause != own}
    assert type(mutant).__name__ in ALIKE or not [cause for cause in others if cause in said]


def test_noise_that_is_forgotten_or_ones_own_is_no_wrong_term() -> None:
    forgotten = found(ForgetsTheNoiseOnce(), "check_every_step") or ""
    assert "step 24 of 25" in forgotten
    assert "this step has drawn no noise so far; with the other terms as they are, 0.336" in forgotten
    assert "term of" not in forgotten
    own = found(NoiseOfItsOwn(), "check_every_step") or ""
    assert "in step 1 images that are equal, and that noise() gives equal numbers, differ" in own
    assert "take all random numbers from noise(), in the step that uses them, and no image from others" in own
    assert "step 2 of 25" in (ahead := found(DrawsAllAtOnce(), "check_every_step") or "")
    assert "this step has drawn no noise so far" in ahead


def test_every_check_catches_a_mutant() -> None:
    def kinds(names: Iterable[str]) -> set[str]:
        return {re.sub("_on_(ve|flow)$", "", name) for name in names}

    caught = set().union(*(checks for _, checks in MUTANTS), (check for _, check in IN_ONE_CHECK))
    every = {*checks_of(Flow()), *checks_of(Guiding()), *(check.__name__ for check in ONCE_CHECKS)}
    assert kinds(caught) == kinds(every)


def test_what_is_right_on_one_path_alone_is_caught_on_the_others_and_in_another_unit() -> None:
    missed = {name for name in checks_of(UnitVariance()) if not name.endswith(("_on_ve", "_on_flow"))}
    assert [name for name in sorted(missed) if found(UnitVariance(), name)] == ["check_unit_is_free"]


@pytest.mark.parametrize(
    "original",
    [
        Flow(),
        pytest.param(Adams(), marks=pytest.mark.slow),
        pytest.param(Corrected(), marks=pytest.mark.slow),
        pytest.param(OfTheVariance(), marks=pytest.mark.slow),
    ],
    ids=repr,
)
def test_the_originals_pass(original: Sampler) -> None:
    """Those of the other mutants are built-in, and pass with them."""
    check_sampler(original)


def test_what_is_mutated_in_guidances_passes_but_for_an_evaluation_too_many() -> None:
    check_guidance(
        Guiding(),
        expected_failures={
            "check_evaluations_are_counted": "both halves at any scale",
            "check_guidance_options_act": "it has no use for those of cfg",
        },
    )
