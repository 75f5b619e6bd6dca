"""Drift detection of stacks: the emulator's own, which ends at once, with the states in between.

On AWS a detection takes minutes, and a stack has one at a time (CloudFormation User Guide, "Detect drift on
an entire CloudFormation stack").
"""

import time

from ministack.core.responses import now_iso
from ministack.services.cloudformation.handlers import _ACTION_HANDLERS

from . import control, records, wire
from .wire import ApiError

detect = _ACTION_HANDLERS["DetectStackDrift"]
describe = _ACTION_HANDLERS["DescribeStackDriftDetectionStatus"]
# Steps of the stack's pace that a detection takes.
STEPS = 5
begun = {}
# A later hold of the stack does not hold these any more.
complete = set()


def is_in_progress(detection):
    if detection not in begun or detection in complete:
        return False
    stack_id, end = begun[detection]
    name = stack_id.split("/")[1]
    if end > time.monotonic() or control.held(name, name, "Drift"):
        return True
    complete.add(detection)
    return False


def detect_stack_drift(params):
    stack = records.live(wire.text(params, "StackName"))
    name, stack_id = stack["StackName"], stack["StackId"]
    if any(is_in_progress(one) for one, (owner, _) in begun.items() if owner == stack_id):
        raise ApiError(f"Drift detection is already in progress for stack [{stack_id}]")
    status, headers, body = detect(params)
    if status == 200:
        detection = body.decode().split("<StackDriftDetectionId>")[1].split("<")[0]
        begun[detection] = (stack_id, time.monotonic() + STEPS * control.paces.get(name, control.STEP))
    return status, headers, body


def describe_detection(params):
    detection = wire.text(params, "StackDriftDetectionId")
    if not is_in_progress(detection):
        return describe(params)
    result = {
        "StackId": begun[detection][0],
        "StackDriftDetectionId": detection,
        "DetectionStatus": "DETECTION_IN_PROGRESS",
        "Timestamp": now_iso(),
    }
    return wire.reply("DescribeStackDriftDetectionStatus", result)


ACTIONS = {
    "DescribeStackDriftDetectionStatus": describe_detection,
    "DetectStackDrift": detect_stack_drift,
}
