//! The steps in which traffic moves, and the bake of each.

use std::time::Duration;

use super::duration::duration;
use crate::api::v1alpha1::Rollout;

/// The steps of a rollout, the last of which has all of the traffic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traffic(Vec<TrafficStep>);

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrafficStep {
    /// Percentage of the requests that the new version gets.
    pub weight: i32,
    /// How long the checks are watched before the next step.
    pub bake: Duration,
}

/// A problem of a rollout: the field below it, and why it is invalid.
pub type Problem = (&'static str, &'static str);

impl Traffic {
    /// All traffic in one step with this bake.
    pub fn all_at_once(bake: Duration) -> Self {
        Self(vec![TrafficStep { weight: 100, bake }])
    }

    /// The steps of a stage's rollout.
    pub fn of(rollout: Option<&Rollout>) -> Result<Self, Problem> {
        let Some(rollout) = rollout else {
            return Ok(Self::all_at_once(Duration::ZERO));
        };
        let last = match &rollout.final_bake {
            Some(bake) => duration(bake).ok_or(("finalBake", "must be a duration such as 10m"))?,
            None => Duration::ZERO,
        };
        let mut steps = Vec::new();
        if let Some(canary) = &rollout.canary {
            for step in &canary.steps {
                let bake = duration(&step.bake)
                    .ok_or(("canary.steps[].bake", "must be a duration such as 10m"))?;
                let before = steps.last().map_or(0, |step: &TrafficStep| step.weight);
                if step.weight <= before {
                    return Err((
                        "canary.steps[].weight",
                        "each step must have more weight than the one before",
                    ));
                }
                steps.push(TrafficStep {
                    weight: step.weight,
                    bake,
                });
            }
        }
        if let Some(linear) = &rollout.linear {
            let bake = duration(&linear.interval)
                .ok_or(("linear.interval", "must be a duration such as 10m"))?;
            let increment = linear.increment.clamp(1, 100);
            let weights = (1..).map(|step| step * increment);
            steps.extend(
                weights
                    .take_while(|weight| *weight < 100)
                    .map(|weight| TrafficStep { weight, bake }),
            );
        }
        steps.push(TrafficStep {
            weight: 100,
            bake: last,
        });
        Ok(Self(steps))
    }

    /// The step with that index; the last one if there are fewer.
    pub fn step(&self, index: usize) -> TrafficStep {
        let all = TrafficStep {
            weight: 100,
            bake: Duration::ZERO,
        };
        self.0.get(index).or(self.0.last()).copied().unwrap_or(all)
    }

    /// The index of the last step.
    pub fn last(&self) -> usize {
        self.0.len().saturating_sub(1)
    }

    /// The shortest bake of the steps that have one; zero if none has.
    pub fn shortest_bake(&self) -> Duration {
        let bakes = self.0.iter().map(|step| step.bake);
        bakes
            .filter(|bake| !bake.is_zero())
            .min()
            .unwrap_or_default()
    }

    /// Whether traffic moves in more than one step.
    pub fn is_gradual(&self) -> bool {
        self.0.len() > 1
    }
}

/// The interval between analyses during a bake: about ten of them, but at least every 30 s and at most
/// once per second.
pub fn evaluation_interval(bake: Duration) -> Duration {
    (bake / 10).clamp(Duration::from_secs(1), Duration::from_secs(30))
}

/// The time that one analysis adds to the bake. After a jump of the clock or an absence of the controller, it
/// adds at most two intervals: only time with analyses counts as bake.
pub fn watched(since_last: Duration, bake: Duration) -> Duration {
    since_last.min(evaluation_interval(bake) * 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::v1alpha1::{Canary, CanaryStep, Linear};

    fn weights(rollout: &Rollout) -> Vec<(i32, u64)> {
        let traffic = Traffic::of(Some(rollout)).expect("valid");
        traffic
            .0
            .iter()
            .map(|step| (step.weight, step.bake.as_secs()))
            .collect()
    }

    #[test]
    fn every_rollout_ends_with_all_of_the_traffic() {
        let linear = Rollout {
            linear: Some(Linear {
                increment: 30,
                interval: "1m".into(),
            }),
            ..Rollout::default()
        };
        assert_eq!(weights(&linear), [(30, 60), (60, 60), (90, 60), (100, 0)]);
        let canary = Rollout {
            canary: Some(Canary {
                steps: vec![CanaryStep {
                    weight: 10,
                    bake: "5m".into(),
                }],
            }),
            final_bake: Some("1m".into()),
            ..Rollout::default()
        };
        assert_eq!(weights(&canary), [(10, 300), (100, 60)]);
        let all = Traffic::of(None).expect("valid");
        assert!(!all.is_gradual());
        assert_eq!(all.step(0).weight, 100);
    }

    #[test]
    fn canary_weights_must_increase() {
        let step = |weight| CanaryStep {
            weight,
            bake: "1s".into(),
        };
        let canary = Rollout {
            canary: Some(Canary {
                steps: vec![step(50), step(10)],
            }),
            ..Rollout::default()
        };
        let field = Traffic::of(Some(&canary)).map_err(|(field, _)| field);
        assert_eq!(field.err(), Some("canary.steps[].weight"));
    }

    #[test]
    fn a_jump_of_the_clock_does_not_complete_a_bake() {
        let bake = Duration::from_mins(5);
        assert_eq!(evaluation_interval(bake), Duration::from_secs(30));
        assert_eq!(
            watched(Duration::from_hours(9), bake),
            Duration::from_mins(1)
        );
        assert_eq!(
            watched(Duration::from_secs(30), bake),
            Duration::from_secs(30)
        );
    }
}
