//! The listeners over real sockets, with certificates made here and a gateway that is not one.

mod applications;
mod connections;
mod monitoring;
mod peers;
mod settings;
mod support;
