//! Maps a raw path to an endpoint.
//!
//! A parameter never contains an unencoded slash, so paths are split before they are decoded: an unencoded
//! slash in a project path or a ref matches no route. Only the path of a file in an archive may have them.

use percent_encoding::percent_decode_str;

/// An endpoint of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    Version,
    Metadata,
    CurrentUser,
    User(String),
    OwnToken,
    /// An endpoint of a project, which is given by its id or path.
    In(String, Inside),
}

/// An endpoint inside a project; parameters are decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inside {
    Project,
    Branches,
    Branch(String),
    Tag(String),
    Commit(String),
    FreezePeriods,
    FreezePeriod(String),
    Pipelines,
    LatestPipeline,
    Pipeline(String),
    CancelPipeline(String),
    PipelineJobs(String),
    PipelineBridges(String),
    TestReportSummary(String),
    Jobs,
    Job(String),
    PlayJob(String),
    RetryJob(String),
    CancelJob(String),
    EraseJob(String),
    Artifacts(String),
    ArtifactFile(String, String),
}

impl Endpoint {
    /// The endpoint of a path below `/api/v4/`.
    pub fn of(path: &str) -> Option<Self> {
        let path = path.strip_suffix('/').unwrap_or(path);
        let parts: Vec<String> = path.split('/').map(decoded).collect::<Option<_>>()?;
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        match parts.as_slice() {
            ["version"] => Some(Self::Version),
            ["metadata"] => Some(Self::Metadata),
            ["user"] => Some(Self::CurrentUser),
            ["users", id] => Some(Self::User((*id).to_owned())),
            ["personal_access_tokens", "self"] => Some(Self::OwnToken),
            ["projects", project, rest @ ..] => {
                Some(Self::In((*project).to_owned(), Inside::of(rest)?))
            }
            _ => None,
        }
    }

    /// The only method that it accepts; `HEAD` counts as `GET`.
    pub fn method(&self) -> &'static str {
        match self {
            Self::In(
                _,
                Inside::PlayJob(_)
                | Inside::RetryJob(_)
                | Inside::CancelJob(_)
                | Inside::EraseJob(_)
                | Inside::CancelPipeline(_),
            ) => "POST",
            _ => "GET",
        }
    }
}

impl Inside {
    fn of(rest: &[&str]) -> Option<Self> {
        let own = |text: &&str| (*text).to_owned();
        Some(match rest {
            [] => Self::Project,
            ["repository", "branches"] => Self::Branches,
            ["repository", "branches", name] => Self::Branch(own(name)),
            ["repository", "tags", name] => Self::Tag(own(name)),
            ["repository", "commits", name] => Self::Commit(own(name)),
            ["freeze_periods"] => Self::FreezePeriods,
            ["freeze_periods", id] => Self::FreezePeriod(own(id)),
            ["pipelines"] => Self::Pipelines,
            ["pipelines", "latest"] => Self::LatestPipeline,
            ["pipelines", id] => Self::Pipeline(own(id)),
            ["pipelines", id, "cancel"] => Self::CancelPipeline(own(id)),
            ["pipelines", id, "jobs"] => Self::PipelineJobs(own(id)),
            ["pipelines", id, "bridges" | "trigger_jobs"] => Self::PipelineBridges(own(id)),
            ["pipelines", id, "test_report_summary"] => Self::TestReportSummary(own(id)),
            ["jobs"] => Self::Jobs,
            ["jobs", id] => Self::Job(own(id)),
            ["jobs", id, "play"] => Self::PlayJob(own(id)),
            ["jobs", id, "retry"] => Self::RetryJob(own(id)),
            ["jobs", id, "cancel"] => Self::CancelJob(own(id)),
            ["jobs", id, "erase"] => Self::EraseJob(own(id)),
            ["jobs", id, "artifacts"] => Self::Artifacts(own(id)),
            ["jobs", id, "artifacts", file @ ..] => Self::ArtifactFile(own(id), file.join("/")),
            _ => return None,
        })
    }
}

fn decoded(part: &str) -> Option<String> {
    percent_decode_str(part).decode_utf8().ok().map(Into::into)
}
