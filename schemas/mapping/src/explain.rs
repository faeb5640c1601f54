//! `map explain`: for each place of the draft, what it is made of. Lineage of the mapping, not of one record.

use serde::Serialize;
use serde_json::Value;

use crate::mapping::Mapping;
use crate::pointer::Pointer;
use crate::source::{Origin, Source};
use crate::target::KEY;

/// Where one place of the draft comes from.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Lineage {
    /// The rule, from 0.
    pub rule: usize,
    /// The place in the draft; `/key` is the mapping's part of `recordKey`.
    pub target: String,
    /// Input pointers.
    pub from: Vec<String>,
    /// Operations in their order, the table last as `table <name>`.
    pub ops: Vec<String>,
    /// The constant, where it is one.
    pub constant: Option<Value>,
    /// What is written where the input has no value.
    pub default: Option<Value>,
    /// Whether the place may stay empty.
    pub optional: bool,
}

impl Mapping {
    /// The lineage of each place, rule by rule, in the order of the targets.
    pub fn explain(&self) -> Vec<Lineage> {
        let mut all = Vec::new();
        for (index, rule) in self.rules.iter().enumerate() {
            all.push(lineage(index, KEY.to_owned(), &rule.key));
            for (target, source) in &rule.entries {
                all.push(lineage(index, target.to_string(), source));
                if let Some(keep) = &source.keep {
                    let mut kept = lineage(index, keep.to_string(), source);
                    kept.ops.pop();
                    kept.ops.push("code before the table".to_owned());
                    kept.default = None;
                    kept.optional = true;
                    all.push(kept);
                }
            }
        }
        all
    }
}

fn lineage(rule: usize, target: String, source: &Source) -> Lineage {
    let constant = match &source.origin {
        Origin::Const(value) => Some(value.clone()),
        _ => None,
    };
    Lineage {
        rule,
        target,
        from: source.reads().into_iter().map(Pointer::to_string).collect(),
        ops: steps(source),
        constant,
        default: source.default.clone(),
        optional: source.optional,
    }
}

fn steps(source: &Source) -> Vec<String> {
    let mut steps = Vec::new();
    if let Origin::Concat(parts) = &source.origin {
        steps.push(format!("concat of {}", parts.len()));
    }
    steps.extend(source.ops.iter().map(|op| op.name().to_owned()));
    steps.extend(source.table.iter().map(|name| format!("table {name}")));
    steps
}
