-- Health of a Sluice Account or GitLabConnection for Argo CD.
local health = { status = "Progressing", message = "Waiting for the controller" }
if obj.status == nil or obj.status.conditions == nil then
  return health
end
for _, condition in ipairs(obj.status.conditions) do
  if condition.type == "Ready" then
    if condition.observedGeneration ~= nil and obj.metadata.generation ~= nil
      and condition.observedGeneration ~= obj.metadata.generation then
      return health
    end
    health.message = condition.message
    if condition.status == "True" then
      health.status = "Healthy"
    elseif condition.status == "False" then
      health.status = "Degraded"
    end
  end
end
return health
