//! The delivery service behind HTTP: `regrow-ds serve`.
//!
//! [`Server`] starts the thread that owns the store. [`router`] answers the requests of devices. A
//! listener connects both to a network.
//!
//! | module | contents |
//! | --- | --- |
//! | `settings` | the settings of an operator |
//! | `config`, `keys`, `validation` | the sources of the settings, their names, and their checks |
//! | `serve` | the whole server: its addresses, its signals, and the order of its shutdown |
//! | `listener`, `connection`, `tls` | connections and the TLS certificate |
//! | `progress` | the progress of the answers of one connection |
//! | `connection_limits` | the numbers of connections of each address and each device |
//! | `memory`, `shares`, `context` | memory budgets, and the charges of one request |
//! | `checks` | the decoding and the verification of bytes beside the store |
//! | `host` | the hosts that requests may name |
//! | `health` | the health of the store: does it take writes? |
//! | `operators`, `metrics`, `resources` | health and metrics for operators |
//! | `log`, `log_writer` | the log |
//! | `shutdown` | the shutdown signal |
//! | `invitation` | tokens that let a device register |
//! | `state` | the state of the server, its start and its stop |
//! | `environment`, `clock_guard` | clocks and randomness; the guard against clock jumps |
//! | `database` | the store that the settings name |
//! | `cluster` | several nodes over one database |
//! | `worker` | the thread that owns the service, and the queue in front of it |
//! | `subscriptions`, `reader` | open streams, the groups that they read, and their pages |
//! | `wake_up` | calls to the addresses of sleeping devices |
//! | `registration`, `jwt` | the right to register a device |
//! | `challenges`, `sessions`, `tokens`, `caller` | the proof of a device's identity |
//! | `mac` | HMAC over fields |
//! | `rates`, `price` | rate limits, and the prices of requests |
//! | `proxies` | trusted proxies, and the addresses of the clients behind them |
//! | `submission`, `to_group` | submissions to groups |
//! | `exchange`, `refusal`, `outcomes`, `paths`, `sizes` | requests, answers and problems |
//! | `unread_body` | request bodies that the server does not read to their end |
//! | `routes` | the routes of the API |

mod caller;
mod challenges;
mod checks;
mod clock_guard;
pub mod cluster;
pub mod config;
mod connection;
mod connection_limits;
mod context;
pub mod database;
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
