"""Line that summarizes what was read, as safe text."""

from samplerzoo.data.image_sets import summary


def test_control_characters_of_class_names_are_shown() -> None:
    said = summary("d", 2, ["\x1b[31mred", "a\nb"], [1, 1], ())
    assert "\x1b" not in said
    assert "\n" not in said
