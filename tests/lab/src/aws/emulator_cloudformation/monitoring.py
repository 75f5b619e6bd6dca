"""Rollback triggers: alarms that CloudFormation watches during an operation and for a time after it.

While it monitors, the stack stays in progress, and CancelUpdateStack still works. An alarm that goes to ALARM
rolls the operation back; an alarm that does not exist does so as well. (API reference, RollbackConfiguration;
CloudFormation User Guide, "Roll back your stack on alarm breach". The wording of the reasons is not
recorded.)
"""

import asyncio

from ministack.services import cloudwatch

from . import control
from .resources import Failure


def state_of(arn):
    name = arn.rpartition(":alarm:")[2]
    alarm = cloudwatch._alarms.get(name) or cloudwatch._composite_alarms.get(name)
    return alarm["StateValue"] if alarm else None


def check(triggers):
    for trigger in triggers:
        state = state_of(trigger["Arn"])
        if state is None:
            raise Failure(f"Rollback trigger {trigger['Arn']} does not exist. ")
        if state == "ALARM":
            raise Failure(f"Rollback trigger {trigger['Arn']} is in ALARM state. ")


async def watch(op):
    """Waits for the monitoring time, which begins when all resources are done."""
    wanted = op.stack.get("RollbackConfiguration") or {}
    triggers = wanted.get("RollbackTriggers") or []
    minutes = int(wanted.get("MonitoringTimeInMinutes") or 0)
    if not triggers and not minutes or op.is_rollback:
        return
    check(triggers)
    await control.gate(op.name, op.name, "Monitor", op.cancel)
    end = asyncio.get_running_loop().time() + minutes * control.minutes.get(op.name, control.MINUTE)
    while asyncio.get_running_loop().time() < end:
        await asyncio.sleep(control.STEP)
        if op.cancel.is_set():
            raise control.Cancelled
        check(triggers)
    check(triggers)
