//! What every call of a controller passes: by the doors to AWS and GitLab, and by its Kubernetes client.
//!
//! It writes each call down, and lets one thing go wrong at one of them. A controller that is to be
//! killed sends nothing more from that moment on, however long its end takes; what it sent before is on
//! its way.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use sluice_lab::door::{Fault, Point, Porter, Visit};
use tokio::sync::{mpsc::UnboundedSender, watch};

use crate::{
    names::Names,
    plan::{Blow, CallName},
};

/// How many calls of one kind are told apart: reads are repeated as long as something is waited for.
const READS: u32 = 2;
const WRITES: u32 = 12;

/// A call that was made.
#[derive(Clone, Debug)]
pub struct Made {
    /// Which.
    pub name: CallName,
    /// What it was about, as it was sent.
    pub resource: String,
    /// By which account's credentials.
    pub account: Option<String>,
    /// Whether it could change something.
    pub is_write: bool,
}

/// What the harness has to do for a blow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The controller ends here.
    Kill,
    /// The controller is to be paused here.
    Pause,
}

#[derive(Default)]
struct State {
    names: Names,
    armed: bool,
    counts: HashMap<(String, String, String), u32>,
    made: Vec<Made>,
    blow: Option<(CallName, Blow)>,
    /// The planned call is under way: it is killed at a later point.
    struck: Option<(Visit, Point)>,
    outage: Option<(String, Fault, Instant)>,
    /// The access key of a session that has ended.
    ended: Option<String>,
    hit: bool,
    doomed: bool,
    refused: Vec<Refused>,
    orders: Option<UnboundedSender<Order>>,
}

/// What AWS refuses for good.
struct Refused {
    operation: &'static str,
    resource: Option<String>,
    account: Option<String>,
}

/// Passes, or doesn't.
#[derive(Default)]
pub struct Gate {
    state: Mutex<State>,
    /// Whether what a paused controller had sent goes on.
    released: watch::Sender<bool>,
}

enum Verdict {
    Pass(Option<Fault>),
    Hold,
    HoldUntilReleased,
}

impl Gate {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another run begins: nothing goes wrong until it is [armed](Self::arm).
    pub fn begin(&self, names: Names, orders: UnboundedSender<Order>) {
        self.released.send_replace(false);
        *self.state() = State {
            names,
            orders: Some(orders),
            ..State::default()
        };
    }

    /// More names that are replaced.
    pub fn replace(&self, name: impl Into<String>, word: impl Into<String>) {
        self.state().names.replace(name, word);
    }

    /// The run's names.
    pub fn names(&self) -> Names {
        self.state().names.clone()
    }

    /// Counts calls from here on, and strikes at that one.
    pub fn arm(&self, blow: Option<(CallName, Blow)>) {
        let mut state = self.state();
        state.armed = true;
        state.blow = blow;
        state.counts.clear();
        state.made.clear();
    }

    /// Nothing goes wrong any more.
    pub fn disarm(&self) {
        let mut state = self.state();
        state.blow = None;
        state.outage = None;
        state.ended = None;
    }

    /// AWS refuses this operation on what ends in `resource`, for good.
    pub fn refuse(&self, operation: &'static str, resource: impl Into<String>) {
        self.state().refused.push(Refused {
            operation,
            resource: Some(resource.into()),
            account: None,
        });
    }

    /// AWS refuses this operation in an account, for good.
    pub fn refuse_in(&self, operation: &'static str, account: impl Into<String>) {
        self.state().refused.push(Refused {
            operation,
            resource: None,
            account: Some(account.into()),
        });
    }

    /// AWS takes this operation again.
    pub fn allow(&self, operation: &str) {
        self.state().refused.retain(|it| it.operation != operation);
    }

    /// What a paused controller had sent goes on.
    pub fn release(&self) {
        self.released.send_replace(true);
    }

    /// Another controller is there: its calls pass.
    pub fn revive(&self) {
        self.state().doomed = false;
    }

    /// Whether the planned call was made.
    pub fn was_hit(&self) -> bool {
        self.state().hit
    }

    /// What was called since it was armed.
    pub fn made(&self) -> Vec<Made> {
        self.state().made.clone()
    }

    /// How many calls were made since it was armed.
    pub fn mark(&self) -> usize {
        self.state().made.len()
    }
}

impl State {
    fn before(&mut self, visit: &Visit) -> Verdict {
        if self.doomed {
            return Verdict::Hold;
        }
        let refused = self.refused.iter().any(|refused| {
            let resource = refused.resource.as_ref();
            refused.operation == visit.operation
                && resource.is_none_or(|resource| visit.resource.ends_with(resource.as_str()))
                && (refused.account.is_none() || refused.account == visit.account)
        });
        if !self.armed {
            return Verdict::Pass(refused.then_some(Fault::Refused));
        }
        let name = self.name(visit);
        self.made.push(Made {
            name: name.clone(),
            resource: visit.resource.clone(),
            account: visit.account.clone(),
            is_write: visit.is_write,
        });
        if let Some((_, blow)) = self.blow.take_if(|(call, _)| *call == name) {
            self.hit = true;
            match blow {
                Blow::Kill(Point::Before) => return self.doom(Order::Kill),
                Blow::Kill(point) => self.struck = Some((visit.clone(), point)),
                // What AWS refuses for good has no effect whose reply could be lost.
                Blow::Once(Fault::ReplyLost) if refused => {
                    return Verdict::Pass(Some(Fault::Refused));
                }
                Blow::Once(fault) => return Verdict::Pass(Some(fault)),
                // A key that is no session's does not end.
                Blow::Expire => {
                    self.hit = visit.session.is_some();
                    self.ended.clone_from(&visit.session);
                }
                Blow::Outage(fault, seconds) => {
                    let end = Instant::now() + Duration::from_secs(seconds);
                    self.outage = Some((name.service, fault, end));
                }
                Blow::Pause => {
                    self.order(Order::Pause);
                    return Verdict::HoldUntilReleased;
                }
            }
        }
        if visit.session.is_some() && visit.session == self.ended {
            return Verdict::Pass(Some(Fault::Expired));
        }
        let out = self
            .outage
            .as_ref()
            .filter(|(service, _, until)| *service == visit.service && Instant::now() < *until);
        let fault = out.map(|(_, fault, _)| *fault);
        Verdict::Pass(fault.or(refused.then_some(Fault::Refused)))
    }

    fn after(&mut self, visit: &Visit, point: Point) -> Verdict {
        let struck = self
            .struck
            .take_if(|(struck, at)| struck == visit && *at == point);
        match struck {
            Some((_, Point::Answered)) => {
                self.doom(Order::Kill);
                Verdict::Pass(None)
            }
            Some(_) => self.doom(Order::Kill),
            None => Verdict::Pass(None),
        }
    }

    fn doom(&mut self, order: Order) -> Verdict {
        self.doomed = true;
        self.order(order);
        Verdict::Hold
    }

    fn order(&self, order: Order) {
        if let Some(orders) = &self.orders {
            // Nobody listens once the run is over.
            let _ = orders.send(order);
        }
    }

    fn name(&mut self, visit: &Visit) -> CallName {
        let resource = self.names.plain(&visit.resource);
        let key = (
            visit.service.clone(),
            visit.operation.clone(),
            resource.clone(),
        );
        let nth = self.counts.entry(key).or_default();
        *nth += 1;
        CallName {
            service: visit.service.clone(),
            operation: visit.operation.clone(),
            resource,
            nth: *nth,
        }
    }
}

impl Made {
    /// Whether it went to AWS.
    pub fn is_of_aws(&self) -> bool {
        !["kubernetes", "gitlab"].contains(&self.name.service.as_str())
    }

    /// Whether the call can be found again in another run.
    pub fn is_steady(&self) -> bool {
        let most = if self.is_write { WRITES } else { READS };
        // Events are written on the side and several in one; Accounts are looked at now and then.
        let aside = self.name.resource.starts_with("events")
            || self.name.service == "sts"
            || self.name.operation.starts_with("GetBucket")
            || self.name.operation == "ListMultipartUploads";
        self.name.nth <= most && !aside
    }
}

#[async_trait]
impl Porter for Gate {
    async fn at(&self, visit: &Visit, point: Point) -> Option<Fault> {
        let verdict = match point {
            Point::Before => self.state().before(visit),
            point => self.state().after(visit, point),
        };
        match verdict {
            Verdict::Pass(fault) => fault,
            // Until whoever asked is gone.
            Verdict::Hold => std::future::pending().await,
            Verdict::HoldUntilReleased => {
                let mut released = self.released.subscribe();
                // It can't end: this holds the sender.
                let _ = released.wait_for(|released| *released).await;
                None
            }
        }
    }
}
