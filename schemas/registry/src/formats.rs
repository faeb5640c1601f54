//! Custom formats (records.md 3.4): the *form* of an identifier, which a schema refuses. Check characters are quality
//! and live in [`crate::check_digit`].

use hufu_schemas_core::{LedgerId, RecordKey};

/// A format's name and the test of its form.
type Format = (&'static str, fn(&str) -> bool);

/// Every format a schema may name besides [`STANDARD`].
pub(crate) const CUSTOM: [Format; 13] = [
    ("cn-uscc", is_uscc),
    ("cn-division", is_division),
    ("cn-e-certificate-id", is_certificate_id),
    ("cn-certificate-class", is_certificate_class),
    ("cn-bdc-unit", is_real_estate_unit),
    ("cn-parcel", is_parcel),
    ("decimal", is_decimal),
    ("big-int", is_big_int),
    ("reverse-dns", is_reverse_dns),
    ("grec-id", is_record_id),
    ("ledger-id", is_ledger_id),
    ("record-key", is_record_key),
    ("hex64", is_hex64),
];

/// Formats of JSON Schema itself that may be used. The others are left out on purpose: what a host name or an e-mail
/// address is differs between validators, and a record must be valid everywhere or nowhere.
pub(crate) const STANDARD: [&str; 4] = ["date", "date-time", "json-pointer", "uri"];

/// Whether a schema may name `format`.
pub(crate) fn is_known(format: &str) -> bool {
    STANDARD.contains(&format) || CUSTOM.iter().any(|(name, _)| *name == format)
}

/// 统一社会信用代码, GB 32100-2015: 18 characters, positions 3 to 8 digits.
fn is_uscc(text: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_digit() || (byte.is_ascii_uppercase() && !b"IOSVZ".contains(&byte));
    text.len() == 18
        && text
            .bytes()
            .enumerate()
            .all(|(at, byte)| if (2..8).contains(&at) { byte.is_ascii_digit() } else { letter(byte) })
}

/// GB/T 2260: 6 digits, 9 with the township, 12 with the village. A code that no list knows is still well-formed.
fn is_division(text: &str) -> bool {
    matches!(text.len(), 6 | 9 | 12) && all_digits(text) && !text.starts_with('0')
}

/// 电子证照标识, GB/T 36904-2018: root, class (21), issuer, serial, version (3 digits), check character.
fn is_certificate_id(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("1.2.156.3005.2.") else { return false };
    let mut parts = rest.split('.');
    let (Some(class), Some(issuer), Some(serial), Some(version), Some(check), None) =
        (parts.next(), parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    is_certificate_class(class)
        && is_capitals(issuer, 6, 18)
        && is_capitals(serial, 1, 32)
        && version.len() == 3
        && all_digits(version)
        && is_capitals(check, 1, 1)
}

/// 证照类型代码: the defining body's 18 characters and 3 digits.
fn is_certificate_class(text: &str) -> bool {
    match (text.get(..18), text.get(18..)) {
        (Some(body), Some(number)) => is_capitals(body, 18, 18) && number.len() == 3 && all_digits(number),
        _ => false,
    }
}

/// 不动产单元代码, GB/T 37346-2019: a parcel (19) and a fixture (9).
fn is_real_estate_unit(text: &str) -> bool {
    let (Some(parcel), Some(fixture)) = (text.get(..19), text.get(19..)) else { return false };
    let unit = fixture.get(1..).unwrap_or_default();
    is_parcel(parcel) && fixture.starts_with(['F', 'L', 'Q', 'W']) && unit.len() == 8 && all_digits(unit)
}

/// 宗地代码: 12 digits, two feature letters, 5 digits.
fn is_parcel(text: &str) -> bool {
    let (Some(district), Some(feature), Some(number)) = (text.get(..12), text.get(12..14), text.get(14..)) else {
        return false;
    };
    all_digits(district)
        && feature.starts_with(['G', 'J', 'Z'])
        && feature.ends_with(|letter: char| letter.is_ascii_uppercase())
        && number.len() == 5
        && all_digits(number)
}

/// A decimal number as text: at most 16 digits, and 8 behind the point.
fn is_decimal(text: &str) -> bool {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = match unsigned.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (unsigned, None),
    };
    is_whole(whole, 16) && fraction.is_none_or(|digits| (1..=8).contains(&digits.len()) && all_digits(digits))
}

/// An integer as text, at most 78 digits (256 bits).
fn is_big_int(text: &str) -> bool {
    is_whole(text.strip_prefix('-').unwrap_or(text), 78)
}

/// `cn.gov.example`: at least two lower-case labels.
fn is_reverse_dns(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253
        && text.contains('.')
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.split('.').all(label)
}

/// `urn:grec:<alg>:<43 characters of base64url>`, the digest of an envelope.
fn is_record_id(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("urn:grec:") else { return false };
    let Some((alg, value)) = rest.split_once(':') else { return false };
    let base64url = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    matches!(alg, "sha-256" | "sm3") && value.len() == 43 && value.bytes().all(base64url)
}

fn is_ledger_id(text: &str) -> bool {
    LedgerId::parse(text).is_ok()
}

fn is_record_key(text: &str) -> bool {
    RecordKey::parse(text).is_ok()
}

/// 32 bytes as 64 lower-case hex digits.
fn is_hex64(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

fn all_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Digits without a leading zero.
fn is_whole(text: &str, most: usize) -> bool {
    (1..=most).contains(&text.len()) && all_digits(text) && (text == "0" || !text.starts_with('0'))
}

fn is_capitals(text: &str, least: usize, most: usize) -> bool {
    (least..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// (format, valid, invalid): at least three of each (records.md 3.4).
    const VECTORS: [(&str, &[&str], &[&str]); 13] = [
        (
            "cn-uscc",
            // The last two fail their check character: that is quality, not form.
            &["91350100M000100Y43", "91440604MA40000040", "91350100M000100Y44", "91350211M0000XUF46"],
            &[
                "91350100M000100Y4Z",
                "91350100M000100Y4",
                "9135010OM000100Y43",
                "91350100m000100y43",
                "91350100M000100Y433",
            ],
        ),
        (
            "cn-division",
            &["350100", "440604", "110105001", "110105001002", "999999"],
            &["35010", "050100", "35010A", "3501001", "３５０１００"],
        ),
        (
            "cn-e-certificate-id",
            &[
                "1.2.156.3005.2.11100000000013338W011.11430000006122244L.20230000403.001.U",
                "1.2.156.3005.2.11100000MB03271699022.340100.000000016.001.9",
                "1.2.156.3005.2.11100000000013338W032.11220000013544541J.2430599.001.0",
            ],
            &[
                "1.2.156.3005.3.11100000000013338W011.11430000006122244L.20230000403.001.U",
                "1.2.156.3005.2.11100000000013338W011.11430000006122244L.20230000403.01.U",
                "1.2.156.3005.2.11100000000013338W011.11430000006122244L.20230000403.001",
                "1.2.156.3005.2.11100000000013338W011.11430.20230000403.001.U",
                "1.2.156.3005.2.11100000000013338w011.11430000006122244L.20230000403.001.U",
                "1.2.156.3005.2.11100000000013338W011.11430000006122244L..001.U",
            ],
        ),
        (
            "cn-certificate-class",
            &["11100000000013338W011", "11100000MB03271699022", "91350100M000100Y43001"],
            &["11100000000013338W01", "11100000000013338W01A", "11100000000013338w011", "11100000000013338W0111"],
        ),
        (
            "cn-bdc-unit",
            &["450103001001GB00001F00010001", "350100001001JC00002W00000000", "440604001001GS00003L00000001"],
            &[
                "450103001001GB00001X00010001",
                "450103001001KB00001F00010001",
                "450103001001GB00001F0001000",
                "450103001001GB00001",
                "450103001001G100001F00010001",
            ],
        ),
        (
            "cn-parcel",
            &["450103001001GB00001", "350100001001JC00002", "440604001001ZY00003"],
            &["450103001001GB0001", "450103001001KB00001", "45010300100AGB00001", "450103001001GB00001F00010001"],
        ),
        (
            "decimal",
            &["0", "-12.5", "120.50", "9999999999999999.99999999"],
            &["", "01", "1.", ".5", "1.123456789", "+1", "1e3"],
        ),
        (
            "big-int",
            &["0", "-1", "115792089237316195423570985008687907853269984665640564039457584007913129639935"],
            &["", "-", "007", "1.0", "0x1"],
        ),
        (
            "reverse-dns",
            &["cn.gov", "cn.gov.example-city.land", "example.a1"],
            &["cn", "Cn.gov", "cn..gov", "cn.-gov", "cn.gov.", "1cn.gov"],
        ),
        (
            "grec-id",
            &[
                "urn:grec:sha-256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
                "urn:grec:sm3:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA_",
                "urn:grec:sha-256:-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            ],
            &[
                "urn:grec:md5:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
                "urn:grec:sha-256:AAAA",
                "urn:grec:sha-256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
                "grec:sha-256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            ],
        ),
        (
            "ledger-id",
            &[
                "evm:00112233445566778899aabbccddeeff",
                "a:00000000000000000000000000000000",
                "a-b2:ffffffffffffffffffffffffffffffff",
            ],
            &["evm", "evm:00112233445566778899AABBCCDDEEFF", "evm:0011", ":00112233445566778899aabbccddeeff"],
        ),
        (
            "record-key",
            &["e-certificate:91350100M000100Y43:A-1", "generic:91440604MA40000040:税-1", "a:b:c:d"],
            &["e-certificate", "e-certificate::1", "E:91350100M000100Y43:1", "a:b:", "a:b: c"],
        ),
        (
            "hex64",
            &[
                "0000000000000000000000000000000000000000000000000000000000000000",
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
                "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
            ],
            &[
                "ba7816bf",
                "BA7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
                "0xba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015",
                "",
            ],
        ),
    ];

    #[test]
    fn every_format_has_vectors_and_keeps_to_them() {
        for (name, check) in CUSTOM {
            let (_, valid, invalid) = VECTORS.iter().find(|(format, ..)| *format == name).unwrap();
            assert!(valid.len() >= 3 && invalid.len() >= 3, "{name}: three vectors of each");
            for text in *valid {
                assert!(check(text), "{name}: {text:?} is well-formed");
            }
            for text in *invalid {
                assert!(!check(text), "{name}: {text:?} is not well-formed");
            }
        }
    }

    proptest! {
        #[test]
        fn formats_never_panic(text in ".{0,40}") {
            for (_, check) in CUSTOM {
                let _ = check(&text);
            }
        }

        #[test]
        fn near_misses_never_panic(text in "[0-9A-Z.:é]{0,40}") {
            for (_, check) in CUSTOM {
                let _ = check(&text);
            }
        }
    }
}
