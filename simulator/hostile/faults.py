"""What can go wrong in the hostile world: by chance at its moments, or planned for a time.

Rules:
- A fault of ``CHANCES`` is a moment that recurs: the n-th such moment of a run goes wrong or not. So a run's faults are a list of
  ``(name, n)``, and a run in which exactly these happen can be had again, and with fewer of them.
- A fault of ``INCIDENTS`` has a time, a length and a number that means whatever it needs (which worker, how far a clock jumps).
- Each seed switches most kinds off and the others on at a strength of its own: what is rare everywhere meets what is rare besides.
"""

from dataclasses import dataclass
from typing import Final


class Broken(BaseException):
    """A promise was broken in the hostile world. No ``Exception``: nothing that is simulated may catch it."""

    def __init__(self, promise: str, sentence: str) -> None:
        super().__init__(f"{promise}: {sentence}")
        self.promise, self.sentence = promise, sentence


@dataclass(frozen=True, slots=True)
class Kind:
    """A fault: what it is, how often at most (of its moments), and how many times in a run."""

    sentence: str
    rate: float
    most: int = 10**6


CHANCES: Final[dict[str, Kind]] = {
    "lost": Kind("a message between boss and worker is lost", 0.2),
    "doubled": Kind("a message arrives twice, the second time later", 0.2),
    "late": Kind("a message arrives up to 6 s late, after younger ones", 0.25),
    "ancient": Kind("a message arrives a second time 10 to 60 s later", 0.05),
    "boss dies": Kind("the boss dies between two effects", 0.02, 3),
    "boss dies before commit": Kind("the boss dies before a commit", 0.02, 2),
    "boss dies after commit": Kind("the boss dies after a commit, before any effect", 0.02, 2),
    "commit fails": Kind("the database does not take a commit", 0.04, 4),
    "commit unknown": Kind("the database takes a commit, and its answer is lost", 0.04, 4),
    "load fails": Kind("the database cannot be read", 0.3, 3),
    "handler raises": Kind("among the events of a turn is one that the core cannot digest", 0.02, 3),
    "port raises": Kind("an adapter raises although it must not", 0.01, 2),
    "create refused": Kind("a cloud refuses to make servers: quota, no valid host, 5xx, 429", 0.4, 3),
    "create unanswered": Kind("a cloud makes the servers and answers with an error", 0.4, 3),
    "create stalls": Kind("a create call is answered much later, or never", 0.3, 2),
    "create partial": Kind("a cloud makes fewer servers of a group than were asked for", 0.5, 2),
    "server breaks": Kind("a server goes to ERROR instead of coming up", 0.3, 2),
    "server mute": Kind("a server comes up, and its worker never joins", 0.3, 2),
    "join unanswered": Kind("the answer to a join is lost: the server asks again with the same key", 0.4, 3),
    "delete fails": Kind("a cloud refuses to delete a server", 0.3, 3),
    "delete stalls": Kind("a delete call is never answered; half of the time it is done", 0.3, 2),
    "list fails": Kind("a cloud does not list its servers", 0.3, 4),
    "list late": Kind("a list of servers arrives seconds after it was made", 0.3, 6),
    "server vanishes": Kind("a server with a worker disappears from its cloud", 0.02, 2),
    "worker dies": Kind("a worker dies between two effects; its spool stays", 0.01, 4),
    "fetch fails": Kind("inputs cannot be had, for a while or for good", 0.2, 4),
    "upload fails": Kind("a delivery breaks off: nothing of it is there", 0.3, 6),
    "upload unanswered": Kind("a delivery is complete, and the worker does not know", 0.3, 6),
    "task fails": Kind("a command fails", 0.25, 8),
    "task slow": Kind("a command takes 10 to 25 s instead of seconds", 0.1, 3),
    "start fails": Kind("a worker cannot start a process", 0.1, 3),
    "gate slow": Kind("the datastore answers seconds late", 0.2, 6),
    "gate dies": Kind("the datastore dies in the middle of an acceptance", 0.1, 2),
    "answer lost": Kind("the answer to a person's request is lost; a push is sent again", 0.3, 4),
}

INCIDENTS: Final[dict[str, Kind]] = {
    "boss killed": Kind("the boss is killed and comes back after seconds", 1.0, 2),
    "boss stopped": Kind("the boss is stopped for seconds or hours while its inbox fills, then continued", 1.0, 2),
    "boss replaced": Kind("a second boss starts while the first one is stopped; then the first goes on", 1.0, 1),
    "boss away": Kind("the boss is off for hours", 1.0, 1),
    "broker down": Kind("the broker is down; all that was under way is lost", 1.0, 2),
    "datastore down": Kind("the datastore cannot be reached", 1.0, 2),
    "datastore full": Kind("the datastore has no room", 1.0, 1),
    "database down": Kind("the database neither takes nor gives anything", 1.0, 1),
    "worker killed": Kind("a worker is killed; its machine starts it again", 1.0, 3),
    "worker frozen": Kind("a worker is stopped for seconds, then continued", 1.0, 2),
    "worker cut off": Kind("a worker's link is cut: both ways, or one way only", 1.0, 3),
    "worker told to go": Kind("a worker's machine tells it to go", 1.0, 1),
    "server lost": Kind("a cloud loses a server", 1.0, 2),
    "server off": Kind("a server shuts down by itself", 1.0, 1),
    "cloud down": Kind("a cloud answers nothing but 503", 1.0, 1),
    "clock jumps": Kind("the time of day jumps, up to an hour back or forth", 1.0, 2),
    "restored": Kind("the database is put back as it was, and made safe (`adopt`)", 1.0, 1),
    "restored unsafely": Kind("the database is put back as it was, without a word; a person looks a while later", 1.0, 1),
}
