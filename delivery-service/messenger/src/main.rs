//! `regrow-chat`: a chat in a terminal, to see the service and the messenger work.
//!
//! It is a demonstration and no product: what was said is on the screen and nowhere else. Everything that it does is a call of
//! [`Messenger`]; the rest is reading lines and printing them.

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
use regrow_messenger::{Error, Event, Messenger, Options, Server, api::Admission};
use tokio::sync::mpsc;
use zeroize::Zeroizing;

/// The exit status of a chat that failed. Unusable arguments have the status 2, which is clap's.
const FAILED: u8 = 3;

/// The environment variable that the passphrase is taken from.
const PASSPHRASE: &str = "REGROW_PASSPHRASE";

/// How long it waits after the service could not be reached, and tries again.
const PAUSE: Duration = Duration::from_secs(3);

/// Chat in a terminal: two terminals, two files, one server.
///
/// Exit status: 0 the input has ended, 2 unusable arguments, 3 the chat could not go on.
#[derive(Parser, Debug)]
#[command(name = "regrow-chat", version)]
struct ChatArgs {
    /// The group; who comes first makes it, and adds the others
    #[arg(value_name = "GROUP", value_parser = group)]
    group: GroupId,
    /// Who you are: a user and a device
    #[arg(long = "as", value_name = "USER/DEVICE", value_parser = device)]
    device: DeviceId,
    /// Where the device's keys are, or are to be; sealed under a passphrase, from $REGROW_PASSPHRASE or asked for
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    /// Where the service is
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8765")]
    service: String,
    /// The certificates (PEM) of the authorities that the service's may be of [default: the platform's]
    #[arg(long, value_name = "FILE")]
    authorities: Option<PathBuf>,
    /// An invitation to register with
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
            // That there is no standard error is no reason for anything.
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

/// Whoever joins gets the ratchet tree from the service, so that no commit has to carry it.
fn policy() -> Policy {
    Policy { send_ratchet_tree: false, ..Policy::default() }
}

/// The device in that file, or a new one.
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
    // Where there is no stty, the passphrase is seen.
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
    let mut server = Server::at(&args.service);
    if let Some(file) = &args.authorities {
        server.authorities = Some(std::fs::read(file).with_context(|| file.display().to_string())?);
    }
    let admission = args.invitation.clone().map(Admission::Invitation);
    let mut messenger = Messenger::register(client, &server, None, admission, Options::default()).await?;
    let group = &args.group;
    if !messenger.engine().groups()?.contains(group) {
        match messenger.create_group(group).await {
            Ok(()) => say(format_args!("* this is a new group: /add USER"))?,
            Err(Error::GroupTaken { .. }) => say(format_args!("* waiting to be added by a member"))?,
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

/// The next event; after a while, if the service could not be reached.
async fn next(messenger: &mut Messenger, offline: bool) -> Result<Event, Error> {
    if offline {
        tokio::time::sleep(PAUSE).await;
    }
    messenger.next_event().await
}

/// What is typed, line by line. The thread ends with the program, for nothing can wake it from reading.
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

/// The safety numbers that were shown, to be compared.
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
            say(format_args!("* {user} has to see the same number; if so, /verified {user}"))?;
            for line in number.to_string().lines() {
                say(format_args!("{line}"))?;
            }
            numbers.insert(user, number);
        }
        ("/verified", user) if !user.is_empty() => {
            let user = UserId::new(user)?;
            let number = numbers.remove(&user).ok_or_else(|| anyhow!("compare first: /verify {user}"))?;
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
        Event::Rejoined { .. } => say(format_args!("* some messages could not be read; here you are again")),
        Event::Delayed { scope, cause, again } => {
            say(format_args!("! {scope} has to wait: {cause}; trying again in {} s", again.as_secs()))
        }
        Event::NotAdded { device, cause, .. } => say(format_args!("! {device} cannot be added: {cause}")),
        Event::KeyPackagesRefused { detail, .. } => {
            say(format_args!("! the service refuses this device's key packages: {detail}"))
        }
        Event::ClockSkew { own, service } => {
            let (own, service) = (own.0, service.0);
            say(format_args!("! the clock is wrong by {} s: set it", own.abs_diff(service)))
        }
        Event::Unlisted { card } => say(format_args!("* your other devices do not know this one; there: /link {card}")),
        Event::NotLinked { device, cause } => say(format_args!("! {device} was not linked: {cause}")),
        Event::DevicesChanged { user, added, removed, begun_anew } => {
            for device in added {
                say(format_args!("! {user} has a new device: {device}"))?;
            }
            for device in removed {
                say(format_args!("* {user} has removed a device: {device}"))?;
            }
            match begun_anew {
                true => {
                    say(format_args!("! no former device vouches for the devices of {user}: ask, then /trust {user}"))
                }
                false => Ok(()),
            }
        }
        Event::DeviceListForged { user, detail } => {
            say(format_args!("! THE SERVICE LIES about the devices of {user}: {detail}"))
        }
        Event::UnlistedMember { device, .. } => say(format_args!(
            "! {device} was added, and its user does not vouch for it: ask, or /remove {}",
            device.user()
        )),
        Event::DeviceRemoved { device } => say(format_args!("* the service has removed {device}")),
        Event::DeviceNotRemoved { device, cause } => {
            say(format_args!("! the service does not remove {device}: {cause}"))
        }
        Event::Removed { .. } => say(format_args!("* you are not in the group any more")),
        Event::Refused { reason, .. } | Event::Undeliverable { reason, .. } => say(format_args!("! {reason}")),
        Event::Equivocation { .. } => say(format_args!("! THE SERVICE LIES, and there is proof of it")),
        Event::BrokenChain { .. } => say(format_args!("! THE SERVICE LIES about what it has signed")),
        other => say(format_args!("! {other:?}")),
    }
}

/// Prints a line. Everything goes through here, so that nothing of others reaches the terminal as it came.
fn say(what: std::fmt::Arguments<'_>) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{}", plain::shown(&what.to_string()))?;
    stdout.flush()
}
