-- Health of a Sluice Deployment for Argo CD.
--
-- Healthy: all of it is as the spec says.   Progressing: it moves, or was not looked at yet.
-- Suspended: it waits at a gate, is suspended, or is held by spec.pin.
-- Degraded: it failed or can't go on; somebody has to do something.
local health = { status = "Progressing", message = "Waiting for the controller" }

if obj.metadata.deletionTimestamp ~= nil then
  health.message = "Being deleted"
  return health
end
if obj.status == nil or obj.status.conditions == nil then
  return health
end

local found = {}
for _, condition in ipairs(obj.status.conditions) do
  found[condition.type] = condition
end
local ready = found["Ready"]
if ready == nil then
  return health
end
local seen = ready.observedGeneration or obj.status.observedGeneration
if obj.metadata.generation ~= nil and seen ~= nil and seen ~= obj.metadata.generation then
  return health
end

health.message = obj.status.summary or ready.message
local waiting = {
  WaitingForApproval = true, OutsideWindow = true, Frozen = true, FreezePeriodsUnknown = true,
  PolicyNotInForce = true, Suspended = true, Pinned = true,
}
if ready.reason == "InvalidGate" then
  health.status = "Degraded"
elseif found["Stalled"] ~= nil and found["Stalled"].status == "True" then
  health.status = "Degraded"
  health.message = found["Stalled"].message or health.message
elseif waiting[ready.reason] or ready.reason == "Paused" then
  health.status = "Suspended"
elseif ready.status == "True" then
  health.status = "Healthy"
elseif ready.status == "False" then
  health.status = "Degraded"
end
return health
