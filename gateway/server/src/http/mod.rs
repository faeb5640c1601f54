//! The listeners of `docs/http-api.md`: who may connect, what they may ask, and how much of it.
//!
//! A request passes, from the outside in: the connection limits and the handshake ([`server`]), the metrics, the panic
//! catcher, authentication, the class limits (slots and time, `guard`), the quota, and the handler with its
//! authorisation. What is not allowed by name is refused.

mod access;
mod applications;
mod coding;
mod events;
mod extract;
mod guard;
mod monitoring;
mod peers;
mod problem;
mod quota;
pub mod server;
mod shell;

pub use problem::{Problem, ProblemCode};
pub use server::{Addresses, Server, StartFault};
