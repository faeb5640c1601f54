//! Finds receipts in JSON of any nesting while it is read: nothing is held but the receipt at hand.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::{self, BufReader, Read};

use hufu_evm_light_client::receipt::json::ReceiptJson;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Bytes of JSON between the ends of two receipts. Logs of 30 million gas hold about 4 MiB of data, as hex 8 MiB.
const MAX_BETWEEN: u64 = 64 << 20;

/// What a receipt's consensus bytes and its place are made of; everything else is passed over.
const OF_A_RECEIPT: [&str; 8] =
    ["type", "status", "root", "cumulativeGasUsed", "logsBloom", "logs", "blockNumber", "transactionIndex"];
/// The member that no other object of JSON-RPC has.
const MARK: &str = "cumulativeGasUsed";

/// Gives each receipt of a file to `take`, until it refuses one. The file is one JSON value or several, one after the
/// other; serde_json bounds how deep they nest.
pub(super) fn each_receipt(
    file: Box<dyn Read>,
    take: &mut dyn FnMut(&ReceiptJson<'_>) -> Result<(), String>,
) -> Result<(), String> {
    let since = Cell::new(0);
    let reader = BufReader::with_capacity(1 << 16, Bounded { file, since: &since });
    let seek = Seek { take: RefCell::new(take), since: &since };
    let mut values = serde_json::Deserializer::from_reader(reader);
    loop {
        // Whitespace and the end are for the deserializer to find: it yields nothing only at the end of the file.
        match values.end() {
            Ok(()) => return Ok(()),
            Err(error) if error.is_io() => return Err(error.to_string()),
            Err(_) => {}
        }
        (&seek).deserialize(&mut values).map_err(|error| error.to_string())?;
    }
}

/// Refuses to read on where no receipt has ended for too long.
struct Bounded<'s> {
    file: Box<dyn Read>,
    since: &'s Cell<u64>,
}

impl Read for Bounded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.since.get() > MAX_BETWEEN {
            return Err(io::Error::other(format!("expected a receipt within {MAX_BETWEEN} bytes, got none")));
        }
        let count = self.file.read(buffer)?;
        self.since.set(self.since.get().saturating_add(u64::try_from(count).unwrap_or(u64::MAX)));
        Ok(count)
    }
}

type Take<'t> = &'t mut dyn FnMut(&ReceiptJson<'_>) -> Result<(), String>;

/// Looks for receipts in whatever comes.
struct Seek<'t, 's> {
    take: RefCell<Take<'t>>,
    since: &'s Cell<u64>,
}

impl Seek<'_, '_> {
    fn found(&self, members: Map<String, Value>) -> Result<(), String> {
        let value = Value::Object(members);
        let receipt = <ReceiptJson<'_> as serde::Deserialize>::deserialize(&value)
            .map_err(|error| format!("a receipt: {error}"))?;
        self.since.set(0);
        (self.take.borrow_mut())(&receipt)
    }
}

impl<'de> DeserializeSeed<'de> for &Seek<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &Seek<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON with receipts in it")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut receipt = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if !OF_A_RECEIPT.contains(&name.as_str()) {
                members.next_value_seed(self)?;
            } else if receipt.insert(name.clone(), members.next_value()?).is_some() {
                return Err(A::Error::custom(format!("the member {name} stands twice in one object")));
            }
        }
        if receipt.contains_key(MARK) { self.found(receipt).map_err(A::Error::custom) } else { Ok(()) }
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
}
