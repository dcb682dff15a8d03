"""Documentation page on limits: it states what the program checks."""

from __future__ import annotations

import re
from pathlib import Path

from samplerzoo.trust import limits

PAGE = Path(__file__).parents[2] / "docs" / "limits.md"


def test_the_page_has_the_bounds() -> None:
    table = PAGE.read_text().partition("## Bounds")[2].partition("## How")[0]
    said = {int(number.replace(",", "")) for number in re.findall(r"\d[\d,]*", table)}
    bounds = {value for name, value in vars(limits).items() if name.startswith("MOST_")}
    bounds -= {limits.MOST_JSON, limits.MOST_DIGITS}  # in MiB; and as many as a number of 64 bits has
    assert bounds <= said
    assert limits.MOST_JSON == 64 * 2**20
