//! What every test asserts: what is on record before a change, and where aliases point.

use super::{state::FakeAws, visible::run_step};
use crate::{
    api::v1alpha1::TargetStatus,
    domain::{
        engine::{Action, Step},
        workload::{cloud_formation, kinds, lambda, note, s3::site},
    },
};

impl FakeAws {
    /// Asserts that the snapshot comes before the first change.
    pub(super) fn check_snapshot(&self, next: &TargetStatus) {
        let uid = |status: &TargetStatus| status.run.as_ref().map(|run| run.release.uid.clone());
        let is_new = uid(&self.status) != uid(next);
        if is_new && run_step(next) == Some(Step::Prepare) {
            // Where only traffic or files change, nothing is prepared.
            assert!(next.run.as_ref().is_some_and(|run| run.snapshot.is_some()));
        }
    }

    /// Asserts that every version to which an alias gives weight is published and exists.
    pub(super) fn check_traffic(&self) {
        for deployed in self.functions.values() {
            let Some(alias) = &deployed.alias else {
                continue;
            };
            for version in std::iter::once(&alias.version).chain(alias.weights.keys()) {
                let number: u32 = version
                    .parse()
                    .expect("aliases point at published versions");
                assert!(
                    deployed.versions.contains_key(&number),
                    "an alias points at a missing version"
                );
            }
        }
    }

    /// Asserts that a draft is on record before it is created, and with its changes before they are made.
    pub(super) fn check_proposal(&self, action: &note::Action) {
        let on_record = |name: &String| self.status.proposals.iter().find(|it| it.name == *name);
        match action {
            note::Action::Draft(name, _) => assert!(on_record(name).is_some(), "{name}"),
            note::Action::Publish(name) => {
                let planned = on_record(name).and_then(|it| it.planned.as_ref());
                assert!(planned.is_some(), "{name}");
            }
            note::Action::Write(_) | note::Action::Erase | note::Action::Discard(_) => {}
        }
    }
}

/// Whether the action changes nothing for users, or stays in the status until it is done.
pub(super) fn needs_no_intent(action: &Action) -> bool {
    match action {
        Action::StoreSnapshot(_)
        | Action::StorePlan { .. }
        | Action::Watch { .. }
        | Action::DeleteSnapshot(_) => true,
        Action::Component(kinds::Action::Lambda(action)) => matches!(
            action,
            lambda::Action::Check { .. } | lambda::Action::DeleteVersion { .. }
        ),
        Action::Component(kinds::Action::S3(action)) => {
            matches!(action.act, site::Act::Keep(_) | site::Act::StoreSnapshot(_))
        }
        Action::Component(kinds::Action::CloudFormation(action)) => matches!(
            action,
            cloud_formation::Action::CreateChangeSet(_)
                | cloud_formation::Action::DeleteChangeSet { .. }
                | cloud_formation::Action::ContinueRollback { .. }
                | cloud_formation::Action::Delete { .. }
        ),
        Action::Component(kinds::Action::Note(action)) => {
            matches!(
                action,
                note::Action::Draft(..) | note::Action::Discard(_) | note::Action::Erase
            )
        }
    }
}
