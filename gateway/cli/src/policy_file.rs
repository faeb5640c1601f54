//! Edits of a policy file by an operator's command: comments, order and layout stay as they are, and a file is replaced
//! whole or not at all.

use std::fs;
use std::path::{Path, PathBuf};

use hufu_gateway_verify::TrustPolicy;
use hufu_schemas_core::{Digest, LaneId, LedgerId};
use serde_json::Value;
use toml_edit::{Array, ArrayOfTables, DocumentMut, InlineTable, Item, Table, value};

use crate::answer::misuse;
use crate::files;

/// Parses a policy; a fault names file, line and column.
pub(crate) fn parse(path: &Path, text: &str) -> anyhow::Result<TrustPolicy> {
    TrustPolicy::parse(&path.display().to_string(), text)
        .map_err(|fault| misuse(fault.to_string(), "mend that line of the policy"))
}

/// A policy file under edit.
#[derive(Debug)]
pub(crate) struct PolicyFile {
    path: PathBuf,
    text: String,
    policy: TrustPolicy,
    document: DocumentMut,
}

impl PolicyFile {
    /// Reads a sound policy; a faulty one is not edited further.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        Self::of(path, files::read_text(path)?)
    }

    fn of(path: &Path, text: String) -> anyhow::Result<Self> {
        let policy = parse(path, &text)?;
        let document = text.parse().map_err(|fault: toml_edit::TomlError| {
            misuse(format!("{}: {}", path.display(), fault.message()), "mend that line of the policy")
        })?;
        Ok(Self { path: path.to_owned(), text, policy, document })
    }

    /// Adds an accepted definition to a lane. `false`: it was accepted before and nothing changed.
    ///
    /// # Errors
    /// A lane that the policy does not name: trust in it is more than a digest, so an operator writes it.
    pub(crate) fn accept(&mut self, lane: &LaneId, definition: Digest) -> anyhow::Result<bool> {
        let Some(known) = self.policy.lane(lane) else {
            let lanes: Vec<String> = self.policy.lanes().map(|(lane, _)| lane.to_string()).collect();
            let got = if lanes.is_empty() { "none".to_owned() } else { lanes.join(", ") };
            let message = format!("{} names no lane {lane}; it names {got}", self.path.display());
            return Err(misuse(message, "write a [[lane]] with its types and issuers into the policy first"));
        };
        if known.definitions.contains(&definition) {
            return Ok(false);
        }
        let path = self.path.display().to_string();
        let table = entry(&mut self.document, "lane", &lane.to_string()).ok_or_else(|| unusual(&path, "[[lane]]"))?;
        let definitions = table.entry("definitions").or_insert_with(|| value(Array::new()));
        let list = definitions.as_array_mut().ok_or_else(|| unusual(&path, "definitions = [ ]"))?;
        push_line(list, &definition.to_hex());
        self.edited()?;
        Ok(true)
    }

    /// Puts `anchor` in place of a ledger's anchor, or names the ledger where the policy did not. `false`: it stood there
    /// already and nothing changed.
    pub(crate) fn anchor(&mut self, ledger: &LedgerId, anchor: &Value) -> anyhow::Result<bool> {
        if self.policy.anchor(ledger) == Some(anchor) {
            return Ok(false);
        }
        let path = self.path.display().to_string();
        let mut fresh = inline(anchor).ok_or_else(|| unusual(&path, "an anchor of texts, whole numbers and lists"))?;
        if self.policy.anchor(ledger).is_none() {
            let tables = self.document.entry("ledger").or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
            let tables = tables.as_array_of_tables_mut().ok_or_else(|| unusual(&path, "[[ledger]]"))?;
            let mut table = Table::new();
            table.insert("id", value(ledger.as_str()));
            table.insert("anchor", Item::Value(fresh));
            tables.push(table);
        } else {
            let table =
                entry(&mut self.document, "ledger", ledger.as_str()).ok_or_else(|| unusual(&path, "[[ledger]]"))?;
            if let Some(Item::Value(old)) = table.get("anchor") {
                // A comment behind the old one stays.
                fresh.decor_mut().clone_from(old.decor());
            }
            table.insert("anchor", Item::Value(fresh));
        }
        self.edited()?;
        Ok(true)
    }

    /// Reads the edited text back: what a gateway would not accept is not written.
    fn edited(&mut self) -> anyhow::Result<()> {
        self.policy = parse(&self.path, &self.document.to_string())?;
        Ok(())
    }

    /// Replaces the file. A gateway that reads it meanwhile sees the old one or the new one, never half of it.
    pub(crate) fn write(self) -> anyhow::Result<()> {
        // Through a link: the file it points at is replaced, not the link.
        let path = fs::canonicalize(&self.path)?;
        if files::read_text(&path)? != self.text {
            let message = format!("{} was changed by somebody else meanwhile", path.display());
            return Err(misuse(message, "give the command again"));
        }
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("policy");
        let beside = path.with_file_name(format!(".{name}.{}.new", std::process::id()));
        files::write_public(&beside, self.document.to_string().as_bytes())?;
        let replaced = fs::metadata(&path)
            .and_then(|old| fs::set_permissions(&beside, old.permissions()))
            .and_then(|()| fs::rename(&beside, &path));
        if let Err(fault) = replaced {
            // The old file stands; what lies beside it is of no use.
            let _ = fs::remove_file(&beside);
            return Err(anyhow::Error::new(fault).context(format!("cannot replace {}", path.display())));
        }
        Ok(())
    }
}

fn unusual(path: &str, expected: &str) -> anyhow::Error {
    misuse(format!("{path}: expected {expected}, got something written in another way"), "edit the file by hand")
}

/// The table of `[[kind]]` whose id is `id`.
fn entry<'a>(document: &'a mut DocumentMut, kind: &str, id: &str) -> Option<&'a mut Table> {
    let tables = document.get_mut(kind)?.as_array_of_tables_mut()?;
    tables.iter_mut().find(|table| table.get("id").and_then(Item::as_str) == Some(id))
}

/// Adds a text to a list in the list's own layout: on a line of its own where the others have one, and behind the
/// comment of the one before.
fn push_line(list: &mut Array, text: &str) {
    let indent = list.iter().last().and_then(|last| last.decor().prefix()?.as_str()?.rsplit_once('\n')).map(|it| it.1);
    let indent = indent.unwrap_or("    ").to_owned();
    let mut between = list.trailing().as_str().unwrap_or("").to_owned();
    if !list.trailing_comma()
        && let Some(last) = list.iter_mut().last()
    {
        between = format!("{}{between}", last.decor().suffix().and_then(|it| it.as_str()).unwrap_or(""));
        last.decor_mut().set_suffix("");
    }
    let Some((comment, closing)) = between.rsplit_once('\n') else { return list.push(text) };
    let mut fresh = toml_edit::Value::from(text);
    fresh.decor_mut().set_prefix(format!("{comment}\n{indent}"));
    let closing = format!("\n{closing}");
    list.push_formatted(fresh);
    list.set_trailing(closing);
    list.set_trailing_comma(true);
}

/// JSON as an inline TOML value; `None` for what TOML has no form for.
fn inline(json: &Value) -> Option<toml_edit::Value> {
    match json {
        Value::String(text) => Some(text.into()),
        Value::Bool(truth) => Some((*truth).into()),
        Value::Number(number) => number.as_i64().map(Into::into),
        Value::Array(items) => items.iter().map(inline).collect::<Option<Array>>().map(Into::into),
        Value::Object(members) => {
            let members = members.iter().map(|(key, value)| Some((key, inline(value)?)));
            members.collect::<Option<Vec<_>>>().map(|members| InlineTable::from_iter(members).into())
        }
        Value::Null => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn lane() -> LaneId {
        LaneId::parse("land.example/rights/1").unwrap()
    }

    /// A policy whose lane has these definitions. No lane of another gateway, no ledger.
    fn with(definitions: &str) -> String {
        let signer = hufu_schemas_core::signature::NoteSigner::from_seed("land.example", &[7; 32]).unwrap();
        format!(
            "# ours\npolicy = 1\n\n[[peer]] # them\ngateway = \"land.example\"\norganisation = \"x\"\nlog_keys = [\"{}\"]\n\n\
             [[lane]]\n# what they may say\nid = \"land.example/rights/1\"\n{definitions}types = [\"property-right\"]\n\
             issuers = [\"12100000400000000X\"] # theirs\n",
            signer.verifier()
        )
    }

    fn accepted(definitions: &str) -> String {
        let before = with(definitions);
        let mut file = PolicyFile::of(Path::new("policy.toml"), before.clone()).unwrap();
        assert!(file.accept(&lane(), Digest::of(b"new")).unwrap());
        let after = file.document.to_string();
        let known = &file.policy.lane(&lane()).unwrap().definitions;
        assert!(known.contains(&Digest::of(b"new")), "{after}");
        assert!(!file.accept(&lane(), Digest::of(b"new")).unwrap(), "the second time changes nothing");
        assert_eq!(file.document.to_string(), after);
        for line in before.lines().filter(|line| line.contains('#')) {
            let comment = line.split_once('#').unwrap().1;
            assert!(after.contains(comment), "{comment} is gone from\n{after}");
        }
        after
    }

    #[test]
    fn a_definition_joins_a_list_in_the_lists_own_layout() {
        let (old, new) = (Digest::of(b"old"), Digest::of(b"new"));
        let one_line = accepted(&format!("definitions = [\"{old}\"] # read by two of us\n"));
        assert!(
            one_line.contains(&format!("definitions = [\"{old}\", \"{new}\"] # read by two of us\n")),
            "{one_line}"
        );
        let empty = accepted("definitions = []\n");
        assert!(empty.contains(&format!("definitions = [\"{new}\"]\n")), "{empty}");
        let none = accepted("");
        assert!(none.contains(&format!("definitions = [\"{new}\"]\n")), "{none}");
        let lines = accepted(&format!("definitions = [\n  \"{old}\", # the first\n]\n"));
        let expected = format!("definitions = [\n  \"{old}\", # the first\n  \"{new}\",\n]\n");
        assert!(lines.contains(&expected), "{lines}");
        let without_comma = accepted(&format!("definitions = [\n  \"{old}\" # the first\n]\n"));
        assert!(without_comma.contains("# the first\n"), "{without_comma}");
    }

    #[test]
    fn a_lane_that_the_policy_does_not_name_is_refused() {
        let mut file = PolicyFile::of(Path::new("policy.toml"), with("")).unwrap();
        let other = LaneId::parse("tax.example/clearance/1").unwrap();
        let fault = file.accept(&other, Digest::of(b"new")).unwrap_err().to_string();
        assert!(fault.contains("names no lane tax.example/clearance/1; it names land.example/rights/1"), "{fault}");
    }

    #[test]
    fn an_anchor_is_put_in_place_of_the_old_one() {
        let ledger = LedgerId::parse("sim:00000000000000000000000000000000").unwrap();
        let old = json!({"family": "sim", "height": 1});
        let new = json!({"family": "sim", "height": 9, "validators": ["a", "b"]});
        let mut file = PolicyFile::of(Path::new("policy.toml"), with("")).unwrap();
        assert!(file.anchor(&ledger, &old).unwrap());
        assert!(!file.anchor(&ledger, &old).unwrap());
        let text = file.document.to_string().replace("height = 1 }", "height = 1 } # seen on paper");
        let mut file = PolicyFile::of(Path::new("policy.toml"), text).unwrap();
        assert!(file.anchor(&ledger, &new).unwrap());
        assert_eq!(file.policy.anchor(&ledger), Some(&new));
        let text = file.document.to_string();
        assert!(text.contains("# seen on paper") && text.contains("# what they may say"), "{text}");
        // Written as a table of its own, it is replaced all the same.
        let table =
            with("") + &format!("\n[[ledger]]\nid = \"{ledger}\"\n[ledger.anchor]\nfamily = \"sim\"\nheight = 1\n");
        let mut file = PolicyFile::of(Path::new("policy.toml"), table).unwrap();
        assert!(file.anchor(&ledger, &new).unwrap());
        assert_eq!(file.policy.anchor(&ledger), Some(&new));
    }

    #[test]
    fn an_edit_replaces_the_file_whole_and_not_over_somebody_elses() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.toml");
        fs::write(&path, with("")).unwrap();
        let mut file = PolicyFile::read(&path).unwrap();
        assert!(file.accept(&lane(), Digest::of(b"new")).unwrap());
        let mut late = PolicyFile::read(&path).unwrap();
        assert!(late.accept(&lane(), Digest::of(b"other")).unwrap());
        file.write().unwrap();
        assert!(late.write().unwrap_err().to_string().contains("meanwhile"));
        let now = PolicyFile::read(&path).unwrap();
        assert_eq!(now.policy.lane(&lane()).unwrap().definitions, [Digest::of(b"new")]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }
}
