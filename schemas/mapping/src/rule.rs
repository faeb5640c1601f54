//! One rule: when it applies, what it writes, what it leaves out.

use serde_json::{Value, json};

use hufu_schemas_core::RecordKey;

use crate::cover::Cover;
use crate::fault::{ErrorCode, FaultCode, MappingFault, Trouble};
use crate::limits::{MAX_CONDITIONS, MAX_DRAFT_WEIGHT, MAX_DROPS, MAX_KEY_CHARS, MAX_TARGETS};
use crate::pointer::{Pointer, child};
use crate::reader::{At, Faults, Members};
use crate::sharing;
use crate::source::{Origin, Resolved, Source, Tables, is_absent, too_heavy, weigh};
use crate::target::{KEY, Slot, Tree, allowed};

/// A rule, ready to run.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    pub(crate) when: Vec<Condition>,
    /// Entries of `set` without the key, in the order of their pointers.
    pub(crate) entries: Vec<(Pointer, Source)>,
    pub(crate) key: Source,
    /// What it reads, tests or drops.
    pub(crate) cover: Cover,
    /// Whether a field outside the cover is a fault.
    pub(crate) strict: bool,
    tree: Tree,
}

/// One condition of `when`; all must hold.
#[derive(Debug, Clone)]
pub(crate) struct Condition {
    pub(crate) path: Pointer,
    pub(crate) test: Test,
}

#[derive(Debug, Clone)]
pub(crate) enum Test {
    OneOf(Vec<Value>),
    Present(bool),
}

impl Rule {
    pub(crate) fn parse(at: &At<'_>, tables: &Tables, faults: &mut Faults) -> Option<Self> {
        let members = at.closed(&["when", "set", "drop", "unmapped"], faults)?;
        let when = conditions(&members, faults);
        let drops = drops(&members, faults);
        let strict = unmapped(&members, faults);
        let set = members.must("set", faults)?;
        let (entries, key) = entries(&set, tables, faults)?;
        sharing::check_rule(&set.pointer, &entries, tables, faults);
        needs_issuer(&set.pointer, &entries, faults);
        let tree = tree(&set.pointer, &entries, faults)?;
        let key = key.or_else(|| {
            faults.add(&set.pointer, ErrorCode::MissingMember, format!("expected {KEY}: the rest of the record key"));
            None
        })?;
        let cover = cover(&when, &entries, &key, &drops);
        Some(Self { when, entries, key, cover, strict, tree })
    }

    pub(crate) fn holds(&self, input: &Value) -> bool {
        self.when.iter().all(|condition| condition.holds(input))
    }

    /// The draft of one event.
    pub(crate) fn draft(&self, record_type: &str, input: &Value, tables: &Tables) -> Result<Value, MappingFault> {
        if self.strict
            && let Some(fault) = self.cover.first_outside(input)
        {
            return Err(fault);
        }
        let mut values = self.values(input, tables)?;
        let filled = self.tree.fill(&mut |slot| {
            let resolved = values.get_mut(slot.entry)?;
            if slot.kept { resolved.kept.take() } else { resolved.value.take() }
        });
        let mut draft = filled.unwrap_or_else(|| json!({}));
        let key = self.record_key(record_type, &draft, input, tables)?;
        if let Value::Object(members) = &mut draft {
            members.insert("recordKey".to_owned(), Value::String(key));
        }
        match sharing::loosened(&draft) {
            Some(fault) => Err(fault),
            None => Ok(draft),
        }
    }

    fn values(&self, input: &Value, tables: &Tables) -> Result<Vec<Resolved>, MappingFault> {
        let mut weight: usize = 0;
        let mut values = Vec::with_capacity(self.entries.len());
        for (target, source) in &self.entries {
            let faulty = |trouble: Trouble| trouble.at(&target.to_string());
            let resolved = source.resolve(input, tables).map_err(faulty)?;
            for value in [&resolved.value, &resolved.kept].into_iter().flatten() {
                weight = weight.saturating_add(weigh(value).map_err(faulty)?);
            }
            if weight > MAX_DRAFT_WEIGHT {
                return Err(faulty(too_heavy()));
            }
            values.push(resolved);
        }
        Ok(values)
    }

    /// `<type>:<issuer uscc>:<key>`: a mapping cannot write about another issuer's or another type's thing than the
    /// one its envelope names (design, decision 5).
    fn record_key(&self, kind: &str, draft: &Value, input: &Value, tables: &Tables) -> Result<String, MappingFault> {
        let faulty = |trouble: Trouble| trouble.at(KEY);
        let issuer = draft.pointer("/issuer/uscc").and_then(Value::as_str).filter(|issuer| is_uscc_form(issuer));
        let issuer = issuer.ok_or_else(|| {
            Trouble::new(FaultCode::Key, "expected the issuer's social credit code of 18 capitals and digits")
                .at("/issuer/uscc")
        })?;
        let key = match self.key.resolve(input, tables).map_err(faulty)?.value {
            Some(Value::String(key)) => key,
            Some(Value::Number(key)) if !key.is_f64() => key.to_string(),
            _ => return Err(faulty(Trouble::new(FaultCode::Key, "expected a text or an integer"))),
        };
        let length = key.chars().count();
        if length > MAX_KEY_CHARS {
            let detail = format!("expected a key of at most {MAX_KEY_CHARS} characters, got {length}");
            return Err(faulty(Trouble::new(FaultCode::Key, detail)));
        }
        let composed = RecordKey::parse(&format!("{kind}:{issuer}:{key}"));
        let refused =
            |_| Trouble::new(FaultCode::Key, "expected a key without control characters and spaces at its ends");
        composed.map(String::from).map_err(|fault| faulty(refused(fault)))
    }
}

impl Condition {
    fn parse(at: &At<'_>, faults: &mut Faults) -> Option<Self> {
        let members = at.closed(&["path", "equals", "in", "present"], faults)?;
        let path = members.must("path", faults)?.json_pointer(faults)?;
        if members.len() != 2 {
            faults.add(&at.pointer, ErrorCode::Form, "expected path with one of equals, in and present");
            return None;
        }
        let test = if let Some(equals) = members.may("equals") {
            Test::OneOf(vec![equals.scalar(faults)?.clone()])
        } else if let Some(one_of) = members.may("in") {
            let values = one_of.list(MAX_TARGETS, faults)?;
            Test::OneOf(values.iter().filter_map(|value| value.scalar(faults).cloned()).collect())
        } else {
            Test::Present(members.may("present")?.truth(faults)?)
        };
        Some(Self { path, test })
    }

    fn holds(&self, input: &Value) -> bool {
        let found = self.path.find(input);
        match &self.test {
            Test::OneOf(values) => found.is_some_and(|found| values.contains(found)),
            Test::Present(wanted) => found.is_some_and(|found| !is_absent(found)) == *wanted,
        }
    }
}

fn conditions(members: &Members<'_>, faults: &mut Faults) -> Vec<Condition> {
    let list = members.must("when", faults).and_then(|when| when.list(MAX_CONDITIONS, faults));
    list.unwrap_or_default().iter().filter_map(|at| Condition::parse(at, faults)).collect()
}

fn drops(members: &Members<'_>, faults: &mut Faults) -> Vec<Pointer> {
    let list = members.may("drop").and_then(|drop| drop.list(MAX_DROPS, faults));
    list.unwrap_or_default().iter().filter_map(|at| at.json_pointer(faults)).collect()
}

/// `unmapped` has no default: whether an unknown field may fall away is a decision that somebody signs.
fn unmapped(members: &Members<'_>, faults: &mut Faults) -> bool {
    let Some(at) = members.must("unmapped", faults) else { return true };
    match at.value.as_str() {
        Some("drop") => false,
        Some("error") => true,
        _ => {
            faults.add(&at.pointer, ErrorCode::Form, "expected error or drop");
            true
        }
    }
}

type Entries = (Vec<(Pointer, Source)>, Option<Source>);

fn entries(set: &At<'_>, tables: &Tables, faults: &mut Faults) -> Option<Entries> {
    let members = set.object(faults)?;
    if members.len() > MAX_TARGETS {
        faults.add(
            &set.pointer,
            ErrorCode::Limit,
            format!("expected at most {MAX_TARGETS} targets, got {}", members.len()),
        );
        return None;
    }
    let mut entries = Vec::new();
    let mut key = None;
    for (target, at) in members.all() {
        let Some(source) = Source::parse(&at, tables, faults) else { continue };
        if target == KEY {
            if source.optional || source.keep.is_some() {
                faults.add(&at.pointer, ErrorCode::Form, "expected a key without optional and keep");
            }
            key = Some(source);
            continue;
        }
        match Pointer::parse(target) {
            Err(detail) => faults.add(&at.pointer, ErrorCode::Pointer, detail),
            Ok(pointer) => {
                for target in std::iter::once(&pointer).chain(&source.keep) {
                    if let Err(detail) = allowed(target) {
                        faults.add(&at.pointer, ErrorCode::ForbiddenTarget, detail);
                    }
                }
                check_keep(&at.pointer, &source, faults);
                entries.push((pointer, source));
            }
        }
    }
    // The order of work, and so the first fault, does not hang on the order in the file.
    entries.sort_by(|(one, _), (other, _)| one.cmp(other));
    Some((entries, key))
}

/// A kept code is the ledger's own text, so it has no place in sharing and sensitivity.
fn check_keep(at: &str, source: &Source, faults: &mut Faults) {
    let root = source.keep.as_ref().and_then(|keep| keep.tokens().first());
    if root.is_some_and(|root| ["sharing", "sensitivity"].contains(&root.as_str())) {
        let detail = "expected keep outside of sharing and sensitivity";
        faults.add(&child(at, "keep"), ErrorCode::LoosenedSharing, detail);
    }
}

fn needs_issuer(set: &str, entries: &[(Pointer, Source)], faults: &mut Faults) {
    let says = |(target, source): &(Pointer, Source)| {
        let target = target.to_string();
        let whole =
            target == "/issuer" && matches!(&source.origin, Origin::Const(value) if value.get("uscc").is_some());
        target == "/issuer/uscc" || whole
    };
    if !entries.iter().any(says) {
        let detail = "expected /issuer/uscc: the record key begins with it";
        faults.add(set, ErrorCode::MissingMember, detail);
    }
}

fn tree(set: &str, entries: &[(Pointer, Source)], faults: &mut Faults) -> Option<Tree> {
    let leaves = entries.iter().enumerate().flat_map(|(entry, (target, source))| {
        let constant = matches!(source.origin, Origin::Const(_));
        let kept = source.keep.iter().map(move |keep| (keep, Slot { entry, kept: true, constant: false }));
        std::iter::once((target, Slot { entry, kept: false, constant })).chain(kept)
    });
    let built = Tree::build(leaves);
    built.map_err(|issue| faults.add(&child(set, &issue.pointer), issue.code, issue.detail)).ok()
}

fn cover(when: &[Condition], entries: &[(Pointer, Source)], key: &Source, drops: &[Pointer]) -> Cover {
    let mut cover = Cover::of_frame();
    when.iter().for_each(|condition| cover.add(&condition.path));
    entries.iter().flat_map(|(_, source)| source.reads()).for_each(|pointer| cover.add(pointer));
    key.reads().into_iter().chain(drops).for_each(|pointer| cover.add(pointer));
    cover
}

/// The form only; a wrong check digit is a quality finding of the receiver (design, decision 16).
fn is_uscc_form(text: &str) -> bool {
    text.len() == 18 && text.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
}
