//! Requests to the API server: a page of a list, and the lines of a watch.

use std::time::Duration;

use http::{Request, Response, header};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use serde::Deserialize;
use serde_json::Value;

use super::resource::Scope;

/// Objects per page of a list.
const PAGE: usize = 500;

/// The longest line of a watch. An object is at most 1.5 MiB in etcd (its `--max-request-bytes`), before names are spelt out.
const LINE_BYTES: usize = 32 << 20;

/// How long an answer may take to begin, and a page to arrive.
const PATIENCE: Duration = Duration::from_mins(1);

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequestError {
    /// The API server refused.
    #[error("{code}: {message}")]
    Refused {
        code: u16,
        message: String,
        retry_after: Option<Duration>,
    },
    /// There was no answer, or only a part of one.
    #[error("{0}")]
    Lost(String),
    /// The answer is none of the Kubernetes API.
    #[error("not understood: {0}")]
    Answer(String),
}

impl RequestError {
    /// Whether the version that was asked for is no longer known there.
    pub(super) fn is_expired(&self) -> bool {
        matches!(self, Self::Refused { code: 410, .. })
    }

    /// Whether it is for lack of rights, or because the cluster has no such resource.
    pub(super) fn is_denial(&self) -> bool {
        matches!(
            self,
            Self::Refused {
                code: 401 | 403 | 404 | 405,
                ..
            }
        )
    }

    /// Whether it may come again and again for the version that was asked for.
    pub(super) fn may_be_of_the_version(&self) -> bool {
        matches!(self, Self::Answer(_) | Self::Refused { code: 400 | 500, .. })
    }

    /// How long the API server wants to be left alone.
    pub(super) fn retry_after(&self) -> Duration {
        match self {
            Self::Refused { retry_after, .. } => retry_after.unwrap_or_default(),
            Self::Lost(_) | Self::Answer(_) => Duration::ZERO,
        }
    }
}

/// A page of a list.
#[derive(Debug, Deserialize)]
pub(super) struct Page {
    metadata: PageMetadata,
    #[serde(default)]
    pub(super) items: Option<Vec<Value>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageMetadata {
    #[serde(default)]
    resource_version: String,
    #[serde(default, rename = "continue")]
    next: Option<String>,
}

impl Page {
    /// Where a watch goes on from this list.
    pub(super) fn version(&self) -> &str {
        &self.metadata.resource_version
    }

    /// Where the list goes on, if it does.
    pub(super) fn next(&self) -> Option<&str> {
        self.metadata.next.as_deref().filter(|next| !next.is_empty())
    }
}

/// One line of a watch.
#[derive(Debug)]
pub(super) enum Line {
    /// The object is new or has changed.
    Put(Value),
    /// The object is gone; this is its last state.
    Removed(Value),
    /// Nothing changed up to this version.
    Bookmark(Value),
}

#[derive(Deserialize)]
struct RawLine {
    #[serde(rename = "type")]
    kind: String,
    object: Value,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    code: u16,
    message: String,
}

/// The API server.
#[derive(Clone)]
pub(super) struct Api(pub(super) Client);

impl Api {
    /// One page of the objects of a scope.
    pub(super) async fn page(&self, scope: &Scope, next: Option<&str>) -> Result<Page, RequestError> {
        let next = next.map_or_else(String::new, |next| format!("&continue={}", encoded(next)));
        self.list(format!("{}limit={PAGE}{next}", scope.path())).await
    }

    /// The present version of the cluster, for which a list of one object is asked.
    pub(super) async fn version(&self, scope: &Scope) -> Result<String, RequestError> {
        let page = self.list(format!("{}limit=1", scope.path())).await?;
        Ok(page.version().to_owned())
    }

    async fn list(&self, path: String) -> Result<Page, RequestError> {
        let body = self.get(path).await?.into_body();
        let bytes = in_time(body.collect_bytes()).await?;
        serde_json::from_slice(&bytes).map_err(|error| RequestError::Answer(error.to_string()))
    }

    /// Follows the changes after a version for so long.
    pub(super) async fn watch(&self, scope: &Scope, version: &str, lasting: Duration) -> Result<Lines, RequestError> {
        let path = format!(
            "{}watch=1&allowWatchBookmarks=true&resourceVersion={}&timeoutSeconds={}",
            scope.path(),
            encoded(version),
            lasting.as_secs().max(1)
        );
        Ok(Lines {
            body: self.get(path).await?.into_body(),
            buffer: Vec::new(),
            searched: 0,
        })
    }

    async fn get(&self, path: String) -> Result<Response<Body>, RequestError> {
        let request = Request::get(path)
            .header(header::ACCEPT, "application/json")
            .body(Body::empty())
            .map_err(|error| RequestError::Answer(error.to_string()))?;
        let response = in_time(self.0.send(request)).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(refusal(response).await)
    }
}

async fn refusal(response: Response<Body>) -> RequestError {
    let code = response.status().as_u16();
    let seconds = response.headers().get(header::RETRY_AFTER);
    let seconds = seconds.and_then(|value| value.to_str().ok()?.parse().ok());
    let body = in_time(response.into_body().collect_bytes()).await.unwrap_or_default();
    let Status { message, .. } = serde_json::from_slice(&body).unwrap_or_default();
    RequestError::Refused {
        code,
        message: if message.is_empty() {
            "no reason given".to_owned()
        } else {
            message
        },
        retry_after: seconds.map(Duration::from_secs),
    }
}

async fn in_time<T>(answer: impl Future<Output = Result<T, kube::Error>>) -> Result<T, RequestError> {
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(answer) => answer.map_err(|error| RequestError::Lost(causes(&error))),
        Err(_elapsed) => Err(RequestError::Lost(format!("no answer within {} s", PATIENCE.as_secs()))),
    }
}

/// An error with what caused it, in one line; each cause once.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

/// The lines of an open watch.
pub(super) struct Lines {
    body: Body,
    buffer: Vec<u8>,
    /// How much of the buffer has no end of a line.
    searched: usize,
}

impl Lines {
    /// The next line; `None` where the API server ended the watch.
    pub(super) async fn next(&mut self) -> Result<Option<Line>, RequestError> {
        loop {
            if let Some(at) = self.buffer[self.searched..].iter().position(|&byte| byte == b'\n') {
                let rest = self.buffer.split_off(self.searched + at + 1);
                let line = std::mem::replace(&mut self.buffer, rest);
                self.searched = 0;
                if line.trim_ascii().is_empty() {
                    continue;
                }
                return parse(&line).map(Some);
            }
            self.searched = self.buffer.len();
            if self.searched > LINE_BYTES {
                return Err(RequestError::Answer(format!("a line of more than {LINE_BYTES} bytes")));
            }
            match self.body.frame().await {
                Some(Ok(frame)) => self.buffer.extend(frame.into_data().unwrap_or_default()),
                Some(Err(error)) => return Err(RequestError::Lost(causes(&error))),
                None if self.buffer.trim_ascii().is_empty() => return Ok(None),
                None => return Err(RequestError::Lost("the watch ended in the middle of a line".to_owned())),
            }
        }
    }
}

fn parse(line: &[u8]) -> Result<Line, RequestError> {
    let RawLine { kind, object } =
        serde_json::from_slice(line).map_err(|error| RequestError::Answer(error.to_string()))?;
    match kind.as_str() {
        "ADDED" | "MODIFIED" => Ok(Line::Put(object)),
        "DELETED" => Ok(Line::Removed(object)),
        "BOOKMARK" => Ok(Line::Bookmark(object)),
        "ERROR" => {
            let Status { code, message } = Status::deserialize(object).unwrap_or_default();
            Err(RequestError::Refused {
                code,
                message,
                retry_after: None,
            })
        }
        _ => Err(RequestError::Answer("an event of an unknown type".to_owned())),
    }
}

/// Percent-encodes a value of a query.
fn encoded(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes()
        .fold(String::with_capacity(text.len()), |mut encoded, byte| {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                encoded.push(char::from(byte));
            } else {
                let _ = write!(encoded, "%{byte:02X}");
            }
            encoded
        })
}

#[cfg(test)]
mod tests {
    use super::{Line, RequestError, encoded, parse};

    #[test]
    fn values_are_encoded() {
        assert_eq!(encoded("a-1._~"), "a-1._~");
        assert_eq!(encoded("a+b/c="), "a%2Bb%2Fc%3D");
    }

    #[test]
    fn lines_are_told_apart() {
        assert!(matches!(parse(br#"{"type":"ADDED","object":{}}"#), Ok(Line::Put(_))));
        assert!(matches!(
            parse(br#"{"type":"DELETED","object":{}}"#),
            Ok(Line::Removed(_))
        ));
        assert!(matches!(
            parse(br#"{"type":"BOOKMARK","object":{}}"#),
            Ok(Line::Bookmark(_))
        ));
        let gone = parse(br#"{"type":"ERROR","object":{"kind":"Status","code":410,"message":"old"}}"#).unwrap_err();
        assert!(gone.is_expired() && gone.to_string() == "410: old", "{gone}");
        for line in [&b"{\"type\":\"ADD"[..], b"[]", br#"{"type":"OTHER","object":{}}"#] {
            assert!(matches!(parse(line), Err(RequestError::Answer(_))));
        }
    }
}
