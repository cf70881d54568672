//! The errors between a device and its service, divided by the caller's remedy.

use regrow_engine::{DeviceId, GroupId, UserId};

use crate::{
    api::{Code, Problem},
    names::Sequence,
    receipt::ServicePublicKey,
};

/// A call of the service failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionError {
    /// No response has come. It is unknown if the service has received the request. Try again when
    /// there is a network.
    #[error("the service cannot be reached: {detail}")]
    Unreachable {
        /// The error of the network.
        detail: String,
    },
    /// The service refuses the request.
    #[error(transparent)]
    Problem(#[from] Box<Problem>),
    /// The service knows no device of this name with this key.
    ///
    /// The user's other devices may have removed the device. A removed device registers under a new
    /// name, and another device of the user links it.
    #[error(
        "the service does not accept {device}: another device of the user may have removed it, or the name has another \
         key; register under a new name"
    )]
    DeviceRefused {
        /// The device.
        device: DeviceId,
    },
    /// The response is not of this interface: the server has another version, or is no delivery
    /// service.
    #[error("not the response of a delivery service: {detail}; check the address and the versions")]
    Protocol {
        /// The defect of the response.
        detail: String,
    },
    /// Another service has answered than the one that the device is registered with. The device has
    /// sent it no secret and no name.
    #[error("the service has the key {found}, and not the expected key {expected}; check the address")]
    WrongService {
        /// The key of the device's service.
        expected: ServicePublicKey,
        /// The key that the other service claims.
        found: ServicePublicKey,
    },
    /// The address is not the address of a service.
    #[error("not the address of a service: {detail}")]
    Address {
        /// The defect of the address.
        detail: String,
    },
    /// The certificates of the authorities cannot be used.
    #[error("not the certificates of authorities: {detail}")]
    Certificate {
        /// The defect of the certificates.
        detail: String,
    },
}

/// A call of a [`Messenger`](super::Messenger) failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The engine has refused, or its store has failed.
    #[error(transparent)]
    Engine(#[from] regrow_engine::Error),
    /// The service cannot be reached, or has refused the request. The store has the intent, and the
    /// next call tries again.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// The device is not registered with a service. [Register](super::Messenger::register) it.
    #[error("the device is not registered with a service; register it first")]
    NotRegistered,
    /// The device is registered with a service already. [Open](super::Messenger::open) it.
    #[error("the device is registered with the service with the key {service}; open it instead")]
    Registered {
        /// The service's key.
        service: ServicePublicKey,
    },
    /// The service was caught in a lie about this group. This device sends nothing there until the
    /// application calls [`Messenger::trust_again`](super::Messenger::trust_again).
    #[error("the service was caught in a lie about the group {group}; look into it before you trust it again")]
    Suspended {
        /// The group.
        group: GroupId,
    },
    /// The service has delivered an entry without its signature on the receipt. The device has
    /// processed nothing of it.
    #[error("entry {} of the group {group} lacks the service's signature", .sequence.0)]
    ForgedReceipt {
        /// The group.
        group: GroupId,
        /// The entry's sequence.
        sequence: Sequence,
    },
    /// A group of that name exists at the service, and this device is not in it. Take another name,
    /// or ask a member to add this device.
    #[error("the group {group} exists already, and this device is not in it: take another name")]
    GroupTaken {
        /// The group.
        group: GroupId,
    },
    /// The group of that name has ended, and no device can join it. Take another name.
    #[error("the group {group} has ended, and its name is not reused: take another name")]
    GroupEnded {
        /// The group.
        group: GroupId,
    },
    /// The list of a user's devices is unusable. The detail gives the reason and the remedy.
    #[error("the list of the devices of {user} is unusable: {detail}")]
    Devices {
        /// The user.
        user: UserId,
        /// The reason.
        detail: String,
    },
    /// A device is not on the list of its user's devices, or has another key there.
    /// [Link](super::Messenger::link_device) it from a device that is on the list.
    #[error("{device} is not on the list of its user's devices with its present key; link it from another device")]
    Unlisted {
        /// The device.
        device: DeviceId,
    },
    /// The operating system has no randomness.
    #[error("the operating system has no randomness; try again later")]
    Randomness,
    /// A stored record differs from the record that the messenger has written.
    #[error("the stored record `{name}` is damaged: {detail}")]
    Damaged {
        /// The kind of the record.
        name: &'static str,
        /// The damage.
        detail: String,
    },
}

impl ConnectionError {
    /// The code of the service's refusal. [`None`] if the service has not answered.
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

/// True if the engine's error says that the device itself cannot go on.
pub(crate) fn is_of_device(error: &regrow_engine::Error) -> bool {
    use regrow_engine::{Error as Engine, StorageError};
    matches!(error, Engine::Storage(StorageError::Store(_)) | Engine::Locked | Engine::WrongKey | Engine::Crypto(_))
}

impl Error {
    /// True if the device itself cannot go on, because its store, cryptography, key or session is
    /// missing.
    ///
    /// Every other error concerns a group, an intent or an upload.
    pub(crate) fn is_of_device(&self) -> bool {
        match self {
            Self::Engine(error) => is_of_device(error),
            Self::Connection(ConnectionError::WrongService { .. } | ConnectionError::DeviceRefused { .. })
            | Self::Randomness => true,
            Self::Connection(ConnectionError::Problem(problem)) => {
                // The device cannot open a session, so that the service carries out no request of
                // it.
                matches!(problem.code, Code::NoSession | Code::BadProof | Code::NotAdmitted)
            }
            _ => false,
        }
    }

    /// True if the network is missing or the service is busy. The messenger tries again.
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
