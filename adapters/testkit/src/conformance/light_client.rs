//! What a light client promises.

use hufu_adapters_light_client::{
    Advanced, Budget, DynLightClient, ItemRef, Outcome, Proven, Selector, Shortfall, Step, StoredHead, TrustedBlock,
};
use hufu_schemas_core::{BlockHash, Height, Timestamp};

use super::tamper::variants;
use super::{Check, Report, require};

/// Good material of one ledger, with as much of others as the family has.
pub struct LightClientCase {
    /// Anchored to the ledger of `steps`.
    pub client: Box<dyn DynLightClient>,
    /// A good chain from the first height that the anchor wants, without gaps; at least four blocks become trusted.
    pub steps: Vec<Step>,
    /// A clock at which the whole chain is neither expired nor ahead.
    pub now: Timestamp,
    /// A chain of the same heights that is well formed and belongs to another ledger.
    pub other_ledger: Vec<Step>,
    /// What a lane is about.
    pub selector: Selector,
    /// A selector that matches nothing in the block of `items`.
    pub other_selector: Selector,
    /// A selector that the family cannot read.
    pub unreadable_selector: Selector,
    /// Height of a block with items.
    pub height: Height,
    /// Everything in that block that the selector matches; at least two.
    pub items: Vec<ItemRef>,
    /// An item of that block that the selector does not match, if there is one.
    pub stranger: Option<ItemRef>,
    /// That block's evidence.
    pub evidence: Vec<u8>,
    /// Evidence of another block.
    pub other_evidence: Vec<u8>,
    /// Height of a block that excludes the selector by itself, so that no evidence is needed.
    pub quiet: Option<Height>,
    /// A rival of a trusted block, as well signed.
    pub rival: Option<Step>,
}

impl LightClientCase {
    fn advance(&self, head: &StoredHead, steps: &[Step]) -> Outcome<Advanced> {
        self.client.advance(head, steps, self.now, &mut Budget::for_update())
    }

    fn accepted(&self, head: &StoredHead, steps: &[Step]) -> Result<Advanced, String> {
        accepted(self.advance(head, steps))
    }

    fn whole(&self) -> Result<Advanced, String> {
        self.accepted(&self.client.anchor(), &self.steps)
    }

    fn block(&self, height: Height) -> Result<TrustedBlock, String> {
        let blocks = self.whole()?.blocks;
        blocks.into_iter().find(|block| block.height() == height).ok_or(format!("expected block {height} trusted"))
    }

    fn matching(&self, block: &TrustedBlock, selector: &Selector, evidence: Option<&[u8]>) -> Outcome<Vec<Proven>> {
        self.client.matching(block, selector, evidence, &mut Budget::for_evidence())
    }

    fn prove(&self, block: &TrustedBlock, selector: &Selector, items: &[ItemRef]) -> Outcome<Vec<Proven>> {
        self.client.prove(block, selector, items, Some(&self.evidence), &mut Budget::for_evidence())
    }

    fn truth(&self) -> Result<Vec<(Height, BlockHash)>, String> {
        Ok(identities(&self.whole()?.blocks))
    }
}

fn accepted<T>(outcome: Outcome<T>) -> Result<T, String> {
    match outcome {
        Outcome::Accept(value) => Ok(value),
        Outcome::NotYet(shortfall) => Err(format!("expected yes, got not yet: {shortfall}")),
        Outcome::Reject(rejection) => Err(format!("expected yes, got no: {rejection}")),
    }
}

fn rejected<T>(outcome: Outcome<T>) -> Result<&'static str, String> {
    match outcome {
        Outcome::Accept(_) => Err("expected no, got yes".to_owned()),
        Outcome::NotYet(shortfall) => Err(format!("expected no, got not yet: {shortfall}")),
        Outcome::Reject(rejection) => Ok(rejection.reason()),
    }
}

fn short<T>(outcome: Outcome<T>) -> Result<Shortfall, String> {
    match outcome {
        Outcome::Accept(_) => Err("expected not yet, got yes".to_owned()),
        Outcome::NotYet(shortfall) => Ok(shortfall),
        Outcome::Reject(rejection) => Err(format!("expected not yet, got no: {rejection}")),
    }
}

fn identities(blocks: &[TrustedBlock]) -> Vec<(Height, BlockHash)> {
    blocks.iter().map(|block| (block.height(), block.hash())).collect()
}

/// Runs every check.
pub fn light_client(case: &LightClientCase) -> Report {
    let mut report = Report::default();
    advancing(case, &mut report);
    refusing_steps(case, &mut report);
    refusing_times(case, &mut report);
    refusing_heads(case, &mut report);
    proving(case, &mut report);
    refusing_evidence(case, &mut report);
    conflicting(case, &mut report);
    report
}

fn advancing(case: &LightClientCase, report: &mut Report) {
    report.run("a good chain is accepted, without gaps", || {
        let whole = case.whole()?;
        let heights: Vec<u64> = whole.blocks.iter().map(|block| block.height().get()).collect();
        require(heights.len() >= 4, || format!("expected at least 4 trusted blocks, got {heights:?}"))?;
        require(heights.iter().zip(heights.iter().skip(1)).all(|(a, b)| a + 1 == *b), || format!("{heights:?}"))?;
        let last = whole.blocks.last().map(|block| (block.height(), block.hash()));
        require(whole.facts.last == last, || format!("expected head at {last:?}, got {:?}", whole.facts.last))?;
        require(whole.blocks.iter().all(|block| block.ledger() == case.client.ledger()), || "another ledger".to_owned())
    });
    report.run("the same bytes give the same answer", || {
        let (one, two) = (case.whole()?, case.whole()?);
        require(one.head == two.head && one.blocks == two.blocks, || "two answers".to_owned())
    });
    report.run("overlapping deliveries do no harm", || {
        let whole = case.whole()?;
        let again = case.accepted(&whole.head, &case.steps)?;
        require(again.blocks.is_empty(), || format!("trusted again: {:?}", identities(&again.blocks)))?;
        require(again.head == whole.head, || "the head moved".to_owned())
    });
    report.run("any split of the chain leads to the same head and blocks", || {
        let whole = case.whole()?;
        for cut in 1..case.steps.len() {
            let one = case.accepted(&case.client.anchor(), case.steps.get(..cut).unwrap_or(&[]))?;
            // The second part begins at what the head wants: on a ledger with confirmations that is below the cut.
            let second: Vec<Step> = case.steps.iter().filter(|step| step.height >= one.facts.wants).cloned().collect();
            let two = case.accepted(&one.head, &second)?;
            require(two.head == whole.head, || format!("another head when cut at {cut}"))?;
            let blocks = [identities(&one.blocks), identities(&two.blocks)].concat();
            require(blocks == identities(&whole.blocks), || format!("other blocks when cut at {cut}: {blocks:?}"))?;
        }
        Ok(())
    });
    report.run("heads and trusted blocks survive being stored", || {
        for block in case.whole()?.blocks {
            let back = TrustedBlock::from_stored(&block.to_stored()).map_err(|fault| fault.to_string())?;
            require(back == block, || format!("block {} changed", block.height()))?;
        }
        accepted(case.client.describe(&case.whole()?.head)).map(|_| ())
    });
}

fn refusing_steps(case: &LightClientCase, report: &mut Report) {
    report.run("a gap waits for headers", || {
        let beyond = case.steps.get(1..).unwrap_or(&[]);
        let wants = accepted(case.client.describe(&case.client.anchor()))?.wants;
        match short(case.advance(&case.client.anchor(), beyond))? {
            Shortfall::Headers { from } if from == wants => Ok(()),
            other => Err(format!("expected headers from {wants}, got {other}")),
        }
    });
    report.run("a gap in the middle is not bridged", || {
        let steps: Vec<Step> =
            case.steps.iter().enumerate().filter(|(at, _)| *at != 1).map(|(_, s)| s.clone()).collect();
        only_truth(case, case.advance(&case.client.anchor(), &steps), Some(1))
    });
    report.run("steps cut short, extended or with a bit flipped are not trusted as another block", || {
        let mut head = case.client.anchor();
        for step in &case.steps {
            for (how, bytes) in variants(&step.bytes) {
                let bad = Step { height: step.height, bytes };
                only_truth(case, case.advance(&head, &[bad]), None)
                    .map_err(|fault| format!("height {} {how}: {fault}", step.height))?;
            }
            head = case.accepted(&head, std::slice::from_ref(step)).map(|advanced| advanced.head).unwrap_or(head);
        }
        Ok(())
    });
    report.run("a step that claims another height", || {
        let mut steps = case.steps.clone();
        if let Some(step) = steps.first_mut() {
            step.bytes = case.steps.last().map(|last| last.bytes.clone()).unwrap_or_default();
        }
        rejected(case.advance(&case.client.anchor(), &steps)).map(|_| ())
    });
    report.run("steps in another order", || {
        let reversed: Vec<Step> = case.steps.iter().rev().cloned().collect();
        only_truth(case, case.advance(&case.client.anchor(), &reversed), Some(1))
    });
    report.run("the chain of another ledger", || {
        rejected(case.advance(&case.client.anchor(), &case.other_ledger)).map(|_| ())
    });
    report.run("another ledger's continuation of our head", || {
        let first = case.accepted(&case.client.anchor(), case.steps.get(..1).unwrap_or(&[]))?;
        let wants = first.facts.wants;
        let rest: Vec<Step> = case.other_ledger.iter().filter(|step| step.height >= wants).cloned().collect();
        require(!rest.is_empty(), || format!("expected a step of the other ledger from {wants} on"))?;
        rejected(case.advance(&first.head, &rest)).map(|_| ())
    });
    report.run("work beyond the budget", || {
        let spent = &mut Budget::new(0, 0);
        let reason = rejected(case.client.advance(&case.client.anchor(), &case.steps, case.now, spent))?;
        require(reason == "budget-exhausted", || format!("expected budget-exhausted, got {reason}"))
    });
}

/// Whatever was accepted is a part of the good chain, and of at most so many blocks.
fn only_truth(case: &LightClientCase, outcome: Outcome<Advanced>, most: Option<usize>) -> Check {
    let Outcome::Accept(advanced) = outcome else { return Ok(()) };
    let truth = case.truth()?;
    let got = identities(&advanced.blocks);
    require(got.iter().all(|block| truth.contains(block)), || {
        format!("trusted {got:?}, which the ledger does not hold")
    })?;
    require(most.is_none_or(|most| got.len() <= most), || format!("expected at most {most:?} blocks, got {got:?}"))
}

fn refusing_times(case: &LightClientCase, report: &mut Report) {
    report.run("an expired head cannot be extended", || {
        let half = case.steps.get(..case.steps.len().div_ceil(2)).unwrap_or(&[]);
        let first = case.accepted(&case.client.anchor(), half)?;
        let until = first.facts.trusted_until.ok_or("expected a head that expires")?;
        let late = until.plus(1);
        match short(case.client.advance(&first.head, &case.steps, late, &mut Budget::for_update()))? {
            Shortfall::Expired { until: told, .. } if told == until => Ok(()),
            other => Err(format!("expected a head that expired at {until}, got {other}")),
        }
    });
    report.run("a block ahead of the clock waits", || {
        let early = Timestamp::from_seconds(1).ok_or("expected a time")?;
        let first = case.accepted(&case.client.anchor(), case.steps.get(..1).unwrap_or(&[]))?;
        match short(case.client.advance(&first.head, &case.steps, early, &mut Budget::for_update()))? {
            Shortfall::Ahead { .. } => Ok(()),
            other => Err(format!("expected a block ahead of the clock, got {other}")),
        }
    });
}

fn refusing_heads(case: &LightClientCase, report: &mut Report) {
    report.run("a head written by another version", || {
        let mut head = case.whole()?.head;
        head.client.version += 1;
        rejected(case.advance(&head, &case.steps))?;
        rejected(case.client.describe(&head)).map(|_| ())
    });
    report.run("a head written by another client", || {
        let mut head = case.whole()?.head;
        head.client.name.push('x');
        rejected(case.advance(&head, &case.steps)).map(|_| ())
    });
    report.run("a head that cannot be read", || {
        let good = case.whole()?.head;
        for bytes in ["", "{}x", "null", "[1]"] {
            let head = StoredHead { bytes: bytes.to_owned(), ..good.clone() };
            rejected(case.advance(&head, &case.steps)).map_err(|fault| format!("{bytes:?}: {fault}"))?;
        }
        Ok(())
    });
    report.run("a trusted block of another ledger proves nothing", || {
        let block = relabelled(&case.block(case.height)?, |text, id| text.replace(id, &other_id(id)))?;
        rejected(case.matching(&block, &case.selector, Some(&case.evidence))).map(|_| ())
    });
}

/// The stored form of a block with its ledger's id replaced: what a mixed-up database would give back.
fn relabelled(block: &TrustedBlock, change: impl Fn(&str, &str) -> String) -> Result<TrustedBlock, String> {
    let text = String::from_utf8_lossy(&block.to_stored()).into_owned();
    TrustedBlock::from_stored(change(&text, block.ledger().as_str()).as_bytes()).map_err(|fault| fault.to_string())
}

fn other_id(id: &str) -> String {
    let (family, _) = id.split_once(':').unwrap_or((id, ""));
    format!("{family}:{}", "0".repeat(32))
}

fn proving(case: &LightClientCase, report: &mut Report) {
    report.run("all matching items are found, in order", || {
        let proven = accepted(case.matching(&case.block(case.height)?, &case.selector, Some(&case.evidence)))?;
        let got: Vec<ItemRef> = proven.iter().map(reference).collect();
        require(got == case.items, || format!("expected {:?}, got {got:?}", case.items))?;
        require(got.len() >= 2, || "expected a case with at least 2 items".to_owned())
    });
    report.run("named items are found, and are the same", || {
        let block = case.block(case.height)?;
        let all = accepted(case.matching(&block, &case.selector, Some(&case.evidence)))?;
        for (item, whole) in case.items.iter().zip(&all) {
            let one = accepted(case.prove(&block, &case.selector, &[*item]))?;
            require(one.first() == Some(whole), || format!("{item:?}: another item"))?;
        }
        let named = accepted(case.prove(&block, &case.selector, &case.items))?;
        require(named == all, || "other items".to_owned())
    });
    report.run_with(
        "a block that excludes the selector needs no evidence",
        case.quiet.as_ref(),
        "no such block",
        |at| {
            let found = accepted(case.matching(&case.block(*at)?, &case.selector, None))?;
            require(found.is_empty(), || format!("{} items", found.len()))
        },
    );
    report.run("another contract's selector finds nothing", || {
        let block = case.block(case.height)?;
        let found = accepted(case.matching(&block, &case.other_selector, Some(&case.evidence)))?;
        require(found.is_empty(), || format!("{} items", found.len()))
    });
}

fn reference(item: &Proven) -> ItemRef {
    ItemRef { transaction: item.position().transaction, event: item.position().event }
}

fn refusing_evidence(case: &LightClientCase, report: &mut Report) {
    report.run("missing evidence is asked for", || {
        match short(case.matching(&case.block(case.height)?, &case.selector, None))? {
            Shortfall::Evidence { height } if height == case.height => Ok(()),
            other => Err(format!("expected evidence wanted, got {other}")),
        }
    });
    report.run("evidence cut short, extended or with a bit flipped proves nothing else", || {
        let block = case.block(case.height)?;
        let good = accepted(case.matching(&block, &case.selector, Some(&case.evidence)))?;
        for (how, bytes) in variants(&case.evidence) {
            if let Outcome::Accept(found) = case.matching(&block, &case.selector, Some(&bytes)) {
                require(found == good, || format!("{how}: other items were proven"))?;
            }
        }
        Ok(())
    });
    report.run("evidence of another block", || {
        let block = case.block(case.height)?;
        rejected(case.matching(&block, &case.selector, Some(&case.other_evidence))).map(|_| ())
    });
    report.run("an item that is not there", || {
        let missing = ItemRef { transaction: u32::MAX, event: 0 };
        rejected(case.prove(&case.block(case.height)?, &case.selector, &[missing])).map(|_| ())
    });
    report.run("an item of another contract's selector", || {
        rejected(case.prove(&case.block(case.height)?, &case.other_selector, &case.items)).map(|_| ())
    });
    let lacks = "every item of the block matches";
    report.run_with("an item that the selector does not match", case.stranger.as_ref(), lacks, |item| {
        rejected(case.prove(&case.block(case.height)?, &case.selector, &[*item])).map(|_| ())
    });
    report.run("items named twice or in another order", || {
        let block = case.block(case.height)?;
        let (first, last) = (case.items.first().copied(), case.items.last().copied());
        for items in [[first, first], [last, first]] {
            let items: Vec<ItemRef> = items.into_iter().flatten().collect();
            rejected(case.prove(&block, &case.selector, &items)).map_err(|fault| format!("{items:?}: {fault}"))?;
        }
        Ok(())
    });
    report.run("a selector that cannot be read", || {
        let block = case.block(case.height)?;
        rejected(case.matching(&block, &case.unreadable_selector, Some(&case.evidence))).map(|_| ())
    });
    report.run("evidence beyond the budget", || {
        let block = case.block(case.height)?;
        let spent = &mut Budget::new(0, 0);
        let reason = rejected(case.client.matching(&block, &case.selector, Some(&case.evidence), spent))?;
        require(reason == "budget-exhausted", || format!("expected budget-exhausted, got {reason}"))
    });
}

fn conflicting(case: &LightClientCase, report: &mut Report) {
    let conflict = |block: &TrustedBlock, step: &Step| case.client.conflict(block, step, &mut Budget::for_update());
    report.run("a block is no rival of itself", || {
        for block in case.whole()?.blocks {
            let own = case.steps.iter().find(|step| step.height == block.height()).ok_or("expected its step")?;
            require(conflict(&block, own).is_none(), || format!("block {} conflicts with itself", block.height()))?;
        }
        Ok(())
    });
    report.run("another ledger's block is no rival", || {
        for block in case.whole()?.blocks {
            let other = case.other_ledger.iter().find(|step| step.height == block.height());
            let rivals = other.and_then(|step| conflict(&block, step));
            require(rivals.is_none(), || format!("froze at block {}", block.height()))?;
        }
        Ok(())
    });
    report.run_with("a rival as well signed is misbehaviour", case.rival.as_ref(), "no rival", |rival| {
        let block = case.block(rival.height)?;
        let found = conflict(&block, rival).ok_or("expected misbehaviour, got none")?;
        require(found.trusted == block.hash() && found.other != found.trusted, || format!("{found:?}"))?;
        require(found.height == rival.height && !found.signers.is_empty(), || format!("{found:?}"))
    });
    report.run_with("a rival that was tampered with freezes nothing new", case.rival.as_ref(), "no rival", |rival| {
        let block = case.block(rival.height)?;
        let good = conflict(&block, rival).ok_or("expected misbehaviour, got none")?;
        for (how, bytes) in variants(&rival.bytes) {
            let bad = Step { height: rival.height, bytes };
            let found = conflict(&block, &bad);
            // The same block in another spelling of its seals is the same misbehaviour.
            require(found.is_none_or(|found| found.other == good.other), || format!("{how}: froze"))?;
        }
        Ok(())
    });
}
