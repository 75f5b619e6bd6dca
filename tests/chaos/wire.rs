//! The Kubernetes client of a controller that works for one namespace and passes a gate.
//!
//! What it lists and watches in the whole cluster is narrowed on its way to the namespace, and Accounts to
//! those that were made for it, so that many controllers work side by side, each as if it were alone.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::body::HttpBody;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Uri};
use kube::{
    Client, Config,
    client::{Body, ClientBuilder},
};
use serde_json::json;
use sluice_lab::door::{Fault, Point, Porter, Visit};
use tower::{BoxError, Layer, Service};

use crate::gate::Gate;

type Answer = axum::body::Body;

/// As long as the program's own clients wait.
const PATIENCE: Duration = Duration::from_secs(10);

const NAMESPACED: [&str; 5] = [
    "/apis/sluice.dev/v1alpha1/approvals",
    "/apis/sluice.dev/v1alpha1/deployments",
    "/apis/sluice.dev/v1alpha1/gitlabconnections",
    "/apis/sluice.dev/v1alpha1/releases",
    "/apis/sluice.dev/v1alpha1/targets",
];

/// A client with these settings that passes `gate` and sees `namespace` and the Accounts with the label
/// `chaos=<slot>`.
pub fn client(
    config: Config,
    gate: &Arc<Gate>,
    namespace: &str,
    slot: &str,
) -> Result<Client, kube::Error> {
    let narrow = Narrow {
        gate: Arc::clone(gate),
        namespace: namespace.to_owned(),
        slot: slot.to_owned(),
    };
    Ok(ClientBuilder::try_from(config)?.with_layer(&narrow).build())
}

#[derive(Clone)]
struct Narrow {
    gate: Arc<Gate>,
    namespace: String,
    slot: String,
}

impl<S> Layer<S> for Narrow {
    type Service = Narrowed<S>;

    fn layer(&self, inner: S) -> Narrowed<S> {
        Narrowed {
            inner,
            layer: self.clone(),
        }
    }
}

struct Narrowed<S> {
    inner: S,
    layer: Narrow,
}

impl<S, B> Service<Request<Body>> for Narrowed<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Answer>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Answer>, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        if request.method() == Method::GET {
            if let Some(narrow) = self.layer.narrowed(request.uri()) {
                *request.uri_mut() = narrow;
            }
            let answer = self.inner.call(request);
            return Box::pin(async move { Ok(answer.await.map_err(Into::into)?.map(Answer::new)) });
        }
        let visit = self.layer.visit(&request);
        let gate = Arc::clone(&self.layer.gate);
        let answer = self.inner.call(request);
        Box::pin(async move {
            let fault = gate.at(&visit, Point::Before).await;
            if let Some(fault) = fault.filter(|fault| *fault != Fault::ReplyLost) {
                return failed(fault).await;
            }
            let answer = answer.await.map_err(Into::into)?;
            gate.at(&visit, Point::Done).await;
            if fault.is_some() {
                return Err("the connection ended before the answer".into());
            }
            gate.at(&visit, Point::Answered).await;
            Ok(answer.map(Answer::new))
        })
    }
}

/// What the API server, or what is before it, says instead.
async fn failed(fault: Fault) -> Result<Response<Answer>, BoxError> {
    let (status, reason) = match fault {
        Fault::Throttled => (StatusCode::TOO_MANY_REQUESTS, "TooManyRequests"),
        Fault::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable"),
        Fault::Expired => (StatusCode::UNAUTHORIZED, "Unauthorized"),
        Fault::Refused => (StatusCode::FORBIDDEN, "Forbidden"),
        Fault::Unsent | Fault::ReplyLost => return Err("the connection was refused".into()),
        Fault::Silent | Fault::Stale => {
            tokio::time::sleep(PATIENCE).await;
            return Err("no answer came in time".into());
        }
    };
    let body = json!({
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": "the test says so",
        "reason": reason,
        "code": status.as_u16(),
    });
    let mut response = Response::new(Answer::from(body.to_string()));
    *response.status_mut() = status;
    Ok(response)
}

impl Narrow {
    fn narrowed(&self, uri: &Uri) -> Option<Uri> {
        let (path, query) = (uri.path(), uri.query().unwrap_or_default());
        let narrow = if let Some(all) = NAMESPACED.iter().find(|all| **all == path) {
            let kind = all.rsplit('/').next()?;
            let namespace = &self.namespace;
            format!("/apis/sluice.dev/v1alpha1/namespaces/{namespace}/{kind}?{query}")
        } else if path == "/apis/sluice.dev/v1alpha1/accounts" {
            format!("{path}?{query}&labelSelector=chaos%3D{}", self.slot)
        } else if path == "/api/v1/namespaces" {
            format!(
                "{path}?{query}&fieldSelector=metadata.name%3D{}",
                self.namespace
            )
        } else {
            return None;
        };
        let mut parts = uri.clone().into_parts();
        parts.path_and_query = Some(narrow.parse().ok()?);
        Uri::from_parts(parts).ok()
    }

    /// `targets/checkout-dev/status` for its path.
    fn visit(&self, request: &Request<Body>) -> Visit {
        let path = request.uri().path();
        let marker = format!("/namespaces/{}/", self.namespace);
        let resource = match path.split_once(&marker) {
            Some((_, resource)) => resource,
            None => path.rsplit_once("/v1alpha1/").map_or(path, |(_, it)| it),
        };
        Visit {
            service: "kubernetes".to_owned(),
            operation: request.method().as_str().to_lowercase(),
            resource: resource.to_owned(),
            account: None,
            session: None,
            is_write: true,
        }
    }
}
