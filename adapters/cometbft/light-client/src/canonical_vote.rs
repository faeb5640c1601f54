//! The bytes that a precommit signs (types/canonical.go): `CanonicalVote{type = 1, height = 2, round = 3, block_id = 4,
//! timestamp = 5, chain_id = 6}` with its length in front. Votes for one block differ in the timestamp alone.

use crate::commit::Commit;
use crate::header::encode_time;
use crate::proto::Message;
use crate::time::Time;

/// `SIGNED_MSG_TYPE_PRECOMMIT`.
const PRECOMMIT: u64 = 2;

/// What stands before and after the timestamp: the same for all votes of a commit.
#[derive(Debug, Clone)]
pub struct VoteBytes {
    before: Vec<u8>,
    after: Vec<u8>,
}

impl VoteBytes {
    /// For votes for the commit's block. A height or round beyond 2^63 cannot be: headers are checked first.
    pub fn of(commit: &Commit, chain_id: &str) -> Self {
        let id = &commit.block_id;
        let hash = id.hash.as_ref().map_or(&[][..], |hash| hash.as_bytes());
        let block_id = Message::new().bytes(1, hash).message(2, &id.parts.encode()).done();
        let height = i64::try_from(commit.height).unwrap_or(i64::MAX);
        let before = Message::new()
            .uint(1, PRECOMMIT)
            .sfixed64(2, height)
            .sfixed64(3, i64::from(commit.round))
            .message(4, &block_id)
            .done();
        let after = Message::new().bytes(6, chain_id.as_bytes()).done();
        Self { before, after }
    }

    /// What the validator that voted at `timestamp` signed.
    pub fn at(&self, timestamp: Time) -> Vec<u8> {
        let timestamp = Message::new().message(5, &encode_time(timestamp)).done();
        let length = self.before.len() + timestamp.len() + self.after.len();
        let mut out = Vec::with_capacity(length + 2);
        crate::proto::write_varint(length as u64, &mut out);
        out.extend_from_slice(&self.before);
        out.extend(timestamp);
        out.extend_from_slice(&self.after);
        out
    }
}
