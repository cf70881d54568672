//! The delivery service behind HTTP: `regrow-ds serve`.
//!
//! [`Server`] owns the store's thread, and [`router`] is what answers devices; a listener puts the two on a network.
//!
//! | module | what is in it |
//! | --- | --- |
//! | `settings` | what an operator sets |
//! | `config`, `keys`, `validation` | where each value comes from, the names of all, and whether they make sense |
//! | `serve` | all of it together, and the order in which it ends |
//! | `listener`, `connection`, `tls` | connections, and the certificate that they are made with |
//! | `progress` | answers that clients do not take |
//! | `connection_limits` | how many connections each address and each device has |
//! | `memory`, `shares`, `context` | the budgets of memory, and the request that is charged |
//! | `checks` | decoding and checking beside the store |
//! | `host` | the host that a request is for |
//! | `health` | whether the store takes writes |
//! | `operators`, `metrics`, `resources`, `log`, `log_writer` | what operators see: health, numbers, lines |
//! | `shutdown` | the word that it is over |
//! | `invitation` | tokens that let a device register |
//! | `state` | the server's state, its start and its stop |
//! | `environment`, `clock_guard` | the clocks and the randomness; the guard against a wall clock that jumps |
//! | `worker` | the thread that owns the service, and the queue before it |
//! | `subscriptions`, `reader` | who listens, when they are woken, and how they read |
//! | `registration`, `jwt` | who may register a device |
//! | `challenges`, `sessions`, `tokens`, `caller` | how a device shows which it is |
//! | `mac` | HMAC over fields |
//! | `rates` | how often who may ask |
//! | `proxies` | whom it is believed where a request comes from |
//! | `exchange`, `refusal`, `outcomes`, `paths` | requests, answers and problems on the wire |
//! | `routes` | the addresses, and what each does |

mod caller;
mod challenges;
mod checks;
mod clock_guard;
pub mod config;
mod connection;
mod connection_limits;
mod context;
mod environment;
mod exchange;
mod health;
mod host;
pub mod invitation;
mod jwt;
pub mod keys;
pub mod listener;
pub mod log;
mod log_writer;
mod mac;
mod memory;
pub mod metrics;
pub mod operators;
mod outcomes;
mod paths;
mod price;
mod progress;
pub mod proxies;
mod rates;
mod reader;
mod refusal;
mod registration;
pub mod resource_figures;
pub mod resources;
mod routes;
pub mod serve;
mod sessions;
pub mod settings;
mod shares;
pub mod shutdown;
mod sizes;
mod state;
mod submission;
mod subscriptions;
pub mod tls;
mod to_group;
mod tokens;
mod unread_body;
pub mod validation;
mod wake_up;
mod worker;

pub use self::{
    environment::{Environment, NoRandomness},
    jwt::IssuerError,
    routes::{openapi, router},
    state::{Server, StartError, State},
    wake_up::WakeUpError,
};
