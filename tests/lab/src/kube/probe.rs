//! A kubelet's HTTP probe.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use k8s_openapi::{api::core::v1::Probe, apimachinery::pkg::util::intstr::IntOrString};

use super::pod::Pod;
use crate::error::LabError;

/// The port and path of the probe; only plain HTTP is supported.
pub(super) fn http_get<'a>(
    pod: &Pod,
    probe: &'a Probe,
) -> Result<(&'a IntOrString, &'a str), LabError> {
    let get = probe
        .http_get
        .as_ref()
        .ok_or_else(|| pod.cannot("a probe that is no httpGet"))?;
    if get.scheme.as_deref().is_some_and(|scheme| scheme != "HTTP") {
        return Err(pod.cannot("a probe by HTTPS"));
    }
    Ok((&get.port, get.path.as_deref().unwrap_or("/")))
}

/// Whether GET returns 200 to 399, which a probe counts as success.
pub(super) fn succeeds(port: u16, path: &str) -> bool {
    let limit = Duration::from_secs(1);
    let Ok(mut stream) =
        TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), limit)
    else {
        return false;
    };
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
    let mut status = [0; 12];
    let answered = stream.set_read_timeout(Some(limit)).is_ok()
        && stream.write_all(request.as_bytes()).is_ok()
        && stream.read_exact(&mut status).is_ok();
    answered && matches!(&status[8..10], b" 2" | b" 3")
}
