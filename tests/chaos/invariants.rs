//! What must hold after every run, whatever went wrong in it: see docs/guarantees.md.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;
use sluice::api::v1alpha1::{Approval, Deployment, Release, Target};

use crate::{
    end::Functions,
    gate::Made,
    play::{Play, Wrong},
};

/// How a line begins that tells of what docs/guarantees.md says may happen.
pub const KNOWN: &str = "known:";

/// What a run left behind.
pub struct Left {
    deployments: Vec<Deployment>,
    releases: Vec<Release>,
    targets: Vec<Target>,
    approvals: Vec<Approval>,
    functions: Functions,
}

impl Left {
    /// Looks at what there is; the functions were looked at before.
    pub async fn of(play: &Play<'_>, functions: Functions) -> Result<Self, Wrong> {
        Ok(Self {
            deployments: play.list().await?,
            releases: play.list().await?,
            targets: play.list().await?,
            approvals: play.list().await?,
            functions,
        })
    }

    /// Every invariant that does not hold, in words. `before` is what stood when the run began, where
    /// that must stand again; `interrupted` whether a controller ended in the middle.
    pub fn violations(
        &self,
        play: &Play<'_>,
        made: &[Made],
        before: Option<&Functions>,
        (is_removal, interrupted): (bool, bool),
    ) -> Vec<String> {
        let mut found = Vec::new();
        self.published_once(&mut found);
        self.aliases_serve_what_was_pinned(play, is_removal, &mut found);
        if let Some(before) = before {
            self.stands_as_before(before, &mut found);
        }
        self.approvals_are_used_once(&mut found);
        let may_be_unrecorded = interrupted && before.is_some();
        self.nothing_is_left_over(play, may_be_unrecorded, &mut found);
        calls_are_by_the_right_account(play, made, &mut found);
        found
    }

    /// I1. A version tells by its settings which Release it was published for.
    fn published_once(&self, found: &mut Vec<String>) {
        for ((account, function), there) in &self.functions {
            let mut of_release = BTreeMap::<String, Vec<&String>>::new();
            for (number, version) in versions(there) {
                let release = version["environment"]["REVISION"].to_string();
                of_release.entry(release).or_default().push(number);
            }
            for (release, numbers) in of_release {
                if numbers.len() > 1 {
                    found.push(format!(
                        "I1: {function} in {account} was published {} times for release {release}: {numbers:?}",
                        numbers.len()
                    ));
                }
            }
        }
    }

    /// I2.
    fn aliases_serve_what_was_pinned(
        &self,
        play: &Play<'_>,
        is_removal: bool,
        found: &mut Vec<String>,
    ) {
        if is_removal {
            return;
        }
        for ((account, function), there) in &self.functions {
            let component = function.trim_start_matches(&format!("{}-", play.team));
            let all: BTreeMap<_, _> = versions(there).collect();
            for (alias, to) in there["aliases"].as_object().into_iter().flatten() {
                let weights = to["weights"].as_object().into_iter().flatten();
                let weighted = weights.map(|(version, _)| version.as_str());
                for number in to["version"].as_str().into_iter().chain(weighted) {
                    let at =
                        format!("I2: {function}:{alias} in {account} gives weight to {number}");
                    let Some(version) = all.get(&number.to_owned()) else {
                        found.push(format!("{at}, which does not exist"));
                        continue;
                    };
                    let revision = version["environment"]["REVISION"].as_str();
                    let pin = self.pin(component, revision.unwrap_or_default());
                    if pin.as_deref() != version["codeSha256"].as_str() {
                        found.push(format!(
                            "{at}, whose code {} is not what release {revision:?} pins: {pin:?}",
                            version["codeSha256"]
                        ));
                    }
                }
            }
        }
    }

    /// What a Release pins for a component, as Lambda writes it.
    fn pin(&self, component: &str, revision: &str) -> Option<String> {
        let mut releases = self.releases.iter();
        let release = releases.find(|one| one.spec.revision.to_string() == revision)?;
        let mut artifacts = release.spec.artifacts.iter();
        let artifact = artifacts.find(|artifact| artifact.name == component)?;
        Some(STANDARD.encode(hex::decode(&artifact.sha256).ok()?))
    }

    /// I3.
    fn stands_as_before(&self, before: &Functions, found: &mut Vec<String>) {
        for (key, was) in before {
            let now = self.functions.get(key).unwrap_or(&Value::Null);
            for part in ["latest", "tags", "aliases"] {
                if was[part] != now[part] {
                    found.push(format!(
                        "I3: {part} of {key:?} was {}, and is {} after going back",
                        was[part], now[part]
                    ));
                }
            }
        }
    }

    /// I4.
    fn approvals_are_used_once(&self, found: &mut Vec<String>) {
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
                let said = all.find(|one| one.metadata.uid.as_ref() == Some(&approval.uid));
                let fits = said.is_some_and(|said| {
                    said.spec.release_ref.uid == passage.release.uid
                        && said.spec.stage == stage.name
                        && said.spec.stage_digest == passage.digest
                });
                if !fits {
                    found.push(format!(
                        "I4: approval {name} speaks of something else than {} of {}",
                        stage.name, passage.release.name
                    ));
                }
            }
        }
    }

    /// I5: what stands is on record, where it is made and where it may be collected.
    fn nothing_is_left_over(
        &self,
        play: &Play<'_>,
        may_be_unrecorded: bool,
        found: &mut Vec<String>,
    ) {
        for ((account, function), there) in &self.functions {
            let name = play.slot.account_name(account);
            let mut targets = self.targets.iter().filter(|one| one.spec.account == name);
            let Some(status) = targets.find_map(|one| one.status.as_ref()) else {
                found.push(format!("I5: {function} in {account} belongs to no Target"));
                continue;
            };
            let component = function.trim_start_matches(&format!("{}-", play.team));
            if !status
                .inventory
                .iter()
                .any(|item| item.component == component)
            {
                found.push(format!("I5: {function} in {account} is in no inventory"));
            }
            for (number, _) in versions(there) {
                let mut known = status.versions.iter();
                if !known.any(|one| &one.function_name == function && &one.version == number) {
                    let known = if may_be_unrecorded { KNOWN } else { "" };
                    found.push(format!(
                        "{known}I5: version {number} of {function} in {account} is not on record"
                    ));
                }
            }
        }
    }
}

/// I6. A bucket of the lab has its account's number in its name.
fn calls_are_by_the_right_account(play: &Play<'_>, made: &[Made], found: &mut Vec<String>) {
    let delivered_to = ["dev", "prod"].map(|account| play.ground.account_id(account));
    for call in made {
        let by = call.account.as_deref();
        let right = match call.name.service.as_str() {
            "s3" => by.is_some_and(|by| call.resource.contains(&format!("-{by}-"))),
            "lambda" | "monitoring" => by.is_some_and(|by| {
                let names_one = delivered_to.iter().any(|id| call.resource.contains(id));
                delivered_to.contains(&by) && (!names_one || call.resource.contains(by))
            }),
            _ => true,
        };
        if !right {
            found.push(format!("I6: {} was called by {by:?}", call.name));
        }
    }
}

fn versions(function: &Value) -> impl Iterator<Item = (&String, &Value)> {
    function["versions"].as_object().into_iter().flatten()
}
