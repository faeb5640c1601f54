//! Ledger updates travel compressed where both ends like: a quiet header is mostly zeros (its filter is 256 of them).
//! RFC 9110, sections 8.4 and 12.5.3; gzip alone (RFC 1952).

use std::io::{Read as _, Write as _};

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use flate2::Compression;
use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;

use super::problem::{Problem, ProblemCode};

/// Answers below this are sent as they are: a packet holds them.
const WORTH_CODING: usize = 1_024;

/// Whether the asker takes gzip: named, or by `*`, with a weight above zero. A name beats the star.
pub(super) fn takes_gzip(headers: &HeaderMap) -> bool {
    let offers = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let mut weights = (None, None);
    for offer in offers.flat_map(|offers| offers.split(',')) {
        let mut parts = offer.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        let wanted = weight.is_none_or(|weight| weight.parse::<f32>().is_ok_and(|weight| weight > 0.0));
        match name {
            _ if name.eq_ignore_ascii_case("gzip") => weights.0 = Some(wanted),
            "*" => weights.1 = Some(wanted),
            _ => {}
        }
    }
    weights.0.or(weights.1).unwrap_or(false)
}

/// The answer, compressed where that is worth it and the asker takes it.
pub(super) async fn coded(json: Bytes, gzip: bool) -> Response {
    let zipped = if gzip && json.len() >= WORTH_CODING { zip(json.clone()).await } else { None };
    let mut response = super::applications::json_bytes(zipped.clone().unwrap_or(json));
    let headers = response.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if zipped.is_some() {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

/// Off the runtime's own threads: a few milliseconds for each MiB. `None` when it fails, which in memory it does not.
async fn zip(plain: Bytes) -> Option<Bytes> {
    let zipped = tokio::task::spawn_blocking(move || {
        let mut zip = GzEncoder::new(Vec::new(), Compression::default());
        zip.write_all(&plain).and_then(|()| zip.finish()).ok()
    });
    zipped.await.ok().flatten().map(Bytes::from)
}

/// A posted body as it was before coding, of at most `most` bytes: the limit of a plain body holds for what comes out,
/// and nothing beyond it is ever unpacked.
pub(super) async fn decoded(headers: &HeaderMap, body: Bytes, most: usize) -> Result<Bytes, Problem> {
    let mut codings = headers.get_all(header::CONTENT_ENCODING).iter();
    let (coding, more) = (codings.next(), codings.next());
    match coding.map(|coding| coding.as_bytes().to_ascii_lowercase()).as_deref() {
        None | Some(b"identity") if more.is_none() => Ok(body),
        Some(b"gzip" | b"x-gzip") if more.is_none() => {
            let unzipped = tokio::task::spawn_blocking(move || unzip(&body, most)).await;
            unzipped.unwrap_or_else(|_| Err(Problem::malformed("the body could not be unpacked")))
        }
        _ => {
            let words = "a body is posted as it is, or with the one coding gzip";
            let got = String::from_utf8_lossy(coding.map_or(b"", HeaderValue::as_bytes)).into_owned();
            Err(Problem::new(ProblemCode::UnsupportedCoding, words).between("gzip", got))
        }
    }
}

fn unzip(body: &[u8], most: usize) -> Result<Bytes, Problem> {
    let mut zip = GzDecoder::new(body);
    let mut plain = Vec::new();
    let room = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    zip.by_ref().take(room).read_to_end(&mut plain).map_err(|_| Problem::malformed("the body is not whole gzip"))?;
    if plain.len() > most {
        return Err(Problem::new(ProblemCode::BodyTooLarge, "the body unpacks to more than this route takes")
            .between(format_args!("at most {most} bytes"), "more"));
    }
    // One body, one spelling: nothing hides behind its end.
    if !zip.into_inner().is_empty() {
        return Err(Problem::malformed("bytes after the end of the gzip body"));
    }
    Ok(plain.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn who_takes_gzip() {
        let takes = |values: &[&str]| takes_gzip(&headers(header::ACCEPT_ENCODING, values));
        for yes in [&["gzip"][..], &["br, GZIP;q=0.5"], &["*"], &["identity", "gzip"], &["gzip, *;q=0"]] {
            assert!(takes(yes), "{yes:?}");
        }
        for no in [&[][..], &[""], &["br"], &["gzip;q=0"], &["gzip; q=0.000, *"], &["gzip;q=x"], &["xgzip"]] {
            assert!(!takes(no), "{no:?}");
        }
    }

    #[tokio::test]
    async fn what_is_packed_is_unpacked() {
        let gzip = headers(header::CONTENT_ENCODING, &["gzip"]);
        for plain in [vec![], vec![7; 10], (0..=255u8).cycle().take(100_000).collect()] {
            let zipped = zip(plain.clone().into()).await.unwrap();
            assert_eq!(decoded(&gzip, zipped.clone(), plain.len()).await.unwrap(), plain);
            let short = decoded(&gzip, zipped.clone(), plain.len().saturating_sub(1)).await;
            assert_eq!(short.is_err(), !plain.is_empty());
            let cut = zipped.slice(..zipped.len() - 1);
            assert_eq!(decoded(&gzip, cut, 1 << 20).await.unwrap_err().code, ProblemCode::MalformedRequest);
            let more = Bytes::from([&zipped[..], &zipped[..]].concat());
            assert_eq!(decoded(&gzip, more, 1 << 20).await.unwrap_err().code, ProblemCode::MalformedRequest);
        }
        let plain = Bytes::from_static(b"{}");
        for identity in [HeaderMap::new(), headers(header::CONTENT_ENCODING, &["identity"])] {
            assert_eq!(decoded(&identity, plain.clone(), 9).await.unwrap(), plain);
        }
        for other in [&["br"][..], &["gzip, gzip"], &["gzip", "gzip"], &["zstd"]] {
            let fault = decoded(&headers(header::CONTENT_ENCODING, other), plain.clone(), 9).await.unwrap_err();
            assert_eq!(fault.code, ProblemCode::UnsupportedCoding, "{other:?}");
        }
    }

    #[tokio::test]
    async fn a_bomb_is_refused_before_it_unfolds() {
        // A GiB of zeros in about a MiB.
        let mut zip = GzEncoder::new(Vec::new(), Compression::best());
        let zeros = vec![0; 1 << 20];
        for _ in 0..1_024 {
            zip.write_all(&zeros).unwrap();
        }
        let bomb = Bytes::from(zip.finish().unwrap());
        assert!(bomb.len() < 2 << 20, "{}", bomb.len());
        let gzip = headers(header::CONTENT_ENCODING, &["gzip"]);
        let fault = decoded(&gzip, bomb, 8 << 20).await.unwrap_err();
        assert_eq!(fault.code, ProblemCode::BodyTooLarge);
    }
}
