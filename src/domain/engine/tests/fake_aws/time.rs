//! Time passes, and AWS completes what is in progress.

use std::time::Duration;

use jiff::SignedDuration;

use super::state::FakeAws;
use crate::domain::workload::lambda::{FunctionState, LastUpdate};

impl FakeAws {
    /// Completes everything that AWS has in progress.
    pub fn settle(&mut self) {
        while self.stacks.is_busy() || self.functions.values().any(|it| it.settles_in > 0) {
            self.tick(Duration::ZERO);
        }
        self.tick(Duration::ZERO);
    }

    pub fn tick(&mut self, passed: Duration) {
        self.now += SignedDuration::try_from(passed).expect("a short duration");
        self.stacks.tick(self.now);
        let settling: Vec<String> = self.functions.keys().cloned().collect();
        for name in settling {
            let revision = self.revision();
            let Some(deployed) = self.functions.get_mut(&name) else {
                continue;
            };
            if deployed.settles_in > 0 {
                deployed.settles_in -= 1;
                if deployed.settles_in == 0 {
                    deployed.latest.last_update = if self.broken.contains_key(&name) {
                        LastUpdate::Failed("no addresses are left in the subnet".into())
                    } else {
                        LastUpdate::Successful
                    };
                    deployed.latest.state = FunctionState::Active;
                    // Like AWS: the revision changes once more.
                    deployed.latest.revision_id = revision;
                }
            }
            let versions = deployed.versions.values_mut();
            for version in versions.filter(|version| version.state == FunctionState::Pending) {
                version.state = FunctionState::Active;
            }
            if let Some(alias) = &mut deployed.alias
                && self.provisioned.contains_key(&name)
                && !self.out_of_concurrency.contains(&alias.version)
                && !alias.weights.is_empty()
            {
                alias.weights.clear();
                alias.revision_id = format!("{}-allocated", alias.revision_id);
            }
        }
    }
}
