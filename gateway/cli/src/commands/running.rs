//! What commands that go on running share: a runtime, logs, and an end by ctrl-c or SIGTERM.

use std::pin::Pin;
use std::task::Poll;

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

/// How logs are written, always to stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

/// Starts logging. What is logged is chosen by RUST_LOG, `info` without it.
pub(crate) fn log(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Human => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
}

/// A runtime for the whole command.
pub(crate) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

/// Ends when the operator asks: ctrl-c, or SIGTERM as service managers send it.
pub(crate) async fn asked_to_stop() {
    let interrupt = async {
        // Without a handler the process still ends by the signal itself.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let Ok(mut terminate) = signal(SignalKind::terminate()) else { return interrupt.await };
        tokio::select! {
            () = interrupt => {}
            _ = terminate.recv() => {}
        }
    }
    #[cfg(not(unix))]
    interrupt.await;
}

/// The same, listening already: for a command that says that it is ready, after which a signal may come at once.
pub(crate) async fn listening_for_stop() -> Pin<Box<dyn Future<Output = ()> + Send>> {
    let mut stop = Box::pin(asked_to_stop());
    // The first look installs the handlers.
    let asked = std::future::poll_fn(|context| Poll::Ready(stop.as_mut().poll(context).is_ready())).await;
    if asked { Box::pin(std::future::ready(())) } else { stop }
}
