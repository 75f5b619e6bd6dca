//! Manual jobs, poll by poll.

use proptest::prelude::*;

use super::*;

const ANA: i64 = 1;
const BEA: i64 = 2;
const BOT: i64 = 3;

fn user(id: i64) -> JobUser {
    let username = match id {
        ANA => "ana",
        BEA => "bea",
        BOT => "project_7_bot",
        _ => "another-user",
    };
    JobUser {
        id,
        username: username.to_owned(),
        bot: Some(id == BOT),
    }
}

fn job(id: i64, status: &str, by: i64) -> pipeline::Job {
    pipeline::Job {
        id,
        name: "approve-prod".to_owned(),
        stage: "gate".to_owned(),
        status: status.to_owned(),
        allow_failure: false,
        archive_size: None,
        archive_kept: false,
        tag: None,
        archive_expires_at: None,
        commit_title: None,
        user: Some(user(by)),
    }
}

fn now(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn rule() -> GitLabApproval {
    GitLabApproval {
        manual_job: "approve-prod".to_owned(),
        allow_author: true,
        allow_bots: false,
    }
}

const OPENING: Opening<'static> = Opening {
    release_uid: "uid-7",
    attempt: 1,
    stage_digest: "digest",
    author: Some("ana"),
};

/// A sequence of polls.
struct Polls {
    observed: Option<ManualJobStatus>,
    rule: GitLabApproval,
    opening: Opening<'static>,
    second: i64,
}

impl Polls {
    fn new() -> Self {
        Self {
            observed: None,
            rule: rule(),
            opening: OPENING,
            second: 0,
        }
    }

    fn poll(&mut self, jobs: &[pipeline::Job]) -> Job {
        self.second += 1;
        let (observed, state) = observe(
            self.observed.as_ref(),
            &self.opening,
            &self.rule,
            jobs,
            |_| None,
            now(self.second),
        );
        // The status is stored in the API server.
        let stored = serde_json::to_value(&observed).unwrap();
        self.observed = Some(serde_json::from_value(stored).unwrap());
        state
    }

    fn poll_job(&mut self, id: i64, status: &str, by: i64) -> Job {
        self.poll(&[job(id, status, by)])
    }
}

fn approved(id: i64, by: &str, second: i64) -> Job {
    Job::Approved {
        id,
        by: Some(by.to_owned()),
        at: now(second),
    }
}

#[allow(clippy::unnecessary_wraps, reason = "the type of the field of Job")]
fn bea() -> Option<String> {
    Some("bea".to_owned())
}

#[test]
fn start_after_the_gate_opened_approves_when_the_job_succeeds() {
    let mut polls = Polls::new();
    assert_eq!(polls.poll_job(10, "manual", ANA), Job::Waiting);
    assert_eq!(
        polls.poll_job(10, "pending", BEA),
        Job::Running { by: bea() }
    );
    assert_eq!(
        polls.poll_job(10, "running", BEA),
        Job::Running { by: bea() }
    );
    // The time is when it was first observed as started, not when it ended.
    assert_eq!(polls.poll_job(10, "success", BEA), approved(10, "bea", 2));
    assert_eq!(polls.poll_job(10, "success", BEA), approved(10, "bea", 2));
}

#[test]
fn start_and_success_between_two_polls_approve() {
    let mut polls = Polls::new();
    assert_eq!(polls.poll_job(10, "manual", ANA), Job::Waiting);
    assert_eq!(polls.poll_job(10, "success", BEA), approved(10, "bea", 2));
}

#[test]
fn start_before_the_gate_opened_counts_only_after_a_rerun() {
    let mut polls = Polls::new();
    let too_early = |status: &str| Job::TooEarly {
        status: status.to_owned(),
        by: bea(),
    };
    assert_eq!(polls.poll_job(10, "running", BEA), too_early("running"));
    assert_eq!(polls.poll_job(10, "success", BEA), too_early("success"));
    assert_eq!(polls.poll_job(10, "success", BEA), too_early("success"));
    // Retry: a new job, which runs at once.
    assert_eq!(
        polls.poll_job(11, "running", BEA),
        Job::Running { by: bea() }
    );
    assert_eq!(polls.poll_job(11, "success", BEA), approved(11, "bea", 4));
}

#[test]
fn job_is_armed_when_it_becomes_startable() {
    let mut polls = Polls::new();
    for status in ["created", "skipped"] {
        let not_yet = Job::Inconclusive {
            status: status.to_owned(),
        };
        assert_eq!(polls.poll_job(10, status, ANA), not_yet);
    }
    assert_eq!(polls.poll_job(10, "manual", ANA), Job::Waiting);
    assert_eq!(polls.poll_job(10, "success", BEA), approved(10, "bea", 4));
}

#[test]
fn automatically_started_job_never_approves() {
    for before in ["created", "scheduled"] {
        let mut polls = Polls::new();
        polls.poll_job(10, before, ANA);
        let state = polls.poll_job(10, "success", ANA);
        assert!(matches!(state, Job::TooEarly { .. }), "{state:?}");
    }
}

#[test]
fn automatic_retry_by_gitlab_does_not_approve() {
    let mut polls = Polls::new();
    // Started before the gate opened; between two polls it fails, and `retry:` in .gitlab-ci.yml reruns it.
    polls.poll_job(10, "running", BEA);
    let state = polls.poll_job(11, "success", BEA);
    assert!(matches!(state, Job::TooEarly { .. }), "{state:?}");
    // Running it again approves, as always.
    assert_eq!(polls.poll_job(12, "success", BEA), approved(12, "bea", 3));
}

#[test]
fn failed_or_canceled_job_approves_only_after_a_rerun() {
    for status in ["failed", "canceled"] {
        let mut polls = Polls::new();
        polls.poll_job(10, "manual", ANA);
        polls.poll_job(10, "running", BEA);
        let ended = Job::Ended {
            status: status.to_owned(),
            by: bea(),
        };
        assert_eq!(polls.poll_job(10, status, BEA), ended);
        assert_eq!(polls.poll_job(11, "success", ANA), approved(11, "ana", 4));
    }
}

#[test]
fn canceled_unstarted_job_has_no_starter() {
    let mut polls = Polls::new();
    polls.poll_job(10, "manual", ANA);
    let ended = Job::Ended {
        status: "canceled".to_owned(),
        by: None,
    };
    assert_eq!(polls.poll_job(10, "canceled", ANA), ended);
}

#[test]
fn other_plan_attempt_or_release_resets_the_job() {
    let others = [
        Opening {
            stage_digest: "other",
            ..OPENING
        },
        Opening {
            attempt: 2,
            ..OPENING
        },
        Opening {
            release_uid: "uid-8",
            ..OPENING
        },
    ];
    for other in others {
        let mut polls = Polls::new();
        polls.poll_job(10, "manual", ANA);
        assert_eq!(polls.poll_job(10, "success", BEA), approved(10, "bea", 2));
        polls.opening = other;
        let state = polls.poll_job(10, "success", BEA);
        assert!(
            matches!(state, Job::TooEarly { .. }),
            "{other:?}: {state:?}"
        );
        assert_eq!(polls.poll_job(11, "success", BEA), approved(11, "bea", 4));
    }
}

#[test]
fn pipeline_without_the_job_is_reported() {
    let mut polls = Polls::new();
    let mut other = job(10, "manual", ANA);
    other.name = "deploy".to_owned();
    let near = None;
    assert_eq!(polls.poll(&[other.clone()]), Job::Missing { near });
    other.name = "Approve_prod".to_owned();
    let near = Some("Approve_prod".to_owned());
    assert_eq!(polls.poll(&[other]), Job::Missing { near });
    // It was never observed waiting.
    let state = polls.poll_job(10, "success", BEA);
    assert!(matches!(state, Job::TooEarly { .. }), "{state:?}");
}

#[test]
fn only_the_newest_run_of_a_job_counts() {
    let mut polls = Polls::new();
    polls.poll(&[job(10, "failed", BEA), job(11, "manual", ANA)]);
    // A stale list.
    assert_eq!(
        polls.poll_job(10, "success", BEA),
        Job::Missing { near: None }
    );
    assert_eq!(polls.poll_job(11, "success", BEA), approved(11, "bea", 3));
}

#[test]
fn barred_author_can_not_start_the_job() {
    let mut polls = Polls::new();
    polls.rule.allow_author = false;
    polls.poll_job(10, "manual", ANA);
    let state = polls.poll_job(10, "success", ANA);
    assert!(
        matches!(&state, Job::Barred { by: Some(by), .. } if by == "ana"),
        "{state:?}"
    );
    assert_eq!(polls.poll_job(11, "success", BEA), approved(11, "bea", 3));
}

#[test]
fn author_is_recognized_by_id_without_a_matching_name() {
    let mut polls = Polls::new();
    polls.rule.allow_author = false;
    polls.opening.author = None;
    polls.poll_job(10, "manual", ANA);
    let mut renamed = job(10, "success", ANA);
    renamed.user.as_mut().unwrap().username = "ana2".to_owned();
    let state = polls.poll(&[renamed]);
    assert!(matches!(state, Job::Barred { .. }), "{state:?}");
    // The author is unknown, so it may be anyone.
    let mut polls = Polls::new();
    polls.rule.allow_author = false;
    polls.opening.author = None;
    let mut userless = job(10, "manual", ANA);
    userless.user = None;
    polls.poll(&[userless]);
    let state = polls.poll_job(10, "success", BEA);
    assert!(matches!(state, Job::Barred { .. }), "{state:?}");
}

#[test]
fn bots_are_barred_unless_they_are_allowed() {
    let mut polls = Polls::new();
    polls.poll_job(10, "manual", ANA);
    let state = polls.poll_job(10, "success", BOT);
    assert!(
        matches!(
            state,
            Job::Barred {
                why: "it is a bot",
                ..
            }
        ),
        "{state:?}"
    );
    polls.rule.allow_bots = true;
    assert_eq!(
        polls.poll_job(10, "success", BOT),
        approved(10, "project_7_bot", 2)
    );
}

#[test]
fn bot_state_of_a_user_is_read_once() {
    let mut without_bot_field = job(10, "success", BEA);
    without_bot_field.user.as_mut().unwrap().bot = None;
    let (observed, _) = observe(
        None,
        &OPENING,
        &rule(),
        &[job(10, "manual", ANA)],
        |_| None,
        now(1),
    );
    let jobs = [without_bot_field];
    let (observed, state) = observe(Some(&observed), &OPENING, &rule(), &jobs, |_| None, now(2));
    assert_eq!(state, Job::NeedUser(BEA));
    let answer = |id| (id == BEA).then_some(false);
    let (observed, state) = observe(Some(&observed), &OPENING, &rule(), &jobs, answer, now(3));
    assert_eq!(state, approved(10, "bea", 2));
    let (_, state) = observe(Some(&observed), &OPENING, &rule(), &jobs, |_| None, now(4));
    assert_eq!(state, approved(10, "bea", 2));
    // A deleted user.
    let mut unknown = job(10, "success", BEA);
    unknown.user = None;
    let mut polls = Polls::new();
    polls.poll_job(10, "manual", ANA);
    let state = polls.poll(&[unknown]);
    assert!(matches!(state, Job::Barred { .. }), "{state:?}");
}

/// What can happen to the job between two polls.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A user starts the job, if it waits.
    Start(i64),
    /// A running job ends.
    End(&'static str),
    /// A user runs an ended job again.
    Rerun(i64),
    /// The gate opens for another plan than before.
    Open,
    /// The controller polls.
    Poll,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let someone = || prop::sample::select(vec![ANA, BEA]);
    let step = prop_oneof![
        someone().prop_map(Step::Start),
        prop::sample::select(vec!["success", "failed", "canceled"]).prop_map(Step::End),
        someone().prop_map(Step::Rerun),
        Just(Step::Open),
        Just(Step::Poll),
        Just(Step::Poll),
    ];
    prop::collection::vec(step, 0..40)
}

proptest! {
    /// For any events in GitLab and any polls: a job that approves was started after the gate opened, by
    /// the user that GitLab reports, and succeeded.
    #[test]
    fn only_jobs_started_since_the_gate_opened_approve(steps in steps()) {
        let plans = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
        let mut openings = 0;
        let mut opened = false;
        let mut polls = Polls::new();
        let mut current = job(10, "manual", ANA);
        // Whether the current job was started after the gate last opened.
        let mut since = false;
        for step in steps {
            match step {
                Step::Start(who) if current.status == "manual" => {
                    current = job(current.id, "running", who);
                    since = opened;
                }
                Step::End(how) if current.status == "running" => current.status = how.to_owned(),
                Step::Rerun(who) if has_ended(&current.status) => {
                    current = job(current.id + 1, "running", who);
                    since = opened;
                }
                Step::Open => {
                    polls.opening.stage_digest = &plans[openings..=openings];
                    openings += 1;
                    opened = true;
                    since = false;
                }
                Step::Poll if opened => {
                    let state = polls.poll(std::slice::from_ref(&current));
                    if let Job::Approved { id, by, .. } = state {
                        prop_assert!(since, "started before the gate opened");
                        prop_assert_eq!(id, current.id);
                        prop_assert_eq!(current.status.as_str(), "success");
                        let who = current.user.as_ref().map(|user| user.username.clone());
                        prop_assert_eq!(by, who);
                    }
                }
                _ => {}
            }
        }
    }

    /// In any state, running the job again after it has ended approves.
    #[test]
    fn rerun_of_an_ended_job_always_approves(steps in steps()) {
        let mut polls = Polls::new();
        let mut current = job(10, "manual", ANA);
        for step in steps {
            match step {
                Step::Start(who) if current.status == "manual" => {
                    current = job(current.id, "running", who);
                }
                Step::End(how) if current.status == "running" => current.status = how.to_owned(),
                Step::Rerun(who) if has_ended(&current.status) => {
                    current = job(current.id + 1, "running", who);
                }
                Step::Poll => drop(polls.poll(std::slice::from_ref(&current))),
                _ => {}
            }
        }
        current.status = "success".to_owned();
        polls.poll(std::slice::from_ref(&current));
        let again = job(current.id + 1, "success", BEA);
        let state = polls.poll(&[again]);
        prop_assert!(matches!(state, Job::Approved { .. }), "{:?}", state);
    }
}
