"""One entry of a task file, read: what all formats are turned into before anything is expanded."""

from dataclasses import dataclass, field

from boss.core.model import Template
from boss.core.templates import parse, rows
from boss.taskfile.files import FileEntry
from boss.taskfile.foreach import Foreach
from boss.taskfile.problems import Problems, quoted
from worker.grid import Dimension
from worker.texts import Field, TemplateError, Text, ValueRefused
from worker.written import number_in

#: How long a task may run when its entry does not say, in seconds.
DEFAULT_TIMEOUT = 86400.0

#: A text and its place in the entry: ``("inputs[0]", "data/a.csv")``.
Placed = tuple[str, str]


@dataclass(slots=True)
class Entry:
    """What becomes one template and, row by row, its tasks. Places are parallel to the template's inputs and outputs.

    ``lenient``: an input that nobody yields is looked for when the task runs. ``keep_results``: the task counts as done
    when all its results exist. ``colons``: its id may have a ``:``. ``*_field`` is what its format calls a field.
    """

    label: str  #: ``tasks[3]``
    template: Template  #: its number is given when it is known to be needed
    after: tuple[tuple[str, Text], ...] = ()  #: each with its place
    input_places: tuple[str, ...] = ()
    output_places: tuple[str, ...] = ()
    lenient: bool = False
    keep_results: bool = False
    colons: bool = False
    name_field: str = "id"
    command_field: str = "command"
    input_field: str = "inputs"
    output_field: str = "outputs"


@dataclass(slots=True)
class Content:
    """A task file, read. ``names_known`` and ``yields_known`` are False when an entry could not be read so far:

    then a name or file that nobody seems to have says nothing. ``makes`` are files, by their places in the job's folder and with
    their sizes in bytes, that whoever pushes must make and send.
    """

    job: str | None = None
    files: list[FileEntry] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    names_known: bool = True
    yields_known: bool = True
    notes: list[str] = field(default_factory=list)
    makes: dict[str, int] = field(default_factory=dict)


class Texts:
    """Parses the texts of one entry against the parameters of its grid; tells what is wrong with them."""

    def __init__(self, task: str, foreach: Foreach, problems: Problems) -> None:
        self.task = task
        self.foreach = foreach
        self.problems = problems
        self.failed: set[str] = set()  #: places of texts that are wrong

    def parse(self, place: str, text: str) -> Text:
        """The text in pieces; as it is when it is wrong, which is told."""
        foreach = self.foreach
        if "{" not in text or (foreach.grid is None and not foreach.declared):  # who knows what it declares
            return text
        wrong: list[TemplateError] = []
        try:
            parsed = parse(text, foreach.declared)
        except TemplateError as error:
            wrong, parsed = [error, *error.others], error.rest
        if foreach.grid is not None:  # else the values cannot be tried
            wrong += _untaken(parsed, foreach.grid)
        for one in wrong:
            self.fail(place, self._refused(one) if isinstance(one, ValueRefused) else str(one))
        return text if wrong else parsed

    def _refused(self, error: ValueRefused) -> str:
        """Which value does not take a format: of a CSV file, where it stands."""
        sheet = self.foreach.sheets.get(error.name)
        if sheet is None or error.row is None or not isinstance(error.value, str):
            return str(error)
        written = f"{{{error.name}:{error.field.format}}}"
        found = f"{sheet.place(error.row)}, column {error.name}: {quoted(error.value)}" if error.value else ""
        if not found:
            return f"{written}: {sheet.place(error.row)}, column {error.name}: the cell is empty, which is no number"
        if not error.wanted:
            return f"{written}: {found} does not take this format"
        point = error.value.replace(",", ".", 1)
        comma = f" (a number has a decimal point: {point})" if point != error.value and number_in(point) is not None else ""
        return f"{written}: {found} is no {error.wanted}{comma}"

    def fail(self, place: str, message: str) -> None:
        """Tell what is wrong with the text at a place."""
        self.failed.add(place)
        self.problems.add(self.task, place, message)


def _untaken(text: Text, grid: tuple[Dimension, ...]) -> list[TemplateError]:
    """The fields of a text whose values do not all take their formats."""
    try:
        rows(text, grid)
    except TemplateError:
        found: list[TemplateError] = []
        for field in dict.fromkeys(piece for piece in text if isinstance(piece, Field)):
            try:
                rows((field,), grid)
            except TemplateError as error:
                found.append(error)
        return found
    return []
