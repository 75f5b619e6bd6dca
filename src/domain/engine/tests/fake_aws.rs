//! A fake AWS that settles, refuses stale revisions and loses replies, and a controller that crashes.

mod assertions;
mod calls;
mod controller;
mod deployed;
mod desired;
mod fault;
mod functions;
mod state;
mod time;
mod visible;

pub use self::{
    calls::function_read,
    controller::holding,
    deployed::Deployed,
    desired::{code, configuration, desired, noted, owner, reference, run, site, want},
    fault::Fault,
    state::FakeAws,
    visible::{Visible, run_step, visible},
};
pub use crate::{
    api::v1alpha1::{DeletionPolicy, Goal, InventoryItem, Run, RunStatus, TargetStatus},
    domain::{
        check::Verdict,
        desired::Desired,
        outcome::Outcome,
        ownership::Owner,
        workload::{
            component::DesiredComponent,
            kinds::{self, Workload},
            lambda::{self, DesiredFunction},
        },
    },
};
