//! Who signed: the signers of many seals, recovered across cores and remembered.
//!
//! Recovering a signer costs about thirty times what hashing a header costs, and needs nothing but the digest and the
//! seal; so it is done ahead of the judgement, on several cores. What is believed is still decided block by block,
//! in order, by the rules that the blocks before it lead to; and the answer is the same on one core and on sixteen.
//!
//! **Bounds.** At most [`MAX_HANDS`] threads work for one call, and no more than the machine's cores for all calls
//! together. [`Signers`] remembers at most [`MAX_REMEMBERED`] signers. How much is recovered ahead is the caller's to
//! bound ([`crate::client`] doubles it from one header on, as long as all is good).
//!
//! The one file of the pure crates that names threads; they compute, and nothing else (docs/decisions/0009).

use crate::address::Address;
use crate::keccak::Hash32;
use crate::seal::{SEAL_BYTES, Seal, SealFault};
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;

/// Threads that work for one call, its own among them: 512 headers of 100 validators are 34,304 recoveries, about one
/// second of one core.
pub const MAX_HANDS: usize = 16;
/// Signers remembered: those of 4,096 headers of four seals, at 117 bytes each, so 2 MiB a ledger. A power of two.
pub const MAX_REMEMBERED: usize = 16_384;
/// Less than so many recoveries (0.4 ms) are done where they are asked for: a thread costs 0.05 ms to start.
const WORTH_A_HAND: usize = 16;

/// Threads at work beside those that asked, over all calls of this process.
static BUSY: AtomicUsize = AtomicUsize::new(0);

/// A block whose seals name their signers once somebody has recovered them.
pub trait Sealed: Send + Sync {
    /// The seals whose signers are not known yet, each with the digest that it signs.
    fn unread(&self) -> Vec<(Hash32, Seal)>;

    /// Keeps the signers of [`Sealed::unread`], in its order.
    fn keep(&self, signers: Vec<Result<Address, SealFault>>);
}

/// Signers that were recovered before, by digest and seal. The same block comes from several couriers and nodes, in
/// conflict checks, and, where blocks are only buried, with each update until it is settled.
///
/// It only saves work: what is kept was recovered here, from exactly these bytes.
#[derive(Default)]
pub struct Signers(Mutex<Vec<Option<Remembered>>>);

/// One place of a table in which digest and seal say the place, and the later takes it from the earlier. So nobody can make
/// a look-up slow, whatever digests and seals are sent; a tree of as many cost a fifteenth of a recovery each time.
#[derive(Clone)]
struct Remembered {
    digest: Hash32,
    seal: [u8; SEAL_BYTES],
    signer: Address,
}

impl std::fmt::Debug for Signers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signers")
    }
}

impl Signers {
    /// Recovers what these blocks do not know yet, block by block across cores; the signers of one block alone across
    /// cores too.
    pub fn recover<S: Sealed + ?Sized>(&self, blocks: &[&S]) {
        if let [block] = blocks {
            let unread = block.unread();
            let signers = self.recall(&unread).unwrap_or_else(|| {
                let least = WORTH_A_HAND;
                let signers = map(&unread, least, |(digest, seal)| seal.recover(digest));
                self.remember(&unread, &signers);
                signers
            });
            return block.keep(signers);
        }
        let seals: usize = blocks.iter().map(|block| block.unread().len()).sum();
        let each = seals.checked_div(blocks.len()).unwrap_or_default().max(1);
        map(blocks, WORTH_A_HAND.div_ceil(each), |block| self.recover_here(*block));
    }

    /// The same for one block, on this thread.
    pub fn recover_here<S: Sealed + ?Sized>(&self, block: &S) {
        let unread = block.unread();
        let signers = self.recall(&unread).unwrap_or_else(|| {
            let signers: Vec<_> = unread.iter().map(|(digest, seal)| seal.recover(digest)).collect();
            self.remember(&unread, &signers);
            signers
        });
        block.keep(signers);
    }

    /// All of them, or nothing.
    fn recall(&self, seals: &[(Hash32, Seal)]) -> Option<Vec<Result<Address, SealFault>>> {
        let table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let recall = |(digest, seal): &(Hash32, Seal)| {
            let there = table.get(place(digest, seal))?.as_ref()?;
            (there.digest == *digest && there.seal == *seal.as_bytes()).then_some(Ok(there.signer))
        };
        seals.iter().map(recall).collect()
    }

    fn remember(&self, seals: &[(Hash32, Seal)], signers: &[Result<Address, SealFault>]) {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if table.is_empty() {
            table.resize(MAX_REMEMBERED, None);
        }
        for ((digest, seal), signer) in seals.iter().zip(signers) {
            if let (Ok(signer), Some(there)) = (signer, table.get_mut(place(digest, seal))) {
                *there = Some(Remembered { digest: *digest, seal: *seal.as_bytes(), signer: *signer });
            }
        }
    }
}

#[cfg(test)]
impl Signers {
    /// How many are remembered.
    pub(crate) fn count(&self) -> usize {
        self.0.lock().unwrap().iter().flatten().count()
    }
}

/// Seals of one digest differ in r, whose bytes come first.
fn place(digest: &Hash32, seal: &Seal) -> usize {
    let ([a, b, ..], [r, s, ..]) = (digest.as_bytes(), seal.as_bytes());
    usize::from(u16::from_be_bytes([a ^ r, b ^ s])) % MAX_REMEMBERED
}

/// `f` of each item, in order. With fewer than twice `least` items on this thread alone.
pub(crate) fn map<T: Sync, R: Send>(items: &[T], least: usize, f: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let worth = items.len().checked_div(least.max(1)).unwrap_or_default();
    let helpers = Helpers::take(worth.saturating_sub(1));
    if helpers.0 == 0 {
        return items.iter().map(f).collect();
    }
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else { return done };
            done.push((at, f(item)));
        }
    };
    let mut done = thread::scope(|scope| {
        // A machine that has no thread to give is slower, and no worse.
        let helpers: Vec<_> =
            (0..helpers.0).filter_map(|_| thread::Builder::new().spawn_scoped(scope, work).ok()).collect();
        let mut done = work();
        for helper in helpers {
            done.extend(helper.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        done
    });
    done.sort_unstable_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

/// Threads for one call beside its own, given back when it is done.
struct Helpers(usize);

impl Helpers {
    fn take(wanted: usize) -> Self {
        static CORES: OnceLock<usize> = OnceLock::new();
        let cores = *CORES.get_or_init(|| thread::available_parallelism().map_or(1, usize::from));
        let wanted = wanted.min(MAX_HANDS - 1);
        let take = |busy: usize| Some(busy + wanted.min((cores - 1).saturating_sub(busy)));
        let before = BUSY.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).unwrap_or_default();
        Self(wanted.min((cores - 1).saturating_sub(before)))
    }
}

impl Drop for Helpers {
    fn drop(&mut self) {
        BUSY.fetch_sub(self.0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keccak::keccak256;
    use crate::testing::Key as Signer;

    /// A block of some seals, which counts how often they are read.
    struct Block {
        seals: Vec<(Hash32, Seal)>,
        signers: OnceLock<Vec<Result<Address, SealFault>>>,
    }

    impl Block {
        fn of(signers: std::ops::Range<u8>) -> Self {
            let seals = signers
                .map(|number| {
                    let digest = keccak256(&[number]);
                    (digest, Signer::number(number).seal(&digest))
                })
                .collect();
            Self { seals, signers: OnceLock::new() }
        }
    }

    impl Sealed for Block {
        fn unread(&self) -> Vec<(Hash32, Seal)> {
            self.seals.clone()
        }

        fn keep(&self, signers: Vec<Result<Address, SealFault>>) {
            self.signers.set(signers).unwrap();
        }
    }

    fn addresses(numbers: std::ops::Range<u8>) -> Vec<Result<Address, SealFault>> {
        numbers.map(|number| Ok(Signer::number(number).address())).collect()
    }

    #[test]
    fn many_blocks_and_one_large_block_name_their_signers_in_order() {
        let signers = Signers::default();
        let blocks: Vec<Block> = (1..40).map(|first| Block::of(first..first + 3)).collect();
        signers.recover(&blocks.iter().collect::<Vec<_>>());
        for (first, block) in (1..40).zip(&blocks) {
            assert_eq!(block.signers.get().unwrap(), &addresses(first..first + 3));
        }
        let large = Block::of(50..150);
        signers.recover(&[&large]);
        assert_eq!(large.signers.get().unwrap(), &addresses(50..150));
        signers.recover::<Block>(&[]);
    }

    #[test]
    fn a_seal_that_names_nobody_keeps_its_place_and_is_not_remembered() {
        let signers = Signers::default();
        let mut block = Block::of(1..4);
        block.seals[1].1 = Seal::parse(&[0xff; 65]).unwrap();
        signers.recover(&[&block]);
        let found = block.signers.get().unwrap();
        assert!(found[0].is_ok() && found[1].is_err() && found[2].is_ok());
        assert_eq!(signers.recall(&block.seals), None);
        assert_eq!(signers.recall(&block.seals[..1]), Some(addresses(1..2)));
    }

    #[test]
    fn what_is_remembered_is_this_digest_with_this_seal() {
        let signers = Signers::default();
        let block = Block::of(1..2);
        signers.recover_here(&block);
        let (digest, seal) = block.seals[0].clone();
        assert!(signers.recall(&[(digest, seal.clone())]).is_some());
        assert!(signers.recall(&[(keccak256(b"another"), seal)]).is_none());
        let twin = Signer::number(1).high_s_seal(&digest);
        assert!(signers.recall(&[(digest, twin)]).is_none());
    }

    #[test]
    fn no_more_is_remembered_than_the_limit() {
        let signers = Signers::default();
        let seal = Seal::parse(&[1; 65]).unwrap();
        for number in 0..(2 * MAX_REMEMBERED as u64) {
            let digest = keccak256(&number.to_be_bytes());
            signers.remember(&[(digest, seal.clone())], &[Ok(Address::ZERO)]);
        }
        let count = signers.count();
        assert!(count <= MAX_REMEMBERED && count > MAX_REMEMBERED / 2, "{count}");
    }

    #[test]
    fn threads_are_given_back() {
        for _ in 0..100 {
            map(&[1; 64], 1, |number| number + 1);
        }
        let cores = thread::available_parallelism().map_or(1, usize::from);
        // Other tests of this process may be at work just now, never more than there are cores.
        assert!(BUSY.load(Ordering::Relaxed) < cores);
    }
}
