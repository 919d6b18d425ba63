"""Lines to vendor entries, as one process knows them: is it called at all, and how much at once."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from quarterdeck.domain.circuits import (
    Blocked,
    Circuit,
    Closed,
    LineState,
    Passage,
    Report,
    enter,
    state_of,
    told,
)
from quarterdeck.domain.fleets import Vendor
from quarterdeck.domain.limits import VENDOR_LINES_MAX
from quarterdeck.upstream.models.places import Places

_Key: TypeAlias = tuple[str, str]


@dataclass(slots=True)
class Line:
    """One vendor entry: its circuit and its places."""

    monotonic: Callable[[], float]
    circuit: Circuit
    places: Places = field(default_factory=Places)

    def enter(self) -> Passage | Blocked:
        """Whether a call may be made now."""
        if isinstance(self.circuit, Closed):  # nearly always, and then the time does not matter
            return enter(self.circuit, 0.0)[1]
        self.circuit, answer = enter(self.circuit, self.monotonic())
        return answer

    def told(self, report: Report, *, probe: bool) -> None:
        """How a call went."""
        self.circuit = told(self.circuit, report, self.monotonic(), probe=probe)


@dataclass(slots=True)
class Lines:
    """All lines of a process, by vendor entry. An entry that moved is another line."""

    monotonic: Callable[[], float]
    _lines: dict[_Key, Line] = field(default_factory=dict)

    def of(self, vendor: Vendor) -> Line:
        """The line to a vendor entry."""
        return self.at(vendor.name, vendor.base_url)

    def at(self, name: str, address: str) -> Line:
        """The line to what has this name at this address."""
        key = (name, address)
        line = self._lines.get(key)
        if line is None:
            self._make_room()
            line = self._lines[key] = Line(self.monotonic, Closed(self.monotonic()))
        return line

    def _make_room(self) -> None:
        """Forget lines nobody uses, once there are too many of them."""
        if len(self._lines) >= VENDOR_LINES_MAX:
            idle = [key for key, line in self._lines.items() if not line.places.taken]
            for key in idle:
                del self._lines[key]

    def states(self) -> tuple[LineState, ...]:
        """Every line that was used, as people are shown it."""
        return tuple(
            LineState(
                vendor=name,
                base_url=base_url,
                circuit=state_of(line.circuit),
                calls=line.places.taken,
                waiting=line.places.waiting,
            )
            for (name, base_url), line in sorted(self._lines.items())
        )
