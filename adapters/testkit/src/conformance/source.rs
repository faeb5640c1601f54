//! What a source promises, as long as its nodes are good.

use hufu_adapters_light_client::{Budget, DynLightClient, Outcome, Selector, Step, TrustedBlock};
use hufu_adapters_source::{Source, SourceError};
use hufu_schemas_core::{Height, Timestamp};

use super::{Check, Report, require};

/// A source of good nodes, with the client that judges what it returns.
pub struct SourceCase<'a> {
    /// The source. Its ledger must not grow while the suite runs.
    pub source: &'a dyn Source,
    /// Anchored to its ledger.
    pub client: &'a dyn DynLightClient,
    /// A clock at which the chain is neither expired nor ahead.
    pub now: Timestamp,
    /// The ledger's height; at least 4 above the first height that the client wants.
    pub tip: Height,
    /// What evidence is asked for.
    pub selector: Selector,
    /// How many items it matches on the whole chain; at least one.
    pub matches: usize,
}

impl SourceCase<'_> {
    fn first(&self) -> Result<Height, String> {
        match self.client.describe(&self.client.anchor()) {
            Outcome::Accept(facts) => Ok(facts.wants),
            other => Err(format!("expected the anchor described, got {other:?}")),
        }
    }

    async fn all(&self) -> Result<Vec<Step>, String> {
        let (mut from, mut steps) = (self.first()?, Vec::new());
        while from <= self.tip {
            let more = said(self.source.steps(from, usize::MAX).await)?;
            let last = more.last().ok_or_else(|| format!("expected steps from {from} to {}", self.tip))?.height;
            from = last.next().ok_or("expected a height below the end")?;
            steps.extend(more);
        }
        Ok(steps)
    }

    async fn trusted(&self) -> Result<Vec<TrustedBlock>, String> {
        let steps = self.all().await?;
        match self.client.advance(&self.client.anchor(), &steps, self.now, &mut Budget::for_update()) {
            Outcome::Accept(advanced) => Ok(advanced.blocks),
            other => Err(format!("expected the light client to accept, got {other:?}")),
        }
    }
}

fn said<T>(result: Result<T, SourceError>) -> Result<T, String> {
    result.map_err(|error| format!("expected an answer, got {error}"))
}

/// Runs every check.
pub async fn source(case: &SourceCase<'_>) -> Report {
    let mut report = Report::default();
    report.note("the tip is the ledger's height", tip(case).await);
    report.note("steps come in order, without gaps, to the tip", order(case).await);
    report.note("no more steps than asked for", limits(case).await);
    report.note("a cursor can start anywhere, again and again", cursor(case).await);
    report.note("nothing follows the tip, and that is no error", beyond(case).await);
    report.note("the light client accepts the steps", case.trusted().await.map(|_| ()));
    report.note("evidence comes in the order asked for and proves what matches", evidence(case).await);
    report.note("others answer about the height asked for", others(case).await);
    report.note("a description shows no address and no credentials", description(case));
    report
}

async fn tip(case: &SourceCase<'_>) -> Check {
    let tip = said(case.source.tip().await)?;
    require(tip == case.tip, || format!("expected {}, got {tip}", case.tip))
}

async fn order(case: &SourceCase<'_>) -> Check {
    let first = case.first()?;
    let got: Vec<u64> = case.all().await?.iter().map(|step| step.height.get()).collect();
    let expected: Vec<u64> = (first.get()..=case.tip.get()).collect();
    require(expected.len() > 4, || format!("expected a case with more than 4 blocks, got {expected:?}"))?;
    require(got == expected, || format!("expected {expected:?}, got {got:?}"))
}

async fn limits(case: &SourceCase<'_>) -> Check {
    let first = case.first()?;
    for limit in [0, 1, 3] {
        let steps = said(case.source.steps(first, limit).await)?;
        require(steps.len() == limit, || format!("expected {limit} steps, got {}", steps.len()))?;
    }
    Ok(())
}

async fn cursor(case: &SourceCase<'_>) -> Check {
    let all = case.all().await?;
    for step in all.iter().rev() {
        let one = said(case.source.steps(step.height, 1).await)?;
        require(one.first() == Some(step), || format!("height {}: another step than before", step.height))?;
    }
    Ok(())
}

async fn beyond(case: &SourceCase<'_>) -> Check {
    let next = case.tip.next().ok_or("expected a height below the end")?;
    let steps = said(case.source.steps(next, 10).await)?;
    require(steps.is_empty(), || format!("{} steps beyond the tip", steps.len()))
}

async fn evidence(case: &SourceCase<'_>) -> Check {
    let mut blocks = case.trusted().await?;
    blocks.reverse();
    let told = said(case.source.evidence(&blocks, &case.selector).await)?;
    require(told.len() == blocks.len(), || format!("expected {} answers, got {}", blocks.len(), told.len()))?;
    let mut matches = 0;
    for (block, evidence) in blocks.iter().zip(&told) {
        require(block.height() == evidence.height, || format!("expected {}, got {}", block.height(), evidence.height))?;
        let budget = &mut Budget::for_evidence();
        match case.client.matching(block, &case.selector, evidence.evidence.as_deref(), budget) {
            Outcome::Accept(items) => matches += items.len(),
            other => return Err(format!("block {}: expected proof, got {other:?}", block.height())),
        }
    }
    require(matches == case.matches && matches > 0, || format!("expected {} items, got {matches}", case.matches))
}

async fn others(case: &SourceCase<'_>) -> Check {
    let steps = said(case.source.others(case.tip).await)?;
    require(steps.iter().all(|step| step.height == case.tip), || "a step of another height".to_owned())
}

fn description(case: &SourceCase<'_>) -> Check {
    let description = case.source.describe();
    require(!description.nodes.is_empty(), || "no nodes".to_owned())?;
    let telling = |name: &str| name.is_empty() || name.contains("://") || name.contains('@');
    let bad = description.nodes.iter().find(|node| telling(&node.name));
    require(bad.is_none(), || format!("{bad:?}"))?;
    require(description.family == case.client.ledger().family(), || description.family.clone())
}
