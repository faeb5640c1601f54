//! How a back-fill gets on: said now and then while the reader is far below the tip.

use std::time::Duration;

use hufu_adapters_source::Progress;
use hufu_schemas_core::Height;
use tokio::time::Instant;

/// Nearer than this the reader merely follows: four minutes of blocks a second.
const FAR: u64 = 256;

/// The pace is that of so much time, and as often it is said.
const EVERY: Duration = Duration::from_secs(5);

/// Measures one reader's way.
#[derive(Debug, Default)]
pub struct Meter {
    /// Where and when the present measure began.
    mark: Option<(u64, Instant)>,
    progress: Option<Progress>,
}

/// What is worth a line in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// A back-fill begins.
    Begun(Progress),
    /// It goes on; at most each [`EVERY`].
    GoesOn(Progress),
    /// The tip is near.
    Done,
}

impl Meter {
    /// The reader asks for what follows `height`, and the node claims `target`.
    pub fn at(&mut self, height: u64, target: u64, now: Instant) -> Option<News> {
        if target.saturating_sub(height) < FAR {
            self.mark = None;
            return self.progress.take().map(|_| News::Done);
        }
        let before = self.progress;
        let (from, since) = *self.mark.get_or_insert((height, now));
        let passed = now.saturating_duration_since(since);
        let due = passed >= EVERY;
        let pace =
            if due { pace(height.saturating_sub(from), passed) } else { before.map_or(0, |it| it.blocks_per_second) };
        let progress = Progress {
            height: Height::new(height),
            target: Height::new(target),
            blocks_per_second: pace,
            remaining_seconds: target.saturating_sub(height).checked_div(pace),
        };
        self.progress = Some(progress);
        if due {
            self.mark = Some((height, now));
        }
        match before {
            None => Some(News::Begun(progress)),
            Some(_) => due.then_some(News::GoesOn(progress)),
        }
    }

    /// As last measured; `None` near the tip.
    pub fn progress(&self) -> Option<Progress> {
        self.progress
    }
}

fn pace(blocks: u64, time: Duration) -> u64 {
    let milliseconds = u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1);
    blocks.saturating_mul(1_000) / milliseconds
}

impl News {
    /// One line in the log.
    pub fn tell(self) {
        let (it, words) = match self {
            Self::Begun(progress) => (progress, "far behind the ledger: reading what is missing"),
            Self::GoesOn(progress) => (progress, "reading what is missing"),
            Self::Done => return tracing::info!("the ledger's tip is near"),
        };
        let remaining = it.remaining_seconds.map_or("unknown".to_owned(), |seconds| seconds.to_string());
        tracing::info!(
            height = it.height.get(),
            target = it.target.get(),
            blocks_per_second = it.blocks_per_second,
            remaining_seconds = remaining,
            "{words}"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn a_back_fill_is_said_at_its_start_each_five_seconds_and_at_its_end() {
        let mut meter = Meter::default();
        let now = Instant::now();
        assert_eq!(meter.at(9_990, 10_000, now), None);
        assert!(matches!(meter.at(0, 100_000, now), Some(News::Begun(_))));
        assert_eq!(meter.at(500, 100_000, now + second(1)), None);
        assert_eq!(meter.progress().map(|it| (it.height.get(), it.remaining_seconds)), Some((500, None)));
        let told = meter.at(5_000, 100_000, now + second(5));
        let Some(News::GoesOn(progress)) = told else { panic!("{told:?}") };
        assert_eq!((progress.blocks_per_second, progress.remaining_seconds), (1_000, Some(95)));
        assert_eq!(meter.at(6_000, 100_000, now + second(6)), None);
        assert_eq!(meter.progress().map(|it| it.remaining_seconds), Some(Some(94)));
        assert_eq!(meter.at(99_999, 100_000, now + second(7)), Some(News::Done));
        assert_eq!((meter.progress(), meter.at(99_999, 100_000, now + second(8))), (None, None));
    }

    #[test]
    fn a_reader_that_stands_has_no_end_in_sight() {
        let mut meter = Meter::default();
        let now = Instant::now();
        meter.at(10, 100_000, now);
        let Some(News::GoesOn(progress)) = meter.at(10, 100_000, now + second(5)) else { panic!("expected a line") };
        assert_eq!((progress.blocks_per_second, progress.remaining_seconds), (0, None));
    }
}
