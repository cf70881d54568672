//! One HTTP request and its response, in CBOR.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime},
};

use reqwest::{Method, Response, Url, header};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    api::{CBOR, Code, Problem},
    error::ConnectionError,
    names::Timestamp,
    retry::Retry,
};

/// The largest response body that the client reads. A page of deliveries has up to 16 MiB, and a
/// single large delivery has more.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// The largest problem body that the client reads.
const MAX_PROBLEM_BYTES: usize = 64 * 1024;

/// The HTTP client, and the service's time in the last response.
#[derive(Debug)]
pub(super) struct Http {
    client: reqwest::Client,
    /// In seconds since the Unix epoch. 0 if no response has come since the time was taken.
    time: AtomicU64,
}

impl Http {
    pub(super) fn new(client: reqwest::Client) -> Self {
        Self { client, time: AtomicU64::new(0) }
    }

    /// Takes the time in the last response (RFC 9110, 6.6.1).
    pub(super) fn take_time(&self) -> Option<Timestamp> {
        Some(self.time.swap(0, Ordering::Relaxed)).filter(|seconds| *seconds > 0).map(Timestamp)
    }

    fn note_time(&self, response: &Response) {
        let date = response.headers().get(header::DATE).and_then(|date| date.to_str().ok());
        let date = date.and_then(|date| httpdate::parse_http_date(date).ok());
        if let Some(elapsed) = date.and_then(|date| date.duration_since(SystemTime::UNIX_EPOCH).ok()) {
            self.time.store(elapsed.as_secs(), Ordering::Relaxed);
        }
    }
}

/// An HTTP request that can be repeated.
pub(super) struct HttpRequest {
    method: Method,
    url: Url,
    body: Option<Vec<u8>>,
    timeout: Duration,
}

impl HttpRequest {
    pub(super) fn new(base: &Url, method: Method, path: &[&str], timeout: Duration) -> Result<Self, ConnectionError> {
        let mut url = base.clone();
        // Each segment is encoded, so that no name changes the path.
        match url.path_segments_mut() {
            Ok(mut segments) => _ = segments.pop_if_empty().extend(path),
            Err(()) => return Err(ConnectionError::Address { detail: "it has no path".into() }),
        }
        // A segment of dots counts as a step, even if it is encoded (RFC 3986, 5.2.4): the URL
        // omits it.
        let expected = base.path().split('/').filter(|segment| !segment.is_empty()).count() + path.len();
        if url.path().split('/').filter(|segment| !segment.is_empty()).count() != expected {
            return Err(ConnectionError::Address { detail: "a name would change the path".into() });
        }
        Ok(Self { method, url, body: None, timeout })
    }

    pub(super) fn with(mut self, body: &impl Serialize) -> Result<Self, ConnectionError> {
        let mut bytes = Vec::new();
        ciborium::into_writer(body, &mut bytes).map_err(|e| protocol(format!("a request: {e}")))?;
        self.body = Some(bytes);
        Ok(self)
    }

    pub(super) fn asking(mut self, query: &[(&str, u64)]) -> Self {
        self.url.query_pairs_mut().extend_pairs(query.iter().map(|(name, value)| (name, value.to_string())));
        self
    }

    /// The same request with more time.
    pub(super) fn patient(mut self, wait: Duration) -> Self {
        self.timeout = self.timeout.saturating_add(wait);
        self
    }
}

/// The body of a response.
pub(super) trait ResponseBody: Sized {
    fn read(body: &[u8]) -> Result<Self, ConnectionError>;
}

impl<T: DeserializeOwned> ResponseBody for T {
    fn read(body: &[u8]) -> Result<Self, ConnectionError> {
        ciborium::from_reader(body).map_err(|e| protocol(e.to_string()))
    }
}

/// A body that the caller does not need.
pub(super) struct Nothing;

impl ResponseBody for Nothing {
    fn read(_: &[u8]) -> Result<Self, ConnectionError> {
        Ok(Self)
    }
}

/// Makes the request, and repeats it by the rule.
pub(super) async fn retried<T: ResponseBody>(
    http: &Http,
    request: &HttpRequest,
    token: Option<&str>,
    retry: &Retry,
) -> Result<T, ConnectionError> {
    let mut attempt = 0;
    loop {
        let error = match once(http, request, token).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let Some(wait) = retry.after(attempt, &error) else { return Err(error) };
        attempt += 1;
        retry.pause(wait).await;
    }
}

/// Makes the request once.
pub(super) async fn once<T: ResponseBody>(
    http: &Http,
    request: &HttpRequest,
    token: Option<&str>,
) -> Result<T, ConnectionError> {
    let body = answer(http, request, token).await?;
    T::read(&body)
}

/// Makes the request, and returns the body of the response.
async fn answer(http: &Http, request: &HttpRequest, token: Option<&str>) -> Result<Vec<u8>, ConnectionError> {
    let mut builder = http.client.request(request.method.clone(), request.url.clone()).timeout(request.timeout);
    builder = builder.header(header::ACCEPT, CBOR);
    if let Some(token) = token {
        builder = builder.bearer_auth(token);
    }
    if let Some(body) = &request.body {
        builder = builder.header(header::CONTENT_TYPE, CBOR).body(body.clone());
    }
    let response = builder.send().await.map_err(unreachable)?;
    http.note_time(&response);
    if response.status().is_success() {
        return read(response, MAX_ANSWER_BYTES).await;
    }
    Err(problem(response).await)
}

async fn problem(response: Response) -> ConnectionError {
    let status = response.status();
    let seconds = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let body = match read(response, MAX_PROBLEM_BYTES).await {
        Ok(body) => body,
        Err(error @ ConnectionError::Unreachable { .. }) => return error,
        Err(_) => Vec::new(),
    };
    // A proxy before the service responds in another format than CBOR.
    let problem = match ciborium::from_reader::<Problem, _>(&body[..]) {
        Ok(problem) if problem.status == status.as_u16() => problem,
        _ => match status.as_u16() {
            429 => Problem::new(Code::TooManyRequests),
            502..=504 => Problem::new(Code::Unavailable),
            _ => return protocol(format!("the status is {status}, without a reason")),
        },
    };
    Problem { retry_after: problem.retry_after.or(seconds), ..problem }.into()
}

async fn read(mut response: Response, limit: usize) -> Result<Vec<u8>, ConnectionError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        if body.len() + chunk.len() > limit {
            return Err(protocol(format!("the response has more than {limit} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Reports the error without the URL, because the URL contains names.
fn unreachable(error: reqwest::Error) -> ConnectionError {
    let error = error.without_url();
    let mut detail = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        detail = format!("{detail}: {cause}");
        source = cause.source();
    }
    ConnectionError::Unreachable { detail }
}

pub(super) fn protocol(detail: String) -> ConnectionError {
    ConnectionError::Protocol { detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(segments: &[&str]) -> Result<String, ConnectionError> {
        let base = Url::parse("http://127.0.0.1:1/behind/a/proxy/").unwrap();
        HttpRequest::new(&base, Method::GET, segments, Duration::ZERO).map(|request| request.url.path().to_owned())
    }

    #[test]
    fn a_name_in_a_path_stays_one_segment() {
        assert_eq!(
            path(&["v1", "users", "a/b?c#d ä", "devices"]).unwrap(),
            "/behind/a/proxy/v1/users/a%2Fb%3Fc%23d%20%C3%A4/devices"
        );
        assert_eq!(path(&["v1", "users", "%2e%2e", "devices"]).unwrap(), "/behind/a/proxy/v1/users/%252e%252e/devices");
    }

    #[test]
    fn a_name_of_dots_is_refused() {
        for name in [".", "..", ""] {
            assert!(path(&["v1", "users", name, "devices"]).is_err(), "{name:?}");
        }
    }
}
