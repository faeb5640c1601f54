//! Operations on Chinese public identifiers. Form only: a wrong check digit in ledger data is the receiver's quality
//! finding, not a reason to lose the record (design, decision 16).

use crate::fault::{FaultCode, Trouble};

/// The parts of a certificate id, GB/T 36904: `1.2.156.3005.2.<class>.<issuer>.<serial>.<version>.<check>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CertificatePart {
    Class,
    Issuer,
    Serial,
    Version,
    Check,
    /// The id without version and check: what stays the same over all versions.
    Key,
}

impl CertificatePart {
    pub(super) const NAMES: &[(&str, Self)] = &[
        ("class", Self::Class),
        ("issuer", Self::Issuer),
        ("serial", Self::Serial),
        ("version", Self::Version),
        ("check", Self::Check),
        ("key", Self::Key),
    ];
}

/// A code that begins with, or holds, a division code of GB/T 2260.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CodeKind {
    /// Unified social credit code, GB 32100: characters 3 to 8.
    Uscc,
    /// Property unit code, GB/T 37346: characters 1 to 6.
    Unit,
}

impl CodeKind {
    pub(super) const NAMES: &[(&str, Self)] = &[("uscc", Self::Uscc), ("unit", Self::Unit)];
}

const CERTIFICATE_ROOT: &str = "1.2.156.3005.2.";
const USCC_LENGTH: usize = 18;
const UNIT_LENGTH: usize = 28;

fn fault(expected: &str) -> Trouble {
    Trouble::new(FaultCode::Identifier, format!("expected {expected}, got another text"))
}

pub(super) fn certificate_part(text: &str, part: CertificatePart) -> Result<String, Trouble> {
    let refused = || fault("a certificate id 1.2.156.3005.2.<class>.<issuer>.<serial>.<version>.<check>");
    let rest = text.strip_prefix(CERTIFICATE_ROOT).ok_or_else(refused)?;
    let mut parts = rest.split('.');
    let (Some(class), Some(issuer), Some(serial), Some(version), Some(check), None) =
        (parts.next(), parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(refused());
    };
    let of_length = |text: &str, least: usize, most: usize| {
        (least..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase())
    };
    let whole = of_length(class, 21, 21)
        && of_length(issuer, 6, 18)
        && of_length(serial, 1, 32)
        && of_length(version, 3, 3)
        && of_length(check, 1, 1);
    if !whole {
        return Err(refused());
    }
    Ok(match part {
        CertificatePart::Class => class.to_owned(),
        CertificatePart::Issuer => issuer.to_owned(),
        CertificatePart::Serial => serial.to_owned(),
        CertificatePart::Version => version.to_owned(),
        CertificatePart::Check => check.to_owned(),
        CertificatePart::Key => format!("{CERTIFICATE_ROOT}{class}.{issuer}.{serial}"),
    })
}

pub(super) fn division(text: &str, kind: CodeKind) -> Result<String, Trouble> {
    let (length, start, expected) = match kind {
        CodeKind::Uscc => (USCC_LENGTH, 2, "a social credit code of 18 characters"),
        CodeKind::Unit => (UNIT_LENGTH, 0, "a property unit code of 28 characters"),
    };
    if text.len() != length {
        return Err(fault(expected));
    }
    let division = text.get(start..start + 6).filter(|code| code.bytes().all(|byte| byte.is_ascii_digit()));
    division.map(str::to_owned).ok_or_else(|| fault(expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "1.2.156.3005.2.11100000000013338W011.11430000006122244L.20230000403.001.U";

    #[test]
    fn parts_of_a_published_id() {
        for (part, expected) in [
            (CertificatePart::Class, "11100000000013338W011"),
            (CertificatePart::Issuer, "11430000006122244L"),
            (CertificatePart::Serial, "20230000403"),
            (CertificatePart::Version, "001"),
            (CertificatePart::Check, "U"),
            (CertificatePart::Key, "1.2.156.3005.2.11100000000013338W011.11430000006122244L.20230000403"),
        ] {
            assert_eq!(certificate_part(ID, part).unwrap(), expected);
        }
        for text in ["", "1.2.156.3005.2", &ID.to_lowercase(), &format!("{ID}.X"), &ID.replace("001.U", "01.U")] {
            assert_eq!(certificate_part(text, CertificatePart::Key).unwrap_err().code, FaultCode::Identifier, "{text}");
        }
    }

    #[test]
    fn divisions() {
        assert_eq!(division("91350100M000100Y43", CodeKind::Uscc).unwrap(), "350100");
        assert_eq!(division("450103001001GB00001F00010001", CodeKind::Unit).unwrap(), "450103");
        for text in ["", "91350100", "9135O100M000100Y43", "中中中中中中"] {
            assert_eq!(division(text, CodeKind::Uscc).unwrap_err().code, FaultCode::Identifier, "{text}");
        }
    }
}
