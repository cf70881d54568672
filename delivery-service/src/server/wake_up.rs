//! Wake-ups: the server calls the address of a device when an entry waits for the device and the
//! device has no open stream or long poll.
//!
//! A call is an empty `POST`. It tells neither what waits nor in which group. The operator names
//! the hosts that the server may call. The server calls a device once, and calls it again only
//! after the device has read.

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
    refusal::RequestError,
    settings,
};
use crate::{api::Code, authorities, names::DeviceId};

/// A device counts as asleep when it has neither listened nor read for this long. A device that
/// polls more often stays awake.
const ASLEEP_AFTER: Duration = Duration::from_secs(30);

/// The longest address. The address of a push service has a few hundred bytes.
const MAX_ADDRESS_BYTES: usize = 2_048;

/// The time that an address has to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The most simultaneous calls to one host. A host that does not answer delays no other host.
const CALLS_PER_HOST: usize = 8;

/// The most devices that wait for a call to one host. The server drops further wake-ups.
const WAITING_PER_HOST: usize = 10_000;

/// The most calls for one wake-up. The server stops after the first call that succeeds.
const ATTEMPTS: u32 = 10;

/// The pause after the first failed call. Each further pause is four times as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// The server cannot set up the HTTP client for the calls.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up the HTTP client for `wake_up.hosts`: {0}")]
pub struct WakeUpError(#[source] reqwest::Error);

/// The devices that have registered an address, and their states. Clones share them.
#[derive(Clone)]
pub(crate) struct WakeUps(Arc<SharedWakeUps>);

struct SharedWakeUps {
    /// The calls to each host that the server may call. The names have the form of [`host_of`].
    /// Without any host there is no client.
    hosts: HashMap<String, HostCalls>,
    client: Option<reqwest::Client>,
    devices: Mutex<DeviceWakeUps>,
    environment: Environment,
    metrics: Metrics,
    runtime: Handle,
}

/// The calls to one host.
struct HostCalls {
    calls: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

#[derive(Default)]
struct DeviceWakeUps {
    registered: HashMap<DeviceId, Registered>,
    /// Devices that are awake, with the time of their last activity.
    awake: BTreeSet<(Duration, DeviceId)>,
    /// Increases with every change of a state.
    count: u64,
}

struct Registered {
    address: Url,
    state: WakeState,
    /// Distinguishes one wake-up of the device from the next.
    number: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WakeState {
    /// The device was active at this time.
    Awake(Duration),
    /// The server calls the device as soon as an entry waits for it.
    Asleep,
    /// The server calls or has called the device, and the device has not read since.
    Called,
}

impl WakeUps {
    /// Prepares calls to the hosts of the settings. The caller must be in a Tokio runtime.
    pub(crate) fn new(
        settings: &settings::WakeUpSettings,
        environment: Environment,
        metrics: Metrics,
    ) -> Result<Self, WakeUpError> {
        let host_calls = || HostCalls {
            calls: Arc::new(Semaphore::new(CALLS_PER_HOST)),
            waiting: Arc::new(Semaphore::new(WAITING_PER_HOST)),
        };
        let hosts: HashMap<_, _> =
            settings.hosts.iter().map(|host| (host.to_ascii_lowercase(), host_calls())).collect();
        let client = if hosts.is_empty() { None } else { Some(client()?) };
        let (devices, runtime) = (Mutex::default(), Handle::current());
        Ok(Self(Arc::new(SharedWakeUps { hosts, client, devices, environment, metrics, runtime })))
    }

    /// Parses and checks an address that a device registers.
    pub(crate) fn read(&self, address: &str) -> Result<Url, RequestError> {
        if self.0.hosts.is_empty() {
            return Err(RequestError::because(Code::Forbidden, "this server wakes no devices"));
        }
        let unfit = |why| RequestError::because(Code::BadRequest, why);
        if address.len() > MAX_ADDRESS_BYTES {
            return Err(unfit("the address is too long"));
        }
        let url = Url::parse(address).map_err(|_| unfit("the address cannot be read"))?;
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return Err(unfit("the address has a user name, a password or a fragment"));
        }
        if url.scheme() != "https" && !(url.scheme() == "http" && is_loopback(&url)) {
            return Err(unfit("the address does not begin with https://"));
        }
        match self.host_calls(&url) {
            Some(_) => Ok(url),
            None => Err(RequestError::because(Code::Forbidden, "this server does not call that host")),
        }
    }

    fn host_calls(&self, url: &Url) -> Option<&HostCalls> {
        self.0.hosts.get(&host_of(url)?)
    }

    /// Replaces the registered devices by the stored ones. It leaves out addresses that the server
    /// may no longer call.
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

    /// Registers the address of a device. The device is awake, because it has just sent a request.
    pub(crate) fn register(&self, device: DeviceId, address: Url) {
        self.forget(&device);
        let since = self.0.environment.monotonic();
        let mut devices = self.devices();
        devices.awake.insert((since, device.clone()));
        devices.registered.insert(device, Registered { address, state: WakeState::Awake(since), number: 0 });
    }

    /// Forgets the address of a device.
    pub(crate) fn forget(&self, device: &DeviceId) {
        let mut devices = self.devices();
        if let Some(Registered { state: WakeState::Awake(since), .. }) = devices.registered.remove(device) {
            devices.awake.remove(&(since, device.clone()));
        }
    }

    /// Notes that a device listens or reads, or that it has just stopped listening.
    pub(crate) fn awake(&self, device: &DeviceId) {
        let since = self.0.environment.monotonic();
        self.devices().change(device, WakeState::Awake(since));
    }

    /// Puts up to `most` devices to sleep that have been inactive for [`ASLEEP_AFTER`], and returns
    /// them. A device for which `listens` returns true stays awake.
    pub(crate) fn fall_asleep(&self, most: usize, listens: impl Fn(&DeviceId) -> bool) -> Vec<DeviceId> {
        let now = self.0.environment.monotonic();
        let mut devices = self.devices();
        let due = devices.awake.iter().take(most).take_while(|(since, _)| now.saturating_sub(*since) >= ASLEEP_AFTER);
        let due: Vec<_> = due.map(|(_, device)| device.clone()).collect();
        let (still, asleep): (Vec<_>, Vec<_>) = due.into_iter().partition(listens);
        for device in &still {
            devices.change(device, WakeState::Awake(now));
        }
        for device in &asleep {
            devices.change(device, WakeState::Asleep);
        }
        asleep
    }

    /// Notes that an entry waits for a device. Calls the device if it is asleep.
    pub(crate) fn wake(&self, device: &DeviceId) {
        let mut devices = self.devices();
        let Some(Registered { state: WakeState::Asleep, address, .. }) = devices.registered.get(device) else { return };
        let address = address.clone();
        let number = devices.change(device, WakeState::Called);
        drop(devices);
        let Some(host) = self.host_calls(&address) else { return };
        let Ok(waiting) = Arc::clone(&host.waiting).try_acquire_owned() else {
            return self.0.metrics.woken(WakeUpLabel::Dropped);
        };
        let (this, device, calls) = (self.clone(), device.clone(), Arc::clone(&host.calls));
        self.0.runtime.spawn(async move {
            if let Some(outcome) = this.call(&device, number, address, &calls).await {
                this.0.metrics.woken(outcome);
            }
            drop(waiting);
        });
    }

    /// Calls the address until one call succeeds. Returns `None` if the device reads in the
    /// meantime.
    async fn call(&self, device: &DeviceId, number: u64, address: Url, calls: &Semaphore) -> Option<WakeUpLabel> {
        let client = self.0.client.as_ref()?;
        let mut pause = FIRST_PAUSE;
        for _ in 0..ATTEMPTS {
            let status = {
                let _call = calls.acquire().await.ok()?;
                if self.devices().registered.get(device).is_none_or(|known| known.number != number) {
                    return None;
                }
                // The server does not read the body of the answer.
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
                // The failure may be temporary, so the server tries again.
                Ok(_) | Err(_) => {}
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 4).min(LONGEST_PAUSE);
        }
        Some(WakeUpLabel::Failed)
    }

    fn devices(&self) -> MutexGuard<'_, DeviceWakeUps> {
        self.0.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DeviceWakeUps {
    /// Changes the state of a device, if it is registered. Returns the number of the change.
    fn change(&mut self, device: &DeviceId, state: WakeState) -> u64 {
        self.count += 1;
        let Some(known) = self.registered.get_mut(device) else { return self.count };
        if let WakeState::Awake(since) = known.state {
            self.awake.remove(&(since, device.clone()));
        }
        if let WakeState::Awake(since) = state {
            self.awake.insert((since, device.clone()));
        }
        (known.state, known.number) = (state, self.count);
        self.count
    }
}

fn client() -> Result<reqwest::Client, WakeUpError> {
    authorities::choose_cryptography();
    // A redirect, or a proxy of the environment, could lead to a host that the operator has not
    // named.
    let builder = reqwest::Client::builder().timeout(TIMEOUT).redirect(Policy::none()).no_proxy();
    builder.build().map_err(WakeUpError)
}

/// The host in the form of `wake_up.hosts`: with its port, unless the port is 443.
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
    async fn only_addresses_at_the_named_hosts_are_accepted() {
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
    async fn without_hosts_no_address_is_accepted() {
        let refused = wake_ups(&[]).read("https://push.example.org/").map_err(|refusal| refusal.0.code);
        assert_eq!(refused, Err(Code::Forbidden));
    }
}
