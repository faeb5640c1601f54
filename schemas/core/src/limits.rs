//! Every bound on what comes from outside, with the arithmetic that chose it. A reader of foreign bytes takes these as
//! an argument and checks before it allocates.

/// Bounds on one JSON document (records, statements, pages).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JsonLimits {
    /// Bytes of the whole text.
    pub bytes: usize,
    /// Nesting of arrays and objects. Records need 8; serde_json itself stops at 128.
    pub depth: usize,
    /// Bytes of one string.
    pub string: usize,
    /// Members of one object or items of one array.
    pub items: usize,
}

impl JsonLimits {
    /// A record, a statement, a definition: 1 KiB is usual; 256 KiB leaves room for long texts in two languages.
    pub const RECORD: Self = Self { bytes: 256 << 10, depth: 32, string: 64 << 10, items: 1_000 };
    /// A mapping or schema that travels: an ABI of 100 events is about 100 KiB.
    pub const DOCUMENT: Self = Self { bytes: 1 << 20, depth: 48, string: 64 << 10, items: 10_000 };
    /// A page: [`PageLimits::bytes`], with base64 strings of up to one block's evidence.
    pub const PAGE: Self = Self { bytes: PageLimits::DEFAULT.bytes, depth: 48, string: 4 << 20, items: 10_000 };
    /// An evidence file: one record with the headers that lead to it. 100,000 headers of 1 KiB in base64 are 137 MiB;
    /// longer quiet ranges need a nearer anchor.
    /// One string may be the evidence of one block: 32 MiB in base64 are 43 MiB.
    pub const EVIDENCE: Self = Self { bytes: 208 << 20, depth: 48, string: 44 << 20, items: 200_000 };
}

/// Bounds on one page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageLimits {
    /// Bytes of the whole page as it travels: 1,000 records of 4 KiB with their evidence, doubled.
    pub bytes: usize,
    /// Leaves of one page. 4,096 × 64 bytes of entries = 256 KiB, and about 8,192 hashes.
    pub entries: usize,
    /// Blocks whose evidence one page may carry.
    pub blocks: usize,
    /// Documents (mappings, schemas) one page may carry.
    pub documents: usize,
    /// Hashes in one log proof: a tree of 2^63 leaves needs 63 for inclusion, one more for consistency.
    pub proof_hashes: usize,
}

impl PageLimits {
    /// The default of both sides.
    pub const DEFAULT: Self = Self { bytes: 8 << 20, entries: 4_096, blocks: 1_024, documents: 64, proof_hashes: 64 };
}

/// Steps of one ledger update, on both sides: 512 headers of 4 KiB are 2 MiB, and 512 × 256 validators are the signature
/// checks of one budget.
pub const UPDATE_STEPS: usize = 512;

/// Bytes of one signed note (a checkpoint with up to 64 signature lines of about 200 bytes).
pub const NOTE_BYTES: usize = 16 << 10;
/// Signature lines of one note.
pub const NOTE_SIGNATURES: usize = 64;
