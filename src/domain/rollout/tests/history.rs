//! Which Releases are kept.

use super::{commands::deliver_everywhere, preflights::wrong as refused, *};
use crate::domain::reason::Reason;

fn needed(story: &Play) -> Vec<i64> {
    super::super::needed(&story.overview).into_iter().collect()
}

/// Lets nothing into prod.
struct Closed;

impl Gatekeeper for Closed {
    fn asks(&self, entry: &Entry<'_>) -> Asks {
        if entry.stage == "prod" {
            Asks::Something
        } else {
            Asks::Nothing
        }
    }

    fn ask(&self, _: &Ask<'_>) -> Evaluated {
        Answer::Waiting {
            reason: Reason::WaitingForApproval,
            message: String::new(),
            manual_jobs: Vec::new(),
            until: None,
        }
        .into()
    }
}

#[test]
fn what_waits_at_a_gate_is_kept() {
    let mut story = Play::new();
    story.overview.superseding = Superseding::Hold;
    for revision in 1..=16 {
        story.release(revision);
        story.plan_with(&Closed);
        story.report("dev", "dev", Step::Succeeded, None);
        story.plan_with(&Closed);
    }
    let waiting = story.overview.reported[1].waiting.as_ref();
    assert_eq!(waiting.map(|at| at.release.revision), Some(1));
    assert_eq!(needed(&story), [1, 15, 16]);
}

#[test]
fn what_a_rollback_would_go_to_is_kept() {
    let mut story = Play::new();
    story.release(1);
    deliver_everywhere(&mut story);
    story.release(2);
    deliver_everywhere(&mut story);
    for revision in 3..=9 {
        story.release(revision);
        story.plan();
        story.report("dev", "dev", Step::RolledBack, Some("alarm"));
        story.plan();
    }
    story.release(10);
    deliver_everywhere(&mut story);
    // r2 is what dev and prod would go back to, which no order and no snapshot names any more.
    assert_eq!(needed(&story), [2, 10]);
}

#[test]
fn what_a_later_stage_gets_next_is_kept() {
    let mut story = Play::new();
    for revision in 1..=2 {
        story.release(revision);
        story.plan();
        story.report("dev", "dev", Step::Succeeded, None);
        story.plan();
        // r1 moves in prod for long, and whatever comes after r2 fails in dev.
        story.report("prod", "prod-a", Step::Promote, None);
    }
    for revision in 3..=9 {
        story.release(revision);
        story.plan();
        story.report("dev", "dev", Step::RolledBack, Some("alarm"));
        story.plan();
    }
    assert_eq!(needed(&story), [1, 2, 9]);
}

#[test]
fn what_the_first_stage_gets_next_is_kept_though_all_newer_ones_are_refused() {
    let mut story = Play::new();
    story.release(1);
    story.plan();
    story.report("dev", "dev", Step::Promote, None);
    for revision in 2..=9 {
        story.release(revision);
        if revision > 2 {
            refused(&mut story, revision, &["dev"]);
        }
    }
    story.plan();
    assert_eq!(needed(&story), [1, 2]);
}

#[test]
fn what_a_target_plans_is_kept() {
    let mut story = Play::new();
    for revision in 1..=3 {
        story.release(revision);
        deliver_everywhere(&mut story);
    }
    assert_eq!(needed(&story), [2, 3]);
    let one = story.overview.releases[0].reference.clone();
    story.target("prod", &place("prod-b")).plan = Some((one, "bb".into()));
    assert_eq!(needed(&story), [1, 2, 3]);
}
