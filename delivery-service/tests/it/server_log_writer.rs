//! The log of a server whose standard error is closed, blocked or full.
#![allow(clippy::unwrap_used, clippy::panic)]
#![cfg(all(feature = "server", unix))]

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::test_directory::TestDirectory;

/// A server whose standard error a shell script sets up. It is killed when this value is dropped.
struct ServerProcess {
    child: Child,
    devices: SocketAddr,
    operators: SocketAddr,
    _directory: TestDirectory,
}

impl ServerProcess {
    /// Runs the server with the shell script, in which `"$@"` stands for the command.
    fn with(shell: &str) -> Self {
        let directory = TestDirectory::new();
        let serve = ["serve", "--listen", "127.0.0.1:0", "--listen-operators", "127.0.0.1:0"];
        let mut child = Command::new("bash")
            .args(["-c", shell, "bash", env!("CARGO_BIN_EXE_regrow-ds")])
            .args(serve)
            .current_dir(directory.root())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let mut addresses = line.split("http://").skip(1).map(|rest| {
            rest.trim_matches(|character: char| !character.is_ascii_digit())
                .trim_end_matches(", for operators on ")
                .parse()
                .unwrap()
        });
        let (devices, operators) = (addresses.next().unwrap(), addresses.next().unwrap());
        Self { child, devices, operators, _directory: directory }
    }

    fn get(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Sends requests, each of which writes a log line, and checks that the server still serves.
    ///
    /// 1,000 requests fill a pipe of 64 KiB and the queue before it.
    fn serves(&mut self, requests: usize) {
        for _ in 0..requests {
            let answer = Self::get(self.devices, "/v1/service");
            assert!(answer.starts_with("HTTP/1.1 "), "{answer}");
        }
        assert!(Self::get(self.operators, "/readyz").starts_with("HTTP/1.1 200"));
        assert!(self.child.try_wait().unwrap().is_none(), "the server has ended");
    }

    fn lines_lost(&self) -> u64 {
        let metrics = Self::get(self.operators, "/metrics");
        let line = metrics.lines().find_map(|line| line.strip_prefix("regrow_ds_log_lines_lost_total "));
        line.unwrap().parse().unwrap()
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_full_disk_loses_only_log_lines() {
    let mut server = ServerProcess::with(r#"exec "$@" 2>/dev/full"#);
    server.serves(20);
    assert!(server.lines_lost() > 0);
}

#[test]
fn a_closed_standard_error_stops_nothing() {
    ServerProcess::with(r#"exec "$@" 2>&-"#).serves(20);
}

#[test]
fn a_closed_log_pipe_stops_nothing() {
    let mut server = ServerProcess::with(r#"exec "$@""#);
    drop(server.child.stderr.take());
    server.serves(20);
    assert!(server.lines_lost() > 0);
}

#[test]
fn an_unread_log_pipe_blocks_nothing() {
    // The pipe stays open, but nobody reads it.
    let mut server = ServerProcess::with(r#"exec "$@""#);
    server.serves(1_000);
}
