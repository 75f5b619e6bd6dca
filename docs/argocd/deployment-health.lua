-- Health of a Sluice Deployment for Argo CD.
--
-- Healthy: the Deployment is as its spec says.
-- Progressing: a Release moves, or Sluice has not observed the Deployment yet.
-- Suspended: it waits at a gate, is paused or suspended, or spec.pin holds it.
-- Degraded: it failed or can't continue; a person has to act.
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
local observed = ready.observedGeneration or obj.status.observedGeneration
if obj.metadata.generation ~= nil and observed ~= nil and observed ~= obj.metadata.generation then
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
