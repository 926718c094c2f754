"""Writing images to outputs, and what was told on the way."""

from __future__ import annotations

from reprolake.pipeline import Session
from reprolake_builder.image import Image
from reprolake_builder.progress import Progress
from reprolake_builder.publish import check_destination, parse_destination, publish
from reprolake_builder.publishers.interface import Publication

NAME = "reprolake-test/archive:1"


class Notes(Progress):
    """Keeps the notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        """Keep the note."""
        self.notes.append(message)


def publish_to(
    text: str, image: Image, session: Session, name: str = NAME, **environment: str
) -> Publication:
    """Write the image to an output, as `reprolake build -o` does."""
    return noted(text, image, session, name, **environment)[0]


def noted(
    text: str, image: Image, session: Session, name: str = NAME, **environment: str
) -> tuple[Publication, list[str]]:
    """Write the image to an output and return the notes, too."""
    progress = Notes()
    to = parse_destination(text, name, {**session.options.engine_environment, **environment})
    check_destination(to)
    return publish(image, to, session.tools.store, progress), progress.notes
