//! How urgent the calls of a run are while they wait for the account's budgets.

use super::{Step, Task, is_same_run};
use crate::{
    api::v1alpha1::{Run, TargetStatus},
    domain::priority::Priority,
};

/// How urgent the next calls of this run are.
pub fn urgency(task: &Task, run: &Run, status: &TargetStatus) -> Priority {
    match task {
        Task::Restore(_) => Priority::Restore,
        Task::Deliver(_) if run.rollback => Priority::Restore,
        Task::Deliver(_) => {
            let journal = status.run.as_ref();
            let journal = journal.filter(|journal| is_same_run(run, journal));
            match journal.and_then(Step::of) {
                Some(Step::Restore) => Priority::Restore,
                Some(Step::Promote | Step::Held) => Priority::Traffic,
                Some(Step::Prepare) => Priority::Preparation,
                Some(Step::Succeeded | Step::Failed | Step::RolledBack | Step::RollbackFailed)
                | None => Priority::Planning,
            }
        }
        Task::Plan(_) => Priority::Planning,
        Task::Prune(_) => Priority::Preparation,
    }
}

/// How urgent the calls of a removal are: a run under way is restored first.
pub fn urgency_of_removal(status: &TargetStatus) -> Priority {
    let is_unfinished = status.run.as_ref().is_some_and(|run| !super::ended(run));
    if is_unfinished {
        Priority::Restore
    } else {
        Priority::Preparation
    }
}
