//! An upgrade of the server. A new server takes over the sockets of the old one, and no client is
//! refused.
#![allow(clippy::unwrap_used, clippy::panic)]
#![cfg(all(feature = "server", unix))]

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    os::fd::OwnedFd,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
};

use crate::test_directory::TestDirectory;

/// Starts a server with both sockets, as systemd does. The shell moves the sockets to the file
/// descriptors that the server expects.
fn serve(directory: &TestDirectory, devices: &TcpListener, operators: &TcpListener) -> Child {
    let script = "exec 3<&0 4<&2 </dev/null 2>>log; LISTEN_PID=$$ LISTEN_FDS=2 exec \"$0\" serve";
    let mut child = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_regrow-ds")])
        .current_dir(directory.root())
        .envs([
            ("REGROW_DS_LIMITS__ADDRESS_REQUESTS_PER_SECOND", "1000000"),
            ("REGROW_DS_LIMITS__ADDRESS_BURST", "1000000"),
        ])
        .stdin(OwnedFd::from(devices.try_clone().unwrap()))
        .stderr(OwnedFd::from(operators.try_clone().unwrap()))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let (devices, operators) = (devices.local_addr().unwrap(), operators.local_addr().unwrap());
    assert_eq!(line, format!("listening on http://{devices}, for operators on http://{operators}\n"));
    child
}

fn end(mut server: Child) {
    assert!(Command::new("kill").args(["-TERM", &server.id().to_string()]).status().unwrap().success());
    assert!(server.wait().unwrap().success());
}

/// Sends one request on a new connection. Returns the status line.
fn status_line(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn a_restart_over_the_same_sockets_refuses_no_request() {
    let directory = TestDirectory::new();
    let socket = || TcpListener::bind("127.0.0.1:0").unwrap();
    let (devices, operators) = (socket(), socket());
    let address = devices.local_addr().unwrap();
    let mut server = serve(&directory, &devices, &operators);
    assert_eq!(status_line(operators.local_addr().unwrap(), "/readyz"), "HTTP/1.1 200 OK");

    let (answered, answers) = mpsc::channel();
    let asking = thread::spawn(move || while answered.send(status_line(address, "/v1/service")).is_ok() {});
    for _ in 0..3 {
        end(server);
        server = serve(&directory, &devices, &operators);
        // One answer may come from the old server. The others come from the new one.
        for answer in answers.iter().take(5) {
            assert_eq!(answer, "HTTP/1.1 200 OK");
        }
    }
    drop(answers);
    asking.join().unwrap();
    end(server);
}
