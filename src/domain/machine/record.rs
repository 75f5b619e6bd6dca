//! What is written down of a run: its beginning, its ends, and what it made.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{Decision, JOURNAL_VERSION, lambda, run::Scene, step::Step};
use crate::{
    api::v1alpha1::{Intent, InventoryItem, LiveRelease, RunStatus},
    domain::{
        desired::{Desired, DesiredFunction},
        outcome::shorten,
    },
};

/// What the inventory calls a function.
const FUNCTION: &str = "LambdaFunction";

impl Scene<'_> {
    pub(super) fn new_run(&self, desired: &Desired, intents: Vec<Intent>) -> RunStatus {
        let mut run = self.empty_run();
        run.intents = intents;
        run.components = desired
            .functions
            .iter()
            .map(|want| lambda::component_status(want, self.seen))
            .collect();
        run
    }

    pub(super) fn empty_run(&self) -> RunStatus {
        RunStatus {
            release: self.run.release.clone(),
            attempt: self.run.attempt,
            journal_version: JOURNAL_VERSION,
            step: Step::Failed.as_str().to_owned(),
            message: None,
            started_at: Time(self.now),
            progressed_at: Time(self.now),
            finished_at: None,
            snapshot: None,
            intents: Vec::new(),
            components: Vec::new(),
        }
    }

    pub(super) fn record_success(
        &self,
        desired: &Desired,
        run: &RunStatus,
        versions: Vec<Option<String>>,
    ) -> Decision {
        let mut status = self.status.clone();
        let mut run = run.clone();
        Step::Succeeded.as_str().clone_into(&mut run.step);
        run.message = None;
        run.progressed_at = Time(self.now);
        run.finished_at = Some(Time(self.now));
        run.intents.clear();
        for (component, version) in run.components.iter_mut().zip(versions) {
            component.version = version;
            component.alias_revision_id = None;
        }
        for want in &desired.functions {
            self.note_in_inventory(&mut status.inventory, want);
        }
        status.run = Some(run);
        status.live = Some(LiveRelease {
            release: desired.release.clone(),
            since: Time(self.now),
        });
        Decision::Record(Box::new(status))
    }

    pub(super) fn fail_untouched(&self, why: &str) -> Decision {
        let mut run = self.empty_run();
        run.message = Some(shorten(why, 4096));
        run.finished_at = Some(Time(self.now));
        let mut status = self.status.clone();
        status.run = Some(run);
        Decision::Record(Box::new(status))
    }

    pub(super) fn end(&self, journal: &RunStatus, step: Step, why: Option<&str>) -> Decision {
        let mut status = self.status.clone();
        let mut run = journal.clone();
        step.as_str().clone_into(&mut run.step);
        run.progressed_at = Time(self.now);
        run.finished_at = Some(Time(self.now));
        run.intents.clear();
        if let Some(why) = why {
            let message = match &run.message {
                Some(first) if first != why => format!("{first}; putting it back failed: {why}"),
                _ => why.to_owned(),
            };
            run.message = Some(shorten(&message, 4096));
        }
        if step == Step::RolledBack
            && let Some(snapshot) = &self.seen.known.snapshot
        {
            let gone = |item: &InventoryItem| {
                snapshot
                    .1
                    .component(&item.component)
                    .is_some_and(|then| then.function.is_none())
            };
            status.inventory.retain(|item| !gone(item));
            let before = journal
                .snapshot
                .as_ref()
                .and_then(|snapshot| snapshot.release.clone());
            let since = status
                .live
                .as_ref()
                .map_or(Time(self.now), |live| live.since.clone());
            let kept = status.live.as_ref().map(|live| &live.release) == before.as_ref();
            status.live = before.map(|release| LiveRelease {
                release,
                since: if kept { since } else { Time(self.now) },
            });
        }
        status.run = Some(run);
        Decision::Record(Box::new(status))
    }

    pub(super) fn note_in_inventory(
        &self,
        inventory: &mut Vec<InventoryItem>,
        want: &DesiredFunction,
    ) {
        let known = inventory
            .iter_mut()
            .find(|item| item.kind == FUNCTION && item.name == want.function_name);
        if let Some(item) = known {
            item.component.clone_from(&want.component);
            item.alias = Some(want.alias.clone());
            return;
        }
        let existed = self
            .seen
            .functions
            .get(&want.function_name)
            .is_some_and(Option::is_some);
        inventory.push(InventoryItem {
            component: want.component.clone(),
            kind: FUNCTION.to_owned(),
            name: want.function_name.clone(),
            alias: Some(want.alias.clone()),
            created: !existed,
        });
    }
}
