//! The budgets of calls to an account and region, and the order of waiting calls.
//!
//! Lambda allows 15 control-plane calls a second, and 100 of `GetFunction` apart from them, unless AWS
//! granted an account more (`regions[].requestRates` of its Account). CloudWatch allows 9 of
//! `DescribeAlarms`, 20 of `DescribeAlarmHistory` and 50 of `GetMetricData`. Sluice's budgets are lower, so
//! that people and other tools still get through.
//!
//! `Invoke` is limited by concurrency: invocations of checks use the concurrency that an account's functions
//! share, a thousand unless AWS granted more.
//!
//! AWS publishes no rates for CloudFormation, only that an account has them
//! (<https://repost.aws/knowledge-center/cloudformation-rate-exceeded-error>). Its budgets are a guess on the safe
//! side: five calls a second that read, and two that change something. If it is too high, the budgets lower it.
//!
//! # Guarantees
//! - A call waits for its turn as long as it takes: the most urgent first ([`queue`]). Waiting is no failure;
//!   [`Turn`] shows which calls wait, and cancels them.
//! - A call is signed, and checked against the fence, after it has waited.
//! - When AWS throttles a call, all calls of that kind pause and then continue at a lower rate ([`rate`]).
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
    metrics::{Metrics, WaitGauge},
    ports::{
        CallError, CallErrorKind,
        turn::{QueuePosition, Turn},
    },
};

/// Calls a second; an Account may set those of Lambda.
const DESCRIBE_ALARMS: u32 = 6;
const ALARM_HISTORY: u32 = 15;
const METRIC_DATA: u32 = 40;

/// Concurrent invocations, of one namespace and of all.
const INVOCATIONS: (usize, usize) = (50, 200);

/// The most calls that wait for one budget: far more than a thousand Targets make at once.
const MAX_QUEUE: usize = 50_000;

/// The budgets of one account and region.
#[derive(Debug)]
pub(super) struct Budget {
    /// All control-plane calls of Lambda but `GetFunction`.
    pub(super) control: Bucket,
    pub(super) get_function: Bucket,
    pub(super) describe_alarms: Bucket,
    pub(super) alarm_history: Bucket,
    pub(super) metric_data: Bucket,
    /// The calls of CloudFormation that change nothing.
    pub(super) stack_reads: Bucket,
    /// The calls of CloudFormation that change something.
    pub(super) stack_writes: Bucket,
    invocations: Arc<FairSemaphore>,
    invoking: WaitGauge,
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
            stack_reads: bucket(
                "cloudformation_read",
                "CloudFormation read",
                RequestRates::stack_reads(None),
            ),
            stack_writes: bucket(
                "cloudformation_write",
                "CloudFormation write",
                RequestRates::stack_writes(None),
            ),
            invocations: FairSemaphore::new(INVOCATIONS.1, INVOCATIONS.0),
            invoking: metrics.aws_calls_waiting("lambda_invoke"),
        }
    }

    /// Waits until a function may be invoked, and keeps its slot until the permit is dropped.
    pub(super) async fn invocation(&self) -> Permit {
        let waiting = self.invoking.join();
        let permit = self.invocations.acquire(&Turn::current().namespace).await;
        drop(waiting);
        permit
    }

    /// Sets the rates of the Account, or those that are safe in any account.
    pub(super) fn allow(&self, rates: Option<&RequestRates>) {
        self.control.allow(RequestRates::control_plane(rates));
        self.get_function.allow(RequestRates::get_function(rates));
        self.stack_reads.allow(RequestRates::stack_reads(rates));
        self.stack_writes.allow(RequestRates::stack_writes(rates));
    }
}

/// The budget of one kind of call, with the queue of waiting calls. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    /// The kind of call, for messages.
    what: Arc<str>,
    schedule: Arc<Mutex<Schedule>>,
    waiting: WaitGauge,
}

#[derive(Debug)]
struct Schedule {
    rate: Rate,
    queue: Queue<oneshot::Sender<()>>,
    capacity: usize,
    /// Whether a task grants turns. It ends when no call waits.
    is_served: bool,
}

impl Bucket {
    fn new(what: String, per_second: u32, waiting: WaitGauge) -> Self {
        Self {
            what: what.into(),
            waiting,
            schedule: Arc::new(Mutex::new(Schedule {
                rate: Rate::per_second(per_second, Instant::now()),
                queue: Queue::default(),
                capacity: MAX_QUEUE,
                is_served: false,
            })),
        }
    }

    /// Waits for the turn to make a call. Fails only if the calls of that [`Turn`] are cancelled,
    /// or if the queue is full of calls that are at least as urgent.
    pub(super) async fn turn(&self, call: &Call) -> Result<(), CallError> {
        let turn = Turn::current();
        let Some(entry) = self.enter(&turn, Instant::now()) else {
            return Ok(());
        };
        let granted = match entry {
            Ok(entry) => {
                let waiting = turn.waits(entry.queue_position);
                let leaves = (LeaveOnDrop(self, entry.ticket), self.waiting.join());
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
        // The caller has to start again: its other waiting calls would only be in the way.
        turn.call_off();
        let message = format!(
            "not sent: the call left the queue of {} before its turn",
            self.what
        );
        Err(call.error(CallErrorKind::CalledOff, message))
    }

    fn allow(&self, per_second: u32) {
        self.schedule().rate.allow(per_second, Instant::now());
    }

    /// Lowers the rate if AWS throttled the call.
    pub(super) fn note(&self, error: &CallError) {
        if let CallErrorKind::Throttled { retry_after } = error.kind {
            self.refused(retry_after);
        }
    }

    /// Lowers the rate, because AWS throttled a call.
    pub(super) fn refused(&self, pause: Option<Duration>) {
        tracing::warn!(
            budget = &*self.what,
            "AWS throttled a call: calls continue at a lower rate"
        );
        self.schedule().rate.refused(Instant::now(), pause);
    }

    /// Joins the queue; `None` if it is the call's turn already.
    fn enter(&self, turn: &Turn, now: Instant) -> Option<Result<Entry, Full>> {
        let mut schedule = self.schedule();
        if schedule.queue.len() == 0 && schedule.rate.take(now).is_ok() {
            return None;
        }
        if schedule.queue.len() >= schedule.capacity
            && schedule.queue.displace(turn.priority).is_none()
        {
            return Some(Err(Full));
        }
        let before = schedule.queue.before(turn.priority);
        let (grants, granted) = oneshot::channel();
        let ticket = schedule.queue.push(turn, grants);
        let calls = f64::from(u32::try_from(before + 1).unwrap_or(u32::MAX));
        let queue_position = QueuePosition {
            budget: self.what.to_string(),
            before,
            ready_at: now + schedule.rate.time_for(calls, now),
        };
        if !schedule.is_served {
            schedule.is_served = true;
            tokio::spawn(serve_queue(Arc::clone(&self.schedule)));
        }
        Some(Ok(Entry {
            ticket,
            granted,
            queue_position,
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
    queue_position: QueuePosition,
}

/// The queue is full of calls that are at least as urgent.
struct Full;

/// Removes a call from the queue, however its wait ends.
struct LeaveOnDrop<'a>(&'a Bucket, Ticket);

impl Drop for LeaveOnDrop<'_> {
    fn drop(&mut self) {
        self.0.schedule().queue.leave(&self.1);
    }
}

/// Grants turns for as long as calls wait.
async fn serve_queue(schedule: Arc<Mutex<Schedule>>) {
    loop {
        let next = lock(&schedule).grant_turns(Instant::now());
        match next {
            Some(next) => sleep_until(next).await,
            None => return,
        }
    }
}

impl Schedule {
    /// Grants the available turns. Returns when the next one comes; `None` if no call waits.
    fn grant_turns(&mut self, now: Instant) -> Option<Instant> {
        while self.queue.len() > 0 {
            if let Err(next) = self.rate.take(now) {
                return Some(next);
            }
            // A call that has just left takes no turn.
            while let Some(waiting) = self.queue.pop() {
                if waiting.send(()).is_ok() {
                    break;
                }
            }
        }
        self.is_served = false;
        None
    }
}

fn lock(schedule: &Mutex<Schedule>) -> MutexGuard<'_, Schedule> {
    schedule.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
