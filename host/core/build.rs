//! Makes the tables by which tokens are counted, so that the program has them as they are used: they lie in its file, the
//! system maps them, and only what is looked at is in memory. Made when the program starts they took 0.7 s and 50 MB.
//!
//! For each encoding: all tokens one after the other, where each ends, an open-addressed table of their numbers, and the
//! automaton that splits text into pieces.

use std::error::Error;
use std::path::Path;
use std::{env, fs};

use regex_automata::dfa::{StartKind, dense};
use tiktoken_rs::{CoreBPE, cl100k_base, o200k_base};

#[path = "src/observe/tokens/slot.rs"]
mod slot;

/// OpenAI states the split as a regular expression. It has one look-ahead, `\s+(?!\S)`: of several blanks before a word, the
/// last one belongs to the word. A DFA cannot say that, so here the expression has a plain `\s+`, and a piece that came
/// from it gives back its last blank.
const O200K: &str = concat!(
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|",
    r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+",
);

const CL100K: &str = concat!(
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|",
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]|\s+",
);

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=src/observe/tokens/slot.rs");
    let out = env::var("OUT_DIR")?;
    write(Path::new(&out), "o200k", &o200k_base()?, O200K)?;
    write(Path::new(&out), "cl100k", &cl100k_base()?, CL100K)
}

fn write(out: &Path, name: &str, bpe: &CoreBPE, expression: &str) -> Result<(), Box<dyn Error>> {
    let put = |kind: &str, bytes: &[u8]| fs::write(out.join(format!("{name}.{kind}")), bytes);
    let (mut bytes, mut ends) = (Vec::new(), Vec::new());
    let mut number = 0;
    // Numbers have no gaps; special tokens come after one.
    while let Ok(token) = bpe.decode_bytes(&[number]) {
        bytes.extend_from_slice(&token);
        ends.push(u32::try_from(bytes.len())?);
        number += 1;
    }
    // At most half full, so that a look-up ends soon.
    let mut slots = vec![0_u32; (2 * ends.len()).next_power_of_two()];
    let mut start = 0;
    for (number, end) in (1..).zip(&ends) {
        let mut slot = slot::first(&bytes[start..*end as usize], slots.len());
        while slots[slot] != 0 {
            slot = (slot + 1) & (slots.len() - 1);
        }
        (slots[slot], start) = (number, *end as usize);
    }
    put("bytes", &bytes)?;
    put("ends", &words(&ends))?;
    put("slots", &words(&slots))?;
    let config = dense::Config::new()
        .start_kind(StartKind::Anchored)
        .accelerate(false)
        .minimize(false);
    let dfa = dense::Builder::new().configure(config).build(expression)?;
    let (dfa, padding) = match env::var("CARGO_CFG_TARGET_ENDIAN")?.as_str() {
        "big" => dfa.to_bytes_big_endian(),
        _ => dfa.to_bytes_little_endian(),
    };
    put("dfa", &dfa[padding..])?;
    Ok(())
}

fn words(numbers: &[u32]) -> Vec<u8> {
    numbers
        .iter()
        .flat_map(|number| number.to_le_bytes())
        .collect()
}
