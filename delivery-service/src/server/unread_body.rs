//! Request bodies that the server refuses before it has read them. HTTP/1.1 closes the connection
//! after such an answer, and the answer says so. Otherwise the client would send its next request
//! into a closed connection.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::Request,
    http::Version,
};
use hyper::body::{Frame, SizeHint};

use super::sizes::LARGE;

/// Watches the body of a request, if HTTP/1.1 may leave a part of it unread. The connection itself
/// reads small bodies to their end.
pub(crate) fn watch(request: Request) -> (Request, Option<UnreadBody>) {
    let is_small = request.body().size_hint().upper().is_some_and(|bytes| bytes < LARGE as u64);
    if request.version() >= Version::HTTP_2 || is_small {
        return (request, None);
    }
    let has_ended = Arc::new(AtomicBool::new(false));
    let unread_body = UnreadBody(Arc::clone(&has_ended));
    (request.map(|body| Body::new(WatchedBody { body, has_ended })), Some(unread_body))
}

/// Tells whether the server has read a request body to its end.
pub(crate) struct UnreadBody(Arc<AtomicBool>);

impl UnreadBody {
    /// True if a part of the body is unread.
    pub(crate) fn is_left(&self) -> bool {
        !self.0.load(Ordering::Relaxed)
    }
}

/// A body that notes its end.
struct WatchedBody {
    body: Body,
    has_ended: Arc<AtomicBool>,
}

impl HttpBody for WatchedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if matches!(frame, Poll::Ready(None)) || self.body.is_end_stream() {
            self.has_ended.store(true, Ordering::Relaxed);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
