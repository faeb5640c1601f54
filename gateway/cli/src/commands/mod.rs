//! What each command does. A command is a module here and a line in [`crate::cli::Command`].

pub(crate) mod audit;
pub(crate) mod bench;
pub(crate) mod check_config;
pub(crate) mod demo;
pub(crate) mod devnet;
pub(crate) mod evidence;
pub(crate) mod gateway;
pub(crate) mod held;
pub(crate) mod init;
pub(crate) mod key;
pub(crate) mod lane;
pub(crate) mod ledger;
pub(crate) mod map;
pub(crate) mod relayer;
pub(crate) mod running;
pub(crate) mod schema;
pub(crate) mod subscribe;
pub(crate) mod verify;
