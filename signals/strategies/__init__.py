"""The strategy templates a trader can choose from: a short key and what it stands for."""

from reprlib import repr as repr_

from signals.ports import Template
from signals.strategies import ml_ensemble

TEMPLATES: dict[str, Template] = {template.slug: template for template in (ml_ensemble.TEMPLATE,)}


class UnknownTemplate(KeyError):
    """No template has this key."""

    def __str__(self) -> str:
        return str(self.args[0])


def template(slug: str) -> Template:
    """The template called `slug`, or UnknownTemplate, whose message lists the keys."""
    try:
        return TEMPLATES[slug]
    except KeyError:
        raise UnknownTemplate(f"template {repr_(slug)} is unknown: use one of {', '.join(TEMPLATES)}") from None
