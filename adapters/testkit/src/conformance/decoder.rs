//! What a decoder promises.

use hufu_adapters_light_client::{Decoder, Proven};
use hufu_schemas_core::canonical::{parse_canonical, to_canonical};
use hufu_schemas_core::limits::JsonLimits;
use serde_json::Value;

use super::{Report, require};

/// Good material of one decoder.
pub struct DecoderCase {
    /// The decoder.
    pub decoder: Box<dyn Decoder>,
    /// Items that it reads, each with the values it must give.
    pub items: Vec<(Proven, Vec<Value>)>,
    /// Items that are not its business: of another contract, another event, another form.
    pub strangers: Vec<Proven>,
}

/// Runs every check.
pub fn decoder(case: &DecoderCase) -> Report {
    let mut report = Report::default();
    report.run("items decode to what they say", || {
        require(!case.items.is_empty(), || "expected a case with items".to_owned())?;
        for (item, expected) in &case.items {
            let decoded = case.decoder.decode(item).map_err(|fault| fault.to_string())?;
            let got: Vec<&Value> = decoded.iter().map(|event| &event.value).collect();
            require(got.iter().copied().eq(expected), || format!("expected {expected:?}, got {got:?}"))?;
        }
        Ok(())
    });
    report.run("the same item gives the same JSON", || {
        for (item, _) in &case.items {
            require(case.decoder.decode(item) == case.decoder.decode(item), || item.position().to_string())?;
        }
        Ok(())
    });
    report.run("values are canonical JSON that anybody can hash, and name contract and event", || {
        for (item, _) in &case.items {
            for event in case.decoder.decode(item).map_err(|fault| fault.to_string())? {
                let bytes = to_canonical(&event.value);
                let back = parse_canonical(&bytes, &JsonLimits::RECORD).map_err(|fault| fault.to_string())?;
                require(back == event.value, || "another value after being written and read".to_owned())?;
                require(!event.contract.is_empty() && !event.event.is_empty(), || format!("{event:?}"))?;
            }
        }
        Ok(())
    });
    report.run("items that are not its business give a fault or nothing", || {
        require(!case.strangers.is_empty(), || "expected a case with strangers".to_owned())?;
        for item in &case.strangers {
            if let Ok(decoded) = case.decoder.decode(item) {
                require(decoded.is_empty(), || format!("{}: {decoded:?}", item.position()))?;
            }
        }
        Ok(())
    });
    report.run("name, version and selector stay what they are", || {
        let decoder = &case.decoder;
        require(decoder.version() == decoder.version() && decoder.version().version > 0, || "version".to_owned())?;
        require(decoder.selector().digest() == decoder.selector().digest(), || "selector".to_owned())
    });
    report
}
