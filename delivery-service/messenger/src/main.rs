//! `regrow-chat`: a chat in a terminal that shows the service and the messenger at work.
//!
//! It is a demonstration and no product: messages are on the screen and nowhere else. The program
//! reads lines, calls [`Messenger`], and prints lines.

#![forbid(unsafe_code)]

mod plain;

use std::{
    collections::BTreeMap,
    io::{self, BufRead as _, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use clap::Parser;
use regrow_engine::{
    Change, Client, DeviceId, DiskError, GroupId, InvalidName, Policy, SafetyNumber, SqliteStore, StoreKey, UserId,
    default_crypto,
};
use regrow_messenger::{Error, Event, Messenger, Options, ServiceAddress, api::Admission};
use tokio::sync::mpsc;
use zeroize::Zeroizing;

/// The exit status of a failed chat. Unusable arguments have the status 2, by clap.
const FAILED: u8 = 3;

/// The environment variable with the passphrase.
const PASSPHRASE: &str = "REGROW_PASSPHRASE";

/// The pause before the next attempt to reach the service.
const PAUSE: Duration = Duration::from_secs(3);

/// Chat in a terminal: two terminals, two files, one server.
///
/// Exit status: 0 end of input, 2 unusable arguments, 3 failure.
#[derive(Parser, Debug)]
#[command(name = "regrow-chat", version)]
struct ChatArgs {
    /// The group; the first device makes it and adds the others
    #[arg(value_name = "GROUP", value_parser = group)]
    group: GroupId,
    /// Your user and device
    #[arg(long = "as", value_name = "USER/DEVICE", value_parser = device)]
    device: DeviceId,
    /// The file with the device's keys; made if it is missing, and sealed under a passphrase from
    /// $REGROW_PASSPHRASE or from the terminal
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    /// The service's address
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8765")]
    service: String,
    /// The certificates (PEM) of authorities that may certify the service [default: the platform's]
    #[arg(long, value_name = "FILE")]
    authorities: Option<PathBuf>,
    /// An invitation, for the registration
    #[arg(long, value_name = "TOKEN")]
    invitation: Option<String>,
}

fn group(name: &str) -> Result<GroupId, String> {
    GroupId::new(name).map_err(|error| error.to_string())
}

fn device(name: &str) -> Result<DeviceId, String> {
    name.parse().map_err(|error| match error {
        InvalidName::Encoding => "expected a user and a device, such as alice/phone".to_owned(),
        other => other.to_string(),
    })
}

fn main() -> ExitCode {
    match run(&ChatArgs::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A missing standard error is not worth a failure.
            let _ = writeln!(io::stderr(), "regrow-chat: {error:#}");
            FAILED.into()
        }
    }
}

/// Chats until the input ends, or `/quit`.
fn run(args: &ChatArgs) -> anyhow::Result<()> {
    let client = open(&args.file, &args.device)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(chat(args, client))
}

/// New members get the ratchet tree from the service, so that no commit has to carry it.
fn policy() -> Policy {
    Policy { send_ratchet_tree: false, ..Policy::default() }
}

/// Opens the device in that file, or makes a new one.
fn open(file: &Path, device: &DeviceId) -> anyhow::Result<Client> {
    let key = StoreKey::from_passphrase(&passphrase()?);
    match SqliteStore::open(file, &key, default_crypto()) {
        Ok(store) => {
            let client = Client::open(Arc::new(store), default_crypto(), policy())?;
            match client.device() == device {
                true => Ok(client),
                false => Err(anyhow!("{} is the file of {}", file.display(), client.device())),
            }
        }
        Err(DiskError::Missing { .. }) => {
            let store = SqliteStore::create(file, &key, default_crypto())?;
            Ok(Client::create(Arc::new(store), default_crypto(), device.clone(), policy())?)
        }
        Err(other) => Err(other.into()),
    }
}

fn passphrase() -> anyhow::Result<Zeroizing<String>> {
    if let Ok(passphrase) = std::env::var(PASSPHRASE) {
        return Ok(Zeroizing::new(passphrase));
    }
    if !io::stdin().is_terminal() {
        return Err(anyhow!("there is no terminal to ask for the passphrase: set {PASSPHRASE}"));
    }
    write!(io::stderr(), "Passphrase: ")?;
    io::stderr().flush()?;
    // Without stty, the terminal shows the passphrase.
    let silent = Command::new("stty").arg("-echo").status().is_ok_and(|status| status.success());
    let mut line = Zeroizing::new(String::with_capacity(256));
    let read = io::stdin().lock().read_line(&mut line);
    if silent {
        let _ = Command::new("stty").arg("echo").status();
        writeln!(io::stderr())?;
    }
    read?;
    Ok(Zeroizing::new(line.trim_end_matches(['\r', '\n']).to_owned()))
}

async fn chat(args: &ChatArgs, client: Client) -> anyhow::Result<()> {
    let mut address = ServiceAddress::at(&args.service);
    if let Some(file) = &args.authorities {
        address.authorities = Some(std::fs::read(file).with_context(|| file.display().to_string())?);
    }
    let admission = args.invitation.clone().map(Admission::Invitation);
    let mut messenger = Messenger::register(client, &address, None, admission, Options::default()).await?;
    let group = &args.group;
    if !messenger.engine().groups()?.contains(group) {
        match messenger.create_group(group).await {
            Ok(()) => say(format_args!("* this is a new group: /add USER"))?,
            Err(Error::GroupTaken { .. }) => say(format_args!("* waiting for a member to add this device"))?,
            Err(other) => return Err(other.into()),
        }
    }
    let mut lines = lines();
    let mut numbers = Numbers::new();
    let mut offline = false;
    loop {
        tokio::select! {
            line = lines.recv() => match line.as_deref().map(str::trim) {
                None | Some("/quit") => return Ok(()),
                Some("") => {}
                Some(line) => {
                    if let Err(error) = obey(&mut messenger, group, &mut numbers, line).await {
                        say(format_args!("! {error:#}"))?;
                    }
                }
            },
            event = next(&mut messenger, offline) => match event {
                Ok(event) => {
                    offline = false;
                    show(&event)?;
                }
                Err(error) if error.is_temporary() => {
                    if !offline {
                        say(format_args!("! {error}; trying again"))?;
                    }
                    offline = true;
                }
                Err(error) => return Err(error.into()),
            },
        }
    }
}

/// Returns the next event. If the service could not be reached, pauses first.
async fn next(messenger: &mut Messenger, offline: bool) -> Result<Event, Error> {
    if offline {
        tokio::time::sleep(PAUSE).await;
    }
    messenger.next_event().await
}

/// The lines of the input. The thread ends with the program, because nothing can wake it from
/// reading.
fn lines() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(16);
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// The safety numbers that the program has shown, for a comparison.
type Numbers = BTreeMap<UserId, SafetyNumber>;

async fn obey(messenger: &mut Messenger, group: &GroupId, numbers: &mut Numbers, line: &str) -> anyhow::Result<()> {
    match line.split_once(' ').map_or((line, ""), |(command, user)| (command, user.trim())) {
        ("/add", user) if !user.is_empty() => messenger.add_user(group, &UserId::new(user)?).await?,
        ("/remove", user) if !user.is_empty() => messenger.remove_user(group, &UserId::new(user)?).await?,
        ("/rotate", "") => messenger.rotate(group, false).await?,
        ("/leave", "") => messenger.leave(group).await?,
        ("/who", "") => {
            say_devices(messenger.roster(group)?.into_iter().map(|member| member.device))?;
        }
        ("/verify", user) if !user.is_empty() => {
            let user = UserId::new(user)?;
            let number = messenger.safety_number(group, &user)?;
            say(format_args!("* if {user} sees the same number: /verified {user}"))?;
            for line in number.to_string().lines() {
                say(format_args!("{line}"))?;
            }
            numbers.insert(user, number);
        }
        ("/verified", user) if !user.is_empty() => {
            let user = UserId::new(user)?;
            let number = numbers.remove(&user).ok_or_else(|| anyhow!("compare the numbers first: /verify {user}"))?;
            messenger.verify_user(group, &user, &number)?;
            say(format_args!("* {user} is verified"))?;
        }
        ("/card", "") => say(format_args!("* {}", messenger.card()?))?,
        ("/link", card) if !card.is_empty() => messenger.link_device(&card.parse()?).await?,
        ("/devices", user) if !user.is_empty() => {
            say_devices(messenger.devices(&UserId::new(user)?).await?)?;
        }
        ("/trust", user) if !user.is_empty() => {
            say_devices(messenger.accept_devices(&UserId::new(user)?).await?)?;
        }
        ("/add-device", device) if !device.is_empty() => messenger.add_device(group, &device.parse()?).await?,
        ("/block", user) if !user.is_empty() => messenger.block_user(&UserId::new(user)?).await?,
        ("/lost", device) if !device.is_empty() => messenger.remove_device(&device.parse()?).await?,
        (command, _) if command.starts_with('/') => {
            return Err(anyhow!(
                "/add USER, /add-device USER/DEVICE, /remove USER, /lost USER/DEVICE, /card, /link CARD, /devices USER, \
                 /trust USER, /block USER, /rotate, /leave, /who, /verify USER, /verified USER, /quit"
            ));
        }
        _ => messenger.send(group, line.as_bytes()).await?,
    }
    Ok(())
}

fn say_devices(devices: impl IntoIterator<Item = DeviceId>) -> io::Result<()> {
    devices.into_iter().try_for_each(|device| say(format_args!("* {device}")))
}

fn show(event: &Event) -> io::Result<()> {
    match event {
        Event::Message { sender, text, .. } => say(format_args!("{sender}: {text}")),
        Event::Joined { by, .. } => say(format_args!("* {by} has added you")),
        Event::Changed { change, .. } => {
            for what in &change.changes {
                match what {
                    Change::Added(device) => say(format_args!("* {device} has joined"))?,
                    Change::Removed(device) => say(format_args!("* {device} has gone"))?,
                    _ => {}
                }
            }
            for user in &change.no_longer_verified {
                say(format_args!("! {user} has new keys: /verify {user}"))?;
            }
            Ok(())
        }
        Event::Proposed { .. } | Event::Rejoining { .. } => Ok(()),
        Event::Rejoined { .. } => say(format_args!("* you are in the group again; some messages could not be read")),
        Event::Delayed { scope, cause, again } => {
            say(format_args!("! {scope} is delayed: {cause}; trying again in {} s", again.as_secs()))
        }
        Event::NotAdded { device, cause, .. } => say(format_args!("! {device} cannot be added: {cause}")),
        Event::KeyPackagesRefused { detail, .. } => {
            say(format_args!("! the service refuses this device's key packages: {detail}"))
        }
        Event::ClockSkew { own, service } => {
            let (own, service) = (own.0, service.0);
            say(format_args!("! this device's clock is wrong by {} s: set it", own.abs_diff(service)))
        }
        Event::Unlisted { card } => {
            say(format_args!("* this device is not on your list of devices; on a listed device: /link {card}"))
        }
        Event::NotLinked { device, cause } => say(format_args!("! {device} was not linked: {cause}")),
        Event::DevicesChanged { user, added, removed, begun_anew } => {
            for device in added {
                say(format_args!("! {user} has a new device: {device}"))?;
            }
            for device in removed {
                say(format_args!("* {user} has removed a device: {device}"))?;
            }
            match begun_anew {
                true => say(format_args!(
                    "! no former device vouches for the devices of {user}: ask {user}, then /trust {user}"
                )),
                false => Ok(()),
            }
        }
        Event::DeviceListForged { user, detail } => {
            say(format_args!("! THE SERVICE LIES about the devices of {user}: {detail}"))
        }
        Event::UnlistedMember { device, .. } => say(format_args!(
            "! {device} was added, and is not on the list of its user: ask the user, or /remove {}",
            device.user()
        )),
        Event::DeviceRemoved { device } => say(format_args!("* the service has removed {device}")),
        Event::DeviceNotRemoved { device, cause } => {
            say(format_args!("! the service does not remove {device}: {cause}"))
        }
        Event::Removed { .. } => say(format_args!("* you are not in the group any more")),
        Event::Refused { reason, .. } | Event::Undeliverable { reason, .. } => say(format_args!("! {reason}")),
        Event::Equivocation { .. } => {
            say(format_args!("! THE SERVICE LIES: it has signed two histories of this group"))
        }
        Event::BrokenChain { .. } => say(format_args!("! THE SERVICE LIES: an entry does not continue its hash chain")),
        other => say(format_args!("! {other:?}")),
    }
}

/// Prints a line. All output goes through here, so that no text of others reaches the terminal
/// unescaped.
fn say(what: std::fmt::Arguments<'_>) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{}", plain::shown(&what.to_string()))?;
    stdout.flush()
}
