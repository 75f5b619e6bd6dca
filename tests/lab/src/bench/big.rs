//! The transfer of a large artifact from GitLab to the hub's bucket.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use sluice_lab::{
    aws::Call,
    error::LabError,
    gitlab::{ArtifactSource, JobEnd, JobSpec, RequestRecord},
    lab::{archive, package},
};

use super::{
    bench_lab::{BenchLab, LIMIT, manifest},
    mebibytes,
};
use crate::demo::tell::{block, say};

const NAME: &str = "large";
/// Enough for two megabytes a second.
const TRANSFER_LIMIT: Duration = Duration::from_mins(10);

/// The figures.
pub struct Big {
    size: u64,
    seconds: f64,
    cpu: f64,
    peak_before: u64,
    peak_after: u64,
    parts: usize,
}

/// Measures how a controller that has just started fetches an archive of `mebibytes` MiB.
pub fn measure(bench_lab: &BenchLab, mebibytes: u32) -> Result<Big, LabError> {
    let lab = &bench_lab.lab;
    let project = bench_lab.team.project;
    say(&format!(
        "restarts the controller and has it fetch {mebibytes} MiB"
    ));
    {
        let mut controller = lab.controller();
        controller.terminate()?;
        controller.start()?;
        controller.wait_ready(LIMIT)?;
    }
    lab.gitlab.push(project, NAME, "Begin");
    let big = json!({"name": "big", "job": {"name": "big"}});
    let deployment = manifest(&bench_lab.team, NAME, "package", &[big]);
    lab.apply(&deployment.to_string())?;
    bench_lab.wait_for_pipeline_request(NAME)?;

    let (peak_before, cpu_before) = {
        let controller = lab.controller();
        (controller.peak_rss_bytes()?, controller.cpu_seconds()?)
    };
    let (mark, gitlab_mark) = (lab.aws.mark(), lab.gitlab.mark());
    let bytes = ArtifactSource::generated("big.bin", mebibytes << 20, 1);
    let size = bytes.size();
    let jobs = vec![
        JobSpec::new("test", "test").ends(JobEnd::success()),
        JobSpec::new("package", "package").ends(JobEnd::uploads(archive(&package("large")))),
        JobSpec::new("big", "package").ends(JobEnd::uploads(bytes)),
    ];
    let pipeline = lab.gitlab.run_pipeline(project, NAME, jobs);
    let job = lab.gitlab.job(pipeline, "big");
    let complete = lab.wait_for("the large artifact is stored", TRANSFER_LIMIT, || {
        let calls = lab.aws.calls_since(mark);
        let done = calls.named("s3", "CompleteMultipartUpload");
        done.filter(|call| call.status == Some(200))
            .find_map(|call: &Call| call.answered_at)
    })?;
    let (peak_after, cpu_after) = {
        let controller = lab.controller();
        (controller.peak_rss_bytes()?, controller.cpu_seconds()?)
    };
    let asked = asked_at(&lab.gitlab.requests_since(gitlab_mark), job.0)
        .ok_or_else(|| LabError::new("GitLab was never asked for the large artifact"))?;
    let parts = lab.aws.calls_since(mark);
    bench_lab.wait_live(NAME, "dev=r1")?;
    bench_lab.remove(NAME)?;
    Ok(Big {
        size,
        seconds: complete.duration_since(asked).as_secs_f64(),
        cpu: cpu_after - cpu_before,
        peak_before,
        peak_after,
        parts: parts.named("s3", "UploadPart").count(),
    })
}

fn asked_at(requests: &[RequestRecord], job: u64) -> Option<Timestamp> {
    let path = format!("/jobs/{job}/artifacts");
    let asked = requests
        .iter()
        .find(|request| request.path.ends_with(&path));
    asked.map(|request| request.at)
}

impl Big {
    /// Prints the figures.
    pub fn report(&self) {
        let size = mebibytes(self.size);
        say("A large artifact, streamed from GitLab into the hub's bucket:");
        block(&format!(
            "size               {size:.0} MiB in {} parts\n\
             duration           {:.1} s, {:.0} MiB/s, {:.1} s of the controller's CPU\n\
             peak memory        {:.1} MiB before, {:.1} MiB after: {:.1} MiB more",
            self.parts,
            self.seconds,
            size / self.seconds,
            self.cpu,
            mebibytes(self.peak_before),
            mebibytes(self.peak_after),
            mebibytes(self.peak_after.saturating_sub(self.peak_before)),
        ));
    }
}
