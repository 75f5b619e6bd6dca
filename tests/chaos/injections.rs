//! The faults that the matrix injects at a call.

use sluice_lab::hook::{Fault, Point};

use crate::{
    plan::{CallName, Injection},
    scenario::Ending,
};

/// How long an outage lasts, in seconds.
const OUTAGE: u64 = 3;
/// How long the long outage of each service in each scenario lasts, in seconds: longer than any call and any
/// wait between two calls.
pub const LONG_OUTAGE: u64 = 40;

/// All injections at a call.
pub fn injections(call: &CallName, is_write: bool, ending: Ending) -> Vec<Injection> {
    let points = [Point::Before, Point::Done, Point::Answered];
    let mut injections: Vec<Injection> = points.into_iter().map(Injection::Kill).collect();
    let service = call.service.as_str();
    injections.push(Injection::Once(Fault::Throttled));
    injections.extend([Fault::Unavailable, Fault::Unsent].map(Injection::Once));
    if service != "gitlab" {
        injections.push(Injection::Once(Fault::ReplyLost));
    }
    let has_old_state = ["Get", "Describe"]
        .iter()
        .any(|read| call.operation.starts_with(read));
    if ["lambda", "cloudformation"].contains(&service) && has_old_state {
        injections.push(Injection::Once(Fault::Stale));
    }
    if is_write && !is_kept_apart_by_timeouts(call, ending) {
        injections.push(Injection::Pause);
    }
    // A function without a response in time fails its check, which correctly leads to another final state.
    if is_write && call.operation != "Invoke" {
        injections.push(Injection::Once(Fault::Silent));
    }
    if ["lambda", "s3", "cloudformation"].contains(&service) {
        injections.push(Injection::Expire);
    }
    if call.nth == 1 {
        injections.push(Injection::Outage(Fault::Unavailable, OUTAGE));
    }
    injections
}

/// Whether only timeouts keep a late call apart from those of a later leader (docs/guarantees.md): a pause
/// ignores them.
fn is_kept_apart_by_timeouts(call: &CallName, ending: Ending) -> bool {
    // A restored file has its former ETag again, so the condition of a late call holds.
    let is_for_site = call.service == "s3" && call.resource.contains("-site-");
    // Once a change set is executed or deleted, CloudFormation creates another one of the same name.
    is_for_site && ending == Ending::Restored || call.operation == "CreateChangeSet"
}
