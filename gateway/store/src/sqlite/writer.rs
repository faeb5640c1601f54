//! The one task that writes (design, decision 14).
//!
//! Jobs come through a bounded channel. The writer takes what waits, at most [`GROUP_JOBS`] jobs or [`GROUP_TIME`], runs
//! each in a savepoint of one transaction, commits, and only then answers: an answer means it is on disk. A refused job
//! undoes its own savepoint and no other. A caller that went away changes nothing: its job runs whole or not at all.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use sqlx::{Connection as _, SqliteConnection};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout};

use crate::error::StoreError;
use crate::sqlite::sql::{fault, statements};

statements! {
    BEGIN = "BEGIN IMMEDIATE";
    COMMIT = "COMMIT";
    ROLLBACK = "ROLLBACK";
    SAVE = "SAVEPOINT job";
    UNDO = "ROLLBACK TO job";
    RELEASE = "RELEASE job";
    TRUNCATE = "PRAGMA wal_checkpoint(TRUNCATE)";
    WAIT_BRIEFLY = "PRAGMA busy_timeout = 50";
    WAIT = "PRAGMA busy_timeout = 5000";
}

/// Most jobs of one commit.
const GROUP_JOBS: u64 = 256;
/// Longest time that the first job of a commit waits for the others to run.
const GROUP_TIME: Duration = Duration::from_millis(20);
/// Jobs that may wait; beyond, callers wait. An admission holds one page, so this bounds memory.
const QUEUE: usize = 64;
/// How long without a job before the write-ahead log is folded into the file.
const IDLE: Duration = Duration::from_secs(1);

/// A future in a box.
pub(crate) type Boxed<'c, T> = Pin<Box<dyn Future<Output = T> + Send + 'c>>;

/// A job that ran and was not yet answered.
struct Ran {
    fault: Option<StoreError>,
    /// Takes the fate of the commit.
    answer: Box<dyn FnOnce(Result<(), StoreError>) + Send>,
}

trait Job: Send {
    fn run<'c>(self: Box<Self>, conn: &'c mut SqliteConnection) -> Boxed<'c, Ran>;
    fn fail(self: Box<Self>, error: StoreError);
}

struct Typed<F, T> {
    work: F,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<F, T> Job for Typed<F, T>
where
    F: for<'c> FnOnce(&'c mut SqliteConnection) -> Boxed<'c, Result<T, StoreError>> + Send + 'static,
    T: Send + 'static,
{
    fn run<'c>(self: Box<Self>, conn: &'c mut SqliteConnection) -> Boxed<'c, Ran> {
        Box::pin(async move {
            let Self { work, reply } = *self;
            let result = work(conn).await;
            let fault = result.as_ref().err().cloned();
            // A caller that went away is no fault: the step stands.
            let answer = move |commit: Result<(), StoreError>| drop(reply.send(commit.and(result)));
            Ran { fault, answer: Box::new(answer) }
        })
    }

    fn fail(self: Box<Self>, error: StoreError) {
        drop(self.reply.send(Err(error)));
    }
}

enum Message {
    Job(Box<dyn Job>),
    Close(oneshot::Sender<()>),
}

/// What the writer tells the world.
#[derive(Debug)]
pub(super) struct Signals {
    /// Counts commits; readers that wait for news watch it.
    pub(super) changes: watch::Sender<u64>,
    /// Steps that were committed.
    pub(super) steps: AtomicU64,
    /// Why nothing is accepted any more.
    broken: OnceLock<StoreError>,
}

/// The way to the writer.
#[derive(Debug)]
pub(super) struct Writer {
    jobs: mpsc::Sender<Message>,
    signals: Arc<Signals>,
}

impl Writer {
    /// Starts the task that owns `conn`.
    pub(super) fn start(conn: SqliteConnection) -> Self {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let signals =
            Arc::new(Signals { changes: watch::Sender::new(0), steps: AtomicU64::new(0), broken: OnceLock::new() });
        let task = Task { conn, queue, signals: Arc::clone(&signals), folded: true };
        tokio::spawn(task.serve());
        Self { jobs, signals }
    }

    /// Runs `work` in a transaction and answers after the commit.
    pub(super) async fn run<F, T>(&self, work: F) -> Result<T, StoreError>
    where
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> Boxed<'c, Result<T, StoreError>> + Send + 'static,
        T: Send + 'static,
    {
        self.health()?;
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Typed { work, reply });
        self.jobs.send(Message::Job(job)).await.map_err(|_| self.gone())?;
        answer.await.map_err(|_| self.gone())?
    }

    /// Whether steps are still accepted.
    pub(super) fn health(&self) -> Result<(), StoreError> {
        self.signals.broken.get().map_or(Ok(()), |broken| Err(broken.clone()))
    }

    /// Finishes what waits, folds the log into the file and closes it.
    pub(super) async fn close(&self) {
        let (reply, done) = oneshot::channel();
        if self.jobs.send(Message::Close(reply)).await.is_ok() {
            // An error means that the task ended otherwise, which is what was asked for.
            drop(done.await);
        }
    }

    pub(super) fn signals(&self) -> &Signals {
        &self.signals
    }

    /// Jobs that wait.
    pub(super) fn waiting(&self) -> u64 {
        u64::try_from(self.jobs.max_capacity().saturating_sub(self.jobs.capacity())).unwrap_or(0)
    }

    fn gone(&self) -> StoreError {
        self.signals.broken.get().cloned().unwrap_or(StoreError::Closed)
    }
}

/// How a group ended.
enum Ended {
    Served,
    Close(oneshot::Sender<()>),
    /// Nothing may be written any more.
    Broken(StoreError),
}

struct Task {
    conn: SqliteConnection,
    queue: mpsc::Receiver<Message>,
    signals: Arc<Signals>,
    /// Nothing was written since the log was last folded into the file.
    folded: bool,
}

impl Task {
    async fn serve(mut self) {
        loop {
            let Some(message) = self.next().await else {
                return self.end(None).await;
            };
            let ended = match message {
                Message::Close(reply) => Ended::Close(reply),
                Message::Job(job) => self.serve_group(job).await,
            };
            match ended {
                Ended::Served => {}
                Ended::Close(reply) => return self.end(Some(reply)).await,
                Ended::Broken(error) => return self.stop(error).await,
            }
        }
    }

    /// The next message; folds the log when none comes for a while.
    async fn next(&mut self) -> Option<Message> {
        if !self.folded {
            match timeout(IDLE, self.queue.recv()).await {
                Ok(message) => return message,
                Err(_) => self.fold().await,
            }
        }
        self.queue.recv().await
    }

    /// One transaction.
    async fn serve_group(&mut self, first: Box<dyn Job>) -> Ended {
        if let Err(error) = execute(&mut self.conn, BEGIN).await {
            // Busy: another process writes. Only this job hears of it; the next one tries again.
            let broken = !matches!(error, StoreError::Busy { .. });
            first.fail(error.clone());
            return if broken { Ended::Broken(error) } else { Ended::Served };
        }
        self.folded = false;
        let (ran, broken, close) = self.run_group(first).await;
        let commit = match broken {
            Some(error) => Err(error),
            None => execute(&mut self.conn, COMMIT).await,
        };
        if let Err(error) = commit {
            drop(execute(&mut self.conn, ROLLBACK).await);
            // Waiters learn that the store is broken before their answer does, so that nobody tries again.
            let _ = self.signals.broken.set(error.clone());
            answer_all(ran, &Err(error.clone()));
            return Ended::Broken(error);
        }
        let done = ran.iter().filter(|job| job.fault.is_none()).count();
        self.signals.steps.fetch_add(u64::try_from(done).unwrap_or(0), Ordering::Relaxed);
        if done > 0 {
            self.signals.changes.send_modify(|commits| *commits = commits.wrapping_add(1));
        }
        answer_all(ran, &Ok(()));
        close.map_or(Ended::Served, Ended::Close)
    }

    /// Runs jobs until none waits, or the group is full or old, or the transaction is beyond help.
    async fn run_group(&mut self, first: Box<dyn Job>) -> (Vec<Ran>, Option<StoreError>, Option<oneshot::Sender<()>>) {
        let begun = Instant::now();
        let mut ran = Vec::new();
        let mut next = Some(first);
        let mut count = 0;
        while let Some(job) = next.take() {
            let (done, broken) = self.run_job(job).await;
            ran.push(done);
            count += 1;
            if broken.is_some() {
                return (ran, broken, None);
            }
            if count >= GROUP_JOBS || begun.elapsed() >= GROUP_TIME {
                break;
            }
            match self.queue.try_recv() {
                Ok(Message::Job(job)) => next = Some(job),
                Ok(Message::Close(reply)) => return (ran, None, Some(reply)),
                Err(_) => {}
            }
        }
        (ran, None, None)
    }

    /// Runs one job in a savepoint. The second value: why the whole transaction cannot go on.
    async fn run_job(&mut self, job: Box<dyn Job>) -> (Ran, Option<StoreError>) {
        if let Err(error) = execute(&mut self.conn, SAVE).await {
            let fail = error.clone();
            return (Ran { fault: Some(error.clone()), answer: Box::new(move |_| job.fail(fail)) }, Some(error));
        }
        let ran = job.run(&mut self.conn).await;
        let broken = match &ran.fault {
            None => execute(&mut self.conn, RELEASE).await.err(),
            Some(error @ StoreError::Io { .. }) => Some(error.clone()),
            Some(_) => self.undo().await.err(),
        };
        (ran, broken)
    }

    async fn undo(&mut self) -> Result<(), StoreError> {
        execute(&mut self.conn, UNDO).await?;
        execute(&mut self.conn, RELEASE).await
    }

    /// Folds the log into the file and truncates it. Does not wait for a reader that is still at it: the next idle
    /// moment comes.
    async fn fold(&mut self) {
        let mut fold = async || {
            execute(&mut self.conn, WAIT_BRIEFLY).await?;
            let result = execute(&mut self.conn, TRUNCATE).await;
            execute(&mut self.conn, WAIT).await?;
            result
        };
        if let Err(error) = fold().await {
            tracing::warn!(%error, "the write-ahead log could not be folded");
        }
        self.folded = true;
    }

    async fn end(mut self, reply: Option<oneshot::Sender<()>>) {
        self.queue.close();
        let _ = self.signals.broken.set(StoreError::Closed);
        self.refuse_rest(&StoreError::Closed);
        self.fold().await;
        if let Err(error) = self.conn.close().await {
            tracing::warn!(%error, "the database did not close cleanly; the next start recovers");
        }
        if let Some(reply) = reply {
            // Whoever asked may have gone.
            let _ = reply.send(());
        }
    }

    /// After a failed sync the page cache cannot be believed: nothing is retried on this connection.
    async fn stop(mut self, error: StoreError) {
        tracing::error!(%error, "the store stops accepting; restart to recover");
        self.queue.close();
        let _ = self.signals.broken.set(error.clone());
        self.refuse_rest(&error);
    }

    fn refuse_rest(&mut self, error: &StoreError) {
        while let Ok(message) = self.queue.try_recv() {
            match message {
                Message::Job(job) => job.fail(error.clone()),
                Message::Close(reply) => {
                    let _ = reply.send(());
                }
            }
        }
    }
}

fn answer_all(ran: Vec<Ran>, commit: &Result<(), StoreError>) {
    for job in ran {
        (job.answer)(commit.clone());
    }
}

async fn execute(conn: &mut SqliteConnection, sql: &'static str) -> Result<(), StoreError> {
    sqlx::query(sql).execute(conn).await.map(drop).map_err(fault)
}
