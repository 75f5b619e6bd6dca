//! The invariants of docs/guarantees.md, which must hold after every run.

mod stacks;

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;
use sluice::api::v1alpha1::{Approval, Deployment, Release, Target};

use crate::{
    final_state::{AwsState, Functions},
    interceptor::Call,
    stacks::Stacks,
    team::Team,
    waiting::Problem,
};

/// The prefix of a violation that docs/guarantees.md describes as a known exception.
pub const KNOWN_EXCEPTION: &str = "known exception: ";

/// The objects that a run leaves in Kubernetes and AWS.
pub struct RunObjects {
    deployments: Vec<Deployment>,
    releases: Vec<Release>,
    targets: Vec<Target>,
    approvals: Vec<Approval>,
    functions: Functions,
    stacks: Stacks,
}

impl RunObjects {
    /// Reads the Kubernetes objects. The caller has observed AWS.
    pub async fn read(team: &Team<'_>, aws: AwsState) -> Result<Self, Problem> {
        Ok(Self {
            deployments: team.list().await?,
            releases: team.list().await?,
            targets: team.list().await?,
            approvals: team.list().await?,
            functions: aws.functions,
            stacks: aws.stacks,
        })
    }

    /// The violated invariants, as text. `before` is the state before the run if the run must restore it.
    /// `is_interrupted` says whether a controller was killed or paused.
    pub fn violations(
        &self,
        team: &Team<'_>,
        calls: &[Call],
        before: Option<&AwsState>,
        (is_deletion, is_interrupted): (bool, bool),
    ) -> Vec<String> {
        let mut found = Vec::new();
        self.check_publishes(&mut found);
        if !is_deletion {
            self.check_weighted_versions(team, &mut found);
        }
        if let Some(before) = before {
            self.check_restored(&before.functions, &mut found);
            self.check_restored_stacks(&before.stacks, &mut found);
        }
        self.check_approvals(&mut found);
        let can_be_unrecorded = is_interrupted && before.is_some();
        self.check_orphans(team, can_be_unrecorded, &mut found);
        check_callers(team, calls, &mut found);
        found
    }

    /// I1: no two versions name the same Release. The settings of a version name its Release.
    fn check_publishes(&self, found: &mut Vec<String>) {
        for ((account, function), state) in &self.functions {
            let mut of_release = BTreeMap::<String, Vec<&String>>::new();
            for (number, version) in versions(state) {
                let release = version["environment"]["REVISION"].to_string();
                of_release.entry(release).or_default().push(number);
            }
            for (release, numbers) in of_release {
                if numbers.len() > 1 {
                    found.push(format!(
                        "I1: {function} in {account} has {} versions of release {release}: {numbers:?}",
                        numbers.len()
                    ));
                }
            }
        }
    }

    /// I2: each version with weight has the code that its Release pins.
    fn check_weighted_versions(&self, team: &Team<'_>, found: &mut Vec<String>) {
        for ((account, function), state) in &self.functions {
            let component = function.trim_start_matches(&format!("{}-", team.namespace));
            let all: BTreeMap<_, _> = versions(state).collect();
            for (alias, routing) in state["aliases"].as_object().into_iter().flatten() {
                let weights = routing["weights"].as_object().into_iter().flatten();
                let weighted = weights.map(|(version, _)| version.as_str());
                for number in routing["version"].as_str().into_iter().chain(weighted) {
                    let subject =
                        format!("I2: {function}:{alias} in {account} gives weight to {number}");
                    let Some(version) = all.get(&number.to_owned()) else {
                        found.push(format!("{subject}, which does not exist"));
                        continue;
                    };
                    let revision = version["environment"]["REVISION"].as_str();
                    let pin = self.pin(component, revision.unwrap_or_default());
                    if pin.as_deref() != version["codeSha256"].as_str() {
                        found.push(format!(
                            "{subject}, whose code {} is not the pin of release {revision:?}: {pin:?}",
                            version["codeSha256"]
                        ));
                    }
                }
            }
        }
    }

    /// The digest that a Release pins for a component, in Lambda's encoding.
    fn pin(&self, component: &str, revision: &str) -> Option<String> {
        let mut releases = self.releases.iter();
        let release = releases.find(|one| one.spec.revision.to_string() == revision)?;
        let mut artifacts = release.spec.artifacts.iter();
        let artifact = artifacts.find(|artifact| artifact.name == component)?;
        Some(STANDARD.encode(hex::decode(&artifact.sha256).ok()?))
    }

    /// I3: the state after a restore is the state before the run.
    fn check_restored(&self, before: &Functions, found: &mut Vec<String>) {
        for (key, expected) in before {
            let restored = self.functions.get(key).unwrap_or(&Value::Null);
            for part in ["latest", "tags", "aliases"] {
                if expected[part] != restored[part] {
                    found.push(format!(
                        "I3: {part} of {key:?} was {} before the run, and is {} after the restore",
                        expected[part], restored[part]
                    ));
                }
            }
        }
    }

    /// I4: each recorded Approval occurs once, and names that Release, stage and plan.
    fn check_approvals(&self, found: &mut Vec<String>) {
        let mut used = BTreeSet::new();
        let stages = self.deployments.iter().flat_map(|one| &one.status);
        for stage in stages.flat_map(|status| &status.stages) {
            let Some(passage) = &stage.passage else {
                continue;
            };
            for approval in &passage.by.approvals {
                let name = &approval.name;
                if !used.insert(approval.uid.clone()) {
                    found.push(format!("I4: approval {name} was used twice"));
                }
                let mut all = self.approvals.iter();
                let object = all.find(|one| one.metadata.uid.as_ref() == Some(&approval.uid));
                let is_bound = object.is_some_and(|object| {
                    object.spec.release_ref.uid == passage.release.uid
                        && object.spec.stage == stage.name
                        && object.spec.stage_digest == passage.digest
                });
                if !is_bound {
                    found.push(format!(
                        "I4: approval {name} is not for stage {} of {}",
                        stage.name, passage.release.name
                    ));
                }
            }
        }
    }

    /// I5: every function is in an inventory, and every version is on record.
    fn check_orphans(&self, team: &Team<'_>, can_be_unrecorded: bool, found: &mut Vec<String>) {
        for ((account, function), state) in &self.functions {
            let name = team.slot.account_name(account);
            let mut targets = self.targets.iter().filter(|one| one.spec.account == name);
            let Some(status) = targets.find_map(|one| one.status.as_ref()) else {
                found.push(format!("I5: {function} in {account} belongs to no Target"));
                continue;
            };
            let component = function.trim_start_matches(&format!("{}-", team.namespace));
            if !status
                .inventory
                .iter()
                .any(|item| item.component == component)
            {
                found.push(format!("I5: {function} in {account} is in no inventory"));
            }
            for (number, _) in versions(state) {
                let mut recorded = status.versions.iter();
                if !recorded.any(|one| &one.function_name == function && &one.version == number) {
                    let prefix = if can_be_unrecorded {
                        KNOWN_EXCEPTION
                    } else {
                        ""
                    };
                    found.push(format!(
                        "{prefix}I5: version {number} of {function} in {account} is not on record"
                    ));
                }
            }
        }
    }
}

/// I6: the account of the target signs each call. In the lab, the name of a bucket contains its account's ID.
fn check_callers(team: &Team<'_>, calls: &[Call], found: &mut Vec<String>) {
    let target_accounts = ["dev", "prod"].map(|account| team.fixture.account_id(account));
    for call in calls {
        let caller = call.account.as_deref();
        let is_right = match call.name.service.as_str() {
            "s3" => caller.is_some_and(|caller| call.resource.contains(&format!("-{caller}-"))),
            "lambda" | "monitoring" | "cloudformation" => caller.is_some_and(|caller| {
                let has_account = target_accounts.iter().any(|id| call.resource.contains(id));
                target_accounts.contains(&caller)
                    && (!has_account || call.resource.contains(caller))
            }),
            _ => true,
        };
        if !is_right {
            found.push(format!("I6: account {caller:?} signed {}", call.name));
        }
    }
}

fn versions(function: &Value) -> impl Iterator<Item = (&String, &Value)> {
    function["versions"].as_object().into_iter().flatten()
}
