//! Whether the admission policies that vouch for Approvals are in force as this version ships them, and
//! since when.
//!
//! An Approval names who approves; what it approves is in records that only the controller writes. Only the
//! admission policies enforce both. So an Approval counts only if both policies and their bindings exist
//! exactly as shipped, and if it was created after the last change of any of them: while one was off, anyone
//! could have written anything.
//!
//! Guarantees: a policy that can't be read or parsed is not in force.
//!
//! Relies on the API server's managedFields for the time of a change, and on the chart to ship the
//! same files.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    api::admissionregistration::v1::{
        ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
        ValidatingAdmissionPolicyBindingSpec, ValidatingAdmissionPolicySpec,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{Api, Client};
use tokio::time::Instant;

use crate::{controllers::api_failure::refusal, domain::gates::PolicyForce};

/// The specs of the policies as the chart installs them.
const APPROVALS: &str = include_str!("../../../charts/sluice/files/policies/approvals.yaml");
const RECORDS: &str = include_str!("../../../charts/sluice/files/policies/records.yaml");
/// The placeholder for the controller's user name in these files.
const CONTROLLER: &str = "$(controller)";
/// How long API servers may take to enforce a change.
const SETTLE: SignedDuration = SignedDuration::from_secs(10);

/// A policy as this version ships it; its binding has the same name.
#[derive(Clone, Debug)]
pub struct Shipped {
    name: String,
    spec: String,
}

impl Shipped {
    /// The policy that makes an Approval name its creator.
    pub fn approvals(name: impl Into<String>) -> Self {
        let (name, spec) = (name.into(), APPROVALS.to_owned());
        Self { name, spec }
    }

    /// The policy that reserves Releases, Targets and statuses for the controller with this user name.
    pub fn records(name: impl Into<String>, controller: &str) -> Self {
        Self {
            name: name.into(),
            spec: RECORDS.replace(CONTROLLER, controller),
        }
    }
}

/// The policies in the cluster.
pub struct ApprovalPolicy {
    policies: Api<ValidatingAdmissionPolicy>,
    bindings: Api<ValidatingAdmissionPolicyBinding>,
    shipped: [Shipped; 2],
    last: Mutex<Option<(Instant, PolicyForce)>>,
}

impl fmt::Debug for ApprovalPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.shipped.each_ref().map(|shipped| &shipped.name);
        f.debug_struct("ApprovalPolicy")
            .field("names", &names)
            .finish_non_exhaustive()
    }
}

impl ApprovalPolicy {
    /// Both policies with their bindings.
    pub fn new(client: Client, shipped: [Shipped; 2]) -> Self {
        Self {
            policies: Api::all(client.clone()),
            bindings: Api::all(client),
            shipped,
            last: Mutex::default(),
        }
    }

    /// Whether both are in force, as read at most `age` ago. Takes four reads if the last answer is older.
    /// Use an age of zero before a stage starts.
    pub async fn force(&self, age: Duration) -> PolicyForce {
        let last = self
            .last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some((at, force)) = last
            && at.elapsed() < age
        {
            return force;
        }
        let [one, other] = &self.shipped;
        let (one, other) = match tokio::join!(self.read(one), self.read(other)) {
            (Ok(one), Ok(other)) => (one, other),
            // Not remembered: the next call reads again.
            (Err(problem), _) | (_, Err(problem)) => return PolicyForce::NotInForce(problem),
        };
        let force = one.and(other);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some((Instant::now(), force.clone()));
        force
    }

    async fn read(&self, shipped: &Shipped) -> Result<PolicyForce, String> {
        let name = &shipped.name;
        let (policy, binding) =
            tokio::try_join!(self.policies.get_opt(name), self.bindings.get_opt(name)).map_err(
                |error| {
                    let why = refusal(&error);
                    format!("ValidatingAdmissionPolicy {name} and its binding can't be read: {why}")
                },
            )?;
        Ok(judge(shipped, policy.as_ref(), binding.as_ref()))
    }
}

/// Whether a policy and a binding, as they are in the cluster, are those that this version ships.
pub fn judge(
    shipped: &Shipped,
    policy: Option<&ValidatingAdmissionPolicy>,
    binding: Option<&ValidatingAdmissionPolicyBinding>,
) -> PolicyForce {
    match since(shipped, policy, binding) {
        Ok(since) => PolicyForce::Since(since),
        Err(problem) => PolicyForce::NotInForce(format!(
            "{problem}. Install or upgrade the chart with admissionPolicy.enabled"
        )),
    }
}

fn since(
    Shipped { name, spec }: &Shipped,
    policy: Option<&ValidatingAdmissionPolicy>,
    binding: Option<&ValidatingAdmissionPolicyBinding>,
) -> Result<Timestamp, String> {
    let policy = policy.ok_or_else(|| format!("there is no ValidatingAdmissionPolicy {name}"))?;
    let binding =
        binding.ok_or_else(|| format!("there is no ValidatingAdmissionPolicyBinding {name}"))?;
    let shipped: ValidatingAdmissionPolicySpec = serde_saphyr::from_str(spec)
        .map_err(|error| format!("the policy that this version ships can't be parsed: {error}"))?;
    if policy.spec.as_ref() != Some(&shipped) {
        return Err(format!(
            "the spec of ValidatingAdmissionPolicy {name} is not what this version ships"
        ));
    }
    let bound = ValidatingAdmissionPolicyBindingSpec {
        policy_name: Some(name.to_owned()),
        validation_actions: Some(vec!["Deny".to_owned()]),
        ..ValidatingAdmissionPolicyBindingSpec::default()
    };
    if binding.spec.as_ref() != Some(&bound) {
        return Err(format!(
            "the spec of ValidatingAdmissionPolicyBinding {name} is not what this version ships"
        ));
    }
    let changed = changed(&policy.metadata)
        .zip(changed(&binding.metadata))
        .map(|(policy, binding)| policy.max(binding))
        .ok_or_else(|| {
            format!("the time of the last change of {name} is unknown: its managedFields are gone")
        })?;
    changed
        .checked_add(SETTLE)
        .map_err(|_| format!("the time of the last change of {name} is out of range"))
}

/// When an object was last changed, its status aside. `None` if that is unknown or the object is being
/// deleted.
fn changed(metadata: &ObjectMeta) -> Option<Timestamp> {
    if metadata.deletion_timestamp.is_some() {
        return None;
    }
    let created = metadata.creation_timestamp.as_ref()?.0;
    let managers = metadata.managed_fields.as_ref()?;
    let mut changes = managers
        .iter()
        .filter(|manager| manager.subresource.as_deref().unwrap_or_default() != "status")
        .map(|manager| manager.time.as_ref().map(|time| time.0))
        .peekable();
    changes.peek()?;
    changes.try_fold(created, |latest, change| Some(latest.max(change?)))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NAME: &str = "sluice-approvals";

    fn approvals() -> Shipped {
        Shipped::approvals(NAME)
    }

    fn metadata() -> Value {
        json!({
            "name": NAME,
            "creationTimestamp": "2026-11-01T00:00:00Z",
            "managedFields": [
                {"manager": "helm", "operation": "Apply", "time": "2026-11-01T00:00:00Z"},
                {"manager": "kube-controller-manager", "operation": "Update",
                 "subresource": "status", "time": "2026-11-20T00:00:00Z"},
            ],
        })
    }

    fn policy() -> Value {
        let spec: Value = serde_saphyr::from_str(APPROVALS).unwrap();
        json!({"metadata": metadata(), "spec": spec})
    }

    fn binding() -> Value {
        json!({
            "metadata": metadata(),
            "spec": {"policyName": NAME, "validationActions": ["Deny"]},
        })
    }

    fn judged(policy: Value, binding: Value) -> PolicyForce {
        let policy = serde_json::from_value(policy).unwrap();
        let binding = serde_json::from_value(binding).unwrap();
        judge(&approvals(), Some(&policy), Some(&binding))
    }

    fn at(text: &str) -> PolicyForce {
        PolicyForce::Since(text.parse().unwrap())
    }

    #[track_caller]
    fn not_in_force(force: &PolicyForce, why: &str) {
        match force {
            PolicyForce::NotInForce(problem) => assert!(problem.contains(why), "{problem}"),
            PolicyForce::Since(since) => panic!("in force since {since}, expected: {why}"),
        }
    }

    #[test]
    fn shipped_policy_is_in_force_since_its_last_change() {
        assert_eq!(judged(policy(), binding()), at("2026-11-01T00:00:10Z"));
        let mut changed = binding();
        changed["metadata"]["managedFields"][0]["time"] = json!("2026-11-05T00:00:00Z");
        assert_eq!(judged(policy(), changed), at("2026-11-05T00:00:10Z"));
    }

    #[test]
    fn policy_and_binding_are_both_required() {
        let policy: ValidatingAdmissionPolicy = serde_json::from_value(policy()).unwrap();
        let binding: ValidatingAdmissionPolicyBinding = serde_json::from_value(binding()).unwrap();
        not_in_force(
            &judge(&approvals(), None, Some(&binding)),
            "no ValidatingAdmissionPolicy ",
        );
        not_in_force(
            &judge(&approvals(), Some(&policy), None),
            "no ValidatingAdmissionPolicyBinding ",
        );
    }

    #[test]
    fn any_change_of_the_policy_is_noticed() {
        let cases: [(&str, Value); 9] = [
            ("/spec/failurePolicy", json!("Ignore")),
            ("/spec/validations", json!([{"expression": "true"}])),
            ("/spec/validations/0/expression", json!("true")),
            (
                "/spec/matchConstraints/resourceRules/0/operations",
                json!(["UPDATE"]),
            ),
            (
                "/spec/matchConstraints/resourceRules/0/resources",
                json!(["releases"]),
            ),
            (
                "/spec/matchConstraints/resourceRules/0/apiVersions",
                json!(["v1beta1"]),
            ),
            (
                "/spec/matchConstraints/namespaceSelector",
                json!({"matchLabels": {"a": "b"}}),
            ),
            (
                "/spec/matchConstraints/objectSelector",
                json!({"matchLabels": {"a": "b"}}),
            ),
            ("/spec/matchConstraints/matchPolicy", json!("Exact")),
        ];
        for (pointer, value) in cases {
            let mut changed = policy();
            *changed.pointer_mut(pointer).unwrap() = value;
            println!("{pointer}");
            not_in_force(
                &judged(changed, binding()),
                "ValidatingAdmissionPolicy sluice-approvals is not",
            );
        }
        for (name, value) in [
            (
                "matchConditions",
                json!([{"name": "never", "expression": "false"}]),
            ),
            ("variables", json!([{"name": "a", "expression": "true"}])),
            (
                "paramKind",
                json!({"apiVersion": "v1", "kind": "ConfigMap"}),
            ),
            (
                "auditAnnotations",
                json!([{"key": "a", "valueExpression": "'b'"}]),
            ),
        ] {
            let mut changed = policy();
            changed["spec"][name] = value;
            println!("{name}");
            not_in_force(
                &judged(changed, binding()),
                "ValidatingAdmissionPolicy sluice-approvals is not",
            );
        }
    }

    #[test]
    fn any_change_of_the_binding_is_noticed() {
        for (name, value) in [
            ("policyName", json!("another")),
            ("validationActions", json!(["Warn"])),
            ("validationActions", json!(["Audit", "Deny"])),
            (
                "matchResources",
                json!({"namespaceSelector": {"matchLabels": {"a": "b"}}}),
            ),
            (
                "paramRef",
                json!({"name": "a", "parameterNotFoundAction": "Allow"}),
            ),
        ] {
            let mut changed = binding();
            changed["spec"][name] = value;
            println!("{name}");
            not_in_force(
                &judged(policy(), changed),
                "ValidatingAdmissionPolicyBinding sluice-approvals is not",
            );
        }
    }

    #[test]
    fn records_policy_exempts_only_this_controller() {
        let own = "system:serviceaccount:sluice-system:sluice";
        let shipped = Shipped::records(NAME, own);
        let judged = |user: &str| {
            let spec: Value = serde_saphyr::from_str(&Shipped::records(NAME, user).spec).unwrap();
            let policy = json!({"metadata": metadata(), "spec": spec});
            let policy = serde_json::from_value(policy).unwrap();
            let binding = serde_json::from_value(binding()).unwrap();
            judge(&shipped, Some(&policy), Some(&binding))
        };
        assert_eq!(judged(own), at("2026-11-01T00:00:10Z"));
        not_in_force(
            &judged("system:serviceaccount:shop:sluice"),
            "ValidatingAdmissionPolicy sluice-approvals is not",
        );
    }

    #[test]
    fn policy_with_unknown_change_time_is_not_in_force() {
        let mut forgotten = policy();
        forgotten["metadata"]["managedFields"] = json!([]);
        not_in_force(&judged(forgotten, binding()), "managedFields");
        let mut timeless = policy();
        timeless["metadata"]["managedFields"][0]
            .as_object_mut()
            .unwrap()
            .remove("time");
        not_in_force(&judged(timeless, binding()), "managedFields");
        let mut going = binding();
        going["metadata"]["deletionTimestamp"] = json!("2026-11-26T00:00:00Z");
        not_in_force(&judged(policy(), going), "the time of the last change");
    }
}
