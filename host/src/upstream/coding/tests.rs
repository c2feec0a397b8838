#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::Write as _;

use proptest::prelude::*;

use super::*;

fn headers(codings: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for coding in codings {
        headers.append(header::CONTENT_ENCODING, coding.parse().unwrap());
    }
    headers
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ::zstd::encode_all(bytes, 3).unwrap()
}

/// A brotli stream of stored blocks, written by hand: no encoder is among the dependencies.
fn stored(bytes: &[u8]) -> Vec<u8> {
    let mut out = Bits::default();
    out.push(0, 1); // WBITS 16
    for block in bytes.chunks(0xffff) {
        out.push(0, 1); // not the last
        out.push(0, 2); // length in 4 nibbles
        out.push(block.len() as u64 - 1, 16);
        out.push(1, 1); // stored
        out.align();
        out.0.extend_from_slice(block);
    }
    out.push(0b11, 2); // last and empty
    out.0
}

#[derive(Default)]
struct Bits(Vec<u8>, u32);

impl Bits {
    fn push(&mut self, value: u64, bits: u32) {
        for n in 0..bits {
            if self.1.is_multiple_of(8) {
                self.0.push(0);
            }
            *self.0.last_mut().unwrap() |= ((value >> n & 1) as u8) << (self.1 % 8);
            self.1 += 1;
        }
    }

    fn align(&mut self) {
        self.1 = 0;
    }
}

fn decode(codings: &[&str], body: &[u8], chunk: usize) -> Result<Vec<u8>, CodingError> {
    let mut decoder = Decoder::of(&headers(codings))?.expect("a coding");
    let mut out = Vec::new();
    for chunk in body.chunks(chunk) {
        decoder.push(Bytes::copy_from_slice(chunk));
        while let Some(piece) = decoder.pull()? {
            out.push(piece);
        }
    }
    decoder.finish()?;
    Ok(out.concat())
}

#[test]
fn every_known_coding_is_undone_in_any_pieces_and_in_any_stack() {
    let text = "data: {\"choices\":[]}\n\n".repeat(900).into_bytes();
    for (codings, body) in [
        (vec!["gzip"], gzip(&text)),
        (vec!["X-Gzip"], gzip(&text)),
        (vec!["GZIP, identity"], gzip(&text)),
        (vec!["deflate"], zlib(&text)),
        (vec!["deflate"], deflate(&text)),
        (vec!["br"], stored(&text)),
        (vec!["zstd"], zstd(&text)),
        (vec!["gzip, zstd"], zstd(&gzip(&text))),
        (vec!["zstd", "br", "deflate"], zlib(&stored(&zstd(&text)))),
        (
            vec!["gzip"],
            [gzip(&text[..99]), gzip(&text[99..])].concat(),
        ),
        (
            vec!["zstd"],
            [zstd(&text[..99]), zstd(&text[99..])].concat(),
        ),
    ] {
        for chunk in [1, 7, 4096, 1 << 20] {
            let out = decode(&codings, &body, chunk);
            assert!(
                out.as_ref() == Ok(&text),
                "{codings:?} in {chunk}: {:?}",
                out.err()
            );
        }
    }
}

#[test]
fn a_stream_is_readable_as_far_as_it_has_come() {
    for (coding, flushed) in [
        ("gzip", {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Default::default());
            encoder.write_all(b"data: a\n\n").unwrap();
            encoder.flush().unwrap();
            encoder.get_ref().clone()
        }),
        ("zstd", {
            let mut encoder = ::zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
            encoder.write_all(b"data: a\n\n").unwrap();
            encoder.flush().unwrap();
            encoder.get_ref().clone()
        }),
        ("br", {
            let whole = stored(b"data: a\n\n");
            whole[..whole.len() - 1].to_vec()
        }),
    ] {
        let mut decoder = Decoder::of(&headers(&[coding])).unwrap().unwrap();
        decoder.push(flushed.into());
        assert_eq!(
            decoder.pull().unwrap().unwrap(),
            b"data: a\n\n".as_slice(),
            "{coding}"
        );
    }
}

#[test]
fn no_coding_is_none_and_an_unknown_one_is_named() {
    assert!(Decoder::of(&headers(&[])).unwrap().is_none());
    assert!(
        Decoder::of(&headers(&["identity, ", ""]))
            .unwrap()
            .is_none()
    );
    for codings in [
        vec!["compress"],
        vec!["gzip, rot13"],
        vec!["gzip", "aes128gcm"],
    ] {
        let error = Decoder::of(&headers(&codings)).unwrap_err();
        let name = codings.last().unwrap().rsplit(", ").next().unwrap();
        assert_eq!(error, CodingError::Unknown(name.to_owned()));
    }
    let error = Decoder::of(&headers(&["gzip, gzip, gzip, gzip"])).unwrap_err();
    assert!(matches!(error, CodingError::Unknown(_)));
}

#[test]
fn a_cut_or_broken_body_is_an_error_and_an_empty_one_is_none() {
    let text = b"data: some text that is long enough\n\n".repeat(40);
    for (coding, body) in [
        ("gzip", gzip(&text)),
        ("deflate", zlib(&text)),
        ("br", stored(&text)),
        ("zstd", zstd(&text)),
    ] {
        assert_eq!(decode(&[coding], b"", 1), Ok(vec![]), "{coding}");
        assert!(
            decode(&[coding], &body[..body.len() - 1], 99).is_err(),
            "{coding} cut"
        );
        assert!(
            decode(&[coding], b"{\"plain\": true}", 99).is_err(),
            "{coding} plain"
        );
        assert!(
            decode(&[coding], &[body, b"data: more\n\n".to_vec()].concat(), 99).is_err(),
            "{coding} with a tail"
        );
    }
}

#[test]
fn a_bomb_ends_the_body_before_it_fills_memory() {
    let zeros = vec![0; 64 * 1024 * 1024];
    let bomb = zstd(&zeros);
    let error = decode(&["zstd"], &bomb, bomb.len()).unwrap_err();
    assert!(error.to_string().contains("expand"), "{error}");
    // Stacked, each stage is bounded by itself.
    let stacked = gzip(&gzip(&zeros));
    let error = decode(&["gzip, gzip"], &stacked, stacked.len()).unwrap_err();
    assert!(error.to_string().contains("expand"), "{error}");
}

#[test]
fn what_arrives_at_once_is_undone_one_piece_at_a_time() {
    // Each piece expands a thousandfold and is within the bound: together they would not be.
    let body = gzip(&vec![0; 256 * 1024 * 1024]);
    assert!(body.len() > 50 * PIECE, "{}", body.len());
    let mut decoder = Decoder::of(&headers(&["gzip"])).unwrap().unwrap();
    decoder.push(body.into());
    for _ in 0..3 {
        let before = decoder.coded.len();
        let piece = decoder.pull().unwrap().unwrap();
        assert!(piece.len() <= MAX_PIECE);
        assert!(before - decoder.coded.len() <= 2 * PIECE);
    }
}

#[test]
fn a_whole_body_has_a_bound_of_its_own() {
    let body = gzip(&vec![b'x'; 100_000]);
    let body = Bytes::from(body);
    let decoder = || Decoder::of(&headers(&["gzip"])).unwrap().unwrap();
    assert_eq!(
        undo(decoder(), body.clone(), 100_000).unwrap().len(),
        100_000
    );
    assert_eq!(
        undo(decoder(), body.clone(), 99_999),
        Err(CodingError::TooLong)
    );
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(body in prop::collection::vec(any::<u8>(), 0..300), chunk in 1usize..64, n in 0usize..5) {
        let coding = ["gzip", "deflate", "br", "zstd", "zstd, br"][n];
        let _ = decode(&[coding], &body, chunk);
    }
}
