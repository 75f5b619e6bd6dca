//! Which Releases are kept.

use super::{preflights::wrong as refuse, *};
use crate::domain::reason::Reason;

fn needed(sim: &Simulation) -> Vec<i64> {
    super::super::needed(&sim.overview).into_iter().collect()
}

/// A gatekeeper that lets no Release into prod.
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
fn release_at_a_gate_is_kept() {
    let mut sim = Simulation::new();
    sim.overview.superseding = Superseding::Hold;
    for revision in 1..=16 {
        sim.release(revision);
        sim.plan_with(&Closed);
        sim.report("dev", "dev", Step::Succeeded, None);
        sim.plan_with(&Closed);
    }
    let waiting = sim.overview.reported[1].waiting.as_ref();
    assert_eq!(waiting.map(|at| at.release.revision), Some(1));
    assert_eq!(needed(&sim), [1, 15, 16]);
}

#[test]
fn release_to_roll_back_to_is_kept() {
    let mut sim = Simulation::new();
    sim.release(1);
    sim.deliver_everywhere();
    sim.release(2);
    sim.deliver_everywhere();
    for revision in 3..=9 {
        sim.release(revision);
        sim.plan();
        sim.report("dev", "dev", Step::RolledBack, Some("alarm"));
        sim.plan();
    }
    sim.release(10);
    sim.deliver_everywhere();
    // dev and prod would roll back to r2, which no run and no snapshot names any longer.
    assert_eq!(needed(&sim), [2, 10]);
}

#[test]
fn next_release_of_a_later_stage_is_kept() {
    let mut sim = Simulation::new();
    for revision in 1..=2 {
        sim.release(revision);
        sim.plan();
        sim.report("dev", "dev", Step::Succeeded, None);
        sim.plan();
        // r1 stays in progress in prod, and everything after r2 fails in dev.
        sim.report("prod", "prod-a", Step::Promote, None);
    }
    for revision in 3..=9 {
        sim.release(revision);
        sim.plan();
        sim.report("dev", "dev", Step::RolledBack, Some("alarm"));
        sim.plan();
    }
    assert_eq!(needed(&sim), [1, 2, 9]);
}

#[test]
fn next_release_is_kept_when_newer_ones_are_refused() {
    let mut sim = Simulation::new();
    sim.release(1);
    sim.plan();
    sim.report("dev", "dev", Step::Promote, None);
    for revision in 2..=9 {
        sim.release(revision);
        if revision > 2 {
            refuse(&mut sim, revision, &["dev"]);
        }
    }
    sim.plan();
    assert_eq!(needed(&sim), [1, 2]);
}

#[test]
fn planned_release_of_a_target_is_kept() {
    let mut sim = Simulation::new();
    for revision in 1..=3 {
        sim.release(revision);
        sim.deliver_everywhere();
    }
    assert_eq!(needed(&sim), [2, 3]);
    let one = sim.overview.releases[0].reference.clone();
    sim.target("prod", &stage_target("prod-b")).plan = Some((one, "bb".into()));
    assert_eq!(needed(&sim), [1, 2, 3]);
}
