//! Wake-ups: the server calls a device's address when something waits for the device and the device does not listen.
//!
//! A request to an address is an empty `POST`: it says neither what waits nor in which group. The hosts that may be called
//! are the operator's to name. A device is called once, and not again until it has read.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use reqwest::{StatusCode, Url, header, redirect::Policy};
use tokio::{runtime::Handle, sync::Semaphore};

use super::{
    environment::Environment,
    metrics::{Metrics, WakeUpLabel},
    refusal::Refusal,
    settings,
};
use crate::{api::Code, authorities, names::DeviceId};

/// How long a device has not listened and not read before it counts as asleep. Between two polls a device is awake.
const LULL: Duration = Duration::from_secs(30);

/// The longest address. A push service's is a few hundred bytes.
const MAX_ADDRESS_BYTES: usize = 2_048;

/// How long an address may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Calls to one host at a time. A host that does not answer delays no other.
const CALLS_PER_HOST: usize = 8;

/// Devices that wait for a call to one host. Beyond them, wake-ups are dropped.
const WAITING_PER_HOST: usize = 10_000;

/// Calls for one wake-up, until one succeeds.
const ATTEMPTS: u32 = 10;

/// The pause after the first call that fails. Each further pause is four times as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// A client for the calls cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot call the hosts in `wake_up.hosts`: {0}")]
pub struct WakeUpError(#[source] reqwest::Error);

/// The devices that are to be woken. Clones are the same.
#[derive(Clone)]
pub(crate) struct WakeUps(Arc<Inner>);

struct Inner {
    /// The hosts that may be called, as in [`host_of`], with their lines. Without any there is no client.
    hosts: HashMap<String, Line>,
    client: Option<reqwest::Client>,
    devices: Mutex<Devices>,
    environment: Environment,
    metrics: Metrics,
    runtime: Handle,
}

/// The calls to one host.
struct Line {
    calls: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

#[derive(Default)]
struct Devices {
    registered: HashMap<DeviceId, Registered>,
    /// Devices that are awake, by the time since which they are.
    awake: BTreeSet<(Duration, DeviceId)>,
    /// Goes up with every change of a state.
    count: u64,
}

struct Registered {
    address: Url,
    state: State,
    /// Tells one wake-up of the device from the next.
    number: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The device has listened or read a moment ago.
    Awake(Duration),
    /// The device is to be called when something comes.
    Asleep,
    /// The device is called, or was, and has not read since.
    Called,
}

impl WakeUps {
    /// Calls to these hosts. It has to be made within a Tokio runtime.
    pub(crate) fn new(
        settings: &settings::WakeUpSettings,
        environment: Environment,
        metrics: Metrics,
    ) -> Result<Self, WakeUpError> {
        let line = || Line {
            calls: Arc::new(Semaphore::new(CALLS_PER_HOST)),
            waiting: Arc::new(Semaphore::new(WAITING_PER_HOST)),
        };
        let hosts: HashMap<_, _> = settings.hosts.iter().map(|host| (host.to_ascii_lowercase(), line())).collect();
        let client = if hosts.is_empty() { None } else { Some(client()?) };
        let (devices, runtime) = (Mutex::default(), Handle::current());
        Ok(Self(Arc::new(Inner { hosts, client, devices, environment, metrics, runtime })))
    }

    /// Reads an address that a device registers.
    pub(crate) fn read(&self, address: &str) -> Result<Url, Refusal> {
        if self.0.hosts.is_empty() {
            return Err(Refusal::because(Code::Forbidden, "this server wakes no devices"));
        }
        let unfit = |why| Refusal::because(Code::BadRequest, why);
        if address.len() > MAX_ADDRESS_BYTES {
            return Err(unfit("the address is too long"));
        }
        let url = Url::parse(address).map_err(|_| unfit("the address cannot be read"))?;
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return Err(unfit("the address has a name, a password or a fragment"));
        }
        if url.scheme() != "https" && !(url.scheme() == "http" && is_loopback(&url)) {
            return Err(unfit("the address does not begin with https://"));
        }
        match self.line(&url) {
            Some(_) => Ok(url),
            None => Err(Refusal::because(Code::Forbidden, "this server does not call that host")),
        }
    }

    fn line(&self, url: &Url) -> Option<&Line> {
        self.0.hosts.get(&host_of(url)?)
    }

    /// The devices with addresses are these now. An address that may not be called any more is left out.
    pub(crate) fn load(&self, stored: Vec<(DeviceId, String)>) {
        let stored: HashMap<_, _> =
            stored.into_iter().filter_map(|(device, address)| Some((device, self.read(&address).ok()?))).collect();
        let gone: Vec<_> =
            self.devices().registered.keys().filter(|known| !stored.contains_key(*known)).cloned().collect();
        for device in gone {
            self.forget(&device);
        }
        for (device, address) in stored {
            let is_known = self.devices().registered.get(&device).is_some_and(|known| known.address == address);
            if !is_known {
                self.register(device, address);
            }
        }
    }

    /// A device has registered an address. It is awake, for it calls.
    pub(crate) fn register(&self, device: DeviceId, address: Url) {
        self.forget(&device);
        let since = self.0.environment.monotonic();
        let mut devices = self.devices();
        devices.awake.insert((since, device.clone()));
        devices.registered.insert(device, Registered { address, state: State::Awake(since), number: 0 });
    }

    /// A device has no address any more.
    pub(crate) fn forget(&self, device: &DeviceId) {
        let mut devices = self.devices();
        if let Some(Registered { state: State::Awake(since), .. }) = devices.registered.remove(device) {
            devices.awake.remove(&(since, device.clone()));
        }
    }

    /// A device listens or reads, or has done so until now.
    pub(crate) fn awake(&self, device: &DeviceId) {
        let since = self.0.environment.monotonic();
        self.devices().change(device, State::Awake(since));
    }

    /// Devices that have not listened and not read for long enough. They are asleep from now on, if `listens` does not
    /// say that they still do.
    pub(crate) fn fall_asleep(&self, most: usize, listens: impl Fn(&DeviceId) -> bool) -> Vec<DeviceId> {
        let now = self.0.environment.monotonic();
        let mut devices = self.devices();
        let due = devices.awake.iter().take(most).take_while(|(since, _)| now.saturating_sub(*since) >= LULL);
        let due: Vec<_> = due.map(|(_, device)| device.clone()).collect();
        let (still, asleep): (Vec<_>, Vec<_>) = due.into_iter().partition(listens);
        for device in &still {
            devices.change(device, State::Awake(now));
        }
        for device in &asleep {
            devices.change(device, State::Asleep);
        }
        asleep
    }

    /// Something waits for a device. The device is called if it is asleep.
    pub(crate) fn wake(&self, device: &DeviceId) {
        let mut devices = self.devices();
        let Some(Registered { state: State::Asleep, address, .. }) = devices.registered.get(device) else { return };
        let address = address.clone();
        let number = devices.change(device, State::Called);
        drop(devices);
        let Some(line) = self.line(&address) else { return };
        let Ok(waiting) = Arc::clone(&line.waiting).try_acquire_owned() else {
            return self.0.metrics.woken(WakeUpLabel::Dropped);
        };
        let (this, device, calls) = (self.clone(), device.clone(), Arc::clone(&line.calls));
        self.0.runtime.spawn(async move {
            if let Some(outcome) = this.call(&device, number, address, &calls).await {
                this.0.metrics.woken(outcome);
            }
            drop(waiting);
        });
    }

    /// Calls the address until it takes a call, for as long as the device does not read. Returns `None` if the device reads.
    async fn call(&self, device: &DeviceId, number: u64, address: Url, calls: &Semaphore) -> Option<WakeUpLabel> {
        let client = self.0.client.as_ref()?;
        let mut pause = FIRST_PAUSE;
        for _ in 0..ATTEMPTS {
            let status = {
                let _call = calls.acquire().await.ok()?;
                if self.devices().registered.get(device).is_none_or(|known| known.number != number) {
                    return None;
                }
                // The body of the answer is not read.
                client
                    .post(address.clone())
                    .header(header::CONTENT_LENGTH, 0)
                    .send()
                    .await
                    .map(|answer| answer.status())
            };
            match status {
                Ok(status) if status.is_success() => return Some(WakeUpLabel::Delivered),
                Ok(status) if !status.is_server_error() && status != StatusCode::TOO_MANY_REQUESTS => break,
                // It may pass.
                Ok(_) | Err(_) => {}
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 4).min(LONGEST_PAUSE);
        }
        Some(WakeUpLabel::Failed)
    }

    fn devices(&self) -> MutexGuard<'_, Devices> {
        self.0.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Devices {
    /// Changes the state of a device, if it is registered. Returns the number of the change.
    fn change(&mut self, device: &DeviceId, state: State) -> u64 {
        self.count += 1;
        let Some(known) = self.registered.get_mut(device) else { return self.count };
        if let State::Awake(since) = known.state {
            self.awake.remove(&(since, device.clone()));
        }
        if let State::Awake(since) = state {
            self.awake.insert((since, device.clone()));
        }
        (known.state, known.number) = (state, self.count);
        self.count
    }
}

fn client() -> Result<reqwest::Client, WakeUpError> {
    authorities::choose_cryptography();
    // A redirect could lead to a host that the operator has not named, and so could a proxy of the environment.
    let builder = reqwest::Client::builder().timeout(TIMEOUT).redirect(Policy::none()).no_proxy();
    builder.build().map_err(WakeUpError)
}

/// The host in the form of `wake_up.hosts`: with its port, unless that is 443.
fn host_of(url: &Url) -> Option<String> {
    let host = url.host_str()?;
    match url.port_or_known_default()? {
        443 => Some(host.to_owned()),
        port => Some(format!("{host}:{port}")),
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wake_ups(hosts: &[&str]) -> WakeUps {
        let settings = settings::WakeUpSettings { hosts: hosts.iter().map(|host| (*host).to_owned()).collect() };
        WakeUps::new(&settings, Environment::of_this_machine(), Metrics::default()).expect("a client")
    }

    #[tokio::test]
    async fn only_addresses_at_the_named_hosts_are_taken() {
        let wake_ups = wake_ups(&["Push.example.org", "other.example.org:8443", "127.0.0.1:9000", "[::1]:9000"]);
        for good in [
            "https://push.example.org/a/token?and=more",
            "https://push.example.org:443/",
            "https://PUSH.example.org/",
            "https://other.example.org:8443/",
            "http://127.0.0.1:9000/",
            "https://127.0.0.1:9000/",
            "http://[::1]:9000/",
        ] {
            assert!(wake_ups.read(good).is_ok(), "{good}");
        }
        for (bad, code) in [
            ("http://push.example.org/", Code::BadRequest),
            ("ftp://push.example.org/", Code::BadRequest),
            ("push.example.org", Code::BadRequest),
            ("https://user@push.example.org/", Code::BadRequest),
            ("https://:secret@push.example.org/", Code::BadRequest),
            ("https://push.example.org/#fragment", Code::BadRequest),
            (&format!("https://push.example.org/{}", "a".repeat(MAX_ADDRESS_BYTES)), Code::BadRequest),
            ("https://push.example.org:8443/", Code::Forbidden),
            ("https://push.example.org.mallory.example/", Code::Forbidden),
            ("https://mallory.example/push.example.org", Code::Forbidden),
            ("https://169.254.169.254/", Code::Forbidden),
            ("https://localhost:9000/", Code::Forbidden),
            ("http://127.0.0.1:9001/", Code::Forbidden),
        ] {
            assert_eq!(wake_ups.read(bad).map_err(|refusal| refusal.0.code), Err(code), "{bad}");
        }
    }

    #[tokio::test]
    async fn without_hosts_no_address_is_taken() {
        let refused = wake_ups(&[]).read("https://push.example.org/").map_err(|refusal| refusal.0.code);
        assert_eq!(refused, Err(Code::Forbidden));
    }
}
