//! One RLP block after the other from a stream, plain or gzip, in constant memory.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use hufu_evm_light_client::rlp::MAX_DOCUMENT_BYTES;

/// Bytes of the largest block. A block of 60 million gas holds about 4 MiB of transaction data.
const MAX_BLOCK_BYTES: usize = MAX_DOCUMENT_BYTES;
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Why there is no next block.
#[derive(Debug)]
pub(super) enum Fault {
    /// The file cannot be read.
    Io(io::Error),
    /// What stands there is no block.
    Form(String),
}

/// An export that is being read.
pub(super) struct Export {
    bytes: Box<dyn Read>,
}

impl Export {
    /// Looks at the first bytes: gzip is told by its mark, not by the file's name.
    pub(super) fn new(file: Box<dyn Read>) -> io::Result<Self> {
        let mut file = BufReader::with_capacity(1 << 16, file);
        // Shorter than two bytes is no gzip; a pipe may give one byte first, and then this reads as plain and fails.
        let zipped = file.fill_buf()?.starts_with(&GZIP);
        let bytes: Box<dyn Read> = if zipped {
            Box::new(BufReader::with_capacity(1 << 16, MultiGzDecoder::new(file)))
        } else {
            Box::new(file)
        };
        Ok(Self { bytes })
    }

    /// Reads the next block with its prefix into `block`; false at the end.
    pub(super) fn next_into(&mut self, block: &mut Vec<u8>) -> Result<bool, Fault> {
        block.clear();
        let Some(prefix) = self.first_byte()? else { return Ok(false) };
        block.push(prefix);
        let payload = match prefix {
            0xc0..=0xf7 => usize::from(prefix - 0xc0),
            0xf8..=0xff => self.long_length(usize::from(prefix - 0xf7), block)?,
            _ => {
                return Err(Fault::Form(format!(
                    "block-shape: expected an RLP list, got a string (prefix {prefix:02x})"
                )));
            }
        };
        if payload > MAX_BLOCK_BYTES {
            let words = format!("block-shape: expected a block of at most {MAX_BLOCK_BYTES} bytes, got {payload}");
            return Err(Fault::Form(words));
        }
        self.fill(payload, block)?;
        Ok(true)
    }

    fn first_byte(&mut self) -> Result<Option<u8>, Fault> {
        let mut byte = [0];
        loop {
            match self.bytes.read(&mut byte) {
                Ok(0) => return Ok(None),
                Ok(_) => return Ok(Some(byte[0])),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(broken(error)),
            }
        }
    }

    /// The length after a prefix. Whether it could be shorter is for the RLP reader to say, which sees all bytes.
    fn long_length(&mut self, bytes: usize, block: &mut Vec<u8>) -> Result<usize, Fault> {
        self.fill(bytes, block)?;
        let digits = block.get(1..).unwrap_or_default();
        let length =
            digits.iter().try_fold(0usize, |length, byte| length.checked_mul(256)?.checked_add(usize::from(*byte)));
        length.ok_or_else(|| Fault::Form("block-shape: expected a length, got one beyond all memory".to_owned()))
    }

    /// Grows with what is really there, so that an announced length alone allocates nothing.
    fn fill(&mut self, count: usize, block: &mut Vec<u8>) -> Result<(), Fault> {
        let limit = u64::try_from(count).unwrap_or(u64::MAX);
        let got = self.bytes.by_ref().take(limit).read_to_end(block).map_err(broken)?;
        if got < count {
            return Err(Fault::Form(format!("rlp-truncated: expected {count} more bytes of a block, got {got}")));
        }
        Ok(())
    }
}

/// Damaged gzip is a fault of the bytes, not of the disk.
fn broken(error: io::Error) -> Fault {
    match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof => {
            Fault::Form(format!("gzip: {error}"))
        }
        _ => Fault::Io(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn blocks(bytes: Vec<u8>) -> Result<Vec<Vec<u8>>, Fault> {
        let mut export = Export::new(Box::new(io::Cursor::new(bytes))).unwrap();
        let (mut all, mut block) = (Vec::new(), Vec::new());
        while export.next_into(&mut block)? {
            all.push(block.clone());
        }
        Ok(all)
    }

    fn long() -> Vec<u8> {
        [&[0xf8, 60][..], &[0x80; 60]].concat()
    }

    #[test]
    fn blocks_come_one_by_one_plain_and_zipped() {
        let whole = [&[0xc0][..], &[0xc2, 1, 2], &long()].concat();
        let expected = vec![vec![0xc0], vec![0xc2, 1, 2], long()];
        assert_eq!(blocks(whole.clone()).unwrap(), expected);
        let mut zip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        zip.write_all(&whole).unwrap();
        let zipped = zip.finish().unwrap();
        assert_eq!(blocks(zipped.clone()).unwrap(), expected);
        assert!(matches!(blocks(zipped[..zipped.len() - 4].to_vec()), Err(Fault::Form(_))), "gzip cut short");
        assert!(blocks(Vec::new()).unwrap().is_empty());
    }

    #[test]
    fn bytes_that_are_no_block() {
        for bad in [vec![0x83, 1, 2, 3], vec![0xc3, 1], vec![0xf8], vec![0xff; 9], vec![0xfb, 0x7f, 0xff, 0xff, 0xff]] {
            assert!(matches!(blocks(bad.clone()), Err(Fault::Form(_))), "{bad:02x?}");
        }
    }
}
