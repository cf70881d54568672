//! What can go wrong between a device and its service, by what a caller would do about it.

use regrow_engine::{DeviceId, GroupId, UserId};

use crate::{
    api::{Code, Problem},
    names::Sequence,
    receipt::ServicePublicKey,
};

/// A call of the service failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionError {
    /// No answer, from nobody. Whether the service has got the request is not known. Try again when there is a network.
    #[error("the service cannot be reached: {detail}")]
    Unreachable {
        /// What the network says.
        detail: String,
    },
    /// The service has answered that it does not do it.
    #[error(transparent)]
    Problem(#[from] Box<Problem>),
    /// The service knows no device of this name with this key. The user's other devices may have removed the device: a removed
    /// device registers under a new name, and another device of the user links it.
    #[error(
        "the service does not accept {device}: another device of the user may have removed it, or the name has another \
         key; register under a new name"
    )]
    DeviceRefused {
        /// The device.
        device: DeviceId,
    },
    /// What has answered does not speak this interface: another version, or no delivery service at all.
    #[error("not the answer of a delivery service: {detail}")]
    Protocol {
        /// What is wrong with it.
        detail: String,
    },
    /// What has answered is another service than the one that the device is registered with. Nothing was shown to it.
    #[error("this is the service with the key {found}, not the one with the key {expected}")]
    WrongService {
        /// The key that the device knows its service by.
        expected: ServicePublicKey,
        /// The key that the other one says that it has.
        found: ServicePublicKey,
    },
    /// The address is none of a service.
    #[error("not the address of a service: {detail}")]
    Address {
        /// What is wrong with it.
        detail: String,
    },
    /// The certificates of the authorities cannot be used.
    #[error("not the certificates of authorities: {detail}")]
    Certificate {
        /// What is wrong with them.
        detail: String,
    },
}

/// A call of a [`Messenger`](super::Messenger) failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The engine has refused, or its store has failed.
    #[error(transparent)]
    Engine(#[from] regrow_engine::Error),
    /// The service could not be asked, or has refused. What was wanted is kept, and is tried again with the next call.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// The device is not registered with a service. [Register](super::Messenger::register) it.
    #[error("the device is not registered with a service")]
    NotRegistered,
    /// The device is registered with a service already. [Open](super::Messenger::open) it.
    #[error("the device is registered with the service with the key {service}")]
    Registered {
        /// The service's key.
        service: ServicePublicKey,
    },
    /// The service was caught in a lie about this group, and nothing is sent there before the application says that it
    /// goes on all the same: see [`Messenger::trust_again`](super::Messenger::trust_again).
    #[error("the service has shown two histories of the group {group}, or one that does not hold together")]
    Suspended {
        /// The group.
        group: GroupId,
    },
    /// The service has handed out an entry that it does not stand by: the receipt is not signed with its key. Nothing of
    /// it was processed.
    #[error("entry {} of the group {group} comes without the service's signature", .sequence.0)]
    ForgedReceipt {
        /// The group.
        group: GroupId,
        /// The entry's number.
        sequence: Sequence,
    },
    /// A group of that name exists at the service, and this device is not in it. Take another name, or ask a member to add
    /// this device.
    #[error("the group {group} exists already, and this device is not in it: take another name")]
    GroupTaken {
        /// The group.
        group: GroupId,
    },
    /// The group of that name has ended. Nobody can get into it any more. Take another name.
    #[error("the group {group} has ended, and its name is not given again: take another name")]
    GroupEnded {
        /// The group.
        group: GroupId,
    },
    /// The list of a user's devices cannot be used. The detail says why, and what a person can do.
    #[error("the devices of {user} are not known: {detail}")]
    Devices {
        /// The user.
        user: UserId,
        /// The reason.
        detail: String,
    },
    /// A device is not on the list of its user's devices, or has another key there. [Link](super::Messenger::link_device) it
    /// from a device that is on the list.
    #[error(
        "{device} is not on the list of its user's devices with the key that it shows; link it from another device"
    )]
    Unlisted {
        /// The device.
        device: DeviceId,
    },
    /// There is no randomness.
    #[error("there is no randomness")]
    Randomness,
    /// What the messenger keeps in the store is not what it has put there.
    #[error("what is kept as `{name}` is damaged: {detail}")]
    Damaged {
        /// What it is of.
        name: &'static str,
        /// What is wrong with it.
        detail: String,
    },
}

impl ConnectionError {
    /// The code of the service's refusal. `None` if the service has not answered.
    pub(crate) fn code(&self) -> Option<Code> {
        match self {
            Self::Problem(problem) => Some(problem.code),
            _ => None,
        }
    }
}

impl From<Problem> for ConnectionError {
    fn from(problem: Problem) -> Self {
        Self::Problem(Box::new(problem))
    }
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self::Connection(problem.into())
    }
}

/// Whether the engine's error says that the device itself cannot go on.
pub(crate) fn is_of_device(error: &regrow_engine::Error) -> bool {
    use regrow_engine::{Error as Engine, StorageError};
    matches!(error, Engine::Storage(StorageError::Store(_)) | Engine::Locked | Engine::WrongKey | Engine::Crypto(_))
}

impl Error {
    /// Whether the device itself cannot go on: its store, its cryptography, its key or its session is missing. Every other error
    /// concerns a group, an intent or an upload.
    pub(crate) fn is_of_device(&self) -> bool {
        match self {
            Self::Engine(error) => is_of_device(error),
            Self::Connection(ConnectionError::WrongService { .. } | ConnectionError::DeviceRefused { .. })
            | Self::Randomness => true,
            Self::Connection(ConnectionError::Problem(problem)) => {
                // No session can be opened, so that no request of any kind is carried out.
                matches!(problem.code, Code::NoSession | Code::BadProof | Code::NotAdmitted)
            }
            _ => false,
        }
    }

    /// Whether it is the network that is missing, or the service is busy: what was wanted is tried again.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Connection(ConnectionError::Unreachable { .. }) => true,
            Self::Connection(ConnectionError::Problem(problem)) => {
                matches!(
                    problem.code,
                    Code::Unavailable | Code::TooManyRequests | Code::ClaimedTooOften | Code::Timeout | Code::Internal
                )
            }
            _ => false,
        }
    }
}
