//! The interceptor that every call of a controller passes, through the lab's endpoints for AWS and GitLab and
//! through its Kubernetes client.
//!
//! It records each call and applies one injection at one of them. From the moment of a kill, it holds all
//! further calls of the controller, however long the kill takes. Calls sent before the kill continue.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use sluice_lab::hook::{Fault, Point, RequestHook, RequestInfo};
use tokio::sync::{mpsc::UnboundedSender, watch};

use crate::{
    names::Names,
    plan::{CallName, Injection},
    witness::Witness,
};

/// How many reads with the same name are repeatable: their number depends on how long the controller waits.
const MAX_READS: u32 = 2;
/// How many writes with the same name are repeatable.
const MAX_WRITES: u32 = 12;

/// A recorded call.
#[derive(Clone, Debug)]
pub struct Call {
    /// Its name in plans.
    pub name: CallName,
    /// The resource as the controller sent it.
    pub resource: String,
    /// The account whose credentials signed it.
    pub account: Option<String>,
    /// Whether the call is a write.
    pub is_write: bool,
}

/// What the supervisor has to do for an injection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Kill the controller.
    Kill,
    /// Pause the controller.
    Pause,
}

#[derive(Default)]
struct State {
    names: Names,
    armed: bool,
    counts: HashMap<(String, String, String), u32>,
    calls: Vec<Call>,
    injection: Option<(CallName, Injection)>,
    /// The planned call while it is in flight, and the later point at which the kill follows.
    pending_kill: Option<(RequestInfo, Point)>,
    outage: Option<(String, Fault, Instant)>,
    /// The access key of the expired session.
    expired_key: Option<String>,
    was_injected: bool,
    killed: bool,
    denials: Vec<Denial>,
    signals: Option<UnboundedSender<Signal>>,
    witness: Option<Arc<Witness>>,
}

/// An operation that AWS denies until it is [allowed](Interceptor::allow) again.
struct Denial {
    operation: &'static str,
    resource: Option<String>,
    account: Option<String>,
}

/// Records the calls of one slot, and holds or fails them.
#[derive(Default)]
pub struct Interceptor {
    state: Mutex<State>,
    /// Whether the held call of a paused controller may continue.
    released: watch::Sender<bool>,
}

/// How the interceptor handles a call.
enum Disposition {
    /// It passes, with this fault if any.
    Pass(Option<Fault>),
    /// It is held until the caller drops it.
    Hold,
    /// It is held until the harness [releases](Interceptor::release) it.
    HoldUntilReleased,
}

impl Interceptor {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins another run. Nothing is injected until [`arm`](Self::arm).
    pub fn begin(&self, names: Names, signals: UnboundedSender<Signal>) {
        self.released.send_replace(false);
        *self.state() = State {
            names,
            signals: Some(signals),
            ..State::default()
        };
    }

    /// Has calls that change stacks observed before they pass.
    pub fn show_to(&self, witness: Arc<Witness>) {
        self.state().witness = Some(witness);
    }

    /// Adds a placeholder for a name of the run.
    pub fn replace(&self, name: impl Into<String>, placeholder: impl Into<String>) {
        self.state().names.replace(name, placeholder);
    }

    /// The names of the run and their placeholders.
    pub fn names(&self) -> Names {
        self.state().names.clone()
    }

    /// Records and counts calls from now on, and injects the fault at the planned one.
    pub fn arm(&self, injection: Option<(CallName, Injection)>) {
        let mut state = self.state();
        state.armed = true;
        state.injection = injection;
        state.counts.clear();
        state.calls.clear();
    }

    /// Stops the injection and its effects.
    pub fn disarm(&self) {
        let mut state = self.state();
        state.injection = None;
        state.outage = None;
        state.expired_key = None;
    }

    /// Has AWS deny this operation on resources whose name ends with `resource`.
    pub fn deny(&self, operation: &'static str, resource: impl Into<String>) {
        self.state().denials.push(Denial {
            operation,
            resource: Some(resource.into()),
            account: None,
        });
    }

    /// Has AWS deny this operation in an account.
    pub fn deny_in(&self, operation: &'static str, account: impl Into<String>) {
        self.state().denials.push(Denial {
            operation,
            resource: None,
            account: Some(account.into()),
        });
    }

    /// Has AWS allow this operation again.
    pub fn allow(&self, operation: &str) {
        self.state().denials.retain(|it| it.operation != operation);
    }

    /// Lets the held call of a paused controller continue.
    pub fn release(&self) {
        self.released.send_replace(true);
    }

    /// Lets calls pass again: another controller starts.
    pub fn revive(&self) {
        self.state().killed = false;
    }

    /// Whether the injection took place.
    pub fn was_injected(&self) -> bool {
        self.state().was_injected
    }

    /// The calls since the interceptor was armed.
    pub fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    /// The number of calls since the interceptor was armed.
    pub fn call_count(&self) -> usize {
        self.state().calls.len()
    }
}

impl State {
    fn before(&mut self, request_info: &RequestInfo) -> Disposition {
        if self.killed {
            return Disposition::Hold;
        }
        let is_denied = self.denials.iter().any(|denial| {
            let resource = denial.resource.as_ref();
            denial.operation == request_info.operation
                && resource
                    .is_none_or(|resource| request_info.resource.ends_with(resource.as_str()))
                && (denial.account.is_none() || denial.account == request_info.account)
        });
        if !self.armed {
            return Disposition::Pass(is_denied.then_some(Fault::Refused));
        }
        let name = self.name_call(request_info);
        self.calls.push(Call {
            name: name.clone(),
            resource: request_info.resource.clone(),
            account: request_info.account.clone(),
            is_write: request_info.is_write,
        });
        if let Some((_, injection)) = self.injection.take_if(|(call, _)| *call == name) {
            self.was_injected = true;
            match injection {
                Injection::Kill(Point::Before) => return self.kill_controller(),
                Injection::Kill(point) => self.pending_kill = Some((request_info.clone(), point)),
                // A denied call has no effect whose reply could be lost.
                Injection::Once(Fault::ReplyLost) if is_denied => {
                    return Disposition::Pass(Some(Fault::Refused));
                }
                Injection::Once(fault) => return Disposition::Pass(Some(fault)),
                // Only the key of a session expires.
                Injection::Expire => {
                    self.was_injected = request_info.session.is_some();
                    self.expired_key.clone_from(&request_info.session);
                }
                Injection::Outage(fault, seconds) => {
                    let end = Instant::now() + Duration::from_secs(seconds);
                    self.outage = Some((name.service, fault, end));
                }
                Injection::Pause => {
                    self.signal(Signal::Pause);
                    return Disposition::HoldUntilReleased;
                }
            }
        }
        if request_info.session.is_some() && request_info.session == self.expired_key {
            return Disposition::Pass(Some(Fault::Expired));
        }
        let outage = self.outage.as_ref().filter(|(service, _, until)| {
            *service == request_info.service && Instant::now() < *until
        });
        let fault = outage.map(|(_, fault, _)| *fault);
        Disposition::Pass(fault.or(is_denied.then_some(Fault::Refused)))
    }

    fn after(&mut self, request_info: &RequestInfo, point: Point) -> Disposition {
        let kill = self
            .pending_kill
            .take_if(|(planned, at)| planned == request_info && *at == point);
        match kill {
            Some((_, Point::Answered)) => {
                self.kill_controller();
                Disposition::Pass(None)
            }
            Some(_) => self.kill_controller(),
            None => Disposition::Pass(None),
        }
    }

    fn kill_controller(&mut self) -> Disposition {
        self.killed = true;
        self.signal(Signal::Kill);
        Disposition::Hold
    }

    fn signal(&self, signal: Signal) {
        if let Some(signals) = &self.signals {
            // The receiver is gone once the run is over.
            let _ = signals.send(signal);
        }
    }

    fn name_call(&mut self, request_info: &RequestInfo) -> CallName {
        let resource = self.names.normalise(&request_info.resource);
        let key = (
            request_info.service.clone(),
            request_info.operation.clone(),
            resource.clone(),
        );
        let nth = self.counts.entry(key).or_default();
        *nth += 1;
        CallName {
            service: request_info.service.clone(),
            operation: request_info.operation.clone(),
            resource,
            nth: *nth,
        }
    }
}

impl Call {
    /// Whether the call went to AWS.
    pub fn is_to_aws(&self) -> bool {
        !["kubernetes", "gitlab"].contains(&self.name.service.as_str())
    }

    /// Whether every run of the scenario makes this call.
    pub fn is_repeatable(&self) -> bool {
        let max = if self.is_write { MAX_WRITES } else { MAX_READS };
        // The controller batches Events in the background, and observes Accounts from time to time.
        let is_background = self.name.resource.starts_with("events")
            || self.name.service == "sts"
            || self.name.operation.starts_with("GetBucket")
            || self.name.operation == "ListMultipartUploads";
        self.name.nth <= max && !is_background
    }
}

#[async_trait]
impl RequestHook for Interceptor {
    async fn at(&self, request_info: &RequestInfo, point: Point) -> Option<Fault> {
        let witness = self.state().witness.clone();
        if let Some(witness) = witness.filter(|_| point == Point::Before) {
            witness.observe(request_info).await;
        }
        let disposition = match point {
            Point::Before => self.state().before(request_info),
            point => self.state().after(request_info, point),
        };
        match disposition {
            Disposition::Pass(fault) => fault,
            // Until the caller drops this future.
            Disposition::Hold => std::future::pending().await,
            Disposition::HoldUntilReleased => {
                let mut released = self.released.subscribe();
                // The channel stays open: `self` holds the sender.
                let _ = released.wait_for(|released| *released).await;
                None
            }
        }
    }
}
