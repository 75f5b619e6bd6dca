//! The requests to the API server.
//!
//! They come from its audit log (level Metadata). It gets an entry as each request ends, so that a request
//! whose response has just arrived may still be missing: poll.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use serde::Deserialize;

use crate::error::LabError;

/// One request for a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The user, after impersonation; `system:serviceaccount:<namespace>:<name>` for a service account.
    pub user: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: String,
    /// The API group; empty for the core group.
    pub group: String,
    /// The resource, plural.
    pub resource: String,
    /// The subresource; empty for none.
    pub subresource: String,
    /// The namespace; empty for cluster-scoped.
    pub namespace: String,
    /// The object's name; empty for lists and `generateName`.
    pub name: String,
    /// The client's user agent.
    pub user_agent: String,
    /// The HTTP status code; 0 if none was sent.
    pub code: u16,
    /// When the API server received the request, RFC 3339.
    pub at: String,
}

impl Request {
    /// The resource in RBAC's notation: `pods` or `pods/status`.
    pub fn rbac_resource(&self) -> String {
        if self.subresource.is_empty() {
            self.resource.clone()
        } else {
            format!("{}/{}", self.resource, self.subresource)
        }
    }

    /// Whether the verb changes state, successful or not.
    pub fn is_write(&self) -> bool {
        !matches!(self.verb.as_str(), "get" | "list" | "watch")
    }

    /// Whether RBAC or an admission policy refused it.
    pub fn is_refused(&self) -> bool {
        self.code == 403
    }
}

/// A permission in RBAC's terms: API group, resource (with `/subresource`), verb.
pub type Right = (String, String, String);

/// The requests so far, in the order in which they ended.
#[derive(Debug, Clone, Default)]
pub struct Audit {
    requests: Vec<Request>,
}

impl Audit {
    /// Reads an audit log.
    pub fn read(log: &Path) -> Result<Self, LabError> {
        let text = match std::fs::read_to_string(log) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(e) => return Err(LabError::new(format!("audit log {}: {e}", log.display()))),
        };
        Self::parse(&text)
    }

    /// Parses audit events, one JSON object per line. An incomplete last line is still being written and is
    /// ignored.
    pub fn parse(text: &str) -> Result<Self, LabError> {
        let complete = text.rfind('\n').map_or("", |end| &text[..end]);
        let mut requests = Vec::new();
        // A watch is logged when its response begins and again when it ends.
        let mut seen = BTreeMap::new();
        for line in complete.lines().filter(|line| !line.is_empty()) {
            let event: Event = serde_json::from_str(line)
                .map_err(|e| LabError::new(format!("audit event not understood: {e}: {line}")))?;
            let id = event.audit_id.clone();
            let Some(request) = event.into_request() else {
                continue;
            };
            if let Some(&earlier) = seen.get(&id) {
                requests[earlier] = request;
            } else {
                seen.insert(id, requests.len());
                requests.push(request);
            }
        }
        Ok(Self { requests })
    }

    /// All requests.
    pub fn requests(&self) -> &[Request] {
        &self.requests
    }

    /// The requests of one user.
    pub fn by(&self, user: &str) -> impl Iterator<Item = &Request> {
        self.requests
            .iter()
            .filter(move |request| request.user == user)
    }

    /// The permissions that the user used.
    pub fn used_by(&self, user: &str) -> BTreeSet<Right> {
        self.by(user)
            .filter(|request| !request.is_refused())
            .map(right)
            .collect()
    }

    /// The permissions that the user lacked.
    pub fn refused(&self, user: &str) -> BTreeSet<Right> {
        self.by(user)
            .filter(|request| request.is_refused())
            .map(right)
            .collect()
    }

    /// The user's write requests, successful or not.
    pub fn writes(&self, user: &str) -> Vec<&Request> {
        self.by(user).filter(|request| request.is_write()).collect()
    }
}

fn right(request: &Request) -> Right {
    (
        request.group.clone(),
        request.rbac_resource(),
        request.verb.clone(),
    )
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    #[serde(rename = "auditID")]
    audit_id: String,
    verb: String,
    user: EventUser,
    impersonated_user: Option<EventUser>,
    object_ref: Option<ObjectRef>,
    response_status: Option<ResponseStatus>,
    #[serde(default)]
    user_agent: String,
    #[serde(default)]
    request_received_timestamp: String,
}

#[derive(Deserialize)]
struct EventUser {
    #[serde(default)]
    username: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ObjectRef {
    api_group: String,
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Deserialize)]
struct ResponseStatus {
    #[serde(default)]
    code: u16,
}

impl Event {
    /// `None` for non-resource paths, such as `/version`.
    fn into_request(self) -> Option<Request> {
        let object = self
            .object_ref
            .filter(|object| !object.resource.is_empty())?;
        Some(Request {
            user: self.impersonated_user.unwrap_or(self.user).username,
            verb: self.verb,
            group: object.api_group,
            resource: object.resource,
            subresource: object.subresource,
            namespace: object.namespace,
            name: object.name,
            user_agent: self.user_agent,
            code: self.response_status.map_or(0, |status| status.code),
            at: self.request_received_timestamp,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests {
    use super::*;

    const LOG: &str = r#"
{"auditID":"1","stage":"ResponseStarted","verb":"watch","user":{"username":"sa"},"objectRef":{"resource":"leases","apiGroup":"coordination.k8s.io","apiVersion":"v1"},"responseStatus":{"code":200}}
{"auditID":"2","stage":"ResponseComplete","verb":"get","requestURI":"/version","user":{"username":"sa"},"responseStatus":{"code":200}}
{"auditID":"3","stage":"ResponseComplete","verb":"patch","user":{"username":"admin"},"impersonatedUser":{"username":"sa"},"objectRef":{"resource":"pods","subresource":"status","namespace":"n","name":"p"},"responseStatus":{"code":200}}
{"auditID":"4","stage":"ResponseComplete","verb":"delete","user":{"username":"sa"},"objectRef":{"resource":"pods","namespace":"n","name":"p"},"responseStatus":{"code":403}}
{"auditID":"1","stage":"ResponseComplete","verb":"watch","user":{"username":"sa"},"objectRef":{"resource":"leases","apiGroup":"coordination.k8s.io","apiVersion":"v1"},"responseStatus":{"code":200}}
{"auditID":"5","stage":"Respo"#;

    #[test]
    fn audit_counts_each_request_once_for_the_impersonated_user() {
        let audit = Audit::parse(LOG.trim_start()).unwrap();
        assert_eq!(audit.requests().len(), 3, "{audit:?}");
        let right = |group: &str, resource: &str, verb: &str| {
            (group.to_owned(), resource.to_owned(), verb.to_owned())
        };
        let used = [
            right("", "pods/status", "patch"),
            right("coordination.k8s.io", "leases", "watch"),
        ];
        assert_eq!(audit.used_by("sa"), BTreeSet::from(used));
        assert_eq!(
            audit.refused("sa"),
            BTreeSet::from([right("", "pods", "delete")])
        );
        assert_eq!(audit.writes("sa").len(), 2);
        assert!(audit.by("admin").next().is_none());
    }

    #[test]
    fn a_line_that_is_not_an_audit_event_is_an_error() {
        assert!(Audit::parse("{}\n").is_err());
    }
}
