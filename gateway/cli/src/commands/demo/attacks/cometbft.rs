//! Attacks on the notary office's CometBFT ledger, tried on the tax office: a commit of too few, and a state key whose
//! proof does not close.

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hufu_cometbft_devnet::Misbehave;
use hufu_cometbft_light_client::{LightStep, rpc};
use serde_json::{Value, json};

use super::super::Stage;
use super::super::department::Department;
use super::super::devnet::HOLDER;
use super::super::story::Story;
use super::{fetch_page, honest_page, inbox_pages, next_headers, refused};

/// Runs both while the honest courier is away.
pub(super) async fn run(
    stage: &Stage,
    notary: &Department,
    tax: &Department,
    story: &mut Story<'_>,
) -> anyhow::Result<()> {
    notary.write_certificate(3, "01", "01", notary.office.uscc)?;
    commit_of_too_few(stage, notary, tax, story).await?;
    let page = fetch_page(stage, notary, tax).await?;
    altered_state(stage, tax, &page, story).await?;
    honest_page(stage, tax, &page, story).await
}

/// The last header of an update with the votes of no more than two thirds of the power.
async fn commit_of_too_few(
    stage: &Stage,
    notary: &Department,
    tax: &Department,
    story: &mut Story<'_>,
) -> anyhow::Result<()> {
    let update = next_headers(stage, notary, tax).await?;
    let steps = update.get("steps").and_then(Value::as_array).context("no steps")?;
    let step = steps.last().and_then(|step| step.get("bytes")).and_then(Value::as_str).context("no step")?;
    let mut step = LightStep::parse(&BASE64.decode(step)?)?;
    let height = step.height();
    let liar = notary.devnet.cometbft()?.add_node().await.map_err(|fault| anyhow::anyhow!("{fault}"))?;
    liar.misbehave(Misbehave::CommitBelowQuorum { from: height }).map_err(|fault| anyhow::anyhow!("{fault}"))?;
    step.signed_header = rpc::light::signed_header(&liar.ask("commit", &json!({"height": height.to_string()})))?;
    let mut forged = update.clone();
    let last = format!("/steps/{}/bytes", steps.len() - 1);
    *forged.pointer_mut(&last).context("no bytes")? = json!(BASE64.encode(step.write()));
    let inbox = format!("/v1/inbox/ledgers/{}/updates", notary.ledger);
    let reply = stage.courier.deliver(tax, &inbox, &forged).await?;
    let what = format!("a commit of too few: half of the notary's validators signed (height {height})");
    refused(story, &what, &["signers-below-quorum"], &reply)?;
    let honest = stage.courier.deliver(tax, &inbox, &update).await?;
    story.expect("the whole commit is taken", "200", &honest.status.as_u16().to_string(), honest.status.is_success())
}

/// One digit of the holder's code in the value of a state key; its proof is the ledger's own.
async fn altered_state(stage: &Stage, tax: &Department, page: &Value, story: &mut Story<'_>) -> anyhow::Result<()> {
    let mut forged = page.clone();
    let blocks = forged.get_mut("blocks").and_then(Value::as_array_mut).context("no blocks")?;
    let evidence = blocks.last_mut().and_then(|block| block.get_mut("evidence")).context("no evidence")?;
    let bytes = BASE64.decode(evidence.as_str().unwrap_or_default())?;
    let mut shown: Value = serde_json::from_slice(&bytes)?;
    let value = shown.pointer_mut("/sequence/values/0/value").context("no value in the evidence")?;
    let mut said = BASE64.decode(value.as_str().unwrap_or_default())?;
    let at = said
        .windows(HOLDER.len())
        .position(|window| window == HOLDER.as_bytes())
        .context("the holder is not in the value")?;
    if let Some(byte) = said.get_mut(at + 3) {
        *byte ^= 1;
    }
    *value = json!(BASE64.encode(said));
    *evidence = json!(BASE64.encode(shown.to_string()));
    let reply = stage.courier.deliver(tax, &inbox_pages(page), &forged).await?;
    let what = "a state key whose proof does not close: one digit of the holder changed in transit";
    refused(story, what, &["proof-value"], &reply)
}
