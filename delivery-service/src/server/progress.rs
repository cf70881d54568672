//! The progress of one connection: pieces of answers that wait for the client, writes that wait for
//! the client, and open requests.
//!
//! Answers leave in small pieces. A client may take no further piece for too long, because it does
//! not read or keeps an HTTP/2 window shut. Such a client makes no progress: the server closes the
//! connection and frees everything that waits for it.

use std::{
    collections::HashMap,
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    body::{Body, Bytes, HttpBody},
    http::{HeaderMap, Response, header},
};
use hyper::body::{Frame, SizeHint};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

/// The bytes of one piece of an answer. HTTP/2 holds two more pieces of each answer.
const PIECE: usize = 16 * 1024;

/// The bytes of the last piece. The server gives the memory of the answer back with this piece,
/// although HTTP/2 may not have sent it yet.
const LAST_PIECE: usize = 2 * 1024;

/// The progress of one connection. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Progress(Arc<Mutex<ProgressState>>);

#[derive(Default)]
struct ProgressState {
    /// Answers whose next piece the HTTP layer has not asked for, and since when.
    waiting: HashMap<u64, Instant>,
    next: u64,
    /// The time since which the socket takes no bytes.
    blocked: Option<Instant>,
    /// The number of requests whose answer has not ended. Endless streams do not count.
    open_requests: usize,
    /// The time since which no request is open.
    idle: Option<Instant>,
    had_request: bool,
}

impl Progress {
    /// True if an answer or a write has waited for the client for at least `patience`.
    pub(crate) fn is_stuck(&self, patience: Duration) -> bool {
        let state = self.state();
        let oldest = state.waiting.values().copied().chain(state.blocked).min();
        oldest.is_some_and(|since| since.elapsed() >= patience)
    }

    /// True if the connection has had a request.
    pub(crate) fn had_request(&self) -> bool {
        self.state().had_request
    }

    /// True if no request has been open for at least `grace`. Counts from `since` at the earliest.
    pub(crate) fn is_idle(&self, since: Instant, grace: Duration) -> bool {
        let state = self.state();
        state.open_requests == 0 && state.idle.map_or(since, |idle| idle.max(since)).elapsed() >= grace
    }

    /// Notes a new request. It is open until the returned guard is dropped.
    pub(crate) fn request(&self) -> OpenRequest {
        let mut state = self.state();
        state.had_request = true;
        state.open_requests += 1;
        OpenRequest(self.clone())
    }

    /// Splits an answer into pieces and tracks its progress.
    pub(crate) fn answer(&self, response: Response<Body>, request: OpenRequest) -> Response<OutgoingBody> {
        let is_stream = |headers: &HeaderMap| {
            headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
        };
        // The server does not wait for the end of a stream.
        let request = (!is_stream(response.headers())).then_some(request);
        let id = {
            let mut state = self.state();
            state.next += 1;
            state.next
        };
        let progress = self.clone();
        response.map(|body| OutgoingBody { body, rest: Bytes::new(), id, progress, _request: request })
    }

    fn state(&self) -> MutexGuard<'_, ProgressState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The guard of an open request.
pub(crate) struct OpenRequest(Progress);

impl Drop for OpenRequest {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.open_requests = state.open_requests.saturating_sub(1);
        if state.open_requests == 0 {
            state.idle = Some(Instant::now());
        }
    }
}

/// The body of an answer, which leaves in small pieces.
pub(crate) struct OutgoingBody {
    body: Body,
    /// The rest of the last frame of `body`.
    rest: Bytes,
    id: u64,
    progress: Progress,
    _request: Option<OpenRequest>,
}

impl OutgoingBody {
    fn piece(&mut self) -> Bytes {
        let length = match self.rest.len() {
            long if long > PIECE => PIECE,
            medium if medium > LAST_PIECE => medium - LAST_PIECE,
            short => short,
        };
        self.rest.split_to(length)
    }
}

impl HttpBody for OutgoingBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let id = self.id;
        self.progress.state().waiting.remove(&id);
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                end => return Poll::Ready(end),
            }
        }
        self.progress.state().waiting.insert(id, Instant::now());
        Poll::Ready(Some(Ok(Frame::data(self.piece()))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, body) = (self.rest.len() as u64, self.body.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(body.lower().saturating_add(rest));
        if let Some(upper) = body.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint
    }
}

impl Drop for OutgoingBody {
    fn drop(&mut self) {
        self.progress.state().waiting.remove(&self.id);
    }
}

/// The byte stream of a connection. It notes since when the socket takes no bytes.
pub(crate) struct Watched<T> {
    io: T,
    progress: Progress,
}

impl<T> Watched<T> {
    pub(crate) fn new(io: T, progress: Progress) -> Self {
        Self { io, progress }
    }

    fn note<R>(&self, poll: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        let mut state = self.progress.state();
        match &poll {
            Poll::Pending => {
                state.blocked.get_or_insert_with(Instant::now);
            }
            Poll::Ready(_) => state.blocked = None,
        }
        drop(state);
        poll
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.io).poll_write(context, bytes);
        self.note(poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.io).poll_write_vectored(context, bytes);
        self.note(poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}
