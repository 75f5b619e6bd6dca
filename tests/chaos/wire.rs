//! The Kubernetes client of a controller that reconciles one namespace and passes the interceptor.
//!
//! It narrows requests for the whole cluster to the namespace, and those for Accounts to the Accounts of its
//! slot. So many controllers run in parallel, each as if it were alone in the cluster.

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
use sluice_lab::hook::{Fault, Point, RequestHook, RequestInfo};
use tower::{BoxError, Layer, Service};

use crate::interceptor::Interceptor;

type Answer = axum::body::Body;

/// The timeout of the program's own clients.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The cluster-wide paths that are narrowed to the namespace.
const NAMESPACED: [&str; 5] = [
    "/apis/sluice.dev/v1alpha1/approvals",
    "/apis/sluice.dev/v1alpha1/deployments",
    "/apis/sluice.dev/v1alpha1/gitlabconnections",
    "/apis/sluice.dev/v1alpha1/releases",
    "/apis/sluice.dev/v1alpha1/targets",
];

/// A client with this configuration that passes `interceptor`. It sees only `namespace` and the Accounts with
/// the label `chaos=<slot>`.
pub fn client(
    config: Config,
    interceptor: &Arc<Interceptor>,
    namespace: &str,
    slot: &str,
) -> Result<Client, kube::Error> {
    let narrow = Narrow {
        interceptor: Arc::clone(interceptor),
        namespace: namespace.to_owned(),
        slot: slot.to_owned(),
    };
    Ok(ClientBuilder::try_from(config)?.with_layer(&narrow).build())
}

#[derive(Clone)]
struct Narrow {
    interceptor: Arc<Interceptor>,
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
            if let Some(uri) = self.layer.narrowed(request.uri()) {
                *request.uri_mut() = uri;
            }
            let answer = self.inner.call(request);
            return Box::pin(async move { Ok(answer.await.map_err(Into::into)?.map(Answer::new)) });
        }
        let request_info = self.layer.request_info(&request);
        let interceptor = Arc::clone(&self.layer.interceptor);
        let answer = self.inner.call(request);
        Box::pin(async move {
            let fault = interceptor.at(&request_info, Point::Before).await;
            if let Some(fault) = fault.filter(|fault| *fault != Fault::ReplyLost) {
                return respond_with(fault).await;
            }
            let answer = answer.await.map_err(Into::into)?;
            interceptor.at(&request_info, Point::Done).await;
            if fault.is_some() {
                return Err("the connection ended before the response arrived".into());
            }
            interceptor.at(&request_info, Point::Answered).await;
            Ok(answer.map(Answer::new))
        })
    }
}

/// The response of the API server, or of a proxy in front of it, for a fault.
async fn respond_with(fault: Fault) -> Result<Response<Answer>, BoxError> {
    let (status, reason) = match fault {
        Fault::Throttled => (StatusCode::TOO_MANY_REQUESTS, "TooManyRequests"),
        Fault::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable"),
        Fault::Expired => (StatusCode::UNAUTHORIZED, "Unauthorized"),
        Fault::Refused => (StatusCode::FORBIDDEN, "Forbidden"),
        Fault::Unsent | Fault::ReplyLost => return Err("the connection was refused".into()),
        Fault::Silent | Fault::Stale => {
            tokio::time::sleep(TIMEOUT).await;
            return Err("the request timed out".into());
        }
    };
    let body = json!({
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": "fault injected by the crash matrix",
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
        let narrowed = if let Some(all) = NAMESPACED.iter().find(|all| **all == path) {
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
        parts.path_and_query = Some(narrowed.parse().ok()?);
        Uri::from_parts(parts).ok()
    }

    /// Describes a request to the interceptor. The resource is the path below the namespace, such as
    /// `targets/checkout-dev/status`.
    fn request_info(&self, request: &Request<Body>) -> RequestInfo {
        let path = request.uri().path();
        let marker = format!("/namespaces/{}/", self.namespace);
        let resource = match path.split_once(&marker) {
            Some((_, resource)) => resource,
            None => path.rsplit_once("/v1alpha1/").map_or(path, |(_, it)| it),
        };
        RequestInfo {
            service: "kubernetes".to_owned(),
            operation: request.method().as_str().to_lowercase(),
            resource: resource.to_owned(),
            account: None,
            session: None,
            is_write: true,
        }
    }
}
