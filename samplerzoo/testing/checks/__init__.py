"""Checks of the kit, cheap ones first. Each is a plain function that returns nothing if all is well.

A check raises AssertionError, or the plugin's own error, or unittest.SkipTest if it does not apply.
"""

from __future__ import annotations

from samplerzoo.testing.checks.answers import (
    check_kinds_of_network_agree,
    check_lands_on_the_point,
    check_moments,
    check_order,
)
from samplerzoo.testing.checks.architectures import (
    check_claims_its_own_config,
    check_facts_are_those_of_the_network,
    check_what_is_saved_is_read,
)
from samplerzoo.testing.checks.devices import check_device_is_that_of_the_state
from samplerzoo.testing.checks.digits import (
    check_coefficients_have_all_digits,
    check_draws_keep_their_digits,
    check_dtype_is_kept,
    check_float32_is_enough,
    check_half_precision_is_near,
)
from samplerzoo.testing.checks.driven import check_nfe_is_what_it_calls, check_recording_changes_nothing
from samplerzoo.testing.checks.embedding import (
    check_classes_are_whole_numbers,
    check_features_are_finite_rows,
    check_features_are_kept_in_order,
    check_features_are_repeatable,
    check_features_tell_images_apart,
    check_id_tells_networks_apart,
    check_images_are_left_as_they_are,
    check_other_channels_are_refused_in_one_line,
    check_references_are_a_folder,
)
from samplerzoo.testing.checks.embedding_sizes import (
    check_all_values_are_seen,
    check_batches_of_any_number,
    check_grey_images_may_have_three_channels,
    check_images_of_any_side,
    check_texts_have_rows,
    check_values_do_not_wrap,
)
from samplerzoo.testing.checks.evaluations import check_evaluations_add_order
from samplerzoo.testing.checks.fresh_noise import check_every_step_heeds_its_own_answer, check_noise_is_as_predicted
from samplerzoo.testing.checks.grids import check_grids_are_as_asked, check_levels_are_those_of_training
from samplerzoo.testing.checks.guided import (
    check_composes_with_samplers,
    check_evaluations_are_counted,
    check_guidance_changes_nothing_in_place,
    check_guidance_options_act,
    check_guided_kinds_of_network_agree,
    check_guided_x0_and_eps_agree,
    check_learned_variance_is_kept,
    check_missing_requirements_are_said,
)
from samplerzoo.testing.checks.guided_images import check_guided_shape, check_images_are_guided_whole
from samplerzoo.testing.checks.guided_independence import (
    check_guided_batch_is_not_mixed,
    check_guided_runs_are_independent,
    check_labels_are_respected,
)
from samplerzoo.testing.checks.guided_models import (
    check_guided_paths_are_kept_apart,
    check_networks_without_labels_are_guided,
    check_null_label_may_be_any,
    check_prompts_are_guided_as_labels,
    check_timesteps_are_told_as_shares,
)
from samplerzoo.testing.checks.guided_precision import check_guided_dtype_is_kept, check_guided_precisions_agree
from samplerzoo.testing.checks.guided_scale import (
    check_interval_is_of_noise_to_signal,
    check_no_noise_is_taken_for_signal,
    check_scale_0_is_unconditional,
    check_scale_1_is_conditional,
    check_scale_does_not_jump,
    check_scale_guides,
    check_scale_is_exact,
)
from samplerzoo.testing.checks.guided_sizes import (
    check_every_label_is_guided_to,
    check_guided_batches_of_any_size,
    check_guided_images_of_any_size,
    check_guides_models_of_any_size,
)
from samplerzoo.testing.checks.guided_unit import check_guided_unit_is_free
from samplerzoo.testing.checks.independence import (
    check_batch_is_not_mixed,
    check_deterministic,
    check_global_random_state,
    check_runs_leave_nothing_behind,
)
from samplerzoo.testing.checks.memory import check_memory_adds_order, check_memory_keeps_the_order
from samplerzoo.testing.checks.networks import (
    check_calls_are_answered_alone,
    check_device_is_that_of_the_network,
    check_every_label_is_handed_on,
    check_float32_has_its_digits,
    check_half_precision_is_answered_in_float32,
    check_images_are_answered_alone,
    check_no_time_is_read_otherwise,
    check_takes_half_precision,
    check_time_is_handed_on,
)
from samplerzoo.testing.checks.numbers import (
    check_any_number_of_steps,
    check_batches_of_any_size,
    check_images_of_any_size,
)
from samplerzoo.testing.checks.options import (
    check_cites_its_source,
    check_keeps_the_protocol,
    check_options_are_documented,
    check_options_survive,
)
from samplerzoo.testing.checks.refusals import check_spacing_is_heeded, check_takes_some_path
from samplerzoo.testing.checks.shapes import check_any_shape, check_large_images, check_pixels_are_independent
from samplerzoo.testing.checks.spaced import (
    check_levels_fill_the_path,
    check_no_level_is_cleaner_than_those_of_training,
    check_numbers_of_steps_are_alike,
    check_options_move_levels,
    check_runs_start_at_the_top,
    check_some_path_is_taken,
    check_spacing_is_repeatable,
    check_spacing_is_that_of_the_path,
    check_there_is_a_level_a_step,
)
from samplerzoo.testing.checks.steps import check_every_step, check_long_runs, check_longest_runs
from samplerzoo.testing.checks.suits import check_what_is_set_stays
from samplerzoo.testing.checks.sweep import (
    check_all_settings,
    check_options_act,
    check_settings_are_sound,
    check_settings_hold,
)
from samplerzoo.testing.checks.unit import check_unit_is_free
from samplerzoo.testing.checks.walk import (
    check_answers_are_taken_as_they_are,
    check_answers_are_used,
    check_draws_are_used,
    check_irregular_grids,
    check_many_calls,
    check_nothing_is_changed_in_place,
    check_one_state_a_step,
)

OPTIONS_CHECKS = (
    check_keeps_the_protocol,
    check_cites_its_source,
    check_options_are_documented,
    check_options_survive,
)

WARNING_CHECKS = (
    check_cites_its_source,
    check_evaluations_add_order,
    check_memory_adds_order,
    check_spacing_is_heeded,
    check_images_are_guided_whole,
    check_guided_unit_is_free,
    check_all_values_are_seen,
    check_grey_images_may_have_three_channels,
    check_numbers_of_steps_are_alike,
    check_takes_half_precision,
)
"""Checks whose finding is only a warning: it changes no image, or a correct method may do it on purpose."""

FIRST_CHECKS = (check_takes_some_path,)
LAST_CHECKS = (
    check_memory_keeps_the_order,
    check_spacing_is_heeded,
    check_evaluations_add_order,
    check_memory_adds_order,
)
"""Checks of a sampler on all kinds of path together, before and after those on each kind."""

SAMPLER_CHECKS = (
    check_one_state_a_step,
    check_deterministic,
    check_global_random_state,
    check_runs_leave_nothing_behind,
    check_batch_is_not_mixed,
    check_noise_is_as_predicted,
    check_every_step_heeds_its_own_answer,
    check_every_step,
    check_batches_of_any_size,
    check_any_shape,
    check_images_of_any_size,
    check_pixels_are_independent,
    check_nothing_is_changed_in_place,
    check_grids_are_as_asked,
    check_levels_are_those_of_training,
    check_recording_changes_nothing,
    check_nfe_is_what_it_calls,
    check_draws_are_used,
    check_answers_are_used,
    check_answers_are_taken_as_they_are,
    check_unit_is_free,
    check_device_is_that_of_the_state,
    check_dtype_is_kept,
    check_draws_keep_their_digits,
    check_coefficients_have_all_digits,
    check_lands_on_the_point,
    check_irregular_grids,
    check_kinds_of_network_agree,
    check_moments,
    check_order,
    check_float32_is_enough,
    check_half_precision_is_near,
    check_options_act,
    check_what_is_set_stays,
    check_settings_are_sound,
    check_settings_hold,
    check_long_runs,
    check_any_number_of_steps,
)
"""Checks of a sampler that run on every kind of path. Possible causes of other failures are checked first."""

SLOW_CHECKS = (
    check_options_act,
    check_settings_are_sound,
    check_any_number_of_steps,
    check_batches_of_any_size,
    check_images_of_any_size,
)
"""Checks of a sampler that run on one kind of path only, unless the checks are thorough."""

THOROUGH_CHECKS = (check_all_settings,)
"""Checks of a sampler that run only if the checks are thorough."""

ONCE_CHECKS = (check_large_images, check_many_calls, check_longest_runs)
"""Checks of a sampler that run only if the checks are thorough, and on one kind of path."""

GUIDANCE_CHECKS = (
    check_guided_runs_are_independent,
    check_guided_batch_is_not_mixed,
    check_scale_1_is_conditional,
    check_scale_0_is_unconditional,
    check_scale_guides,
    check_scale_is_exact,
    check_scale_does_not_jump,
    check_interval_is_of_noise_to_signal,
    check_no_noise_is_taken_for_signal,
    check_guided_unit_is_free,
    check_labels_are_respected,
    check_guidance_options_act,
    check_guided_dtype_is_kept,
    check_guided_x0_and_eps_agree,
    check_guidance_changes_nothing_in_place,
    check_guided_shape,
    check_guides_models_of_any_size,
    check_every_label_is_guided_to,
    check_guided_images_of_any_size,
    check_guided_batches_of_any_size,
    check_images_are_guided_whole,
    check_guided_precisions_agree,
    check_guided_kinds_of_network_agree,
    check_null_label_may_be_any,
    check_prompts_are_guided_as_labels,
    check_networks_without_labels_are_guided,
    check_timesteps_are_told_as_shares,
    check_guided_paths_are_kept_apart,
    check_evaluations_are_counted,
    check_learned_variance_is_kept,
    check_composes_with_samplers,
    check_missing_requirements_are_said,
)

FEATURES_CHECKS = (
    check_keeps_the_protocol,
    check_options_survive,
    check_features_are_finite_rows,
    check_features_tell_images_apart,
    check_features_are_kept_in_order,
    check_features_are_repeatable,
    check_images_are_left_as_they_are,
    check_batches_of_any_number,
    check_images_of_any_side,
    check_values_do_not_wrap,
    check_all_values_are_seen,
    check_grey_images_may_have_three_channels,
    check_texts_have_rows,
    check_id_tells_networks_apart,
    check_classes_are_whole_numbers,
    check_other_channels_are_refused_in_one_line,
    check_references_are_a_folder,
)

SPACING_CHECKS = (
    check_keeps_the_protocol,
    check_options_are_documented,
    check_options_survive,
    check_some_path_is_taken,
    check_there_is_a_level_a_step,
    check_runs_start_at_the_top,
    check_no_level_is_cleaner_than_those_of_training,
    check_numbers_of_steps_are_alike,
    check_spacing_is_repeatable,
    check_spacing_is_that_of_the_path,
    check_levels_fill_the_path,
    check_options_move_levels,
)

ARCHITECTURE_CHECKS = (
    check_claims_its_own_config,
    check_facts_are_those_of_the_network,
    check_time_is_handed_on,
    check_no_time_is_read_otherwise,
    check_every_label_is_handed_on,
    check_images_are_answered_alone,
    check_calls_are_answered_alone,
    check_float32_has_its_digits,
    check_half_precision_is_answered_in_float32,
    check_takes_half_precision,
    check_device_is_that_of_the_network,
    check_what_is_saved_is_read,
)
"""Checks of an architecture together with a network for it to drive."""
