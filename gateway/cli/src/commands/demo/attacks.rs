//! What is refused, and why: bytes altered in transit, and lies by the named party itself. Every reason is told as the
//! receiving gateway's API gives it.

mod cometbft;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hufu_evm_devnet::Misbehave;
use hufu_gateway_server::clock::{Clock as _, SystemClock};
use hufu_schemas_core::canonical::to_canonical;
use hufu_schemas_core::checkpoint::Checkpoint;
use hufu_schemas_core::signature::NoteSigner;
use hufu_schemas_core::{Digest, LaneId};
use serde_json::{Value, json};

use super::department::Department;
use super::devnet::Certificate;
use super::process::Running;
use super::story::Story;
use super::wire::Reply;
use super::{Stage, arrives, wait_for};

/// Runs every attack while the honest courier is away; returns the courier that came back.
pub(super) async fn run(stage: &mut Stage, relayer: Running, story: &mut Story<'_>) -> anyhow::Result<Running> {
    story.chapter("A forged one is refused, and why")?;
    let pid = relayer.pid;
    relayer.kill().await?;
    story.tell(&format!("the courier (pid {pid}) is killed; somebody else carries now, with its certificate"))?;
    let (land, notary, tax) = (stage.department("land")?, stage.department("notary")?, stage.department("tax")?);
    land.emit_property_right(3)?;
    land.emit_property_right(4)?;
    header_one_seal_short(stage, land, notary, story).await?;
    let page = fetch_page(stage, land, notary).await?;
    forged_receipt(stage, notary, &page, story).await?;
    dropped_leaf(stage, notary, &page, story).await?;
    honest_page(stage, notary, &page, story).await?;
    rewritten_log(stage, land, notary, story).await?;
    cometbft::run(stage, notary, tax, story).await?;
    let relayer = stage.start_relayer()?;
    story.tell(&format!("an honest courier is back, pid {}", relayer.pid))?;
    arrives(stage, story, land, notary, 4).await?;
    arrives(stage, story, notary, land, 3).await?;
    speaks_for_another(stage, land, notary, story).await?;
    one_certificate_of_two_families(stage, land, notary, story).await?;
    Ok(relayer)
}

fn refused(story: &mut Story<'_>, what: &str, codes: &[&str], reply: &Reply) -> anyhow::Result<()> {
    let holds = reply.status.is_client_error() && codes.contains(&reply.code());
    story.expect(what, &format!("422 {}", codes.join(" or ")), &reply.words(), holds)
}

/// What `receiver` wants next of `origin`'s ledger, as a height.
async fn wanted(stage: &Stage, origin: &Department, receiver: &Department) -> anyhow::Result<u64> {
    let wants = stage.courier.fetch(receiver, "/v1/inbox/ledgers").await?.json;
    let ledgers = wants.get("ledgers").and_then(Value::as_array).cloned().unwrap_or_default();
    let wanted = ledgers.iter().find(|it| it.get("ledger") == Some(&json!(origin.ledger)));
    let from = wanted.and_then(|it| it.get("wants")).and_then(Value::as_u64);
    from.with_context(|| format!("{} follows no ledger of {}", receiver.office.slug, origin.office.slug))
}

/// The update that `receiver` wants next of `origin`'s ledger, with at least one header in it.
async fn next_headers(stage: &Stage, origin: &Department, receiver: &Department) -> anyhow::Result<Value> {
    wait_for(&format!("the next headers of {}", origin.office.slug), || async {
        let from = wanted(stage, origin, receiver).await?;
        let path = format!("/v1/ledgers/{}/updates?from={from}&limit=64&wait=1", origin.ledger);
        let reply = stage.courier.fetch(origin, &path).await?;
        Ok(reply.json.pointer("/steps/0").is_some().then_some(reply.json))
    })
    .await
}

/// The last header of an update with one committed seal fewer than ceil(2n/3).
async fn header_one_seal_short(
    stage: &Stage,
    land: &Department,
    notary: &Department,
    story: &mut Story<'_>,
) -> anyhow::Result<()> {
    let inbox = format!("/v1/inbox/ledgers/{}/updates", land.ledger);
    let update = next_headers(stage, land, notary).await?;
    let steps = update.get("steps").and_then(Value::as_array).context("no steps")?;
    let height = steps.last().and_then(|step| step.get("height")).and_then(Value::as_u64).context("no height")?;
    let liar = land.devnet.evm()?.add_node().await.map_err(|fault| anyhow::anyhow!("{fault}"))?;
    liar.misbehave(Misbehave::SealsBelowQuorum { from: height }).map_err(|fault| anyhow::anyhow!("{fault}"))?;
    let short = liar.header_rlp(height).context("no header")?;
    let mut forged = update.clone();
    let last = steps.len() - 1;
    *forged.pointer_mut(&format!("/steps/{last}/bytes")).context("no bytes")? = json!(BASE64.encode(short));
    let reply = stage.courier.deliver(notary, &inbox, &forged).await?;
    refused(story, &format!("a header one seal short (height {height})"), &["below-quorum"], &reply)?;
    let honest = stage.courier.deliver(notary, &inbox, &update).await?;
    story.expect("the honest header is taken", "200", &honest.status.as_u16().to_string(), honest.status.is_success())
}

/// The page that `receiver` wants next, with at least one record in it; and the headers it rests on.
async fn fetch_page(stage: &Stage, origin: &Department, receiver: &Department) -> anyhow::Result<Value> {
    let lane = origin.lane();
    let state_path = state_path(&lane);
    let page = wait_for("a page with the new records", || async {
        let state = stage.courier.fetch(receiver, &state_path).await?.json;
        let (size, seen) = (
            state.get("size").and_then(Value::as_u64).context("no size")?,
            state.get("seen").and_then(Value::as_u64).unwrap_or(0),
        );
        let path = format!("/v1/lanes/{}/{}/pages?from={size}&seen={seen}&limit=64", lane.slug(), lane.epoch());
        let reply = stage.courier.fetch(origin, &path).await?;
        let blocks = reply.json.get("blocks").and_then(Value::as_array).map_or(0, Vec::len);
        Ok((blocks > 0).then_some(reply.json))
    })
    .await?;
    // The page may speak of a block later than the headers delivered so far.
    let height = page
        .pointer("/blocks")
        .and_then(Value::as_array)
        .and_then(|blocks| blocks.last())
        .and_then(|block| block.get("height"))
        .and_then(Value::as_u64)
        .unwrap_or(0);
    wait_for("headers up to the page's last block", || async {
        if wanted(stage, origin, receiver).await? > height + origin.devnet.trails() {
            return Ok(Some(()));
        }
        let update = next_headers(stage, origin, receiver).await?;
        stage.courier.deliver(receiver, &format!("/v1/inbox/ledgers/{}/updates", origin.ledger), &update).await?;
        Ok(None)
    })
    .await?;
    Ok(page)
}

fn state_path(lane: &LaneId) -> String {
    format!("/v1/inbox/{}/{}/{}/state", lane.gateway(), lane.slug(), lane.epoch())
}

fn inbox_pages(page: &Value) -> String {
    let lane = page.get("lane").and_then(Value::as_str).unwrap_or_default();
    format!("/v1/inbox/{lane}/pages")
}

/// One digit of the holder's code in a receipt.
async fn forged_receipt(stage: &Stage, notary: &Department, page: &Value, story: &mut Story<'_>) -> anyhow::Result<()> {
    let mut forged = page.clone();
    let evidence = forged.pointer_mut("/blocks/0/evidence").context("no evidence")?;
    let mut bytes = BASE64.decode(evidence.as_str().unwrap_or_default())?;
    let holder = b"911101066976941872";
    let at =
        bytes.windows(holder.len()).position(|window| window == holder).context("the holder is not in the receipt")?;
    if let Some(byte) = bytes.get_mut(at + 9) {
        *byte ^= 1;
    }
    *evidence = json!(BASE64.encode(bytes));
    let reply = stage.courier.deliver(notary, &inbox_pages(page), &forged).await?;
    refused(
        story,
        "a forged receipt: one digit of the holder changed in transit",
        &["receipts-root-mismatch", "receipts-root"],
        &reply,
    )
}

/// A leaf left out of the middle, the rest moved up.
async fn dropped_leaf(stage: &Stage, notary: &Department, page: &Value, story: &mut Story<'_>) -> anyhow::Result<()> {
    let mut forged = page.clone();
    let from = page.get("from").and_then(Value::as_u64).context("no from")?;
    let dropped = from + 1;
    let mut entries = BASE64.decode(page.get("entries").and_then(Value::as_str).unwrap_or_default())?;
    anyhow::ensure!(entries.len() >= 3 * 64, "the page has fewer than three leaves");
    entries.drain(64..128);
    *forged.pointer_mut("/entries").context("no entries")? = json!(BASE64.encode(entries));
    let opened = page.get("opened").and_then(Value::as_array).context("no opened leaves")?;
    let index = |leaf: &Value| leaf.get("index").and_then(Value::as_u64).unwrap_or(0);
    let mut moved: Vec<Value> = opened.iter().filter(|leaf| index(leaf) != dropped).cloned().collect();
    for leaf in &mut moved {
        let at = index(leaf);
        if let Some(place) = leaf.get_mut("index") {
            *place = json!(if at > dropped { at - 1 } else { at });
        }
    }
    *forged.pointer_mut("/opened").context("no opened")? = Value::Array(moved);
    let reply = stage.courier.deliver(notary, &inbox_pages(page), &forged).await?;
    let what = format!("a dropped leaf: leaf {dropped} left out, the rest moved up");
    refused(story, &what, &["join-does-not-close"], &reply)
}

async fn honest_page(stage: &Stage, receiver: &Department, page: &Value, story: &mut Story<'_>) -> anyhow::Result<()> {
    let reply = stage.courier.deliver(receiver, &inbox_pages(page), page).await?;
    let admitted = reply.json.get("admitted").and_then(Value::as_u64).unwrap_or(0);
    story.expect(
        "the same page unaltered is admitted",
        "200, records admitted",
        &format!("{}, {admitted} admitted", reply.status.as_u16()),
        reply.status.is_success() && admitted > 0,
    )
}

/// The land registry's own key signs another root for the leaves that the notary holds.
async fn rewritten_log(
    stage: &Stage,
    land: &Department,
    notary: &Department,
    story: &mut Story<'_>,
) -> anyhow::Result<()> {
    let lane = land.lane();
    let state_path = state_path(&lane);
    let state = stage.courier.fetch(notary, &state_path).await?.json;
    let (size, seen) = (
        state.get("size").and_then(Value::as_u64).context("no size")?,
        state.get("seen").and_then(Value::as_u64).context("no seen")?,
    );
    let signer = NoteSigner::from_seed(land.office.gateway, &land.log_seed)?;
    let rewritten =
        Checkpoint { lane: lane.clone(), size: seen, root: Digest::of(b"another history"), time: SystemClock.now() }
            .sign(&signer);
    let page = json!({
        "page": 1, "lane": lane, "from": size, "entries": BASE64.encode([7u8; 64]), "opened": [], "blocks": [], "documents": [],
        "checkpoint": rewritten.to_string(), "join": [],
    });
    let reply = stage.courier.deliver(notary, &inbox_pages(&page), &page).await?;
    refused(
        story,
        &format!("a rewritten log: the land registry's own key signs another root for {seen} leaves"),
        &["equivocation"],
        &reply,
    )?;
    let after = stage.courier.fetch(notary, &state_path).await?.json;
    let frozen = after.get("frozen") == Some(&json!(true));
    story.expect(
        "the lane is frozen, both notes are kept, an operator decides",
        "frozen",
        if frozen { "frozen" } else { "not frozen" },
        frozen,
    )?;
    let thaw = json!({"lane": lane, "reason": "demo: the registry's operator has shown which history is true"});
    let reply = stage.application.operate(notary, "/v1/lanes/thaw", &thaw).await?;
    story.expect("the notary's operator thaws it", "2xx", &reply.status.as_u16().to_string(), reply.status.is_success())
}

/// The land registry's second lane repeats the notary's own first certificate in the notary's name, then issues one of
/// its own.
async fn speaks_for_another(
    stage: &Stage,
    land: &Department,
    notary: &Department,
    story: &mut Story<'_>,
) -> anyhow::Result<()> {
    land.write_certificate(1, "01", "01", notary.office.uscc)?;
    land.write_certificate(78, "01", "01", land.office.uscc)?;
    let tax = stage.department("tax")?;
    let lane = land.second_lane().to_string();
    let held = wait_for("the held leaf at the tax office", || async {
        let answer = stage.application.get(tax, &format!("/v1/held?lane={lane}")).await?;
        Ok(answer.pointer("/held/0").cloned())
    })
    .await?;
    let reason = held.get("reason").and_then(Value::as_str).unwrap_or_default();
    let detail = held.get("detail").and_then(Value::as_str).unwrap_or_default();
    let what = "a lane that speaks for another's certificates: the tax office holds it and believes nothing";
    story.expect(
        what,
        "issuer-not-of-this-lane",
        &format!("{reason}: {detail}"),
        reason == "issuer-not-of-this-lane",
    )?;
    let records = wait_for("the land registry's own certificate at the tax office", || async {
        let records = stage.records(tax, &lane).await?;
        Ok((!records.is_empty()).then_some(records))
    })
    .await?;
    story.expect(
        "the held leaf blocks nothing: the lane's own certificate behind it arrives",
        "1 record",
        &format!("{} record", records.len()),
        records.len() == 1,
    )
}

/// The same certificate stands on the notary's CometBFT ledger and, in the notary's name, on the land registry's EVM
/// ledger: each family's mapping makes the same bytes of it, and only one of the two is believed.
async fn one_certificate_of_two_families(
    stage: &Stage,
    land: &Department,
    notary: &Department,
    story: &mut Story<'_>,
) -> anyhow::Result<()> {
    let id = Certificate::new(1, "01", "01", notary.office.uscc).id().to_owned();
    let tax = stage.department("tax")?;
    let believed = words_of(stage, tax, &notary.lane(), &id).await?;
    let repeated = words_of(stage, land, &land.second_lane(), &id).await?;
    let holds = believed == repeated;
    let (key, body) = believed;
    let digest: String = Digest::of(&body).to_hex().chars().take(12).collect();
    let got = match holds {
        true => format!("recordKey {key}, body {} bytes, SHA-256 {digest}…, from both", body.len()),
        false => format!("{key} {} and {} {}", text(&body), repeated.0, text(&repeated.1)),
    };
    story.expect(
        "one certificate, two families: what the tax office believes of the CometBFT state key is byte for byte what the EVM event gives",
        "the same recordKey and body",
        &got,
        holds,
    )
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Key and canonical body of the record about one certificate, as a department holds it of a lane.
async fn words_of(
    stage: &Stage,
    at: &Department,
    lane: &LaneId,
    certificate: &str,
) -> anyhow::Result<(String, Vec<u8>)> {
    let lane = lane.to_string();
    let record = wait_for(&format!("{certificate} of {lane} at {}", at.office.slug), || async {
        let records = stage.records(at, &lane).await?;
        let about = |it: &&Value| it.pointer("/record/body/certificateId") == Some(&json!(certificate));
        Ok(records.iter().find(about).cloned())
    })
    .await?;
    let key = record.pointer("/record/recordKey").and_then(Value::as_str).context("a record without recordKey")?;
    let body = record.pointer("/record/body").context("a record without body")?;
    Ok((key.to_owned(), to_canonical(body)))
}
