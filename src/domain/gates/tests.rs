//! Gates as a whole: what opens them, what they say, and what never does.
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

/// A gate and all that it is judged by.
#[derive(Debug)]
struct Scene {
    requirements: Requirements,
    approvals: Vec<Approval>,
    used: BTreeSet<String>,
    policy: PolicyForce,
    jobs: BTreeMap<String, Job>,
    freeze_periods: Result<Vec<FreezePeriod>, String>,
    now: Timestamp,
}

impl Scene {
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

    /// Somebody's decision, made at that minute after ten.
    fn says(&mut self, name: &str, who: &str, groups: &[&str], decision: Decision, minute: u32) {
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
        self.says(name, who, groups, Decision::Approve, minute);
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

    /// What became of each Approval: its reason.
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
fn no_gate_is_open() {
    let scene = Scene::of(Value::Null, &[]);
    assert_eq!(scene.judge().verdict, Verdict::Open(GatePassage::default()));
}

#[test]
fn a_gate_opens_once_enough_people_have_approved() {
    let mut scene = Scene::of(approvers(2), &[]);
    scene.approves("first", "bea", &["approvers"], 1);
    assert!(!scene.is_open());
    scene.approves("second", "carl", &["approvers"], 2);
    let Verdict::Open(passage) = scene.judge().verdict else {
        panic!("{}", scene.message());
    };
    let used: Vec<&str> = passage
        .approvals
        .iter()
        .map(|one| one.uid.as_str())
        .collect();
    assert_eq!(used, ["uid-of-first", "uid-of-second"]);
}

#[test]
fn the_same_person_counts_once_and_the_first_time() {
    let mut scene = Scene::of(approvers(2), &[]);
    scene.approves("later", "bea", &["approvers"], 2);
    scene.approves("earlier", "bea", &["approvers"], 1);
    assert!(!scene.is_open());
    assert_eq!(scene.reasons(), ["Repeated", "Counts"]);
    assert!(
        scene
            .message()
            .contains("bea has approved already, by earlier")
    );
}

#[test]
fn what_was_used_does_not_open_it_again() {
    let mut scene = Scene::of(approvers(1), &[]);
    scene.approves("first", "bea", &["approvers"], 1);
    assert!(scene.is_open());
    scene.used.insert("uid-of-first".to_owned());
    assert!(!scene.is_open());
    assert_eq!(scene.reasons(), ["Used"]);
    scene.approves("second", "bea", &["approvers"], 2);
    assert!(scene.is_open());
}

#[test]
fn a_rejection_wins_over_everything() {
    let mut scene = Scene::of(approvers(1), &[]);
    scene.approves("yes", "bea", &["approvers"], 1);
    scene.says("no", "carl", &["approvers"], Decision::Reject, 2);
    let verdict = scene.judge().verdict;
    assert_eq!(verdict.reason(), Some(Reason::Rejected));
    assert!(
        matches!(&verdict, Verdict::Rejected { approval, by, .. } if approval == "no" && by == "carl")
    );
    // Somebody who may not approve may not reject either.
    let mut scene = Scene::of(approvers(1), &[]);
    scene.approves("yes", "bea", &["approvers"], 1);
    scene.says("no", "dora", &["tenants"], Decision::Reject, 2);
    assert!(scene.is_open());
    assert_eq!(scene.reasons(), ["Counts", "NotAllowed"]);
}

#[test]
fn a_rejection_counts_for_its_plan_only() {
    let mut scene = Scene::of(approvers(1), &[]);
    scene.says("no", "carl", &["approvers"], Decision::Reject, 1);
    scene.approvals[0].spec.stage_digest = "b".repeat(64);
    assert_eq!(scene.reasons(), ["OtherPlan"]);
    assert_eq!(
        scene.judge().verdict.reason(),
        Some(Reason::WaitingForApproval)
    );
}

#[test]
fn nothing_counts_without_the_policy() {
    let mut scene = Scene::of(approvers(1), &[]);
    scene.approves("yes", "bea", &["approvers"], 1);
    scene.says("no", "carl", &["approvers"], Decision::Reject, 2);
    scene.policy = PolicyForce::NotInForce("the binding is gone".into());
    assert_eq!(scene.reasons(), ["PolicyNotInForce", "PolicyNotInForce"]);
    assert_eq!(
        scene.judge().verdict.reason(),
        Some(Reason::PolicyNotInForce)
    );
    assert!(
        scene
            .message()
            .contains("no Approval counts: the binding is gone")
    );
}

#[test]
fn a_changed_plan_voids_an_approval_and_says_so() {
    let mut scene = Scene::of(approvers(1), &[]);
    scene.approves("old", "bea", &["approvers"], 1);
    scene.approvals[0].spec.stage_digest = "b".repeat(64);
    assert!(!scene.is_open());
    assert!(
        scene
            .message()
            .contains("Approval old does not count: the plan of stage prod has changed"),
        "{}",
        scene.message()
    );
}

#[test]
fn an_account_asks_on_top_and_one_approval_may_do_for_both() {
    let mut scene = Scene::of(
        approvers(1),
        &[(
            "prod",
            json!({"approval": {"kubernetes": {"groups": ["platform"]}}}),
        )],
    );
    scene.approves("team", "bea", &["approvers"], 1);
    assert!(!scene.is_open());
    assert!(
        scene
            .message()
            .contains("0 of 1 approvals by a member of platform (Account prod)")
    );
    assert_eq!(scene.reasons(), ["Counts"]);
    scene.approves("both", "carl", &["approvers", "platform"], 2);
    assert!(scene.is_open());
}

#[test]
fn approvals_that_nobody_asks_for_are_not_counted() {
    let window =
        json!({"windows": [{"schedule": "0 9 * * *", "timeZone": "UTC", "duration": "8h"}]});
    let mut scene = Scene::of(window, &[]);
    scene.approves("yes", "bea", &["approvers"], 1);
    assert!(scene.is_open());
    assert_eq!(scene.reasons(), ["NotAsked"]);
}

#[test]
fn a_manual_job_opens_it() {
    let mut scene = Scene::of(
        json!({"approval": {"gitlab": {"manualJob": "approve-prod"}}}),
        &[],
    );
    assert!(!scene.is_open(), "it was not looked at");
    scene.jobs.insert("approve-prod".into(), Job::Waiting);
    assert!(!scene.is_open());
    let approved = Job::Approved {
        id: 10,
        by: Some("bea".into()),
        at: at(NOW),
    };
    scene.jobs.insert("approve-prod".into(), approved);
    let Verdict::Open(passage) = scene.judge().verdict else {
        panic!("{}", scene.message());
    };
    assert_eq!(passage.jobs[0].username.as_deref(), Some("bea"));
}

#[test]
fn time_is_told_where_time_alone_may_open_it() {
    let gate = json!({
        "windows": [{"schedule": "0 18 * * *", "timeZone": "UTC", "duration": "1h"}],
        "respectFreezePeriods": true,
    });
    let mut scene = Scene::of(gate, &[]);
    let until = |scene: &Scene| match scene.judge().verdict {
        Verdict::Waiting { until, .. } => until,
        other => panic!("{other:?}"),
    };
    assert_eq!(until(&scene), Some(at("2026-11-26T18:00:00Z")));
    scene.freeze_periods = Ok(vec![FreezePeriod {
        id: 5,
        freeze_start: "0 10 * * *".into(),
        freeze_end: "0 14 * * *".into(),
        cron_timezone: "UTC".into(),
    }]);
    assert_eq!(until(&scene), Some(at("2026-11-26T14:00:00Z")));
    scene.now = at("2026-11-26T18:30:00Z");
    assert!(scene.is_open());
    scene.freeze_periods = Err("GitLab does not answer".into());
    assert_eq!(until(&scene), None);
    assert_eq!(
        scene.judge().verdict.reason(),
        Some(Reason::FreezePeriodsUnknown)
    );
}

#[test]
fn what_it_says_reads_like_this() {
    let gate = json!({
        "approval": {"kubernetes": {"users": ["bea"], "groups": ["approvers"], "minimumApprovals": 2}},
        "windows": [{"schedule": "0 18 * * *", "timeZone": "UTC", "duration": "1h"}],
        "respectFreezePeriods": true,
    });
    let account = json!({"approval": {"kubernetes": {"groups": ["platform"]}}});
    let mut scene = Scene::of(gate, &[("prod", account)]);
    scene.approves("checkout-7-x", "dora", &["tenants"], 1);
    scene.freeze_periods = Err("GitLab does not answer".into());
    let mut told = vec![scene.message()];
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
    let mut scene = Scene::of(
        json!({"approval": {"gitlab": {"manualJob": "approve-prod"}}}),
        &[],
    );
    for job in jobs {
        scene.jobs.clear();
        scene
            .jobs
            .extend(job.map(|job| ("approve-prod".to_owned(), job)));
        told.push(scene.message());
    }
    let mut scene = Scene::of(approvers(1), &[]);
    scene.says("no", "carl", &["approvers"], Decision::Reject, 2);
    scene.approvals[0].spec.comment = Some("not on a Friday".into());
    told.push(scene.message());
    let told = told.join("\n");
    insta::assert_snapshot!(told);
}

#[test]
fn the_command_says_exactly_what_is_approved() {
    let command = approve_command("shop", &SUBJECT, Decision::Approve);
    insta::assert_snapshot!(command);
}

/// A decision of somebody, good or not.
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
    fn any_scene()(
        gate in any_gate(),
        approvals in prop::collection::vec(any_approval(), 0..6),
        used in any::<bool>(),
        job in prop::sample::select(vec![None, Some(Job::Waiting), Some(Job::Approved {
            id: 10, by: None, at: Timestamp::UNIX_EPOCH,
        })]),
        frozen in any::<bool>(),
        in_force in prop::bool::weighted(0.8),
        second in 0..86_400_i64,
    ) -> (Value, Scene) {
        let mut scene = Scene::of(gate.clone(), &[]);
        scene.approvals = approvals;
        for (at, one) in scene.approvals.iter_mut().enumerate() {
            one.metadata.uid = Some(format!("uid-of-{at}"));
        }
        scene.used = (scene.approvals.first()).filter(|_| used).and_then(Approval::uid).into_iter().collect();
        scene.jobs.extend(job.map(|job| ("approve-prod".to_owned(), job)));
        if frozen {
            scene.freeze_periods = Err("GitLab does not answer".into());
        }
        if !in_force {
            scene.policy = PolicyForce::NotInForce("it is not installed".into());
        }
        scene.now = at("2026-11-26T00:00:00Z") + jiff::SignedDuration::from_secs(second);
        (gate, scene)
    }
}

proptest! {
    #[test]
    fn an_account_can_only_tighten((gate, scene) in any_scene(), requires in any_requires()) {
        let alone = scene.is_open();
        let requirements = Scene::of(gate, &[("prod", requires)]).requirements;
        let both = Scene { requirements, ..scene };
        prop_assert!(alone || !both.is_open());
    }

    /// Whatever is there: what opens a gate is of this Release, stage and plan, was not used before,
    /// and is by different people; what is said to count is what is used.
    #[test]
    fn what_opens_a_gate_is_good_for_exactly_this((_, scene) in any_scene()) {
        let evaluation = scene.judge();
        prop_assert_eq!(evaluation.judgements.len(), scene.approvals.len());
        let counting: BTreeSet<String> = (scene.approvals.iter().zip(&evaluation.judgements))
            .filter(|(_, judgement)| **judgement == Judgement::Counts)
            .filter_map(|(one, _)| one.uid())
            .collect();
        match evaluation.verdict {
            Verdict::Open(passage) => {
                let used: BTreeSet<String> =
                    passage.approvals.iter().map(|one| one.uid.clone()).collect();
                prop_assert_eq!(&used, &counting);
                prop_assert!(used.is_disjoint(&scene.used));
                for uid in &used {
                    let one = scene.approvals.iter().find(|one| one.uid().as_ref() == Some(uid));
                    let spec = &one.unwrap().spec;
                    prop_assert_eq!(spec.release_ref.uid.as_str(), SUBJECT.release_uid);
                    prop_assert_eq!(spec.stage.as_str(), SUBJECT.stage);
                    prop_assert_eq!(spec.stage_digest.as_str(), SUBJECT.stage_digest);
                    prop_assert_eq!(spec.decision, Decision::Approve);
                    prop_assert!(scene.policy != PolicyForce::NotInForce("it is not installed".into()));
                }
            }
            Verdict::Waiting { reasons, .. } => prop_assert!(!reasons.is_empty()),
            Verdict::Rejected { approval_uid, .. } => prop_assert!(counting.contains(&approval_uid)),
        }
    }

    /// The order in which a cache gives Approvals means nothing.
    #[test]
    fn the_order_of_approvals_does_not_matter((_, mut scene) in any_scene()) {
        let before = scene.judge();
        scene.approvals.reverse();
        let after = scene.judge();
        let open = |evaluation: &Evaluation| match &evaluation.verdict {
            Verdict::Open(_) => "open",
            Verdict::Waiting { .. } => "waiting",
            Verdict::Rejected { .. } => "rejected",
        };
        prop_assert_eq!(open(&before), open(&after));
    }
}
