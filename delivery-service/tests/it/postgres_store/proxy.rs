//! A TCP proxy between a store and its database, which loses a commit or the answer to it.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// The part of a commit that is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The database commits, and its answer is lost with the connection.
    LoseAnswer,
    /// The commit does not reach the database.
    LoseRequest,
}

/// A proxy. Its threads end with the test's process.
pub(super) struct Proxy {
    pub(super) port: u16,
    next: Arc<Mutex<Option<Fault>>>,
    /// The number of faults so far.
    pub(super) faults: Arc<AtomicUsize>,
}

impl Proxy {
    /// Starts a proxy to the database at this port.
    pub(super) fn start(database: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (next, faults) = (Arc::new(Mutex::new(None)), Arc::new(AtomicUsize::new(0)));
        let proxy = Self { port, next: Arc::clone(&next), faults: Arc::clone(&faults) };
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let server = TcpStream::connect(("127.0.0.1", database)).unwrap();
                let (next, faults) = (Arc::clone(&next), Arc::clone(&faults));
                thread::spawn(move || pass(client, server, &next, &faults));
            }
        });
        proxy
    }

    pub(super) fn fail_at_next_commit(&self, fault: Fault) {
        *self.next.lock().unwrap() = Some(fault);
    }
}

/// Passes the bytes of one connection in both directions, until a fault or the end.
fn pass(mut client: TcpStream, mut server: TcpStream, next: &Mutex<Option<Fault>>, faults: &AtomicUsize) {
    let (mut answers, mut answered) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    // While a thread holds the lock, no answer reaches the client.
    let passing = Arc::new(Mutex::new(true));
    let is_passing = Arc::clone(&passing);
    thread::spawn(move || {
        let mut buffer = [0; 65_536];
        while let Ok(count @ 1..) = answers.read(&mut buffer) {
            if *is_passing.lock().unwrap() && answered.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        let _ = answered.shutdown(Shutdown::Both);
    });
    let mut buffer = [0; 65_536];
    while let Ok(count @ 1..) = client.read(&mut buffer) {
        let commits = buffer[..count].windows(6).any(|bytes| bytes == b"COMMIT");
        let fault = if commits { next.lock().unwrap().take() } else { None };
        if let Some(fault) = fault {
            *passing.lock().unwrap() = false;
            faults.fetch_add(1, Ordering::SeqCst);
            if fault == Fault::LoseAnswer {
                server.write_all(&buffer[..count]).unwrap();
                // The database commits although nobody waits: it has the whole request.
                thread::sleep(std::time::Duration::from_millis(100));
            }
            let _ = client.shutdown(Shutdown::Both);
            let _ = server.shutdown(Shutdown::Both);
            return;
        }
        if server.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = server.shutdown(Shutdown::Both);
}
