//! Gates as a whole: what opens them, what they report, and what never opens them.
#![allow(
    clippy::needless_pass_by_value,
    reason = "json!() reads better without a reference"
)]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    approvals::tests::{SUBJECT, approval, at, manifest},
    *,
};
use crate::{
    api::v1alpha1::{AccountRequires, Gate},
    domain::reason::Reason,
};

const NOW: &str = "2026-11-26T12:00:00Z";

/// A gate and all its inputs.
#[derive(Debug)]
struct Fixture {
    requirements: Requirements,
    approvals: Vec<Approval>,
    used: BTreeSet<String>,
    policy: PolicyForce,
    jobs: BTreeMap<String, Job>,
    freeze_periods: Result<Vec<FreezePeriod>, String>,
    now: Timestamp,
}

impl Fixture {
    fn of(gate: Value, accounts: &[(&str, Value)]) -> Self {
        let gate: Option<Gate> = serde_json::from_value(gate).unwrap();
        let accounts: Vec<(&str, AccountRequires)> = (accounts.iter())
            .map(|(name, value)| (*name, serde_json::from_value(value.clone()).unwrap()))
            .collect();
        let accounts = accounts.iter().map(|(name, requires)| (*name, requires));
        Self {
            requirements: Requirements::of(gate.as_ref(), accounts).unwrap(),
            approvals: Vec::new(),
            used: BTreeSet::new(),
            policy: PolicyForce::Since(at("2026-11-01T00:00:00Z")),
            jobs: BTreeMap::new(),
            freeze_periods: Ok(Vec::new()),
            now: at(NOW),
        }
    }

    /// Adds a decision, made at that minute after ten.
    fn decides(&mut self, name: &str, who: &str, groups: &[&str], decision: Decision, minute: u32) {
        let mut manifest = manifest();
        manifest["metadata"]["name"] = json!(name);
        manifest["metadata"]["uid"] = json!(format!("uid-of-{name}"));
        manifest["metadata"]["creationTimestamp"] = json!(format!("2026-11-26T10:{minute:02}:00Z"));
        manifest["spec"]["approver"] = json!({"username": who, "groups": groups});
        manifest["spec"]["decision"] = json!(format!("{decision:?}"));
        self.approvals
            .push(serde_json::from_value(manifest).unwrap());
    }

    fn approves(&mut self, name: &str, who: &str, groups: &[&str], minute: u32) {
        self.decides(name, who, groups, Decision::Approve, minute);
    }

    fn judge(&self) -> Evaluation {
        let approvals: Vec<&Approval> = self.approvals.iter().collect();
        evaluate(&Inputs {
            subject: SUBJECT,
            requirements: &self.requirements,
            approvals: &approvals,
            used: &self.used,
            policy: &self.policy,
            manual_jobs: &self.jobs,
            freeze_periods: match &self.freeze_periods {
                Ok(periods) => Ok(periods),
                Err(why) => Err(why),
            },
            now: self.now,
        })
    }

    fn is_open(&self) -> bool {
        matches!(self.judge().verdict, Verdict::Open(_))
    }

    fn message(&self) -> String {
        self.judge().verdict.message(&SUBJECT)
    }

    /// The judgement of each Approval, by its reason.
    fn reasons(&self) -> Vec<&'static str> {
        let reason = |judgement: Judgement| match judgement {
            Judgement::Counts => "Counts",
            Judgement::Used => "Used",
            Judgement::Ignored(why) => why.reason().as_str(),
        };
        self.judge().judgements.into_iter().map(reason).collect()
    }
}

fn approvers(minimum: i32) -> Value {
    json!({"approval": {"kubernetes": {"groups": ["approvers"], "minimumApprovals": minimum}}})
}

#[test]
fn missing_gate_is_open() {
    let fixture = Fixture::of(Value::Null, &[]);
    assert_eq!(
        fixture.judge().verdict,
        Verdict::Open(GatePassage::default())
    );
}

#[test]
fn a_gate_opens_once_enough_people_have_approved() {
    let mut fixture = Fixture::of(approvers(2), &[]);
    fixture.approves("first", "bea", &["approvers"], 1);
    assert!(!fixture.is_open());
    fixture.approves("second", "carl", &["approvers"], 2);
    let Verdict::Open(passage) = fixture.judge().verdict else {
        panic!("{}", fixture.message());
    };
    let used: Vec<&str> = passage
        .approvals
        .iter()
        .map(|one| one.uid.as_str())
        .collect();
    assert_eq!(used, ["uid-of-first", "uid-of-second"]);
}

#[test]
fn same_person_counts_once_with_the_first_approval() {
    let mut fixture = Fixture::of(approvers(2), &[]);
    fixture.approves("later", "bea", &["approvers"], 2);
    fixture.approves("earlier", "bea", &["approvers"], 1);
    assert!(!fixture.is_open());
    assert_eq!(fixture.reasons(), ["Repeated", "Counts"]);
    assert!(
        fixture
            .message()
            .contains("bea has approved already, by earlier")
    );
}

#[test]
fn used_approval_does_not_open_a_gate_again() {
    let mut fixture = Fixture::of(approvers(1), &[]);
    fixture.approves("first", "bea", &["approvers"], 1);
    assert!(fixture.is_open());
    fixture.used.insert("uid-of-first".to_owned());
    assert!(!fixture.is_open());
    assert_eq!(fixture.reasons(), ["Used"]);
    fixture.approves("second", "bea", &["approvers"], 2);
    assert!(fixture.is_open());
}

#[test]
fn a_rejection_wins_over_everything() {
    let mut fixture = Fixture::of(approvers(1), &[]);
    fixture.approves("yes", "bea", &["approvers"], 1);
    fixture.decides("no", "carl", &["approvers"], Decision::Reject, 2);
    let verdict = fixture.judge().verdict;
    assert_eq!(verdict.reason(), Some(Reason::Rejected));
    assert!(
        matches!(&verdict, Verdict::Rejected { approval, by, .. } if approval == "no" && by == "carl")
    );
    // A user who may not approve may not reject either.
    let mut fixture = Fixture::of(approvers(1), &[]);
    fixture.approves("yes", "bea", &["approvers"], 1);
    fixture.decides("no", "dora", &["tenants"], Decision::Reject, 2);
    assert!(fixture.is_open());
    assert_eq!(fixture.reasons(), ["Counts", "NotAllowed"]);
}

#[test]
fn a_rejection_counts_for_its_plan_only() {
    let mut fixture = Fixture::of(approvers(1), &[]);
    fixture.decides("no", "carl", &["approvers"], Decision::Reject, 1);
    fixture.approvals[0].spec.stage_digest = "b".repeat(64);
    assert_eq!(fixture.reasons(), ["OtherPlan"]);
    assert_eq!(
        fixture.judge().verdict.reason(),
        Some(Reason::WaitingForApproval)
    );
}

#[test]
fn no_decision_counts_without_the_policy() {
    let mut fixture = Fixture::of(approvers(1), &[]);
    fixture.approves("yes", "bea", &["approvers"], 1);
    fixture.decides("no", "carl", &["approvers"], Decision::Reject, 2);
    fixture.policy = PolicyForce::NotInForce("the binding is gone".into());
    assert_eq!(fixture.reasons(), ["PolicyNotInForce", "PolicyNotInForce"]);
    assert_eq!(
        fixture.judge().verdict.reason(),
        Some(Reason::PolicyNotInForce)
    );
    assert!(
        fixture
            .message()
            .contains("no Approval counts: the binding is gone")
    );
}

#[test]
fn changed_plan_voids_an_approval_with_a_message() {
    let mut fixture = Fixture::of(approvers(1), &[]);
    fixture.approves("old", "bea", &["approvers"], 1);
    fixture.approvals[0].spec.stage_digest = "b".repeat(64);
    assert!(!fixture.is_open());
    assert!(
        fixture
            .message()
            .contains("Approval old does not count: the plan of stage prod has changed"),
        "{}",
        fixture.message()
    );
}

#[test]
fn one_approval_may_count_for_gate_and_account() {
    let mut fixture = Fixture::of(
        approvers(1),
        &[(
            "prod",
            json!({"approval": {"kubernetes": {"groups": ["platform"]}}}),
        )],
    );
    fixture.approves("team", "bea", &["approvers"], 1);
    assert!(!fixture.is_open());
    assert!(
        fixture
            .message()
            .contains("0 of 1 approvals by a member of platform (Account prod)")
    );
    assert_eq!(fixture.reasons(), ["Counts"]);
    fixture.approves("both", "carl", &["approvers", "platform"], 2);
    assert!(fixture.is_open());
}

#[test]
fn approvals_that_no_requirement_needs_do_not_count() {
    let window =
        json!({"windows": [{"schedule": "0 9 * * *", "timeZone": "UTC", "duration": "8h"}]});
    let mut fixture = Fixture::of(window, &[]);
    fixture.approves("yes", "bea", &["approvers"], 1);
    assert!(fixture.is_open());
    assert_eq!(fixture.reasons(), ["NotAsked"]);
}

#[test]
fn manual_job_opens_the_gate() {
    let mut fixture = Fixture::of(
        json!({"approval": {"gitlab": {"manualJob": "approve-prod"}}}),
        &[],
    );
    assert!(!fixture.is_open(), "the job has not been read");
    fixture.jobs.insert("approve-prod".into(), Job::Waiting);
    assert!(!fixture.is_open());
    let approved = Job::Approved {
        id: 10,
        by: Some("bea".into()),
        at: at(NOW),
    };
    fixture.jobs.insert("approve-prod".into(), approved);
    let Verdict::Open(passage) = fixture.judge().verdict else {
        panic!("{}", fixture.message());
    };
    assert_eq!(passage.jobs[0].username.as_deref(), Some("bea"));
}

#[test]
fn verdict_reports_when_the_gate_may_open_by_time() {
    let gate = json!({
        "windows": [{"schedule": "0 18 * * *", "timeZone": "UTC", "duration": "1h"}],
        "respectFreezePeriods": true,
    });
    let mut fixture = Fixture::of(gate, &[]);
    let until = |fixture: &Fixture| match fixture.judge().verdict {
        Verdict::Waiting { until, .. } => until,
        other => panic!("{other:?}"),
    };
    assert_eq!(until(&fixture), Some(at("2026-11-26T18:00:00Z")));
    fixture.freeze_periods = Ok(vec![FreezePeriod {
        id: 5,
        freeze_start: "0 10 * * *".into(),
        freeze_end: "0 14 * * *".into(),
        cron_timezone: "UTC".into(),
    }]);
    assert_eq!(until(&fixture), Some(at("2026-11-26T14:00:00Z")));
    fixture.now = at("2026-11-26T18:30:00Z");
    assert!(fixture.is_open());
    fixture.freeze_periods = Err("GitLab does not answer".into());
    assert_eq!(until(&fixture), None);
    assert_eq!(
        fixture.judge().verdict.reason(),
        Some(Reason::FreezePeriodsUnknown)
    );
}

#[test]
fn gate_messages_match_the_snapshot() {
    let gate = json!({
        "approval": {"kubernetes": {"users": ["bea"], "groups": ["approvers"], "minimumApprovals": 2}},
        "windows": [{"schedule": "0 18 * * *", "timeZone": "UTC", "duration": "1h"}],
        "respectFreezePeriods": true,
    });
    let account = json!({"approval": {"kubernetes": {"groups": ["platform"]}}});
    let mut fixture = Fixture::of(gate, &[("prod", account)]);
    fixture.approves("checkout-7-x", "dora", &["tenants"], 1);
    fixture.freeze_periods = Err("GitLab does not answer".into());
    let mut messages = vec![fixture.message()];
    let jobs = [
        None,
        Some(Job::Missing { near: None }),
        Some(Job::Missing {
            near: Some("approve_prod".into()),
        }),
        Some(Job::Inconclusive {
            status: "created".into(),
        }),
        Some(Job::Waiting),
        Some(Job::Running {
            by: Some("bea".into()),
        }),
        Some(Job::NeedUser(7)),
        Some(Job::TooEarly {
            status: "success".into(),
            by: Some("bea".into()),
        }),
        Some(Job::Ended {
            status: "failed".into(),
            by: Some("bea".into()),
        }),
        Some(Job::Barred {
            by: Some("ana".into()),
            why: "it is this user's own pipeline",
        }),
    ];
    let mut fixture = Fixture::of(
        json!({"approval": {"gitlab": {"manualJob": "approve-prod"}}}),
        &[],
    );
    for job in jobs {
        fixture.jobs.clear();
        fixture
            .jobs
            .extend(job.map(|job| ("approve-prod".to_owned(), job)));
        messages.push(fixture.message());
    }
    let mut fixture = Fixture::of(approvers(1), &[]);
    fixture.decides("no", "carl", &["approvers"], Decision::Reject, 2);
    fixture.approvals[0].spec.comment = Some("not on a Friday".into());
    messages.push(fixture.message());
    let messages = messages.join("\n");
    insta::assert_snapshot!(messages);
}

#[test]
fn approve_command_names_the_exact_subject() {
    let command = approve_command("shop", &SUBJECT, Decision::Approve);
    insta::assert_snapshot!(command);
}

/// Any decision, valid or not.
fn any_approval() -> impl Strategy<Value = Approval> {
    let name = prop::sample::select(vec!["a", "b", "c", "d"]);
    let who = prop::sample::select(vec!["ana", "bea", "carl", "dora"]);
    let group = prop::sample::select(vec!["approvers", "platform", "tenants"]);
    let place = prop::sample::select(vec![
        ("", Value::Null),
        ("", Value::Null),
        ("", Value::Null),
        ("/spec/releaseRef/uid", json!("uid-6")),
        ("/spec/stage", json!("dev")),
        ("/spec/stageDigest", json!("b".repeat(64))),
        ("/spec/decision", json!("Reject")),
        ("/metadata/creationTimestamp", json!("2026-10-01T00:00:00Z")),
    ]);
    (name, who, group, place).prop_map(|(name, who, group, (pointer, value))| {
        let mut one = approval(pointer, value);
        one.metadata.name = Some(name.to_owned());
        one.spec.approver.username = who.to_owned();
        one.spec.approver.groups = vec![group.to_owned()];
        one
    })
}

fn any_gate() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![
        Value::Null,
        approvers(1),
        approvers(2),
        json!({"approval": {"kubernetes": {"users": ["bea"], "expiresAfter": "1h"}}}),
        json!({"approval": {"gitlab": {"manualJob": "approve-prod"}}}),
        json!({"windows": [{"schedule": "0 11 * * *", "timeZone": "UTC", "duration": "2h"}]}),
        json!({"windows": [{"schedule": "0 18 * * *", "timeZone": "UTC", "duration": "2h"}]}),
        json!({"respectFreezePeriods": true}),
    ])
}

fn any_requires() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![
        json!({}),
        json!({"approval": {"kubernetes": {"groups": ["platform"]}}}),
        json!({"approval": {"kubernetes": {
            "groups": ["approvers"], "allowAuthor": false,
            "identities": [{"gitlabUser": "*", "kubernetesUsers": ["*"]}],
        }}}),
        json!({"windows": [{"schedule": "0 9 * * *", "timeZone": "UTC", "duration": "1h"}]}),
    ])
}

prop_compose! {
    fn any_fixture()(
        gate in any_gate(),
        approvals in prop::collection::vec(any_approval(), 0..6),
        used in any::<bool>(),
        job in prop::sample::select(vec![None, Some(Job::Waiting), Some(Job::Approved {
            id: 10, by: None, at: Timestamp::UNIX_EPOCH,
        })]),
        frozen in any::<bool>(),
        in_force in prop::bool::weighted(0.8),
        second in 0..86_400_i64,
    ) -> (Value, Fixture) {
        let mut fixture = Fixture::of(gate.clone(), &[]);
        fixture.approvals = approvals;
        for (at, one) in fixture.approvals.iter_mut().enumerate() {
            one.metadata.uid = Some(format!("uid-of-{at}"));
        }
        fixture.used = (fixture.approvals.first()).filter(|_| used).and_then(Approval::uid).into_iter().collect();
        fixture.jobs.extend(job.map(|job| ("approve-prod".to_owned(), job)));
        if frozen {
            fixture.freeze_periods = Err("GitLab does not answer".into());
        }
        if !in_force {
            fixture.policy = PolicyForce::NotInForce("it is not installed".into());
        }
        fixture.now = at("2026-11-26T00:00:00Z") + jiff::SignedDuration::from_secs(second);
        (gate, fixture)
    }
}

proptest! {
    #[test]
    fn account_only_tightens_a_gate((gate, fixture) in any_fixture(), requires in any_requires()) {
        let alone = fixture.is_open();
        let requirements = Fixture::of(gate, &[("prod", requires)]).requirements;
        let both = Fixture { requirements, ..fixture };
        prop_assert!(alone || !both.is_open());
    }

    /// For any inputs: the Approvals that open a gate are for this Release, stage and plan, were not used
    /// before, and are by different people; those reported as counting are those that are used.
    #[test]
    fn passage_uses_only_approvals_of_the_subject((_, fixture) in any_fixture()) {
        let evaluation = fixture.judge();
        prop_assert_eq!(evaluation.judgements.len(), fixture.approvals.len());
        let counting: BTreeSet<String> = (fixture.approvals.iter().zip(&evaluation.judgements))
            .filter(|(_, judgement)| **judgement == Judgement::Counts)
            .filter_map(|(one, _)| one.uid())
            .collect();
        match evaluation.verdict {
            Verdict::Open(passage) => {
                let used: BTreeSet<String> =
                    passage.approvals.iter().map(|one| one.uid.clone()).collect();
                prop_assert_eq!(&used, &counting);
                prop_assert!(used.is_disjoint(&fixture.used));
                for uid in &used {
                    let one = fixture.approvals.iter().find(|one| one.uid().as_ref() == Some(uid));
                    let spec = &one.unwrap().spec;
                    prop_assert_eq!(spec.release_ref.uid.as_str(), SUBJECT.release_uid);
                    prop_assert_eq!(spec.stage.as_str(), SUBJECT.stage);
                    prop_assert_eq!(spec.stage_digest.as_str(), SUBJECT.stage_digest);
                    prop_assert_eq!(spec.decision, Decision::Approve);
                    prop_assert!(fixture.policy != PolicyForce::NotInForce("it is not installed".into()));
                }
            }
            Verdict::Waiting { reasons, .. } => prop_assert!(!reasons.is_empty()),
            Verdict::Rejected { approval_uid, .. } => prop_assert!(counting.contains(&approval_uid)),
        }
    }

    /// The order in which a cache returns Approvals makes no difference.
    #[test]
    fn order_of_approvals_does_not_matter((_, mut fixture) in any_fixture()) {
        let before = fixture.judge();
        fixture.approvals.reverse();
        let after = fixture.judge();
        let open = |evaluation: &Evaluation| match &evaluation.verdict {
            Verdict::Open(_) => "open",
            Verdict::Waiting { .. } => "waiting",
            Verdict::Rejected { .. } => "rejected",
        };
        prop_assert_eq!(open(&before), open(&after));
    }
}
