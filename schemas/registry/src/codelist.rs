//! Code lists: data, not code (records.md 3.1).

use serde::Deserialize;

/// The lists of this release.
const FILES: [&str; 3] = [
    include_str!("../../codelists/life-cycle-states.json"),
    include_str!("../../codelists/certificate-status.json"),
    include_str!("../../codelists/property-operations.json"),
];

/// A list of codes with what they mean.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodeList {
    /// `life-cycle-states`, `certificate-status`, `property-operations`.
    pub name: String,
    /// `<major>.<minor>`.
    pub version: String,
    /// In English.
    pub title: String,
    /// In Chinese.
    #[serde(rename = "x-title-zh")]
    pub title_zh: String,
    /// Where the list was taken from, and how far that was read.
    pub source: String,
    /// The codes, in the order of the source.
    pub entries: Vec<Code>,
}

/// One code.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Code {
    /// As it stands in data.
    pub code: String,
    /// In English.
    pub title: String,
    /// In Chinese.
    #[serde(rename = "x-title-zh")]
    pub title_zh: String,
    /// The life-cycle state that a vendor's status code stands for, where it stands for one.
    #[serde(default)]
    pub state: Option<String>,
}

impl CodeList {
    /// The lists that ship with this release.
    pub fn builtin() -> Vec<Self> {
        // A test reads every file; a list that does not parse never leaves the repository.
        FILES.iter().filter_map(|file| serde_json::from_str(file).ok()).collect()
    }

    /// The entry of a code.
    pub fn get(&self, code: &str) -> Option<&Code> {
        self.entries.iter().find(|entry| entry.code == code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn list(name: &str) -> CodeList {
        CodeList::builtin().into_iter().find(|list| list.name == name).unwrap()
    }

    fn codes(name: &str) -> Vec<String> {
        list(name).entries.into_iter().map(|entry| entry.code).collect()
    }

    #[test]
    fn every_file_is_a_list() {
        for file in FILES {
            serde_json::from_str::<CodeList>(file).unwrap();
        }
        assert_eq!(CodeList::builtin().len(), FILES.len());
    }

    #[test]
    fn lists_and_schemas_name_the_same_codes() {
        let envelope: Value = serde_json::from_str(include_str!("../../records/envelope/1.0.json")).unwrap();
        let states = &envelope["properties"]["status"]["properties"]["state"]["enum"];
        assert_eq!(&serde_json::to_value(codes("life-cycle-states")).unwrap(), states);
        let right: Value = serde_json::from_str(include_str!("../../records/property-right/1.0.json")).unwrap();
        let operations = &right["properties"]["operation"]["x-values"];
        assert_eq!(&serde_json::to_value(codes("property-operations")).unwrap(), operations);
    }

    #[test]
    fn status_codes_lead_to_states() {
        let states = codes("life-cycle-states");
        let status = list("certificate-status");
        for entry in &status.entries {
            assert!(entry.state.as_ref().is_none_or(|state| states.contains(state)), "{}", entry.code);
        }
        assert_eq!(status.get("03").unwrap().state.as_deref(), Some("annulled"));
        assert_eq!(status.get("99").unwrap().state, None);
    }
}
