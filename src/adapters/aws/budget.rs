//! How fast an account and region is called, and who is next.
//!
//! Lambda allows 15 control-plane calls a second, `GetFunction` apart with 100, unless AWS granted an account
//! more (`regions[].requestRates` of its Account); CloudWatch 9 of
//! `DescribeAlarms`, 20 of `DescribeAlarmHistory` and 50 of `GetMetricData`. Ours stay below, so that
//! people and other tools still get through.
//!
//! `Invoke` is limited by how many run at a time: what checks invoke is taken from the concurrency that an
//! account's functions share, a thousand unless AWS granted more.
//!
//! # Guarantees
//! - A call waits for its turn for as long as it takes: the most urgent first ([`queue`]). Waiting is no
//!   failure; [`Turn`] tells who waits, and takes calls out again.
//! - A call is signed, and checked against the fence, after it has waited.
//! - Where AWS refuses a call as one too many, all calls of that kind hold still for a moment and then go
//!   on more slowly ([`rate`]).
//! - A queue is bounded: the least urgent calls leave a full one.

mod queue;
mod rate;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::oneshot,
    time::{Instant, sleep_until},
};

use self::{
    queue::{Queue, Ticket},
    rate::Rate,
};
use super::errors::Call;
use crate::{
    api::v1alpha1::RequestRates,
    fair_semaphore::{FairSemaphore, Permit},
    metrics::{Crowd, Metrics},
    ports::{
        CallError, CallErrorKind,
        turn::{Place, Turn},
    },
};

/// Calls a second; those of Lambda, an Account may set.
const DESCRIBE_ALARMS: u32 = 6;
const ALARM_HISTORY: u32 = 15;
const METRIC_DATA: u32 = 40;

/// Invocations at a time, of one namespace and of all.
const INVOCATIONS: (usize, usize) = (50, 200);

/// How many calls wait for one budget at most: far more than a thousand Targets ask for at once.
const LONGEST_QUEUE: usize = 50_000;

/// The budgets of one account and region.
#[derive(Debug)]
pub(super) struct Budget {
    /// Any control-plane call of Lambda's but `GetFunction`.
    pub(super) control: Bucket,
    pub(super) get_function: Bucket,
    pub(super) describe_alarms: Bucket,
    pub(super) alarm_history: Bucket,
    pub(super) metric_data: Bucket,
    invocations: Arc<FairSemaphore>,
    invoking: Crowd,
}

impl Budget {
    pub(super) fn new(account_id: &str, region: &str, metrics: &Metrics) -> Self {
        let bucket = |kind, calls: &str, rate| {
            let what = format!("{calls} calls in account {account_id}, {region}");
            Bucket::new(what, rate, metrics.aws_calls_waiting(kind))
        };
        Self {
            control: bucket(
                "lambda_control_plane",
                "Lambda control plane",
                RequestRates::control_plane(None),
            ),
            get_function: bucket(
                "lambda_get_function",
                "lambda:GetFunction",
                RequestRates::get_function(None),
            ),
            describe_alarms: bucket(
                "cloudwatch_describe_alarms",
                "cloudwatch:DescribeAlarms",
                DESCRIBE_ALARMS,
            ),
            alarm_history: bucket(
                "cloudwatch_alarm_history",
                "cloudwatch:DescribeAlarmHistory",
                ALARM_HISTORY,
            ),
            metric_data: bucket(
                "cloudwatch_metric_data",
                "cloudwatch:GetMetricData",
                METRIC_DATA,
            ),
            invocations: FairSemaphore::new(INVOCATIONS.1, INVOCATIONS.0),
            invoking: metrics.aws_calls_waiting("lambda_invoke"),
        }
    }

    /// Waits until a function may be invoked, which lasts until what is returned is dropped.
    pub(super) async fn invocation(&self) -> Permit {
        let waiting = self.invoking.join();
        let permit = self.invocations.acquire(&Turn::current().namespace).await;
        drop(waiting);
        permit
    }

    /// Goes as fast as the Account says, or as is safe in any account.
    pub(super) fn allow(&self, rates: Option<&RequestRates>) {
        self.control.allow(RequestRates::control_plane(rates));
        self.get_function.allow(RequestRates::get_function(rates));
    }
}

/// The budget of one kind of call, and who waits for it. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    /// In words.
    what: Arc<str>,
    schedule: Arc<Mutex<Schedule>>,
    waiting: Crowd,
}

#[derive(Debug)]
struct Schedule {
    rate: Rate,
    queue: Queue<oneshot::Sender<()>>,
    longest: usize,
    /// Whether a task gives out turns. It ends when nobody waits.
    is_attended: bool,
}

impl Bucket {
    fn new(what: String, per_second: u32, waiting: Crowd) -> Self {
        Self {
            what: what.into(),
            waiting,
            schedule: Arc::new(Mutex::new(Schedule {
                rate: Rate::per_second(per_second, Instant::now()),
                queue: Queue::default(),
                longest: LONGEST_QUEUE,
                is_attended: false,
            })),
        }
    }

    /// Waits for the turn to make a call. It fails only where the calls of that turn were called off.
    pub(super) async fn turn(&self, call: &Call) -> Result<(), CallError> {
        let turn = Turn::current();
        let Some(entry) = self.enter(&turn, Instant::now()) else {
            return Ok(());
        };
        let granted = match entry {
            Ok(entry) => {
                let waiting = turn.waits(entry.place);
                let leaves = (Leaves(self, entry.ticket), self.waiting.join());
                let granted = tokio::select! {
                    biased;
                    granted = entry.granted => granted.is_ok(),
                    () = turn.called_off() => false,
                };
                drop((leaves, waiting));
                granted
            }
            Err(Full) => false,
        };
        if granted {
            return Ok(());
        }
        // Whoever makes these calls has to begin anew: what else waits would only be in the way.
        turn.call_off();
        let message = format!("not sent: it waited for a turn among the {}", self.what);
        Err(call.error(CallErrorKind::CalledOff, message))
    }

    fn allow(&self, per_second: u32) {
        self.schedule().rate.allow(per_second, Instant::now());
    }

    /// Notes where a call was one too many.
    pub(super) fn note(&self, error: &CallError) {
        if let CallErrorKind::Throttled { retry_after } = error.kind {
            self.refused(retry_after);
        }
    }

    /// AWS refused a call because there were too many.
    pub(super) fn refused(&self, pause: Option<Duration>) {
        tracing::warn!(
            budget = &*self.what,
            "AWS throttles: calls go on more slowly"
        );
        self.schedule().rate.refused(Instant::now(), pause);
    }

    /// Joins the queue; `None` where it is the call's turn already.
    fn enter(&self, turn: &Turn, now: Instant) -> Option<Result<Entry, Full>> {
        let mut schedule = self.schedule();
        if schedule.queue.len() == 0 && schedule.rate.take(now).is_ok() {
            return None;
        }
        if schedule.queue.len() >= schedule.longest
            && schedule.queue.displace(turn.priority).is_none()
        {
            return Some(Err(Full));
        }
        let before = schedule.queue.before(turn.priority);
        let (grants, granted) = oneshot::channel();
        let ticket = schedule.queue.push(turn, grants);
        let calls = f64::from(u32::try_from(before + 1).unwrap_or(u32::MAX));
        let place = Place {
            budget: self.what.to_string(),
            before,
            ready_at: now + schedule.rate.time_for(calls, now),
        };
        if !schedule.is_attended {
            schedule.is_attended = true;
            tokio::spawn(attend(Arc::clone(&self.schedule)));
        }
        Some(Ok(Entry {
            ticket,
            granted,
            place,
        }))
    }

    fn schedule(&self) -> MutexGuard<'_, Schedule> {
        lock(&self.schedule)
    }
}

/// A call in the queue.
struct Entry {
    ticket: Ticket,
    granted: oneshot::Receiver<()>,
    place: Place,
}

/// There is no room in the queue for a call that is no more urgent than those that wait.
struct Full;

/// Takes a call out of the queue, however waiting for it ends.
struct Leaves<'a>(&'a Bucket, Ticket);

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        self.0.schedule().queue.leave(&self.1);
    }
}

/// Gives out turns for as long as somebody waits.
async fn attend(schedule: Arc<Mutex<Schedule>>) {
    loop {
        let next = lock(&schedule).give_turns(Instant::now());
        match next {
            Some(next) => sleep_until(next).await,
            None => return,
        }
    }
}

impl Schedule {
    /// Gives out the turns there are; `None` once nobody waits, else when there is another.
    fn give_turns(&mut self, now: Instant) -> Option<Instant> {
        while self.queue.len() > 0 {
            if let Err(next) = self.rate.take(now) {
                return Some(next);
            }
            // Who has just gone takes no turn.
            while let Some(waiting) = self.queue.pop() {
                if waiting.send(()).is_ok() {
                    break;
                }
            }
        }
        self.is_attended = false;
        None
    }
}

fn lock(schedule: &Mutex<Schedule>) -> MutexGuard<'_, Schedule> {
    schedule.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
