//! A simulated GitLab that real clients accept.
//!
//! A [`Simulator`] serves GitLab's REST API (projects, refs, freeze periods, pipelines, jobs,
//! artifacts, users, tokens) from a [`model`] of GitLab's own rules: how a pipeline's status follows from its
//! jobs, what trigger jobs start, what play and retry do, who may see what. A second origin simulates the
//! object storage. Every request is [recorded](Simulator::requests), and [`faults`](Simulator::faults) make
//! chosen ones fail.
//!
//! # Guarantees
//! - Ids exceed 32 bits; times have milliseconds; keys that GitLab omits are omitted.
//! - An unencoded slash in a project path or a ref matches no route.
//! - Archives are streamed; a [generated](ArtifactSource::generated) one needs no memory.
//!
//! # Not simulated
//! Writes other than the actions on jobs and pipelines; commit statuses, deployments,
//! environments, packages, releases, webhooks, rotation of tokens. A token's role applies to every
//! project, and Developers may run jobs on protected refs (as with "allowed to merge").
//!
//! # Control over HTTP
//! Bodies and answers are JSON; a `project` is an id or a path; users are created when first named.
//!
//! | request | body | answer |
//! |---|---|---|
//! | `POST /_lab/projects` | `{path}` | `{id}` |
//! | `POST /_lab/tokens` | `{username, scopes, expiresAt?}` | `{token}` |
//! | `POST /_lab/push` | `{project, branch, message}` | `{sha}` |
//! | `POST /_lab/tags` | `{project, tag, sha}` | `{tag}` |
//! | `POST /_lab/freeze-periods` | `{project, start, end, timeZone}` | `{id}` |
//! | `POST /_lab/pipelines` | `{project, ref, username?, jobs: [{name, stage, kind?: automatic, manualBlocking or manualOptional, allowFailure?, ends?: success or failed, triggers?: {strategy?: none, depend or mirror, jobs: […]}}]}` | `{id, jobs}` |
//! | `POST /_lab/jobs/:id/start` | | `{id}` |
//! | `POST /_lab/jobs/:id/finish` | the archive; with `?path=dist/api.zip` that file's bytes (or generated ones with `&generatedBytes=<n>`); `?failed=script_failure` | `{id}` |
//! | `POST /_lab/jobs/:id/play`, `…/retry` | `{username}` | `{id}` |
//! | `GET /_lab/requests` | | the record |
//! | `GET /_lab/faults` | | the rules by id |
//! | `POST /_lab/faults` | `{method?, path?, times?, action}`, an action such as `"drop"` or `{"truncate": {"after": 10}}` | `{id}` |
//! | `DELETE /_lab/faults/:id` | | |

mod archive;
mod faults;
mod http;
pub mod model;
mod requests;
mod scenario;
mod simulator;

pub use archive::{ArtifactSource, zip};
pub use faults::{FaultAction, FaultHandle, FaultRule, Faults};
pub use model::{
    JobEnd, JobId, JobKind, JobSpec, PipelineId, ProjectId, Role, Status, Strategy, TestSuite,
    UserId, Visibility,
};
pub use requests::{Mark, Origin, RequestRecord};
pub use simulator::{Simulator, SimulatorOptions, Transport};
