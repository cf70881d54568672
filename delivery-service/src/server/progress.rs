//! The progress of one connection: answers that wait to be taken, writes that wait for the client,
//! and requests that are under way.
//!
//! Answers leave in small pieces. A client that takes no further piece for too long, whether it does
//! not read or keeps a window of HTTP/2 shut, makes no progress: its connection is closed, and all
//! that waits for it is given back.

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

/// Bytes of an answer that leave at a time. HTTP/2 holds two pieces of each answer beside it.
const PIECE: usize = 16 * 1024;

/// Bytes of the last piece. The answer's memory is given back with it, although HTTP/2 may not have
/// sent it yet.
const LAST_PIECE: usize = 2 * 1024;

/// What goes on at one connection. Clones are of the same connection.
#[derive(Clone, Default)]
pub(crate) struct Progress(Arc<Mutex<Flow>>);

#[derive(Default)]
struct Flow {
    /// Answers with a piece that was handed over, and since when nobody asked for the next.
    waiting: HashMap<u64, Instant>,
    next: u64,
    /// Since when the socket takes nothing.
    blocked: Option<Instant>,
    /// Requests whose answer has not ended, streams without an end not counted.
    under_way: usize,
    /// Since when none is under way.
    idle: Option<Instant>,
    came: bool,
}

impl Progress {
    /// Whether the client has taken nothing for that long although something waits for it.
    pub(crate) fn is_stuck(&self, patience: Duration) -> bool {
        let flow = self.flow();
        let oldest = flow.waiting.values().copied().chain(flow.blocked).min();
        oldest.is_some_and(|since| since.elapsed() >= patience)
    }

    /// Whether a request has come.
    pub(crate) fn came(&self) -> bool {
        self.flow().came
    }

    /// Whether no request has been under way since `since`, and for that long.
    pub(crate) fn is_idle(&self, since: Instant, grace: Duration) -> bool {
        let flow = self.flow();
        flow.under_way == 0 && flow.idle.map_or(since, |idle| idle.max(since)).elapsed() >= grace
    }

    /// A request has come. It is under way until the returned guard is dropped.
    pub(crate) fn request(&self) -> UnderWay {
        let mut flow = self.flow();
        flow.came = true;
        flow.under_way += 1;
        UnderWay(self.clone())
    }

    /// Follows an answer on its way out.
    pub(crate) fn answer(&self, response: Response<Body>, under_way: UnderWay) -> Response<Outgoing> {
        let is_stream = |headers: &HeaderMap| {
            headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
        };
        // A stream has no end to wait for.
        let under_way = (!is_stream(response.headers())).then_some(under_way);
        let id = {
            let mut flow = self.flow();
            flow.next += 1;
            flow.next
        };
        let progress = self.clone();
        response.map(|body| Outgoing { body, rest: Bytes::new(), id, progress, _under_way: under_way })
    }

    fn flow(&self) -> MutexGuard<'_, Flow> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is under way.
pub(crate) struct UnderWay(Progress);

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut flow = self.0.flow();
        flow.under_way = flow.under_way.saturating_sub(1);
        if flow.under_way == 0 {
            flow.idle = Some(Instant::now());
        }
    }
}

/// An answer on its way out, in small pieces.
pub(crate) struct Outgoing {
    body: Body,
    /// What is left of the body's last frame.
    rest: Bytes,
    id: u64,
    progress: Progress,
    _under_way: Option<UnderWay>,
}

impl Outgoing {
    fn piece(&mut self) -> Bytes {
        let length = match self.rest.len() {
            long if long > PIECE => PIECE,
            medium if medium > LAST_PIECE => medium - LAST_PIECE,
            short => short,
        };
        self.rest.split_to(length)
    }
}

impl HttpBody for Outgoing {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let id = self.id;
        self.progress.flow().waiting.remove(&id);
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                end => return Poll::Ready(end),
            }
        }
        self.progress.flow().waiting.insert(id, Instant::now());
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

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.progress.flow().waiting.remove(&self.id);
    }
}

/// A connection's bytes, which notes since when the socket takes none.
pub(crate) struct Watched<T> {
    io: T,
    progress: Progress,
}

impl<T> Watched<T> {
    pub(crate) fn new(io: T, progress: Progress) -> Self {
        Self { io, progress }
    }

    fn note<R>(&self, poll: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        let mut flow = self.progress.flow();
        match &poll {
            Poll::Pending => {
                flow.blocked.get_or_insert_with(Instant::now);
            }
            Poll::Ready(_) => flow.blocked = None,
        }
        drop(flow);
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
