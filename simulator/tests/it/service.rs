//! Scenarios against a server: the same files, with every request over the network.
use std::{net::SocketAddr, path::Path};

use regrow_delivery_service::{
    SqliteStore,
    server::{
        Environment, Server,
        serve::Listening,
        settings::{ServerLimits, Settings},
        shutdown::Shutdown,
    },
};
use regrow_simulator::{
    report::{RunOptions, RunOutcome, Transcript},
    scenario, world,
};

/// Starts a server for this test, on its own thread.
fn server() -> SocketAddr {
    let (say, said) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
        // A hundred devices come from one address here, and send requests as fast as they can.
        let limits = ServerLimits {
            device_requests_per_second: 1_000_000,
            device_burst: 1_000_000,
            address_requests_per_second: 1_000_000,
            address_burst: 1_000_000,
            claims_per_device_and_hour: 1_000_000,
            ..ServerLimits::default()
        };
        let settings = Settings { listen: anywhere, listen_operators: anywhere, limits, ..Settings::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let store = SqliteStore::in_memory().unwrap();
            let server = Server::start(store, &settings, Environment::of_this_machine()).unwrap();
            let listening = Listening::bind(&settings).await.unwrap();
            say.send(listening.addresses().devices).unwrap();
            listening.run(server, Shutdown::default()).await;
        });
    });
    said.recv().unwrap()
}

fn run(path: &Path, service: Option<String>) -> RunOutcome {
    let scenario = scenario::load(path).unwrap();
    let mut transcript = Transcript::new(&scenario.name, false);
    world::run(&scenario, &RunOptions { service, ..RunOptions::default() }, &mut transcript)
}

#[test]
fn published_scenarios_give_the_same_results_with_a_server() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    assert!(files.len() >= 40);
    // Each run registers new devices, and a service refuses the 51st device of a user.
    for some in files.chunks(25) {
        let service = format!("http://{}", server());
        for path in some {
            let (here, there) = (run(path, None), run(path, Some(service.clone())));
            assert_eq!(there.failures, here.failures, "{}", path.display());
            assert_eq!(there.figures.epochs, here.figures.epochs, "{}", path.display());
            assert_eq!(there.figures.messages, here.figures.messages, "{}", path.display());
        }
    }
}

#[test]
fn unreachable_server_is_reported() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/join_by_welcome.json");
    let outcome = run(&path, Some(format!("http://{nobody}")));
    assert!(outcome.failures[0].seen.contains("cannot be reached"), "{:?}", outcome.failures);
}
