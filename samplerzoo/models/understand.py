"""Understanding of a folder: a Model from its configs, and the guesses where they are silent."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import TYPE_CHECKING, Any

from samplerzoo.core.architecture import Architecture, NetworkFacts, PathFacts
from samplerzoo.core.blame import bad_answer
from samplerzoo.core.codec import Codec, Latents
from samplerzoo.core.model import Model
from samplerzoo.core.parametrization import Parametrization
from samplerzoo.core.prediction import Clip
from samplerzoo.core.schedule import Schedule
from samplerzoo.data.class_names import apart
from samplerzoo.errors import UsageError, ZooError, reason
from samplerzoo.models.classifier_facts import ClassifierFacts, read_classifier_facts
from samplerzoo.models.configs import ModelInfo, NamedClasses, parse
from samplerzoo.models.folder import INFO_FILE, read_json
from samplerzoo.models.handle import blank_text, echo, refusing, slope
from samplerzoo.models.options import ReadingOptions
from samplerzoo.models.parts import INDEX_FILE, Part, Parts, Undriven
from samplerzoo.system.files import digest, digest_text
from samplerzoo.trust.limits import MOST_VALUES

if TYPE_CHECKING:
    from samplerzoo.core.model import Classifier

NULL_LABEL = "--null-label"
"""Flag with which the user replaces a guess about labels."""
HALVED = (
    "its network gives twice as many channels as it takes: the second half is taken for a learned variance, and is no "
    "part of the image"
)
"""Guess that is printed when the network is loaded, too: if it is wrong, half of every answer is lost."""


def understand(parts: Parts, info: ModelInfo, reading: ReadingOptions, name: str) -> tuple[Model, tuple[str, ...]]:
    """Make a model from the configs, with stubs of its networks. Return it with the guesses.

    Raises:
        ZooError: the configs, samplerzoo.json and the user's options contradict each other. It names file and key.
    """
    try:
        network = _asked_of(parts, parts.network[0], lambda: parts.network[1].facts(parts.network[0].config))
    except ZooError as error:
        raise Undriven(str(error)) from error
    _check_answer(parts.network[1], "facts", network, NetworkFacts)
    shape = _shape(parts, network, reading)
    network = dataclasses.replace(network, shape=shape)
    scheduler, reader = parts.scheduler
    path: PathFacts = _asked_of(parts, scheduler, lambda: reader.path(scheduler.config, network))
    _check_answer(parts.scheduler[1], "path", path, PathFacts)
    _check_answer(parts.scheduler[1], "path", path.schedule, Schedule)
    read = _asked_of(parts, parts.network[0], lambda: parts.network[1].parametrization(parts.network[0].config, path))
    _check_answer(parts.network[1], "parametrization", read, Parametrization)
    codec = _codec(parts, network, path)
    null_label, num_classes, guesses = _classes(parts, network, info, reading)
    classifier = read_classifier_facts(parts.root)

    model = Model(
        echo(2 if network.learns_variance else 1),
        path.schedule,
        read,
        shape=shape,
        num_classes=num_classes,
        null_label=null_label,
        text=blank_text(network.prompt, lambda: _text_identity(parts)) if network.prompt else None,
        class_names=_indexed_names(parts, num_classes) if info.class_names is None else apart(info.class_names),
        class_counts=None if info.class_counts is None else tuple(info.class_counts),
        averages=path.averages,
        codec=codec,
        variance=path.variance,
        classifier_classes=None if classifier is None else classifier.classes,
        clip=path.clip or _usual_clip(path, network, codec),
        name=name,
    )
    if classifier is not None:
        model = dataclasses.replace(model, classifier=_stub_classifier(classifier, model))
    if path.clip is None and model.clip.mode != "off":
        guesses = (*guesses, "x0 is clipped to [-1, 1], as pixels are, since the scheduler says nothing of it")
    if network.learns_variance and scheduler.config.get("variance_type") != "learned_range":
        guesses = (*guesses, HALVED)
    guesses = (*guesses, *(f"{part} is not run" for part in parts.unused))
    return model, (*network.guesses, *path.guesses, *guesses)


def _text_identity(parts: Parts) -> str:
    """Return the SHA-256 of the files of the text encoder, and of its settings in the index."""
    files = digest(*(file for part in parts.texts for file in part.files))
    return digest_text(json.dumps([files, parts.settings], sort_keys=True)) if parts.settings else files


def _asked_of(parts: Parts, part: Part, question: Any) -> Any:
    """Ask an architecture about a part. Add the part's file and a description of the folder to its errors."""
    whole = "" if parts.pipeline is None else f" of a {parts.pipeline}"
    try:
        return question()
    except ZooError as error:
        raise ZooError(f"{part.path}{whole}: {error}") from error
    except (TypeError, ValueError, KeyError, ArithmeticError) as error:
        raise ZooError(f"{part.path}{whole}: its config makes no model: {reason(error)}") from error


def _check_answer(architecture: Architecture, method: str, found: object, wanted: type) -> None:
    """Refuse an answer of an architecture that has a wrong type."""
    if not isinstance(found, wanted):
        raise bad_answer(architecture, method, found, f"a {wanted.__name__}")


def _shape(parts: Parts, network: NetworkFacts, reading: ReadingOptions) -> tuple[int, ...]:
    part = parts.network[0]
    if network.shape is None and reading.shape is None:
        raise ZooError(
            f"{part.path}: sample_size is not in its config.json, so that the size of an image is not known: add "
            f"--shape {network.channels},HEIGHT,WIDTH"
        )
    if reading.shape is None:
        assert network.shape is not None
        return _moderate(network.shape, part)
    if reading.shape[0] != network.channels or network.shape not in (None, reading.shape):
        said = network.shape or f"{network.channels} channels"
        raise UsageError(f"--shape {','.join(map(str, reading.shape))}: {part.path} says {said}")
    return _moderate(reading.shape, part)


def _moderate(shape: tuple[int, ...], part: Part) -> tuple[int, ...]:
    """Refuse a shape that is not of positive whole numbers, or too large."""
    if not all(type(side) is int and side > 0 for side in shape):
        raise ZooError(f"{part.path}: sample_size {shape} is not of whole numbers above 0")
    if math.prod(shape) > MOST_VALUES:
        raise ZooError(f"{part.path}: states of {shape} have more than {MOST_VALUES} values")
    return shape


def _codec(parts: Parts, network: NetworkFacts, path: PathFacts) -> Codec:
    if parts.codec is None:
        return path.codec
    part, architecture = parts.codec
    codec: Latents = _asked_of(parts, part, lambda: architecture.codec(part.config))
    _check_answer(architecture, "codec", codec, Latents)
    if codec.latent_channels != network.channels:
        raise ZooError(
            f"{part.path}: {codec.latent_channels} latent channels, and the network in {parts.network[0].path} has "
            f"{network.channels}"
        )
    return codec


def _classes(
    parts: Parts, network: NetworkFacts, info: ModelInfo, reading: ReadingOptions
) -> tuple[int | None, int | None, tuple[str, ...]]:
    """Return null label, number of classes, and the guesses about them."""
    rows, part = network.labels, parts.network[0]
    null_label = next((it for it in (reading.null_label, info.null_label, network.null_label) if it is not None), None)
    asked = reading.null_label is not None
    where, wrong = (NULL_LABEL, UsageError) if asked else (f"{parts.root / INFO_FILE}: null_label", ZooError)
    if not rows:
        if reading.null_label is not None:
            raise UsageError(f"--null-label {reading.null_label}: {part.path} is unconditional, and takes no labels")
        if info.num_classes is not None:
            raise ZooError(f"{parts.root / INFO_FILE}: more classes than the network's num_class_embeds, 0")
        return None, None, ()
    if null_label is not None and null_label >= rows:
        raise wrong(f"{where} {null_label}: the network's table of labels has {rows} rows, 0 to {rows - 1}")
    named = len(info.class_names) if info.class_names else None
    possible = [rows - 1] if null_label is not None else [rows, rows - 1]
    if info.num_classes is None and named is not None and named not in possible:
        raise ZooError(
            f"{parts.root / INFO_FILE}: {named} class_names, and the network's table of labels has room for "
            f"{' or '.join(map(str, possible))}"
        )
    num_classes = info.num_classes or named or rows - (null_label is not None)
    if rows < num_classes:
        raise ZooError(f"{parts.root / INFO_FILE}: more classes than the network's num_class_embeds, {rows}")
    if null_label is not None and null_label < num_classes:
        raise wrong(
            f"{where} {null_label} lies among the classes 0 to {num_classes - 1}: a null label is known behind the "
            f"classes, as {num_classes}"
        )
    if null_label is None and info.num_classes is None and named is None:
        return None, rows, (
            f"all {rows} rows of its table of labels are classes; if one of them is a null label: {NULL_LABEL} "
            f"{rows - 1}",
        )  # fmt: skip
    if null_label is None and rows > num_classes:
        unknown = f"row {rows - 1} of its table of labels is no class; if it is a null label: {NULL_LABEL} {rows - 1}"
        return None, num_classes, (unknown,)
    return null_label, num_classes, ()


def _indexed_names(parts: Parts, num_classes: int | None) -> tuple[str, ...] | None:
    """Return the names of the classes that a pipeline's index has, as that of a DiTPipeline does."""
    path = parts.root / INDEX_FILE
    if num_classes is None or not path.is_file():
        return None
    names = parse(NamedClasses, read_json(parts.root, INDEX_FILE), path).names
    if names is not None and len(names) != num_classes:
        raise ZooError(
            f"{path}: id2label has {len(names)} names, and {parts.network[0].path} {num_classes} classes; class_names "
            f"in {parts.root / INFO_FILE} go before it"
        )
    return names


def _usual_clip(path: PathFacts, network: NetworkFacts, codec: Codec) -> Clip:
    """Return the clip of a model whose config does not mention one: pixels on a VP path are clipped, as by DDPM."""
    pixels = not isinstance(codec, Latents) and network.channels in (1, 3)
    return Clip("static") if pixels and path.schedule.kind == "VP" else Clip("off")


def _stub_classifier(facts: ClassifierFacts, model: Model) -> Classifier:
    """Return a function in the place of a classifier; that of one that does not go with the model says so."""
    try:
        facts.order_for(model)
    except ZooError as error:
        return refusing(error)
    return slope(facts.classes)
