//! The message of an error with its chain of causes.

use std::error::Error;

/// The error of rustls for a server that answers without TLS, and its meaning.
const NO_TLS: &str = "InvalidContentType";
const NO_TLS_MEANS: &str = "the server does not speak TLS on that port: an http:// address was \
     given as https://, or the port belongs to another service";

/// An error and its causes, the error itself first.
pub(super) fn chain<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// Joins the messages of an error and its causes, without repetitions. A library's message that explains
/// nothing is replaced by a plain one.
pub(super) fn causes(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    for cause in chain(error).map(ToString::to_string) {
        let cause = if cause.contains(NO_TLS) {
            NO_TLS_MEANS.to_owned()
        } else {
            cause
        };
        if !text.contains(&cause) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&cause);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Failed(&'static str, #[source] Option<Box<Failed>>);

    #[test]
    fn plain_http_behind_an_https_url_is_explained() {
        let tls = Failed("received corrupt message of type InvalidContentType", None);
        let connect = Failed("client error (Connect)", Some(Box::new(tls)));
        let text = causes(&Failed("client error (Connect)", Some(Box::new(connect))));
        assert!(
            text.starts_with("client error (Connect): the server"),
            "{text}"
        );
        assert!(text.contains("does not speak TLS"), "{text}");
        assert!(!text.contains("InvalidContentType"), "{text}");
    }
}
