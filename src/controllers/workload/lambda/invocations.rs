//! Invocations of checks, made outside of reconciles: a function may run for a quarter of an hour, and an
//! abort, a new run or an alarm must take effect meanwhile.
//!
//! # Expected flow
//! A reconcile asks for a check ([`Invocations::answer`]). It gets a quick answer at once. Otherwise it
//! learns that the invocation is running, and ends. The answer then wakes the Target, which asks again and
//! gets it.
//!
//! # Guarantees
//! - A check of a run is invoked once at a time. An answer counts once, and only for the run that asked.
//! - Invocations of a run that has ended or is restored are dropped with their connections; the function
//!   itself can't be stopped.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::Stream;
use kube::{ResourceExt as _, runtime::reflector::ObjectRef};
use tokio::task::JoinHandle;
use tracing::Instrument as _;

use crate::{
    api::v1alpha1::{Goal, Run, Target},
    controllers::wakes::Wakes,
    domain::check::{CheckKey, Verdict},
    ports::{CallError, CallErrorKind, turn::Turn},
};

/// How long a reconcile waits for an answer before it goes on without it.
const SOON: Duration = Duration::from_secs(2);

type Answer = Result<Verdict, CallError>;

/// The running invocations of all Targets.
pub struct Invocations {
    soon: Duration,
    targets: Mutex<HashMap<String, OfTarget>>,
    wakes: Wakes<Target>,
}

#[derive(Default)]
struct OfTarget {
    run: Option<(String, i64, Goal)>,
    running: BTreeMap<CheckKey, Running>,
}

struct Running {
    task: JoinHandle<Answer>,
    /// No reconcile waits any more: the answer has to wake the Target.
    is_left: Arc<AtomicBool>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Default for Invocations {
    fn default() -> Self {
        Self {
            soon: SOON,
            targets: Mutex::default(),
            wakes: Wakes::default(),
        }
    }
}

impl Invocations {
    /// The Targets to wake. Only the first caller gets them.
    pub fn woken(&self) -> impl Stream<Item = ObjectRef<Target>> + Send + 'static {
        self.wakes.woken()
    }

    /// The Target carries out this run: invocations of another run are dropped.
    pub fn begin(&self, target: &Target, run: &Run) {
        let run = (run.release.uid.clone(), run.attempt, run.goal);
        let mut targets = self.targets();
        let of_target = targets.entry(target.uid().unwrap_or_default()).or_default();
        if of_target.run.as_ref() != Some(&run) {
            *of_target = OfTarget {
                run: Some(run),
                running: BTreeMap::new(),
            };
        }
    }

    /// Drops the invocations of a run that has ended or is restored, or of a deleted Target.
    pub fn forget(&self, target: &Target) {
        self.targets().remove(&target.uid().unwrap_or_default());
    }

    /// The verdict of the check; `None` while it is running. Calls `invoke` only if it is not running yet.
    pub async fn answer<F>(
        &self,
        asking: &ObjectRef<Target>,
        key: &CheckKey,
        invoke: impl FnOnce() -> F,
    ) -> Result<Option<Verdict>, CallError>
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        let uid = asking.extra.uid.clone().unwrap_or_default();
        let before = self.take(&uid, key);
        let mut running = match before {
            Some(before) if !before.task.is_finished() => {
                self.leave(uid, key, before);
                return Ok(None);
            }
            Some(before) => before,
            None => self.start(asking.clone(), invoke()),
        };
        if let Ok(ended) = tokio::time::timeout(self.soon, &mut running.task).await {
            return ended
                .unwrap_or_else(|error| Err(aborted(key, &error)))
                .map(Some);
        }
        running.is_left.store(true, Ordering::SeqCst);
        if running.task.is_finished() {
            self.wakes.wake(asking.clone());
        }
        self.leave(uid, key, running);
        Ok(None)
    }

    fn start(
        &self,
        asking: ObjectRef<Target>,
        invoke: impl Future<Output = Answer> + Send + 'static,
    ) -> Running {
        let is_left = Arc::<AtomicBool>::default();
        let (left, wake) = (Arc::clone(&is_left), self.wakes.waker());
        let turn = Turn::current();
        let task = async move {
            let answer = turn.scope(invoke).await;
            if left.load(Ordering::SeqCst) {
                wake(asking);
            }
            answer
        };
        let task = tokio::spawn(task.in_current_span());
        Running { task, is_left }
    }

    fn take(&self, uid: &str, key: &CheckKey) -> Option<Running> {
        self.targets().get_mut(uid)?.running.remove(key)
    }

    fn leave(&self, uid: String, key: &CheckKey, it: Running) {
        let mut targets = self.targets();
        let of_target = targets.entry(uid).or_default();
        of_target.running.insert(key.clone(), it);
    }

    fn targets(&self) -> MutexGuard<'_, HashMap<String, OfTarget>> {
        self.targets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn aborted(key: &CheckKey, error: &tokio::task::JoinError) -> CallError {
    CallError::new(
        "lambda:Invoke",
        format!("check {} of {}", key.check, key.component),
        CallErrorKind::Unknown,
        if error.is_panic() {
            "the invocation ended by a bug in Sluice: please report it; the log has details"
        } else {
            "the invocation was aborted: the controller is stopping"
        },
    )
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt as _, StreamExt as _};
    use serde_json::json;
    use tokio::sync::oneshot;

    use super::*;
    use crate::{
        api::v1alpha1::ReleaseRef,
        domain::check::{CheckPhase, Moment},
    };

    fn target() -> Target {
        serde_json::from_value(json!({
            "apiVersion": "sluice.dev/v1alpha1",
            "kind": "Target",
            "metadata": {"name": "t", "namespace": "n", "uid": "u"},
            "spec": {
                "deployment": "d", "stage": "s", "account": "a", "accountId": "1", "region": "r",
                "deletionPolicy": "Retain",
            },
        }))
        .unwrap()
    }

    fn run(attempt: i64) -> Run {
        let release = ReleaseRef {
            name: "d-1".into(),
            uid: "r".into(),
            revision: 1,
        };
        Run::new(release, attempt, Goal::Deliver, attempt)
    }

    fn key() -> CheckKey {
        CheckKey {
            component: "api".into(),
            check: "smoke".into(),
            moment: Moment {
                phase: CheckPhase::BeforeTraffic,
                level: 0,
                step: 0,
                round: 0,
            },
        }
    }

    /// Invocations that wait for no answer.
    fn impatient() -> Invocations {
        Invocations {
            soon: Duration::ZERO,
            ..Invocations::default()
        }
    }

    /// An invocation that the test answers.
    fn slow() -> (oneshot::Sender<Verdict>, impl Future<Output = Answer>) {
        let (answer, answered) = oneshot::channel();
        let invoke = answered.map(|result: Result<_, _>| Ok(result.unwrap_or(Verdict::Passed)));
        (answer, invoke)
    }

    #[tokio::test]
    async fn slow_invocation_wakes_its_target_once_it_is_answered() {
        let mut invocations = impatient();
        let mut woken = Box::pin(invocations.woken());
        let (asking, key) = (ObjectRef::from_obj(&target()), key());
        invocations.begin(&target(), &run(1));
        let (answer, invoke) = slow();
        let first = invocations.answer(&asking, &key, || invoke).await;
        assert_eq!(first, Ok(None));
        let again = invocations.answer(&asking, &key, || async { panic!("invoked twice") });
        assert_eq!(again.await, Ok(None));
        answer.send(Verdict::Failed("no".into())).unwrap();
        assert_eq!(woken.next().await.map(|it| it.name), Some("t".to_owned()));
        invocations.soon = Duration::from_hours(1);
        let last = invocations.answer(&asking, &key, || async { panic!("invoked twice") });
        let failed = Some(Verdict::Failed("no".into()));
        assert_eq!(last.await, Ok(failed));
        // An answer counts once.
        let next = invocations.answer(&asking, &key, || async { Ok(Verdict::Passed) });
        assert_eq!(next.await, Ok(Some(Verdict::Passed)));
        assert!(woken.next().now_or_never().is_none(), "no wake is due");
    }

    #[tokio::test]
    async fn another_attempt_does_not_get_the_answer_of_the_one_before() {
        let mut invocations = impatient();
        let (asking, key) = (ObjectRef::from_obj(&target()), key());
        invocations.begin(&target(), &run(1));
        let (answer, invoke) = slow();
        let first = invocations.answer(&asking, &key, || invoke).await;
        assert_eq!(first, Ok(None));
        invocations.begin(&target(), &run(2));
        tokio::task::yield_now().await;
        assert!(answer.is_closed(), "the invocation was dropped");
        invocations.soon = Duration::from_hours(1);
        let second = invocations.answer(&asking, &key, || async { Ok(Verdict::Passed) });
        assert_eq!(second.await, Ok(Some(Verdict::Passed)));
    }
}
