//! The output of the log: a bounded queue in front of a thread that writes.
//!
//! The thread of a request only puts a line into the queue. The writer thread may wait for a full
//! pipe without delaying any request. The server drops and counts lines that do not fit into the
//! queue, and lines that cannot be written. It never panics for either.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Write},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use tracing_subscriber::fmt::MakeWriter;

/// The bytes of the lines in the queue: one second of lines on a busy server.
const QUEUE_BYTES: usize = 1024 * 1024;

/// The time that the process waits at its end for the lines in the queue.
const FLUSH_WITHIN: Duration = Duration::from_secs(1);

/// The number of lines that this process has lost. A process has one log.
static LOST: AtomicU64 = AtomicU64::new(0);

/// Returns the number of lines that the log has lost since the start of the process.
pub fn lines_lost() -> u64 {
    LOST.load(Ordering::Relaxed)
}

/// The writer of the log, which never waits. Clones share the queue.
#[derive(Clone, Debug)]
pub struct LogWriter(Arc<SharedLog>);

#[derive(Debug, Default)]
struct SharedLog {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// True while the thread writes a line that it has taken from the queue.
    writing: bool,
}

impl LogWriter {
    /// Starts the thread that writes to `place`.
    ///
    /// # Errors
    /// The system cannot start another thread.
    pub fn start(place: impl Write + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(SharedLog::default());
        let of_thread = Arc::clone(&shared);
        thread::Builder::new().name("log".into()).spawn(move || of_thread.write_to(place))?;
        Ok(Self(shared))
    }

    /// Returns a writer to the standard error. It shares no lock with other code that prints there.
    ///
    /// # Errors
    /// The system cannot start another thread, or cannot duplicate the handle.
    pub fn to_standard_error() -> io::Result<Self> {
        #[cfg(unix)]
        {
            use std::os::fd::AsFd as _;
            Self::start(File::from(io::stderr().as_fd().try_clone_to_owned()?))
        }
        #[cfg(not(unix))]
        Self::start(io::stderr())
    }

    /// Waits until the lines in the queue are written, for at most one second.
    pub fn flush(&self) {
        let until = Instant::now() + FLUSH_WITHIN;
        let mut queue = self.0.lock();
        while queue.writing || !queue.lines.is_empty() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            queue = self.0.changed.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn push(&self, line: &[u8]) {
        let mut queue = self.0.lock();
        if queue.bytes.saturating_add(line.len()) > QUEUE_BYTES {
            LOST.fetch_add(1, Ordering::Relaxed);
            return;
        }
        queue.bytes += line.len();
        queue.lines.push_back(line.to_vec());
        drop(queue);
        self.0.changed.notify_all();
    }
}

impl SharedLog {
    /// Writes lines as long as the process lives.
    fn write_to(&self, mut place: impl Write) {
        loop {
            let mut queue = self.changed.wait_while(self.lock(), |queue| queue.lines.is_empty());
            let line = match &mut queue {
                Ok(queue) => queue.take(),
                Err(poisoned) => poisoned.get_mut().take(),
            };
            drop(queue);
            let written = place.write_all(&line).and_then(|()| place.flush());
            if written.is_err() {
                LOST.fetch_add(1, Ordering::Relaxed);
            }
            self.lock().writing = false;
            self.changed.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn take(&mut self) -> Vec<u8> {
        let line = self.lines.pop_front().unwrap_or_default();
        self.bytes -= line.len();
        self.writing = true;
        line
    }
}

/// Each call takes the text of one event, as `tracing-subscriber` writes it.
impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.push(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for LogWriter {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}
