//! Requests and answers as bytes: JSON or CBOR, as the client sends and accepts them. Every error
//! of every layer becomes a problem.

use std::convert::Infallible;

use axum::{
    body::Body as RequestBody,
    extract::{FromRequest, FromRequestParts, Request},
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use serde::{Serialize, de::DeserializeOwned};

use super::{
    caller::Caller,
    context::RequestContext,
    price::Price,
    refusal::RequestError,
    sizes::{LARGE, body_bytes},
    state::State,
    unread_body,
};
use crate::{
    api::{CBOR, Code, JSON, PROBLEM, Problem},
    names::DeviceId,
};

/// The deepest nesting of a body in CBOR. The bodies of the API have four levels.
const MAX_NESTING: usize = 16;

/// The largest body of a request without a session. A registration needs a name, a key, a signature
/// and a token.
const MAX_BYTES_WITHOUT_SESSION: usize = 64 * 1024;

/// The most characters of a decoder's error in an answer. The error may repeat bytes of the
/// request.
const MAX_DETAIL: usize = 200;

/// The format of a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Format {
    #[default]
    Json,
    Cbor,
}

impl Format {
    /// Returns the format that a request accepts, or `None` if it accepts neither.
    fn accepted(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(header::ACCEPT).iter().peekable();
        if values.peek().is_none() {
            return Some(Self::default());
        }
        let mut best: Option<(u16, Self)> = None;
        for range in values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')) {
            let (kind, quality) = media_range(range);
            let format = match kind.as_str() {
                JSON | PROBLEM | "*/*" | "application/*" | "text/event-stream" => Self::Json,
                CBOR => Self::Cbor,
                _ => continue,
            };
            if quality > 0 && best.is_none_or(|(best, _)| quality > best) {
                best = Some((quality, format));
            }
        }
        best.map(|(_, format)| format)
    }

    /// Returns the format of a request's body.
    fn of_content(headers: &HeaderMap) -> Result<Self, RequestError> {
        let mut values = headers.get_all(header::CONTENT_TYPE).iter();
        match (values.next().and_then(|value| value.to_str().ok()), values.next()) {
            (Some(value), None) => match media_range(value).0.as_str() {
                JSON => Ok(Self::Json),
                CBOR => Ok(Self::Cbor),
                _ => Err(Code::UnsupportedMediaType.into()),
            },
            _ => Err(Code::UnsupportedMediaType.into()),
        }
    }

    fn read<T: DeserializeOwned>(self, bytes: &[u8]) -> Result<T, RequestError> {
        let not_understood =
            |error: String| RequestError::because(Code::BadRequest, error.chars().take(MAX_DETAIL).collect::<String>());
        match self {
            Self::Json => serde_json::from_slice(bytes).map_err(|error| not_understood(error.to_string())),
            Self::Cbor => {
                let mut rest = bytes;
                let value = ciborium::de::from_reader_with_recursion_limit(&mut rest, MAX_NESTING)
                    .map_err(|error| not_understood(error.to_string()))?;
                if rest.is_empty() { Ok(value) } else { Err(not_understood("more than one item".into())) }
            }
        }
    }

    /// Encodes a body in this format.
    pub(crate) fn write<T: Serialize>(self, value: &T) -> Result<Vec<u8>, RequestError> {
        let failed = || RequestError::from(Code::Internal);
        match self {
            Self::Json => serde_json::to_vec(value).map_err(|_| failed()),
            Self::Cbor => {
                let mut bytes = Vec::new();
                ciborium::into_writer(value, &mut bytes).map_err(|_| failed())?;
                Ok(bytes)
            }
        }
    }

    fn media_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Json => JSON,
            Self::Cbor => CBOR,
        })
    }

    /// Returns an answer in this format.
    pub(crate) fn answer<T: Serialize>(self, status: StatusCode, value: &T) -> Result<Response, RequestError> {
        Ok((status, [(header::CONTENT_TYPE, self.media_type())], self.write(value)?).into_response())
    }

    /// Returns the answer to a successful request.
    pub(crate) fn ok<T: Serialize>(self, value: &T) -> Result<Response, RequestError> {
        self.answer(StatusCode::OK, value)
    }

    fn problem(self, problem: &Problem, mut headers: HeaderMap) -> Response {
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let media_type = match self {
            Self::Json => HeaderValue::from_static(PROBLEM),
            Self::Cbor => self.media_type(),
        };
        headers.remove(header::CONTENT_LENGTH);
        headers.insert(header::CONTENT_TYPE, media_type);
        if let Some(seconds) = problem.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        (status, headers, self.write(problem).unwrap_or_default()).into_response()
    }
}

/// Parses a media range (RFC 9110, 12.5.1). Returns it in lower case without its parameters, with
/// its quality in thousandths.
fn media_range(range: &str) -> (String, u16) {
    let mut parts = range.split(';').map(str::trim);
    let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
    let quality = parts
        .find_map(|parameter| parameter.strip_prefix("q=").or_else(|| parameter.strip_prefix("Q=")))
        .map_or(1.0, |quality| quality.parse::<f32>().unwrap_or(0.0));
    (kind, (quality.clamp(0.0, 1.0) * 1000.0) as u16)
}

impl<S: Sync> FromRequestParts<S> for Format {
    type Rejection = RequestError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, RequestError> {
        Self::accepted(&parts.headers).ok_or_else(|| Code::NotAcceptable.into())
    }
}

/// The decoded body of a request.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned + Send + 'static> FromRequest<State> for Body<T> {
    type Rejection = RequestError;

    async fn from_request(request: Request, state: &State) -> Result<Self, RequestError> {
        IncomingBody::of(request, state)?.read(state).await.map(Self)
    }
}

/// A request body that the server has not begun to read. Its media type and its declared size are
/// valid.
pub(crate) struct IncomingBody {
    format: Format,
    device: Option<DeviceId>,
    limit: usize,
    /// The declared size. A body without a declared size may have any size.
    declared: Option<usize>,
    body: RequestBody,
}

impl IncomingBody {
    /// Checks the headers, and charges the device for the declared size. So a device without units
    /// cannot send a body.
    pub(crate) fn of(request: Request, state: &State) -> Result<Self, RequestError> {
        let format = Format::of_content(request.headers())?;
        let device = Caller::of(request.extensions()).map(|caller| caller.0.device.clone());
        let limit = if device.is_some() { state.max_request_bytes() } else { MAX_BYTES_WITHOUT_SESSION };
        let header = request.headers().get(header::CONTENT_LENGTH);
        let header = header.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        let declared = header.or_else(|| request.body().size_hint().exact());
        let declared = declared.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        if declared.is_some_and(|declared| declared > limit) {
            return Err(too_large(limit));
        }
        if let (Some(device), Some(declared)) = (&device, declared) {
            state.rates().charge(device, Price::Bytes(declared))?;
        }
        Ok(Self { format, device, limit, declared, body: request.into_body() })
    }

    /// True if the body is large or does not declare its size.
    pub(crate) fn is_large(&self) -> bool {
        self.declared.is_none_or(|declared| declared >= LARGE)
    }

    /// Reads and decodes the body.
    pub(crate) async fn read<T: DeserializeOwned + Send + 'static>(self, state: &State) -> Result<T, RequestError> {
        let Self { format, device, limit, declared, mut body } = self;
        let collect = async {
            let mut collected = Collected::new(state, device, limit, declared.unwrap_or(0));
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|_| Code::BadRequest)?;
                collected.add(frame.data_ref().map_or(&[], |data| data)).await?;
            }
            collected.bytes.shrink_to_fit();
            Ok::<_, RequestError>(collected.bytes)
        };
        let collected = tokio::time::timeout(state.request_time(), collect).await;
        let bytes = collected.map_err(|_| RequestError::from(Code::Timeout))??;
        if bytes.len() < LARGE {
            return format.read(&bytes);
        }
        state.checks().run(bytes.len(), move || format.read(&bytes)).await?
    }
}

fn too_large(limit: usize) -> RequestError {
    RequestError::because(Code::TooLarge, format!("more than {limit} bytes"))
}

/// A body that the server is reading. Before it keeps a piece, it charges the memory and, if a
/// device calls, the cost units.
struct Collected<'s> {
    state: &'s State,
    device: Option<DeviceId>,
    context: Option<RequestContext>,
    /// The charge of the request without its body.
    base: usize,
    limit: usize,
    bytes: Vec<u8>,
    /// The cost units that the device has paid.
    units: u32,
}

impl<'s> Collected<'s> {
    /// Begins a body. The device has paid for `paid` bytes.
    fn new(state: &'s State, device: Option<DeviceId>, limit: usize, paid: usize) -> Self {
        let context = RequestContext::current();
        let base = context.as_ref().map_or(0, |context| context.charge.bytes());
        // The buffer starts empty, because a client may declare more bytes than it sends. A growing
        // buffer takes up to twice the size of the body; the charge covers that.
        let bytes = Vec::new();
        Self { state, device, context, base, limit, bytes, units: Price::Bytes(paid).units() }
    }

    /// Charges the device for a body of `length` bytes, without the units that it has paid already.
    fn pay(&mut self, length: usize) -> Result<(), RequestError> {
        let Some(device) = &self.device else {
            return Ok(());
        };
        let units = Price::Bytes(length).units();
        self.state.rates().charge(device, Price::Units(units.saturating_sub(self.units)))?;
        self.units = self.units.max(units);
        Ok(())
    }

    async fn add(&mut self, piece: &[u8]) -> Result<(), RequestError> {
        let length = self.bytes.len() + piece.len();
        if length > self.limit {
            return Err(too_large(self.limit));
        }
        // The final length of this body is unknown, and so is the time until the device can pay for
        // it.
        let longest_wait = self.state.rates().longest_wait();
        self.pay(length).map_err(|_| RequestError::for_now(Code::TooManyRequests, longest_wait))?;
        if let Some(context) = &self.context {
            context.charge.grow_to(self.base + body_bytes(length)).await?;
        }
        self.bytes.extend_from_slice(piece);
        Ok(())
    }
}

/// The outermost layer: it writes the body of every refusal, and turns every other error into a
/// problem. No cache may keep an answer, because an answer may contain a token or the members of a
/// group.
pub(crate) async fn layer(request: Request, next: Next) -> Result<Response, Infallible> {
    let format = Format::accepted(request.headers()).unwrap_or_default();
    let (request, unread_body) = unread_body::watch(request);
    let mut response = with_problem(format, next.run(request).await);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if unread_body.is_some_and(|unread_body| unread_body.is_left()) {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

/// Marks an answer of another node, or of a router within: its problem has its body already.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Complete;

fn with_problem(format: Format, mut response: Response) -> Response {
    if response.extensions().get::<Complete>().is_some() {
        return response;
    }
    if let Some(RequestError(problem)) = response.extensions_mut().remove::<RequestError>() {
        return format.problem(&problem, std::mem::take(response.headers_mut()));
    }
    let status = response.status();
    if status.is_client_error() || status.is_server_error() {
        let code = match status.as_u16() {
            404 => Code::NotFound,
            405 => Code::MethodNotAllowed,
            408 => Code::Timeout,
            413 => Code::TooLarge,
            415 => Code::UnsupportedMediaType,
            503 => Code::Unavailable,
            400..500 => Code::BadRequest,
            _ => Code::Internal,
        };
        return format.problem(&Problem::new(code), std::mem::take(response.headers_mut()));
    }
    response
}

/// Returns the answer to a request whose handler panicked.
pub(crate) fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    // The message of the panic may repeat parts of the request, so the log does not contain it.
    tracing::error!("a handler panicked");
    RequestError::from(Code::Internal).into_response()
}

#[cfg(test)]
mod tests {
    use serde::de::IgnoredAny;

    use super::*;

    /// The test decodes values of any type, so no check of the content can stop the decoder
    /// earlier.
    #[test]
    fn deep_nesting_is_refused_before_the_stack_overflows() {
        let read = |format: Format, bytes: Vec<u8>| format.read::<IgnoredAny>(&bytes).map(drop);
        // An array of one element, a map of one entry, a tag, and an array without an end.
        for head in [&[0x81][..], &[0xA1, 0x00], &[0xC1], &[0x9F]] {
            let refused = read(Format::Cbor, head.repeat(1_000_000)).map_err(|refusal| refusal.0.code);
            assert_eq!(refused, Err(Code::BadRequest), "{head:02X?}");
        }
        for head in ["[", "{\"a\":"] {
            let refused = read(Format::Json, head.repeat(1_000_000).into()).map_err(|refusal| refusal.0.code);
            assert_eq!(refused, Err(Code::BadRequest), "{head}");
        }
    }

    #[test]
    fn shallow_nesting_is_read() {
        let cbor = [vec![0x81; MAX_NESTING / 2], vec![0x00]].concat();
        assert!(Format::Cbor.read::<IgnoredAny>(&cbor).is_ok());
        assert!(Format::Json.read::<IgnoredAny>(b"[[[[0]]]]").is_ok());
    }
}
