//! What a gateway signs of a lane: its size, its root and the time (C2SP tlog-checkpoint with one extension line).
//!
//! ```text
//! land.example/property-rights/1
//! 42
//! <base64 of the root>
//! time 1795254389
//! ```

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::digest::Digest;
use crate::ids::LaneId;
use crate::note::{Note, NoteFault};
use crate::signature::{NoteKey, NoteSigner};
use crate::time::Timestamp;

/// The size and root of a lane at a time. Whoever holds one got it from [`SignedCheckpoint::verify`] or signs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The lane: the note's origin line.
    pub lane: LaneId,
    /// Leaves in the log.
    pub size: u64,
    /// Root of the log.
    pub root: Digest,
    /// When it was signed, by the origin's clock (decision 12: an idle lane signs a new one as heartbeat).
    pub time: Timestamp,
}

/// A checkpoint as it travels: a signed note, nothing verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCheckpoint {
    note: Note,
    claimed: Checkpoint,
}

/// Why a note is not a checkpoint, or not one to believe.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointFault {
    /// Not a signed note.
    #[error(transparent)]
    Note(#[from] NoteFault),
    /// A note, but not of a checkpoint.
    #[error("not a checkpoint: expected {expected}, got {got:?}")]
    Malformed {
        /// What was expected.
        expected: &'static str,
        /// The line.
        got: String,
    },
    /// It speaks of another lane than the one asked about.
    #[error("expected a checkpoint of lane {expected}, got one of {got}")]
    OtherLane {
        /// The lane asked about.
        expected: LaneId,
        /// The lane it speaks of.
        got: LaneId,
    },
    /// None of the keys that the operator trusts for this lane signed it.
    #[error("expected a signature by {expected}, got none that verifies")]
    Unsigned {
        /// The trusted keys' names.
        expected: String,
    },
}

impl CheckpointFault {
    /// The metric label.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Note(_) | Self::Malformed { .. } => "checkpoint-malformed",
            Self::OtherLane { .. } => "checkpoint-of-another-lane",
            Self::Unsigned { .. } => "checkpoint-signature",
        }
    }
}

impl Checkpoint {
    fn text(&self) -> String {
        format!("{}\n{}\n{}\ntime {}\n", self.lane, self.size, BASE64.encode(self.root.as_bytes()), self.time.seconds())
    }

    /// Signs it.
    pub fn sign(self, signer: &NoteSigner) -> SignedCheckpoint {
        SignedCheckpoint { note: Note::sign(self.text(), signer), claimed: self }
    }

    fn parse(text: &str) -> Result<Self, CheckpointFault> {
        let fault = |expected: &'static str, got: &str| CheckpointFault::Malformed {
            expected,
            got: got.chars().take(120).collect(),
        };
        let mut lines = text.strip_suffix('\n').unwrap_or(text).split('\n');
        let mut line = |expected| lines.next().ok_or_else(|| fault(expected, ""));
        let lane = line("the lane")?;
        let lane = LaneId::parse(lane).map_err(|_| fault("the lane", lane))?;
        let size = parse_number(line("the size")?).ok_or_else(|| fault("the size as a plain number", text))?;
        let root = line("the root")?;
        let bytes: Option<[u8; 32]> = BASE64.decode(root).ok().and_then(|bytes| bytes.try_into().ok());
        let root = Digest::from_bytes(bytes.ok_or_else(|| fault("32 bytes in base64", root))?);
        let time = line("the time")?;
        let seconds = time.strip_prefix("time ").and_then(parse_number).and_then(Timestamp::from_seconds);
        let time = seconds.ok_or_else(|| fault("a line «time <seconds>»", time))?;
        match lines.next() {
            None => Ok(Self { lane, size, root, time }),
            Some(more) => Err(fault("no further line", more)),
        }
    }
}

/// Decimal digits without a leading zero, so that a number has one spelling.
fn parse_number(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

impl SignedCheckpoint {
    /// Parses a signed note as a checkpoint; nothing is verified.
    pub fn parse(text: &str) -> Result<Self, CheckpointFault> {
        let note = Note::parse(text)?;
        let claimed = Checkpoint::parse(note.text())?;
        Ok(Self { note, claimed })
    }

    /// The checkpoint, if one of `keys` signed it and it speaks of `lane`.
    pub fn verify(&self, lane: &LaneId, keys: &[NoteKey]) -> Result<Checkpoint, CheckpointFault> {
        if self.claimed.lane != *lane {
            return Err(CheckpointFault::OtherLane { expected: lane.clone(), got: self.claimed.lane.clone() });
        }
        if keys.iter().any(|key| self.note.verified_by(key)) {
            return Ok(self.claimed.clone());
        }
        let expected = keys.iter().map(NoteKey::name).collect::<Vec<_>>().join(" or ");
        Err(CheckpointFault::Unsigned { expected })
    }

    /// What it claims, unverified.
    pub const fn claimed(&self) -> &Checkpoint {
        &self.claimed
    }
}

impl std::fmt::Display for SignedCheckpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.note.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn checkpoint() -> Checkpoint {
        Checkpoint {
            lane: LaneId::parse("land.example/rights/1").unwrap(),
            size: 42,
            root: Digest::of(b"root"),
            time: Timestamp::from_seconds(1_795_254_389).unwrap(),
        }
    }

    #[test]
    fn decision_12_a_checkpoint_carries_its_time_under_the_signature() {
        let signer = NoteSigner::from_seed("land.example", &[3; 32]).unwrap();
        let signed = checkpoint().sign(&signer).to_string();
        let read = SignedCheckpoint::parse(&signed).unwrap();
        let keys = [signer.verifier()];
        assert_eq!(read.verify(&checkpoint().lane, &keys), Ok(checkpoint()));
        let later = SignedCheckpoint::parse(&signed.replace("time 17952", "time 17953")).unwrap();
        assert_eq!(later.verify(&checkpoint().lane, &keys).unwrap_err().reason(), "checkpoint-signature");
    }

    #[test]
    fn checkpoint_of_another_lane_is_refused() {
        let signer = NoteSigner::from_seed("land.example", &[3; 32]).unwrap();
        let signed = checkpoint().sign(&signer);
        let other = LaneId::parse("land.example/rights/2").unwrap();
        assert_eq!(signed.verify(&other, &[signer.verifier()]).unwrap_err().reason(), "checkpoint-of-another-lane");
        assert_eq!(signed.verify(&checkpoint().lane, &[]).unwrap_err().reason(), "checkpoint-signature");
    }

    #[test]
    fn other_spellings_are_refused() {
        let signer = NoteSigner::from_seed("land.example", &[3; 32]).unwrap();
        let signed = checkpoint().sign(&signer).to_string();
        for (from, to) in [("\n42\n", "\n042\n"), ("\n42\n", "\n+42\n"), ("time ", "Time "), ("\ntime", "\nmore\ntime")]
        {
            assert!(SignedCheckpoint::parse(&signed.replace(from, to)).is_err(), "{from:?} -> {to:?}");
        }
    }

    proptest! {
        #[test]
        fn every_checkpoint_round_trips(size in any::<u64>(), root in any::<[u8; 32]>(), time in 0u64..253_402_300_800) {
            let signer = NoteSigner::from_seed("x", &[1; 32]).unwrap();
            let it = Checkpoint {
                size, root: Digest::from_bytes(root), time: Timestamp::from_seconds(time).unwrap(), ..checkpoint()
            };
            let read = SignedCheckpoint::parse(&it.clone().sign(&signer).to_string()).unwrap();
            prop_assert_eq!(read.verify(&it.lane, &[signer.verifier()]).unwrap(), it);
        }
    }
}
