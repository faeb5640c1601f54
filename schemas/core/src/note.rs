//! C2SP signed notes: a text, an empty line, and signature lines `— name base64(key id ‖ signature)`.
//!
//! What is signed is the text with its final newline, byte for byte.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::limits::{NOTE_BYTES, NOTE_SIGNATURES};
use crate::signature::{NoteKey, NoteSigner};

/// A note as it came: nothing is verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<NoteSignature>,
}

/// One signature line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteSignature {
    name: String,
    key_id: [u8; 4],
    signature: Vec<u8>,
}

/// Why bytes are not a signed note.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteFault {
    /// Longer than a checkpoint ever is.
    #[error("expected at most {most} {what}, got {got}")]
    TooMuch {
        /// Bytes or signatures.
        what: &'static str,
        /// Allowed.
        most: usize,
        /// Given.
        got: usize,
    },
    /// Not the form of C2SP signed-note.
    #[error("not a signed note: expected {0}")]
    Malformed(&'static str),
}

/// The em dash and space that begin a signature line.
const MARK: &str = "\u{2014} ";

impl Note {
    /// Parses a note within its limits.
    pub fn parse(note: &str) -> Result<Self, NoteFault> {
        if note.len() > NOTE_BYTES {
            return Err(NoteFault::TooMuch { what: "bytes", most: NOTE_BYTES, got: note.len() });
        }
        if note.chars().any(|c| c.is_control() && c != '\n') {
            return Err(NoteFault::Malformed("no control characters but newlines"));
        }
        let split = note.rfind("\n\n").ok_or(NoteFault::Malformed("an empty line before the signatures"))?;
        let (text, rest) = (note.get(..split + 1), note.get(split + 2..));
        let (Some(text), Some(rest)) = (text, rest) else { return Err(NoteFault::Malformed("text and signatures")) };
        let lines = rest.strip_suffix('\n').ok_or(NoteFault::Malformed("a newline at the end"))?;
        let mut signatures = Vec::new();
        for line in lines.split('\n') {
            if signatures.len() >= NOTE_SIGNATURES {
                return Err(NoteFault::TooMuch {
                    what: "signatures",
                    most: NOTE_SIGNATURES,
                    got: lines.split('\n').count(),
                });
            }
            signatures.push(NoteSignature::parse(line)?);
        }
        Ok(Self { text: text.to_owned(), signatures })
    }

    /// Signs `text`, which must end with a newline and hold no empty line at its end.
    pub fn sign(text: String, signer: &NoteSigner) -> Self {
        let key = signer.verifier();
        let signature = signer.sign(text.as_bytes()).to_vec();
        Self { signatures: vec![NoteSignature { name: key.name().to_owned(), key_id: key.id(), signature }], text }
    }

    /// The signed text, unverified unless [`Note::verified_by`] said so.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether `key` signed this text. Lines of other keys are passed over; a line that claims this key and does not
    /// verify is a refusal, as C2SP signed-note asks.
    pub fn verified_by(&self, key: &NoteKey) -> bool {
        let mut found = false;
        for line in self.signatures.iter().filter(|line| line.name == key.name() && line.key_id == key.id()) {
            let Ok(signature) = <&[u8; 64]>::try_from(line.signature.as_slice()) else { return false };
            if !key.verifies(self.text.as_bytes(), signature) {
                return false;
            }
            found = true;
        }
        found
    }
}

impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}", self.text)?;
        for line in &self.signatures {
            let data = [line.key_id.as_slice(), &line.signature].concat();
            writeln!(f, "{MARK}{} {}", line.name, BASE64.encode(data))?;
        }
        Ok(())
    }
}

impl NoteSignature {
    fn parse(line: &str) -> Result<Self, NoteFault> {
        let fault = NoteFault::Malformed("signature lines «— name base64»");
        let (name, data) = line.strip_prefix(MARK).and_then(|rest| rest.split_once(' ')).ok_or(fault.clone())?;
        let bytes = BASE64.decode(data).map_err(|_| fault.clone())?;
        let (key_id, signature) = bytes.split_first_chunk::<4>().ok_or(fault.clone())?;
        if name.is_empty() || signature.is_empty() {
            return Err(fault);
        }
        Ok(Self { name: name.to_owned(), key_id: *key_id, signature: signature.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn signer() -> NoteSigner {
        NoteSigner::from_seed("land.example", &[3; 32]).unwrap()
    }

    #[test]
    fn signed_and_read_back() {
        let note = Note::sign("one\ntwo\n".to_owned(), &signer());
        let read = Note::parse(&note.to_string()).unwrap();
        assert_eq!(read, note);
        assert!(read.verified_by(&signer().verifier()));
    }

    #[test]
    fn another_text_another_key_or_an_edited_signature_does_not_verify() {
        let note = Note::sign("one\n".to_owned(), &signer()).to_string();
        let edited = Note::parse(&note.replace("one", "two")).unwrap();
        assert!(!edited.verified_by(&signer().verifier()));
        let stranger = NoteSigner::from_seed("land.example", &[4; 32]).unwrap();
        assert!(!Note::parse(&note).unwrap().verified_by(&stranger.verifier()));
    }

    /// The example of C2SP signed-note (PeterNeumann's key, from the Go module golang.org/x/mod/sumdb/note).
    #[test]
    fn known_note_of_c2sp() {
        let key = NoteKey::parse("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW").unwrap();
        let note = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n\
                    \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
        assert!(Note::parse(note).unwrap().verified_by(&key));
    }

    #[test]
    fn forms_that_are_refused() {
        for bad in ["", "a\n", "a\n\n", "a\n\nx", "a\n\n\u{2014} n !\n", "a\r\n\n\u{2014} n AAAAAAA=\n"] {
            assert!(Note::parse(bad).is_err(), "{bad:?}");
        }
        assert!(Note::parse(&"x".repeat(NOTE_BYTES + 1)).is_err());
    }

    proptest! {
        #[test]
        fn never_panics(text in "(\\PC|\n|\u{2014} ){0,200}") {
            if let Ok(note) = Note::parse(&text) {
                prop_assert_eq!(Note::parse(&note.to_string()).unwrap(), note);
            }
        }
    }
}
