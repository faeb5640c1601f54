//! Server-sent events, as the WHATWG standard parses them: bytes in, whole events out, each within a limit.

use anyhow::bail;

/// Bytes of one event: a record with its envelope is at most 1 MiB.
const LONGEST_EVENT: usize = 4 << 20;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    /// Its `id:`, which here is an offset.
    pub(crate) offset: u64,
    /// Its `data:`.
    pub(crate) data: String,
}

/// Puts a stream's bytes together to events.
#[derive(Debug, Default)]
pub(crate) struct EventParser {
    line: Vec<u8>,
    after_return: bool,
    id: Option<String>,
    data: Option<String>,
}

impl EventParser {
    /// Takes the next bytes of the stream and hands on the events that they complete.
    ///
    /// # Errors
    /// A line or event beyond the limit, text that is not UTF-8, an event whose id is no offset: with such a gateway
    /// nothing could be resumed.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> anyhow::Result<Vec<Event>> {
        let mut events = Vec::new();
        for &byte in bytes {
            // A line ends with CR, LF or both.
            let ends = match byte {
                b'\n' if self.after_return => {
                    self.after_return = false;
                    continue;
                }
                b'\n' | b'\r' => true,
                _ => false,
            };
            self.after_return = byte == b'\r';
            if ends {
                let line = std::mem::take(&mut self.line);
                events.extend(self.line(&line)?);
                continue;
            }
            self.line.push(byte);
            self.bounded()?;
        }
        Ok(events)
    }

    fn line(&mut self, line: &[u8]) -> anyhow::Result<Option<Event>> {
        if line.is_empty() {
            return self.dispatch();
        }
        let Ok(line) = std::str::from_utf8(line) else { bail!("the gateway's events are not UTF-8") };
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => self.id = Some(value.to_owned()),
            "data" => {
                let data = self.data.get_or_insert_default();
                if !data.is_empty() {
                    data.push('\n');
                }
                data.push_str(value);
                self.bounded()?;
            }
            // Comments keep the connection alive; other fields say nothing that is needed here.
            _ => {}
        }
        Ok(None)
    }

    fn dispatch(&mut self) -> anyhow::Result<Option<Event>> {
        let Some(data) = self.data.take() else { return Ok(None) };
        let id = self.id.as_deref().unwrap_or("none");
        match id.parse() {
            Ok(offset) => Ok(Some(Event { offset, data })),
            Err(_) => bail!("expected an event with an offset as id, got {:?}", super::printable(id, 80)),
        }
    }

    fn bounded(&self) -> anyhow::Result<()> {
        if self.line.len().max(self.data.as_ref().map_or(0, String::len)) > LONGEST_EVENT {
            bail!("expected events of at most {LONGEST_EVENT} bytes, got more");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(offset: u64, data: &str) -> Event {
        Event { offset, data: data.to_owned() }
    }

    #[test]
    fn events_come_out_the_same_however_the_stream_is_cut() {
        let stream =
            ": hello\n\nid: 1\ndata: {\"a\":1}\n\nid:2\r\ndata: x\r\ndata: y\r\n\r\n:\n\nevent: z\nid: 3\rdata: 虎\r\r";
        let expected = [event(1, "{\"a\":1}"), event(2, "x\ny"), event(3, "虎")];
        assert_eq!(EventParser::default().push(stream.as_bytes()).unwrap(), expected);
        for size in 1..stream.len() {
            let mut parser = EventParser::default();
            let cut: Vec<Event> =
                stream.as_bytes().chunks(size).flat_map(|chunk| parser.push(chunk).unwrap()).collect();
            assert_eq!(cut, expected, "in pieces of {size}");
        }
    }

    #[test]
    fn half_an_event_is_none() {
        assert_eq!(EventParser::default().push(b"id: 1\ndata: {\"a\":").unwrap(), []);
        assert_eq!(EventParser::default().push(b"id: 1\n\n").unwrap(), []);
    }

    #[test]
    fn an_event_without_an_offset_is_refused() {
        assert!(EventParser::default().push(b"data: x\n\n").is_err());
        assert!(EventParser::default().push(b"id: seven\ndata: x\n\n").is_err());
    }

    #[test]
    fn a_line_or_event_without_end_is_refused() {
        let piece = vec![b'x'; 1 << 20];
        let mut parser = EventParser::default();
        assert!((0..5).any(|_| parser.push(&piece).is_err()), "one line");
        let mut parser = EventParser::default();
        let line = [b"data: ".as_slice(), &piece, b"\n"].concat();
        assert!((0..5).any(|_| parser.push(&line).is_err()), "many lines");
    }
}
