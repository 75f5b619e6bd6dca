"""CloudWatch as on AWS, where MiniStack differs in a way that affects a stage's checks.

- IAM checks calls in the SDKs' own protocol (CBOR), which has the operation in the path and the alarm's
  name in the body.
- Metric alarms have the time of their last change of state (StateTransitionedTimestamp).
- Times of alarms and of their histories have milliseconds.
- GetMetricData aligns periods with the request's start, matches a metric without dimensions exactly, and
  computes expressions with + - * /.
"""

import ast
import operator
import time

import cbor2
from ministack.core import iam_actions
from ministack.services import cloudwatch

OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}

json_field_of = iam_actions._safe_json_field
rest_action_of = iam_actions._match_rest_action
record_of = cloudwatch._record_history
alarm_of = cloudwatch._cbor_alarm
metric_data_of = cloudwatch._get_metric_data


def json_field(body, field):
    try:
        return json_field_of(body, field)
    except UnicodeDecodeError:
        asked = cbor2.loads(body)
    found = asked.get(field) if isinstance(asked, dict) else None
    return found if isinstance(found, str) else ""


def rest_action(service, method, path, query_params=None):
    if service == "monitoring" and "/operation/" in path:
        return path.rsplit("/", 1)[-1]
    return rest_action_of(service, method, path, query_params)


def record_history(name, *details, **more):
    """Called after every change of state."""
    record_of(name, *details, **more)
    now = time.time()
    alarm = cloudwatch._alarms.get(name) or cloudwatch._composite_alarms.get(name)
    if alarm:
        alarm["StateUpdatedTimestamp"] = alarm["StateTransitionedTimestamp"] = now
    date = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
    cloudwatch._history_entries()[-1]["Timestamp"] = f"{date}.{int(now % 1 * 1000):03d}Z"


def described(alarm):
    """An alarm that is put again keeps its state and the time of its last change."""
    out = alarm_of(alarm)
    out.setdefault("StateTransitionedTimestamp", out["StateUpdatedTimestamp"])
    return out


def stored(stat, start, end):
    """The statistic of each period, by the period's start."""
    metric, period = stat["Metric"], int(stat["Period"])
    dimensions = cloudwatch._dims_key(cloudwatch._dims_from_list(metric.get("Dimensions") or []))
    periods = {}
    for point in cloudwatch._metrics.get((metric["Namespace"], metric["MetricName"], dimensions)) or []:
        if start <= point["Timestamp"] < end:
            at = start + (point["Timestamp"] - start) // period * period
            periods.setdefault(at, []).append(point)
    values = {
        at: cloudwatch._stat_value(cloudwatch._calc_stats(points), stat["Stat"], points)
        for at, points in sorted(periods.items())
    }
    return {at: value for at, value in values.items() if value is not None}


def value(node, found, at):
    if isinstance(node, ast.BinOp):
        return OPERATORS[type(node.op)](value(node.left, found, at), value(node.right, found, at))
    if isinstance(node, ast.Constant):
        return float(node.value)
    return found[node.id][at]


def computed(expression, found):
    """The expression at every time that all of its metrics have, except where it divides by 0."""
    tree = ast.parse(expression, mode="eval").body
    names = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name)]
    values = {}
    for at in sorted(set.intersection(*(set(found[name]) for name in names))):
        try:
            values[at] = value(tree, found, at)
        except ZeroDivisionError:
            pass
    return values


def get_metric_data(params, asked, is_cbor, is_json=False):
    if not is_cbor:
        return metric_data_of(params, asked, is_cbor, is_json)
    start, end = (cloudwatch._parse_ts(asked[name]) for name in ("StartTime", "EndTime"))
    start -= start % 60
    found, results = {}, []
    for query in asked["MetricDataQueries"]:
        name = query["Id"]
        try:
            found[name] = (
                computed(query["Expression"], found)
                if query.get("Expression")
                else stored(query["MetricStat"], start, end)
            )
        except (KeyError, SyntaxError, TypeError) as problem:
            message = f"Error in expression '{name}': {problem}"
            return cloudwatch._error("ValidationError", message, 400, use_cbor=True)
        if query.get("ReturnData", True):
            result = {"Id": name, "Label": query.get("Label", name), "StatusCode": "Complete"}
            result["Timestamps"] = [cloudwatch._cbor_timestamp(at) for at in found[name]]
            result["Values"] = list(found[name].values())
            results.append(result)
    return cloudwatch._cbor_ok({"MetricDataResults": results})


iam_actions._safe_json_field = json_field
iam_actions._match_rest_action = rest_action
cloudwatch._record_history = record_history
cloudwatch._cbor_alarm = described
cloudwatch._get_metric_data = get_metric_data

