"""Limits: the most that a request or a file may ask for. They are checked before any work begins.

They are far above any real need, and low enough that a typing error or a file from a stranger cannot exhaust memory or
run for hours. `docs/limits.md` has them as a table.
"""

from __future__ import annotations

MOST_IMAGES = 10**7
"""Images of one run or cell, and so the largest index of an image, plus one."""
MOST_STEPS = 10_000
"""Steps of a sampler, and timesteps in a list."""
MOST_TIMESTEPS = 10**6
"""Noise levels of a schedule, num_train_timesteps."""
MOST_VALUES = 2**26
"""Numbers in the state of one image, and pixels in a picture that is read: a square of 8192."""
MOST_EXACT = 2**30
"""Values in all images of an exact model, which needs 4 bytes for each."""
MOST_SIDE = 2**10
"""Side in pixels of the input images of a feature network of transformers."""
MOST_PICTURE_SIDE = 2**14
"""Side in pixels of a picture requested from a whole pipeline."""
MOST_CLASSES = 10**6
"""Classes of a model."""
MOST_PROMPTS = 10**5
"""Prompts of a run."""
MOST_PROMPT_LETTERS = 10_000
"""Characters of a prompt; a text encoder reads some hundreds of them."""
MOST_PROMPTS_LETTERS = 2**22
"""Characters of all prompts of a run together, so that a line of JSON can hold them."""
MOST_LETTERS = 1000
"""Characters of a name, such as that of a class, a model or a reference, and of an option's text."""
MOST_FEATURES = 2**14
"""Features per image in a reference. The covariance of that many has 2 GiB."""
MOST_CELLS = 10**5
"""Cells of a suite, before equal cells are merged."""
MOST_JSON = 2**26
"""Bytes of a JSON file, and of a line of a JSON Lines file."""
MOST_DEPTH = 32
"""Depth of nested lists and objects in JSON."""
MOST_DIGITS = 20
"""Digits of a whole number in JSON, as many as 2**64 has."""
