//! What is delivered, taken back and removed: each scenario up to where it begins, and from there to its
//! end.

use async_trait::async_trait;
use kube::api::DeleteParams;
use serde_json::{Value, json};
use sluice::api::v1alpha1::Deployment;

use crate::{
    orders::{Corrected, PlannedLate, RetriedHeld, StageRemoved},
    play::{LIMIT, NAME, Play, SITE, Wrong, wait_until, wrong},
};

/// Something that a controller carries out.
#[async_trait(?Send)]
pub trait Scenario: Send + Sync {
    /// Its name.
    fn name(&self) -> &'static str;
    /// Up to where things may go wrong.
    async fn prepare(&self, play: &Play<'_>) -> Result<(), Wrong>;
    /// To its end.
    async fn act(&self, play: &Play<'_>) -> Result<(), Wrong>;
    /// Whether what stood before must stand again.
    fn goes_back(&self) -> bool {
        false
    }
    /// Whether the Deployment is gone at the end.
    fn is_removal(&self) -> bool {
        false
    }
}

/// Every scenario.
pub fn all() -> Vec<&'static dyn Scenario> {
    vec![
        &Create,
        &Update,
        &Levels,
        &Canary,
        &FailedBefore,
        &FailedAt(10),
        &FailedAt(50),
        &FailedPrepare,
        &TwoTargets,
        &Rollback,
        &Approved,
        &Superseded,
        &Deleted,
        &Dropped,
        &Site,
        &Together,
        &TogetherBack,
        &Corrected,
        &PlannedLate,
        &RetriedHeld,
        &StageRemoved,
    ]
}

/// The only component of most scenarios.
pub const ONE: [&str; 1] = ["api"];
const THREE: [&str; 3] = ["api", "worker", "front"];

/// A check that invokes the component.
pub fn smoke(component: &str) -> Value {
    json!({
        "name": "smoke",
        "invoke": {"component": component, "expect": {"path": "/statusCode", "equals": 200}},
    })
}

/// Has v1 of these served.
pub async fn serving(play: &Play<'_>, components: &[&str], wanted: &Value) -> Result<(), Wrong> {
    play.push("v1", components, &[]);
    play.apply(wanted).await?;
    play.delivered(1).await
}

/// Has v1 served in a stage that waits for somebody's yes.
pub async fn gated(play: &Play<'_>) -> Result<(), Wrong> {
    let mut wanted = play.deployment(&ONE, &["dev"]);
    wanted["spec"]["stages"][0]["gate"] =
        json!({"approval": {"kubernetes": {"groups": ["sluice:approvers"]}}});
    play.push("v1", &ONE, &[]);
    play.apply(&wanted).await?;
    play.let_in("dev").await?;
    play.delivered(1).await
}

/// A function is made.
struct Create;

#[async_trait(?Send)]
impl Scenario for Create {
    fn name(&self) -> &'static str {
        "create"
    }

    async fn prepare(&self, play: &Play<'_>) -> Result<(), Wrong> {
        play.push("v1", &ONE, &[]);
        Ok(())
    }

    async fn act(&self, play: &Play<'_>) -> Result<(), Wrong> {
        let mut wanted = play.deployment(&ONE, &["dev"]);
        wanted["spec"]["stages"][0]["checks"] = json!([smoke("api")]);
        play.apply(&wanted).await?;
        play.delivered(1).await
    }
}

/// A function's code and settings change.
struct Update;

#[async_trait(?Send)]
impl Scenario for Update {
    fn name(&self) -> &'static str {
        "update"
    }

    async fn prepare(&self, play: &Play<'_>) -> Result<(), Wrong> {
        let mut wanted = play.deployment(&ONE, &["dev"]);
        wanted["spec"]["stages"][0]["checks"] = json!([smoke("api")]);
        serving(play, &ONE, &wanted).await
    }

    async fn act(&self, play: &Play<'_>) -> Result<(), Wrong> {
        play.push("v2", &ONE, &[]);
        play.delivered(2).await
    }
}

/// Two functions, and a third that depends on them.
fn levels(play: &Play<'_>) -> Value {
    let mut wanted = play.deployment(&THREE, &["dev"]);
    wanted["spec"]["components"][2]["dependsOn"] = json!(["api", "worker"]);
    wanted["spec"]["stages"][0]["checks"] = json!([smoke("front")]);
    wanted
}

/// Three functions in two levels change.
struct Levels;

#[async_trait(?Send)]
impl Scenario for Levels {
    fn name(&self) -> &'static str {
        "levels"
    }

    async fn prepare(&self, play: &Play<'_>) -> Result<(), Wrong> {
        serving(play, &THREE, &levels(play)).await
    }

    async fn act(&self, play: &Play<'_>) -> Result<(), Wrong> {
        play.push("v2", &THREE, &[]);
        play.delivered(2).await
    }
}

/// One function, moved in these steps.
fn canary(play: &Play<'_>, steps: &[(u32, &str)]) -> Value {
    let step = |(weight, bake): &(u32, &str)| json!({"weight": weight, "bake": bake});
    let mut wanted = play.deployment(&ONE, &["dev"]);
    let steps: Vec<Value> = steps.iter().map(step).collect();
    wanted["spec"]["stages"][0]["rollout"] = json!({"canary": {"steps": steps}});
    wanted["spec"]["stages"][0]["checks"] = json!([smoke("api")]);
    wanted
}

/// Traffic moves in steps.
struct Canary;

#[async_trait(?Send)]
impl Scenario for Canary {
    fn name(&self) -> &'static str {
        "canary"
    }

    async fn prepare(&self, play: &Play<'_>) -> Result<(), Wrong> {
        serving(play, &ONE, &canary(play, &[(10, "1s"), (50, "1s")])).await
    }

    async fn act(&self, play: &Play<'_>) -> Result<(), Wrong> {
        play.push("v2", &ONE, &[]);
        play.delivered(2).await
    }
}

/// The check fails before any traffic has moved.
struct FailedBefore;

#[async_trait(?Send)]
impl Scenario for FailedBefore {
    fn name(&self) -> &'static str {
        "failed-at-0"
    }

    async fn prepare(&self, play: &Play<'_>) -> Result<(), Wrong> {
        serving(play, &ONE, &canary(play, &[(10, "1s"), (50, "1s")])).await
    }

    async fn act(&self, play: &Play<'_>) -> Result<(), Wrong> {
        play.push("v2", &ONE, &["api"]);
        play.stalled("RolledBack").await
    }

    fn goes_back(&self) -> bool {
        true
    }
}

/// An alarm goes red while this share of the traffic has moved.
struct FailedAt(u32);

#[async_trait(?Send)]
impl Scenario for FailedAt {
    fn name(&self) -> &'static str {
        match self.0 {
            10 => "failed-at-10",
            _ => "failed-at-50",
        }
    }

    async fn prepare(&self, play: &Play<'_>) -> Result<(), Wrong> {
        play.alarm("dev").await?;
        let long = |weight: u32| if weight == self.0 { "10m" } else { "1s" };
        let mut wanted = canary(play, &[(10, long(10)), (50, long(50))]);
        let alarm = json!({"name": "errors", "alarms": {"names": [play.function("errors")]}});
        wanted["spec"]["stages"][0]["checks"] = json!([smoke("api"), alarm]);
        serving(play, &ONE, &wanted).await
    }

    async fn act(&self, play: &Play<'_>) -> Result<(), Wrong> {
        play.push("v2", &ONE, &[]);
        play.routed("dev", "api", &format!("1, {} % to 2", self.0))
            .await?;
        play.turn_red("dev").await?;
        play.stalled("RolledBack").await
    }

    fn goes_back(&self) -> bool {
        true
    }
}

/// Of three functions the second can't be prepared.
struct FailedPrepare;

#[async_trait(?Send)]
impl Scenario for FailedPrepare {
    fn name(&self) -> &'static str {
        "failed-prepare"
    }

    async fn prepare(&self, play: &Play<'_>) -> Result<(), Wrong> {
        let mut wanted = play.deployment(&THREE, &["dev"]);
        wanted["spec"]["components"][1]["dependsOn"] = json!(["api"]);
        wanted["spec"]["components"][2]["dependsOn"] = json!(["worker"]);
        serving(play, &THREE, &wanted).await?;
        let gate = &play.slot.gate;
        gate.refuse("PublishVersion", play.function("worker"));
        Ok(())
    }

    async fn act(&self, play: &Play<'_>) -> Result<(), Wrong> {
        play.push("v2", &THREE, &[]);
        play.stalled("RolledBack").await
    }

    fn goes_back(&self) -> bool {
        true
    }
}

/// A stage of two targets, of which one fails.
struct TwoTargets;

#[async_trait(?Send)]
impl Scenario for TwoTargets {
    fn name(&self) -> &'static str {
        "two-targets"
    }

    async fn prepare(&self, play: &Play<'_>) -> Result<(), Wrong> {
        let mut wanted = play.deployment(&ONE, &["all"]);
        let target = |account: &str| json!({"account": play.slot.account_name(account), "region": "eu-west-1"});
        wanted["spec"]["stages"][0]["targets"] = json!([target("dev"), target("prod")]);
        // Side by side, how far the one has come when the other fails would be anybody's guess.
        wanted["spec"]["stages"][0]["maxConcurrentTargets"] = json!(1);
        serving(play, &ONE, &wanted).await?;
        let gate = &play.slot.gate;
        gate.refuse_in("PublishVersion", play.ground.account_id("prod"));
        Ok(())
    }

    async fn act(&self, play: &Play<'_>) -> Result<(), Wrong> {
        play.push("v2", &ONE, &[]);
        play.stalled("RolledBack").await
    }

    fn goes_back(&self) -> bool {
        true
    }
}

/// What serves is taken back by command.
struct Rollback;

#[async_trait(?Send)]
impl Scenario for Rollback {
    fn name(&self) -> &'static str {
        "rollback"
    }

    async fn prepare(&self, play: &Play<'_>) -> Result<(), Wrong> {
        let wanted = play.deployment(&ONE, &["dev"]);
        serving(play, &ONE, &wanted).await?;
        play.push("v2", &ONE, &[]);
        play.delivered(2).await
    }

    async fn act(&self, play: &Play<'_>) -> Result<(), Wrong> {
        play.annotate("sluice.dev/rollback", "it was wrong").await?;
        play.stalled("RolledBack").await?;
        play.wait("r1 serves", |deployment| {
            let live = deployment.status.as_ref()?.live.as_deref();
            (live == Some("dev=r1")).then_some(())
        })
        .await
    }
}

/// A stage that waits for somebody's yes.
struct Approved;

#[async_trait(?Send)]
impl Scenario for Approved {
    fn name(&self) -> &'static str {
        "approval"
    }

    async fn prepare(&self, play: &Play<'_>) -> Result<(), Wrong> {
        gated(play).await
    }

    async fn act(&self, play: &Play<'_>) -> Result<(), Wrong> {
        play.push("v2", &ONE, &[]);
        play.let_in("dev").await?;
        play.delivered(2).await
    }
}

/// A newer Release takes the place of one that is being delivered.
struct Superseded;

#[async_trait(?Send)]
impl Scenario for Superseded {
    fn name(&self) -> &'static str {
        "supersede"
    }

    async fn prepare(&self, play: &Play<'_>) -> Result<(), Wrong> {
        gated(play).await?;
        play.push("v2", &ONE, &[]);
        play.waits_for_approval("dev").await.map(drop)
    }

    async fn act(&self, play: &Play<'_>) -> Result<(), Wrong> {
        play.push("v3", &ONE, &[]);
        let what = "r3 waits in the place of r2";
        let waiting = play.wait(what, |deployment| {
            let stages = &deployment.status.as_ref()?.stages;
            let waiting = stages[0].waiting.as_ref()?;
            let it = waiting.release.revision == 3
                && waiting.reason == "WaitingForApproval"
                && waiting.digest.is_some();
            it.then(|| waiting.clone())
        });
        play.approve("dev", &waiting.await?).await?;
        play.delivered(3).await
    }
}

/// The Deployment is deleted, and all that it made.
struct Deleted;

#[async_trait(?Send)]
impl Scenario for Deleted {
    fn name(&self) -> &'static str {
        "delete"
    }

    async fn prepare(&self, play: &Play<'_>) -> Result<(), Wrong> {
        let mut wanted = play.deployment(&["api", "worker"], &["dev"]);
        wanted["spec"]["deletionPolicy"] = json!("Delete");
        serving(play, &["api", "worker"], &wanted).await
    }

    async fn act(&self, play: &Play<'_>) -> Result<(), Wrong> {
        let api = play.api::<Deployment>();
        let how = DeleteParams::background();
        api.delete(NAME, &how).await.map_err(wrong)?;
        play.all_gone().await
    }

    fn is_removal(&self) -> bool {
        true
    }
}

/// A function is wanted no more.
struct Dropped;

#[async_trait(?Send)]
impl Scenario for Dropped {
    fn name(&self) -> &'static str {
        "dropped"
    }

    async fn prepare(&self, play: &Play<'_>) -> Result<(), Wrong> {
        let mut wanted = play.deployment(&["api", "worker"], &["dev"]);
        wanted["spec"]["deletionPolicy"] = json!("Delete");
        serving(play, &["api", "worker"], &wanted).await
    }

    async fn act(&self, play: &Play<'_>) -> Result<(), Wrong> {
        let mut wanted = play.deployment(&ONE, &["dev"]);
        wanted["spec"]["deletionPolicy"] = json!("Delete");
        play.apply(&wanted).await?;
        play.delivered(2).await?;
        let what = "the Target has one function left";
        let left = wait_until(what, LIMIT, async || {
            let status = play.target("dev").await?.status.unwrap_or_default();
            let items = status.inventory.iter();
            let items: Vec<_> = items.map(|item| item.component.as_str()).collect();
            if items == ONE {
                Ok(())
            } else {
                Err(format!("{items:?}"))
            }
        });
        left.await.map_err(wrong)
    }
}

/// Files change, come and go.
struct Site;

#[async_trait(?Send)]
impl Scenario for Site {
    fn name(&self) -> &'static str {
        "site"
    }

    async fn prepare(&self, play: &Play<'_>) -> Result<(), Wrong> {
        serving(play, &[SITE], &play.deployment(&[SITE], &["dev"])).await
    }

    async fn act(&self, play: &Play<'_>) -> Result<(), Wrong> {
        play.push("v2", &[SITE], &[]);
        play.delivered(2).await
    }
}

/// A function, and files that are put before it is touched.
fn together(play: &Play<'_>) -> Value {
    let mut wanted = play.deployment(&[SITE, "api"], &["dev"]);
    wanted["spec"]["components"][1]["dependsOn"] = json!([SITE]);
    wanted["spec"]["stages"][0]["checks"] = json!([smoke("api")]);
    wanted
}

/// A function and files change together.
struct Together;

#[async_trait(?Send)]
impl Scenario for Together {
    fn name(&self) -> &'static str {
        "together"
    }

    async fn prepare(&self, play: &Play<'_>) -> Result<(), Wrong> {
        serving(play, &[SITE, "api"], &together(play)).await
    }

    async fn act(&self, play: &Play<'_>) -> Result<(), Wrong> {
        play.push("v2", &[SITE, "api"], &[]);
        play.delivered(2).await
    }
}

/// Files that are put already go back with a function whose check fails.
struct TogetherBack;

#[async_trait(?Send)]
impl Scenario for TogetherBack {
    fn name(&self) -> &'static str {
        "together-back"
    }

    async fn prepare(&self, play: &Play<'_>) -> Result<(), Wrong> {
        serving(play, &[SITE, "api"], &together(play)).await
    }

    async fn act(&self, play: &Play<'_>) -> Result<(), Wrong> {
        play.push("v2", &[SITE, "api"], &["api"]);
        play.stalled("RolledBack").await
    }

    fn goes_back(&self) -> bool {
        true
    }
}
