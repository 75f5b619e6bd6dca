//! The input of gates: freeze periods, and who started a manual job.

use sluice::{
    api::v1alpha1::{GitLabApproval, ManualJobStatus},
    domain::{
        gates::manual_job::{Job, Opening, observe},
        pipeline,
    },
    ports::CallErrorKind,
};
use sluice_lab::gitlab::{JobEnd, JobSpec, Role, UserId};

use super::Lab;

fn now(second: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_second(second).unwrap()
}

#[tokio::test]
async fn freeze_periods_are_read_on_every_page() {
    let lab = Lab::start().await;
    let client = lab.client().await;
    let id = lab.project_id();
    assert!(client.freeze_periods(id).await.unwrap().is_empty());
    let first = lab
        .gitlab
        .freeze(lab.project, "0 23 * * 5", "0 7 * * 1", "Berlin");
    for _ in 0..120 {
        lab.gitlab
            .freeze(lab.project, "0 0 1 1 *", "0 0 2 1 *", "UTC");
    }
    let periods = client.freeze_periods(id).await.unwrap();
    assert_eq!(periods.len(), 121);
    assert_eq!(u64::try_from(periods[0].id), Ok(first));
    let read = (
        periods[0].freeze_start.as_str(),
        periods[0].freeze_end.as_str(),
        periods[0].cron_timezone.as_str(),
    );
    assert_eq!(read, ("0 23 * * 5", "0 7 * * 1", "Berlin"));

    let token = lab.secrets.values.lock().unwrap()["gitlab"]
        .trim()
        .to_owned();
    lab.gitlab.set_role(&token, Role::Guest);
    let refused = client.freeze_periods(id).await.unwrap_err();
    assert_eq!(refused.kind, CallErrorKind::Denied, "{refused}");
}

#[tokio::test]
async fn user_is_read_by_id() {
    let lab = Lab::start().await;
    let client = lab.client().await;
    let bot = lab.gitlab.create_bot("release-bot");
    let ana = i64::try_from(lab.ana.0).unwrap();
    let read = client.user(ana).await.unwrap();
    assert_eq!(
        (read.id, read.username.as_str(), read.bot),
        (ana, "ana", Some(false))
    );
    let read = client.user(i64::try_from(bot.0).unwrap()).await.unwrap();
    assert_eq!(read.bot, Some(true));
    let missing = client.user(1).await.unwrap_err();
    assert_eq!(missing.kind, CallErrorKind::NotFound);
}

/// Observes the job as polls do.
struct Observer {
    seen: Option<ManualJobStatus>,
    second: i64,
}

impl Observer {
    fn observe(&mut self, jobs: &[pipeline::Job]) -> Job {
        self.second += 1;
        let opening = Opening {
            release_uid: "uid",
            attempt: 1,
            stage_digest: "digest",
            author: Some("ana"),
        };
        let rule = GitLabApproval {
            manual_job: "approve".to_owned(),
            allow_author: false,
            allow_bots: false,
        };
        let now = now(self.second);
        let (seen, state) = observe(self.seen.as_ref(), &opening, &rule, jobs, |_| None, now);
        self.seen = Some(seen);
        state
    }
}

#[tokio::test]
async fn started_manual_job_approves_unless_its_user_is_barred() {
    let lab = Lab::start().await;
    let client = lab.client().await;
    let id = lab.project_id();
    let approve = JobSpec::new("approve", "gate").manual_blocking();
    let pipeline = lab.gitlab.run_pipeline_as(
        lab.project,
        "main",
        "push",
        Some(lab.ana),
        vec![approve.ends(JobEnd::success())],
    );
    let pipeline_id = i64::try_from(pipeline.0).unwrap();
    let (bea, bot) = (
        lab.gitlab.create_user("bea"),
        lab.gitlab.create_bot("release-bot"),
    );
    let job = || lab.gitlab.job(pipeline, "approve");
    let retry = |by: UserId| {
        let newest = job();
        lab.gitlab.change(|state, now| state.retry(now, newest, by))
    };
    let jobs = || client.jobs(id, pipeline_id);

    let mut observer = Observer {
        seen: None,
        second: 0,
    };
    assert_eq!(observer.observe(&jobs().await.unwrap()), Job::Waiting);
    // The author, then a bot, then another user: each but the first creates a new job.
    lab.gitlab.play(job(), lab.ana);
    let state = observer.observe(&jobs().await.unwrap());
    assert!(
        matches!(&state, Job::Barred { by: Some(by), .. } if by == "ana"),
        "{state:?}"
    );
    retry(bot);
    let state = observer.observe(&jobs().await.unwrap());
    assert!(
        matches!(
            &state,
            Job::Barred {
                why: "it is a bot",
                ..
            }
        ),
        "{state:?}"
    );
    retry(bea);
    let approved = Job::Approved {
        id: i64::try_from(job().0).unwrap(),
        by: Some("bea".to_owned()),
        at: now(4),
    };
    assert_eq!(observer.observe(&jobs().await.unwrap()), approved);
    // Nothing new: the same answer at the price of a 304.
    assert_eq!(observer.observe(&jobs().await.unwrap()), approved);

    // The gate opens for another plan: an earlier start of the job does not count.
    let mut again = Observer {
        seen: None,
        second: 10,
    };
    let state = again.observe(&jobs().await.unwrap());
    assert!(matches!(state, Job::TooEarly { .. }), "{state:?}");
}
