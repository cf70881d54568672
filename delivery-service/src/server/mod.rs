//! The delivery service behind HTTP: `regrow-ds serve`.
//!
//! [`Server`] owns the store's thread, and [`router`] is what answers devices; a listener puts the two on a network.
//!
//! | module | what is in it |
//! | --- | --- |
//! | `settings` | what an operator sets |
//! | `config`, `keys`, `validation` | where each value comes from, the names of all, and whether they make sense |
//! | `serve` | all of it together, and the order in which it ends |
//! | `listener`, `tls` | connections, and the certificate that they are made with |
//! | `crowd` | how many connections each address has |
//! | `operators`, `metrics`, `log` | what operators see: health, numbers, lines |
//! | `shutdown` | the word that it is over |
//! | `invitation` | tokens that let a device register |
//! | `state` | the server's state, its start and its stop |
//! | `surroundings` | the clock and the randomness |
//! | `worker` | the thread that owns the service, and the queue before it |
//! | `audience`, `reader` | who listens, when they are woken, and how they read |
//! | `registration`, `jwt` | who may register a device |
//! | `challenges`, `sessions`, `caller` | how a device shows who it is |
//! | `rates` | how often who may ask |
//! | `proxies` | whom it is believed where a request comes from |
//! | `exchange`, `refusal`, `outcomes`, `paths` | requests, answers and problems on the wire |
//! | `routes` | the addresses, and what each does |

mod audience;
mod caller;
mod challenges;
pub mod config;
mod crowd;
mod exchange;
pub mod invitation;
mod jwt;
pub mod keys;
pub mod listener;
pub mod log;
pub mod metrics;
pub mod operators;
mod outcomes;
mod paths;
pub mod proxies;
mod rates;
mod reader;
mod refusal;
mod registration;
mod routes;
pub mod serve;
mod sessions;
pub mod settings;
pub mod shutdown;
mod state;
mod surroundings;
pub mod tls;
pub mod validation;
mod worker;

pub use self::{
    jwt::IssuerError,
    routes::{openapi, router},
    state::{Server, StartError, State},
    surroundings::{NoRandomness, Surroundings},
};
