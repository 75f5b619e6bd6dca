"""How tests slow, hold and repair stacks.

The proxy calls these actions as an account's root user; to every other caller they do not exist:

- `LabPace`: `StackName`, `Millis`, `Minute`, `PageSize`: the time of each step of a stack, the length of a
  minute of its monitoring time in milliseconds, and how many changes, events and resources a page has.
- `LabHold`: `StackName`, `Resource`, `During`: operations of the stack stop at the resource until released.
  Names may contain `*`. `During` is one of the phases below. `Resource` may be the stack's own name: then the
  operation stops where that phase begins.
- `LabRelease`: `Id`; `LabHolds`: whether an operation waits at the hold `Id`.
- `LabRepair`: `StackName`, `Resource`: a Custom::LabFailure resource no longer fails.
"""

import asyncio
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import count

from . import wire

PHASES = ("Create", "Update", "Monitor", "Delete", "Rollback", "Cleanup", "ChangeSet", "Drift")
# Long enough that a client can see a state in progress, short enough for tests.
STEP = 0.03
MINUTE = 60

holds = {}
paces = {}
minutes = {}
page_sizes = {}
repaired = set()
numbers = count(1)


class Cancelled(Exception):
    """The operation was cancelled while it waited."""


@dataclass
class Hold:
    stack: str
    resource: str
    during: str
    reached: bool = False
    released: asyncio.Event = field(default_factory=asyncio.Event)

    def matches(self, stack, resource, during):
        return (
            self.during == during and fnmatchcase(stack, self.stack) and fnmatchcase(resource, self.resource)
        )


def held(stack_name, resource, during):
    """The hold that stops operations here, if there is one. It is now reached."""
    for hold in holds.values():
        if hold.matches(stack_name, resource, during):
            hold.reached = True
            return hold
    return None


async def gate(stack_name, resource, during, cancel=None):
    """One step of an operation: waits for the stack's pace, then as long as a hold stops it here."""
    await asyncio.sleep(paces.get(stack_name, STEP))
    while hold := held(stack_name, resource, during):
        waits = [asyncio.ensure_future(hold.released.wait())]
        if cancel is not None:
            waits.append(asyncio.ensure_future(cancel.wait()))
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        if cancel is not None and cancel.is_set():
            break
    if cancel is not None and cancel.is_set():
        raise Cancelled


def page_size(stack_name):
    return page_sizes.get(stack_name, wire.PAGE)


def lab_pace(params):
    name = wire.text(params, "StackName")
    if millis := wire.text(params, "Millis"):
        paces[name] = int(millis) / 1000
    if minute := wire.text(params, "Minute"):
        minutes[name] = int(minute) / 1000
    if size := wire.text(params, "PageSize"):
        page_sizes[name] = int(size)
    return wire.reply("LabPace")


def lab_hold(params):
    during = wire.text(params, "During")
    if during not in PHASES:
        raise wire.ApiError(f"During must be one of {', '.join(PHASES)}")
    number = str(next(numbers))
    holds[number] = Hold(wire.text(params, "StackName"), wire.text(params, "Resource") or "*", during)
    return wire.reply("LabHold", {"Id": number})


def lab_release(params):
    hold = holds.pop(wire.text(params, "Id"), None)
    if hold:
        hold.released.set()
    return wire.reply("LabRelease", {"Released": hold is not None})


def lab_holds(params):
    hold = holds.get(wire.text(params, "Id"))
    return wire.reply("LabHolds", {"Reached": hold is not None and hold.reached})


def lab_repair(params):
    repaired.add((wire.text(params, "StackName"), wire.text(params, "Resource")))
    return wire.reply("LabRepair")


ACTIONS = {
    "LabPace": lab_pace,
    "LabHold": lab_hold,
    "LabRelease": lab_release,
    "LabHolds": lab_holds,
    "LabRepair": lab_repair,
}
