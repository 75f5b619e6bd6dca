//! The checks of a function: invocations of the new version.

use super::{
    action::Action,
    desired::DesiredFunction,
    view::{Next, View},
};
use crate::domain::check::{CheckKey, CheckPhase, Moment, Verdict};

/// The next action of the checks at this moment. While the version gets only a part of the traffic, an
/// invocation through the alias would mostly reach the old version, so the version number is invoked.
pub fn checks(want: &DesiredFunction, version: &str, moment: Moment, view: View<'_>) -> Next {
    let qualifier = match moment.phase {
        CheckPhase::BeforeTraffic | CheckPhase::DuringTraffic => version,
        CheckPhase::AfterTraffic => &want.alias,
    };
    for check in &want.checks {
        let key = CheckKey {
            component: want.component.clone(),
            check: check.name.clone(),
            moment,
        };
        match view.checks.verdicts.get(&key) {
            Some(Verdict::Passed) => {}
            Some(Verdict::Failed(why)) => return Next::Fail(why.clone()),
            Some(Verdict::Inconclusive(why)) => return Next::Inconclusive(why.clone()),
            None if view.checks.running.contains(&key) => {
                let what = format!("check {} of {}:{qualifier}", check.name, want.function_name);
                return Next::Running(what);
            }
            None => {
                return Next::Act(Action::Check {
                    check: Box::new(check.clone()),
                    key,
                    qualifier: qualifier.to_owned(),
                    version: version.to_owned(),
                });
            }
        }
    }
    Next::Ready
}
