"""Controls of the page, made from the fields of the plugins and of the recipe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from typing import Any
from uuid import uuid4

import gradio as gr
from PIL.Image import Image
from pydantic import TypeAdapter

from samplerzoo import registry
from samplerzoo.core.blame import blame
from samplerzoo.core.kinds import GUIDANCE_PREFIX, Kind
from samplerzoo.errors import ZooError
from samplerzoo.fields import Facts, facts
from samplerzoo.play.studio import IMAGES, SPACING_PREFIX, Studio
from samplerzoo.sampling.recipe import Recipe
from samplerzoo.trust.markup import visible

WIDEST_SLIDER = 100
"""Largest distance between a field's bounds for which a slider is used."""

MOST_EXACT = 2**53
"""Largest integer that a browser represents exactly. It would turn infinity into 0."""

MOST_IMAGES = 64
"""Most images that the page draws for one setting."""

NONE = "none"
"""Value of a choice where nothing is chosen."""

INTERACTIVE: dict[str, Any] = {"interactive": True}
"""Keyword of all controls. Without it gradio takes a component for an output if its events are attached later."""

FIELDS = facts(Recipe)


@dataclass(frozen=True, eq=False)
class Control:
    """Component that sets a value by its name.

    Attributes:
        parse: function from the component's value to the field's value.
        default: default value of the field.
    """

    name: str
    component: Any
    parse: Callable[[Any], Any] = lambda value: value
    default: Any = None


def values(controls: Sequence[Control], given: Sequence[Any]) -> dict[str, Any]:
    """Return the values of controls by name, except for empty values and the fields' defaults.

    A sampler may have a different default for a model, and uses it only if the option is not set.
    """
    given_to = zip(controls, given, strict=True)
    found = ((control, control.parse(value)) for control, value in given_to if value not in (None, "", []))
    return {control.name: value for control, value in found if value != control.default}


def field(name: str, known: Facts, *, key: str = "", value: Any = None) -> Control:
    """Make the control of a field: a checkbox, a choice, a slider between bounds, a number, or a text.

    Args:
        key: name of the place. A typed value is kept under it when the page is laid out anew.
        value: initial value, instead of the field's default.
    """
    start = known.default if value is None else value
    about = {"label": name.replace("_", " "), "info": known.text, "key": f"{key} {name}", **INTERACTIVE}
    if known.kind == "FLAG" and known.default is None:
        return choice(name, ["yes", "no"], "not set", TypeAdapter(bool).validate_python, **about)
    if known.kind == "FLAG":
        ticked = gr.Checkbox(value=start == "yes", **about)
        return Control(name, ticked, TypeAdapter(bool).validate_python, known.default == "yes")
    if known.choices and not known.is_list:
        absent = "not set" if known.default is None else f"default: {known.default}"
        return choice(name, [*known.choices], absent, known.parse, **about)
    if known.kind not in ("INTEGER", "NUMBER"):
        return Control(name, gr.Textbox(value=start, **about), known.parse, known.parse(known.default))
    whole, number = known.kind == "INTEGER", None if start is None else float(start)
    parse = TypeAdapter(int if whole else float).validate_python
    default = None if known.default is None else parse(known.default)
    if number is not None and not abs(number) <= MOST_EXACT:
        return Control(name, gr.Textbox(value=str(start), **about), parse, default)
    least, most = known.least, known.most
    if number is not None and least is not None and most is not None and 0 < most - least <= WIDEST_SLIDER:
        slider = gr.Slider(least, most, number, step=1 if whole else (most - least) / 100, **about)
        return Control(name, slider, parse, default)
    typed = gr.Number(number, minimum=least, maximum=most, precision=0 if whole else None, **about)
    return Control(name, typed, parse, default)


def choice(name: str, options: Sequence[str], absent: str, parse: Callable[[Any], Any] = str, **about: Any) -> Control:
    """Make a choice between several names and none of them.

    Args:
        absent: text of the choice of none.
        parse: function from a name to the value.
    """
    offered = [(absent, NONE), *((option, option) for option in options)]
    component = gr.Dropdown(offered, value=NONE, **{"label": name, **INTERACTIVE, **about})
    return Control(name, component, lambda value: None if value == NONE else parse(value))


def names(kind: Kind) -> list[str]:
    """List the names of all plugins of a kind. Plugins that share a name get their package as a prefix."""
    found = registry.plugins(kind)
    same = Counter(plugin.name for plugin in found)
    return [plugin.name if same[plugin.name] == 1 else f"{plugin.source}:{plugin.name}" for plugin in found]


class Setting:
    """Controls of one setting: choices of plugins, and the options of the chosen plugins.

    Args:
        key: name of the place on the page.
        guided: False if there is nothing to guide.
    """

    def __init__(self, key: str, sampler: str, steps: int, *, guided: bool = True) -> None:
        self._key = key
        chosen = gr.Dropdown(names("sampler"), value=sampler, label="sampler", allow_custom_value=True, **INTERACTIVE)
        self.chosen = [Control("sampler", chosen)]
        if guided:
            self.chosen.append(choice("guidance", names("guidance"), NONE))
        self.chosen.append(choice("spacing", names("spacing"), "the model's own"))
        self.always = [field("steps", FIELDS["steps"], key=key, value=steps)]
        if guided:
            self.always.append(field("clip_x0", FIELDS["clip_x0"], key=key))

    @property
    def inputs(self) -> list[Any]:
        """Components on whose values the options depend."""
        return [control.component for control in self.chosen]

    def controls(self, *given: str) -> list[Control]:
        """Lay out the options of the plugins with these names. Return all controls of the setting."""
        chosen = values(self.chosen, given)
        prefixes: dict[Kind, str] = {"sampler": "", "guidance": GUIDANCE_PREFIX, "spacing": SPACING_PREFIX}
        made = []
        for kind, prefix in prefixes.items():
            if chosen.get(kind) is not None:
                own = facts(registry.get(kind, chosen[kind]).load())
                made += [field(prefix + name, known, key=f"{self._key} {chosen[kind]}") for name, known in own.items()]
        return [*self.chosen, *self.always, *made]


def subject(studio: Studio, key: str, count: int) -> list[Control]:
    """Make the controls of what is drawn: labels or prompts, how many images, and the seed of their noise."""
    model, made = studio.model, []
    if model.text is not None:
        about = "one a line; image i has prompt i mod their number"
        prompts = gr.Textbox("a cat", label="prompts", info=about, lines=2, **INTERACTIVE)
        made.append(Control("prompts", prompts, lambda text: tuple(text.splitlines())))
        made.append(field("negative_prompt", FIELDS["negative_prompt"], key=key))
    elif model.classes is not None:
        start = "balanced" if model.num_classes is not None else None
        made.append(field("class_labels", FIELDS["class_labels"], key=key, value=start))
    pictures = gr.Slider(1, MOST_IMAGES, count, step=1, label="images", **INTERACTIVE)
    return [*made, Control(IMAGES, pictures), field("seed", FIELDS["seed"], key=key)]


def picture(label: str) -> gr.Image:
    """Make a component for a picture, below its label and its buttons."""
    return gr.Image(
        label=label,
        buttons=["download", "fullscreen"],
        format="png",
        interactive=False,
        elem_classes=["picture"],
        min_width=240,
    )


def marked(image: Image) -> Image:
    """Give a picture a unique mark, so that gradio writes it into its own file.

    gradio writes equal pictures into the same file again and again. A browser that reads it meanwhile shows nothing.
    """
    image.info["mark"] = uuid4().hex
    return image


def commands(label: str) -> gr.Code:
    """Make a component for command lines, with a button to copy them."""
    return gr.Code(label=label, language="shell", wrap_lines=True, lines=1, max_lines=12)


def laid_out(place: Any, inputs: Sequence[Any], lay_out: Callable[..., None]) -> None:
    """Lay out a part of the page that depends on choices, and again whenever they change."""
    with place:

        def render(*chosen: str) -> None:
            try:
                lay_out(*chosen)
            except ZooError as error:
                gr.Markdown(escape(visible(str(error))))

        # one part of the page at a time, since gradio changes a table of all parts while it reads it
        gr.render(inputs=inputs, show_progress="hidden", concurrency_id="layout", concurrency_limit=1)(render)


def stoppable(
    start: gr.Button, stop: gr.Button, run: Callable[..., Iterator[Any]], controls: Sequence[Control], outputs: Any
) -> None:
    """Let a button start an iterator over updates of the page, and another button stop it. Only one runs at a time."""
    inputs = [control.component for control in controls]
    event = start.click(
        run, inputs, outputs, show_progress="hidden", concurrency_id="model", concurrency_limit=1,
        api_visibility="private",
    )  # fmt: skip
    stop.click(None, cancels=[event], api_visibility="private")


@contextmanager
def told() -> Iterator[None]:
    """Show an error of the request, of a model or of a plugin as one line on the page."""
    try:
        yield
    except ZooError as error:
        raise _shown(error) from error
    except Exception as error:
        found = blame(error)
        if found is None:
            raise
        raise _shown(found) from error


def _shown(error: ZooError) -> gr.Error:
    return gr.Error(escape(visible(str(error))), duration=None, print_exception=False)
