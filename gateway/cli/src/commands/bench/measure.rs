//! Rounds, medians and ratios. What is compared is measured in turn, round by round, so that a machine that is busy with
//! something else slows down both sides of a ratio.

use std::time::{Duration, Instant};

use serde::Serialize;

/// What one run took.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taken {
    pub(super) wall: Duration,
    /// Of all threads of this process. Absent where the system does not say.
    pub(super) cpu: Option<Duration>,
}

/// Runs `work` once.
pub(super) fn take(work: &mut dyn FnMut() -> anyhow::Result<()>) -> anyhow::Result<Taken> {
    let (cpu, began) = (cpu_now(), Instant::now());
    work()?;
    let wall = began.elapsed();
    Ok(Taken { wall, cpu: cpu.and_then(|before| cpu_now()?.checked_sub(before)) })
}

/// Linux counts the time of a process in hundredths of a second (`man 5 proc`: USER_HZ), so only sums over several runs
/// are worth comparing.
fn cpu_now() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the process, in brackets, may hold anything; what follows the last one are numbers.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(Duration::from_millis(user.saturating_add(system).saturating_mul(10)))
}

/// The middle of some numbers, the lowest, and how far apart the lowest and the highest are, as a share of the middle.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) least: f64,
    pub(super) spread: f64,
}

impl Spread {
    pub(super) fn of(numbers: impl IntoIterator<Item = f64>) -> Self {
        let mut numbers: Vec<f64> = numbers.into_iter().collect();
        numbers.sort_by(f64::total_cmp);
        let middle = numbers.len() / 2;
        let at = |place: usize| numbers.get(place).copied().unwrap_or(f64::NAN);
        let median = if numbers.len().is_multiple_of(2) {
            f64::midpoint(at(middle.wrapping_sub(1)), at(middle))
        } else {
            at(middle)
        };
        let (low, high) = (at(0), at(numbers.len().wrapping_sub(1)));
        Self { median, least: low, spread: (high - low) / median }
    }
}

/// A count as a number to divide by; exact below 2^53.
#[allow(clippy::cast_precision_loss, reason = "counts of a measurement are far below 2^53")]
pub(super) fn number(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_spreads() {
        let odd = Spread::of([3.0, 1.0, 2.0]);
        assert!((odd.median - 2.0).abs() < 1e-9 && (odd.spread - 1.0).abs() < 1e-9);
        let even = Spread::of([4.0, 2.0]);
        assert!((even.median - 3.0).abs() < 1e-9 && (even.least - 2.0).abs() < 1e-9);
        assert!(Spread::of([]).median.is_nan());
    }

    #[test]
    fn work_that_fails_is_no_measurement() {
        assert!(take(&mut || anyhow::bail!("no")).is_err());
        assert!(take(&mut || Ok(())).is_ok());
    }
}
