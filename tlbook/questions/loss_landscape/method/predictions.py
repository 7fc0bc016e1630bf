"""What models on a line say of a few test images, for the page's explorer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from torch import Tensor

from tlbook import data
from tlbook.models.interpolation import check_pair, interpolate
from tlbook.questions.loss_landscape.method.evaluation import Evaluator

PLACES, IMAGES = 7, 5  # at most so many places on a line; so many images


def said_on_the_way(
    evaluator: Evaluator,
    domain: data.Domain,
    first: Mapping[str, Tensor],
    second: Mapping[str, Tensor],
    places: Sequence[float],
) -> pd.DataFrame:
    """Predictions along a line for the images on which they change: columns alpha, path, sha256, label,
    prediction, confidence (0 to 1).

    ``places`` are thinned to `PLACES`. Where an image has several labels, the finding rated highest.
    """
    check_pair(first, second)
    thinned = np.asarray(places)[
        np.linspace(0, len(places) - 1, min(PLACES, len(places))).round().astype(int)
    ]
    several = domain.test.labels.ndim == 2
    answers = []
    for place in thinned:
        model = evaluator.load(interpolate(first, second, float(place)))
        logits, _ = evaluator.predict(model, "test")
        answers.append((logits.double().sigmoid() if several else logits.double().softmax(1)).max(1))
    said = np.stack([best.indices.numpy() for best in answers])
    rows = [
        {
            "alpha": float(place),
            "path": domain.test.paths[number],
            "sha256": domain.test.digests[number],
            "label": label(domain, number),
            "prediction": domain.classes[int(best.indices[number])],
            "confidence": float(best.values[number]),
        }
        for number in changing(said, IMAGES)
        for place, best in zip(thinned, answers, strict=True)
    ]
    return pd.DataFrame(rows)


def changing(said: np.ndarray, count: int) -> list[int]:
    """Of images by their predictions (places, images): ``count``, those that change first, spread evenly."""
    changes = (said != said[:1]).any(0)
    spread = [
        group[np.linspace(0, len(group) - 1, min(count, len(group))).astype(int)]
        for group in (np.flatnonzero(changes), np.flatnonzero(~changes))
        if len(group)
    ]
    return [int(number) for number in np.concatenate(spread)[:count]]


def label(domain: data.Domain, number: int) -> str:
    """What is right for a test image: its class, or its findings joined by " + ", or "none"."""
    answer = domain.test.labels[number]
    if answer.ndim == 0:
        return domain.classes[int(answer)]
    held = [name for name, value in zip(domain.classes, answer.tolist(), strict=True) if value]
    return " + ".join(held) or "none"
