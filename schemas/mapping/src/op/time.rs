//! Operations on dates and times. Formats are read strictly (fixed width, nothing left over), and zones are fixed
//! offsets: a time zone database changes between releases, and then two receivers would disagree.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::Offset as ZoneOffset;
use serde_json::Value;

use super::{Refusal, form};
use crate::fault::{FaultCode, Trouble};

const DIRECTIVES: &str = "%Y %m %d %-m %-d %H %M %S %f %z %%";
const MAX_PIECES: usize = 64;

/// A fixed offset from UTC in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Offset(i32);

/// A parsed format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Format {
    pieces: Vec<Piece>,
    source: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    Year,
    Month {
        padded: bool,
    },
    Day {
        padded: bool,
    },
    Hour,
    Minute,
    Second,
    /// A point and one to nine digits, or nothing.
    Fraction,
    Zone,
    Literal(char),
}

impl Format {
    fn parse(source: &str) -> Result<Self, Refusal> {
        let mut pieces = Vec::new();
        let mut characters = source.chars();
        while let Some(character) = characters.next() {
            let piece = if character == '%' { directive(&mut characters)? } else { Piece::Literal(character) };
            if !matches!(piece, Piece::Literal(_)) && pieces.contains(&piece) {
                return Err(form(&format!("expected each of {DIRECTIVES} at most once")));
            }
            pieces.push(piece);
            if pieces.len() > MAX_PIECES {
                return Err(form(&format!("expected a format of at most {MAX_PIECES} pieces")));
            }
        }
        Ok(Self { pieces, source: source.to_owned() })
    }

    pub(super) fn needs_date(&self) -> Result<(), Refusal> {
        let has = |wanted: fn(&Piece) -> bool| self.pieces.iter().any(wanted);
        let whole = has(|piece| matches!(piece, Piece::Year))
            && has(|piece| matches!(piece, Piece::Month { .. }))
            && has(|piece| matches!(piece, Piece::Day { .. }));
        if whole { Ok(()) } else { Err(form("expected a format with %Y, %m and %d")) }
    }

    /// A local time means nothing without a zone.
    pub(super) fn needs_offset(&self, tz: Option<Offset>) -> Result<(), Refusal> {
        if tz.is_some() || self.pieces.contains(&Piece::Zone) {
            return Ok(());
        }
        Err(form("expected tz, or %z in the format: a local time says nothing without a zone"))
    }

    fn read(&self, text: &str) -> Result<Moment, Trouble> {
        let fault = || {
            let length = text.chars().count();
            Trouble::new(FaultCode::Date, format!("expected {}, got another text of {length} characters", self.source))
        };
        let mut fields = Fields::default();
        let mut rest = text;
        for piece in &self.pieces {
            rest = fields.take(*piece, rest).ok_or_else(fault)?;
        }
        if !rest.is_empty() {
            return Err(fault());
        }
        fields.moment().ok_or_else(fault)
    }
}

fn directive(characters: &mut std::str::Chars<'_>) -> Result<Piece, Refusal> {
    let refused = || form(&format!("expected only {DIRECTIVES} in a format"));
    Ok(match characters.next().ok_or_else(refused)? {
        'Y' => Piece::Year,
        'm' => Piece::Month { padded: true },
        'd' => Piece::Day { padded: true },
        'H' => Piece::Hour,
        'M' => Piece::Minute,
        'S' => Piece::Second,
        'f' => Piece::Fraction,
        'z' => Piece::Zone,
        '%' => Piece::Literal('%'),
        '-' => match characters.next().ok_or_else(refused)? {
            'm' => Piece::Month { padded: false },
            'd' => Piece::Day { padded: false },
            _ => return Err(refused()),
        },
        _ => return Err(refused()),
    })
}

/// What a text says: a local time, with its offset where the text has one.
struct Moment {
    local: DateTime,
    offset: Option<Offset>,
}

#[derive(Default)]
struct Fields {
    year: i16,
    month: i8,
    day: i8,
    hour: i8,
    minute: i8,
    second: i8,
    nanosecond: i32,
    offset: Option<Offset>,
}

impl Fields {
    /// Takes one piece off the front; what is left over comes back.
    fn take<'t>(&mut self, piece: Piece, text: &'t str) -> Option<&'t str> {
        match piece {
            Piece::Year => {
                let (digits, rest) = digits(text, 4, 4)?;
                self.year = digits.parse().ok()?;
                Some(rest)
            }
            Piece::Month { padded } => small(text, padded, &mut self.month),
            Piece::Day { padded } => small(text, padded, &mut self.day),
            Piece::Hour => small(text, true, &mut self.hour),
            Piece::Minute => small(text, true, &mut self.minute),
            Piece::Second => small(text, true, &mut self.second),
            Piece::Fraction => self.fraction(text),
            Piece::Zone => {
                let (offset, rest) = Offset::take(text)?;
                self.offset = Some(offset);
                Some(rest)
            }
            Piece::Literal(character) => text.strip_prefix(character),
        }
    }

    fn fraction<'t>(&mut self, text: &'t str) -> Option<&'t str> {
        let Some(behind) = text.strip_prefix('.') else { return Some(text) };
        let (digits, rest) = digits(behind, 1, 9)?;
        self.nanosecond = format!("{digits:0<9}").parse().ok()?;
        Some(rest)
    }

    fn moment(&self) -> Option<Moment> {
        let date = Date::new(self.year, self.month, self.day).ok()?;
        let time = Time::new(self.hour, self.minute, self.second, self.nanosecond).ok()?;
        Some(Moment { local: date.to_datetime(time), offset: self.offset })
    }
}

fn digits(text: &str, least: usize, most: usize) -> Option<(&str, &str)> {
    let count = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
    if count < least { None } else { text.split_at_checked(count) }
}

fn small<'t>(text: &'t str, padded: bool, field: &mut i8) -> Option<&'t str> {
    let (digits, rest) = digits(text, if padded { 2 } else { 1 }, 2)?;
    // `%-m` is the spelling without a zero in front: one spelling only.
    if !padded && digits.starts_with('0') {
        return None;
    }
    *field = digits.parse().ok()?;
    Some(rest)
}

impl Offset {
    /// `Z`, `+08:00` or `+0800`, at most 18 hours.
    fn take(text: &str) -> Option<(Self, &str)> {
        if let Some(rest) = text.strip_prefix('Z') {
            return Some((Self(0), rest));
        }
        let (sign, rest) = match text.chars().next()? {
            '+' => (1, text.strip_prefix('+')?),
            '-' => (-1, text.strip_prefix('-')?),
            _ => return None,
        };
        let (hours, rest) = digits(rest, 2, 2)?;
        let rest = rest.strip_prefix(':').unwrap_or(rest);
        let (minutes, rest) = digits(rest, 2, 2)?;
        let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
        let seconds = hours * 3_600 + minutes * 60;
        (minutes < 60 && seconds <= 18 * 3_600).then_some((Self(sign * seconds), rest))
    }

    fn parse(text: &str) -> Option<Self> {
        Self::take(text).filter(|(_, rest)| rest.is_empty()).map(|(offset, _)| offset)
    }

    fn zone(self) -> Option<ZoneOffset> {
        ZoneOffset::from_seconds(self.0).ok()
    }
}

/// `"%Y%m%d"` or `{format: "%Y%m%d", tz: "+08:00"}`.
pub(super) fn arguments(argument: &Value) -> Result<(Format, Option<Offset>), Refusal> {
    if let Value::String(format) = argument {
        return Ok((Format::parse(format)?, None));
    }
    let Some(members) = argument.as_object() else {
        return Err(form("expected a format, or {format: …, tz: …}"));
    };
    if let Some(other) = members.keys().find(|key| !["format", "tz"].contains(&key.as_str())) {
        return Err(form(&format!("expected only format and tz, got {other:?}")));
    }
    let format = members.get("format").and_then(Value::as_str).ok_or_else(|| form("expected a format"))?;
    let tz = match members.get("tz") {
        None => None,
        Some(value) => {
            let refused = || form("expected tz as a fixed offset such as \"+08:00\" or \"Z\"");
            Some(value.as_str().and_then(Offset::parse).ok_or_else(refused)?)
        }
    };
    Ok((Format::parse(format)?, tz))
}

/// A date. Where both the text and the mapping name a zone, the day is the one in the mapping's zone.
pub(super) fn date(text: &str, format: &Format, tz: Option<Offset>) -> Result<String, Trouble> {
    let moment = format.read(text)?;
    let local = match (moment.offset, tz) {
        (Some(from), Some(to)) => move_to(moment.local, from, to).ok_or_else(out_of_range)?,
        _ => moment.local,
    };
    written_year(local.date())?;
    Ok(local.date().to_string())
}

/// An instant in UTC. The zone in the text counts before the mapping's.
pub(super) fn date_time(text: &str, format: &Format, tz: Option<Offset>) -> Result<String, Trouble> {
    let moment = format.read(text)?;
    let offset = moment.offset.or(tz).and_then(Offset::zone).ok_or_else(out_of_range)?;
    let instant = offset.to_timestamp(moment.local).map_err(|_| out_of_range())?;
    rfc3339(instant)
}

/// Seconds or milliseconds since 1970 as an instant in UTC.
pub(super) fn epoch(text: &str, milliseconds: bool) -> Result<String, Trouble> {
    let fault = || Trouble::new(FaultCode::Date, "expected an integer of seconds or milliseconds since 1970");
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(fault());
    }
    let count: i64 = text.parse().map_err(|_| fault())?;
    let instant = if milliseconds { Timestamp::from_millisecond(count) } else { Timestamp::from_second(count) };
    rfc3339(instant.map_err(|_| out_of_range())?)
}

fn move_to(local: DateTime, from: Offset, to: Offset) -> Option<DateTime> {
    let instant = from.zone()?.to_timestamp(local).ok()?;
    Some(to.zone()?.to_datetime(instant))
}

fn rfc3339(instant: Timestamp) -> Result<String, Trouble> {
    written_year(ZoneOffset::UTC.to_datetime(instant).date())?;
    Ok(instant.to_string())
}

/// RFC 3339 has four digits for the year and no sign.
fn written_year(date: Date) -> Result<(), Trouble> {
    if (0..=9_999).contains(&date.year()) { Ok(()) } else { Err(out_of_range()) }
}

fn out_of_range() -> Trouble {
    Trouble::new(FaultCode::Date, "expected a time within the years 0000 to 9999")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn read_date(text: &str, argument: Value) -> Result<String, FaultCode> {
        let (format, tz) = arguments(&argument).unwrap();
        date(text, &format, tz).map_err(|trouble| trouble.code)
    }

    fn read_time(text: &str, argument: Value) -> Result<String, FaultCode> {
        let (format, tz) = arguments(&argument).unwrap();
        date_time(text, &format, tz).map_err(|trouble| trouble.code)
    }

    #[test]
    fn dates() {
        assert_eq!(read_date("20240229", json!("%Y%m%d")).unwrap(), "2024-02-29");
        assert_eq!(read_date("2024年2月9日", json!("%Y年%-m月%-d日")).unwrap(), "2024-02-09");
        let instant = json!({"format": "%Y-%m-%dT%H:%M:%S%z", "tz": "+08:00"});
        assert_eq!(read_date("2026-11-20T18:00:00Z", instant).unwrap(), "2026-11-21");
    }

    #[test]
    fn dates_that_do_not_exist_or_are_not_whole() {
        for text in ["20230230", "2024022", "202402290", "2024-02-29", "", "２０２４0229", "20241301", "+2024229"] {
            assert_eq!(read_date(text, json!("%Y%m%d")), Err(FaultCode::Date), "{text}");
        }
        assert_eq!(read_date("2024年02月9日", json!("%Y年%-m月%-d日")), Err(FaultCode::Date));
    }

    #[test]
    fn times_come_out_in_utc() {
        let local = json!({"format": "%Y%m%d%H%M%S", "tz": "+08:00"});
        assert_eq!(read_time("20261121110000", local).unwrap(), "2026-11-21T03:00:00Z");
        let day = json!({"format": "%Y%m%d", "tz": "+08:00"});
        assert_eq!(read_time("20261121", day).unwrap(), "2026-11-20T16:00:00Z");
        let zoned = json!("%Y-%m-%dT%H:%M:%S%f%z");
        assert_eq!(read_time("2026-11-21T11:00:00.25+0800", zoned.clone()).unwrap(), "2026-11-21T03:00:00.25Z");
        assert_eq!(read_time("2026-11-21T11:00:00Z", zoned.clone()).unwrap(), "2026-11-21T11:00:00Z");
        for text in ["2026-11-21T11:00:00", "2026-11-21T24:00:00Z", "2026-11-21T11:00:00+19:00", "2026-11-21T11:60:00Z"]
        {
            assert_eq!(read_time(text, zoned.clone()), Err(FaultCode::Date), "{text}");
        }
        assert_eq!(read_time("00000101", json!({"format": "%Y%m%d", "tz": "+08:00"})), Err(FaultCode::Date));
    }

    #[test]
    fn epochs() {
        assert_eq!(epoch("1795230000", false).unwrap(), "2026-11-21T03:00:00Z");
        assert_eq!(epoch("1795230000250", true).unwrap(), "2026-11-21T03:00:00.25Z");
        for text in ["", "1.5", "abc", "9223372036854775807", "-9223372036854775808", "99999999999999999999", "+1"] {
            assert_eq!(epoch(text, false).unwrap_err().code, FaultCode::Date, "{text}");
        }
    }

    #[test]
    fn formats_and_zones_that_two_receivers_could_read_differently() {
        for argument in [
            json!("%y%m%d"),
            json!("%c"),
            json!("%Y%Y%m%d"),
            json!("%"),
            json!({"format": "%Y", "tz": "Asia/Shanghai"}),
            json!({"format": "%Y", "zone": "Z"}),
            json!({"tz": "Z"}),
            json!(1),
        ] {
            assert!(arguments(&argument).is_err(), "{argument}");
        }
        let (format, tz) = arguments(&json!("%Y%m")).unwrap();
        assert!(format.needs_date().is_err());
        assert!(format.needs_offset(tz).is_err());
    }

    proptest! {
        #[test]
        fn every_day_reads_back(year in 0..=9_999_i16, month in 1..=12_i8, day in 1..=28_i8) {
            let text = format!("{year:04}{month:02}{day:02}");
            let expected = format!("{year:04}-{month:02}-{day:02}");
            prop_assert_eq!(read_date(&text, json!("%Y%m%d")), Ok(expected));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,30}") {
            let _ = read_time(&text, json!("%Y-%m-%dT%H:%M:%S%f%z"));
        }
    }
}
