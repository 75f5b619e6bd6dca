//! The GitLab simulator: its rules, its protocol, and a real client of it.
#![allow(clippy::unwrap_used, reason = "a panic fails the test")]

mod artifacts;
mod errors;
mod faults;
mod lists;
mod pipelines;
mod python;

use axum::http::HeaderMap;
use reqwest::{Client, Method, RequestBuilder, StatusCode, redirect::Policy};
use serde_json::Value;
use sluice_lab::gitlab::{JobEnd, JobSpec, ProjectId, Simulator, SimulatorOptions, UserId, zip};

/// A simulator with one project, one user and a token that may do everything.
struct Lab {
    gitlab: Simulator,
    project: ProjectId,
    ana: UserId,
    token: String,
    client: Client,
}

struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Reply {
    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.text)
            .unwrap_or_else(|e| panic!("{e} in {} {}", self.status, self.text))
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    #[track_caller]
    fn ids(&self) -> Vec<u64> {
        self.json()
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["id"].as_u64().unwrap())
            .collect()
    }
}

impl Lab {
    async fn start() -> Self {
        Self::with(SimulatorOptions::default()).await
    }

    async fn with(options: SimulatorOptions) -> Self {
        let gitlab = Simulator::start(options).await.unwrap();
        let ana = gitlab.create_user("ana");
        let token = gitlab.create_token(ana, &["api"], None);
        let project = gitlab.create_project("shop/checkout");
        gitlab.push(project, "main", "First");
        let client = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .build()
            .unwrap();
        Self {
            gitlab,
            project,
            ana,
            token,
            client,
        }
    }

    fn bare(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("{}/{path}", self.gitlab.api_url()))
    }

    /// A request below the project, with the token.
    fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        let path = format!("projects/{}{path}", self.project);
        self.bare(method, &path)
            .header("PRIVATE-TOKEN", &self.token)
    }

    async fn get(&self, path: &str) -> Reply {
        reply(self.ask(Method::GET, path)).await
    }
}

async fn reply(request: RequestBuilder) -> Reply {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    Reply {
        status,
        headers,
        text: response.text().await.unwrap(),
    }
}

fn archive() -> Vec<u8> {
    zip(&[
        ("dist/api.zip", b"the function"),
        ("public/index.html", b"<p>hello</p>"),
    ])
}

fn builds() -> JobSpec {
    JobSpec::new("package", "build").ends(JobEnd::uploads(archive()))
}
